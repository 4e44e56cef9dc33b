"""What an entrant's rows say, recomputed from decisions in plain Python."""

import math

import numpy as np
import pytest

from splitee.bench.entrants import ENTRANTS, Entrant
from splitee.bench.playing import Half, play
from splitee.bench.suite import LIMITS, QUESTIONS, REPEATS, cells, ready
from splitee.policies.cascades import ElasticBERT
from splitee.policies.fixed import FixedExit, FixedSplit
from splitee.policies.names import all_names, parse_policies

CELL = next(c for c in cells() if c.trace == "mrpc_validation" and not c.half_device)
SPLITS = Entrant("splits", lambda task: [FixedSplit(i, 0.8) for i in range(1, task.layers + 1)])
EXITS = Entrant("exits", lambda task: [FixedExit(i) for i in range(1, task.layers + 1)])


def by_hand(trace, layer: int, alpha: float | None) -> tuple[float, float, float]:
    """Return cost, accuracy and reward of a split (None: of an exit) at o = 12, μ = 0.1, sample by sample."""
    cost = right = reward = 0.0
    for confidence, answer, label in zip(trace.confidence, trace.prediction, trace.label, strict=True):
        spent, sure, said = layer * 5 / 6 + 1 / 6, confidence[layer - 1], answer[layer - 1]
        if alpha is not None and layer < trace.layers and sure < np.float32(alpha):
            spent, sure, said = spent + 12.0, confidence[-1], answer[-1]
        cost, right, reward = cost + spent, right + (said == label), reward + float(sure) - 0.1 * spent
    return cost / trace.samples, right / trace.samples, reward / trace.samples


@pytest.mark.parametrize(("entrant", "alpha"), [(SPLITS, 0.8), (EXITS, None)], ids=["splits", "exits"])
def test_the_member_is_chosen_on_one_half_and_measured_on_the_other(entrant, alpha) -> None:
    rows = {row["question"]: row for row in play(CELL, [entrant])}
    choose, judge = ready(CELL, judge=False).trace, ready(CELL, judge=True).trace
    before = [by_hand(choose, i, alpha) for i in range(1, 13)]
    after = [by_hand(judge, i, alpha) for i in range(1, 13)]
    cloud, cloud_after = by_hand(choose, 12, None)[1], by_hand(judge, 12, None)[1]
    best = max(by_hand(judge, i, ready(CELL, judge=True).task.threshold)[2] for i in range(1, 13))
    k = max(range(12), key=lambda i: before[i][2])
    assert rows["regret"]["score"] == pytest.approx(100 * (best - after[k][2]) / (1 + 0.1 * 12))
    for limit in LIMITS:
        row = rows[f"drop {limit:g}"]
        within = [i for i in range(12) if 100 * (cloud - before[i][1]) <= limit + 1e-9]
        k = min(within, key=lambda i: before[i][0])
        assert row["cost"] == pytest.approx(after[k][0])
        assert row["drop"] == pytest.approx(100 * (cloud_after - after[k][1]))
        if not row["broken"]:
            assert row["score"] == pytest.approx(100 * math.log(after[k][0] / 12.0))


def test_broken_is_a_paired_test_over_samples() -> None:
    wrong = Entrant("exit 1", lambda task: [FixedExit(1)])
    half = Half.of(CELL, judge=True)
    result = half.played.play([FixedExit(1)], REPEATS)["exit 1"]
    trace = half.played.trace
    lost = (trace.prediction[:, -1] == trace.label).astype(float) - (trace.prediction[:, 0] == trace.label)
    error = 100 * lost.std(ddof=1) / math.sqrt(len(lost))
    from splitee.bench.playing import Z, _error

    assert _error(half, result) == pytest.approx(error)
    rows = play(CELL, [wrong])
    for row in rows:
        if row["question"] != "regret" and not row["fell_back"]:
            limit = float(row["question"].removeprefix("drop "))
            assert row["broken"] == (row["drop"] - Z * error > limit and row["drop"] > limit)


def test_a_broken_limit_earns_nothing() -> None:
    """An entrant that is right on the half that chooses and wrong on the other, by their sizes."""
    sizes = ready(CELL, judge=False).trace.samples

    class Turncoat:
        name = "turncoat"

        def start(self, problem, rng):
            self.rounds = 0

        def begin(self, t, context):
            return 1

        def decide(self, exit, confidence, prediction):
            return -1 if self.honest else 0

        def learn(self, t, feedback):
            pass

    made = []

    def members(task):
        made.append(Turncoat())
        made[-1].honest = True
        return [made[-1]]

    first, second = Half.of(CELL, judge=False), Half.of(CELL, judge=True)
    from splitee.bench.playing import chosen_of, judged

    policy = members(first.played.task)[0]
    tried = first.played.play({"0": policy})
    chosen = chosen_of(first, tried)
    assert set(chosen.values()) == {"0"}
    policy.honest = False
    result = second.played.play({"0": policy})["0"]
    rows = judged(CELL, "turncoat", second, dict.fromkeys(QUESTIONS, (policy, result)))
    assert all(row["broken"] for row in rows if row["question"] == "drop 0.5")
    assert [row["score"] for row in rows if row["question"] == "drop 0.5"] == [0.0]
    assert sizes == 204


def test_without_a_member_that_keeps_the_limit_it_is_cloud_only() -> None:
    never = Entrant("never sure", lambda task: [ElasticBERT(0.51)])
    [row] = [row for row in play(CELL, [never]) if row["question"] == "drop 0.5"]
    assert row["fell_back"]
    assert (row["member"], row["score"], row["cost"]) == ("cloud-only", 0.0, 12.0)


def test_an_entrant_that_cannot_play_says_why() -> None:
    released = next(e for e in ENTRANTS if e.name == "SplitEE, released")
    images = next(c for c in cells() if c.trace == "caltech101")
    rows = play(images, [released])
    assert all(row["fell_back"] and "exits" in row["why"] for row in rows)


def test_every_policy_of_the_package_is_an_entrant() -> None:
    """By the classes of what each name without a parameter makes."""
    task = ready(next(c for c in cells() if c.trace == "snli"), judge=False).task
    entered = {type(policy) for entrant in ENTRANTS for policy in entrant.members(task)}
    named = {type(policy) for name in all_names() if ":" not in name for policy in parse_policies(name, task)}
    assert named <= entered
    assert len({entrant.name for entrant in ENTRANTS}) == len(ENTRANTS)
    assert {"published", "released", "corrected", "derived", "ours", "baseline"} == {e.form for e in ENTRANTS}


def test_differing_is_one_minus_agreement_unless_the_cloud_has_another_model() -> None:
    from splitee.bench.playing import differing

    half = ready(CELL, judge=True)
    result = half.play([FixedSplit(4, 0.8)])["split 4"]
    assert differing(result) == pytest.approx(1 - result.agreement)
    other = ready(next(c for c in cells() if c.trace == "slender_imdb"), judge=True)
    result = other.play(["cloud-only"])["cloud-only"]
    assert (differing(result) == 0).all()
    assert (result.agreement < 1).all()
