"""Read links: CSV, mahimahi's packet opportunities, pairs of time and rate, and the bundled links."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError, suggest
from splitee._internal.reading import exists, read_bytes
from splitee.data.containers import container
from splitee.data.decoding import decode
from splitee.data.tables import Reading, Table, naming, read_table
from splitee.system.link import MOST_ROWS, Link

FORMATS = ("auto", "csv", "mahimahi", "pairs")
_BUNDLED = Path(__file__).parent / "links"
_MOST_BYTES = 2**26
_COLUMNS = ("time_s", "mbit_s")
_MAHIMAHI = (".up", ".down", ".pps")
_PACKET_MBIT = 1500 * 8 / 1e6  # of one delivery opportunity
_NUMERIC = re.compile(r"[\d\s.,;eE+-]*", re.ASCII)


def load_link(
    file: str | Path,
    rtt: float = 40.0,
    outages: Sequence[tuple[float, float]] = (),
    *,
    format: str = "auto",
    reading: Reading | None = None,
    data_root: str | Path | None = None,
) -> Link:
    """Read a link.

    Parameters
    ----------
    file : str or Path
        The name of a bundled link, a file, or the name of a file in the folder ``networks`` of `data_root`.
    rtt : float
        Round-trip time in ms, which files do not hold.
    outages : sequence of (start, end)
        Seconds from the start of the replay; see `Link`.
    format : {"auto", "csv", "mahimahi", "pairs"}
        csv: a table with the columns ``time_s`` and ``mbit_s``. mahimahi: one line per opportunity to
        transfer 1,500 bytes, in ms; they are counted in bins of one second. pairs: "time rate" per line,
        without a header. auto: by the file's ending (.up, .down, .pps) and content.
    reading : Reading, optional
        How a table is written (separator, decimal mark, encoding).
    data_root : str or Path, optional
        Folder of data sets, whose folder ``networks`` holds further links.

    Raises
    ------
    InputError
        If there is no such file, its format is not certain, or it is not a valid link; the line names the
        file.

    Examples
    --------
    >>> load_link("hsdpa_bus_1_down", rtt=80.0).describe()["rows"]
    266
    """
    if format not in FORMATS:
        raise InputError(f"no format is called {format!r}: {suggest(format, FORMATS)}")
    path = find_link(file, data_root)
    with naming(file):
        data = read_bytes(path, _MOST_BYTES)
        times, rates = _columns(data, path, format, reading or Reading())
        return Link(rtt=rtt, outages=outages, time_s=times, mbit_s=rates, name=path.stem)


def bundled_links() -> list[str]:
    """Return the names of the bundled links.

    Examples
    --------
    >>> bundled_links()
    ['5g_walking_down', 'hsdpa_bus_1_down', 'hsdpa_ferry_1_down']
    """
    return sorted(file.stem for file in _BUNDLED.glob("*.csv"))


def find_link(file: str | Path, data_root: str | Path | None = None) -> Path:
    """Return the file of a link: a bundled name, else a file, else a name in `data_root`'s ``networks``.

    Raises
    ------
    InputError
        If there is none of them.
    """
    names = bundled_links()
    if str(file) in names:
        return _BUNDLED / f"{file}.csv"
    if exists(file):
        return Path(file)
    where = ""
    if data_root is not None:
        folder = Path(data_root) / "networks"
        where = f", nor a link in {folder}"
        if Path(file).name == str(file):  # a name, not a path that could leave the folder
            for ending in ("", ".csv", *_MAHIMAHI):
                if exists(found := folder / f"{file}{ending}"):
                    return found
    raise InputError(f"{file}: no such file, nor a bundled link{where}: {suggest(file, names)}")


def _columns(data: bytes, path: Path, format: str, reading: Reading) -> tuple[NDArray[np.float64], ...]:
    if format == "csv" or (format == "auto" and container(data, path.suffix) != "text"):
        return _of_table(read_table(path, reading))
    text = decode(data, reading.encoding)
    if format == "auto":
        format = _format(text, path.suffix.lower())
    if format == "mahimahi":
        return _of_opportunities(_numbers(text, 1)[:, 0])
    if format == "pairs":
        both = _numbers(text, 2)
        return both[:, 0], both[:, 1]
    return _of_table(read_table(path, reading))


def _format(text: str, suffix: str) -> str:
    """Return the format that a text is certainly in."""
    lines = [line for line in text.splitlines()[:100] if line.strip()]
    if not lines:
        raise InputError("the file is empty")
    if suffix in _MAHIMAHI:
        return "mahimahi"
    if not _NUMERIC.fullmatch(lines[0]):
        return "csv"
    cells = {len(line.split()) for line in lines}
    if cells == {2} and not any(mark in line for line in lines for mark in ",;"):
        return "pairs"
    if cells == {1} and all(line.strip().isdecimal() for line in lines):
        return "mahimahi"
    raise InputError(
        "it has no header, and its lines are neither one whole number (mahimahi) nor two numbers with a "
        "space between (time rate): write time_s,mbit_s above the columns, or name the --format"
    )


def _of_table(table: Table) -> tuple[NDArray[np.float64], ...]:
    for column in _COLUMNS:
        if column not in table:
            raise InputError(
                f"there is no column {column!r} (there are {', '.join(map(repr, table.names))}): call the "
                "columns time_s (seconds) and mbit_s (Mbit/s)"
            )
    if len(table) > MOST_ROWS:
        raise InputError(f"it has {len(table):,} rows: at most {MOST_ROWS:,} (average over longer times)")
    return tuple(table.numbers(column, np.float64) for column in _COLUMNS)


def _numbers(text: str, columns: int) -> NDArray[np.float64]:
    """Return the numbers of a text without a header, shape (lines, columns)."""
    lines = text.splitlines()
    if columns == 2:
        lines = [re.sub("[,;]", " ", line) for line in lines]
    rows = [line.split() for line in lines]
    wanted = "one whole number of ms" if columns == 1 else "a time in seconds and a rate in Mbit/s"
    for number, row in enumerate(rows, 1):
        if row and (len(row) != columns or not _NUMERIC.fullmatch(lines[number - 1])):
            raise InputError(f"line {number} is {lines[number - 1].strip()[:60]!r}, not {wanted}")
    cells = [cell for row in rows for cell in row]
    if not cells:
        raise InputError("the file is empty")
    try:
        return np.array([float(cell) for cell in cells]).reshape(-1, columns)
    except ValueError as error:
        raise InputError(f"not every line is {wanted}: {error}") from error


def _of_opportunities(ms: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Count mahimahi's opportunities in bins of a second; one at the very end belongs to the last bin."""
    if (ms < 0).any() or (ms != np.floor(ms)).any():
        raise InputError("an opportunity is not a whole number of ms: is it a mahimahi file?")
    if not ms.max() <= 1000 * MOST_ROWS:
        raise InputError(f"it ends after {ms.max() / 1000:g} seconds: at most {MOST_ROWS:,}")
    falling = np.flatnonzero(np.diff(ms) < 0)
    if falling.size:
        raise InputError(f"opportunity {int(falling[0]) + 2} is before the one above: sort the file by time")
    seconds = max(1, int(np.ceil(ms[-1] / 1000)))
    count, edges = np.histogram(ms, np.arange(seconds + 1) * 1000.0)
    return edges[:-1] / 1000.0, count * _PACKET_MBIT
