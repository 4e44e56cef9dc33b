"""The specification pinned: examples small enough to work out on paper, then what must hold everywhere.

The hand-computed worlds use binary fractions (λ₁ = 3/4, λ₂ = 1/4, μ = 1/16, confidences in sixteenths), so
that every number below is exact and `==` is the right comparison.
"""

import math
from dataclasses import replace

import naive
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import Round, World
from strategies import Case, cases, float32, held, unroll, worlds

# γ with one exit evaluated: 1, 1.75, 2.5; with every exit: 1, 2, 3. o = 2 from any layer, 4 for the input.
#   μ·γ: 0.0625, 0.109375, 0.15625 | 0.0625, 0.125, 0.1875;  μ·o = 0.125, 0.25
ALPHA = 0.75


def world(confidence: list[list[float]], **kwargs: object) -> World:
    layers = len(confidence[0])
    given = {
        "prediction": [list(range(layers)) for _ in confidence],  # exit i answers class i - 1
        "offload": [2.0] * layers,
        "offload_input": 4.0,
        "layer": 0.75,
        "exit": 0.25,
        "mu": 1 / 16,
    }
    return World(confidence=confidence, **(given | kwargs))  # type: ignore[arg-type]


def splits(rounds: list[Round]) -> list[int]:
    return [r.split for r in rounds]


# -- costs ---------------------------------------------------------------------------------------------------


def test_device_cost():
    w = world([[0.5, 0.75, 1.0]])
    assert [naive.device_cost(w, i, False) for i in range(4)] == [0.0, 1.0, 1.75, 2.5]
    assert [naive.device_cost(w, i, True) for i in range(4)] == [0.0, 1.0, 2.0, 3.0]


def test_device_cost_is_a_product():
    # (0.1 + 0.7)·i and 0.1·i + 0.7·i round differently for some i
    w = world([[0.5] * 8], layer=0.1, exit=0.7)
    assert [naive.device_cost(w, i, True) for i in range(1, 9)] == [(0.1 + 0.7) * i for i in range(1, 9)]
    assert [naive.device_cost(w, i, True) for i in range(1, 9)] != [0.1 * i + 0.7 * i for i in range(1, 9)]
    assert [naive.device_cost(w, i, False) for i in range(1, 9)] == [0.1 * i + 0.7 for i in range(1, 9)]


def test_device_cost_of_exits_at_some_layers():
    w = world([[0.5, 0.75, 1.0]], exit_layers=[2, 4, 6])
    # 0.75·2 + 0.25, 0.75·4 + 0.25, 0.75·6 + 0.25; then 0.25·1, 0.25·2, 0.25·3 for the exits
    assert [naive.device_cost(w, i, False) for i in (1, 2, 3)] == [1.75, 3.25, 4.75]
    assert [naive.device_cost(w, i, True) for i in (1, 2, 3)] == [1.75, 3.5, 5.25]
    assert naive.final_exit(w, [0])[0].cost == 5.25
    # at every layer it is the default: (λ₁ + λ₂)·i, not λ₁·i + λ₂·i
    w = world([[0.5] * 8], layer=0.1, exit=0.7)
    same = replace(w, exit_layers=list(range(1, 9)))
    for every in (False, True):
        for i in range(9):
            assert naive.device_cost(same, i, every) == naive.device_cost(w, i, every)


def test_offload_price():
    w = world([[0.5, 1.0]] * 2, offload=[3.0, 1.0], sample_offload=[0.0, 0.5])
    assert [naive.offload_price(w, 0, i) for i in (0, 1, 2)] == [4.0, 3.0, 1.0]
    assert [naive.offload_price(w, 1, i) for i in (0, 1, 2)] == [4.5, 3.5, 1.5]
    with pytest.raises(ValueError, match="input"):
        naive.offload_price(replace(w, offload_input=None), 0, 0)


# -- one round -----------------------------------------------------------------------------------------------


