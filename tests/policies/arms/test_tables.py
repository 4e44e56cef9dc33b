"""Tables by context (`splitee.policies.arms.tables`), and the context (`splitee.policies.arms.context`)."""

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import Case, cases, worlds
from twins import replayed

import splitee
from splitee.policies.arms.context import Before
from splitee.policies.arms.tables import TableUCB
from splitee.policies.loop import Context


@settings(max_examples=20)
@given(cases(worlds(max_layers=6)))
def test_one_cell_is_splitee(case: Case) -> None:
    expected = replayed(case, splitee.SplitEE(case.threshold, case.exploration, case.send_input))
    for by in ("length", "link", "backlog"):
        result = replayed(case, TableUCB(case.threshold, by, case.exploration, case.send_input))
        assert result.split.tolist() == expected.split.tolist()


@pytest.mark.parametrize("by", ["length", "confidence"])
def test_a_context_finds_the_arm_of_each_cell(by: str) -> None:
    """Short inputs, or those that exit 1 is half sure of, are answered by exit 2; the others need exit 4."""
    rng, n = np.random.default_rng(0), 8000
    short = rng.random(n) < 0.5
    later = np.where(short[:, None], [0.9, 0.9, 0.9], [0.5, 0.5, 0.95])
    confidence = np.column_stack([np.where(short, 0.7, 0.55), later])
    trace = splitee.Trace(confidence, np.zeros((n, 4), dtype=int), length=np.where(short, 5, 100))
    costs = splitee.CostModel(offload=9.0)
    policies = {"table": TableUCB(0.6, by, 0.2), "one": splitee.SplitEE(0.6, 0.2)}
    results = splitee.replay(trace, policies, costs, mu=0.05, orders=[range(n)])
    late = results["table"].split[0, 4000:]
    assert (late[short[4000:]] <= 2).mean() > 0.9
    assert (late[~short[4000:]] == 4).mean() > 0.9
    assert results["table"].reward[0] > results["one"].reward[0]


def test_what_a_device_loop_is_shown() -> None:
    before = Before()
    assert before.of(Context(7)) == (7, 1.0, 0)
    assert before.of(Context(None, 0.0, 4.0, 2)) == (0, 1.0, 2)
    assert before.of(Context(3, 1.0, 1.0, 0)) == (3, 0.25, 0)


def test_bad_parameters_are_refused() -> None:
    for given_, line in (
        ({"by": "hour"}, "choose length, confidence, link, backlog"),
        ({"exploration": -1}, "exploration"),
        ({"send_input": 2}, "send_input"),
    ):
        with pytest.raises(splitee.InputError, match=line):
            TableUCB(0.7, **given_)
