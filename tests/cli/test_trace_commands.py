"""The commands as a person runs them: in another process, judged by output, exit code and files.

Also splitee.cli.listing, splitee.cli.show and splitee.cli.threshold.
"""

import json
import subprocess
import sys
from functools import partial

import commands
import numpy as np
import pytest
from commands import refused

from splitee.trace import Trace, bundled_traces, load_trace
from splitee.trace.threshold import recommend_threshold

splitee = partial(commands.run, "trace")


@pytest.fixture
def saved(tmp_path):
    trace = Trace(
        [[0.6, 0.9, 0.95], [0.8, 0.7, 0.85], [0.55, 0.65, 0.9]],
        [[0, 1, 1], [1, 1, 1], [0, 0, 0]],
        [1, 1, 0],
        name="toy",
        manifest={"model": "mpnet", "exit_layers": [4, 8, 12]},
    )
    path = tmp_path / "toy.parquet"
    trace.save(path)
    return path


def test_show_prints_a_table(saved):
    done = splitee("show", saved)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "toy, 3 samples × 3 exits, 2 classes, with labels" in done.stdout
    assert "model: mpnet" in done.stdout
    assert "α = 0.7 (default: the trace recommends none)" in done.stdout
    assert "break-even o: " in done.stdout
    assert "66.67%" in done.stdout


def test_show_json_is_one_document(saved):
    done = splitee("show", saved, "--json", "--threshold", "0.85")
    shown = json.loads(done.stdout)
    assert shown["manifest"] == load_trace(saved).manifest
    assert shown["threshold"] == {"value": 0.85, "source": "given"}
    first, second, last = shown["exits"]
    assert (first["exit"], first["layer"], last["layer"]) == (1, 4, 12)
    assert first["accuracy"] == pytest.approx(2 / 3)
    assert first["break_even_offload"] is None  # nobody exits there
    assert second["break_even_offload"] == pytest.approx((5 / 6 * second["layer"] + 1 / 6) / (1 / 3))
    # nothing is sent from the last exit, whatever its confidence
    assert last["break_even_offload"] == pytest.approx(5 / 6 * 12 + 1 / 6)
    assert last["calibration_error"] == pytest.approx(0.1, abs=1e-6)


def test_show_says_how_informative_the_confidence_is(saved):
    first, second, last = json.loads(splitee("show", saved, "--json").stdout)["exits"]
    assert first["auroc"] == 0.5  # 0.8 is right, 0.6 wrong, 0.55 right
    assert second["auroc"] is None  # every answer is right
    assert (last["auroc_agreement"], last["macro_f1"], last["balanced_accuracy"]) == (None, 1, 1)


def test_list_names_the_bundled_traces_and_those_of_a_folder(saved, tmp_path):
    every = json.loads(splitee("list", "--json").stdout)["traces"]
    assert [one["trace"] for one in every] == bundled_traces()
    for one in every:
        trace = load_trace(one["trace"])
        facts = trace.samples, trace.layers, trace.classes, trace.has_labels, trace.recommended_threshold
        assert tuple(one[k] for k in ("samples", "exits", "classes", "labels", "threshold")) == facts
    (tmp_path / "other.parquet").write_bytes(b"PAR1")
    done = splitee("list", tmp_path)
    assert "toy.parquet" in done.stdout
    assert "not a trace: " in done.stderr
    assert "other.parquet" in done.stderr
    assert "is not a folder" in refused(splitee("list", saved))


def test_threshold_by_a_rule_and_by_a_budget(saved):
    chosen = json.loads(splitee("threshold", "rte_validation", "--rule", "best", "--json").stdout)
    assert chosen == recommend_threshold(load_trace("rte_validation"), "best").to_dict()
    assert "α = 0.8 by the rule within:0.5" in splitee("threshold", "rte_validation").stdout
    done = splitee("threshold", "rte_validation", "--budget", "6")
    policy = done.stdout.rpartition("--policy ")[2].strip()
    args = ("run", "rte_validation", "--policy", policy, "--repeats", "1", "--device-layers", "all", "--json")
    replayed = json.loads(commands.run(*args).stdout)["scenarios"][0]["policies"]
    assert len(replayed) == 1
    assert f"mean cost {replayed[0]['cost']:.3f} λ, accuracy {replayed[0]['accuracy']:.2%}" in done.stdout
    assert "give one" in refused(splitee("threshold", saved, "--budget", "2", "--rule", "best"))
    assert "budget 99" in refused(splitee("threshold", saved, "--budget", "99"))


def test_show_without_labels_tells_agreement(saved):
    trace = load_trace(saved).replace(
        label=None, manifest={"recommended_threshold": {"value": 0.8, "rule": "best accuracy"}}
    )
    trace.save(saved, overwrite=True)
    done = splitee("show", saved)
    assert "recommended α = 0.8 (best accuracy)" in done.stdout
    assert "α = 0.8 (recommended by the trace)" in done.stdout
    assert "agrees" in done.stdout
    shown = json.loads(splitee("show", saved, "--json").stdout)
    assert shown["exits"][0]["accuracy"] is None
    assert shown["exits"][0]["agreement"] == pytest.approx(2 / 3)