def test_one_sample_split_everywhere():
    w = world([[0.5, 0.75, 0.9375]], label=[2])
    # at 0: 0.9375 − 4/16;  at 1 offloads: 0.9375 − (1 + 2)/16;  at 2, C = α exits: 0.75 − 1.75/16
    assert [naive.split_at(w, 0, i, ALPHA, False) for i in range(4)] == [
        Round(0, True, 2, 4.0, 0.6875, True),
        Round(1, True, 2, 3.0, 0.75, True),
        Round(2, False, 1, 1.75, 0.640625, False),
        Round(3, False, 2, 2.5, 0.78125, True),
    ]
    assert naive.utility(w, naive.split_at(w, 0, 1, ALPHA, False)) == 1 - 3 / 16
    assert naive.utility(w, naive.split_at(w, 0, 2, ALPHA, False)) == 0 - 1.75 / 16
    # every exit evaluated: γ_2 = 2
    assert naive.split_at(w, 0, 2, ALPHA, True) == Round(2, False, 1, 2.0, 0.625, False)


def test_threshold_is_rounded_to_float32_as_confidences_are():
    c = float32(0.7)  # 0.699999988…, which float32 cannot tell from 0.7
    assert c < 0.7
    assert naive.exits(world([[c, 1.0]]), 0, 1, 0.7)
    assert naive.exits(world([[c, 1.0]]), 0, 1, c)
    assert not naive.exits(world([[c, 1.0]]), 0, 1, math.nextafter(float32(0.70000005), 1.0))


def test_the_last_exit_answers_and_the_last_on_the_device_need_not():
    w = world([[0.5, 0.5, 0.5]], device_layers=2)
    assert naive.arms_of(w) == [1, 2]
    assert naive.split_at(w, 0, 2, ALPHA, False).offloaded
    assert not naive.split_at(w, 0, 3, ALPHA, False).offloaded


def test_another_model_in_the_cloud():
    w = world([[0.5, 0.625]], cloud_confidence=[1.0], cloud_prediction=[7], label=[7])
    assert naive.split_at(w, 0, 1, ALPHA, False) == Round(1, True, 7, 3.0, 0.8125, True)  # 1 − 3/16
    assert naive.split_at(w, 0, 2, ALPHA, False) == Round(
        2, False, 1, 1.75, 0.515625, False
    )  # 0.625 − 1.75/16
    assert naive.cloud_only(w, [0]) == [Round(0, True, 7, 4.0, 0.75, True)]  # 1 − 4/16
    assert naive.final_exit(w, [0]) == [Round(2, False, 1, 2.0, 0.5, False)]  # 0.625 − 2/16


def test_baselines():
    w = world([[0.5, 0.75, 0.9375], [1.0, 0.5, 0.5]], sample_offload=[0.0, 1.0])
    assert naive.fixed_exit(w, [1, 0], 1) == [
        Round(1, False, 0, 1.0, 0.9375, None),
        Round(1, False, 0, 1.0, 0.4375, None),  # unsure, and answers all the same
    ]
    assert naive.final_exit(w, [0]) == [Round(3, False, 2, 3.0, 0.75, None)]  # 0.9375 − 3/16, not 2.5/16
    assert naive.fixed_exit(w, [0], 3) == [Round(3, False, 2, 2.5, 0.78125, None)]
    assert naive.cloud_only(w, [0, 1]) == [
        Round(0, True, 2, 4.0, 0.6875, None),
        Round(0, True, 2, 5.0, 0.1875, None),  # 0.5 − 5/16
    ]
    assert naive.random_split(w, [0, 0, 1], [3, 1, 2], ALPHA) == [
        naive.split_at(w, 0, 3, ALPHA, False),
        naive.split_at(w, 0, 1, ALPHA, False),
        Round(2, True, 2, 4.75, 0.203125, None),  # γ_2 + o = 1.75 + (2 + 1); 0.5 − 4.75/16
    ]


# -- the learners --------------------------------------------------------------------------------------------


def test_every_arm_once_then_the_best_mean():
    # β = 0. On sample 0, r(1) = 1 − 1/16 is the best. On sample 1, C_1 < α: r(1) = 0.5 − 3/16.
    w = world([[1.0, 1.0, 1.0], [0.25, 0.25, 0.5]])
    # t = 1, 2, 3: arms 1, 2, 3.  Q = 0.9375, 0.890625, 0.84375 -> 1
    # t = 4 on sample 1: Q(1) = (0.9375 + 0.3125)/2 = 0.625 -> 2
    # t = 5 on sample 1: r(2) = 0.5 − (1.75 + 2)/16 = 0.265625, Q(2) = 0.578125 -> 3 = 0.84375
    # t = 6 on sample 1: r(3) = 0.5 − 2.5/16 = 0.34375, Q(3) = 0.59375 -> 1 = 0.625
    assert splits(naive.split_ee(w, [0, 0, 0, 1, 1, 1, 0], ALPHA, exploration=0.0)) == [1, 2, 3, 1, 2, 3, 1]


