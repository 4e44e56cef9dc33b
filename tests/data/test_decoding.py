"""Encodings: found by the byte order mark, or named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitee._internal.errors import InputError
from splitee.data.decoding import decode, encoding_name

TEXT = "text,label\nune très bonne idée,1\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_is_found(encoding):
    assert decode(TEXT.encode(encoding)) == TEXT


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp1250", "utf-16-le", "UTF-8"])
def test_an_encoding_that_is_named(encoding):
    assert decode("a,é\n".encode(encoding), encoding) == "a,é\n"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_utf8_stays(text):
    assert decode(text.encode()) == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("data", "encoding", "says"),
    [
        (TEXT.encode("latin-1"), None, "line 2 is not utf-8: byte 0xe8; give --encoding"),
        (TEXT.encode("utf-16"), "latin-1", "byte order mark of utf-16: leave out --encoding"),
        (b"\x81", "cp1252", "give another --encoding"),
        (TEXT.encode("utf-16")[:-1], None, "not utf-16"),
        (b"a", "base64", "no such text encoding"),
        (b"a", "klingon", "no such text encoding"),
        (b"a\0b,c\n1,2\n", None, "NUL"),
    ],
)
def test_bytes_of_another_encoding(data, encoding, says):
    with pytest.raises(InputError, match=says):
        decode(data, encoding)
    assert encoding_name("UTF8") == "utf-8"
