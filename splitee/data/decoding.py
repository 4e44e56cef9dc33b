"""Decode text files: UTF-8 with or without a mark, UTF-16, or the encoding that the caller names."""

from __future__ import annotations

import codecs

from splitee._internal.errors import InputError

_MARKS = (  # the longer ones first: UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes, encoding: str | None = None) -> str:
    """Return the text of a file, without its byte order mark.

    Parameters
    ----------
    data : bytes
        The file.
    encoding : str, optional
        Its encoding, such as "cp1252". Default: by its byte order mark; without a mark UTF-8, or UTF-16 if
        the first two characters say so.

    Raises
    ------
    InputError
        If the bytes are not of this encoding; the message names the line.

    Examples
    --------
    >>> decode("é".encode("utf-16")), decode(b"\\xef\\xbb\\xbfa"), decode(b"\\xe9", "latin-1")
    ('é', 'a', 'é')
    """
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    name = encoding_name(encoding) if encoding else marked or _unmarked(data)
    if encoding and marked and not name.startswith(marked):
        raise InputError(
            f"the file begins with the byte order mark of {marked}: leave out --encoding {encoding}"
        )
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        mend = (
            "give --encoding (cp1252 is Windows' usual one, latin-1 the older), or save the file as UTF-8"
            if encoding is None
            else "give another --encoding"
        )
        bad = data[error.start : error.start + 1].hex()
        raise InputError(f"line {line} is not {name}: byte 0x{bad or '00'}; {mend}") from error
    except UnicodeError as error:
        raise InputError(f"the file is not {name}: {error}") from error
    text = text.removeprefix("\ufeff")
    if "\0" in text.split("\n", 1)[0]:
        raise InputError(
            "the first line holds a NUL: this is no text file, or --encoding must name its encoding"
        )
    return text


def encoding_name(encoding: str) -> str:
    """Return Python's name of a text encoding.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    try:
        found = codecs.lookup(encoding)
        b"aaaa".decode(found.name, "ignore")  # refuses codecs such as base64
    except (LookupError, ValueError, UnicodeError, TypeError) as error:
        raise InputError(
            f"--encoding {encoding!r}: no such text encoding; utf-8, utf-16, cp1252 and latin-1 are usual"
        ) from error
    return found.name


def _unmarked(data: bytes) -> str:
    """Return UTF-16 if every second of the first four bytes is a NUL, as in ASCII letters; else UTF-8."""
    start = data[:4]
    if len(start) == 4 and len(data) % 2 == 0:
        if start[1] == start[3] == 0 and start[0] and start[2]:
            return "utf-16-le"
        if start[0] == start[2] == 0 and start[1] and start[3]:
            return "utf-16-be"
    return "utf-8"
