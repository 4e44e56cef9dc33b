"""Convert classes given as numbers or names to class numbers."""

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
    """Number the classes consistently across columns.

    Parameters
    ----------
    cells : mapping of str to pyarrow array of strings
        The class columns, keyed by the name that error messages use.
    names : sequence of str, optional
        The names of classes 0, 1, ...; if omitted, names are numbered in sorted order.
    first_row : int
        The number that error messages give to the first row.

    Returns
    -------
    columns : dict of str to ndarray of int64
        The class numbers by column.
    names : tuple of str or None
        The class names; None if the file has numbers and no names were given.

    Raises
    ------
    InputError
        If a cell is empty, is not one of the given names, or is a name in a column of numbers.
    """
    encoded = {column: values.dictionary_encode() for column, values in cells.items()}
    texts = {text for values in encoded.values() for text in values.dictionary.to_pylist()}
    numbers = {text: number for text in texts if (number := _whole(text)) is not None}

    def refuse(bad: set[str], why: str) -> None:
        for column, values in cells.items():
            for row, cell in enumerate(values.to_pylist()):
                if cell in bad:
                    raise InputError(f"{column}, row {row + first_row}: {cell!r} {why}")

    refuse(texts & {""}, "is empty: give every sample a class, or leave the column out")
    if names is not None and texts <= set(names):
        code = {name: number for number, name in enumerate(names)}
    elif len(numbers) == len(texts):  # if names were given too, they name these numbers
        code = numbers
    elif names is not None:
        refuse(texts - set(names), f"is none of the class names {', '.join(names)}")
    elif numbers:
        refuse(texts - set(numbers), "is not a class number, but other cells are: use numbers or names only")
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
    """Parse "3", or "3.0" as float columns write integers; return None for anything else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 2**31 else None
