"""The traces that commands read, and the α and the source that belong to one."""

import io
from types import SimpleNamespace

import pytest
from made_up import random_trace

import splitee
from splitee._internal.errors import InputError
from splitee.cli.traces import read_trace, read_traces, source_of, threshold_of


@pytest.fixture
def file(tmp_path):
    random_trace(20, layers=3).replace(name="mine").save(tmp_path / "mine.parquet")
    return tmp_path / "mine.parquet"


def test_files_bundled_names_and_standard_input(file, monkeypatch):
    mine = splitee.load_trace(file)
    assert read_trace(file).fingerprint == mine.fingerprint
    assert [trace.name for trace in read_traces(["rte_validation", f"{file},rte_validation"])][1:] == [
        "mine",
        "rte_validation",
    ]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(file.read_bytes())))
    assert read_trace("-").fingerprint == mine.fingerprint
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"no trace")))
    with pytest.raises(InputError, match="standard input"):
        read_trace("-")


def test_alpha_is_given_or_recommended_or_the_default():
    plain = random_trace(20, layers=3)
    recommending = plain.replace(manifest={"recommended_threshold": {"value": 0.8}})
    assert threshold_of(recommending, 0.6)[0] == 0.6
    assert threshold_of(recommending, None)[0] == threshold_of(recommending, "recommended")[0] == 0.8
    assert threshold_of(plain, None)[0] == 0.7
    origins = {threshold_of(trace, given)[1] for trace, given in ((plain, 0.6), (plain, None))}
    assert len(origins | {threshold_of(recommending, None)[1]}) == 3


def test_the_source_is_the_bundled_one_of_the_same_model(file):
    assert source_of(splitee.load_trace("imdb"), None).name == "sst2_validation"
    assert source_of(splitee.load_trace("imdb"), str(file)).name == "mine"
    assert source_of(splitee.load_trace(file), None) is None
