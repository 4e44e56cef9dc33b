"""`splitee explore`: it writes one file, replaces none unasked, and bad input is one line."""

from pathlib import Path

import pytest
from commands import splitee

from splitee.report import exploring


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploring, "need_explore_extra", lambda: None)
    monkeypatch.setattr(exploring, "_vega", lambda: "")
    monkeypatch.setattr(exploring, "_vega_version", lambda: "0")


def test_it_writes_one_file_and_replaces_none_unasked(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    options = ("--layer-ms", "15", "--sends", "input", "--input-bytes", "2000", "--device-layers", "half")
    done = splitee("explore", "rte_validation", *options, "--out", out)
    assert (done.code, done.out) == (0, f"wrote {out}: 0.1 MB, open it in a browser\n")
    page = out.read_text(encoding="utf-8")
    assert '"command":"splitee plan rte_validation --sends input --input-bytes 2000"' in page
    assert '"layers":6,' in page
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert "exists already" in splitee("explore", "rte_validation", *options, "--out", out).complaint
    assert out.read_text(encoding="utf-8") == page
    assert splitee("explore", "rte_validation", *options, "--out", out, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "give either --device FILE or --layer-ms"),
        (
            ("--layer-ms", "1", "--link", "hsdpa_bus_1_down"),
            "a link whose rate changes (--link)",
        ),
        (("--layer-ms", "1", "--outage", "1:2"), "outages (--outage): leave it out"),
        (("--layer-ms", "1", "--arrivals", "3/s"), "arrivals (--arrivals): leave it out"),
        (("--layer-ms", "1", "--deadline", "50"), "a deadline (--deadline): leave it out"),
        (("--layer-ms", "1", "--weights", "KB=1"), "weights (--weights): leave it out"),
        (("--layer-ms", "1", "--max-drop", "-1"), "--max-drop"),
    ],
)
def test_bad_input_is_one_line(options: tuple[str, ...], line: str, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert line in splitee("explore", "rte_validation", *options, "--out", out).complaint
    assert not out.exists()