def test_input_is_the_first_arm():
    w = world([[1.0, 1.0]], offload_input=0.5)  # r(0) = 1 − 0.5/16 beats r(1) = 1 − 1/16
    assert splits(naive.split_ee(w, [0] * 5, ALPHA, 0.0, send_input=True)) == [0, 1, 2, 0, 0]
    assert splits(naive.split_ee_s(w, [0] * 5, ALPHA, 0.0, send_input=True)) == [0, 1, 2, 0, 0]
    assert naive.split_ee(w, [0], ALPHA, send_input=True) == [Round(0, True, 1, 0.5, 0.96875, None)]
    assert splits(naive.split_ee(w, [0] * 4, ALPHA, 0.0)) == [1, 2, 1, 1]


def test_ties_go_to_the_lowest_arm():
    w = world([[0.75, 0.75, 0.75]], mu=0.0)  # every reward is 0.75
    assert splits(naive.split_ee(w, [0] * 6, ALPHA, 0.0)) == [1, 2, 3, 1, 1, 1]
    # β = 1: the arm played least, so they take turns
    assert splits(naive.split_ee(w, [0] * 9, ALPHA, 1.0)) == [1, 2, 3, 1, 2, 3, 1, 2, 3]
    # SplitEE-S learns from the first round on: N = 3, 2, 1 after three rounds, and playing 3 counts for all
    assert splits(naive.split_ee_s(w, [0] * 6, ALPHA, 1.0)) == [1, 2, 3, 3, 3, 3]
    assert splits(naive.best_fixed_split(w, [0] * 2, ALPHA)) == [1, 1]
    assert splits(naive.per_sample_oracle(w, [0] * 2, send_input=False)) == [1, 1]
    assert splits(naive.per_sample_oracle(w, [0] * 2)) == [0, 0]


def test_the_logarithm_is_of_the_position_itself():
    # μ = 0: r(1) = 1, r(2) = 0.5 always. Index of 1 against 2, w = sqrt(ln t):
    #   t = 3, N = 1, 1: arm 1.     t = 4, N = 2, 1: 1 + 1.1774·0.7071 = 1.833 > 0.5 + 1.1774 = 1.677: arm 1
    #   t = 5, N = 3, 1: 1 + 1.2686·0.5774 = 1.732 < 0.5 + 1.2686 = 1.769: arm 2    (with ln 4: 1.680 > 1.677)
    #   t = 6 … 9: arm 1
    #   t = 10, N = 7, 2: 1 + 1.5174·0.3780 = 1.57353 > 0.5 + 1.5174·0.7071 = 1.57298: arm 1
    #           (with ln 11: 1.585 < 1.595)
    #   t = 11, N = 8, 2: 1 + 1.5485·0.3536 = 1.547 < 0.5 + 1.5485·0.7071 = 1.595: arm 2
    w = world([[1.0, 0.5]], mu=0.0)
    assert splits(naive.split_ee(w, [0] * 11, ALPHA, 1.0)) == [1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2]


def test_a_stream_may_end_before_every_arm_was_played():
    w = world([[0.5, 0.75, 1.0]])
    for learner in (naive.split_ee, naive.split_ee_s):
        assert splits(learner(w, [0, 0], ALPHA)) == [1, 2]
        assert learner(w, [], ALPHA) == []


def test_splitee_s_explores_less_of_what_it_sees_anyway():
    # as above, but N(1) = t − 1: index of 1 against 2
    #   t = 3, N = 2, 1: 1 + 1.0481·0.7071 = 1.741 > 0.5 + 1.0481 = 1.548
    #   t = 4, N = 3, 1: 1 + 1.1774·0.5774 = 1.680 > 0.5 + 1.1774 = 1.677
    #   t = 5, N = 4, 1: 1 + 1.2686·0.5 = 1.634 < 0.5 + 1.2686 = 1.769: arm 2
    #   t = 6, N = 5, 2: 1 + 1.3386·0.4472 = 1.599 > 0.5 + 1.3386·0.7071 = 1.447
    w = world([[1.0, 0.5]], mu=0.0)
    assert splits(naive.split_ee_s(w, [0] * 6, ALPHA, 1.0)) == [1, 2, 1, 1, 2, 1]


