"""The change test (`splitee.policies.arms.glr`): it equals its twin, is silent, and is quick."""

import naive_arms
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from splitee.policies.arms.glr import begin_glr, push


def alarms(numbers: list[float], delta: float) -> list[int]:
    state = begin_glr(2)
    return [n for n, x in enumerate(numbers) if push(state, 1, x, delta)]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 1e-2, 1e-5]), st.integers(1, 900))
def test_it_equals_its_twin(seed: int, delta: float, length: int) -> None:
    rng = np.random.default_rng(seed)
    means = np.where(np.arange(length) < rng.integers(length), *rng.random(2))
    numbers = np.clip(means + rng.choice([0.0, 0.1, 1.0]) * rng.normal(size=length), 0, 1).tolist()
    twin = naive_arms.Change(delta)
    assert alarms(numbers, delta) == [n for n, x in enumerate(numbers) if twin.push(x)]


def test_it_is_silent_while_nothing_changes_and_quick_afterwards() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert not alarms((rng.random(20_000) < 0.7).astype(float).tolist(), 1e-5)
        changing = np.concatenate([rng.random(5000) < 0.7, rng.random(2000) < 0.5]).astype(float)
        assert 5000 <= alarms(changing.tolist(), 1e-5)[0] < 5500
