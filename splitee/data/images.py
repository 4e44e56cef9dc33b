"""Images with labels: a folder, a Parquet file of the hub's layout, or a data set on the hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.reading import read_bytes
from splitee.data.distortions import SIZE, Distortion, draw
from splitee.data.pictures import Data, open_picture

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_MOST_FILES = 5_000_000


@dataclass(frozen=True)
class Images:
    """Image files of one split with labels, ids and identity: what `Rows` is for texts.

    Attributes
    ----------
    name : str
        Name for tables and messages.
    data : list of bytes or Path, length n
        The image files.
    label : ndarray of int64, shape (n,), or None
        Indices into `label_names`.
    label_names : tuple of str or None
        Class names in order.
    id : list of str
        A name for each image.
    identity : dict
        Where the images come from, and their SHA-256; it is written to manifests.
    notes : tuple of str
        How the images were read.
    group : list of str, optional
        A group for each image, such as its distortion.
    """

    name: str
    data: list[Data]
    label: NDArray[np.int64] | None
    label_names: tuple[str, ...] | None
    id: list[str]
    identity: dict[str, object]
    notes: tuple[str, ...] = ()
    group: list[str] | None = None

    def __len__(self) -> int:
        return len(self.data)

    @property
    def regression(self) -> bool:
        """Whether the labels are scores: never."""
        return False

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The size of every file, shape (n,)."""
        sizes = [len(one) if isinstance(one, bytes) else one.stat().st_size for one in self.data]
        return np.array(sizes, dtype=np.int64)

    @property
    def hashes(self) -> list[str]:
        """The first 16 hexadecimal digits of the SHA-256 of each file."""
        return [hashlib.sha256(_content(one)).hexdigest()[:16] for one in self.data]

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the files and labels, in order."""
        digest = hashlib.sha256()
        for one in self.data:
            content = _content(one)
            digest.update(len(content).to_bytes(8, "little") + content)
        if self.label is not None:
            digest.update(self.label.astype("<i8").tobytes())
        return digest.hexdigest()

    def take(self, rows: NDArray[np.int64]) -> Images:
        """Return the given images (0-based), in the given order."""
        return replace(
            self,
            data=[self.data[i] for i in rows],
            label=None if self.label is None else self.label[rows],
            id=[self.id[i] for i in rows],
            group=None if self.group is None else [self.group[i] for i in rows],
        )

    def distorted(self, names: str | Sequence[str], *, seed: int = 0, size: int = SIZE) -> Images:
        """Return a stream of distorted images: JPEG files of one size, in memory.

        Parameters
        ----------
        names : str or sequence of str
            A distortion, such as "blur2" or "clean"; of several, one is drawn for each image, and `group`
            names it.
        seed : int
            Of the noise and of the draw.
        size : int
            Pixels per side.

        Raises
        ------
        InputError
            If there is no such distortion, or an image cannot be read.
        """
        mixed = None if isinstance(names, str) else list(names)
        each = [str(names)] * len(self) if mixed is None else draw(mixed, len(self), seed)
        known = {name: Distortion.named(name) for name in set(each)}
        files: list[Data] = [
            known[name].file(one, seed=seed, size=size, name=id_)
            for name, one, id_ in zip(each, self.data, self.id, strict=True)
        ]
        what = {"names": mixed or names, "seed": seed, "size": size}
        made = replace(self, data=files, group=each if mixed else self.group)
        return replace(made, identity={**self.identity, "distortion": what, "sha256": made.fingerprint})


def load_images(
    path: str | Path,
    image: str = "image",
    label: str | None = None,
    label_names: Sequence[str] | None = None,
    name: str | None = None,
) -> Images:
    """Read images from a folder or a Parquet file; headers are checked, pixels are decoded later.

    Parameters
    ----------
    path : str or Path
        A folder of images; a folder of one folder per class, whose names are the labels; or a Parquet file
        with a column of images as on the hub (``bytes`` and ``path``) or of bytes.
    image, label : str
        Columns of a Parquet file. Default label: "label", if there is one.
    label_names : sequence of str, optional
        Names of the classes 0, 1, ... Default: of the folders, in alphabetical order; or as the hub's
        metadata in the file name them.
    name : str, optional
        Default: the name of the file or folder.

    Raises
    ------
    InputError
        If there are no images, or one of them cannot be used; the message names it.
    """
    path = Path(path)
    found = _folder(path, label_names) if path.is_dir() else _parquet(path, image, label, label_names)
    images = replace(found, name=name or found.name)
    for id_, one in zip(images.id, images.data, strict=True):
        open_picture(one, f"{path}: image {id_}")
    return replace(images, identity={**images.identity, "sha256": images.fingerprint})


def load_hub_images(
    name: str, split: str = "test", image: str = "image", label: str | None = "label"
) -> Images:
    """Read a split of an image data set from the Hugging Face hub, such as "uoft-cs/cifar10".

    Raises
    ------
    InputError
        If it cannot be loaded; local files are read by `load_images`.
    """
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"reading {name} from the hub needs datasets: pip install 'splitee[models]'"
        ) from error
    try:
        data = datasets.load_dataset(name, split=split)
        data = data.cast_column(image, datasets.Image(decode=False))
        table = data.data.table
        names = data.features[label].names if label else None
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{name} {split} could not be loaded from the hub ({' '.join(str(error).split())[:200]}): give a "
            "folder or a Parquet file"
        ) from error
    found = _from_table(table, name, image, label, names)
    found = replace(found, name=f"{name}/{split}", identity={"source": "hub", "hub": name, "split": split})
    return replace(found, identity={**found.identity, "sha256": found.fingerprint})


def _folder(path: Path, names: Sequence[str] | None) -> Images:
    every = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not every:
        raise InputError(f"{path}: no images there ({', '.join(SUFFIXES)})")
    if len(every) > _MOST_FILES:
        raise InputError(f"{path}: {len(every):,} images: at most {_MOST_FILES:,}")
    inside = [file.relative_to(path) for file in every]
    ids = [file.as_posix() for file in inside]
    classes = [file.parts[0] if len(file.parts) > 1 else None for file in inside]
    if any(one is None for one in classes):
        if any(classes):
            loose = ids[classes.index(None)]
            raise InputError(
                f"{path}: {loose} lies beside folders of images: put every image into a folder of its class"
            )
        label, found = None, None
        note = f"{len(every):,} images, no labels (a folder per class gives them)"
    else:
        found = tuple(names) if names else tuple(sorted({str(one) for one in classes}))
        if unknown := sorted({str(one) for one in classes} - set(found)):
            raise InputError(f"{path}: folder {unknown[0]!r} is no class ({', '.join(found)[:200]})")
        label = np.array([found.index(str(one)) for one in classes], dtype=np.int64)
        note = f"{len(every):,} images of {len(set(classes))} classes"
    return Images(
        path.name, list(every), label, found, ids, {"source": "folder", "folder": path.name}, (note,)
    )


def _parquet(path: Path, image: str, label: str | None, names: Sequence[str] | None) -> Images:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = read_bytes(path)
    try:
        table = pq.read_table(pa.BufferReader(data), use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        why = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: not a folder of images, nor a Parquet file of them ({why})") from error
    found = _from_table(table, str(path), image, label, names)
    return replace(found, name=path.stem, identity={"source": "file", "file": path.name})


def _from_table(table: Any, where: str, image: str, label: str | None, names: Sequence[str] | None) -> Images:
    import pyarrow as pa

    for column in (image, *([label] if label else [])):
        if column not in table.column_names:
            raise InputError(
                f"{where}: no column {column!r}: its columns are {', '.join(table.column_names)}"
            )
    if not table.num_rows:
        raise InputError(f"{where}: no rows")
    cells = table[image].combine_chunks()
    if pa.types.is_struct(cells.type) and cells.type.get_field_index("bytes") >= 0:
        cells = cells.field("bytes")
    if not (pa.types.is_binary(cells.type) or pa.types.is_large_binary(cells.type)):
        raise InputError(f"{where}: column {image!r} holds {cells.type}, not the bytes of image files")
    if cells.null_count:
        row = int(np.flatnonzero(np.asarray(cells.is_null()))[0])
        raise InputError(f"{where}: row {row} has no image (its bytes are missing)")
    files: list[Data] = cells.to_pylist()
    label = label or ("label" if "label" in table.column_names else None)
    labels, found = (None, None) if label is None else _labels(table, where, label, names)
    note = f"{len(files):,} images" + (
        f" of {len(set(labels.tolist()))} classes" if labels is not None else ""
    )
    return Images("", files, labels, found, [str(i) for i in range(len(files))], {}, (note,))


def _labels(
    table: Any, where: str, label: str, names: Sequence[str] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the classes of a column of numbers or texts, and their names."""
    import pyarrow as pa

    column = table[label].combine_chunks()
    if column.null_count:
        raise InputError(f"{where}: column {label!r} has rows without a label")
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = column.to_pylist()
        found = tuple(names) if names else tuple(sorted(set(texts)))
        if unknown := sorted(set(texts) - set(found)):
            raise InputError(f"{where}: label {unknown[0]!r} is no class ({', '.join(found)[:200]})")
        return np.array([found.index(one) for one in texts], dtype=np.int64), found
    if not pa.types.is_integer(column.type):
        raise InputError(f"{where}: column {label!r} holds {column.type}: give class numbers or names")
    numbers = np.asarray(column, dtype=np.int64)
    found = tuple(names or _hub_names(table, label) or map(str, range(int(numbers.max(initial=0)) + 1)))
    if numbers.min() < 0 or numbers.max() >= len(found):
        bad = numbers[(numbers < 0) | (numbers >= len(found))][0]
        raise InputError(f"{where}: label {bad} is no class number (0 to {len(found) - 1})")
    return numbers, found


def _hub_names(table: Any, label: str) -> list[str] | None:
    """Return the class names in the hub's metadata of a Parquet file; None if there are none."""
    try:
        told = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
        names = told["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return names if isinstance(names, list) and all(isinstance(one, str) for one in names) else None


def _content(one: Data) -> bytes:
    return one if isinstance(one, bytes) else one.read_bytes()