def test_splitee_pays_for_one_exit():
    w = world([[0.5, 0.75, 0.9375]])
    assert naive.split_ee(w, [0, 0, 0], ALPHA) == [naive.split_at(w, 0, i, ALPHA, False) for i in (1, 2, 3)]


def test_splitee_s_pays_for_every_exit():
    w = world([[0.5, 0.75, 0.9375]])
    assert naive.split_ee_s(w, [0, 0, 0], ALPHA) == [
        Round(1, True, 2, 3.0, 0.75, None),
        Round(2, False, 1, 2.0, 0.625, None),
        Round(3, False, 2, 3.0, 0.75, None),
    ]


@pytest.mark.parametrize("kind", ["causal", "published", "skip"])
def test_side_information_that_was_observed(kind: str):
    # offloaded at 2: r(1) = 1 − (1 + 2)/16, r(2) = 1 − (2 + 2)/16
    w = world([[0.5, 0.625, 1.0]])
    assert naive.side_rewards(w, 0, 1, ALPHA, kind) == [(1, 0.8125)]
    assert naive.side_rewards(w, 0, 2, ALPHA, kind) == [(1, 0.8125), (2, 0.75)]
    # ran to L = 3, so C_L is known: r(1) = 0.625 − 3/16, r(2) = 0.875 − 2/16, r(3) = 0.625 − 3/16
    w = world([[0.5, 0.875, 0.625]])
    assert naive.side_rewards(w, 0, 3, ALPHA, kind) == [(1, 0.4375), (2, 0.75), (3, 0.4375)]
    # the input was sent: nothing was evaluated. 0.625 − 4/16
    assert naive.side_rewards(w, 0, 0, ALPHA, kind) == [(0, 0.375)]


def test_side_information_that_was_not_observed():
    # exits at 2, where exit 1 would have offloaded: causal 0.875 − 3/16, published 0.625 − 3/16
    w = world([[0.5, 0.875, 0.625]])
    assert naive.side_rewards(w, 0, 2, ALPHA, "causal") == [(1, 0.6875), (2, 0.75)]
    assert naive.side_rewards(w, 0, 2, ALPHA, "published") == [(1, 0.4375), (2, 0.75)]
    assert naive.side_rewards(w, 0, 2, ALPHA, "skip") == [(2, 0.75)]
    # a lower exit that is sure is credited with its own confidence: 0.875 − 1/16
    w = world([[0.875, 0.5, 0.9375, 0.625]])
    assert naive.side_rewards(w, 0, 3, ALPHA, "skip") == [(1, 0.8125), (3, 0.75)]


def test_side_information_with_another_model_in_the_cloud():
    w = world([[0.5, 0.875, 0.625]], cloud_confidence=[1.0], cloud_prediction=[0])
    # offloaded at 1, and the cloud said 1: 1 − 3/16
    for kind in ("causal", "published", "skip"):
        assert naive.side_rewards(w, 0, 1, ALPHA, kind) == [(1, 0.8125)]
    # exits at 2: causal 0.875 − 3/16
    assert naive.side_rewards(w, 0, 2, ALPHA, "causal") == [(1, 0.6875), (2, 0.75)]
    assert naive.side_rewards(w, 0, 2, ALPHA, "published") == [(1, 0.8125), (2, 0.75)]
    # exits at L: the cloud was not asked, C_3 = 0.625 is the deepest confidence seen
    assert naive.side_rewards(w, 0, 3, ALPHA, "causal") == [(1, 0.4375), (2, 0.75), (3, 0.4375)]
    assert naive.side_rewards(w, 0, 3, ALPHA, "published") == [(1, 0.8125), (2, 0.75), (3, 0.4375)]
    assert naive.side_rewards(w, 0, 3, ALPHA, "skip") == [(2, 0.75), (3, 0.4375)]


