"""Images of folders, Parquet files and the hub's layout, and streams of distorted ones."""

import io
import json
from pathlib import Path

import numpy as np
import photos
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from splitee._internal.errors import InputError
from splitee.data.images import Images, load_hub_images, load_images
from splitee.data.rows import hold_out, map_labels


def parquet(
    path: Path, files: list[bytes | None], label: object = None, names: list[str] | None = None
) -> Path:
    """As the hub writes it."""
    columns = {"image": pa.array([{"bytes": one, "path": None} for one in files])}
    if label is not None:
        columns["label"] = pa.array(label)
    table = pa.table(columns)
    if names:
        told = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(told)})
    pq.write_table(table, path)
    return path


def test_a_folder_per_class(tmp_path: Path) -> None:
    found = load_images(photos.folder(tmp_path / "pets"))
    assert found.name == "pets"
    assert found.label_names == ("cat", "dog")
    assert found.id == [f"cat/{i:03d}.png" for i in (0, 2, 4)] + [f"dog/{i:03d}.png" for i in (1, 3, 5)]
    assert found.label.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.sizes.tolist() == [len(photos.photo(i)) for i in (0, 2, 4, 1, 3, 5)]
    assert found.identity["sha256"] == found.fingerprint
    turned = load_images(tmp_path / "pets", label_names=["dog", "cat"])
    assert turned.label.tolist() == [1, 1, 1, 0, 0, 0]


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    (tmp_path / "b.PNG").write_bytes(photos.photo(1))
    (tmp_path / "a.jpg").write_bytes(photos.photo(2, kind="JPEG"))
    (tmp_path / "notes.txt").write_text("not an image")
    found = load_images(tmp_path)
    assert found.id == ["a.jpg", "b.PNG"]
    assert found.label is None


def test_parquet_of_the_hub(tmp_path: Path) -> None:
    files = [photos.photo(i) for i in range(3)]
    found = load_images(parquet(tmp_path / "test.parquet", files, [1, 0, 1], ["cat", "dog"]))
    assert found.data == files
    assert found.label.tolist() == [1, 0, 1]
    assert found.label_names == ("cat", "dog")
    assert found.hashes == load_images(tmp_path / "test.parquet").hashes
    words = load_images(parquet(tmp_path / "words.parquet", files, ["dog", "cat", "dog"]))
    assert (words.label_names, words.label.tolist()) == (("cat", "dog"), [1, 0, 1])
    assert load_images(parquet(tmp_path / "bare.parquet", files)).label is None


def test_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    files = [photos.photo(i) for i in range(2)]
    rows = {"image": [{"bytes": one, "path": None} for one in files], "label": [1, 0]}
    there = datasets.Dataset.from_dict(rows, features=features).cast_column("image", datasets.Image())
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: there)
    found = load_hub_images("someone/pets")
    assert (found.name, found.label_names, found.data) == ("someone/pets/test", ("cat", "dog"), files)

    def gone(name: str, split: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(datasets, "load_dataset", gone)
    with pytest.raises(InputError, match="no network"):
        load_hub_images("someone/pets")


def test_distorted_streams() -> None:
    clean = photos.images(12)
    blurred = clean.distorted("blur2", size=32)
    assert blurred.label is clean.label
    assert blurred.group is None
    assert blurred.identity["distortion"] == {"names": "blur2", "seed": 0, "size": 32}
    assert Image.open(io.BytesIO(blurred.data[0])).size == (32, 32)
    mixed = clean.distorted(["clean", "noise1"], seed=5, size=32)
    assert set(mixed.group) == {"clean", "noise1"}
    for row, name in enumerate(mixed.group):
        assert mixed.data[row] == clean.distorted(name, seed=5, size=32).data[row]
    part = mixed.take(np.array([3, 1]))
    assert part.group == [mixed.group[3], mixed.group[1]]
    # noise depends on the content, not on the place
    assert (
        clean.take(np.array([7])).distorted("noise2", size=32).data[0]
        == clean.distorted("noise2", size=32).data[7]
    )


def test_the_functions_of_rows_take_images() -> None:
    rest, held = hold_out(photos.images(9), 3, seed=0)
    assert (len(rest), len(held)) == (6, 3)
    assert rest.identity["sha256"] == rest.fingerprint
    turned = map_labels(photos.images(3), ["class 2", "class 1", "class 0"], {})
    assert turned.label.tolist() == [2, 1, 0]
    with pytest.raises(InputError, match="no class"):
        map_labels(photos.images(3), ["class 0", "class 1"], {})


def bad_places(place: Path) -> dict[str, tuple[Path, str]]:
    """By name: a file or folder, and words of the line."""
    file = photos.photo()
    (place / "empty").mkdir()
    mixed = photos.folder(place / "mixed")
    (mixed / "loose.png").write_bytes(file)
    damaged = photos.folder(place / "damaged")
    (damaged / "cat" / "bad.png").write_bytes(b"hello")
    (place / "text.parquet").write_bytes(b"hello")
    pq.write_table(pa.table({"image": ["a.png"]}), place / "strings.parquet")
    pq.write_table(pa.table({"photo": [file]}), place / "other.parquet")
    return {
        "no images": (place / "empty", "no images there"),
        "loose": (mixed, "loose.png lies beside"),
        "damaged": (damaged, "image cat/bad.png: not an image"),
        "none": (place / "none", "no such file"),
        "not parquet": (place / "text.parquet", "nor a Parquet file"),
        "strings": (place / "strings.parquet", "not the bytes"),
        "other column": (place / "other.parquet", "no column 'image'"),
        "missing": (parquet(place / "missing.parquet", [file, None]), "row 1 has no image"),
        "huge": (parquet(place / "huge.parquet", [file, photos.huge_header()]), "image 1: its header names"),
        "no rows": (parquet(place / "none.parquet", []), "no rows|not the bytes"),
        "label": (parquet(place / "label.parquet", [file], [-1]), "no class number"),
        "label beyond": (
            parquet(place / "beyond.parquet", [file], [2], ["a", "b"]),
            "label 2 is no class number",
        ),
        "fractions": (parquet(place / "fractions.parquet", [file], [0.5]), "class numbers or names"),
    }


def test_bad_places_are_one_line(tmp_path: Path) -> None:
    for name, (path, words) in bad_places(tmp_path).items():
        with pytest.raises(InputError) as found:
            load_images(path)
        line = str(found.value)
        assert any(word in line for word in words.split("|")), (name, line)
        assert "\n" not in line


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'dog' is no class"):
        load_images(photos.folder(tmp_path / "pets"), label_names=["cat"])


def test_images_have_no_scores() -> None:
    assert not photos.images().regression
    assert isinstance(photos.images(), Images)
