"""UCB-tuned and Thompson sampling equal the specification, decision for decision."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from twins import EXAMPLES, check, replayed

import splitee
from splitee.policies import variance

DELAYS = st.sampled_from([0, 0, 1, 3, 200])


def noise_of(case: Case) -> list[list[float]]:
    """What the policies' own generator of repeat 0 draws."""
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, 0)))
    return rng.standard_normal((len(case.order), len(naive.arms_of(case.world, case.send_input)))).tolist()


@EXAMPLES
@given(cases(worlds(exit_layers=None)), DELAYS)
def test_ucb_tuned(case: Case, delay: int) -> None:
    policy = splitee.UCBTuned(case.threshold, case.send_input)
    rounds = naive.ucb_tuned(case.world, case.order, case.threshold, case.send_input, delay)
    check(replayed(case, policy, delay), rounds, case, send_input=case.send_input)


@EXAMPLES
@given(cases(worlds(exit_layers=None)), DELAYS)
def test_thompson(case: Case, delay: int) -> None:
    policy = splitee.ThompsonSplit(case.threshold, case.send_input)
    noise = noise_of(case)
    rounds = naive.thompson_split(case.world, case.order, case.threshold, noise, case.send_input, delay)
    check(replayed(case, policy, delay), rounds, case, send_input=case.send_input)


@EXAMPLES
@given(cases(), st.sampled_from([splitee.UCBTuned, splitee.ThompsonSplit]), DELAYS)
def test_live_they_decide_as_in_the_replay(case: Case, kind: type, delay: int) -> None:
    object.__setattr__(case.world, "sample_offload", None)  # a live device does not know a sample's cost
    policy = kind(case.threshold, case.send_input)
    compiled, live = replayed(case, policy, delay), replayed(case, policy.live(), delay)
    assert live.split.tolist() == compiled.split.tolist()
    assert live.reward == pytest.approx(compiled.reward, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("chunk", [variance.CHUNK, 97])
def test_variance_decides_in_a_long_stream(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only after some hundred rounds is UCB-tuned's variance below the largest possible."""
    monkeypatch.setattr(variance, "CHUNK", chunk)
    rng = np.random.default_rng(5)
    sure = np.column_stack([rng.uniform(0.5, 1, 800), rng.uniform(0.78, 0.82, 800), np.full(800, 0.81)])
    world = naive.World(
        sure.astype(np.float32).astype(float).tolist(), [[0, 0, 0]] * 800, offload=[2.0] * 3, mu=0.05
    )
    case = Case(world, list(range(800)) * 2, 0.6, 1.0, False, [1] * 1600, 1)
    check(replayed(case, splitee.UCBTuned(0.6)), naive.ucb_tuned(world, case.order, 0.6), case)
    rounds = naive.thompson_split(world, case.order, 0.6, noise_of(case))
    check(replayed(case, splitee.ThompsonSplit(0.6)), rounds, case)


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(splitee.InputError, match="send_input"):
        splitee.UCBTuned(0.7, 1.0)
    with pytest.raises(splitee.InputError, match="between 0 and 1"):
        splitee.UCBTuned(7)
