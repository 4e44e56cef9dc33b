"""`splitee run` as a person meets it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import commands
import numpy as np
import pandas as pd
import pytest
from commands import run
from made_up import random_trace
from rich.console import Console
from rich.progress import Progress

import splitee
from splitee.cli.meter import Meter
from splitee.replay.orders import stream_of


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
    with mock.patch("splitee.report.figures.curves.save_figures"):  # seen above
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
    (["TRACE", "--policy", "split:9"], "9 is not from 1 to 4"),
    (["TRACE", "--threshold", "1.5"], "between 0 and 1"),
    (["TRACE", "--offload", "cheap"], "--offload 'cheap' is not a finite number"),
    (["TRACE", "--mu", "-1"], "--mu '-1' is not a finite number of at least 0"),
    (["TRACE", "--device-layers", "5"], "from 1 to 4"),
    (["TRACE", "--repeats", "0"], "at least 1"),
    (["TRACE", "--exploration", "nan"], "finite"),
    (["TRACE", "TRACE"], "two traces are called mine"),
    (["TRACE", "--max-drop", "nan"], "points of accuracy"),
    (["TRACE", "--policy", "split:²"], "policy split:²: '²' is not a number of layers"),
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


NO_COST = "is not a finite number of at least 0: write it as 5, 0.7 or 5/6"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--choices"], "--choices needs --out: give a folder"),
        (["--overwrite"], "--overwrite needs --out: give a folder"),
        (
            ["--layer-cost", "-1"],
            "--layer-cost '-1' is not a finite number of at least 0: write it as 5, 0.7 or 5/6",
        ),
        (
            ["--exit-cost", "nan"],
            "--exit-cost 'nan' is not a finite number of at least 0: write it as 5, 0.7 or 5/6",
        ),
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
        (["nosuch"], "no command is called 'nosuch': there are run, bench, sweep, report, trace, train, "),
        (["rum"], "'rum': did you mean run? there are run, "),
        (["trace", "shwo"], "'shwo': did you mean show? there are calibrate, croissant, export, "),
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


def scenarios(*arguments: object) -> list[dict]:
    ran = commands.splitee("run", *arguments, "--repeats", "2", "--json")
    assert ran.code == 0, ran
    return json.loads(ran.out)["scenarios"]


def test_numbers_are_read_as_in_a_grid(trace_file: Path) -> None:
    common = (trace_file, "--policy", "cloud-only", "--threshold", "3/4")
    found = scenarios(*common, "--layer-cost", "5/6", "--exit-cost", "1/6", "--device-layers", "half,1,all")
    assert [s["device_layers"] for s in found] == [2, 1, 4]
    assert {(s["threshold"], s["layer_cost"], s["exit_cost"]) for s in found} == {(0.75, 5 / 6, 1 / 6)}
    (one,) = scenarios(*common, "--device-layers", "2,half", "--offload-input", "1/2", "--exploration", "1/4")
    assert (one["offload_input"], one["exploration"], one["device_layers"]) == (0.5, 0.25, 2)
    assert [s["mu"] for s in scenarios(*common, "--mu", "1/10,0.2", "--device-layers", "4")] == [0.1, 0.2]


def test_several_thresholds_are_several_scenarios(trace_file: Path, tmp_path: Path) -> None:
    options = (trace_file, "--policy", "SplitEE,splits", "--device-layers", "all", "--repeats", "2")
    out = tmp_path / "out"
    ran = commands.splitee("run", *options, "--threshold", "0.7,0.8", "--out", out)
    assert ran.code == 0, ran
    assert {path.name for path in out.iterdir() if path.is_dir()} == {
        "mine_o5_mu0.1_m4_a0.7",
        "mine_o5_mu0.1_m4_a0.8",
    }
    table = pd.read_csv(out / "summary.csv")
    assert set(table["threshold"]) == {0.7, 0.8}
    noted = json.loads((out / "run.json").read_text())["scenarios"]
    assert [s["policy"] for s in noted] == [["splitee", "splits"]] * 2
    assert noted[0]["policies"][0]["cost"] != noted[1]["policies"][0]["cost"]
    page = commands.splitee("report", out)
    assert page.out.endswith("2 scenarios\n")
    assert "--threshold 0.7,0.8" in (out / "report.html").read_text(encoding="utf-8")


def test_recommended_is_a_threshold_too(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    random_trace(30).replace(manifest={"recommended_threshold": {"value": 0.6}}).save(path)
    options = (path, "--policy", "cloud-only", "--device-layers", "2")
    assert [s["threshold"] for s in scenarios(*options, "--threshold", "recommended,0.8,0.6")] == [0.6, 0.8]


def test_traces_are_lists_names_files_and_standard_input(trace_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "a,b.parquet"  # a comma in a file's name is no list
    random_trace(40, layers=4).replace(name="other").save(other)
    few = ("--policy", "cloud-only", "--device-layers", "2", "--threshold", "0.7")
    listed = f"{trace_file},rte_validation"
    assert [s["trace"] for s in scenarios(listed, other, *few)] == ["mine", "rte_validation", "other"]
    command = [sys.executable, "-m", "splitee", "run", "-", *few, "--json", "--repeats", "2"]
    with trace_file.open("rb") as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, check=True)
    assert json.loads(done.stdout)["scenarios"][0]["trace"] == "mine"
    done = subprocess.run(command, input=b"no trace", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"splitee: standard input: is not a Parquet file")


def test_what_is_no_name_of_a_trace_is_one_line() -> None:
    for wrong in (3, None, ["imdb"]):
        with pytest.raises(
            splitee.InputError, match=r"^trace is .*: give a file or a bundled name \(.*imdb, "
        ):
            splitee.load_trace(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--policy", "splitte"], "did you mean splitee?"),
        (["--policy", "deebert:2"], "at most ln 2 = 0.693 nats"),
        (["--threshold", "0.7,0.70000001"], "two scenarios are called mine_o5_mu0.1_m4_a0.7"),
        (["--threshold", "0.7,1.5"], "--threshold '1.5' is not a confidence between 0 and 1"),
        (["--device-layers", "half,9"], "--device-layers 9 is not from 1 to 4"),
        (["--device-layers", "some"], "--device-layers 'some' is not a number of layers"),
        (["--layer-cost", "1,2"], "--layer-cost '1,2' is not a finite number"),
        (["--offload", "5,5.0"], "--offload 5.0 occurs twice"),
    ],
)
def test_wrong_values_are_one_line(options: list[str], words: str, trace_file: Path) -> None:
    few = [] if "--threshold" in options else ["--threshold", "0.7"]
    assert words in commands.splitee("run", trace_file, *options, *few).complaint


def test_delay_and_the_traces_own_order() -> None:
    args = ("run", "rte_validation", "--policy", "splitee", "--device-layers", "half", "--json")
    trace, costs = splitee.load_trace("rte_validation"), splitee.CostModel(device_layers=6)
    for options, given in (
        (("--delay", "5", "--repeats", "3"), {"delay": 5, "repeats": 3}),
        (("--stream", "own"), {"orders": [range(277)]}),
        (("--stream", "gradual", "--repeats", "2"), {"orders": stream_of("gradual", trace, 2)}),
    ):
        (scenario,) = json.loads(commands.run(*args, *options).stdout)["scenarios"]
        (row,) = scenario["policies"]
        result = splitee.replay(trace, splitee.SplitEE(0.8), costs, **given)
        assert row["cost"] == result.cost.mean()
        assert row["repeats"] == len(result.cost)
