"""Only files are read: pipes and devices could be endless."""

import os

import pytest

from splitee._internal.errors import InputError
from splitee.data.opening import read_file
from splitee.trace import load_trace
from splitee.trace.importing import import_trace


def test_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    assert read_file(tmp_path / "a") == read_file(str(tmp_path / "a")) == b"x"


@pytest.mark.parametrize("read", [read_file, import_trace, load_trace])
def test_what_is_not_a_file(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place, says in (
        (tmp_path / "pipe", "pipe or a device"),
        ("/dev/zero", "pipe or a device"),
        (tmp_path, "folder"),
        (tmp_path / "none", "no such file"),
    ):
        with pytest.raises(InputError, match=says):
            read(place)


def test_names_that_no_file_can_have(tmp_path):
    for name in ("a\0b", "x" * 300):
        with pytest.raises(InputError, match="cannot be read"):
            read_file(tmp_path / name)


def test_a_trace_is_a_file_or_a_name():
    for given in (3, None, 1.5, ["imdb"]):
        with pytest.raises(InputError, match="give a file or a bundled name"):
            load_trace(given)
