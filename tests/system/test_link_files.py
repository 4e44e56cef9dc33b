"""Files of links: each format gives the link that its rows describe; what is not certain is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import splitee
from splitee.data.tables import Reading
from splitee.system.link import Link
from splitee.system.link_files import bundled_links, load_link

CSV = [
    "time_s,mbit_s\n0,2.5\n1,0\n2,7\n",
    "mbit_s;time_s;cell\n2,5;0;a\n0;1;a\n7;2;b\n",
    "time_s\tmbit_s\n0\t2.5\n1\t0\n2\t7",
    '[{"time_s": 0, "mbit_s": 2.5}, {"time_s": 1, "mbit_s": 0}, {"time_s": 2, "mbit_s": 7}]',
    "\ufefftime_s, mbit_s\r\n0, 2.5\r\n1, 0\r\n2, 7\r\n",
]


def written(folder: Path, text: str, name: str = "there") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("text", [*CSV, "0 2.5\n1\t0\n\n2 7\n"])
def test_tables_and_pairs(tmp_path: Path, text: str) -> None:
    link = load_link(written(tmp_path, text), rtt=7.0, outages=((1, 2),))
    assert link.bits_per_ms.tolist() == [2500, 0, 7000]
    assert link.edges_ms.tolist() == [0, 1000, 2000, 3000]
    assert (link.name, link.rtt, link.outages) == ("there", 7.0, ((1.0, 2.0),))


def test_formats_that_are_named(tmp_path: Path) -> None:
    assert load_link(written(tmp_path, "0,2\n1,4\n"), format="pairs").mean == 3
    assert load_link(written(tmp_path, "time_s mbit_s\n0 2\n1 4\n"), reading=Reading(sep="space")).mean == 3
    assert load_link(written(tmp_path, "500\n", "a.txt"), format="mahimahi").mean == pytest.approx(0.012)


@given(st.lists(st.integers(0, 9000), min_size=2, max_size=300).map(sorted))
def test_mahimahi_counts_packets_per_second(tmp_path_factory: pytest.TempPathFactory, ms: list[int]) -> None:
    file = written(tmp_path_factory.mktemp("links"), "".join(f"{at}\n" for at in ms), "x.up")
    link = load_link(file)
    seconds = max(1, -(-ms[-1] // 1000))
    count = [sum(1 for at in ms if min(at // 1000, seconds - 1) == second) for second in range(seconds)]
    assert np.allclose(link.bits_per_ms, np.array(count) * 1500 * 8 / 1000)


def test_mahimahi_is_recognised_by_its_lines(tmp_path: Path) -> None:
    steady = load_link(written(tmp_path, "".join(f"{at}\n" for at in range(1, 4001))))
    assert steady.mean == pytest.approx(12)  # one packet of 1,500 bytes per ms
    assert steady.period_ms == 4000


def test_bundled_links_have_cards_and_licences() -> None:
    assert len(bundled_links()) >= 2
    folder = Path(splitee.__file__).parent / "system" / "links"
    for name in bundled_links():
        link = load_link(name)
        assert link.name == name
        assert not link.constant
        card = (folder / f"{name}.md").read_text(encoding="utf-8")
        assert "Licence" in card
        assert "downlink" in card or name.endswith("_up")


def test_a_bundled_name_comes_before_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = bundled_links()[0]
    (tmp_path / name).write_text("0 1\n1 1\n")
    assert load_link(name).mean != 1
    assert load_link(f"./{name}").mean == 1


def test_further_links_are_in_the_folder_of_data_sets(tmp_path: Path) -> None:
    (tmp_path / "networks").mkdir()
    written(tmp_path / "networks", "0 1\n1 1\n", "there")
    written(tmp_path / "networks", "time_s,mbit_s\n0,2\n1,2\n", "table.csv")
    written(tmp_path / "networks", "0\n999\n", "packets.up")
    written(tmp_path, "0 9\n1 9\n", "outside")
    found = {name: load_link(name, data_root=tmp_path).mean for name in ("there", "table", "packets")}
    assert found == {"there": 1, "table": 2, "packets": pytest.approx(0.024)}
    assert load_link(bundled_links()[0], data_root=tmp_path).name == bundled_links()[0]
    for name in ("../outside", "nowhere"):
        with pytest.raises(splitee.InputError, match="nor a link in"):
            load_link(name, data_root=tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("time_s,mbit_s\n", "no rows"),
        ("time,rate\n0,1\n", "call the columns time_s"),
        ("time_s,mbit_s\n0,x\n", "'x' is not a number"),
        ("time_s,mbit_s\n0,1\n1,-1\n", "row 1"),
        ("time_s,mbit_s\n1,1\n0,1\n", "sort"),
        ("time_s,mbit_s\n0,0\n1,0\n", "all rates are 0"),
        ("0,1\n1,2\n", "no header"),
        ("0.5\n1.5\n", "no header"),
        ("0 1 2\n1 2 3\n", "no header"),
        ("5\n3\n", "sort"),
        ("0\n99999999999999\n", "at most"),
        ("0\n" + ("9" * 400 + "\n") * 2, "at most"),
        ("0\n" + "9" * 400 + "\n", "at most"),
        ("0 1\n1\n", "no header"),
        ("0 1\n" * 120 + "1\n", "line 121"),
        ("0 1\n1 1e999\n", "row 1"),
        ("0 1e\n1 2\n", "not every line"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(splitee.InputError, match=words) as caught:
        load_link(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_other_bad_input(tmp_path: Path) -> None:
    with pytest.raises(splitee.InputError, match="did you mean hsdpa_bus_1_down"):
        load_link("hsdpa_bus")
    with pytest.raises(splitee.InputError, match="folder"):
        load_link(tmp_path)
    with pytest.raises(splitee.InputError, match="did you mean pairs"):
        load_link("hsdpa_bus_1_down", format="pair")
    with pytest.raises(splitee.InputError, match="gunzip"):
        load_link(_bytes(tmp_path, b"\x1f\x8b\x08rest"))
    with pytest.raises(splitee.InputError, match="whole number of ms"):
        load_link(written(tmp_path, "1.5\n", "x.up"))
    assert isinstance(load_link(bundled_links()[0]), Link)


def _bytes(folder: Path, data: bytes) -> Path:
    file = folder / "packed"
    file.write_bytes(data)
    return file


PIECES = [
    "time_s",
    "mbit_s",
    ",",
    ";",
    "\t",
    " ",
    "\n",
    "0",
    "1",
    "2.5",
    "-1",
    "1e400",
    "9" * 400,
    "nan",
    '"',
    "{",
    "é",
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.sampled_from(["x", "x.csv", "x.up"]))
def test_any_text_is_a_link_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str
) -> None:
    file = written(tmp_path_factory.mktemp("any"), text, name)
    try:
        link = load_link(file)
    except splitee.InputError as error:
        line = str(error)
    else:
        line = ""
        assert 0 < link.mean < np.inf
        assert len(link.edges_ms) == len(link.bits_per_ms) + 1
    assert "\n" not in line
