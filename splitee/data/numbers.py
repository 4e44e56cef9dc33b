"""Parse the cells of a text table as numbers: decimal points or commas, per cent, whole floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError

_COMMA = r"^[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?$"
_PLAIN = r"^[+-]?[0-9]+$"
_THOUSANDS = r"^[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+$"  # 1,234 may be either
_PERCENT = r"\s*%$"


class NotANumberError(Exception):
    """Raised with the position of the first cell that is not a number."""

    def __init__(self, row: int) -> None:
        self.row = row


def parse_numbers(cells: Any, kind: type[np.generic], decimal: str | None) -> tuple[NDArray[Any], list[str]]:
    """Return the numbers of trimmed cells, and notes on how they are written.

    Parameters
    ----------
    cells : pyarrow array of strings
        The cells.
    kind : type
        A NumPy type; decimals are rounded to it once.
    decimal : str, optional
        "." or ",". Default: a comma, if every cell of the column has at most one and none has a point.

    Raises
    ------
    NotANumberError
        If a cell is not a number.
    InputError
        If commas may separate decimals or thousands.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if decimal != ",":
        try:
            return cells.cast(pa.from_numpy_dtype(np.dtype(kind))).to_numpy(zero_copy_only=False), []
        except pa.ArrowInvalid:
            pass
    notes = []
    percent = pc.match_substring_regex(cells, _PERCENT)
    scale = 1
    if pc.all(percent).as_py():
        cells, scale = pc.replace_substring_regex(cells, _PERCENT, ""), 100
        notes.append("per cent")
    commas = pc.match_substring(cells, ",")
    if decimal != "." and pc.any(commas).as_py():
        fits = pc.or_(pc.match_substring_regex(cells, _COMMA), pc.match_substring_regex(cells, _PLAIN))
        if pc.all(fits).as_py():
            thousands = pc.match_substring_regex(cells, _THOUSANDS)
            if decimal is None and pc.all(pc.or_(thousands, pc.invert(commas))).as_py():
                at = int(pc.index(commas, True).as_py())
                raise InputError(
                    f"{cells[at].as_py()!r} has a comma that may separate decimals or thousands: give"
                    " --decimal , "
                    "or remove the commas"
                )
            cells = pc.replace_substring(cells, ",", ".")
            notes.append("decimal commas")
    try:
        wide = cells.cast(pa.float64()).to_numpy(zero_copy_only=False) / scale
    except pa.ArrowInvalid:
        raise NotANumberError(_first_bad(cells, pa.float64())) from None
    if np.dtype(kind).kind == "i":
        whole = np.isfinite(wide) & (wide == np.floor(wide)) & (np.abs(wide) < 2**53)
        if not whole.all():
            raise NotANumberError(int((~whole).argmax()))
    with np.errstate(over="ignore"):
        return wide.astype(kind), notes


def _first_bad(cells: Any, kind: Any) -> int:
    """Return the first cell that cannot be cast, by halving."""
    import pyarrow as pa

    low, high = 0, len(cells)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            cells[low:middle].cast(kind)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low
