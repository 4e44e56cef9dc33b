"""The notebooks run without a warning, show what their text says, and are stored without outputs."""

from __future__ import annotations

import base64
import importlib.util
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from pages import anchors

import splitee
from splitee.replay import orders as streams
from splitee.report.tables import policy_frame

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TARGETS = [  # of texts
    name
    for name in splitee.bundled_traces()
    if not name.endswith("_validation") and not name.startswith(("caltech", "slender"))
]
PNG = b"\x89PNG\r\n\x1a\n"


def strip_module():
    spec = importlib.util.spec_from_file_location("strip", ROOT / "notebooks" / "strip.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Executed:
    """What the cells of a notebook show, by the cells' ids."""

    def __init__(self, notebook: nbformat.NotebookNode) -> None:
        self.outputs = {c.id: c.outputs for c in notebook.cells if c.cell_type == "code"}

    def of(self, kind: str) -> Iterator[tuple[str, str]]:
        for cell, outputs in self.outputs.items():
            for output in outputs:
                if kind in output.get("data", {}):
                    yield cell, output["data"][kind]

    def pictures(self) -> list[str]:
        """The cells that show an image, once for each."""
        shown = list(self.of("image/png"))
        assert all(base64.b64decode(data).startswith(PNG) for _, data in shown)
        return [cell for cell, _ in shown]

    def rows(self, cell: str) -> list[list[str]]:
        """The rows of a cell's table, as texts."""
        (html,) = [html for where, html in self.of("text/html") if where == cell]
        return [
            [
                re.sub(r"<[^>]+>", "", text).strip()
                for text in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
            ]
            for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL)
        ]

    def row(self, cell: str, *first: str) -> list[str]:
        """The rest of the one row that begins so."""
        (found,) = [row for row in self.rows(cell) if row[: len(first)] == list(first)]
        return found[len(first) :]

    def printed(self, cell: str) -> str:
        return "".join(o["text"] for o in self.outputs[cell] if o["output_type"] == "stream")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a notebook in a fresh kernel, in an empty folder, which it leaves empty."""
    work, home = tmp_path / "work", tmp_path / "ipython"
    work.mkdir()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("IPYTHONDIR", str(home))  # no start-up files of the user's
    monkeypatch.setenv(
        "PYTHONPATH", str(Path(splitee.__file__).parents[1])
    )  # what is tested, installed or not

    def execute(name: str) -> Executed:
        (path,) = [path for path in NOTEBOOKS if path.stem == name]
        notebook = nbformat.read(path, as_version=4)
        # sockets in files, of a short path: no port that another worker's kernel takes
        with tempfile.TemporaryDirectory(prefix="nb") as sockets, monkeypatch.context() as here:
            here.setenv("JUPYTER_RUNTIME_DIR", sockets)
            # no kernel specifications but ipykernel's own: this Python, whatever is installed elsewhere
            specs = KernelSpecManager(kernel_dirs=[])
            kernel = AsyncKernelManager(
                kernel_name="python3", kernel_spec_manager=specs, transport="ipc", ip=f"{sockets}/kernel"
            )
            client = NotebookClient(
                notebook, km=kernel, timeout=600, resources={"metadata": {"path": str(work)}}
            )
            client.execute()
        executed = Executed(notebook)
        for cell, outputs in executed.outputs.items():
            for output in outputs:
                assert output.get("name") != "stderr", f"{name}, cell {cell}: {output['text']}"
        assert not list(work.iterdir())
        return executed

    return execute


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == strip_module().stripped(text), "run: python notebooks/strip.py"
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.cells[1].source.startswith("%matplotlib inline")


def test_strip_takes_outputs_and_what_an_editor_noted() -> None:
    strip = strip_module().stripped
    clean = strip(NOTEBOOKS[0].read_text(encoding="utf-8"))
    used = nbformat.reads(clean, as_version=4)
    used.metadata["language_info"]["version"] = "3.11.0"
    used.cells[1].metadata["scrolled"] = True
    used.cells[1].execution_count = 3
    used.cells[1].outputs = [nbformat.v4.new_output("stream", text="1")]
    assert nbformat.writes(used) + "\n" != clean
    assert strip(nbformat.writes(used)) == clean


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue  # elsewhere
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve()
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_quickstart(run) -> None:
    shown = run("1_quickstart")
    assert shown.pictures() == ["accuracy-cost", "regret", "layers", "prices-figure"]

    trace = splitee.load_trace("imdb")
    alpha = trace.recommended_threshold
    results = splitee.replay(trace, [splitee.SplitEE(alpha), splitee.CloudOnly()], mu=0.1, repeats=20, seed=0)
    expected = policy_frame(results.rows())
    for policy in results:
        assert shown.row("replay", policy) == expected.loc[policy].tolist()
    assert "cloud-only dominates SplitEE" in shown.printed("remarks")

    prices = {(row[1], row[2]): row[3:] for row in shown.rows("prices")[1:]}
    assert [prices["12", o][-1] for o in ("5", "8", "12")] == ["cloud-only", "exit 7", "exit 7"]
    assert prices["6", "12"][0] == "6"  # where SplitEE settles
    assert prices["6", "12"][-1] == "split 6"


@pytest.mark.slow
def test_paper_tables_and_figures(run) -> None:
    shown = run("2_paper_tables_and_figures")
    assert shown.pictures() == ["against-o", *["regret"] * len(TARGETS)]
    assert [row[0] for row in shown.rows("targets")[2:]] == TARGETS

    whole = splitee.load_trace("imdb")
    alpha = splitee.recommend_threshold(splitee.load_trace("sst2_validation"), "best").value
    drawn = np.random.default_rng(0).choice(whole.samples, 10_000, replace=False)
    policies = [splitee.FinalExit(), splitee.SplitEE(alpha)]
    results = splitee.replay(whole.select(np.sort(drawn)), policies, repeats=5)
    accuracy, cost = (
        [float(getattr(result, metric).mean()) for result in results.values()]
        for metric in ("accuracy", "cost")
    )
    imdb = TARGETS.index("imdb")
    splitee_rows = [row for row in shown.rows("main") if "SplitEE" in row]
    assert len(splitee_rows) == len(TARGETS)
    assert splitee_rows[imdb][-4:] == [
        f"{100 * accuracy[1]:.2f}",
        f"{100 * (accuracy[1] - accuracy[0]):+.2f}",
        f"{cost[1] * whole.samples / 1e4:.2f}",
        f"{100 * (cost[1] / cost[0] - 1):+.2f}",
    ]
    assert len([row for row in shown.rows("released") if "SplitEE-S, released" in row]) == len(TARGETS)


@pytest.mark.slow
def test_your_own_model(run) -> None:
    shown = run("3_your_own_model")
    assert shown.pictures() == ["reliability", "calibrate", "cut-figure"]

    imdb = splitee.load_trace("imdb")
    drawn = np.random.default_rng(0).choice(imdb.samples, 2000, replace=False)
    trace = imdb.select(np.sort(drawn))
    assert f"{len(drawn)} samples × 12 exits, 2 classes, labels" in shown.printed("import")
    before, after = (shown.rows(cell)[2:] for cell in ("exits", "calibrated-exits"))
    assert [float(row[1]) for row in before] == (100 * trace.accuracy_per_exit()).round(3).tolist()
    share = (trace.confidence[:, 7].astype(float) >= 0.9).mean()
    assert float(before[7][5]) == pytest.approx(splitee.CostModel().device(12)[7] / share, abs=5e-4)
    assert all(float(new[3]) < float(old[3]) for old, new in zip(before, after, strict=True))
    assert shown.row("cut", "fastest split") == ["layer 12", "layer 8", "layer 1"]
    assert shown.row("cut", "within 1 point, text stays")[2].startswith("split 1,")
    assert all(text.startswith("cloud-only,") for text in shown.row("cut", "within 1 point, text may go"))


def test_your_own_policy(run) -> None:
    shown = run("4_your_own_policy")
    assert shown.pictures() == ["regret-figure", "layers"]

    names = ["imdb", "yelp_sentences"]
    both = splitee.concatenate([splitee.load_trace(name) for name in names])
    rng = np.random.default_rng(0)
    parts = [rng.choice(np.flatnonzero(both.group == name), 2500, replace=False) for name in names]
    orders = streams.in_sequence(parts, repeats=5, seed=0)
    costs = splitee.CostModel(offload=8.0, device_layers=6)
    result = splitee.replay(both, splitee.SplitEE(both.recommended_threshold), costs, orders=orders)
    end = result.regret(segments=[2500, 2500])[:, -1].mean()
    regret = {row[0]: [float(number) for number in row[1:]] for row in shown.rows("regret-table")[1:]}
    assert regret["SplitEE, β = 1"][2] == pytest.approx(end, abs=0.051)

    first, second, together, _ = zip(*regret.values(), strict=True)
    greedy, wide, window = (
        list(regret).index(n) for n in ("SplitEE, β = 0.2", "window 500, β = 1", "window 500, β = 0.2")
    )
    assert min(first) == first[greedy]
    assert max(second) == second[greedy]
    assert max(first) == first[wide]
    assert min(together) == together[window]


@pytest.mark.slow
def test_your_own_text(run) -> None:
    shown = run("5_your_own_text")
    assert "12 samples × 6 exits, 2 classes, labels" in shown.outputs["read"][0]["data"]["text/plain"]
    lines = dict(line.split(": ", 1) for line in shown.printed("infer").splitlines() if ": " in line)
    assert lines["layers run"] == lines["the replay"]
    assert int(lines["right"].rstrip("%")) >= 60
    sent, right = zip(*([float(cell) for cell in row[2:]] for row in shown.rows("joined")[1:]), strict=True)
    assert list(sent) == sorted(sent)
    assert right[-1] >= right[0]


def test_images(run) -> None:
    shown = run("6_images")
    assert shown.pictures() == ["bytes"]
    clean = splitee.load_trace("caltech101")
    first = [f"{100 * share:.1f}" for share in clean.accuracy_per_exit()]
    assert shown.row("exits", "caltech101")[:-1] == first
    accuracy = {row[0]: float(row[1]) for row in shown.rows("mixed")[2:]}
    assert accuracy["certified"] > accuracy["cascade"] - 0.2
    assert accuracy["cloud-only"] == accuracy["last exit"]
    shares = [[float(share) for share in row[1:]] for row in shown.rows("context")[1:]]
    assert all(abs(sum(row) - 100) < 0.3 for row in shares)
    assert (
        float(shown.row("context", "caltech101_noise2")[3])
        > 90
        < float(shown.row("context", "caltech101_blur2")[0])
    )


@pytest.mark.slow
def test_live_pair(run) -> None:
    shown = run("7_live_pair")
    assert shown.pictures() == ["latency"]
    assert "120 answered" in shown.printed("device")
    assert "SplitEE-S (causal), 120 samples: every decision is the same" in shown.printed("verify")
    assert shown.printed("end").strip() == "ended with 0"
