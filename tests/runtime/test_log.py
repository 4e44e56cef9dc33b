"""The log holds all that happened, and is a trace of what is wholly known; its journal outlives a kill."""

import json
from pathlib import Path

import numpy as np
import pairs
import pytest
import serving
import toys

import splitee
from splitee._internal.errors import InputError
from splitee.runtime.halves import open_half
from splitee.runtime.journal import Journal, read_lines
from splitee.runtime.log import load_log, write_log
from splitee.runtime.predicting import measured, predicted
from splitee.runtime.records import CLOUD, Record
from splitee.runtime.replaying import replay
from splitee.runtime.setting import Rules
from splitee.runtime.view import View

HEAD = {"setting": {}, "input": "test"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("log")
    half = open_half(toys.checkpoint(folder / "model"), 3)
    setting = pairs.setting_of(half, "splitee", every_exit=True)
    with serving.serving(folder / "model") as server:
        device = pairs.opened(half, setting, folder / "journal", server.url)
        records = pairs.play(device, pairs.sentences(50))
        pairs.shut(device)
    write_log(setting, records, folder / "log.parquet", overwrite=False)
    return folder, setting, records


def test_a_log_and_its_journal_say_the_same(run) -> None:
    folder, setting, records = run
    for file in (folder / "log.parquet", folder / "journal"):
        found = load_log(file)
        assert found.setting == setting
        assert found.records == records
        assert replay(Rules(found.setting), found.records) is None


def test_a_log_is_a_trace_of_what_the_cloud_answered(run) -> None:
    folder, _, records = run
    trace = splitee.load_trace(folder / "log.parquet")
    whole = [one for one in records if one.by == CLOUD]
    assert 0 < len(whole) < len(records)
    assert trace.id.tolist() == [one.id for one in whole]
    assert trace.layers == 4
    assert trace.exit_layers == (1, 2, 3, 4)
    for row, one in enumerate(whole):
        assert trace.confidence[row, 3] == np.float32(one.confidence)
        for exit_, confidence in zip(one.exits, one.confidences, strict=True):
            assert trace.confidence[row, exit_ - 1] == np.float32(confidence)
    costs = splitee.CostModel(device_layers=3)
    assert (
        len(splitee.replay(trace, ["thompson", "cloud-only"], costs, threshold=0.8, repeats=2).summary()) == 2
    )


def test_a_log_without_a_whole_sample_is_no_trace(run, tmp_path: Path) -> None:
    _, setting, records = run
    write_log(
        setting, [one for one in records if not one.offloaded][:3], tmp_path / "log.parquet", overwrite=False
    )
    with pytest.raises(InputError, match="--complete-log"):
        splitee.load_trace(tmp_path / "log.parquet")
    assert len(load_log(tmp_path / "log.parquet").records) == 3


def test_what_is_no_log(run, tmp_path: Path) -> None:
    folder, setting, records = run
    with pytest.raises(FileExistsError):
        write_log(setting, records, folder / "log.parquet", overwrite=False)
    with pytest.raises(InputError, match="no sample came"):
        write_log(setting, [], tmp_path / "log.parquet", overwrite=False)
    damaged = bytearray((folder / "log.parquet").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.parquet").write_bytes(damaged)
    splitee.load_trace(folder / "log.parquet").save(tmp_path / "trace.parquet")
    for name, line in (("damaged.parquet", "checksum"), ("trace.parquet", "no log of splitee device")):
        with pytest.raises(InputError, match=line):
            load_log(tmp_path / name)


def test_every_damage_of_a_journal_is_found_but_a_torn_end(run, tmp_path: Path) -> None:
    data = (run[0] / "journal").read_bytes()
    lines = data.splitlines(keepends=True)
    found, end = read_lines(data, "it")
    assert end == len(data)
    assert len(found) == len(lines)
    for cut in (1, len(lines[0]) - 1, len(data) - 3, len(data) - len(lines[-1])):
        assert read_lines(data[:cut], "it")[1] <= cut
    changed = bytearray(data)
    changed[len(lines[0]) + 20] ^= 4
    with pytest.raises(InputError, match="damaged in line 2"):
        read_lines(bytes(changed), "it")
    (tmp_path / "journal").write_bytes(b"".join([lines[0], *lines[3:]]))
    with pytest.raises(InputError, match="damaged"):
        Journal(tmp_path / "journal", json.loads(lines[0][9:]))


def test_a_journal_is_of_one_run_and_one_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", HEAD)
    with pytest.raises(InputError, match="is in use"):
        Journal(tmp_path / "journal", HEAD)
    journal.close()
    Journal(tmp_path / "journal", HEAD).close()
    with pytest.raises(InputError, match="input is test there, other here"):
        Journal(tmp_path / "journal", {**HEAD, "input": "other"})


def test_what_the_system_predicts_of_the_decisions(run) -> None:
    """By hand: 2 ms a layer, 1 ms the exit, 4 bytes a token at 1 Mbit/s, a round trip of 10 ms."""
    _, setting, records = run
    system = splitee.System(
        splitee.DeviceProfile(layer_ms=2.0, exit_ms=1.0), splitee.Link(1.0, 10.0), sends="input"
    )
    found = predicted(Rules(setting), system, records, one_at_a_time=True)
    latency = [
        2.0 * one.layer + 1.0 + (10.0 + 32 * one.tokens / 1000 if one.offloaded else 0.0) for one in records
    ]
    assert found["latency"] == pytest.approx(np.mean(latency))
    assert found["latency_p95"] == pytest.approx(np.percentile(latency, 95))
    assert found["kilobytes"] == pytest.approx(
        np.mean([one.offloaded * 4 * one.tokens / 1000 for one in records])
    )
    assert measured(records)["latency_p50"] == np.median([one.latency for one in records])


def test_the_view_counts(run) -> None:
    _, _, records = run
    view = View()
    for one in records:
        view.add(one)
    found = view.to_dict()
    both = [one for one in records if one.by == CLOUD and one.predictions]
    assert found["answered"] == 50
    assert found["offloaded"] == sum(one.offloaded for one in records)
    assert found["agreement"] == np.mean([one.predictions[-1] == one.prediction for one in both])


def test_a_record_goes_through_json() -> None:
    record = Record(1, "a", 5, 0.0, 1.5, 0, (1, 3), (0.25, 0.5), (0, 1), offloaded=True, ms={"own": 0.1})
    copy = Record.of(json.loads(json.dumps(record.decided())))
    assert copy == record
    record.late = (3, 0.5, 1)
    copy.set_answer(json.loads(json.dumps(record.answer())))
    assert copy == record
