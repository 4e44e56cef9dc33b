"""Croissant documents: valid and readable by MLCommons' own package, and true of the file."""

import hashlib
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import splitee
from splitee._internal.errors import InputError
from splitee.data import BUNDLED, origins
from splitee.trace.croissant import CLASSES, REQUIRED, ROWS, croissant, data_set, weights
from splitee.trace.file import decode_table, encode_table

GIVEN = {
    "license": "https://spdx.org/licenses/CC0-1.0",
    "url": "https://example.org/mine",
    "creator": "A. Person",
    "datePublished": "2026-11-29",
}


@pytest.fixture(scope="module")
def mlcroissant():
    """The validator and reader of MLCommons, of the extra `dev`."""
    return pytest.importorskip("mlcroissant", reason="the extra dev brings mlcroissant")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    trace = splitee.Trace([[0.6, 0.9], [0.8, 0.7]], [[0, 1], [1, 1]], name="mine")
    trace.save(tmp_path / "mine.parquet")
    return tmp_path / "mine.parquet"


def opened(mlcroissant, document: dict, file: Path, folder: Path):
    """Return the data set as its reader sees it, from a folder with the document and the file alone."""
    shutil.copyfile(file, folder / document["distribution"][0]["contentUrl"])
    (folder / "croissant.json").write_text(json.dumps(document), encoding="utf-8")
    return mlcroissant.Dataset(jsonld=folder / "croissant.json")


def problems(data) -> set[str]:
    return data.metadata.ctx.issues.errors | data.metadata.ctx.issues.warnings


