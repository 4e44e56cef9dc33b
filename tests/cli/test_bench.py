"""`splitee bench` on the command line: its lists, and its refusals of one line."""

import json

import pytest
from click.testing import CliRunner

from splitee.bench.entrants import ENTRANTS
from splitee.bench.suite import QUESTIONS, cells
from splitee.bench.tables import PARTS
from splitee.bench.words import TRACKS
from splitee.cli import bench as command_line
from splitee.cli import cli


def run(*given: str):
    return CliRunner().invoke(cli, ["bench", *given])


def test_the_lists() -> None:
    found = run("--cells")
    assert found.exit_code == 0
    assert found.output.count("\n") == 1 + len(cells()) + len(ENTRANTS)
    document = json.loads(run("--cells", "--json").output)
    assert len(document["cells"]) == len(cells())
    assert command_line.QUESTIONS == QUESTIONS
    assert command_line.PARTS == PARTS == tuple(TRACKS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "give --out FOLDER"),
        (("none.py", "--out", "out"), "no such file"),
        (("--out", "out", "--track", "drifting"), "drift"),
        (("--out", "out", "--workers", "0"), "workers"),
    ],
)
def test_bad_requests_are_one_line(tmp_path, monkeypatch, given, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    found = run(*given)
    assert found.exit_code != 0
    assert said in f"{found.output}{found.exception}"
    assert not (tmp_path / "out").exists()
