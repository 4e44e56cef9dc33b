"""The folders that `splitee run` writes load, or say which of their folders do."""

import json
from pathlib import Path

import commands
import pytest
from made_up import easy, random_trace
from pandas.testing import assert_frame_equal

import splitee
from splitee.results.files import results_folder


def test_the_folder_of_a_run_loads(tmp_path: Path) -> None:
    random_trace(60).save(tmp_path / "t.parquet")
    words = ["run", tmp_path / "t.parquet", "--policy", "splitee", "--repeats", 2, "--device-layers", "all"]
    assert commands.splitee(*words, "--out", tmp_path / "one").code == 0
    assert list(splitee.load_results(tmp_path / "one")) == ["SplitEE"]
    assert results_folder(tmp_path / "one").parent == tmp_path / "one"
    assert commands.splitee(*words, "--offload", "1,2", "--out", tmp_path / "two").code == 0
    with pytest.raises(splitee.InputError, match=r"load one of its scenarios, .*random_o1_mu0\.1_m5, .*_o2_"):
        splitee.load_results(tmp_path / "two")


def test_certificates_are_saved(tmp_path: Path) -> None:
    policies = [splitee.CertifiedSplit(0.05), splitee.AuditedStopping(0.05), splitee.SplitEE(0.7)]
    costs = splitee.CostModel(offload=12.0, device_layers=3)
    results = splitee.replay(easy(n=1500), policies, costs, repeats=2)
    results.save(tmp_path / "all")
    loaded = splitee.load_results(tmp_path / "all")
    for name in list(results)[:2]:
        assert len(results[name].certificate()) > 2
        assert_frame_equal(loaded[name].certificate(), results[name].certificate())
    with pytest.raises(splitee.InputError, match="SplitEE reports no certificate"):
        loaded["SplitEE"].certificate()
    loaded.save(tmp_path / "again")
    again = splitee.load_results(tmp_path / "again")
    assert_frame_equal(again[name].certificate(), results[name].certificate())
    (tmp_path / "all" / "certificate.parquet").unlink()
    with pytest.raises(splitee.InputError, match=r"certificate.parquet is missing"):
        splitee.load_results(tmp_path / "all")


def test_results_without_checksums_load_and_damaged_ones_do_not(tmp_path: Path) -> None:
    splitee.replay(random_trace(30), ["splitee", "random"], repeats=2).save(tmp_path / "r", choices=True)
    manifest = tmp_path / "r" / "manifest.json"
    document = json.loads(manifest.read_text())
    older = {key: value for key, value in document.items() if key not in ("files", "sha256")}
    for changed, words in (
        (older | {"schema": 1}, None),
        (document | {"schema": 1}, "does not match its checksum"),
        (document | {"mu": 0.2}, "does not match its checksum"),
        (older, "does not match its checksum"),
        (document | {"schema": 3}, "another schema"),
        (document, None),
    ):
        manifest.write_text(json.dumps(changed))
        if words is None:
            assert list(splitee.load_results(tmp_path / "r")) == ["SplitEE", "random"]
        else:
            with pytest.raises(splitee.InputError, match=words):
                splitee.load_results(tmp_path / "r")
    (tmp_path / "r" / "choices.parquet").unlink()
    with pytest.raises(splitee.InputError, match=r"choices\.parquet is missing"):
        splitee.load_results(tmp_path / "r")


def test_results_of_an_older_engine_load() -> None:
    """The columns are as they were: the terms of the cost are found by their names."""
    trace = random_trace(30)
    result = splitee.replay(trace, splitee.SplitEE(0.8), repeats=2)
    assert result.measures.metrics == (
        "accuracy", "agreement", "cost", "reward", "utility", "offload_rate",
        "cost_layers", "cost_exits", "cost_offload",
    )  # fmt: skip
