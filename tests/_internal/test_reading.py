"""Only regular files of bounded size are read, and every fault is one line."""

import os
from pathlib import Path

import pytest

from splitee._internal.errors import InputError
from splitee._internal.reading import exists, memory, open_regular, parse_json, read_bytes, read_json
from splitee.trace import load_trace
from splitee.trace.importing import import_trace


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name, words in (
        ("pipe", "is a pipe"), ("link", "is a pipe"), (".", "is a folder"), ("no", "no such file"),
        ("a" * 300, "too long"), ("a\0b", "cannot be the name"), ("no/file", "no such file"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words) as caught:
            read_bytes(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="is a device"):
        open_regular("/dev/zero")
    assert not exists("a" * 300)
    assert not exists("a\0b")


def test_sizes_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(memory() + 1)  # takes no space
    with pytest.raises(InputError, match="can be read"):
        read_bytes(path)
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(InputError, match="has 5 bytes: at most 4"):
        read_bytes(path, 4)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "", "1" * 5000, "\x00", "[1,]"])
def test_what_is_no_json_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="not readable JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("read", [read_bytes, import_trace, load_trace])
def test_only_files_are_read(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place, says in (
        (tmp_path / "pipe", "is a pipe"),
        ("/dev/zero", "is a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "none", "no such file"),
    ):
        with pytest.raises(InputError, match=says):
            read(place)


def test_a_trace_is_a_file_or_a_name():
    for given in (3, None, 1.5, ["imdb"]):
        with pytest.raises(InputError, match="give a file or a bundled name"):
            load_trace(given)
