"""The folders that `splitee run` writes load, or say which of their folders do."""

from pathlib import Path

import commands
import pytest
from made_up import random_trace

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


def test_results_of_an_older_engine_load() -> None:
    """The columns are as they were: the terms of the cost are found by their names."""
    trace = random_trace(30)
    result = splitee.replay(trace, splitee.SplitEE(0.8), repeats=2)
    assert result.measures.metrics == (
        "accuracy", "agreement", "cost", "reward", "utility", "offload_rate",
        "cost_layers", "cost_exits", "cost_offload",
    )  # fmt: skip
