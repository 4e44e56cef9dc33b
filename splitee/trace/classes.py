"""Classes as other people's files have them: numbers, or names to be numbered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError

CLASS_COLUMNS = ("prediction", "label", "cloud_prediction")


def encode_classes(
    cells: Mapping[str, Any], names: Sequence[str] | None, first_row: int
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...] | None]:
    """Number the classes alike in all columns.

    Parameters
    ----------
    cells : mapping of str to pyarrow array of strings
        The columns that hold classes, by the name that errors shall use.
    names : sequence of str, optional
        The names of classes 0, 1, ...; without them, names are numbered in sorted order.
    first_row : int
        What errors call the first row.

    Returns
    -------
    tuple
        The numbers by column, and the names, or None where the file has numbers and none were given.

    Raises
    ------
    InputError
        Where a cell is empty, is none of the given names, or is a name among numbers.
    """
    encoded = {column: values.dictionary_encode() for column, values in cells.items()}
    texts = {text for values in encoded.values() for text in values.dictionary.to_pylist()}
    numbers = {text: number for text in texts if (number := _whole(text)) is not None}

    def refuse(bad: set[str], why: str) -> None:
        for column, values in cells.items():
            for row, cell in enumerate(values.to_pylist()):
                if cell in bad:
                    raise InputError(f"{column}, row {row + first_row}: {cell!r} {why}")

    refuse(texts & {""}, "is empty: every sample needs a class there, or none")
    if names is not None and texts <= set(names):
        code = {name: number for number, name in enumerate(names)}
    elif len(numbers) == len(texts):  # where names are given too, they are the numbers' names
        code = numbers
    elif names is not None:
        refuse(texts - set(names), f"is none of the class names {', '.join(names)}")
    elif numbers:
        refuse(texts - set(numbers), "is no class number, as others are")
    else:
        names = sorted(texts)
        code = {name: number for number, name in enumerate(names)}
    found = {
        column: np.array([code[text] for text in values.dictionary.to_pylist()], dtype=np.int64)[
            values.indices.to_numpy()
        ]
        for column, values in encoded.items()
    }
    return found, None if names is None else tuple(names)


def _whole(text: str) -> int | None:
    """Read "3" or "3.0", which is what a float column's integers look like."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 2**31 else None
