"""The house: every module is named in a test, and the package root stays small."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "splitee"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)
MOST_ENTRIES = 16  # of the package root, besides these
ALWAYS_THERE = {"__init__.py", "__main__.py", "__pycache__", "py.typed"}


@pytest.fixture(scope="module")
def tests() -> str:
    """The text of all test files but this one."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    return "\n".join(path.read_text(encoding="utf-8") for path in files if path != Path(__file__))


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_named_in_a_test(module: str, tests: str) -> None:
    room, _, name = module.rpartition(".")
    if (ROOT / "tests" / "/".join(room.split(".")[1:]) / f"test_{name}.py").exists():
        return  # its mirror
    written = re.escape(module) + r"\b"
    imported = rf"from {re.escape(room)} import (\([^)]*|[^\n]*)\b{name}\b"
    assert re.search(f"{written}|{imported}", tests), f"no test names {module}: write one that tries it"


def test_the_package_root_stays_small() -> None:
    entries = {path.name for path in PACKAGE.iterdir()} - ALWAYS_THERE
    assert len(entries) <= MOST_ENTRIES, sorted(entries)
