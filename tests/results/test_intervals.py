import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from splitee.results.intervals import bootstrap_means, data_interval, run_interval


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30))
def test_the_run_interval_is_students(values: list[float]) -> None:
    low, high = run_interval(np.array(values))
    if np.ptp(values) > 1e-3:
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_one_repeat_has_no_run_interval() -> None:
    assert np.isnan(run_interval(np.array([1.0]))).all()


def test_the_data_interval_is_scipys_bootstrap() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(300) < 0.8
    (means,) = bootstrap_means([values[:, None].astype(float)], np.ones(300), resamples=4000)
    ours = data_interval(means[:, 0])
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.integers(1, 3), st.integers(0, 10))
def test_resamples_are_paired_and_weigh_by_how_often_a_sample_was_shown(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sums, shown = rng.random((n, k)), rng.integers(0, 4, n).astype(float)
    shown[:2] = 2
    one, other = bootstrap_means([sums, sums[:, :1] + shown[:, None]], shown, 50, seed)
    assert other[:, 0] - one[:, 0] == pytest.approx(np.ones(50))  # the same resamples: an exact difference
    changed = sums.copy()
    changed[shown == 0] = 1e6  # samples that were never shown count for nothing
    (again,) = bootstrap_means([changed], shown, 50, seed)
    np.testing.assert_array_equal(again, one)


def test_neither_chunks_nor_other_policies_change_a_bit() -> None:
    values = np.random.default_rng(0).random((5300, 1))
    (whole,) = bootstrap_means([values], np.ones(5300), resamples=900)  # several chunks, the last one shorter
    (fewer,) = bootstrap_means([values], np.ones(5300), resamples=100)
    np.testing.assert_array_equal(whole[:100], fewer)
    wider = np.column_stack([np.random.default_rng(1).random((5300, 7)), values])
    beside = bootstrap_means([wider], np.ones(5300), resamples=100)[0]
    np.testing.assert_array_equal(beside[:, -1:], fewer)
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(2,)))
    drawn = [values[rng.integers(5300, size=5300, dtype=np.int32), 0].mean() for _ in range(100)]
    np.testing.assert_allclose(fewer[:, 0], drawn, rtol=1e-13)


def test_columns_that_are_equal_are_told_apart_from_those_that_are_not() -> None:
    """They are resampled once; whatever their type, and whichever policy they are of."""
    right = np.random.default_rng(0).random((50, 3)) < 0.5
    measures = [right, right[:, ::-1].astype(float), np.ones((50, 2)), right.astype(int)]
    together = bootstrap_means(iter(measures), np.ones(50), resamples=20)
    for measure, means in zip(measures, together, strict=True):
        (alone,) = bootstrap_means([measure.astype(float)], np.ones(50), resamples=20)
        np.testing.assert_array_equal(means, alone)
    assert (together[0] == together[1][:, ::-1]).all()
    assert (together[2] == 1).all()


def test_one_sample_has_no_data_interval() -> None:
    (means,) = bootstrap_means([np.ones((3, 2))], np.array([0.0, 5.0, 0.0]), resamples=10)
    assert np.isnan(means).all()
    assert np.isnan(data_interval(means[:, 0])).all()
