"""The stored field is what the suite's policies do, and the leaderboard is made of it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from splitee.bench import tables
from splitee.bench.entrants import ENTRANTS
from splitee.bench.playing import play
from splitee.bench.suite import QUESTIONS, VERSION, cells, seal

PAGE = Path(__file__).parents[2] / "docs" / "leaderboard.md"
QUICK = ("cloud-only", "fixed rule", "SplitEE", "certified split", "CRC rule, unlabelled", "DeeBERT")


@pytest.fixture(scope="module")
def field() -> pd.DataFrame:
    return tables.stored_field()


def compared(field: pd.DataFrame, cell, entrants) -> None:
    names = [entrant.name for entrant in entrants]
    stored = field[(field["cell"] == cell.number) & field["entrant"].isin(names)]
    made = tables.as_frame(play(cell, entrants)).astype(dict.fromkeys(("entrant", "question", "member"), str))
    key = ["entrant", "question"]
    stored, made = (
        frame.astype({"question": str}).sort_values(key).reset_index(drop=True) for frame in (stored, made)
    )
    assert (stored[[*key, "member"]] == made[[*key, "member"]]).all(axis=None)
    for column in ("score", "cost", "drop", "reward", "disagreement", "latency", "promise_broken"):
        assert np.allclose(stored[column], made[column], rtol=1e-5, atol=1e-4, equal_nan=True), column


def test_it_has_every_cell_entrant_and_question(field: pd.DataFrame) -> None:
    assert len(field) == len(cells()) * len(ENTRANTS) * len(QUESTIONS)
    assert not field.duplicated(["cell", "entrant", "question"]).any()
    assert set(field["entrant"]) == {entrant.name for entrant in ENTRANTS}


def test_a_few_entrants_do_what_is_stored(field: pd.DataFrame) -> None:
    some = [entrant for entrant in ENTRANTS if entrant.name in QUICK]
    for trace in ("rte_validation", "caltech101 mixed"):
        compared(field, next(c for c in cells() if c.trace == trace), some)


@pytest.mark.slow
@pytest.mark.parametrize("track", ["constant", "shift", "drift", "short", "delay", "system"])
def test_all_entrants_do_what_is_stored(field: pd.DataFrame, track: str) -> None:
    of = [cell for cell in cells() if cell.track == track]
    compared(field, of[len(of) // 2], ENTRANTS)


def test_the_leaderboard_is_of_this_suite_and_field(field: pd.DataFrame) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"{VERSION}, seal `{seal()[:16]}…`" in text
    asked = field[field["question"] == "drop 1"]
    drop = asked.groupby("entrant")["drop"].mean()
    table = text[text.index("## Least cost") : text.index("## By track")]
    shown = re.findall(r"^\| [^|]*\| ([^|]+?)(?: \(bound\))? \| [^|]*\| [^|]*\| (-?[\d.]+) \(", table, re.M)
    found = {name: float(value) for name, value in shown if name in drop.index}
    assert set(found) == set(drop.index)
    for name, value in found.items():
        assert value == pytest.approx(float(drop[name]), abs=0.006)
