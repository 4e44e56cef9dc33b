"""The scenarios of a run: all combinations, each in a folder of its own."""

import pytest
from made_up import random_trace

from splitee._internal.errors import InputError
from splitee.cli.scenarios import folder_names, scenarios_of

ONE, TWO = (random_trace(20, layers=layers).replace(name=f"l{layers}") for layers in (3, 4))
ALPHAS = {"l3": [0.7], "l4": [0.8, 0.9, 0.8]}


def test_scenarios_are_all_combinations_trace_by_trace():
    made = scenarios_of([ONE, TWO], ALPHAS, [1.0, 5.0], [0.1], ["half", "all"])
    assert [(one.trace.name, one.offload, one.device_layers, one.threshold) for one in made] == [
        *(("l3", offload, held, 0.7) for offload in (1.0, 5.0) for held in (1, 3)),
        *(("l4", offload, held, alpha) for offload in (1.0, 5.0) for held in (2, 4) for alpha in (0.8, 0.9)),
    ]
    names = folder_names([one.facts for one in made])
    assert len(set(names)) == len(made)
    assert [("_a" in name) for name in names] == [one.trace is TWO for one in made]


def test_a_number_of_layers_that_words_repeat_is_taken_once():
    made = scenarios_of([TWO], {"l4": [0.7]}, [5.0], [0.1], ["half", 2, "all", 4])
    assert [one.device_layers for one in made] == [2, 4]
    assert "holds all 4 of 4" in made[1].title
    assert "2 of 4" in made[0].title


def test_traces_of_one_name_and_too_few_layers_are_refused():
    with pytest.raises(InputError, match="l3"):
        scenarios_of([ONE, ONE], ALPHAS, [5.0], [0.1], ["all"])
    with pytest.raises(InputError, match=r"--device-layers .*l3"):
        scenarios_of([TWO, ONE], ALPHAS, [5.0], [0.1], [4])


def test_a_name_with_a_slash_is_one_folder():
    facts = scenarios_of([ONE.replace(name="a/b")], {"a/b": [0.7]}, [5.0], [0.1], ["all"])[0].facts
    assert folder_names([facts]) == ["a-b_o5_mu0.1_m3"]
