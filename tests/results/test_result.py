"""One result: its metrics by name, its choices, and what a loaded one cannot say."""

from pathlib import Path

import pytest
from made_up import random_trace

import splitee
from splitee.results.result import Result


def test_metrics_are_attributes() -> None:
    result = splitee.replay(random_trace(40), splitee.SplitEE(0.8), repeats=2)
    assert isinstance(result, Result)
    assert {"accuracy", "agreement", "cost_exits"} <= set(dir(result))
    assert repr(result).startswith("<Result SplitEE: 2 repeats, cost ")
    with pytest.raises(AttributeError, match="a Result has no speed"):
        _ = result.speed


def test_choices_are_one_row_per_round() -> None:
    result = splitee.replay(random_trace(30), splitee.CascadeSplit(2, 0.8), repeats=2)
    choices = result.choices()
    assert len(choices) == 60
    assert choices["split"].tolist() == result.split.ravel().tolist()
    assert choices["offloaded"].tolist() == result.offloaded.ravel().tolist()


def test_a_loaded_result_says_what_it_does_not_hold(tmp_path: Path) -> None:
    splitee.replay(random_trace(30), splitee.SplitEE(0.8), repeats=2).save(tmp_path / "r")
    loaded = splitee.load_results(tmp_path / "r")["SplitEE"]
    assert loaded.setup is None
    for ask, words in (
        (lambda: loaded.split, "were not saved"),
        (lambda: loaded.evaluated, "how many exits were evaluated"),
        (lambda: loaded.regret(), "see its curve"),
        (lambda: loaded.regret("best"), "choose common or own"),
    ):
        with pytest.raises(splitee.InputError, match=words):
            ask()
