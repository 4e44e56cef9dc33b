"""Where compiled code is kept: beside the package, in the user's cache, or nowhere, with one warning."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "splitee"


def run(code: str, place: Path, *, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess:
    """Run Python code that imports the package from `place`."""
    environment = os.environ | {"PYTHONPATH": str(place), **variables}
    words = [sys.executable, "-c", code]
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    return ran


@pytest.mark.parametrize("kept", [True, False])
def test_a_read_only_package_is_no_obstacle(tmp_path: Path, kept: bool, monkeypatch) -> None:
    """numba itself is told which folders it can use, since this process may be allowed to write anywhere."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    cache = tmp_path / "cache"
    locators = "UserWideCacheLocator" if kept else ""
    code = (
        "import numba.core.caching as caching\n"
        f"names = {locators!r}.split()\n"
        "caching.CacheImpl._locator_classes = [getattr(caching, name) for name in names]\n"
        "import functions\n"
        "print(functions.two(1))"
    )
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    ran = run(code, PACKAGE.parent, cwd=tmp_path, HOME=str(cache), XDG_CACHE_HOME=str(cache))
    assert ran.stdout == "3\n"
    assert ran.stderr.count("compiled code cannot be cached") == (0 if kept else 1)
    assert bool(list(cache.rglob("*.nbi"))) == kept


FUNCTIONS = (
    "from splitee._internal.jit import kernel\n"
    "@kernel\ndef one(x):\n    return x + 1\n"
    "@kernel\ndef two(x):\n    return one(x) + 1\n"
)


def test_what_is_compiled_follows_every_file(tmp_path: Path, monkeypatch) -> None:
    """numba itself sees changes of a function's own file only."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    package = tmp_path / "splitee"
    unneeded = shutil.ignore_patterns("__pycache__", "*.nb?")
    shutil.copytree(PACKAGE / "_internal", package / "_internal", ignore=unneeded)
    (package / "__init__.py").touch()
    helper = package / "helper.py"
    helper.write_text("from splitee._internal.jit import kernel\n@kernel\ndef one(x):\n    return x + 1\n")
    (package / "caller.py").write_text(
        "from splitee._internal.jit import kernel\nfrom splitee.helper import one\n"
        "@kernel\ndef two(x):\n    return one(x) + 1\n"
    )

    def printed() -> str:
        code = "import splitee.caller; print(splitee.caller.two(1))"
        return run(code, tmp_path, cwd=tmp_path).stdout

    assert printed() == "3\n"
    helper.write_text(helper.read_text().replace("x + 1", "x + 10"))
    assert printed() == "12\n"


def test_compiling_is_told_once_and_what_was_kept_is_not(tmp_path: Path) -> None:
    """A terminal shows why nothing happens yet."""
    (tmp_path / "functions.py").write_text(
        "from splitee._internal.jit import when_compiling\n"
        "when_compiling(lambda: print('compiling'))\n"
        f"{FUNCTIONS}"
        "print(two(1))\n"
    )

    def told() -> list[str]:
        cache = str(tmp_path / "cache")
        return run("import functions", PACKAGE.parent, cwd=tmp_path, NUMBA_CACHE_DIR=cache).stdout.split()

    assert told() == ["compiling", "3"]
    assert told() == ["3"]
