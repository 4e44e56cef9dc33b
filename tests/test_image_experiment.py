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
