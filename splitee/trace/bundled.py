"""Where traces are: those that come with splitee, by name, and files."""

from __future__ import annotations

import difflib
from pathlib import Path

from splitee.errors import InputError

_BUNDLED = Path(__file__).parents[1] / "data"


def bundled_traces() -> list[str]:
    """Names of the traces that come with splitee."""
    return sorted(file.stem for file in _BUNDLED.glob("*.parquet"))


def find_trace(path: str | Path) -> Path:
    """Find the file that `path` names: a bundled name goes before a file in the folder."""
    bundled = bundled_traces()
    if str(path) in bundled:
        return _BUNDLED / f"{path}.parquet"
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{file} is a folder, not a trace file")
    if file.exists():
        return file
    near = difflib.get_close_matches(file.stem, bundled, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{path}: no such file, nor a bundled trace ({', '.join(bundled) or 'none'}){hint}")