def test_side_information_decides():
    # β = 0; C = 0.5, 0.875, x. Arm 1 always offloads, arm 2 always exits; x is seen at t = 1, 3, not at 2.
    #   Q(1) averages x₁ − 3/16, x₃ − 3/16 and, from t = 2, causal 0.6875, published x₂ − 3/16, skip nothing
    #   Q(2) = 0.75, Q(3) = x₃ − 3/16
    def fourth(kind: str, *x: float) -> int:
        w = world([[0.5, 0.875, xt] for xt in x])
        return splits(naive.split_ee_s(w, [0, 1, 2, 0], ALPHA, 0.0, kind))[3]

    # (0.8125 + 0.8125 + 0.6875)/3 = 0.771, (0.8125 + 0.6875 + 0.6875)/3 = 0.729, 1.5/2 = 0.75 = Q(2);
    # Q(3) = 0.6875
    assert fourth("published", 1.0, 1.0, 0.875) == 1
    assert fourth("causal", 1.0, 1.0, 0.875) == 2
    assert fourth("skip", 1.0, 1.0, 0.875) == 1
    # what nobody saw falls from 1 to 0.5: (0.8125 + 0.3125 + 0.6875)/3 = 0.604
    assert fourth("published", 1.0, 0.5, 0.875) == 2
    assert fourth("causal", 1.0, 0.5, 0.875) == 2
    assert fourth("skip", 1.0, 0.5, 0.875) == 1


# -- hindsight -----------------------------------------------------------------------------------------------

# r(1) = 1 − 1/16 = 0.9375 and 1 − 3/16 = 0.8125: mean 0.875.
# r(2), one exit: 1 − 1.75/16 = 0.890625 on both; every exit: 1 − 2/16 = 0.875 on both.
TWO = [[1.0, 1.0], [0.5, 1.0]]


def test_best_fixed_split_and_oracle():
    w = world(TWO)
    assert naive.mean_reward(w, [0, 1], 1, ALPHA, False) == 0.875
    assert splits(naive.best_fixed_split(w, [0, 1], ALPHA)) == [2, 2]
    assert (
        splits(naive.best_fixed_split(w, [0, 0, 0, 1], ALPHA)) == [1] * 4
    )  # (3·0.9375 + 0.8125)/4 = 0.90625
    assert splits(naive.per_sample_oracle(w, [1, 0], send_input=False)) == [2, 1]
    assert splits(naive.best_fixed_split(replace(w, device_layers=1), [0, 1], ALPHA)) == [1, 1]


def test_regret():
    w, order = world(TWO, offload_input=1.0), [0, 1]
    r = naive.regret
    played = naive.split_ee(w, order, ALPHA)  # arms 1, 2; r* = 0.890625
    assert r(played, w, order, "common", ALPHA) == [0.015625, 0.015625]
    assert r(played, w, order, "own", ALPHA) == [0.015625, 0.015625]
    played = naive.split_ee_s(w, order, ALPHA)  # arms 1, 2, both worth 0.875 at its own price
    assert r(played, w, order, "common", ALPHA, every_exit=True) == [0.015625, 0.03125]
    assert r(played, w, order, "own", ALPHA, every_exit=True) == [0.0, 0.0]
    # sending the input: 1 − 1/16 = 0.9375, more than any split
    played = naive.split_ee(w, order, ALPHA, send_input=True)  # arms 0, 1
    assert r(played, w, order, "common", ALPHA, send_input=True) == [-0.046875, -0.03125]
    assert r(played, w, order, "own", ALPHA, send_input=True) == [0.0, 0.0625]
    # without arms: its own mean reward
    assert r(naive.final_exit(w, order), w, order, "common", ALPHA, has_arms=False) == [0.015625, 0.03125]
    assert r(naive.cloud_only(w, order), w, order, "common", ALPHA, has_arms=False) == [-0.046875, -0.09375]
    played = naive.fixed_exit(w, order, 1)  # (0.9375 + 0.4375)/2 = 0.6875
    assert r(played, w, order, "common", ALPHA, has_arms=False) == [0.203125, 0.40625]
    with pytest.raises(ValueError, match="regret"):
        r(played, w, order, "other", ALPHA)


# -- what must hold everywhere -------------------------------------------------------------------------------

few = settings(max_examples=40, deadline=None)
small = cases(worlds(max_layers=5, max_samples=8))


def learners(case: Case) -> dict[str, list[Round]]:
    """What every learner does in this case."""
    w, order, a, b, send = case.world, case.order, case.threshold, case.exploration, case.send_input
    return {"split_ee": naive.split_ee(w, order, a, b, send)} | {
        kind: naive.split_ee_s(w, order, a, b, kind, send) for kind in ("causal", "published", "skip")
    }


@few
@given(
    case=cases(worlds(max_layers=5, max_samples=8, labels=True)), shuffle=st.randoms(use_true_random=False)
)
def test_labels_decide_nothing(case: Case, shuffle):
    label = list(case.world.label or [])
    shuffle.shuffle(label)
    other = replace(case, world=replace(case.world, label=label))
    for a, b in zip(learners(case).values(), learners(other).values(), strict=True):
        assert [replace(r, right=None) for r in a] == [replace(r, right=None) for r in b]


