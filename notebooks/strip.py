"""Leave of the notebooks text and code only, as they are committed: `python notebooks/strip.py`."""

from __future__ import annotations

from pathlib import Path

import nbformat

NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def stripped(text: str) -> str:
    """Return a notebook's file without outputs, counts and what the editor noted; ids stay."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook) + "\n"


if __name__ == "__main__":
    for path in NOTEBOOKS:
        path.write_text(stripped(path.read_text(encoding="utf-8")), encoding="utf-8")
