"""Classes as other files have them: numbers, or names that are numbered alike in all columns."""

import pyarrow as pa
import pytest

from splitee._internal.errors import InputError
from splitee.data.labels import encode_classes


def encode(names=None, **columns):
    found = encode_classes({name: pa.array(cells) for name, cells in columns.items()}, names, 2)
    return {name: numbers.tolist() for name, numbers in found.columns.items()}, found.names


def test_names_are_numbered_in_sorted_order_over_all_columns():
    assert encode(prediction=["no", "yes"], label=["maybe", "no"]) == (
        {"prediction": [1, 2], "label": [0, 1]},
        ("maybe", "no", "yes"),
    )


def test_names_that_are_given_fix_the_numbers():
    assert encode(["yes", "no", "never"], prediction=["no", "yes"])[0] == {"prediction": [1, 0]}
    numbers, names = encode(["2", "1", "0"], prediction=["0", "2"])
    assert (numbers, names) == ({"prediction": [2, 0]}, ("2", "1", "0")), "numbers may be names"


def test_numbers_stay_also_as_floats():
    assert encode(prediction=["0", "2.0", "1"]) == ({"prediction": [0, 2, 1]}, None)
    assert encode(["bad", "good"], label=["1", "0"]) == ({"label": [1, 0]}, ("bad", "good"))


@pytest.mark.parametrize(
    ("columns", "names", "where"),
    [
        ({"prediction": ["0", ""]}, None, "prediction, row 3: ''"),
        ({"prediction": ["0"], "label": ["1", "one"]}, None, "label, row 3: 'one'"),
        ({"prediction": ["good", "fine"]}, ["good", "bad"], "prediction, row 3: 'fine'"),
    ],
)
def test_the_cell_that_is_no_class_is_named(columns, names, where):
    with pytest.raises(InputError, match=where):
        encode(names, **columns)
