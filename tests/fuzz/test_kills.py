"""Two kills of every command; `python -m tests.fuzz.kills` makes all."""

import subprocess
import sys
from pathlib import Path

import commands
import pytest

from fuzz.kills import CASES

ROOT = Path(__file__).parents[2]


def killed(name: str, most: int, folder: Path) -> str:
    words = ["-m", "tests.fuzz.kills", "--command", name, "--most", str(most), "--folder", str(folder)]
    environment = commands.environment()
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_an_import_that_is_killed(tmp_path: Path) -> None:
    assert killed("import", 2, tmp_path).endswith("\n0 wrong\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_command_that_is_killed(name: str, tmp_path: Path) -> None:
    assert killed(name, 2, tmp_path).endswith("\n0 wrong\n")
