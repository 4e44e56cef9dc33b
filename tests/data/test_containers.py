"""Files that are no tables get a line that says how to convert them."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from splitee._internal.errors import InputError
from splitee.data.containers import container


def zipped(*names):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return sink.getvalue()


def test_what_is_read():
    sink = io.BytesIO()
    np.savez(sink, a=[1])
    assert container(sink.getvalue()) == "npz"
    assert container(b"PAR1...PAR1", ".csv") == "parquet", "the content decides"
    assert container(b"\x93NUMPY\x01\x00") == "npy"
    assert container(b"text,label\n", ".csv") == container(b"", ".txt") == "text"


@pytest.mark.parametrize(
    ("data", "suffix", "says"),
    [
        *((pickle.dumps({"a": 1}, protocol), "", "pickle.*np.savez") for protocol in (2, 3, 4, 5)),
        (pickle.dumps([1], 0), ".pkl", "pickle.*np.savez"),
        (zipped("t/data.pkl", "t/version"), ".pt", "torch.load.*np.savez"),
        (pickle.dumps([1], 2), ".pth", "torch.load"),
        (zipped("xl/workbook.xml"), ".xlsx", "Excel.*CSV"),
        (zipped("a.csv"), ".zip", "zip archive of 'a.csv'.*unpack"),
        (b"\x1f\x8b\x08", ".gz", "gunzip"),
        (b"\x89HDF\r\n\x1a\n", ".h5", "h5py.*np.savez"),
        (b"ARROW1\0\0", ".feather", "read_feather.*to_parquet"),
        ((20).to_bytes(8, "little") + b'{"a":{}}' + bytes(20), "", "safetensors"),
        (b"text,label\n", ".parquet", "not a parquet file"),
        (b"", ".npz", "not a npz file"),
    ],
)
def test_what_must_be_converted(data, suffix, says):
    with pytest.raises(InputError, match=says):
        container(data, suffix)
