"""When samples arrive (`splitee.system.arrivals`)."""

import numpy as np
import pytest

import splitee
from splitee.system.arrivals import Arrivals


def test_poisson_arrivals_have_their_rate_and_depend_on_the_repeat_only() -> None:
    times = Arrivals.of("20/s").times(20_000, 0, 3, seed=1)
    gaps = np.diff(times, axis=0)
    assert gaps.mean() == pytest.approx(50, rel=0.02)
    assert gaps.std() == pytest.approx(50, rel=0.03)  # exponential: mean and deviation agree
    assert (Arrivals.of("20/s").times(20_000, 2, 3, seed=1)[:, 0] == times[:, 2]).all()


def test_every_so_many_ms_and_given_times() -> None:
    assert Arrivals.of(2.5).times(4, 0, 9, 0)[:, 0].tolist() == [0.0, 2.5, 5.0, 7.5]
    assert Arrivals.of([1, 1, 7]).times(3, 0, 2, 0)[:, 0].tolist() == [1, 1, 7]
    assert Arrivals.of(None).times(3, 0, 2, 0).size == 0


@pytest.mark.parametrize(
    "wrong", ["10", "-1/s", "0/s", "1.2.3/s", "./s", 0, -3, float("nan"), [], [[1]], ["a"], [-1]]
)
def test_bad_arrivals(wrong: object) -> None:
    with pytest.raises(splitee.InputError, match="arrivals"):
        Arrivals.of(wrong)
