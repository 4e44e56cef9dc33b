"""Every example in a docstring runs and gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

import splitee

MODULES = sorted(
    m.name for m in pkgutil.walk_packages(splitee.__path__, "splitee.") if "__main__" not in m.name
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
