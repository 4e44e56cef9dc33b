"""CSV and its kin against pandas, and what pandas reads without a word."""

import csv
import io
import time

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitee._internal.errors import InputError
from splitee.data.delimited import read_delimited, separator

CELL = st.text(st.sampled_from("ab ,;\"\n'é1"), max_size=8)
MARK = st.sampled_from([",", ";", "|"])


def read(text, *how, **named):
    columns, notes = read_delimited(text, *how, **named)
    return {name: values.to_pylist() for name, values in columns.items()}, notes


@given(st.lists(st.tuples(CELL, CELL, st.sampled_from("01")), min_size=1, max_size=6), MARK)
@settings(deadline=None)
def test_what_the_csv_module_writes_is_read(rows, sep):
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=sep, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("text", "other", "label"), *rows])
    found, _ = read(sink.getvalue())
    assert list(zip(*found.values(), strict=True)) == rows
    frame = pd.read_csv(io.StringIO(sink.getvalue()), sep=sep, dtype=str, keep_default_na=False)
    assert frame.to_dict("list") == found


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_the_separator_is_found(sep):
    text = "text,label\nfine; really,1\n".replace(",", sep)
    assert read(text)[0] == {"text": ["fine; really"], "label": ["1"]} if sep != ";" else True
    assert read("text,label\nfine,1\n".replace(",", sep))[0] == {"text": ["fine"], "label": ["1"]}
    assert read("only\nfine\n\ndull\n")[0] == {"only": ["fine", "", "dull"]}


def test_the_rows_decide_between_two_separators():
    assert read("text;a,b\nx,y;1\nx;2\n")[0] == {"text": ["x,y", "x"], "a,b": ["1", "2"]}
    with pytest.raises(InputError, match=r"holds ',' and ';': name the separator with --sep"):
        read("a,b;c\n1,2;3\n")
    assert read("a,b;c\n1,2;3\n", sep=";")[0] == {"a,b": ["1,2"], "c": ["3"]}
    assert (separator("tab"), separator("\\t"), separator("space")) == ("\t", "\t", " ")
    with pytest.raises(InputError, match="--sep"):
        separator("ab")


def test_spaces_around_headers_and_after_separators():
    text = 'id, text , label\n1, "fine, really", 0\n2, dull, 1\n'
    assert read(text)[0] == {"id": ["1", "2"], "text": ["fine, really", "dull"], "label": ["0", "1"]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('text,label\n"Great" said nobody,0\nfine,1\n', "line 2: text follows the closing"),
        ('text,label\nfine,1\n"dull,0\nlovely,1\na "quoted" word,0\n', "line 3: the cell ends in line 5"),
        ('text,label\n"dull,0\nlovely,1\na word",0\nfine,1\nok,1\n', "line 2: .*line 4.*look like rows"),
        ('label,text\n0,"dull\n1,lovely\n0,a word"\n1,fine\n1,ok\n', "look like rows"),
        ('text,label\nfine,1\n"never closed,0\n', "line 3: a quotation mark opens a cell and none closes it"),
        ("text,label\nfine,1\na, b,0\n", r"Row #3: Expected 2 columns, got 3.*--sep"),
        ("text, label\nfine, 1\na, b, 0\n", "row 3 has 3 cells"),
        ("text,text\na,b\n", "two columns are called 'text'"),
        ("text , text\na,b\n", "two columns are called 'text'"),
        ("", "empty"),
        ("\n \n", "empty"),
        ("a,b\n", "no rows"),
    ],
)  # fmt: skip
def test_rows_are_not_swallowed(text, says):
    with pytest.raises(InputError, match=says):
        read(text)


def test_quotation_marks_that_are_text():
    text = 'text,label\n"Great" said nobody,0\na "quoted" word,1\n'
    assert read(text, quoting=False)[0]["text"] == ['"Great" said nobody', 'a "quoted" word']
    tsv = 'text\tlabel\n"opening only\t0\n"both"\t1\n'
    found, notes = read(tsv, ".tsv")
    assert found["text"] == ['"opening only', '"both"']
    assert "1 cell stands in quotation marks" in notes[0]
    assert read('"text"\t"label"\n"two\nlines"\t"1"\n', ".tsv")[0] == {"text": ["two\nlines"], "label": ["1"]}
    multi = 'text,label\n"a poem, in\ntwo lines, yes",1\n"with ""marks""",0\n'
    assert read(multi)[0]["text"] == ["a poem, in\ntwo lines, yes", 'with "marks"']


def test_columns_without_a_name():
    assert read("text,label,,\na,1,,\nb,0,,\n")[0] == {"text": ["a", "b"], "label": ["1", "0"]}
    assert read(",text\n0,a\n")[0] == {"": ["0"], "text": ["a"]}
    with pytest.raises(InputError, match="two columns are called ''"):
        read("text,,\na,1,2\n")


def test_many_columns_take_linear_time():
    def seconds(columns):
        names = ",".join(f"c{i}" for i in range(columns))
        began = time.perf_counter()
        read(names + "\n" + ",".join(["1"] * columns) + "\n")
        return time.perf_counter() - began

    assert seconds(20_000) < 40 * max(seconds(2_000), 0.01), "quadratic would be 100 times"
