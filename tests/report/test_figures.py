"""Figures: what they must show, and that the same results always give the same files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from made_up import twelve_layers as trace
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import splitee
from splitee.report.figures import curves as figures
from splitee.results.results import Results

ALPHA = 0.8
NAMES = ("accuracy_cost", "regret", "layers_over_time")
FILES = [f"{name}.{kind}" for name in NAMES for kind in ("png", "pdf")]


class Greedy:
    """A custom policy, with a name that is neither short nor mathematics."""

    name = "my own $greedy$ policy that costs $"

    def start(self, problem: object, rng: np.random.Generator) -> None:
        self.sums, self.counts = np.zeros((2, problem.device_exits))

    def begin(self, t: int, context: object) -> int:
        return t if t <= len(self.sums) else 1 + int(np.argmax(self.sums / self.counts))

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        return splitee.ANSWER if confidence >= np.float32(ALPHA) else splitee.OFFLOAD

    def learn(self, t: int, feedback: object) -> None:
        self.sums[feedback.layer - 1] += feedback.confidences[-1]
        self.counts[feedback.layer - 1] += 1


def replayed(
    given: splitee.Trace, policies: list[object] | None = None, device: int | None = None
) -> Results:
    """Replay the policies, by default all."""
    held = device or given.layers
    policies = policies or [
        splitee.SplitEE(ALPHA),
        *(splitee.SplitEES(ALPHA, side_information=kind) for kind in ("causal", "published", "skip")),
        Greedy(),
        splitee.FinalExit(),
        splitee.CloudOnly(),
        splitee.RandomSplit(ALPHA),
        splitee.BestFixedSplit(ALPHA),
        *(splitee.FixedExit(layer) for layer in range(1, given.layers + 1)),
        *(splitee.FixedSplit(layer, ALPHA) for layer in range(1, held + 1)),
    ]
    return splitee.replay(given, policies, splitee.CostModel(device_layers=device), repeats=3)


@pytest.fixture(scope="module")
def half() -> Results:
    """All policies on a device that holds half of the layers."""
    return replayed(trace(), device=6)


def markers(figure: Figure) -> dict[str, Line2D]:
    return {str(line.get_gid()): line for line in figure.axes[0].lines if line.get_gid()}


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_same_results_give_the_same_bytes_also_reloaded_elsewhere(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    splits = [splitee.FixedSplit(1, ALPHA), splitee.FixedSplit(2, ALPHA)]
    few = replayed(
        trace(layers=4), [splitee.SplitEE(ALPHA), Greedy(), splitee.FinalExit(), *splits], device=2
    )
    written = figures.save_figures(few, here)
    assert [path.name for path in written] == FILES
    assert sorted(path.name for path in here.iterdir()) == sorted(FILES)
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG" if path.suffix == ".png" else b"%PDF")
    few.save(tmp_path / "results", choices=True)
    code = (
        "import sys, splitee; from splitee.report.figures.curves import save_figures;"
        "save_figures(splitee.load_results(sys.argv[1]), sys.argv[2])"
    )
    surroundings = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code, tmp_path / "results", there], env=surroundings, check=True)
    for path in written:
        assert path.read_bytes() == (there / path.name).read_bytes(), path.name


def test_a_users_own_defaults_change_nothing_and_are_left_alone(tmp_path: Path) -> None:
    exits = replayed(trace(), [splitee.FixedExit(1), splitee.FixedExit(2)])
    (before, _) = [path.read_bytes() for path in figures.save_figures(exits, tmp_path)]
    with mpl.rc_context({"font.size": 30, "savefig.bbox": "tight", "axes.facecolor": "red"}):
        (after, _) = [path.read_bytes() for path in figures.save_figures(exits, tmp_path)]
        assert mpl.rcParams["font.size"] == 30
    assert before == after


def test_every_policy_lies_in_the_plane_where_its_summary_says(half: Results) -> None:
    shown = markers(figures.accuracy_cost(half))
    table = half.summary("data").set_index("policy")
    assert shown.keys() == half.keys()
    for name, line in shown.items():
        assert (line.get_xdata()[0], line.get_ydata()[0]) == pytest.approx(
            (table["cost"][name], 100 * table["accuracy"][name])
        )


def test_what_the_device_cannot_run_is_hollow_and_says_so(half: Results) -> None:
    figure = figures.accuracy_cost(half)
    for name, line in markers(figure).items():
        assert (line.get_markerfacecolor() == "white") == (not half[name].on_device), name
    entries = legend(figure)
    assert {"split 1–6", "exit 1–6", "exit 7–12\n(not on this device)"} <= set(entries)
    assert "SplitEE-S (published)*" in entries
    assert "device holds 6 of 12 layers" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize("device", [None, 6])
def test_every_policy_is_named_once(device: int | None) -> None:
    results = replayed(trace(), device=device)
    figure = figures.accuracy_cost(results)
    beside = [text.get_text() for text in figure.axes[0].texts]
    for name in results:
        if not name.startswith(("exit ", "split ", "cascade split ")):
            written = [
                text
                for text in (*legend(figure), *beside)
                if " ".join(text.split()).removesuffix(" (not on this device)").rstrip("*") == name
            ]
            assert len(written) == 1, name


def test_a_figure_shows_itself_in_a_notebook(half: Results) -> None:
    image = figures.accuracy_cost(half)._repr_png_()
    assert image.startswith(b"\x89PNG")
    assert len(image) < 100_000


def test_exits_far_below_are_named_at_the_edge(half: Results) -> None:
    axes = figures.accuracy_cost(half).axes[0]
    learner = 100 * half["SplitEE"].accuracy.mean()
    low, high = axes.get_ylim()
    assert low < learner < high
    assert 100 * half["exit 1"].accuracy.mean() < low
    assert f"exit 1\n{100 * half['exit 1'].accuracy.mean():.0f} %" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("device", [None, 6])
def test_no_two_texts_overlap(device: int | None) -> None:
    results = replayed(trace(), device=device)
    for figure in (figures.accuracy_cost(results), figures.regret(results)):
        assert figure is not None
        figure.canvas.draw()
        frame = figure.bbox
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
        assert len(boxes) > 5
        for k, box in enumerate(boxes):
            assert frame.x0 <= box.x0
            assert box.x1 <= frame.x1
            assert not any(box.overlaps(other) for other in boxes[:k])


def test_splits_of_two_thresholds_are_two_curves() -> None:
    splits = [splitee.FixedSplit(layer, alpha) for layer in (3, 1, 2) for alpha in (0.7, 0.9)]
    policies = {str(split): split for split in splits}
    results = splitee.replay(trace(), policies, repeats=1)
    assert legend(figures.accuracy_cost(results)) == ["split 1–3 (α = 0.7)", "split 1–3 (α = 0.9)"]


def test_without_labels_agreement_is_shown() -> None:
    results = replayed(trace(labelled=False))
    figure = figures.accuracy_cost(results)
    assert figure.axes[0].get_ylabel() == "agreement with the last exit (%)"
    assert markers(figure)["final-exit"].get_ydata() == pytest.approx([100])
    assert figures.accuracy_cost(replayed(trace())).axes[0].get_ylabel() == "accuracy (%)"


def test_one_sample() -> None:
    results = replayed(trace(samples=1, layers=2))
    assert markers(figures.accuracy_cost(results)).keys() == results.keys()
    assert figures.regret(results)
    assert figures.layers_over_time(results)


@pytest.mark.parametrize(
    ("policy", "drawn"),
    [
        (splitee.SplitEE(ALPHA), FILES),
        (splitee.RandomSplit(ALPHA), FILES[:4]),
        (splitee.FixedExit(3), FILES[:2]),
    ],
)
def test_a_single_policy_replaces_all_before(policy: object, drawn: list[str], tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(b"of before")
    written = figures.save_figures(replayed(trace(), [policy]), tmp_path)
    assert [path.name for path in written] == drawn
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(drawn)


def test_existing_figures_are_refused(half: Results, tmp_path: Path) -> None:
    (tmp_path / FILES[-1]).write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="layers_over_time"):
        figures.save_figures(half, tmp_path, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == FILES[-1:]


def test_regret_says_which_and_shows_who_learns(half: Results) -> None:
    common, own = figures.regret(half), figures.regret(half, "own")
    assert common is not None
    assert own is not None
    static = ("final-exit", "cloud-only", "exit", "split")
    assert list(markers(common)) == [name for name in half if not name.startswith(static)]
    assert "(common)" in common.axes[0].get_title(loc="left")
    assert "own cost" in own.axes[0].get_title(loc="left")
    curve = half["SplitEE"].curve
    assert np.array_equal(markers(own)["SplitEE"].get_ydata(), curve.own.mean(axis=0))
    with pytest.raises(splitee.InputError, match="choose common or own"):
        figures.regret(half, "theirs")


def test_layers_over_time_shares_add_up_and_need_choices(half: Results, tmp_path: Path) -> None:
    figure = figures.layers_over_time(half)
    assert figure is not None
    panels = {axes.get_gid(): axes for axes in figure.axes if axes.get_gid()}
    assert list(panels) == [name for name in half if name.startswith(("SplitEE", "my"))]
    shares = np.asarray(panels["SplitEE"].collections[0].get_array())
    assert shares.shape == (6, figures.WINDOWS)
    assert shares.sum(axis=0) == pytest.approx(1)
    assert shares.mean(axis=1) == pytest.approx(np.bincount(half["SplitEE"].split.ravel())[1:] / (3 * 300))
    half.save(tmp_path)
    assert figures.layers_over_time(splitee.load_results(tmp_path)) is None
