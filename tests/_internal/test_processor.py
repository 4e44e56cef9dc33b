"""Vector instructions, written down: they choose as a plain loop does."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from splitee._internal.jit import compiled
from splitee._internal.processor import EIGHT, aligned, lead, scale
from splitee.policies.bandit import KNOWN, place

FEW = st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 0.1, 0.2, 0.30000000000000004, 1e-300, 2.0])  # many ties


@compiled
def _lead(state, mean, width, known, first, arms, lanes, weight, leader):
    for lane in range(0, lanes, EIGHT):
        lead(state, mean, width, known, first, arms, lanes, lane, weight, leader)


@compiled
def _scale(numbers, begin, factor, added, at, result):
    scale(numbers, begin, factor, added, at, result)


@compiled
def _place(arm, lane, lanes):
    return place(arm, lane, lanes)


@settings(max_examples=100)
@given(st.data(), st.integers(1, 3), st.integers(0, 1), st.integers(2, 15), st.integers(2, 5))
def test_the_leader_is_the_lowest_arm_of_the_greatest_index(data, vectors, first, arms, known):
    lanes = vectors * EIGHT
    state = data.draw(arrays(np.float64, (arms, vectors, known, EIGHT), elements=FEW | st.floats(-1, 1)))
    mean, width = data.draw(st.permutations(range(known)))[:2]
    weight = data.draw(st.floats(0, 3))
    state[:, :, width] = np.abs(state[:, :, width])
    state[~np.isfinite(state)] = -5.0
    leader = np.full(lanes, -1, dtype=np.int64)
    _lead(state.ravel(), mean * EIGHT, width * EIGHT, known, first, arms, lanes, weight, leader)
    means, widths = (state[:, :, each].reshape(arms, lanes) for each in (mean, width))
    index = [
        [means[arm, lane] + weight * widths[arm, lane] for arm in range(first, arms)] for lane in range(lanes)
    ]
    assert leader.tolist() == [first + row.index(max(row)) for row in index]


@settings(max_examples=100)
@given(st.integers(0, 5), st.integers(0, 3), st.integers(0, 2**32 - 1), st.data())
def test_eight_numbers_are_scaled_and_added_to(begin, at, factor, data):
    halves = st.integers(0, 2**32 - 1)
    numbers = data.draw(arrays(np.uint64, 8 * EIGHT, elements=halves))
    added = data.draw(arrays(np.int32, (2, EIGHT), elements=st.integers(0, 2**31 - 1)))
    result = data.draw(st.integers(begin + EIGHT, 7 * EIGHT))
    expected = numbers.tolist()
    expected[result : result + EIGHT] = [
        (number * factor + int(more)) % 2**64
        for number, more in zip(expected[begin : begin + EIGHT], added.ravel()[at : at + EIGHT], strict=True)
    ]
    _scale(numbers, begin, factor, added, at, result)
    assert numbers.tolist() == expected


@given(st.integers(0, 20), st.integers(1, 7), st.data())
def test_a_lane_has_its_place_in_the_state(arm, vectors, data):
    lanes = vectors * EIGHT
    lane = data.draw(st.integers(0, lanes - 1))
    state = np.arange((arm + 1) * vectors * KNOWN * EIGHT).reshape(arm + 1, vectors, KNOWN, EIGHT)
    assert _place(arm, lane, lanes) == state[arm, lane // EIGHT, 0, lane % EIGHT]


@given(st.integers(1, 1000))
def test_zeros_begin_where_a_line_of_the_cache_does(size):
    zeros = aligned(size)
    assert zeros.tolist() == [0.0] * size
    assert zeros.ctypes.data % 64 == 0
