"""`splitee run` as a person meets it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import pandas as pd
import pytest
from made_up import random_trace
from rich.console import Console
from rich.progress import Progress

import splitee
from splitee.cli.meter import Meter


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "splitee", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def trace_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "mine.parquet"
    random_trace(300, layers=4).replace(name="mine").save(path)
    return path


def test_table_remarks_and_both_devices(trace_file: Path) -> None:
    done = run("run", trace_file, "--max-drop", "2")
    assert done.returncode == 0
    for words in (
        "holds all 4 of 4 layers",
        "holds the first 2 of 4 layers",
        "SplitEE-S (published)*",
        "final-exit†",
        "μ·o = 0.50 ≥ 1 − 1/K = 0.50",
        "break-even",
        "300 distinct samples",
        "loses at most 2 points",
    ):
        assert words in done.stdout, words
    assert "recommends no threshold; using α = 0.7" in done.stderr


def test_json_is_one_document_with_the_tables_numbers(trace_file: Path) -> None:
    options = ("--threshold", "0.8", "--offload", "1,8", "--mu", "0.1", "--device-layers", "2,4")
    done = run("run", trace_file, *options, "--json", "--repeats", "3")
    document = json.loads(done.stdout)
    assert [(s["offload"], s["device_layers"]) for s in document["scenarios"]] == [
        (1, 2),
        (1, 4),
        (8, 2),
        (8, 4),
    ]
    trace = splitee.load_trace(trace_file)
    results = splitee.replay(
        trace, splitee.SplitEE(0.8), splitee.CostModel(offload=8, device_layers=2), repeats=3
    )
    row = document["scenarios"][2]["policies"][0]
    assert row["policy"] == "SplitEE"
    assert row["cost"] == results.cost.mean()
    assert row["accuracy"] == results.accuracy.mean()


def test_out_holds_tables_and_figures_and_is_not_overwritten(trace_file: Path, tmp_path: Path) -> None:
    options = (
        "run",
        trace_file,
        "--policy",
        "splitee",
        "--policy",
        "splits",
        "--repeats",
        "2",
        "--out",
        "out",
    )
    assert run(*options, cwd=tmp_path).returncode == 0
    folder = tmp_path / "out" / "mine_o5_mu0.1_m4"
    names = {path.name for path in folder.iterdir()}
    assert {"summary.csv", "summary.parquet", "repeats.csv", "manifest.json", "accuracy_cost.png"} <= names
    assert {"accuracy_cost.pdf", "regret.png", "regret.pdf", "layers_over_time.png"} <= names
    table = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert set(table["device_layers"]) == {2, 4}
    before = (folder / "manifest.json").stat().st_mtime_ns
    refused = run(*options, cwd=tmp_path)
    assert refused.returncode == 2
    assert "overwrite" in refused.stderr
    assert (folder / "manifest.json").stat().st_mtime_ns == before
    (tmp_path / "out" / "report.html").write_text("of the results before")
    again = run(*options, "--overwrite", cwd=tmp_path)
    assert again.returncode == 0
    assert "removed" in again.stderr
    assert not (tmp_path / "out" / "report.html").exists(), "it would show what is no more"


def test_a_trace_without_labels_shows_agreement(tmp_path: Path) -> None:
    random_trace(50, labels=False).save(tmp_path / "t.parquet")
    done = run("run", tmp_path / "t.parquet", "--threshold", "0.8", "--repeats", "2", "--preset", "paper")
    assert done.returncode == 0
    assert "agreement" in done.stdout
    assert "accuracy" not in done.stdout


OPTIONS = [
    (["--send-input"], {"policies": splitee.SplitEE(0.8, send_input=True)}),
    (["--offload-input", "0.5"], {"costs": splitee.CostModel(offload_input=0.5, device_layers=2)}),
    (["--layer-cost", "2"], {"costs": splitee.CostModel(layer=2, device_layers=2)}),
    (["--exit-cost", "2"], {"costs": splitee.CostModel(exit=2, device_layers=2)}),
    (["--seed", "7"], {"seed": 7}),
    (["--mu", "0.02"], {"mu": 0.02}),
    (["--exploration", "0.1"], {"policies": splitee.SplitEE(0.8, exploration=0.1)}),
]


@pytest.mark.parametrize(("given", "same"), OPTIONS)
def test_every_option_arrives(given: list[str], same: dict, trace_file: Path) -> None:
    names = ("--policy", "splitee", "--policy", "cloud-only")
    common = ("--threshold", "0.8", "--device-layers", "2", "--repeats", "2", "--json")
    (scenario,) = json.loads(run("run", trace_file, *names, *common, *given).stdout)["scenarios"]
    same = {"policies": splitee.SplitEE(0.8), "costs": splitee.CostModel(device_layers=2), "mu": 0.1} | same
    pair = [same.pop("policies"), splitee.CloudOnly()]
    results = splitee.replay(splitee.load_trace(trace_file), pair, repeats=2, threshold=0.8, **same)
    for row, result in zip(scenario["policies"], results.values(), strict=True):
        assert row["cost"] == result.cost.mean()
        assert row["reward"] == result.reward.mean()


def test_names_with_brackets_and_odd_manifests(tmp_path: Path) -> None:
    odd = {"recommended_threshold": None}
    random_trace(30).replace(name="data [v2] [/red]", manifest=odd).save(tmp_path / "t.parquet")
    done = run("run", tmp_path / "t.parquet", "--repeats", "2", "--preset", "paper")
    assert done.returncode == 0, done.stderr
    assert "data [v2] [/red]: 30 samples" in done.stdout


def test_run_json_in_out_is_not_overwritten(trace_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("mine")
    assert run("run", trace_file, "--out", tmp_path / "out").returncode == 2
    assert (tmp_path / "out" / "run.json").read_text() == "mine"


def test_the_paper_preset_takes_the_papers_threshold_and_the_whole_device(tmp_path: Path) -> None:
    told = {"value": 0.6, "rule": "within:0.5", "accuracy": {"0.60": 0.9, "0.85": 0.92, "0.90": 0.92}}
    random_trace(50).replace(manifest={"recommended_threshold": told}).save(tmp_path / "t.parquet")
    document = json.loads(run("run", tmp_path / "t.parquet", "--preset", "paper", "--json").stdout)
    (scenario,) = document["scenarios"]
    assert (scenario["threshold"], scenario["offload"], scenario["device_layers"]) == (0.85, 5, 5)


BAD = [
    (["nowhere.parquet"], "no such file"),
    (["TRACE", "--policy", "splite"], "did you mean splitee?"),
    (["TRACE", "--policy", "split:9"], "layers 1 to 4"),
    (["TRACE", "--threshold", "1.5"], "between 0 and 1"),
    (["TRACE", "--offload", "cheap"], "numbers separated by commas"),
    (["TRACE", "--mu", "-1"], "not negative"),
    (["TRACE", "--device-layers", "5"], "from 1 to 4"),
    (["TRACE", "--repeats", "0"], "at least 1"),
    (["TRACE", "--exploration", "nan"], "finite"),
    (["TRACE", "TRACE"], "two scenarios"),
    (["TRACE", "--max-drop", "nan"], "points of accuracy"),
    (["TRACE", "--policy", "split:²"], "no policy"),
    (["TRACE", "--offload", "1e308"], "between 0 and"),
    (["TRACE", "--out", "TRACE"], "is a file"),
    (["TRACE", "--interval", "both"], "--interval"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], words: str, trace_file: Path) -> None:
    given = [str(trace_file) if a == "TRACE" else a for a in arguments]
    done = run("run", *given, *([] if "--threshold" in given else ["--threshold", "0.7"]))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_damaged_trace_is_named(trace_file: Path, tmp_path: Path) -> None:
    data = bytearray(trace_file.read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "bad.parquet").write_bytes(data)
    done = run("run", tmp_path / "bad.parquet")
    assert done.returncode == 2
    assert "bad.parquet" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_results_are_written_though_nobody_reads_the_tables(trace_file: Path, tmp_path: Path) -> None:
    words = ["run", trace_file, "--policy", "splitee", "--threshold", 0.7, "--out", tmp_path / "out"]
    command = [sys.executable, "-m", "splitee", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0
    assert (tmp_path / "out" / "run.json").exists()


def test_importing_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "numba", "pandas", "matplotlib", "pyarrow", "scipy", "rich", "jinja2")
    for statement in ("import splitee", "from splitee.cli import cli"):
        code = f"import sys; {statement}; print([m for m in {heavy!r} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def test_a_table_on_the_terminal_needs_no_pandas(trace_file: Path) -> None:
    words = ["run", str(trace_file), "--policy", "splitee"]
    code = (
        f"import sys; from splitee.cli import cli; cli({words!r}, standalone_mode=False); "
        "print([m for m in ('pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_run_and_trace_work_without_torch(trace_file: Path, tmp_path: Path) -> None:
    block = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.partition('.')[0] in ('torch', 'transformers', 'datasets', 'safetensors'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from splitee.cli import main; main()"
    )
    for arguments in (["run", str(trace_file), "--threshold", "0.7"], ["trace", "show", str(trace_file)]):
        command = [sys.executable, "-c", block, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_help_says_what_symbols_mean() -> None:
    text = run("run", "--help").stdout
    for symbol in ("α", "β", "μ", "λ₁"):
        assert symbol in text
    assert np.all([option in text for option in ("--max-drop", "--preset", "--interval", "--json")])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--choices"], "--choices is of what is written: give --out, too"),
        (["--overwrite"], "--overwrite is of what is written: give --out, too"),
        (["--layer-cost", "-1"], "--layer-cost -1: give a price in λ, at least 0"),
        (["--exit-cost", "nan"], "--exit-cost nan: give a price in λ, at least 0"),
    ],
)
def test_options_that_do_not_go_together_are_told(arguments: list[str], words: str) -> None:
    done = run("run", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"splitee: {words}\n"


def test_a_place_below_a_file_is_told_before_anything_is_played(trace_file: Path) -> None:
    done = run("run", trace_file, "--out", trace_file / "results")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{trace_file} is not a folder" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--nosuch"], "No such option '--nosuch'"),
        (["run", "--repeats", "many"], "'many' is not a valid integer (see splitee run --help)"),
        (["nosuch"], "no command is called 'nosuch': there are run, sweep, report, trace, train, "),
        (["rum"], "'rum': did you mean run? there are run, "),
        (["trace", "shwo"], "'shwo': did you mean show? there are calibrate, export, import, "),
        (["run", "--offload"], "Option '--offload' requires an argument (see splitee run --help)"),
        (["trace", "import"], "Missing argument 'FILE' (see splitee trace import --help)"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(arguments: list[str], words: str) -> None:
    assert words in commands.splitee(*arguments).complaint


def test_a_shell_completes_a_line_without_a_word_of_complaint() -> None:
    asked = {"_SPLITEE_COMPLETE": "bash_complete", "COMP_CWORD": "2"}
    for line, offered in (
        ("splitee trace sh", "plain,show\n"),
        ("splitee nosuch r", "plain,run\nplain,report\n"),
    ):
        environment = os.environ | asked | {"COMP_WORDS": line}
        words = [sys.executable, "-m", "splitee"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, offered, "")


def test_what_is_said_while_a_bar_is_shown_has_lines_of_its_own() -> None:
    meter, shown = Meter("work", "{:.0f} a second"), io.StringIO()
    meter.bar = Progress(console=Console(file=shown, force_terminal=True, width=60))
    with meter:
        meter.bar.add_task("work", total=2)
        meter.bar.start()
        meter.say("compiling [once]")
    assert any(line.endswith("\x1b[2Kcompiling [once]") for line in shown.getvalue().splitlines())


def test_without_a_command_the_commands_are_told() -> None:
    ran = commands.splitee()
    assert ran.code == 2
    assert "Replay policies over traces" in ran.err


def test_interrupted_it_says_so_as_shells_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("splitee.trace.load_trace", interrupted)
    ran = commands.splitee("run", "rte_validation")
    assert (ran.code, ran.out, ran.err.strip()) == (130, "", "splitee: interrupted")
