"""The manifest: what a producer may store, and the facts that are read back."""

import pytest

from splitee._internal.errors import InputError
from splitee.trace.manifest import OWN, class_names, exit_layers, producer_facts, recommended_threshold


def test_a_producers_facts_are_copied_without_the_traces_own():
    given = {"model": {"name": "toy", "sizes": (1, 2)}, **dict.fromkeys(OWN, "theirs")}
    facts = producer_facts(given)
    assert facts == {"model": {"name": "toy", "sizes": [1, 2]}}
    given["model"]["name"] = "changed"
    assert facts["model"]["name"] == "toy"
    assert producer_facts(None) == {}


@pytest.mark.parametrize("bad", [[("a", 1)], {"a": {1, 2}}, {"a": float("inf")}])
def test_what_json_cannot_hold_is_refused(bad):
    with pytest.raises(InputError, match="manifest"):
        producer_facts(bad)


def test_facts_are_read_or_have_defaults():
    assert class_names({}) is None
    assert class_names({"class_names": ["no", "yes"]}) == ("no", "yes")
    assert exit_layers({}, 3) == (1, 2, 3)
    assert exit_layers({"exit_layers": [4, 8, 12]}, 3) == (4, 8, 12)
    assert recommended_threshold({}) is None
    assert recommended_threshold({"recommended_threshold": {"value": 1}}) == 1.0


@pytest.mark.parametrize("names", ["ab", ["a", "a"], ["a", 1], {"a": 0}])
def test_class_names_are_distinct_texts(names):
    with pytest.raises(InputError, match="class_names"):
        class_names({"class_names": names})


@pytest.mark.parametrize("layers", [[0, 1], [2, 2], [3, 1], [1], [1.0, 2.0], [True, 2], "12"])
def test_exit_layers_rise_from_1(layers):
    with pytest.raises(InputError, match="exit_layers"):
        exit_layers({"exit_layers": layers}, 2)


@pytest.mark.parametrize("value", [0.7, {"value": "0.7"}, {"value": True}, {"value": 1.5}, {"rule": "best"}])
def test_a_recommended_threshold_is_a_share(value):
    with pytest.raises(InputError, match="recommended_threshold"):
        recommended_threshold({"recommended_threshold": value})
