import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from trace_strategies import traces

from splitee._internal.errors import InputError
from splitee.trace import Trace, bundled, from_bytes, load_trace
from splitee.trace import file as trace_file
from splitee.trace.checks import check_trace


@pytest.fixture
def tiny():
    return Trace([[0.6, 0.9], [0.8, 0.7]], [[0, 1], [1, 1]], label=[1, 0], name="tiny")


def content(trace):
    return trace_file.encode(trace.columns, trace.manifest)


def load_bytes(data):
    return from_bytes(data)


def resealed(trace, change):
    """The file of a trace whose table and manifest were changed, with a checksum that fits."""
    data = content(trace)
    table, manifest = change(pq.read_table(io.BytesIO(data)).replace_schema_metadata(None), trace.manifest)
    return trace_file.encode_table(table, manifest)


# --- the file


@given(traces())
@settings(max_examples=60)
def test_what_is_saved_is_loaded_and_saves_the_same_bytes(trace):
    data = content(trace)
    loaded = load_bytes(data)
    assert loaded.manifest == trace.manifest
    assert loaded.columns.keys() == trace.columns.keys()
    for name, values in trace.columns.items():
        assert loaded.columns[name].dtype == values.dtype
        np.testing.assert_array_equal(loaded.columns[name], values)
    assert content(loaded) == data


def test_any_changed_byte_is_caught():
    data = content(Trace([[0.6, 0.9]], [[0, 1]], label=[1], group=["splitee.sha256"]))
    assert load_bytes(data).samples == 1
    for place in range(len(data)):
        for mask in (0x01, 0x20, 0xFF):  # 0x20 turns lower case into upper
            changed = bytearray(data)
            changed[place] ^= mask
            with pytest.raises(InputError):
                load_bytes(bytes(changed))


def test_any_cut_or_addition_is_caught(tiny):
    data = content(tiny)
    for length in range(len(data)):
        with pytest.raises(InputError):
            load_bytes(data[:length])
    with pytest.raises(InputError):
        load_bytes(data + b"\0")
    with pytest.raises(InputError):
        load_bytes(data + data)


def test_a_text_that_imitates_the_checksum_field_does_no_harm():
    text = "\x18\x0esplitee.sha256\x18\x40" + "0" * 64
    trace = Trace([[0.6, 0.9]], [[0, 1]], id=[text], group=[text], name=text, manifest={text: text})
    assert load_bytes(content(trace)).id[0] == text


def test_the_layout_is_compact_and_plain(tiny):
    trace = tiny.replace(entropy=np.zeros((2, 2)), logits=np.zeros((2, 2, 2)), classes=2)
    meta = pq.ParquetFile(io.BytesIO(content(trace))).metadata
    columns = {c.path_in_schema: c for c in (meta.row_group(0).column(i) for i in range(meta.num_columns))}
    for name in ("confidence", "entropy"):
        assert columns[f"{name}.list.element"].encodings == ("RLE", "BYTE_STREAM_SPLIT")
    assert "BYTE_STREAM_SPLIT" not in columns["logits.list.element"].encodings  # DuckDB could not read it
    assert {c.compression for c in columns.values()} == {"ZSTD"}
    assert content(trace).count(b"splitee.sha256") == 1


@pytest.mark.parametrize(
    ("classes", "kind"), [(128, pa.int8()), (129, pa.int16()), (2**15, pa.int16()), (2**15 + 1, pa.int32())]
)
def test_classes_take_the_smallest_integer_that_fits(classes, kind):
    trace = Trace([[0.6, 0.9]], [[0, classes - 1]], label=[classes - 1], classes=classes)
    schema = pq.read_schema(io.BytesIO(content(trace)))
    assert schema.field("prediction").type.value_type == schema.field("label").type == kind
    assert load_bytes(content(trace)).prediction[0, 1] == classes - 1


def test_pandas_reads_it_as_it_is(tiny, tmp_path):
    tiny.save(tmp_path / "t.parquet")
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert list(frame.columns) == ["id", "confidence", "prediction", "label"]
    np.testing.assert_array_equal(np.stack(frame["confidence"]), tiny.confidence)
    assert frame["label"].tolist() == [1, 0]


def test_the_manifest_can_be_read_without_splitee(tiny):
    metadata = pq.read_metadata(io.BytesIO(content(tiny))).metadata
    manifest = json.loads(metadata[b"splitee"])
    assert manifest == tiny.manifest
    assert manifest["schema"] == 1
    assert len(metadata[b"splitee.sha256"]) == 64


# --- files that are sound, but no traces


def drop(name):
    return lambda table, manifest: (table.drop_columns([name]), manifest)


def put(name, values):
    def change(table, manifest):
        where = table.column_names.index(name)
        return table.set_column(where, pa.field(name, values.type), values), manifest

    return change


