"""JSON in the forms that people have, against pandas."""

import json

import pandas as pd
import pytest

from splitee._internal.errors import InputError
from splitee.data.records import read_json

FRAME = pd.DataFrame({"text": ["fine", "dull"], "label": [1, 0]})
COLUMNS = {"text": ["fine", "dull"], "label": [1, 0]}


@pytest.mark.parametrize(
    "text",
    [
        *(FRAME.to_json(orient=orient) for orient in ("records", "columns", "split", "table")),
        FRAME.to_json(orient="records", lines=True),
        FRAME.to_json(orient="records", indent=2),
        json.dumps(COLUMNS),
        json.dumps({"data": FRAME.to_dict("records")}),
        '{"text": "fine", "label": 1}\n\n{"text": "dull", "label": 0}',
    ],
)
def test_every_form_holds_the_same(text):
    found = read_json(text)
    assert {name: found[name] for name in COLUMNS} == COLUMNS


def test_keys_that_some_records_lack():
    assert read_json('[{"a": 1}, {"b": 2}]') == {"a": [1, None], "b": [None, 2]}
    rows = ",".join(f'{{"k{i}": 1}}' for i in range(5000))
    with pytest.raises(InputError, match="same keys"):
        read_json(f"[{rows}]")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ('{"a": 1}\n{"a": 1, "a": 2}', "line 2: the key 'a' occurs twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 5000, "not valid JSON"),
        ('{"a": 1', "not valid JSON"),
        ("3", "single value"),
        ("[1, 2]", "record 1 is not an object"),
        ('{"a": 1}\n3', "line 2 is not an object"),
        ('{"columns": ["a"], "data": [[1, 2]]}', "rows of 1 cells"),
    ],
)
def test_what_is_no_table(text, says):
    with pytest.raises(InputError, match=says):
        read_json(text)
