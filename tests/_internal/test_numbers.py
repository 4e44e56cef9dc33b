"""Numbers and lists as people write them, for options and grids alike."""

import math
from collections.abc import Callable

import pytest

from splitee._internal import numbers
from splitee._internal.errors import InputError


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (numbers.number, "5", 5.0),
        (numbers.number, " 5/6 ", 5 / 6),
        (numbers.number, "1 / 6", 1 / 6),
        (numbers.number, "0.7", 0.7),
        (numbers.number, "2.5e-3", 0.0025),
        (numbers.number, "half", 0.5),
        (numbers.number, 3, 3.0),
        (numbers.share, "5/6", 5 / 6),
        (numbers.threshold, "Recommended", "recommended"),
        (numbers.threshold, 1, 1.0),
        (numbers.whole, "20", 20),
        (numbers.layer_count, "HALF", "half"),
        (numbers.layer_count, "12", 12),
        (numbers.layer_count, "12/2", 6),
    ],
)
def test_what_is_read(read: Callable[[object], object], text: object, value: object) -> None:
    assert read(text) == value
    assert type(read(text)) is type(value)


@pytest.mark.parametrize(
    "value", ["", "x", "1/0", "1/x", "nan", "inf", "-1", "1e400", "²", True, None, [1], math.nan]
)
def test_what_is_no_number_is_refused(value: object) -> None:
    for read in (numbers.number, numbers.share, numbers.threshold, numbers.whole, numbers.layer_count):
        with pytest.raises(InputError) as refused:
            read(value)
        assert str(refused.value).startswith(f"{value!r} is not ")


def test_limits() -> None:
    for read, value in (
        (numbers.share, 1.5),
        (numbers.threshold, "3/2"),
        (numbers.layer_count, "half a"),
        (numbers.whole, 2.5),
    ):
        with pytest.raises(InputError, match="is not"):
            read(value)
    assert [numbers.layers_held(count, 5) for count in ("half", "all", 3)] == [2, 5, 3]
    assert numbers.layers_held("half", 1) == 1
    with pytest.raises(InputError, match="6 is not from 1 to 5"):
        numbers.layers_held(6, 5)


def test_lists() -> None:
    assert numbers.listed("1, 5/2,half", numbers.number) == (1.0, 2.5, 0.5)
    assert numbers.listed(["1,2", 3], numbers.number) == (1.0, 2.0, 3.0)
    assert numbers.listed(4, numbers.number) == (4.0,)
    with pytest.raises(InputError, match=r"1.0 occurs twice"):
        numbers.listed("1,2,1.0", numbers.number)
    with pytest.raises(InputError, match="the list is empty"):
        numbers.listed([], numbers.number)
    with pytest.raises(InputError, match="'' is not"):
        numbers.listed("1,,2", numbers.number)
