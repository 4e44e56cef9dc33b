"""Recognise files by their first bytes: those that are read, and those that must be converted first."""

from __future__ import annotations

import io
import zipfile

from splitee._internal.errors import InputError

_SAVE = "np.savez('mine.npz', confidence=..., prediction=..., label=...)"
_OTHER = (  # first bytes, name, how to convert
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"read it with h5py and save its arrays: {_SAVE}"),
    (b"\x1f\x8b", "compressed by gzip", "decompress it first: gunzip FILE"),
    (b"BZh", "compressed by bzip2", "decompress it first: bunzip2 FILE"),
    (b"\xfd7zXZ\0", "compressed by xz", "decompress it first: unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "decompress it first: unzstd FILE"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"ARROW1", "an Arrow (Feather) file", "pandas.read_feather(FILE).to_parquet('mine.parquet')"),
    (b"FEA1", "a Feather file", "pandas.read_feather(FILE).to_parquet('mine.parquet')"),
    (b"ORC", "an ORC file", "pandas.read_orc(FILE).to_parquet('mine.parquet')"),
    (b"SQLite format 3\0", "an SQLite database", "pandas.read_sql(..., ...).to_parquet('mine.parquet')"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file", f"scipy.io.loadmat(FILE), then {_SAVE}"),
    (b"RDX", "an R file", "in R: write.csv(data, 'mine.csv', row.names = FALSE)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel file", "save the sheet as CSV UTF-8"),
    (b"%PDF", "a PDF file", "give a table"),
)
_PICKLE = (
    "a Python pickle, which runs code when it is loaded: load it where you trust it (pickle.load), and save "
    f"its arrays: {_SAVE}"
)
_TORCH = (
    "written by torch.save: torch.load(FILE, weights_only=True), and save its tensors as arrays, such as "
    "np.savez('mine.npz', logits=logits.float().cpu().numpy(), label=...)"
)


def container(data: bytes, suffix: str = "") -> str:
    """Return "parquet", "npz", "npy" or "text".

    Parameters
    ----------
    data : bytes
        The file.
    suffix : str
        The end of its name, such as ".pkl"; it decides where the content does not.

    Raises
    ------
    InputError
        If it is another kind of file; the message says how to convert it.
    """
    suffix = suffix.lower()
    if data[:4] == b"PAR1":
        return "parquet"
    if data[:6] == b"\x93NUMPY":
        return "npy"
    if data[:2] == b"PK":
        return _zip(data, suffix)
    for start, name, mend in _OTHER:
        if data.startswith(start):
            raise InputError(f"this is {name}: {mend}")
    if data[:1] == b"\x80" and data[1:2] and data[1] <= 5:
        raise InputError(f"this is {_TORCH if suffix in ('.pt', '.pth') else _PICKLE}")
    if suffix in (".pkl", ".pickle", ".joblib"):
        raise InputError(f"this is {_PICKLE}")
    if suffix in (".pt", ".pth", ".ckpt"):
        raise InputError(f"this is {_TORCH}")
    if suffix == ".safetensors" or (
        data[8:10] == b'{"' and 0 < int.from_bytes(data[:8], "little") < len(data)
    ):
        raise InputError(f"this is a safetensors file: safetensors.numpy.load_file(FILE), then {_SAVE}")
    if suffix in (".parquet", ".npz", ".npy", ".xlsx", ".xls"):
        raise InputError(
            f"this is not a {suffix[1:]} file, though its name says so: is it damaged or cut off?"
        )
    return "text"


def _zip(data: bytes, suffix: str) -> str:
    """Return "npz" for an archive of arrays."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except Exception as error:  # damaged directories raise a dozen kinds
        if suffix in ("", ".npz"):
            raise InputError(f"cannot be read as NPZ: {error or type(error).__name__}") from error
        raise InputError(f"this is a damaged zip archive: {error or type(error).__name__}") from error
    if any(name.endswith(("/data.pkl", "/version", "constants.pkl")) for name in names):
        raise InputError(f"this is {_TORCH}")
    if "xl/workbook.xml" in names:
        raise InputError("this is an Excel file: save the sheet as CSV UTF-8")
    if names and not any(name.endswith(".npy") for name in names):
        raise InputError(f"this is a zip archive of {_short(names)}, not of arrays (NPZ): unpack it first")
    return "npz"


def _short(names: list[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
