"""`splitee run --out`: the folder is what the command says, from one run, old or new."""

import json
import threading
from pathlib import Path
from unittest import mock

import commands
import pandas as pd
import pytest
from made_up import random_trace

import splitee
from splitee.cli import output

FEW = ("--policy", "final-exit", "--repeats", "2", "--threshold", "0.8")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    random_trace(30).replace(name="=1+1").save(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


@pytest.fixture(autouse=True)
def drawings():
    """Figures take a second each; an empty file stands for them."""
    with mock.patch(
        "splitee.report.figures.curves.save_figures", lambda _, folder: (folder / "a.png").touch()
    ):
        yield


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def run(trace: Path, *more: object) -> commands.Ran:
    return commands.splitee("run", trace, *FEW, *more, "--out", trace.parent / "out")


def test_the_folder_holds_exactly_what_the_command_says(trace: Path) -> None:
    out = trace.parent / "out"
    assert run(trace, "--offload", "1,2", "--device-layers", "all,half").code == 0
    assert len(names(out)) == 4 + 3
    (out / "notes.txt").write_text("mine")
    (out / "report.html").write_text("of the old results")
    assert "exists already" in run(trace, "--offload", "2").complaint
    ran = run(trace, "--offload", "2", "--device-layers", "all", "--overwrite")
    assert "removed" in ran.err
    assert names(out) == {"=1+1_o2_mu0.1_m5", "run.json", "summary.csv", "fingerprints.json", "notes.txt"}
    assert list(splitee.load_results(out)) == ["final-exit"]
    assert names(trace.parent) == {"out", "t.parquet"}


def test_a_file_in_a_scenario_s_folder_is_not_lost(trace: Path) -> None:
    run(trace, "--device-layers", "all")
    thesis = trace.parent / "out" / "=1+1_o5_mu0.1_m5" / "thesis.tex"
    thesis.write_text("mine")
    assert "thesis.tex was not written by splitee run" in run(trace, "--overwrite").complaint
    assert thesis.read_text() == "mine"


def test_results_of_before_there_were_fingerprints_are_replaced_too(trace: Path) -> None:
    out = trace.parent / "out"
    run(trace, "--offload", "1,2", "--device-layers", "all")
    (out / "fingerprints.json").unlink()
    assert run(trace, "--offload", "3", "--device-layers", "all", "--overwrite").code == 0
    assert names(out) == {"=1+1_o3_mu0.1_m5", "run.json", "summary.csv", "fingerprints.json"}


def test_of_two_runs_at_once_the_second_is_refused(trace: Path) -> None:
    seen: list[str] = []

    def meanwhile(*given: object, **named: object) -> None:
        if threading.current_thread() is threading.main_thread() and not seen:
            seen.append("")
            seen.append(run(trace).complaint)
        write(*given, **named)

    write = output.write_scenarios
    with mock.patch.object(output, "write_scenarios", meanwhile):
        assert run(trace, "--device-layers", "all").code == 0
    assert "another run is writing" in seen[1]
    assert "out.partial" not in names(trace.parent)


@pytest.mark.parametrize("name", ["a" * 300, "t.parquet", "t.parquet/below"])
def test_a_bad_place_is_refused_before_the_work(trace: Path, name: str) -> None:
    with mock.patch("splitee.replay.replay.replay", side_effect=AssertionError):
        commands.splitee("run", trace, *FEW, "--out", trace.parent / name).complaint  # noqa: B018
    assert names(trace.parent) == {"t.parquet"}


def test_names_are_no_formulas_in_csv(trace: Path) -> None:
    run(trace, "--device-layers", "all")
    table = pd.read_csv(trace.parent / "out" / "summary.csv")
    assert set(table["trace"]) == {"'=1+1"}
    assert json.loads((trace.parent / "out" / "run.json").read_text())["scenarios"][0]["trace"] == "=1+1"
