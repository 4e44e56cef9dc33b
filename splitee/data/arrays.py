"""Read NPY and NPZ files: sizes are compared with the file before memory is taken; nothing is unpickled."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError

_FREE = 1 << 28  # bytes that a small file may expand to
_RATIO = 100  # beyond that, bytes per byte of the file: arrays compress less, bombs 1,000 : 1
_DAMAGED = (  # what zipfile and zlib raise for damaged members
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError, IndexError),
    *(NotImplementedError, RuntimeError, OverflowError, AssertionError, TypeError, MemoryError),
)


def read_npz(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an NPZ file by name.

    Raises
    ------
    InputError
        If the archive or a member is damaged, encrypted, not an array, holds Python objects, or expands to
        far more than the file.
    """
    allowed = _FREE + _RATIO * len(data)
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise InputError(f"two arrays are called {name!r}")
                if not member.filename.endswith(".npy"):
                    raise InputError(f"its member {member.filename[:60]!r} is not an array (.npy)")
                if member.flag_bits & 1:
                    raise InputError(f"its member {name!r} is encrypted: save it without a password")
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise InputError(f"its member {name!r} is compressed in another way than NumPy does")
                if member.file_size > allowed:
                    raise InputError(
                        f"its arrays expand to more than {allowed / 1e6:,.0f} MB from"
                        f" {len(data) / 1e6:,.1f} MB:"
                        " save them with np.savez, not np.savez_compressed"
                    )
                allowed -= member.file_size
                with archive.open(member) as handle:
                    content = handle.read(member.file_size + 1)
                arrays[name] = read_npy(content, f"array {name!r}")
    except InputError:
        raise
    except _DAMAGED as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"cannot be read as NPZ: {why}") from error
    if not arrays:
        raise InputError("the NPZ file holds no arrays")
    return arrays


def read_npy(data: bytes, what: str = "the array") -> NDArray[Any]:
    """Return the array of an NPY file.

    Raises
    ------
    InputError
        If its header is damaged, contradicts its size, or names Python objects.
    """
    source = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(source)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_column, dtype = read(source)
    except Exception as error:  # the header is parsed as Python's syntax, which fails in many ways
        raise InputError(f"{what} has a damaged NPY header ({type(error).__name__})") from error
    if dtype.hasobject:
        raise InputError(
            f"{what} holds Python objects, which only pickle (allow_pickle=False here) could read:"
            " save numbers or texts, .astype(float) or .astype(str)"
        )
    content = memoryview(data)[source.tell() :]
    if any(length < 0 for length in shape):
        raise InputError(f"{what} has the shape {shape}")
    count = math.prod(shape)
    if count * dtype.itemsize != len(content) or not dtype.itemsize:
        raise InputError(
            f"{what} is cut off or damaged: its header says {count:,} values of {dtype.itemsize} bytes, "
            f"but {len(content):,} bytes follow"
        )
    if not count:
        return np.empty(0, dtype)
    return np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if by_column else "C")
