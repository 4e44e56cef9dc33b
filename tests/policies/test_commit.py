"""Splits that are chosen once: explore-then-commit and the source split, against the specification."""

from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from twins import EXAMPLES, check, replayed, trace_of

import splitee


@EXAMPLES
@given(cases(worlds(exit_layers=None)), st.integers(1, 30), st.sampled_from([0, 0, 1, 5, 40]))
def test_explore_then_commit(case: Case, samples: int, delay: int) -> None:
    policy = splitee.ExploreThenCommit(case.threshold, samples)
    rounds = naive.explore_then_commit(case.world, case.order, case.threshold, samples, delay)
    check(replayed(case, policy, delay), rounds, case, explored=samples)
    if case.world.sample_offload is None:
        live = replayed(case, policy.live(), delay)
        assert live.split[0].tolist() == [played.split for played in rounds]


@EXAMPLES
@given(cases(worlds(max_layers=8)), st.data())
def test_source_split(case: Case, data: st.DataObject) -> None:
    source = data.draw(worlds(layers=case.world.layers))
    priced = replace(
        case.world,
        confidence=source.confidence,
        prediction=source.prediction,
        label=None,
        cloud_confidence=source.cloud_confidence,
        cloud_prediction=source.cloud_prediction,
    )
    if (extra := case.world.sample_offload) is not None:
        mean = float(np.mean(extra))
        priced = replace(priced, sample_offload=[mean] * len(source.confidence))
    policy = splitee.SourceSplit(case.threshold, trace_of(source))
    rounds = naive.source_split(case.world, case.order, case.threshold, priced)
    check(replayed(case, policy), rounds, case)
    if case.world.sample_offload is None:
        live = replayed(case, policy.live())
        assert live.split[0].tolist() == [played.split for played in rounds]


def test_a_source_of_another_model() -> None:
    told = [{"model": {"sha256": letter * 64}} for letter in "ab"]
    one, two = (splitee.Trace([[0.6, 0.9]], [[0, 1]], manifest=facts) for facts in told)
    with pytest.raises(splitee.InputError, match="another model"):
        splitee.replay(one, splitee.SourceSplit(0.7, two), repeats=1)
    with pytest.raises(splitee.InputError, match="differ in their model"):
        splitee.concatenate([one.replace(name="one"), two.replace(name="two")])


def test_source_of_another_depth() -> None:
    source = splitee.Trace([[0.6, 0.9, 0.9]], [[0, 1, 1]])
    with pytest.raises(splitee.InputError, match=r"source trace mine has exits \(1, 2, 3\)"):
        splitee.replay(splitee.Trace([[0.6, 0.9]], [[0, 1]]), splitee.SourceSplit(0.7, source), repeats=1)


def test_what_cannot_be_chosen() -> None:
    for wrong in (
        lambda: splitee.ExploreThenCommit(0.5, samples=0),
        lambda: splitee.SourceSplit(0.5, "imdb"),
    ):
        with pytest.raises(splitee.InputError):
            wrong()
