"""NPZ and NPY files: what NumPy wrote is read; all else is refused before memory is taken."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from splitee._internal.errors import InputError
from splitee.data.arrays import read_npy, read_npz


def npy(values):
    sink = io.BytesIO()
    np.save(sink, values)
    return sink.getvalue()


def archive(members, how=zipfile.ZIP_DEFLATED):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", how) as file:
        for name, content in members:
            file.writestr(name, content)
    return sink.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(save):
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "names": np.array(["x", "yy"]),
        "scalar": np.int64(3),
        "none": np.empty((0, 4)),
    }
    sink = io.BytesIO()
    save(sink, **arrays)
    found = read_npz(sink.getvalue())
    assert list(found) == list(arrays)
    for name in ("a", "b", "names", "scalar"):
        np.testing.assert_array_equal(found[name], arrays[name])


HEADER = npy(np.zeros(3))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (HEADER[:40], "damaged NPY header"),
        (HEADER[:-8], "header says 3 values of 8 bytes, but 16 bytes follow"),
        (HEADER.replace(b"(3,)", b"(1000000000000,)"[:4]), "damaged NPY header"),
        (HEADER.replace(b"(3,), }            ", b"(1000000000000,), }"), "1,000,000,000,000 values"),
        (HEADER.replace(b"'<f8'", b"'|O' "), "holds Python objects"),
        (HEADER.replace(b"'<f8'", b"'<U0'"), "cut off or damaged"),
        (HEADER.replace(b"(3,)", b"(-3,)"[:5]), "NPY header|shape"),
        (b"\x93NUMPY\x09\x00" + HEADER[8:], "damaged NPY header"),
    ],
)
def test_headers_that_contradict_the_file(data, says):
    with pytest.raises(InputError, match=says):
        read_npy(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (archive([("a.npy", HEADER), ("notes.txt", b"x")]), "'notes.txt' is not an array"),
        (archive([("a.npy", HEADER)], zipfile.ZIP_LZMA), "compressed in another way"),
        (archive([("a.npy", HEADER)], zipfile.ZIP_BZIP2), "compressed in another way"),
        (archive([]), "holds no arrays"),
        (archive([("a.npy", HEADER)])[:-30], "cannot be read as NPZ"),
        (archive([("a.npy", HEADER), ("a", HEADER)]), "two arrays are called 'a'"),
        (b"PK\x03\x04 not really", "cannot be read as NPZ"),
    ],
)
def test_archives_that_are_not_of_arrays(data, says):
    with pytest.raises(InputError, match=says):
        read_npz(data)


def test_an_encrypted_member():
    data = bytearray(archive([("a.npy", HEADER)], zipfile.ZIP_STORED))
    for start, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(start) + at] |= 1
    with pytest.raises(InputError, match="encrypted"):
        read_npz(bytes(data))


def test_a_bomb_takes_no_memory():
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file, file.open("a.npy", "w") as member:
        for _ in range(400):
            member.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"expand to more than .* MB"):
        read_npz(sink.getvalue())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