@few
@given(
    case=small, rng=st.randoms(use_true_random=False), kind=st.sampled_from(["split_ee", "causal", "skip"])
)
def test_what_was_not_observed_decides_nothing(case: Case, rng, kind: str):
    case = unroll(case)
    w = case.world
    before = learners(case)[kind]
    confidence = [list(row) for row in w.confidence]
    cloud = None if w.cloud_confidence is None else list(w.cloud_confidence)
    for s, r in enumerate(before):
        seen = {r.split} if kind == "split_ee" else set(range(1, r.split + 1))
        if r.offloaded and cloud is None:
            seen.add(w.layers)
        for i in set(range(1, w.layers + 1)) - seen:
            confidence[s][i - 1] = rng.choice([0.25, 0.5, 0.75, 1.0])
        if cloud is not None and not r.offloaded:
            cloud[s] = rng.choice([0.25, 0.5, 0.75, 1.0])
    changed = replace(case, world=replace(w, confidence=confidence, cloud_confidence=cloud))
    assert learners(changed)[kind] == before


def test_published_reads_what_was_not_observed():
    low, high = (world([[0.5, 0.875, 1.0], [0.5, 0.875, x], [0.5, 0.875, 0.875]]) for x in (0.5, 1.0))
    before = naive.split_ee_s(low, [0, 1, 2, 0], ALPHA, 0.0, "published")
    after = naive.split_ee_s(high, [0, 1, 2, 0], ALPHA, 0.0, "published")
    assert before[:3] == after[:3]
    assert not before[1].offloaded  # sample 1, the one that changed, exited on the device
    assert before[3] != after[3]


@few
@given(case=small, cut=st.integers(0, 20))
def test_the_future_decides_nothing(case: Case, cut: int):
    short = replace(case, order=case.order[:cut])
    for whole, part in zip(learners(case).values(), learners(short).values(), strict=True):
        assert whole[:cut] == part


@few
@given(case=small)
def test_side_information_agrees_where_every_exit_is_sure(case: Case):
    played = learners(replace(case, threshold=0.0, send_input=False))  # arm 0 is never sure
    assert played["causal"] == played["published"] == played["skip"]


@few
@given(case=small)
def test_rounds_are_priced_alike(case: Case):
    w = case.world
    for name, rounds in learners(case).items():
        assert (
            splits(rounds)[: len(naive.arms_of(w, case.send_input))]
            == naive.arms_of(w, case.send_input)[: len(rounds)]
        )
        for s, r in zip(case.order, rounds, strict=True):
            confidence = naive.cloud_confidence(w, s) if r.offloaded else w.confidence[s][r.split - 1]
            assert r.reward == confidence - w.mu * r.cost
            assert r.split <= held(w)
            assert r.cost >= naive.device_cost(w, r.split, name != "split_ee")


@few
@given(case=small)
def test_bounds(case: Case):
    w, order, a = case.world, case.order, case.threshold
    oracle = naive.per_sample_oracle(w, order)
    best = naive.best_fixed_split(w, order, a)
    fixed = naive.fixed_split(w, order, case.layer, a)
    drawn = naive.random_split(w, order, case.drawn, a)
    for o, b, f, d in zip(oracle, best, fixed, drawn, strict=True):
        assert o.reward >= max(b.reward, f.reward, d.reward)
    assert naive.regret(best, w, order, "common", a) == [0.0] * len(order)
    for kind in ("common", "own"):
        regret = naive.regret(drawn, w, order, kind, a)
        assert regret == sorted(regret)
        assert regret[0] >= 0.0
    # the mean regret at the end of a fixed split is what it earned less than the best
    gap = math.fsum(b.reward - f.reward for b, f in zip(best, fixed, strict=True))
    assert naive.regret(fixed, w, order, "common", a)[-1] == pytest.approx(gap, abs=1e-9)


@few
@given(case=cases(worlds(max_layers=5, max_samples=8, exit_layers=True)))
def test_every_exit_costs_at_least_as_much_as_one(case: Case):
    w = case.world
    for i in range(1, w.layers + 1):
        assert naive.device_cost(w, i, True) >= naive.device_cost(w, i, False) - 1e-12
