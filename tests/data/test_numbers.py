"""Numbers as spreadsheets and other countries write them."""

import numpy as np
import pyarrow as pa
import pytest

from splitee._internal.errors import InputError
from splitee.data.numbers import NotANumberError, parse_numbers


def parse(*cells, kind=np.float32, decimal=None):
    return parse_numbers(pa.array(cells, pa.string()), kind, decimal)[0].tolist()


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (("0.5", "1", "1e-1"), [0.5, 1, np.float32(0.1)]),
        (("0,5", "1", "0,125"), [0.5, 1, 0.125]),
        (("50 %", "12.5%"), [0.5, 0.125]),
        (("50,0 %", "12,5%"), [0.5, 0.125]),
        ((",5", "-0,5"), [0.5, -0.5]),
    ],
)
def test_decimals(cells, numbers):
    assert parse(*cells) == numbers


def test_whole_numbers_may_be_floats():
    assert parse("1.0", "2", "3e0", kind=np.int64) == [1, 2, 3]
    assert parse(str(2**60), kind=np.int64) == [2**60]
    with pytest.raises(NotANumberError) as caught:
        parse("1", "1.5", kind=np.int64)
    assert caught.value.row == 1


def test_commas_that_may_be_thousands_are_asked_for():
    with pytest.raises(InputError, match="decimals or thousands: give --decimal ,"):
        parse("1,234", "12")
    assert parse("1,234", "12", decimal=",") == [np.float32(1.234), 12]
    for cells in (("0,5", "0.5"), ("1.234,5",), ("50 %", "0.5"), ("x",), ("1", "")):
        with pytest.raises(NotANumberError):
            parse(*cells)
    with pytest.raises(NotANumberError):
        parse("0,5", decimal=".")
