"""`splitee report`: one page that says what the results say, whatever the names, always the same bytes."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from unittest import mock

import commands
import pytest
from made_up import random_trace
from PIL import Image

import splitee
from splitee.report.html import page, section
from splitee.report.tables import one_line, table_cells, worth_showing
from splitee.results.results import Results

HOSTILE = '<b>$x$</b> & "]]>\x07 <script>alert(1)</script>'


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two scenarios, with choices."""
    folder = tmp_path_factory.mktemp("ran")
    random_trace(200, layers=4).replace(name="mine").save(folder / "mine.parquet")
    options = ["--threshold", "0.8", "--device-layers", "2,4", "--repeats", "2", "--max-drop", "2"]
    with mock.patch("splitee.report.figures.curves.save_figures"):  # the page draws its own
        done = commands.splitee(
            "run", folder / "mine.parquet", *options, "--choices", "--out", folder / "out"
        )
    assert done.code == 0
    return folder / "out"


@pytest.fixture
def copied(ran: Path, tmp_path: Path) -> Path:
    """A copy of those results that a test may damage."""
    return shutil.copytree(
        ran, tmp_path / "copied", ignore=shutil.ignore_patterns("*.html", "*.pdf", "*.png")
    )


@pytest.fixture(scope="module")
def text(ran: Path) -> str:
    """The page of the two scenarios."""
    assert commands.splitee("report", ran, "--overwrite").code == 0
    return (ran / "report.html").read_text(encoding="utf-8")


def replayed(name: str = "made", samples: int = 60, labels: bool = True, device: int = 2) -> Results:
    trace = random_trace(samples, layers=4, labels=labels).replace(name=name)
    policies = {
        name + " learner": splitee.SplitEE(0.8),
        "final": splitee.FinalExit(),
        "cloud": splitee.CloudOnly(),
        **{f"exit {i}": splitee.FixedExit(i) for i in range(1, 5)},
    }
    return splitee.replay(trace, policies, splitee.CostModel(offload=3.0, device_layers=device), repeats=2)


def tree(text: str) -> ET.Element:
    """Parse a page as XML: every tag closed, nothing left unescaped; and as HTML, to the same tags."""
    root = ET.fromstring(text.removeprefix("\n").removeprefix("<!DOCTYPE html>"))
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: seen.append(tag)  # type: ignore[method-assign]
    parser.handle_startendtag = lambda tag, attributes: seen.append(tag)  # type: ignore[method-assign]
    parser.feed(text)
    assert seen == [element.tag for element in root.iter()]
    return root


