"""A few mutated inputs of every format; `python -m tests.fuzz.settings` reads many more."""

import pytest

from fuzz import settings
from fuzz.driver import run


@pytest.mark.parametrize("name", settings.FORMATS)
def test_mutated_settings_are_read_or_refused(name: str) -> None:
    found = run(name, *settings.FORMATS[name], count=25, seed=7, alone=False)
    assert found.clean, found.examples
    assert found.accepted, "the unchanged part must be valid"
    assert found.refused
