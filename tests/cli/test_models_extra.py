"""What the commands that need torch share."""

import importlib.util

import click
import pytest

from splitee._internal.errors import InputError
from splitee.cli.models_extra import check_source, data_options, names_list, need_models_extra, pairs


def test_missing_libraries_are_named_together(monkeypatch):
    real = importlib.util.find_spec
    gone = ("torch", "accelerate")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in gone else real(name))
    with pytest.raises(InputError, match=r"torch and accelerate.*splitee\[models\]"):
        need_models_extra()


def test_one_source_of_texts_is_named():
    check_source("imdb", None, {"--label-column": None}, {"--split": "test"})
    check_source(None, "a.csv", {"--label-column": "label"}, {"--split": None})
    for given in ((None, None), ("imdb", "a.csv")):
        with pytest.raises(InputError, match="--task"):
            check_source(*given, {})
    with pytest.raises(InputError, match=r"--label-column .*--task"):
        check_source("imdb", None, {"--label-column": "label"})
    with pytest.raises(InputError, match=r"--split .*--text"):
        check_source(None, "a.csv", {}, {"--split": "test"})


def test_lists_and_pairs():
    assert names_list(" bad, good ") == ["bad", "good"]
    assert names_list(None) is names_list("") is None
    assert pairs(["a=b", "c=d=e"], "--label-map") == {"a": "b", "c": "d=e"}
    with pytest.raises(InputError, match="--label-map 'a'"):
        pairs(["a"], "--label-map")


def test_options_reach_the_command():
    @click.command()
    @data_options
    def command(**given: object) -> dict[str, object]:
        return given

    words = ["--text", "a.csv", "--text-column", "a", "--text-column", "b", "--class-names", "bad,good"]
    given = command.main(words, standalone_mode=False)
    assert (given["text_file"], given["text_columns"], given["task"]) == ("a.csv", ("a", "b"), None)
    assert given["class_names"] == "bad,good"
