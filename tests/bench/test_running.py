"""The whole benchmark on a small suite: the same bytes however it is run; good and bad files."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from policy_files import BAD, GOOD

from splitee._internal.errors import InputError
from splitee.bench import entrants, running, suite, tables
from splitee.bench.running import bench, here

# A smaller suite in every process that runs it: a module that workers import too.
SMALL = """
import splitee.bench.entrants as entrants, splitee.bench.suite as suite
import splitee.bench.playing, splitee.bench.tables as tables, splitee.bench.running as running
from dataclasses import replace

NAMES = "cloud-only", "fixed split", "SplitEE", "oracle per sample"
SOME = tuple(e for e in entrants.ENTRANTS if e.name in NAMES)
TRACES = ("mrpc_validation", "rte_validation", "sst2_validation")
CELLS = tuple(replace(c, number=k) for k, c in enumerate(c for c in suite.cells() if c.trace in TRACES))
for module in (suite, tables, running):
    module.cells = lambda: CELLS
for module in (entrants, tables, running):
    module.ENTRANTS = SOME
"""
BYTES = ("cells.parquet", "bench.json")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A suite of three traces and four entrants, in this process and in those it starts."""
    (tmp_path / "small_suite.py").write_text(SMALL)
    for module, names in ((suite, ["cells"]), (tables, ["cells", "ENTRANTS"]),
                          (running, ["cells", "ENTRANTS"]), (entrants, ["ENTRANTS"])):  # fmt: skip
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))
    suite._seal.cache_clear()  # of the whole suite
    exec(SMALL, {})
    yield tmp_path
    suite._seal.cache_clear()  # of the small one


def digests(folder: Path) -> list[str]:
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in BYTES]


def test_the_same_bytes_twice_and_a_page(small) -> None:
    lines, steps = [], []
    one = bench(small / "one", play_on=here(1), report=lines.append, advance=steps.append)
    assert len(steps) == len(running.cells())
    assert all(steps)
    two = bench(small / "two", play_on=here(1))
    assert digests(one) == digests(two)
    document = json.loads((one / "bench.json").read_text())
    assert [e["name"] for e in document["entrants"]] == [
        "cloud-only",
        "fixed split",
        "SplitEE",
        "oracle per sample",
    ]
    assert "SplitEE" in (one / "page.html").read_text(encoding="utf-8")
    assert set(json.loads((one / "times.json").read_text())) == {e["name"] for e in document["entrants"]}
    assert not (small / "one.partial").exists()
    with pytest.raises(FileExistsError):
        bench(one, play_on=here(1))


def test_files_are_ranked_among_the_stored_field(small, monkeypatch) -> None:
    frame_of = bench(small / "field", play_on=here(1))
    monkeypatch.setattr(tables, "FIELD", small / "field.parquet")
    tables.store_field(pd.read_parquet(frame_of / "cells.parquet"), small / "field.parquet")
    (small / "mine.py").write_text(GOOD)
    (small / "bad.py").write_text(BAD["raises"][0])
    lines: list[str] = []
    out = bench(small / "out", [small / "mine.py", small / "bad.py"], play_on=here(1), report=lines.append)
    document = json.loads((out / "bench.json").read_text())
    assert document["own"] == ["mine"]
    assert document["failed"] == {"bad": "line 15: IndexError: list index out of range"}
    both = bench(small / "both", [small / "mine.py"], again=True, play_on=here(1))
    assert json.loads((both / "bench.json").read_text())["tables"] == document["tables"]
    with pytest.raises(
        InputError, match="mine: took more than 1e-09 s of the processor: give fewer settings"
    ):
        bench(small / "late", [small / "mine.py"], limit=1e-9, play_on=here(1))
    late = bench(small / "late", [small / "mine.py"], play_on=here(1), report=lines.append)
    assert lines[-1].endswith("pieces are there from an earlier run")
    assert digests(late)[0] == digests(bench(small / "again", [small / "mine.py"], play_on=here(1)))[0]
    with pytest.raises(InputError, match="bad: line 15: IndexError"):
        bench(small / "none", [small / "bad.py"], play_on=here(1))
    assert not (small / "none").exists()
    assert not (small / "none.partial").exists()


@pytest.mark.slow
def test_what_a_file_reads_beside_it_is_part_of_it(small, monkeypatch) -> None:
    field = bench(small / "field", play_on=here(1))
    monkeypatch.setattr(tables, "FIELD", small / "field.parquet")
    tables.store_field(pd.read_parquet(field / "cells.parquet"), small / "field.parquet")
    (small / "alpha_beside.py").write_text("ALPHA = 0.7\n")
    (small / "mine.py").write_text(
        "from alpha_beside import ALPHA\n" + GOOD.replace("self.threshold:", "ALPHA:")
    )
    first = bench(small / "first", [small / "mine.py"], play_on=here(1))
    with pytest.raises(InputError, match="took more"):
        bench(small / "second", [small / "mine.py"], limit=1e-9, play_on=here(1))
    (small / "alpha_beside.py").write_text("ALPHA = 0.99\n")
    lines: list[str] = []
    second = bench(small / "second", [small / "mine.py"], play_on=here(1), report=lines.append)
    assert not lines
    assert digests(first)[0] != digests(second)[0]


def test_bad_requests(small) -> None:
    (small / "cloud-only.py").write_text(GOOD)
    (small / "text.txt").write_text("")
    for files, said in (
        ([small / "none.py"], "no such file"),
        ([small / "text.txt"], "is no Python file"),
        ([small / "cloud-only.py"], "two entrants are called cloud-only"),
    ):
        with pytest.raises(InputError, match=said):
            bench(small / "out", files, play_on=here(1))
    (small / "full").mkdir()
    (small / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="holds more than a benchmark's results"):
        bench(small / "full", play_on=here(1), overwrite=True)
    assert (small / "full" / "thesis.tex").exists()


RUN = """
import sys
import small_suite
from splitee.bench import running
from splitee.bench.running import bench, here, on


def work(common, item, work=running.work):
    import small_suite
    return work(common, item)


running.work = work  # Ray's workers import the small suite, too
if __name__ == "__main__":
    out, how = sys.argv[1:3]
    if how == "ray":
        from splitee._internal.ray import Cluster
        play = on(Cluster())
    else:
        play = here(int(how))
    bench(out, play_on=play, report=print)
"""


def started(folder: Path, out: str, how: str) -> subprocess.Popen:
    (folder / "run.py").write_text(RUN)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    return subprocess.Popen([sys.executable, "run.py", out, how], cwd=folder, env=env)


@pytest.mark.slow
def test_the_same_bytes_on_one_process_two_and_ray_and_after_kill(small) -> None:
    ray = pytest.importorskip("ray")
    assert started(small, "one", "1").wait(300) == 0
    assert started(small, "two", "2").wait(300) == 0
    assert started(small, "rays", "ray").wait(300) == 0
    running_ = started(small, "killed", "1")
    while not list((small / "killed.partial").glob("field-*.json")) and running_.poll() is None:
        time.sleep(0.02)
    running_.send_signal(signal.SIGKILL)
    running_.wait()
    assert started(small, "killed", "1").wait(300) == 0
    for other in ("two", "rays", "killed"):
        assert digests(small / "one") == digests(small / other), other
    assert ray.__version__