def said(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def rows(table: ET.Element) -> Iterator[list[str]]:
    for row in table.findall("tbody/tr"):
        yield [said(cell) for cell in row]


def images(root: ET.Element) -> list[Image.Image]:
    """The figures inside a page."""
    start = "data:image/png;base64,"
    sources = [image.attrib["src"] for image in root.iter("img")]
    assert all(source.startswith(start) for source in sources)
    assert all(len(source) < 100_000 for source in sources)
    return [Image.open(BytesIO(base64.b64decode(source.removeprefix(start)))) for source in sources]


def test_the_page_is_whole_and_fetches_nothing(text: str) -> None:
    root = tree(text)
    assert text.startswith("<!DOCTYPE html>")
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    for element in root.iter():
        for attribute in ("href", "aria-labelledby"):
            target = element.attrib.get(attribute)
            assert target is None or target.removeprefix("#") in ids, target
        assert element.tag not in ("script", "link", "iframe", "object")
        assert not any(name.startswith("on") for name in element.attrib)
    assert not re.search(r"https?:|url\(|@import", text)
    assert root.attrib["lang"] == "en"
    levels = [int(element.tag[1]) for element in root.iter() if re.fullmatch("h[1-6]", element.tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    for table in root.iter("table"):
        assert said(table.find("caption"))
        assert all("scope" in heading.attrib for heading in table.iter("th"))
    assert len(images(root)) == 8  # four figures a scenario
    assert all(len(image.attrib["alt"]) > 60 for image in root.iter("img"))


def test_tables_hold_the_summarys_numbers_in_its_order(text: str, ran: Path) -> None:
    scenarios = tree(text).findall("body/main/section")[1:-1]
    for scenario, m in zip(scenarios, (2, 4), strict=True):
        results = splitee.load_results(ran / f"mine_o5_mu0.1_m{m}")
        headings, cells = table_cells(results.rows())
        shown, beaten = list(scenario.iter("table"))
        assert [said(th) for th in shown.findall("thead/tr/th")] == [one_line(h) for h in headings.values()]
        summary = results.summary()
        there = {row["policy"] for row in worth_showing(results.rows())}
        policies = summary["policy"].tolist()
        kept = [list(row.values()) for row, name in zip(cells, policies, strict=True) if name in there]
        left = [list(row.values()) for row, name in zip(cells, policies, strict=True) if name not in there]
        assert list(rows(shown)) == kept
        assert list(rows(beaten)) == left
        assert kept
        assert left
        for row, (_, of) in zip(cells, summary.iterrows(), strict=True):
            assert float(row["cost"]) == pytest.approx(of["cost"], abs=0.005)
            assert float(row["measure"]) == pytest.approx(100 * of["accuracy"], abs=0.005)
        grey = [said(row[0]) for row in shown.iter("tr") if row.get("class") == "elsewhere"]
        assert grey == [row[0] for row in kept if row[0].endswith("†")]
        assert bool(grey) == (m == 2)


def test_the_overview_links_to_each_scenario_and_names_the_cheapest(text: str, ran: Path) -> None:
    root = tree(text)
    overview = root.find("body/main/section")
    table = overview.find("div/table")
    run_json = json.loads((ran / "run.json").read_text())["scenarios"]
    titles = {h.attrib["id"]: said(h) for h in root.iter("h2")}
    for row, told in zip(table.findall("tbody/tr"), run_json, strict=True):
        link = row.find("th/a")
        assert titles[link.attrib["href"].removeprefix("#")] == said(link)
        assert f"device holds {'all' if told['device_layers'] == 4 else '2 of'} 4 layers" in said(link)
        cells = [said(cell) for cell in row[1:]]
        at = {policy["policy"]: policy for policy in told["policies"]}
        cheapest = next(line for line in told["remarks"] if line.startswith("cheapest"))
        assert f": {cells[0]}, {cells[1]} λ" in cheapest
        assert [cells[3], cells[5]] == [f"{at[name]['cost']:.2f}" for name in ("SplitEE", "cloud-only")]
    assert "within 2 points" in said(table)


def test_every_remark_of_the_run_is_told_once_a_scenario(text: str, ran: Path) -> None:
    sections = tree(text).findall("body/main/section")[1:-1]
    for scenario, told in zip(sections, json.loads((ran / "run.json").read_text())["scenarios"], strict=True):
        (answer,) = (said(item) for item in scenario.iter("p") if item.attrib.get("class") == "answer")
        lines = [answer[0].lower() + answer[1:], *(said(item) for item in scenario.iter("li"))]
        assert sorted(lines) == sorted(told["remarks"])


def test_the_commands_make_the_same_numbers(text: str, ran: Path) -> None:
    every, *each = [said(code) for code in tree(text).iter("code")]
    fingerprint = splitee.load_trace(ran.parent / "mine.parquet").fingerprint
    assert fingerprint in every
    whole = json.loads((ran / "run.json").read_text())["scenarios"]
    for command, scenarios in (
        (every, whole),
        *((one, [told]) for one, told in zip(each, whole, strict=True)),
    ):
        words = shlex.split(command[command.index("splitee run") :])
        with contextlib.chdir(ran.parent):
            done = commands.splitee(*words[1:], "--json")
        assert done.code == 0
        assert json.loads(done.out)["scenarios"] == scenarios


@pytest.mark.parametrize(
    "options",
    [
        ["--preset", "paper", "--threshold", "0.8"],
        ["--policy", "exits", "--policy", "split:2", "--policy", "splitee", "--exploration", "0"],
        [
            "--send-input",
            "--offload-input",
            "0",
            "--interval",
            "run",
            "--layer-cost",
            "0.25",
            "--max-drop",
            "0",
        ],
        ["--offload", "1.123456789,1e7", "--policy", "cloud-only", "--seed", "3"],
    ],
)
def test_unusual_options_come_back(options: list[str], ran: Path, tmp_path: Path) -> None:
    few = () if "--threshold" in options else ("--threshold", "0.75")
    given = ("run", ran.parent / "mine.parquet", *options, *few, "--repeats", "2", "--device-layers", "3")
    # what is asked about is the commands, not what is drawn
    with (
        mock.patch("splitee.report.figures.curves.save_figures"),
        mock.patch("splitee.report.html._figures", return_value=[]),
    ):
        assert commands.splitee(*given, "--out", tmp_path / "out").code == 0
        assert commands.splitee("report", tmp_path / "out").code == 0
    command = said(next(tree((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).iter("code")))
    words = shlex.split(command[command.index("splitee run") :])
    with contextlib.chdir(ran.parent):
        done = commands.splitee(*words[1:], "--json")
    assert done.code == 0
    assert json.loads(done.out) == json.loads((tmp_path / "out" / "run.json").read_text())


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_are_shown_as_they_are_and_never_run(tmp_path: Path) -> None:
    replayed(HOSTILE).save(tmp_path, choices=True)
    done = commands.splitee("report", tmp_path, "--json")
    assert done.code == 0
    assert json.loads(done.out)["path"] == str(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<b>" not in text
    root = tree(text)
    shown = HOSTILE.replace("\x07", "\N{REPLACEMENT CHARACTER}")
    assert said(root.find("body/header/h1")) == f"Replay of {shown}"
    assert next(rows(root.find(".//table")))[0] == shown + " learner"
    assert any(shown in image.attrib["alt"] for image in root.iter("img"))
    assert images(root)


def test_twice_is_the_same_also_elsewhere(ran: Path, text: str, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(ran, tmp_path / "moved")
    code = "import sys; from splitee.cli import main; sys.argv[0] = 'splitee'; main()"
    there = tmp_path / "new" / "there.html"
    command = [sys.executable, "-c", code, "report", elsewhere, "--out", there]
    done = subprocess.run(
        command, env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}, check=True, cwd=Path.cwd()
    )
    assert done.returncode == 0
    assert there.read_text(encoding="utf-8") == text
    assert str(tmp_path) not in text
    assert str(Path.home()) not in text


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Results that are quickly drawn."""
    exits = [splitee.FixedExit(1), splitee.FixedExit(2)]
    splitee.replay(random_trace(20, layers=2), exits, repeats=1).save(tmp_path)
    return tmp_path


def test_an_existing_page_is_refused_unless_told(small: Path) -> None:
    page = small / "report.html"
    page.write_text("mine")
    assert "exists already" in commands.splitee("report", small).complaint
    assert page.read_text() == "mine"
    done = commands.splitee("report", small, "--overwrite")
    assert (done.code, done.out) == (0, f"wrote {page}: 1 scenario\n")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_page_that_is_not_finished_leaves_the_old_one(small: Path) -> None:
    (small / "report.html").write_text("mine")
    with mock.patch("os.fsync", side_effect=KeyboardInterrupt):
        assert commands.splitee("report", small, "--overwrite").code != 0
    assert (small / "report.html").read_text() == "mine"
    assert not list(small.glob(".report*"))


def spoilt(folder: Path, name: str, change: object) -> None:
    document = json.loads((folder / name).read_text())
    change(document)  # type: ignore[operator]
    (folder / name).write_text(json.dumps(document))


FIRST = "mine_o5_mu0.1_m2"
SPOILT = [
    (lambda f: (f / "run.json").write_text("{"), "run.json is damaged"),
    (lambda f: (f / "run.json").write_text('{"out": 1}'), "not of `splitee run`"),
    (lambda f: (f / "run.json").write_text('{"scenarios": []}'), "does not tell of scenarios"),
    (lambda f: (f / "run.json").unlink(), "holds no results"),
    (lambda f: spoilt(f, "run.json", lambda d: d["scenarios"][0].update(mu="x")), "does not tell"),
    (lambda f: spoilt(f, "run.json", lambda d: d["scenarios"][0].update(offload=9)), "holds no results"),
    (lambda f: spoilt(f, "run.json", lambda d: d["scenarios"][0].update(interval="x")), "data or run"),
    (lambda f: spoilt(f, "run.json", lambda d: d["scenarios"][0]["policies"].pop()), "other numbers"),
    (
        lambda f: spoilt(f, "run.json", lambda d: d["scenarios"][0]["policies"][0].update(cost=1)),
        "other numbers",
    ),
    (lambda f: (f / FIRST / "regret.parquet").unlink(), "regret.parquet is missing"),
    (lambda f: (f / FIRST / "samples.parquet").write_bytes(b"PAR1 not PAR1"), f"{FIRST} is damaged"),
    (lambda f: (f / FIRST / "manifest.json").write_text("[]"), "another schema"),
    (lambda f: spoilt(f / FIRST, "manifest.json", lambda d: d.pop("costs")), f"{FIRST} is damaged"),
    (
        lambda f: shutil.copy(f / FIRST / "summary.parquet", f / FIRST / "repeats.parquet"),
        f"{FIRST} is damaged",
    ),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILT)
def test_what_is_no_results_is_one_line_and_nothing_is_written(spoil, words: str, copied: Path) -> None:
    spoil(copied)
    assert words in commands.splitee("report", copied).complaint
    assert not list(copied.glob("*report*"))


def test_other_bad_input(ran: Path, tmp_path: Path) -> None:
    assert "is not there" in commands.splitee("report", tmp_path / "nowhere").complaint
    assert "is a file" in commands.splitee("report", ran / "run.json").complaint
    assert "is a folder" in commands.splitee("report", ran, "--out", tmp_path, "--overwrite").complaint
    assert list(tmp_path.iterdir()) == []


def test_a_single_folder_tells_what_can_be_told_without_the_trace(tmp_path: Path) -> None:
    results = replayed()
    results.save(tmp_path)
    assert commands.splitee("report", tmp_path).code == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    root = tree(text)
    assert text == page([section(splitee.load_results(tmp_path), libraries=versions(tmp_path))])
    assert len(images(root)) == 3  # without choices no layers over time
    assert [said(code) for code in root.iter("code")] == []
    assert root.find(".//*[@id='overview']") is None
    lines = [said(item) for item in root.iter("li")]
    assert [line for line in lines if line.startswith("†")]
    assert "break-even" not in " ".join(lines)


def versions(folder: Path) -> dict[str, str]:
    told: dict[str, str] = json.loads((folder / "manifest.json").read_text())["libraries"]
    return told


@pytest.mark.parametrize(("samples", "labels"), [(40, False), (1, True)])
def test_traces_without_labels_and_of_one_sample(samples: int, labels: bool) -> None:
    results = replayed(samples=samples, labels=labels)
    text = page([section(results)] * 2)
    root = tree(text)
    heading = [said(th) for th in root.findall(".//table")[-1].findall("thead/tr/th")]
    assert ("accuracy %" in heading) == labels
    assert ("agreement %" in heading) == (not labels)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text)
    assert ("1 sample," if samples == 1 else "40 samples,") in said(root.find("body/header/p"))
    assert ("of agreement with the last exit" in said(root.find(".//caption"))) == (not labels)


def test_own_orders_prices_by_layer_and_cut_exits_are_told() -> None:
    trace = random_trace(30, layers=3).replace(manifest={"exit_layers": [2, 4, 6], "model": {"a": {"b": 1}}})
    costs = splitee.CostModel(offload=[1.0, 2.0, 3.0], sample_offload=[0.5] * 30)
    results = splitee.replay(trace, [splitee.CloudOnly()], splitee.CostModel(), orders=[[0, 1, 2]])
    by_layer = splitee.replay(trace, [splitee.FixedSplit(2, 0.8)], costs, orders=[[0, 1, 2]])
    root = tree(page([section(results), section(by_layer)]))
    header = said(root.find("body/header/p"))
    assert "3 of 30 samples, 3 exits" in header
    assert "1 given order of" in header
    assert "5 λ or 1 to 3 λ + a cost per sample" in header
    first, second = root.findall("body/main/section")[1:-1]
    assert "exits at layers 2, 4, 6" in said(first)
    assert "a.b 1" in said(first)
    assert "α = 0.7 or 0.8" in header
    assert len(images(second)) == 1  # nobody learns: no regret
