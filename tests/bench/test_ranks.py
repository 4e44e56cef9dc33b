"""Ranks: by hand, under permutation, and how often equal policies are found different."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from splitee.bench.ranks import FEWEST, ranked


def test_clear_differences_are_ranks_without_width() -> None:
    rng = np.random.default_rng(1)
    found = ranked(rng.normal(size=(20, 4), scale=0.1) + np.array([3.0, 1.0, 2.0, 0.0]))
    assert found.rank.tolist() == found.best.tolist() == found.worst.tolist() == [4, 2, 3, 1]
    assert (found.low <= found.score).all()
    assert (found.score <= found.high).all()


def test_equal_policies_share_a_rank() -> None:
    scores = np.repeat(np.random.default_rng(2).normal(size=(12, 1)), 3, axis=1)
    found = ranked(scores)
    assert found.rank.tolist() == [1, 1, 1]
    assert found.worst.tolist() == [3, 3, 3]


def test_few_traces_tell_nothing_apart() -> None:
    found = ranked(np.array([[0.0, 9.0]] * (FEWEST - 1)))
    assert found.rank.tolist() == [1, 2]
    assert (found.best.tolist(), found.worst.tolist()) == ([1, 1], [2, 2])
    assert np.isnan(found.low).all()


@given(arrays(np.float64, (8, 5), elements=st.floats(-100, 100, width=32)), st.permutations(range(5)))
def test_names_do_not_matter(scores: np.ndarray, order: list[int]) -> None:
    one, other = ranked(scores), ranked(scores[:, order])
    assert (one.rank[order] == other.rank).all()
    assert (one.best[order] == other.best).all()
    assert (one.worst[order] == other.worst).all()
    assert (one.best <= one.rank).all()
    assert (one.rank <= one.worst).all()


@pytest.mark.slow
def test_equal_policies_are_told_apart_in_five_percent_of_suites() -> None:
    """25 traces, 8 policies of equal mean whose scores on a trace are correlated."""
    rng, wrong, suites = np.random.default_rng(3), 0, 400
    for _ in range(suites):
        scores = rng.normal(size=(25, 1)) * 5 + rng.normal(size=(25, 8)) * rng.uniform(0.2, 2, 8)
        found = ranked(scores)
        wrong += bool((found.best > 1).any())
    assert wrong / suites < 0.05 + 3 * np.sqrt(0.05 * 0.95 / suites)
