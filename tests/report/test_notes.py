"""The lines under the table, on a trace small enough to work out by hand."""

import numpy as np
import pytest

import splitee
from splitee.report.notes import _cheapest, remarks
from splitee.report.tables import usable, worth_showing

# 10 samples, 3 exits. At α = 0.8: exit 1 is sure of samples 0-3 (and wrong on 3), exit 2 of 0-7, all right
SURE = np.array([[0.9] * 4 + [0.6] * 6, [0.9] * 8 + [0.6] * 2, [0.95] * 10]).T
RIGHT = np.array([[1, 1, 1, 0] + [0] * 6, [1] * 8 + [0] * 2, [1] * 10]).T
LABEL = np.zeros(10, dtype=int)


def scene(offload: float = 5.0, device_layers: int = 3, policies: list | None = None) -> splitee.Results:
    trace = splitee.Trace(SURE, 1 - RIGHT, LABEL, "toy")
    chosen = policies or [
        splitee.SplitEE(0.8),
        splitee.CloudOnly(),
        splitee.FinalExit(),
        splitee.BestFixedSplit(0.8),
        splitee.FixedSplit(2, 0.8),
        splitee.FixedExit(1),
    ]
    costs = splitee.CostModel(offload=offload, device_layers=device_layers)
    return splitee.replay(trace, chosen, costs, repeats=4, threshold=0.8)


def line(said: list[str], word: str) -> str:
    found = [one for one in said if word in one]
    assert len(found) == 1, said
    return found[0]


def test_break_even_is_gamma_over_the_share_that_stays() -> None:
    # layer 1: γ = 1, 40 % stay: 2.5; layer 2: γ = 11/6, 80 % stay: 2.29; the last layer sends nothing
    said = line(remarks(scene(), 0.8), "break-even")
    assert "from o = 2.29 λ on (layer 2: γ = 1.83 λ, 80 % exit at α = 0.8); here o = 5 λ" in said
    assert "from o = 2.50 λ on (layer 1" in line(remarks(scene(device_layers=1), 0.8), "break-even")


def test_break_even_rounds_the_threshold_as_confidences_are() -> None:
    trace = splitee.Trace(np.full((4, 2), np.float32(0.7)), np.zeros((4, 2), dtype=int))
    results = splitee.replay(trace, [splitee.SplitEE(0.7)], repeats=1)
    assert "100 % exit at α = 0.7" in line(remarks(results, 0.7), "break-even")
    assert "no exit on the device reaches α = 0.71" in line(remarks(results, 0.71), "no exit")


class Always:
    """A custom policy, which counts as a learner: it splits at one layer, α = 0.8."""

    threshold = 0.8

    def __init__(self, layer: int) -> None:
        self.layer, self.name = layer, f"always {layer}"

    def start(self, problem: object, rng: np.random.Generator) -> None:
        pass

    def begin(self, t: int, context: object) -> int:
        return self.layer

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        return splitee.ANSWER if confidence >= self.threshold else splitee.OFFLOAD

    def learn(self, t: int, feedback: object) -> None:
        pass


def test_a_dominating_policy_is_cheaper_and_no_less_accurate() -> None:
    # always 3: 2.67 λ, all right; split 2: 11/6 + 0.2 · 5 = 2.83 λ, all right; exit 2: 1.83 λ, 8 of 10 right
    policies = [Always(3), splitee.FixedSplit(2, 0.8), splitee.FixedExit(2)]
    assert not [one for one in remarks(scene(policies=policies), 0.8) if "dominates" in one]
    said = line(remarks(scene(offload=2, policies=policies), 0.8), "dominates")  # split 2 now costs 2.23 λ
    assert said.startswith("split 2 dominates always 3: cheaper (2.23 λ)")
    hindsight = [Always(3), splitee.BestFixedSplit(0.8), splitee.FinalExit()]
    assert not [one for one in remarks(scene(offload=2, policies=hindsight), 0.8) if "dominates" in one]


