"""A few mutated inputs of every format; `python -m tests.fuzz.tables` reads many more."""

import pytest

from fuzz import tables
from fuzz.driver import run


@pytest.mark.parametrize("name", tables.FORMATS)
def test_mutated_tables_are_read_or_refused(name):
    found = run(name, *tables.FORMATS[name], count=60, seed=7, alone=False)
    assert found.clean, found.examples
    assert found.accepted, "the unchanged part must be valid"
    assert found.refused
