"""Where compiled code is kept: beside the package, in the user's cache, or nowhere, with one warning."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "splitee"
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
    assert ran.stderr.count("no cache folder is writable") == (0 if kept else 1)
    assert bool(list(cache.rglob("*.nbi"))) == kept


def test_what_is_compiled_follows_every_file(tmp_path: Path) -> None:
    """numba itself sees changes of a function's own file only."""
    shutil.copytree(
        PACKAGE, tmp_path / "splitee", ignore=shutil.ignore_patterns("__pycache__", "data", "*.nb?")
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    code = CODE.replace("split.tolist()", "totals[0, 3]")

    def played() -> float:
        words = [sys.executable, "-c", code]
        ran = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=tmp_path, check=True)
        return float(ran.stdout)

    before = played()
    helpers = tmp_path / "splitee" / "policies" / "rewards.py"
    text = helpers.read_text()
    assert "return np.uintp(layer) - np.uintp(1) if layer else np.uintp(0)" in text
    helpers.write_text(
        text.replace(
            "return np.uintp(layer) - np.uintp(1) if layer else np.uintp(0)",
            "return np.uintp(layer) * np.uintp(0)",
        )
    )
    assert played() != before


def test_compiling_is_told_once_and_what_was_kept_is_not(tmp_path: Path) -> None:
    """A terminal shows why nothing happens yet."""
    (tmp_path / "functions.py").write_text(
        "from splitee._internal.jit import compiled, when_compiling\n"
        "when_compiling(lambda: print('compiling'))\n"
        "@compiled\ndef one(x):\n    return x + 1\n"
        "@compiled\ndef two(x):\n    return one(x) + 1\n"
        "print(two(1))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    words = [sys.executable, "-c", "import functions"]

    def told() -> list[str]:
        ran = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=tmp_path, check=True)
        return ran.stdout.split()

    assert told() == ["compiling", "3"]
    assert told() == ["3"]
