"""The recommended threshold against a plain-Python reading of the rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitee._internal.errors import InputError
from splitee.trace import Trace
from splitee.trace.threshold import (
    GRID,
    alpha_grid,
    check_rule,
    recommend_threshold,
    thresholds_for_budget,
)

ALPHAS = (0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)


def accuracy_of(trace: Trace, alpha: float) -> float:
    right = 0
    for confidences, predictions, label in zip(
        trace.confidence.tolist(), trace.prediction.tolist(), trace.label.tolist(), strict=True
    ):
        answer = predictions[-1]
        for confidence, prediction in zip(confidences, predictions, strict=True):
            if confidence >= float(np.float32(alpha)):
                answer = prediction
                break
        right += answer == label
    return right / trace.samples


def by_hand(trace: Trace, points: float) -> float:
    accuracies = {alpha: accuracy_of(trace, alpha) for alpha in ALPHAS}
    best = max(accuracies.values())
    return min(a for a, accuracy in accuracies.items() if 100 * (best - accuracy) <= points + 1e-9)


@st.composite
def traces(draw):
    n, layers = draw(st.integers(1, 40)), draw(st.integers(2, 5))
    # on the grid's own values, and on others
    values = st.sampled_from([0.5, *ALPHAS, 0.62, 0.77, 0.93, 1.0])
    shape = st.lists(values, min_size=layers, max_size=layers)
    classes = st.lists(st.integers(0, 1), min_size=layers, max_size=layers)
    return Trace(
        draw(st.lists(shape, min_size=n, max_size=n)),
        draw(st.lists(classes, min_size=n, max_size=n)),
        draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)),
    )


@given(traces(), st.sampled_from(["best", "within:0", "within:0.5", "within:5", "within:10", "within:100"]))
def test_it_is_the_rule_read_plainly(trace, rule):
    found = recommend_threshold(trace, rule, bootstrap=5)
    points = 0.0 if rule == "best" else float(rule.partition(":")[2])
    assert found.value == by_hand(trace, points)
    for alpha in ALPHAS:
        assert found.accuracy[f"{alpha:.2f}"] == pytest.approx(accuracy_of(trace, alpha), abs=1e-6)
    assert found.samples == trace.samples
    assert found.rule == rule
    assert sum(found.picked.values()) == pytest.approx(1)


def test_the_grid_is_the_authors():
    assert GRID == ALPHAS


def test_the_threshold_is_rounded_as_confidences_are():
    # float32(0.7) is below 0.7: such a sample exits at α = 0.70 all the same, here as in a replay
    trace = Trace([[np.float32(0.7), 0.99]] * 4, [[0, 1]] * 4, [1] * 4)
    found = recommend_threshold(trace, "best", bootstrap=1)
    assert found.accuracy["0.65"] == 0
    assert found.accuracy["0.70"] == 0
    assert found.accuracy["0.75"] == 1
    assert found.value == 0.75


def test_exactly_half_a_point_is_within_half_a_point():
    # 1000 samples: 5 are lost by exiting at 0.60, none by waiting
    confidence = np.full((1000, 2), [0.99, 0.99])
    confidence[:5, 0] = 0.62
    prediction = np.ones((1000, 2), dtype=int)
    prediction[:5, 0] = 0
    trace = Trace(confidence, prediction, np.ones(1000, dtype=int))
    assert recommend_threshold(trace, "within:0.5", bootstrap=1).value == 0.60
    assert recommend_threshold(trace, "within:0.49", bootstrap=1).value == 0.65
    assert recommend_threshold(trace, "best", bootstrap=1).value == 0.65


def test_the_bootstrap_says_how_firm_the_choice_is():
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.5, 1, (300, 3))
    label = rng.integers(2, size=300)
    right = rng.random((300, 3)) < confidence
    trace = Trace(confidence, np.where(right, label[:, None], 1 - label[:, None]), label)
    found = recommend_threshold(trace, "within:0.5", bootstrap=400, seed=1)
    assert sum(found.picked.values()) == pytest.approx(1)
    assert set(found.picked) == {f"{a:.2f}" for a in ALPHAS}
    assert found == recommend_threshold(trace, "within:0.5", bootstrap=400, seed=1)
    assert found.picked != recommend_threshold(trace, "within:0.5", bootstrap=400, seed=2).picked
    # a bootstrap written out
    picks = dict.fromkeys(found.picked, 0)
    draws = np.random.default_rng(1)
    for _ in range(400):
        picks[f"{by_hand(trace.select(draws.integers(300, size=300)), 0.5):.2f}"] += 1 / 400
    assert picks == pytest.approx(found.picked)
    # where nothing is in doubt, it says so
    sure = Trace([[0.99, 0.99]] * 20, [[1, 1]] * 20, [1] * 20)
    assert recommend_threshold(sure).picked == {f"{a:.2f}": float(a == 0.60) for a in ALPHAS}


def test_what_it_gives_is_plain_and_is_read_back():
    trace = Trace([[0.6, 0.9]] * 3, [[0, 1]] * 3, [1, 1, 0])
    found = recommend_threshold(trace, bootstrap=10)
    again = trace.replace(manifest={"recommended_threshold": found.to_dict()})
    assert again.recommended_threshold == found.value


def test_no_labels():
    with pytest.raises(InputError, match="no labels"):
        recommend_threshold(Trace([[0.6, 0.9]], [[0, 1]]))


@pytest.mark.parametrize(
    "rule",
    ["", "worst", "within", "within:", "within:x", "within:-1", "within:nan", "within:101", "beyond:1"],
)
def test_rules_that_are_none(rule):
    with pytest.raises(InputError, match="alpha rule"):
        check_rule(rule)
    with pytest.raises(InputError, match="alpha rule"):
        recommend_threshold(Trace([[0.6, 0.9]], [[0, 1]], [1]), rule)


@given(traces(), st.floats(0, 100))
def test_agreement_needs_no_labels(trace, points):
    found = recommend_threshold(trace.replace(label=None), f"agree:{points!r}", bootstrap=1)
    like_last = trace.replace(label=trace.prediction[:, -1])
    fits = [alpha for alpha in ALPHAS if 100 * (1 - accuracy_of(like_last, alpha)) <= points + 1e-9]
    assert found.value == (min(fits) if fits else ALPHAS[-1])


def test_many_classes_have_a_grid_from_above_chance():
    assert alpha_grid(3) == GRID
    assert alpha_grid(4)[0] == 0.3
    assert len(alpha_grid(1000)) == 19


@given(traces(), st.floats(0, 1))
def test_a_budget_is_met(trace, place):
    cost = np.arange(1.0, trace.layers + 1)
    budget = 1 + place * (trace.layers - 1)
    found = thresholds_for_budget(trace, budget, cost)
    stops = []
    for confidences in trace.confidence.tolist():
        alphas = [float(np.float32(alpha)) for alpha in found.thresholds]
        sure = [c >= a for c, a in zip(confidences, alphas, strict=False)]
        stops.append(sure.index(True) if True in sure else trace.layers - 1)
    assert found.cost == pytest.approx(np.mean([cost[i] for i in stops]))
    assert sum(found.shares) == pytest.approx(1)
    # rounding a share moves half a sample by one exit; equal confidences only make it cheaper
    assert found.cost <= budget + 0.5 * trace.layers / trace.samples + 1e-6


def test_a_budget_with_distinct_confidences_is_spent():
    rng = np.random.default_rng(0)
    trace = Trace(rng.uniform(0.5, 1, (5000, 6)), rng.integers(0, 2, (5000, 6)))
    for budget in (1.0, 2.2, 3.5, 5.9, 6.0):
        assert thresholds_for_budget(trace, budget, range(1, 7)).cost == pytest.approx(budget, abs=2e-3)


@pytest.mark.parametrize(("budget", "cost"), [(0.5, [1, 2]), (3, [1, 2]), (1, [2, 1]), (1, [1])])
def test_budgets_that_cannot_be_met(budget, cost):
    with pytest.raises(InputError):
        thresholds_for_budget(Trace([[0.6, 0.9]], [[0, 1]]), budget, cost)