def test_alpha_decides_where_sending_can_raise_no_reward() -> None:
    assert line(remarks(scene(offload=5), 0.8), "μ·o = 0.50 ≥ 1 − 1/K = 0.50")
    assert not [one for one in remarks(scene(offload=4.9), 0.8) if "1/K" in one]


def test_what_the_samples_do_not_resolve() -> None:
    row = {"on_device": True, "sees_final": False, "hindsight": False, "samples": 400}
    cheap = {**row, "policy": "exit 2", "cost": 1.8, "accuracy": 0.8, "accuracy_delta": -0.004}
    sure = {**row, "policy": "cloud-only", "cost": 12.0, "accuracy": 0.804, "accuracy_delta": 0.0}
    rows = [cheap | {"accuracy_delta_low": -0.016}, sure | {"accuracy_delta_low": 0.0}]
    found, unresolved = _cheapest(rows, 1.0)
    assert "within" not in found
    assert "cloud-only, 12.00 λ" in found
    # the interval reaches 1.2 points below the mean, and 0.6 are allowed: four times as many samples
    assert "exit 2 costs 1.80 λ and loses 0.40 points here, but possibly 1.60; about 1,600" in unresolved
    assert _cheapest(rows, 2.0) == [
        "cheapest that loses at most 2 points (lower end of the interval): exit 2, 1.80 λ, -0.40 points."
    ]


def test_max_drop_goes_by_the_lower_end_of_the_interval() -> None:
    results = scene(policies=[splitee.FixedSplit(2, 0.8), splitee.FixedExit(1), splitee.FinalExit()])
    table = results.summary().set_index("policy")
    assert "split 2, 2.83 λ, +0.00 points" in line(remarks(results, 0.8, max_drop=1), "cheapest")
    # exit 1 loses 70 points, and at the lower end more: 75 are not enough for it
    assert table.loc["exit 1", "accuracy_delta"] == pytest.approx(-0.7)
    assert 100 * table.loc["exit 1", "accuracy_delta_low"] < -75
    assert "split 2" in line(remarks(results, 0.8, max_drop=75), "cheapest")
    assert "exit 1" in line(remarks(results, 0.8, max_drop=100), "cheapest")


def test_what_a_person_could_run() -> None:
    policies = [splitee.FinalExit(), splitee.BestFixedSplit(0.8), splitee.CloudOnly(), splitee.FixedExit(2)]
    policies += [splitee.SplitEES(0.8, side_information="published")]
    rows = scene(device_layers=2, policies=policies).rows()
    assert [row["policy"] for row in rows if usable(row)] == ["cloud-only", "exit 2"]


def test_beaten_members_of_the_families_are_left_out_of_the_table() -> None:
    policies = [splitee.CloudOnly(), *(splitee.FixedExit(i) for i in (1, 2, 3)), splitee.FixedSplit(2, 0.8)]
    shown = [row["policy"] for row in worth_showing(scene(policies=policies).rows())]
    # exit 3 costs 2.67 λ and is all right: it beats split 2; exits 1 and 2 are cheaper and worse
    assert shown == ["cloud-only", "exit 1", "exit 2", "exit 3"]


def test_repeats_that_settle_on_different_layers_are_told() -> None:
    class Coin(Always):
        def start(self, problem, rng):
            self.layer = int(rng.integers(1, 3))

    said = line(remarks(scene(policies=[Coin(1)]), 0.8), "settles on different layers")
    assert "of 4 repeats" in said


def test_exploring_without_end_is_told() -> None:
    policies = [splitee.ExploreThenCommit(0.8, samples=samples) for samples in (2, 200)]
    said = [said for said in remarks(scene(policies=policies), 0.8) if "never commits" in said]
    assert len(said) == 1
    assert said[0].startswith("explore-then-commit 200 explores all ")


def test_one_s_own_policy_of_that_name_is_no_explorer() -> None:
    class ExploreThenCommit(Always):
        samples = 1000

    assert not any("never commits" in said for said in remarks(scene(policies=[ExploreThenCommit(1)]), 0.8))
