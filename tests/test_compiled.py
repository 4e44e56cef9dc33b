"""Where compiled code is kept: beside the package, in the user's cache, or nowhere, with one warning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "splitee"
CODE = (
    "import splitee, numpy as np\n"
    "trace = splitee.Trace([[0.6, 0.9], [0.8, 0.9], [0.9, 0.95]], [[0, 1], [1, 1], [0, 0]])\n"
    "print(splitee.replay(trace, splitee.SplitEE(0.7), orders=[[0, 1, 2]]).split.tolist())\n"
)


@pytest.mark.parametrize("kept", [True, False])
def test_a_read_only_package_is_no_obstacle(tmp_path: Path, kept: bool) -> None:
    """numba itself is told which folders it can use, since this process may be allowed to write anywhere."""
    cache = tmp_path / "cache"
    locators = "UserWideCacheLocator" if kept else ""
    patch = (
        "import numba.core.caching as caching\n"
        f"names = {locators!r}.split()\n"
        "impl = caching.CacheImpl\n"
        "impl._locator_classes = [getattr(caching, name) for name in names]\n"
    )
    environment = os.environ | {
        "PYTHONPATH": str(PACKAGE.parent),
        "HOME": str(cache),
        "XDG_CACHE_HOME": str(cache),
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    words = [sys.executable, "-c", patch + CODE]
    ran = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "[[1, 2, 2]]\n"
    assert ran.stderr.count("compiled code cannot be kept") == (0 if kept else 1)
    assert bool(list(cache.rglob("*.nbi"))) == kept
