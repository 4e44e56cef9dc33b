"""A changed bit of a file, a document or a piece is noticed."""

import json
from pathlib import Path

import pytest

from splitee._internal.checksums import (
    FINGERPRINTS,
    damaged_file,
    first_changed,
    opened,
    piece_path,
    read_fingerprints,
    read_piece,
    sealed,
    sha256_of,
    whole_piece,
    write_fingerprints,
)
from splitee._internal.errors import InputError


def flipped(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


def test_every_changed_bit_of_a_document_is_noticed() -> None:
    document = {"mu": 0.1, "α": [1, 2], "more": {"a": None}, 1: (2,)}
    text = json.dumps(sealed(document)).encode()
    assert opened(json.loads(text)) == json.loads(json.dumps(document))
    for bit in range(8 * len(text)):
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            found = opened(json.loads(changed))
        except (ValueError, AttributeError):
            continue
        assert found == json.loads(json.dumps(document))  # \u03b1 is \u03B1


def test_fingerprints_of_a_folder(tmp_path: Path) -> None:
    assert read_fingerprints(tmp_path) is None
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_text("1")
    (tmp_path / "sub" / "b").write_text("2")
    write_fingerprints(tmp_path)
    written = read_fingerprints(tmp_path)
    assert written == sha256_of(tmp_path)
    assert list(written) == ["a", "sub/b"]
    assert damaged_file(tmp_path) is None
    flipped(tmp_path / "sub" / "b", 3)
    assert damaged_file(tmp_path) == "sub/b"
    assert first_changed(tmp_path, written, "a") is None
    (tmp_path / "a").unlink()
    assert damaged_file(tmp_path) == "a"
    flipped(tmp_path / FINGERPRINTS, 100)
    assert damaged_file(tmp_path) == FINGERPRINTS


def test_a_piece_is_whole_or_not(tmp_path: Path) -> None:
    piece = tmp_path / "piece"
    assert whole_piece(piece) is None
    with pytest.raises(ZeroDivisionError), piece_path(piece) as temporary:  # noqa: PT012
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert whole_piece(piece) is None
    with piece_path(piece) as temporary:
        temporary.write_text("whole")
    assert whole_piece(piece) is True
    assert read_piece(piece) == b"whole"
    for file in (piece, tmp_path / "piece.sha256"):
        flipped(file, 2)
        assert whole_piece(piece) is False
        with pytest.raises(InputError, match="damaged"):
            read_piece(piece)
        flipped(file, 2)
    (tmp_path / "piece.sha256").unlink()
    assert whole_piece(piece) is False
