"""Where the bundled files come from: every fact has a place, and addresses are those of the project."""

import datetime
import tomllib
from pathlib import Path

import pytest

from splitee.data.origins import CREATOR, DATA_SETS, REPOSITORY, WEIGHTS, published
from splitee.data.tasks import TASKS

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_addresses_and_authors_are_the_projects() -> None:
    assert PROJECT["urls"]["Repository"] == REPOSITORY
    assert f'name: "{CREATOR}"' in (Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("origin", [*DATA_SETS.values(), *WEIGHTS.values()], ids=lambda origin: origin.name)
def test_every_origin_says_who_where_and_under_which_licence(origin) -> None:
    assert origin.url.startswith("https://")
    assert origin.citation.rpartition("(")[2][:4].isdigit() or "(20" in origin.citation
    assert origin.licence
    assert origin.licence_url is None or origin.licence_url.startswith("https://")


def test_data_sets_are_named_as_tasks_are() -> None:
    assert set(DATA_SETS) - set(TASKS) == {"caltech101"}  # images have no task


def test_dates_are_dates() -> None:
    for name in ("imdb", "caltech101_blur1", "slender_imdb"):
        assert datetime.date.fromisoformat(published(name))
