"""The data sheet's table of bundled traces says what the traces and their origins say."""

from pathlib import Path

import pytest

import splitee
from splitee.trace.croissant import data_set, weights

SHEET = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")


def row(name: str) -> str:
    """The table's line of a bundled trace."""
    trace = splitee.load_trace(name)
    data, models = data_set(trace), weights(trace)
    assert data is not None
    cells = (
        f"[`{name}`](../splitee/data/{name}.md)",
        f"{trace.samples:,} × {trace.layers}",
        f"[{data.name}]({data.url})",
        data.licence,
        ", ".join(f"[{model.name}]({model.url}) ({model.licence})" for model in models),
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", splitee.bundled_traces())
def test_the_table_has_a_true_line_for_every_bundled_trace(name: str) -> None:
    assert row(name) in SHEET.splitlines()


def test_the_table_has_no_other_lines() -> None:
    listed = [line.split("`")[1] for line in SHEET.splitlines() if line.startswith("| [`")]
    assert sorted(listed) == splitee.bundled_traces()
