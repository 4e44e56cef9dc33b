import pytest

from splitee.calibration import expected_calibration_error
from splitee.errors import InputError


def test_calibration_error_by_hand():
    # bins of width 0.5: (0, 0.5] holds 0.2 and 0.5, (0.5, 1] holds 0.8
    expected = (abs(0 + 1 - 0.7) + abs(0 - 0.8)) / 3
    assert expected_calibration_error([0.2, 0.5, 0.8], [0, 1, 0], bins=2) == pytest.approx(expected)
    assert expected_calibration_error([1.0, 0.0], [1, 0]) == 0


@pytest.mark.parametrize(
    "arguments", [([], []), ([0.5], [1, 0]), ([1.5], [1]), ([float("nan")], [1]), ([0.5], [1], 0)]
)
def test_calibration_error_refuses(arguments):
    with pytest.raises(InputError):
        expected_calibration_error(*arguments)
