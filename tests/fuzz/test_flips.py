"""Some flipped bits of everything that is stored; `python -m tests.fuzz.flips` flips many more."""

import subprocess
import sys
from pathlib import Path

import commands
import pytest

from fuzz.flips import KINDS, flip

ROOT = Path(__file__).parents[2]


def flipped(kind: str, count: int) -> str:
    words = [sys.executable, "-m", "tests.fuzz.flips", "--kind", kind, "--count", str(count)]
    done = subprocess.run(
        words, cwd=ROOT, env=commands.environment(), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_a_few_flips_of_results(tmp_path: Path) -> None:
    assert not [outcome for outcome in flip("results", 20, 0, tmp_path) if "WRONG" in outcome]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_flips(kind: str) -> None:
    assert flipped(kind, 3).endswith("\n0 wrong\n")
