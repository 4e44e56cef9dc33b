"""Tables, words, figures and page of a few entrants in a few cells."""

import json
import xml.dom.minidom

import numpy as np
import pandas as pd
import pytest

from splitee._internal.errors import InputError
from splitee.bench import figures, page, tables, times, words
from splitee.bench.entrants import ENTRANTS
from splitee.bench.playing import play
from splitee.bench.ranks import ranked
from splitee.bench.suite import QUESTIONS, cells

FACTS = {"seal": "0" * 64, "field": "played", "files": {}, "libraries": {}}
SOME = [e for e in ENTRANTS if e.name in ("cloud-only", "fixed split", "final exit", "oracle per sample")]
PLAYED = [c for c in cells() if c.trace in ("rte_validation", "mrpc_validation", "sst2_validation")]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return tables.as_frame([row for cell in PLAYED for row in play(cell, SOME)])


def test_rows_are_cells_entrants_and_questions(frame: pd.DataFrame) -> None:
    assert len(frame) == len(PLAYED) * len(SOME) * len(QUESTIONS)
    assert not frame.duplicated(["cell", "entrant", "question"]).any()
    joined = tables.as_frame(
        [row for cell in PLAYED for row in play(cell, SOME[:1])],
        frame[frame["entrant"] != SOME[0].name].astype(
            dict.fromkeys(("entrant", "question", "member", "why"), "object")
        ),
    )
    key = ["cell", "question", "entrant"]
    pd.testing.assert_frame_equal(
        joined.astype({"entrant": str}).sort_values(key, ignore_index=True)[["score", "cost", "drop"]],
        frame.astype({"entrant": str}).sort_values(key, ignore_index=True)[["score", "cost", "drop"]],
    )


def test_the_document_has_means_and_ranks(frame: pd.DataFrame) -> None:
    document = tables.document_of(frame, [], {"bad": "crashed"}, FACTS)
    assert json.loads(json.dumps(document)) == document
    rows = {row["entrant"]: row for row in document["tables"]["drop 1"]["all"]}
    asked = frame[(frame["question"] == "drop 1")].astype({"entrant": str, "question": str})
    for name, row in rows.items():
        own = asked[asked["entrant"] == name]
        of_trace = own.groupby([cells()[k].trace for k in own["cell"]])["score"].mean()
        assert row["score"] == pytest.approx(of_trace.mean(), abs=1e-3)
        assert row["drop"] == pytest.approx(own["drop"].mean(), abs=1e-3)
    assert rows["oracle per sample"]["rank"] is None
    ranking = [row for row in document["tables"]["drop 1"]["all"] if row["rank"] is not None]
    assert [row["rank"] for row in ranking] == sorted(row["rank"] for row in ranking)
    by_trace = np.array([[0.0, row["score"]] for row in ranking])
    assert ranked(by_trace).rank[0] >= 1


def test_the_stored_field_is_refused_if_it_is_of_another_suite(tmp_path, monkeypatch, frame) -> None:
    place = tmp_path / "field.parquet"
    monkeypatch.setattr(tables, "FIELD", place)
    with pytest.raises(InputError, match="another suite"):
        tables.stored_field()
    tables.store_field(frame, place)
    again = tables.stored_field()
    assert (again["score"].to_numpy() == frame["score"].to_numpy()).all()
    monkeypatch.setattr(tables, "seal", lambda: "1" * 64)
    with pytest.raises(InputError, match="another suite"):
        tables.stored_field()


def test_words_and_page(frame: pd.DataFrame) -> None:
    document = tables.document_of(frame, [], {"bad<file>": "line 3: crashed"}, FACTS)
    document["own"] = ["final exit"]
    measured = {"cloud-only": {"seconds": 2e-6, "bytes": 100}}
    for question in QUESTIONS:
        for row in document["tables"][question]["all"]:
            told = words.cells_of(row, measured, question)
            assert list(told) == list(words.HEADINGS[question == "regret"])
    text = page.page(document, measured)
    assert text == page.page(document, measured)
    xml.dom.minidom.parseString(text.encode())
    assert "bad&lt;file&gt;" in text
    assert "http" not in text.replace("http-equiv", "")
    rows = document["tables"]["drop 1"]["all"]
    assert len(figures.ranks(rows, []).axes[0].get_yticklabels()) == 3
    assert figures.cost_and_drop(rows, ["final exit"], 1.0).axes


def test_time_and_state_of_a_device_loop() -> None:
    of = {e.name: e for e in ENTRANTS}
    found = times.cost_of(of["SplitEE"], cells()[0], rounds=50)
    assert found["seconds"] is not None
    assert 0 < found["seconds"] < 1
    assert found["bytes"] is not None
    assert found["bytes"] > 100
    assert times.cost_of(of["best split, hindsight"], cells()[0], 10) == {"seconds": None, "bytes": None}

    class Held:
        problem = "not counted"

        def __init__(self) -> None:
            self.problem, self.means = "not counted" * 100, [0.0]

    assert times.state_bytes(Held()) < 100
    unpicklable = Held()
    unpicklable.means = lambda: None
    assert times.state_bytes(unpicklable) is None
