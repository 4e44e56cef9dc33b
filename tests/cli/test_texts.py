"""The options of texts reach the reader."""

import pytest

from splitee._internal.errors import InputError
from splitee.cli.texts import Texts, flush, keep, reading, report


def test_texts_are_loaded_and_what_was_read_is_printed(tmp_path, capsys):
    file = tmp_path / "a.csv"
    file.write_bytes("review;stars\nraté;1\nbien;-\n".encode("latin-1"))
    given = Texts(None, str(file), ("review",), ("stars",), None, "-", None, None, "latin-1", None)
    rows = given.load(regression=False)
    assert rows.text == (["raté"],)
    assert capsys.readouterr().err == "", "an error that follows is to be the only line"
    flush()
    assert f"{file}: 2 rows read, 1 left out (no label: '-' 1)" in capsys.readouterr().err
    assert [name for name, value in given.of_text.items() if value] == [
        *("--text-column", "--label-column", "--no-label", "--encoding"),
    ]
    keep("here", rows)
    report("done")
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "here: 2 rows read, 1 left out (no label: '-' 1); labels: '1' 1; '0' does not occur",
        "done",
    ]
    assert reading("tab", None, None).sep == "\t"
    with pytest.raises(InputError, match="--sep"):
        reading("ab", None, None)
