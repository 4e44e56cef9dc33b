"""The committed evaluation of I-SplitEE: bundled traces, their cards, and numbers that a replay gives."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import splitee
from splitee.data import BUNDLED
from splitee.system.codec import state_bytes
from splitee.trace.bundled import find_source

RESULTS = Path(__file__).parents[1] / "experiments" / "i_splitee_2024" / "results"
NAMES = [name for name in splitee.bundled_traces() if name.startswith("caltech101")]
TARGETS = [name for name in NAMES if not name.endswith("_validation")]


def test_traces_are_small_and_of_one_model() -> None:
    assert sum((BUNDLED / f"{name}.parquet").stat().st_size for name in NAMES) < 3_000_000
    traces = {name: splitee.load_trace(name) for name in TARGETS}
    clean = traces["caltech101"]
    assert clean.accuracy_per_exit()[-1] >= 0.88
    for trace in traces.values():
        assert trace.exit_layers == clean.exit_layers == (3, 5, 8, 11, 12, 15, 17)
        assert trace.manifest["model"] == clean.manifest["model"]
        assert trace.label.tolist() == clean.label.tolist()
        assert find_source(trace.manifest) == "caltech101_validation"
    for kind, rising in (("blur", False), ("noise", True), ("jpeg", False)):  # noise makes files larger
        levels = [traces[name] for name in ("caltech101", *(f"caltech101_{kind}{k}" for k in (1, 2, 3)))]
        right = [trace.accuracy_per_exit()[-1] for trace in levels]
        assert right == sorted(right, reverse=True)
        assert (np.diff([trace.input_bytes.mean() for trace in levels]) > 0).tolist() == [rising] * 3


@pytest.mark.parametrize("name", NAMES)
def test_cards_say_what_the_traces_hold(name: str) -> None:
    trace, card = splitee.load_trace(name), (BUNDLED / f"{name}.md").read_text(encoding="utf-8")
    rows = [re.split(r" *\| *", line.strip("| ")) for line in card.splitlines() if re.match(r"\| \d", line)]
    accuracy = [f"{100 * share:.2f}" for share in trace.accuracy_per_exit()]
    assert [row[2] for row in rows] == accuracy
    shapes = trace.manifest["hidden_state_bytes"]["by_exit_shape"]
    assert [row[7] for row in rows] == [f"{int(state_bytes('int8', *shape)) / 1e3:.1f}" for shape in shapes]
    assert trace.fingerprint[:16] in card


def test_numbers_are_what_a_replay_gives() -> None:
    levels = pd.read_csv(RESULTS / "levels.csv").set_index(["level", "policy"])
    for level, name in (("clean", "caltech101"), ("noise2", "caltech101_noise2")):
        trace = splitee.load_trace(name)
        alpha = trace.recommended_threshold
        chosen = {"I-SplitEE corrected": splitee.SplitEES(alpha), "cascade": splitee.ElasticBERT(alpha)}
        table = splitee.replay(trace, chosen, splitee.CostModel(offload=5.0), mu=0.1, repeats=10).summary()
        for _, row in table.iterrows():
            there = levels.loc[level, row["policy"]]
            assert there["cost"] == pytest.approx(row["cost"], rel=1e-5)
            assert there["accuracy"] == pytest.approx(100 * row["accuracy"], rel=1e-5)


def test_the_chosen_exits_are_those_of_the_model() -> None:
    """Poolings and decays have the lowest cross entropy on the held-out images; the traces have these."""
    exits = pd.read_csv(RESULTS / "exits.csv")
    tried = exits[~exits["mirrored"]]
    best = tried.loc[tried.groupby("layer")["loss"].idxmin()]
    assert exits[exits["chosen"]]["layer"].tolist() == best["layer"].tolist() == [3, 5, 8, 11, 12, 15, 17]
    assert exits[exits["chosen"]]["loss"].tolist() == best["loss"].tolist()
    assert splitee.load_trace("caltech101").manifest["pooling"] == best["pooling"].tolist()


def test_accuracies_are_those_of_the_traces() -> None:
    source = splitee.load_trace("caltech101_validation")
    networks = pd.read_csv(RESULTS / "networks.csv")
    bundled = "frozen"  # whose traces are bundled
    held = networks[networks["network"] == bundled]["accuracy"]
    assert held.to_numpy() == pytest.approx(100 * source.accuracy_per_exit(), abs=1e-3)
    table = pd.read_csv(RESULTS / "accuracy.csv").set_index(["network", "level"])
    for name in TARGETS:
        there = table.loc[
            (bundled, name.removeprefix("caltech101_").replace("caltech101", "clean")), "accuracy"
        ]
        assert there.to_numpy() == pytest.approx(100 * splitee.load_trace(name).accuracy_per_exit(), abs=1e-3)


def test_measures_tell_distortions_apart() -> None:
    """Bins are quarters of the mixed source, whose images are not those of the streams."""
    source = splitee.load_trace("caltech101_mixed_validation")
    assert source.samples == 4 * 505
    assert not set(source.id) & set(splitee.load_trace("caltech101").id)
    table = pd.read_csv(RESULTS / "measured.csv").set_index(["measure", "level"])
    edges = np.quantile(source.noise, (0.25, 0.5, 0.75))
    for name in ("caltech101", "caltech101_noise2", "caltech101_jpeg3"):
        bins = np.digitize(splitee.load_trace(name).noise, edges)
        row = table.loc["noise", name.removeprefix("caltech101_").replace("caltech101", "clean")]
        shares = [row[f"bin_{b + 1}"] for b in range(4)]
        assert shares == pytest.approx((100 * np.bincount(bins, minlength=4) / len(bins)).tolist(), abs=1e-3)


def test_a_measured_context_on_the_mixed_stream() -> None:
    """The rules that the source recommends, played again by hand: each quarter of the noise by itself."""
    import sys

    sys.path.append(str(RESULTS.parent))
    from levels import SOURCE, mixture
    from rules import quartiles, recommended

    source, trace = splitee.load_trace(SOURCE), mixture()
    costs = splitee.CostModel(offload=12.0)
    edges = quartiles(source, "noise")
    rules = recommended(source, costs, 7, np.digitize(source.noise, edges), 0.02)
    bins, right, cost = np.digitize(trace.noise, edges), 0.0, 0.0
    for b, rule in enumerate(rules):
        part = trace.select(bins == b)
        result = splitee.replay(part, rule, costs, mu=0.1, repeats=1)
        right += float(result.accuracy[0]) * len(part)
        cost += float(result.cost[0]) * len(part)
    table = pd.read_csv(RESULTS / "mixed.csv").set_index(["offload", "device_exits", "stream", "policy"])
    row = table.loc[(12.0, 7, "mixed", "source rules by noise, 2 points")]
    assert row["accuracy"] == pytest.approx(100 * right / len(trace), abs=1e-3)
    assert row["cost"] == pytest.approx(cost / len(trace), rel=1e-5)


def test_the_network_itself_does_what_the_traces_say() -> None:
    """Early exit on the network for every stream; and codecs, beside the exact answers of the same images."""
    check = pd.read_csv(RESULTS / "check.csv")
    assert check["level"].nunique() * check["alpha"].nunique() == len(check) == 30
    assert (check["same_exit"] + check["close_to_alpha"] == check["images"]).all()
    assert (check["same_answer"] >= check["images"] - check["close_to_alpha"]).all()
    codecs = pd.read_csv(RESULTS / "int8.csv")
    assert (codecs["changed"] <= codecs["images"]).all()
    for level, rows in codecs.groupby("level"):
        trace = splitee.load_trace("caltech101" if level == "clean" else f"caltech101_{level}")
        drawn = np.random.default_rng(0).permutation(len(trace))[: rows["images"].iloc[0]]
        exact = 100 * (trace.prediction[drawn, -1] == trace.label[drawn]).mean()
        assert rows["accuracy_exact"].tolist() == pytest.approx([exact] * len(rows), abs=1e-3)
