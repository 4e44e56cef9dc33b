"""Some flipped bits of everything that is stored; `python -m tests.fuzz.flips` flips many more."""

import subprocess
import sys
from pathlib import Path

import commands
import pytest

from fuzz.flips import KINDS

ROOT = Path(__file__).parents[2]


def flipped(kind: str, count: int) -> str:
    words = [sys.executable, "-m", "tests.fuzz.flips", "--kind", kind, "--count", str(count)]
    done = subprocess.run(
        words, cwd=ROOT, env=commands.environment(), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(("kind", "count"), [("results", 20), ("cells", 1)])
def test_a_few_flips(kind: str, count: int) -> None:
    assert flipped(kind, count).endswith("\n0 wrong\n")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_flips(kind: str) -> None:
    assert flipped(kind, 12).endswith("\n0 wrong\n")
