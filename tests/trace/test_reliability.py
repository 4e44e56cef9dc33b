import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitee._internal.errors import InputError
from splitee.trace.reliability import expected_calibration_error, reliability


def test_calibration_error_by_hand():
    # bins of width 0.5: (0, 0.5] holds 0.2 and 0.5, (0.5, 1] holds 0.8
    expected = (abs(0 + 1 - 0.7) + abs(0 - 0.8)) / 3
    assert expected_calibration_error([0.2, 0.5, 0.8], [0, 1, 0], bins=2) == pytest.approx(expected)
    assert expected_calibration_error([1.0, 0.0], [1, 0]) == 0


answers = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.5, 1.0]) | st.floats(0, 1), st.booleans()), min_size=1
)


@given(answers, st.integers(1, 20))
def test_bins_and_error_read_plainly(given_, count):
    bins = reliability(*zip(*given_, strict=True), bins=count)
    assert bins.edges == pytest.approx([b / count for b in range(count + 1)])
    error = 0.0
    for b in range(count):
        # (b / count, (b + 1) / count], as the confidence times the number of bins tells
        mine = [(c, y) for c, y in given_ if b < c * count <= b + 1 or (b == 0 and c == 0)]
        assert bins.count[b] == len(mine)
        if mine:
            assert bins.confidence[b] == pytest.approx(sum(c for c, _ in mine) / len(mine))
            assert bins.accuracy[b] == pytest.approx(sum(y for _, y in mine) / len(mine))
            error += abs(sum(y for _, y in mine) - sum(c for c, _ in mine)) / len(given_)
        else:
            assert np.isnan(bins.confidence[b])
            assert np.isnan(bins.accuracy[b])
    found = expected_calibration_error(*zip(*given_, strict=True), bins=count)
    assert found == bins.error == pytest.approx(error, abs=1e-12)


@pytest.mark.parametrize("measure", [expected_calibration_error, reliability])
@pytest.mark.parametrize(
    "arguments", [([], []), ([0.5], [1, 0]), ([1.5], [1]), ([float("nan")], [1]), ([0.5], [1], 0)]
)
def test_calibration_error_refuses(measure, arguments):
    with pytest.raises(InputError):
        measure(*arguments)
