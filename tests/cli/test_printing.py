"""Results are written before anything is printed, and names do not run in a terminal."""

import os
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import commands
import pytest
from made_up import random_trace

import splitee
from splitee.cli.printing import printable

FEW = ("--policy", "final-exit", "--repeats", "2", "--device-layers", "all", "--threshold", "0.8")


def started(*arguments: object, stdout: int = subprocess.PIPE, **variables: str) -> CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "splitee", *map(str, arguments)],
        env=commands.environment() | variables,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    random_trace(30).replace(name="α=b").save(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_a_full_standard_output_loses_no_results(trace: Path, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = started("run", trace, *FEW, "--out", tmp_path / "out", stdout=full.fileno())
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "standard output: no space left" in done.stderr
    assert len(splitee.load_results(tmp_path / "out")) == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_cannot_be_encoded_is_replaced(trace: Path, encoding: str) -> None:
    done = started("run", trace, *FEW, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "final-exit" in done.stdout


@pytest.mark.parametrize("threads", ["0", "-1", "x", ""])
def test_threads_that_numba_cannot_have(trace: Path, threads: str) -> None:
    done = started("run", trace, *FEW, NUMBA_NUM_THREADS=threads)
    assert done.returncode == 2
    assert "NUMBA_NUM_THREADS" in done.stderr
    assert done.stderr.count("\n") == 1


def test_replays_are_compiled_whatever_numba_is_told(trace: Path) -> None:
    done = started("run", trace, *FEW, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0
    assert done.stderr == "splitee: NUMBA_DISABLE_JIT is ignored: replays need compiled functions\n"


def test_control_characters_are_shown_as_escapes(tmp_path: Path) -> None:
    assert printable("a\x1b[31m\tb\n\x07\x9b\u202e") == "a\\x1b[31m\tb\n\\x07\\x9b\\u202e"
    manifest = {"class_names": ["\x1b]0;x\x07", "b"], "data": "\x1b[2J"}
    random_trace(30).replace(name="=cmd\x1b[31m", manifest=manifest).save(tmp_path / "t.parquet")
    for words in (("trace", "show"), ("trace", "verify"), ("run", *FEW)):
        ran = commands.splitee(*words, tmp_path / "t.parquet")
        assert ran.code == 0
        assert not {"\x1b", "\x07"} & set(ran.out + ran.err)
    assert "\x1b" not in commands.splitee("trace", "show", tmp_path / "\x1b[31m").complaint


def test_colours_stay_on_a_terminal(trace: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    assert started("trace", "show", trace, stdout=theirs, TERM="xterm").returncode == 0
    os.close(theirs)
    assert b"\x1b[1m" in os.read(ours, 100_000)
    os.close(ours)