def say(**facts):
    return lambda table, manifest: (table, {**manifest, **facts})


def lists(rows, size=2, kind=None):
    return pa.array(rows, pa.list_(kind or pa.float32(), size))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put("confidence", lists([[0.6, float("nan")], [0.8, 0.7]])), r"exit 2 \(from 1\) is nan"),
        (put("confidence", lists([[0.6, 0.3], [0.8, 0.7]])), "below 1/classes"),
        (put("confidence", lists([[0.6, None], [0.8, 0.7]])), "column confidence lacks some values"),
        (put("confidence", lists([[0.6, 0.7], None])), "lacks some values|cannot be read as Parquet"),
        (put("confidence", lists([[0.6, 0.9], [0.8, 0.75]])), "manifest says fingerprint"),
        (put("confidence", lists([[0.6] * 3, [0.8] * 3], 3)), r"prediction must have shape \(2, 3\)"),
        (put("confidence", pa.array([0.6, 0.7])), "column confidence has type double"),
        (put("prediction", lists([["a", "b"]] * 2, kind=pa.string())), "must hold numbers"),
        (put("prediction", lists([[0, 1], [1, 5]], kind=pa.int8())), "is class 5"),
        (
            put("label", pa.array([1, None], pa.int8())),
            "column label lacks some values: it must have all, or none",
        ),
        (put("label", pa.array([1, 7], pa.int8())), "is class 7"),
        (drop("prediction"), "lacks the column prediction"),
        (drop("id"), "lacks the column id"),
        (lambda table, manifest: (table.slice(0, 0), manifest), "has no samples"),
        (
            lambda table, manifest: (table.append_column("id", pa.array([1, 2])), manifest),
            "duplicate column names",
        ),
        (lambda table, manifest: (table, None), "without a schema version"),
        (say(schema=2), "newer splitee .*upgrade"),
        (say(schema="1"), "without a schema version"),
        (say(samples=3), "manifest says samples = 3, but the columns give 2"),
        (say(layers=3), "manifest says layers"),
        (say(classes=1), "classes must be"),
        (say(name=None), "name must be a non-empty text"),
        (say(confidence="odds"), "manifest says confidence"),
        (lambda table, manifest: (table, []), "without a schema version"),
    ],
)
def test_a_fitting_checksum_does_not_excuse_bad_content(tiny, change, says, tmp_path):
    path = tmp_path / "bad.parquet"
    path.write_bytes(resealed(tiny, change))
    with pytest.raises(InputError, match=says) as caught:
        check_trace(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_unknown_columns_and_empty_optional_ones_are_ignored(tiny):
    def change(table, manifest):
        table = table.append_column("tomorrow", pa.array([1, 2]))
        return table.append_column("length", pa.array([None, None], pa.int32())), manifest

    assert load_bytes(resealed(tiny, change)).fingerprint == tiny.fingerprint


def test_other_parquet_files_are_pointed_to_the_import(tiny, tmp_path):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(InputError, match=r"not a trace.*splitee trace import"):
        load_trace(path)
    path.write_text("sample,exit\n")
    with pytest.raises(InputError, match=r"not a Parquet file.*splitee trace import"):
        load_trace(path)
    tiny.save(path, overwrite=True)
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="does not match its checksum"):
        load_trace(path)
    path.write_bytes(content(tiny)[:-9])
    with pytest.raises(InputError, match="cut off"):
        load_trace(path)


# --- saving and finding


def test_save_refuses_to_overwrite(tiny, tmp_path):
    path = tmp_path / "new" / "t.parquet"
    tiny.save(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="--overwrite"):
        tiny.replace(label=None).save(path)
    assert path.read_bytes() == before
    tiny.replace(label=None).save(path, overwrite=True)
    assert not load_trace(path).has_labels


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_old_file_and_no_litter(tiny, tmp_path, monkeypatch, failure):
    path = tmp_path / "t.parquet"
    tiny.save(path)
    before = path.read_bytes()

    def half(self, data):
        with open(self, "wb") as file:
            file.write(data[: len(data) // 2])
        raise failure

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(type(failure)):
        tiny.replace(label=None).save(path, overwrite=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["t.parquet"]


def test_bundled_names_and_near_misses(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "_BUNDLED", tmp_path)
    for name in ("imdb", "yelp"):
        tiny.replace(name=name).save(tmp_path / f"{name}.parquet")
    assert bundled.bundled_traces() == ["imdb", "yelp"]
    assert load_trace("imdb").name == "imdb"
    with pytest.raises(
        InputError, match=r"^imbd: no such file, nor a bundled trace \(imdb, yelp\); did you mean 'imdb'\?$"
    ):
        load_trace("imbd")
    with pytest.raises(InputError, match="no such file"):
        load_trace("zzz.parquet")
    with pytest.raises(InputError, match="is a folder"):
        load_trace(tmp_path)
