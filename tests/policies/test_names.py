"""Policies by name: any case, class names, lists, parameters, and the line for a wrong one."""

import math

import pytest
from made_up import random_trace

import splitee
from splitee._internal.errors import InputError
from splitee.policies.names import (
    DEFAULT,
    PAPER,
    all_names,
    canonical,
    parse_policies,
    policy_named,
)
from splitee.policies.setting import Setting

SETTING = Setting(layers=6, arms=4, threshold=0.8, classes=3)


def refusal(names: object, setting: Setting = SETTING) -> str:
    with pytest.raises(InputError) as refused:
        parse_policies(names, setting)  # type: ignore[arg-type]
    line = str(refused.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("SplitEE", splitee.SplitEE(0.8)),
        ("SPLITEE", splitee.SplitEE(0.8)),
        ("splitee-s", splitee.SplitEES(0.8)),
        ("SplitEE-S", splitee.SplitEES(0.8)),
        ("SplitEES", splitee.SplitEES(0.8)),
        ("splitee_s", splitee.SplitEES(0.8)),
        ("SplitEE-S-Published", splitee.SplitEES(0.8, side_information="published")),
        ("UCBTuned", splitee.UCBTuned(0.8)),
        ("ThompsonSplit", splitee.ThompsonSplit(0.8)),
        ("ExploreThenCommit", splitee.ExploreThenCommit(0.8)),
        ("explore-then-commit:50", splitee.ExploreThenCommit(0.8, 50)),
        ("FinalExit", splitee.FinalExit()),
        ("CloudOnly", splitee.CloudOnly()),
        ("RandomSplit", splitee.RandomSplit(0.8)),
        ("BestFixedSplit", splitee.BestFixedSplit(0.8)),
        ("Oracle", splitee.Oracle(0.8)),
        ("ElasticBERT", splitee.ElasticBERT(0.8, last=4)),
        ("ElasticBERT:9/10", splitee.ElasticBERT(0.9, last=4)),
        ("DeeBERT: 0.3", splitee.DeeBERT(0.3, last=4)),
        ("PABEE:2", splitee.PABEE(2, last=4)),
        ("FixedExit:2", splitee.FixedExit(2)),
        ("exit:half", splitee.FixedExit(3)),
        ("exit:all", splitee.FixedExit(6)),
        ("FixedSplit:2", splitee.FixedSplit(2, 0.8)),
        ("CascadeSplit:half", splitee.CascadeSplit(3, 0.8)),
        ("CertifiedSplit", splitee.CertifiedSplit(0.01)),
        ("certified:2/100", splitee.CertifiedSplit(0.02)),
    ],
)
def test_a_name_in_any_form_is_one_policy(name: str, policy: object) -> None:
    assert parse_policies(name, SETTING) == [policy]


def test_every_public_class_and_every_listed_name_is_known() -> None:
    parameters = {
        "DeeBERT": ":0.1",
        "FixedExit": ":1",
        "FixedSplit": ":1",
        "CascadeSplit": ":1",
        "ExitOrInput": ":1",
    }
    source = random_trace(20, layers=6)
    setting = Setting(6, 6, 0.8, source=source, classes=2)
    values = {"LAYER": "1", "ALPHA": "0.5", "NATS": "0.5", "PATIENCE": "1", "SAMPLES": "9", "SHARE": "0.02"}
    values["DISCOUNT"] = "0.99"
    for name in set(splitee.__all__) - {"ByContext"}:  # made of policies, by hand
        if isinstance(getattr(splitee, name), type) and issubclass(
            getattr(splitee, name), splitee.policies.Policy
        ):
            (made,) = parse_policies(name + parameters.get(name, ""), setting)
            assert type(made).__name__ == name
    for name in all_names():
        kind, colon, what = name.partition(":")
        assert parse_policies(f"{kind}:{values[what]}" if colon else name, setting)
        assert canonical(name) == name
    assert {*DEFAULT, *PAPER} <= set(all_names())


