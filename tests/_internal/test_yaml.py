"""YAML is read within bounds; what is wrong with it is one line, at once."""

import codecs
import time
from pathlib import Path

import pytest

from splitee._internal.errors import InputError
from splitee._internal.yaml import read_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD = [
    BOMB,
    "seed: &a [*a]",
    "a: 1\nb: 2\na: 3",
    "a: {b: 1, b: 2}",
    "[" * 10_000,
    "- " * 10_000,
    "seed: " + "9" * 400,
    "seed: 0x" + "f" * 10_000,
    "seed: -9223372036854775809",
    "seed: " + "9" * 5000,
    "a: !!int :",
    "a: !!int ''",
    "a: !!bool x",
    "a: !!float {}",
    "a: !!python/object:os.system x",
    "a: !!timestamp x",
    "seed: 2001-99-99",
    "? [1]\n: 2",
    "a: [",
    "a: b: c",
    "a: " + "x" * 300_000,
    "a: [" + "1," * 60_000 + "1]",
]


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_bad_yaml_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    began = time.monotonic()
    with pytest.raises(InputError, match=r"a\.yaml") as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("a.yaml") == 1
    assert len(str(caught.value)) < 600
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_and_marks_are_read(tmp_path: Path, encoding: str) -> None:
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    (tmp_path / "a.yaml").write_bytes(mark + "a: [α, 1, 0.5, null]\n".encode(encoding))
    assert read_yaml(tmp_path / "a.yaml") == {"a": ["α", 1, 0.5, None]}


def test_few_aliases_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &x [1, 2]\nb: *x\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": [1, 2], "b": [1, 2]}
    (tmp_path / "a.yaml").write_text("")
    assert read_yaml(tmp_path / "a.yaml") is None