@pytest.mark.parametrize("name", splitee.bundled_traces())
def test_bundled_traces_are_valid_and_read_back_as_they_are(mlcroissant, name: str, tmp_path: Path) -> None:
    document, trace, file = croissant(name), splitee.load_trace(name), BUNDLED / f"{name}.parquet"
    (described,) = document["distribution"]
    assert described["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert [field["name"] for field in document["recordSet"][0]["field"]] == pq.read_schema(file).names
    data = opened(mlcroissant, document, file, tmp_path)
    assert not problems(data)
    assert str(data.metadata.name) == name
    records = list(itertools.islice(data.records(ROWS), 3))
    assert len(records) == 3
    for row, record in enumerate(records):
        assert set(record) == {f"{ROWS}/{column}" for column in trace.columns}
        for column, values in trace.columns.items():
            found = record[f"{ROWS}/{column}"]
            if values.dtype == object:
                assert found.decode() == values[row]
            else:
                assert np.array_equal(np.asarray(found, values.dtype), values[row].ravel().squeeze())
    names = [record[f"{CLASSES}/name"] for record in data.records(CLASSES)]
    assert names == trace.manifest["class_names"]


def test_the_validator_notices_what_is_missing(mlcroissant, tmp_path: Path) -> None:
    document = croissant("rte_validation")
    file = BUNDLED / "rte_validation.parquet"
    for fact in ("license", "datePublished"):
        less = {key: value for key, value in document.items() if key != fact}
        (tmp_path / fact).mkdir()
        assert any(fact in line for line in problems(opened(mlcroissant, less, file, tmp_path / fact)))


@pytest.mark.parametrize("name", splitee.bundled_traces())
def test_licence_and_citation_of_bundled_traces_are_those_of_their_origins(name: str) -> None:
    document, trace = croissant(name), splitee.load_trace(name)
    data, models = data_set(trace), weights(trace)
    assert data is not None
    names = [
        trace.manifest["training"]["backbone"],
        *(["all-mpnet-base-v2"] if "cloud" in trace.manifest else []),
    ]
    assert [model.name.lower() for model in models] == [name.lower() for name in names]
    assert document["license"][0] == origins.APACHE
    assert set(document["license"]) == {origins.APACHE, data.licence_url} - {None}
    assert document["citeAs"].endswith(f"Data: {data.citation}.")
    assert data.licence in document["description"]
    assert [one["@id"] for one in document["prov:wasDerivedFrom"]] == [
        data.url,
        *(model.url for model in models),
    ]
    assert document["version"] == splitee.__version__
    assert document["url"].endswith(f"/splitee/data/{name}.md")


def test_vectors_have_their_shape_and_type() -> None:
    fields = {field["name"]: field for field in croissant("snli")["recordSet"][0]["field"]}
    shape = {name: field.get("arrayShape") for name, field in fields.items()}
    assert shape == {
        "id": None,
        "confidence": "12",
        "entropy": "12",
        "prediction": "12",
        "label": None,
        "length": None,
        "logits": "36",
    }
    kinds = {name: field["dataType"] for name, field in fields.items()}
    assert kinds["confidence"] == kinds["logits"] == "sc:Float"
    assert kinds["prediction"] == "sc:Integer"
    assert kinds["label"] == ["sc:Integer", "cr:Label"]
    assert "12 exits × 3 classes. Stored as a list of 36 halffloat." in fields["logits"]["description"]


def test_ones_own_trace_needs_what_it_does_not_say(mlcroissant, mine: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"requires license, url, creator, datePublished.*--date-published"):
        croissant(mine)
    with pytest.raises(InputError, match=r"requires creator, which the trace does not say: give --creator,"):
        croissant(mine, GIVEN | {"creator": None})
    document = croissant(mine, GIVEN, content_url="https://example.org/mine.parquet")
    assert {name: document[name] for name in ("license", "url")} == {
        name: GIVEN[name] for name in ("license", "url")
    }
    assert document["creator"] == {"@type": "sc:Person", "name": "A. Person"}
    assert document["distribution"][0]["contentUrl"] == "https://example.org/mine.parquet"
    assert "2 samples × 2 exits, 2 classes, without labels" in document["description"]
    assert "version" not in document
    assert "prov:wasDerivedFrom" not in document
    (tmp_path / "there").mkdir()
    data = opened(mlcroissant, croissant(mine, GIVEN), mine, tmp_path / "there")
    assert not data.metadata.ctx.issues.errors
    assert [record[f"{ROWS}/id"] for record in data.records(ROWS)] == [b"0", b"1"]


def test_the_manifest_says_it_and_what_is_given_takes_precedence(mine: Path) -> None:
    trace = splitee.load_trace(mine).replace(manifest=GIVEN | {"description": "Mine.", "citeAs": "Me."})
    trace.save(mine, overwrite=True)
    document = croissant(mine, {"url": "https://example.org/other", "citeAs": None})
    assert document["url"] == "https://example.org/other"
    assert (document["description"], document["citeAs"]) == ("Mine.", "Me.")
    assert set(REQUIRED) <= set(document)


def test_wrong_facts_are_refused(mine: Path) -> None:
    with pytest.raises(InputError, match=r"no fact 'licence' of a trace: .*license"):
        croissant(mine, GIVEN | {"licence": "CC0"})
    for date in ("2026-13-01", "yesterday", 2026):
        with pytest.raises(InputError, match=r"datePublished is .*: give a date as YYYY-MM-DD"):
            croissant(mine, GIVEN | {"datePublished": date})


def test_a_key_only_where_ids_are_unique(mine: Path) -> None:
    assert croissant(mine, GIVEN)["recordSet"][0]["key"] == {"@id": f"{ROWS}/id"}
    splitee.load_trace(mine).replace(id=["a", "a"]).save(mine, overwrite=True)
    assert "key" not in croissant(mine, GIVEN)["recordSet"][0]


def test_the_log_of_a_device_is_described_as_it_is(mlcroissant, mine: Path, tmp_path: Path) -> None:
    """It holds rows of which not every exit is known, and lists of any length."""
    table, _ = decode_table(mine.read_bytes())
    more = table.append_column("whole", pa.array([True, False]))
    more = more.append_column("exits", pa.array([[1], [1, 2]], pa.list_(pa.int32())))
    mine.write_bytes(encode_table(more, splitee.load_trace(mine)[:1].manifest))
    document = croissant(mine, GIVEN)
    (samples,) = document["recordSet"]
    assert samples["description"] == "One record per sample, 2 in all."
    assert "key" not in samples
    fields = {field["name"]: field for field in samples["field"]}
    assert fields["whole"]["dataType"] == "sc:Boolean"
    assert (fields["exits"]["dataType"], fields["exits"]["arrayShape"]) == ("sc:Integer", "-1")
    (tmp_path / "there").mkdir()
    records = opened(mlcroissant, document, mine, tmp_path / "there").records(ROWS)
    assert [list(record[f"{ROWS}/exits"]) for record in records] == [[1], [1, 2]]


def test_a_damaged_file_is_not_described(mine: Path) -> None:
    data = bytearray(mine.read_bytes())
    data[len(data) // 2] ^= 1
    mine.write_bytes(data)
    with pytest.raises(InputError, match=r"mine\.parquet"):
        croissant(mine, GIVEN)
