"""Vector instructions, written down: they choose as a plain loop does."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from splitee.compiled import compiled
from splitee.processor import EIGHT, lead

FEW = st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 0.1, 0.2, 0.30000000000000004, 1e-300, 2.0])  # many ties


@compiled
def _lead(state, mean, width, stride, first, arms, lanes, weight, leader):
    lead(state, mean, width, stride, first, arms, lanes, weight, leader)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(0, 1), st.integers(2, 15), st.integers(2, 5))
def test_the_leader_is_the_lowest_arm_of_the_greatest_index(data, vectors, first, arms, known):
    lanes = vectors * EIGHT
    state = data.draw(arrays(np.float64, (arms, known, lanes), elements=FEW | st.floats(-1, 1)))
    mean, width = data.draw(st.permutations(range(known)))[:2]
    weight = data.draw(st.floats(0, 3))
    state[:, width] = np.abs(state[:, width])
    state[~np.isfinite(state)] = -5.0
    leader = np.full(lanes, -1, dtype=np.int64)
    _lead(state.ravel(), mean * lanes, width * lanes, known * lanes, first, arms, lanes, weight, leader)
    index = [
        [state[arm, mean, lane] + weight * state[arm, width, lane] for arm in range(first, arms)]
        for lane in range(lanes)
    ]
    assert leader.tolist() == [first + row.index(max(row)) for row in index]