def test_verify_says_ok_or_why_not(saved):
    done = splitee("verify", saved)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok: toy, 3 samples")
    load_trace(saved).replace(label=None).save(saved, overwrite=True)
    assert "warning: no labels" in splitee("verify", saved).stdout
    report = json.loads(splitee("verify", saved, "--json").stdout)
    assert report["ok"]
    assert len(report["warnings"]) == 1
    data = bytearray(saved.read_bytes())
    data[100] ^= 1
    saved.write_bytes(data)
    assert "does not match its checksum" in refused(splitee("verify", saved))
    assert "no such file" in refused(splitee("verify", saved.with_name("other.parquet")))


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_export_and_import_by_way_of_pipes(saved, tmp_path, layout):
    table = splitee("export", saved, "--out", "-", "--format", layout)
    assert (table.returncode, table.stderr) == (0, "")
    out = tmp_path / "back.parquet"
    done = splitee("import", "-", "--out", out, stdin=table.stdout)
    assert done.returncode == 0
    assert load_trace(out).fingerprint == load_trace(saved).fingerprint
    assert load_trace(out).name == "stdin"


def test_export_tells_the_flags_that_the_import_needs(saved, tmp_path):
    load_trace(saved).replace(classes=4, softmax=False).save(saved, overwrite=True)
    table = tmp_path / "t.csv"
    done = splitee("export", saved, "--out", table)
    assert f"splitee trace import {table} --scores --classes 4" in done.stderr
    out = tmp_path / "back.parquet"
    assert splitee("import", table, "--out", out, "--scores", "--classes", 4).returncode == 0
    assert load_trace(out).fingerprint == load_trace(saved).fingerprint
    assert "exists already" in refused(splitee("export", saved, "--out", table))
    assert splitee("export", saved, "--out", table, "--overwrite").returncode == 0


def test_import_takes_maps_and_names(tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("doc,c1,c2,y1,y2\nx,0.6,0.9,bad,good\n")
    out = tmp_path / "t.parquet"
    arguments = ["import", table, "--out", out, "--map", "confidence=c{}", "--map", "prediction=y{}"]
    done = splitee(*arguments, "--map", "id=doc", "--class-names", "good, bad", "--name", "films")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{out}: films, 1 samples")
    trace = load_trace(out)
    assert (list(trace.id), trace.prediction.tolist()) == (["x"], [[1, 0]])
    assert "exists already" in refused(splitee(*arguments))
    assert splitee(*arguments, "--overwrite").returncode == 0
    assert load_trace(out).name == "mine"


def test_import_takes_npz_from_a_pipe(tmp_path):
    path, out = tmp_path / "a.npz", tmp_path / "t.parquet"
    np.savez(path, confidence=[[0.6, 0.7]], prediction=[[0, 1]])
    with path.open("rb") as stdin:
        command = [sys.executable, "-m", "splitee", "trace", "import", "-", "--out", str(out)]
        assert subprocess.run(command, stdin=stdin, capture_output=True).returncode == 0
    assert load_trace(out).samples == 1


def test_bad_imports_are_one_line_and_leave_nothing(tmp_path):
    table, out = tmp_path / "mine.csv", tmp_path / "t.parquet"
    table.write_text("sample,exit,confidence,prediction\na,1,x,0\n")
    assert f"{table}: column 'confidence', row 2: 'x' is not a number" in refused(
        splitee("import", table, "--out", out)
    )
    line = refused(splitee("import", table, "--out", out, "--map", "x"))
    assert "--map 'x' has no =: write it as OURS=THEIRS" in line
    assert "no such file" in refused(splitee("import", tmp_path / "none.csv", "--out", out))
    assert not out.exists()


def test_help_is_there():
    for name in ("show", "verify", "import", "export"):
        done = splitee(name, "--help")
        assert done.returncode == 0
        assert "\b" not in done.stdout
    assert "logits" in splitee("export", "--help").stdout


def test_no_command_writes_over_what_it_reads(saved, tmp_path):
    table = tmp_path / "toy.csv"
    assert splitee("export", saved, "--out", table).returncode == 0
    away = tmp_path / "link.csv"
    away.symlink_to(table)
    for arguments in (
        ("import", table, "--out", table),
        ("import", table, "--out", away),
        ("export", saved, "--out", saved),
        ("join", saved, saved, "--out", saved),
        ("calibrate", saved, "--source", saved, "--out", saved),
    ):
        before = saved.read_bytes(), table.read_bytes()
        assert "is an input file" in refused(splitee(*arguments, "--overwrite"))
        assert (saved.read_bytes(), table.read_bytes()) == before


def test_places_that_cannot_be_written_are_told_before_any_work(saved, tmp_path):
    table = tmp_path / "no such table.csv"  # which would be told, were it read
    (tmp_path / "folder").mkdir()
    line = refused(splitee("import", table, "--out", tmp_path / "folder", "--overwrite"))
    assert "folder is a folder: give a file in it" in line
    line = refused(splitee("import", table, "--out", saved / "x.parquet"))
    assert "toy.parquet is not a folder" in line