def test_lists_mix_names_and_policies_and_make_each_name_once() -> None:
    mine = object()
    made = parse_policies(["splitee, thompson", mine, "exits", "exit:2", "SplitEE", mine], SETTING)
    exits = [splitee.FixedExit(i) for i in range(1, 7)]
    assert made == [splitee.SplitEE(0.8), splitee.ThompsonSplit(0.8), mine, *exits, mine]
    assert len(parse_policies("splits", SETTING)) == len(parse_policies("cascade-splits", SETTING)) == 4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("splitte", "no policy is called 'splitte': did you mean splitee?"),
        ("Splite", "did you mean splitee?"),
        ("spliteees", "did you mean splitee-s?"),
        ("UCB-tune", "did you mean ucb-tuned?"),
        ("thomson", "did you mean thompson?"),
        ("xyz", "no policy is called 'xyz': there are splitee,"),
        ("", "no policy is called ''"),
        ("splitee,,random", "no policy is called ''"),
        ("deebert", "policy deebert needs a parameter: write deebert:NATS"),
        ("FixedExit", "policy exit needs a parameter: write exit:LAYER"),
        ("splitee:1", "policy splitee takes no parameter: write splitee"),
        ("exits:1", "policy exits takes no parameter"),
        ("exit:7", "policy exit:7: 7 is not from 1 to 6"),
        ("exit:²", "policy exit:²: '²' is not a number of layers"),
        ("pabee:0", "policy pabee:0: '0' is not a whole number of at least 1"),
        ("elasticbert:2", "policy elasticbert:2: '2' is not between 0 and 1"),
        ("deebert:x", "policy deebert:x: 'x' is not a finite number"),
        ("source-split", "needs the source's validation trace: give --source"),
    ],
)
def test_a_wrong_name_is_one_line(name: str, words: str) -> None:
    assert words in refusal(name)


def test_what_is_no_text_is_no_name() -> None:
    with pytest.raises(InputError, match="3 is not a policy's name"):
        canonical(3)


def test_an_entropy_above_that_of_the_classes_is_refused() -> None:
    line = refusal("deebert:2")
    assert line == (
        "policy deebert:2: an entropy over 3 classes is at most ln 3 = 1.099 nats: give a lower threshold"
    )
    assert parse_policies(f"deebert:{math.log(3)!r}", SETTING)
    assert parse_policies("deebert:2", Setting(6, 4, 0.8))  # the number of classes is not known


def test_one_policy_for_a_trace_and_its_costs() -> None:
    trace = random_trace(50, layers=4)
    half = splitee.CostModel(device_layers=2)
    assert policy_named("splitee-s", trace, half, 0.6) == splitee.SplitEES(0.6)
    assert policy_named("SplitEE", trace) == splitee.SplitEE(0.7)
    recommended = trace.replace(manifest={"recommended_threshold": {"value": 0.85}})
    assert policy_named("splitee", recommended, half) == splitee.SplitEE(0.85)
    assert policy_named("elasticbert", trace, half, 0.9) == splitee.ElasticBERT(0.9, last=2)
    with pytest.raises(InputError, match=r"'exits' stands for 4 policies: give them in a list, \['exits'\]"):
        policy_named("exits", trace, half, 0.9)
    with pytest.raises(InputError, match="ln 2"):
        policy_named("deebert:0.8", trace)
    with pytest.raises(InputError, match="did you mean splitee"):
        policy_named("splitte", trace)


def test_the_bundled_source_is_found_if_it_is_asked_for() -> None:
    trace = splitee.load_trace("imdb")
    made = policy_named("SourceSplit", trace)
    assert isinstance(made, splitee.SourceSplit)
    assert made.source.name == "sst2_validation"
    with pytest.raises(InputError, match="source's validation trace"):
        policy_named("source-split", random_trace(20))
