"""A policy for each bin of a context (`splitee.policies.contexts`): each bin is a stream of its own."""

import numpy as np
import pytest
from made_up import random_trace

import splitee
from splitee import ByContext, FixedSplit, SplitEE
from splitee.policies.base import Policy

COSTS = splitee.CostModel(offload=4.0, offload_input=3.0)


def traced(n: int = 400) -> splitee.Trace:
    rng = np.random.default_rng(3)
    return random_trace(n, 4).replace(noise=rng.uniform(0, 9, n))


LEARNERS = {
    "SplitEE-S": lambda: splitee.SplitEES(0.6),
    "Thompson, input": lambda: splitee.ThompsonSplit(0.6, send_input=True),
    "audited": lambda: splitee.AuditedStopping(0.2, loss="error", labels=30),
    "certified": lambda: splitee.CertifiedSplit(0.2),
}


@pytest.mark.parametrize("learner", [SplitEE(0.6), splitee.SplitEES(0.6), splitee.CeeBERT()])
def test_bins_are_streams_of_their_own(learner: Policy) -> None:
    """Learners without chance, against a replay of each bin alone."""
    trace, edges = traced(), [3.0, 6.0]
    order = np.random.default_rng(1).permutation(len(trace))
    result = splitee.replay(trace, ByContext(learner, "noise", edges), COSTS, orders=[order])
    bins = np.digitize(trace.noise, edges)[order]
    for b in range(3):
        alone = splitee.replay(trace, learner, COSTS, orders=[order[bins == b]])
        assert result.split[0][bins == b].tolist() == alone.split[0].tolist()
        assert result.offloaded[0][bins == b].tolist() == alone.offloaded[0].tolist()


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_what_is_reported(learner) -> None:  # type: ignore[no-untyped-def]
    """Costs, labels among them, and answers are those of the actions, and orders are played alike."""
    trace = traced()
    result = splitee.replay(trace, ByContext(learner(), "noise", [2.0]), COSTS, repeats=3, seed=1)
    again = splitee.replay(trace, ByContext(learner(), "noise", [2.0]), COSTS, repeats=3, seed=1)
    assert result.split.tolist() == again.split.tolist()
    whole = splitee.replay(trace, ByContext(learner(), "noise", [99.0]), COSTS, repeats=3, seed=1)
    plain = splitee.replay(trace, learner(), COSTS, repeats=3, seed=1)
    assert whole.cost.mean() == pytest.approx(plain.cost.mean(), rel=0.1)  # one bin: but for chance


def test_fixed_rules_by_bin() -> None:
    """A rule per bin, the input's offload among them: by the costs and answers of each rule alone."""
    trace, edges = traced(), (3.0, 6.0)
    rules = [splitee.CloudOnly(), FixedSplit(2, 0.5), splitee.FixedExit(4)]
    result = splitee.replay(trace, ByContext(rules, "noise", edges), COSTS, repeats=1)
    bins = np.digitize(trace.noise, edges)
    shares = [(bins == b).mean() for b in range(3)]
    alone = [splitee.replay(trace.select(bins == b), rule, COSTS, repeats=1) for b, rule in enumerate(rules)]
    for name in ("accuracy", "cost", "reward"):
        expected = sum(s * float(getattr(one, name)[0]) for s, one in zip(shares, alone, strict=True))
        assert float(getattr(result, name)[0]) == pytest.approx(expected)
    assert result.policy.label == "cloud-only / split 2 / exit 4 by noise"


def test_it_learns_what_differs_by_context() -> None:
    """Exit 1 is sure of half the samples; the context says which, before anything is evaluated."""
    n = 4000
    easy = np.random.default_rng(0).random(n) < 0.5
    confidence = np.where(easy[:, None], [0.9, 0.9, 0.95], [0.5, 0.5, 0.99])
    trace = splitee.Trace(confidence, np.zeros((n, 3), int), noise=np.where(easy, 1.0, 30.0))
    policies = {"by noise": ByContext(SplitEE(0.8, 0.2), "noise", [10.0]), "blind": SplitEE(0.8, 0.2)}
    results = splitee.replay(trace, policies, splitee.CostModel(offload=9.0), mu=0.05, repeats=2)
    assert results["by noise"].reward.mean() > results["blind"].reward.mean() + 0.01


def test_bad_parameters_are_refused() -> None:
    rule = FixedSplit(1, 0.5)
    for given, line in (
        ((rule, "hue", [1.0]), "choose sharpness, noise, length"),
        ((rule, "noise", []), "at least one finite number"),
        ((rule, "noise", [2.0, 1.0]), "in rising order"),
        ((rule, "noise", [float("nan")]), "finite"),
        (([rule] * 3, "noise", [1.0]), "3 policies for 2 bins"),
        (([rule, "exits"], "noise", [1.0]), "no policy of the package"),
    ):
        with pytest.raises(splitee.InputError, match=line):
            ByContext(*given)
    trace = traced(40)
    with pytest.raises(splitee.InputError, match="no column sharpness"):
        splitee.replay(trace, ByContext(rule, "sharpness", [1.0]), COSTS)
    with pytest.raises(splitee.InputError, match="a delay would join"):
        splitee.replay(trace, ByContext(SplitEE(0.5), "noise", [1.0]), COSTS, delay=3, repeats=1)
    each = [splitee.ExitOrInput(1, 0.5), FixedSplit(1, 0.5)]
    with pytest.raises(splitee.InputError, match="charged differently"):
        splitee.replay(trace, ByContext(each, "noise", [1.0]), COSTS)
    with pytest.raises(splitee.InputError, match="cannot run on a device"):
        ByContext(rule, "noise", [1.0]).live()
