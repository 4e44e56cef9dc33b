"""Streams other than the shuffle, traces put together, and regret part by part."""

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from twins import costs_of, trace_of

import splitee
from splitee.replay import orders as streams


def test_orders() -> None:
    assert streams.as_is(4).tolist() == [[0, 1, 2, 3]]
    drawn = streams.bootstrap(50, repeats=3, seed=1)
    assert drawn.shape == (3, 50)
    assert len(set(drawn[0].tolist())) < 50  # with replacement
    assert drawn[:2].tolist() == streams.bootstrap(50, repeats=2, seed=1).tolist()
    assert drawn.tolist() != streams.bootstrap(50, repeats=3, seed=2).tolist()
    rows = streams.in_sequence([range(10), [20, 21], range(5)], repeats=3, seed=1)
    for row in rows.tolist():
        assert sorted(row[:10]) == list(range(10))
        assert sorted(row[10:12]) == [20, 21]
        assert sorted(row[12:]) == list(range(5))
    assert rows[0].tolist() != rows[1].tolist()
    assert rows.tolist() != streams.in_sequence([range(10), [20, 21], range(5)], repeats=3, seed=2).tolist()
    for call in (
        lambda: streams.as_is(0),
        lambda: streams.as_is(2.5),
        lambda: streams.bootstrap(3, repeats=0),
        lambda: streams.bootstrap(3, seed=-1),
        lambda: streams.in_sequence([[0]], repeats=1.5),
        lambda: streams.in_sequence(5),
    ):
        with pytest.raises(splitee.InputError):
            call()
    for wrong in ([], [[]], [[0.5]], [[[0]]], [[0], [[1], [2]]]):
        with pytest.raises(splitee.InputError, match="in_sequence"):
            streams.in_sequence(wrong)


def test_streams_that_change_show_every_sample_once() -> None:
    parts = [np.arange(300), np.arange(300, 900), np.arange(900, 1000)]
    label = np.repeat([2, 0, 1], [300, 600, 100])
    for make in (
        lambda seed: streams.sudden(parts, 3, seed),
        lambda seed: streams.gradual(parts, 3, seed),
        lambda seed: streams.recurring(parts, 4, 3, seed),
        lambda seed: streams.label_shift(label, 3, seed),
        lambda seed: streams.bursts(label, 20, 3, seed),
    ):
        rows = make(1)
        assert rows.shape == (3, 1000)
        assert (np.sort(rows, axis=1) == np.arange(1000)).all()
        assert rows.tolist() == make(1).tolist()
        assert rows.tolist() != make(2).tolist()
        assert rows[0].tolist() != rows[1].tolist()


def test_streams_change_as_they_are_called() -> None:
    halves = [np.arange(2000), np.arange(2000, 4000)]
    assert (streams.sudden(halves, 2)[:, :2000] < 2000).all()
    tenths = (streams.gradual(halves, 5) >= 2000).reshape(5, 10, 400).mean(axis=(0, 2))
    assert tenths == pytest.approx(np.arange(0.05, 1, 0.1), abs=0.05)
    turns = (streams.recurring(halves, 2, 1)[0] >= 2000).reshape(4, 1000)
    assert turns.all(axis=1).tolist() == [False, True, False, True]
    label = np.repeat([0, 1, 2], [2000, 1000, 1000])
    shifted = label[streams.label_shift(label, 1)[0]]
    assert shifted[:300].mean() < 0.4
    assert shifted[-300:].mean() > 1.6
    runs = label[streams.bursts(label, 100, 1)[0]].reshape(-1, 100)
    assert (runs == runs[:, :1]).all()
    assert len(set(runs[:10, 0].tolist())) > 1


def test_streams_by_name() -> None:
    from splitee.cli.run import STREAMS

    assert STREAMS == streams.STREAMS
    assert splitee.streams is streams
    rng = np.random.default_rng(0)
    given = rng.uniform(0.5, 1, (40, 3)), rng.integers(2, size=(40, 3))
    bare = splitee.Trace(*given)
    grouped = splitee.Trace(*given, rng.integers(2, size=40), group=["b"] * 30 + ["a"] * 10)
    for trace in (bare, grouped):
        for name in STREAMS:
            made = streams.stream_of(name, trace, repeats=2)
            if name == "shuffled":
                assert made is None
            else:
                assert made.shape == ((1, 40) if name == "own" else (2, 40))
    assert [part.tolist() for part in streams.parts_of(grouped)] == [list(range(30)), list(range(30, 40))]
    easy, hard = (bare.confidence[part].mean(axis=1) for part in streams.parts_of(bare))
    assert easy.min() >= hard.max()
    with pytest.raises(splitee.InputError, match="stream is 'as-is': choose one of shuffled, own"):
        streams.stream_of("as-is", bare)
    with pytest.raises(splitee.InputError, match="needs two"):
        streams.stream_of("sudden", splitee.Trace([[0.6, 0.7]], [[0, 0]]))
    for call, words in (
        (lambda: streams.gradual([[0], []]), "gradual: give parts"),
        (lambda: streams.recurring([[0, 1], [2]], 2), "a part has fewer samples"),
        (lambda: streams.bursts([[1]]), "bursts: give one label per sample"),
    ):
        with pytest.raises(splitee.InputError, match=words):
            call()


def test_concatenate() -> None:
    rng = np.random.default_rng(0)
    facts = {"model": {"sha256": "m"}, "data": {"task": "x"}, "class_names": ["no", "yes"]}

    def make(name: str, n: int, **more: object) -> splitee.Trace:
        told = facts | {"data": {"task": name}}
        predicted = rng.integers(2, size=(n, 3))
        return splitee.Trace(rng.uniform(0.5, 1, (n, 3)), predicted, manifest=told, name=name, **more)

    one, two = make("one", 4, label=[0, 1, 1, 0], length=[1, 2, 3, 4]), make("two", 2, label=[1, 1])
    both = splitee.concatenate([one, two])
    assert both.confidence.tolist() == one.confidence.tolist() + two.confidence.tolist()
    assert both.prediction.tolist() == one.prediction.tolist() + two.prediction.tolist()
    assert both.label.tolist() == [0, 1, 1, 0, 1, 1]
    assert both.length is None
    assert both.group.tolist() == ["one"] * 4 + ["two"] * 2
    assert both.manifest["model"] == {"sha256": "m"}
    assert "data" not in both.manifest
    assert [part["fingerprint"] for part in both.manifest["joined"]] == [one.fingerprint, two.fingerprint]
    assert splitee.concatenate([one, make("three", 1)], "named").label is None
    other = splitee.Trace([[0.5, 0.5]], [[0, 1]], name="other")
    scores = [trace.replace(softmax=False) for trace in (one, two)]
    assert not splitee.concatenate(scores).softmax
    for wrong, words in (
        ([], "at least one"),
        ([one, 5], "list of traces"),
        (one, "in a list"),
        ([one, one], "called one"),
        ([one, other], "exit_layers"),
    ):
        with pytest.raises(splitee.InputError, match=words):
            splitee.concatenate(wrong)


@settings(max_examples=100, deadline=None)
@given(cases(worlds(max_layers=6)), st.data())
def test_regret_by_segment_is_that_of_each_segment_alone(case: Case, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(case.order)))
    segments = [k for k in (cut, len(case.order) - cut) if k]
    policy = splitee.SplitEES(case.threshold, send_input=case.send_input)
    trace, costs = trace_of(case.world), costs_of(case.world)
    result = splitee.replay(trace, policy, costs, mu=case.world.mu, orders=[case.order])
    rounds = naive.split_ee_s(case.world, case.order, case.threshold, send_input=case.send_input)
    for kind in ("common", "own"):
        expected, owed = [], 0.0
        for part in (slice(0, cut), slice(cut, None)):
            if not rounds[part]:
                continue
            own = naive.regret(
                rounds[part],
                case.world,
                case.order[part],
                kind,
                case.threshold,
                every_exit=True,
                send_input=case.send_input,
            )
            expected += [owed + each for each in own]
            owed = expected[-1]
        assert result.regret(kind, segments)[0] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30)
@given(cases(worlds(max_layers=6)), st.integers(1, 20))
def test_exploring_is_charged_in_its_own_segment(case: Case, samples: int) -> None:
    m = len(case.order)
    segments = [m // 2, m - m // 2] if m > 1 else [m]
    policy = splitee.ExploreThenCommit(case.threshold, samples)
    result = splitee.replay(
        trace_of(case.world), policy, costs_of(case.world), mu=case.world.mu, orders=[case.order]
    )
    rounds = naive.explore_then_commit(case.world, case.order, case.threshold, samples)
    expected, start, owed = [], 0, 0.0
    for length in segments:
        part = case.order[start : start + length]
        best = max(
            naive.mean_reward(case.world, part, i, case.threshold, False) for i in naive.arms_of(case.world)
        )
        for t in range(start, start + length):
            explored = t < samples
            arm = rounds[t].split
            owed += best - naive.mean_reward(case.world, part, arm, case.threshold, explored)
            expected.append(owed)
        start += length
    assert result.regret("common", segments)[0] == pytest.approx(expected, abs=1e-9)


def test_regret_by_segments_that_do_not_fit() -> None:
    trace = splitee.Trace([[0.6, 0.9]] * 4, [[0, 1]] * 4)
    result = splitee.replay(trace, splitee.SplitEE(0.7), repeats=1)
    for wrong in ([1, 2], [0, 4], [5, -1], [1.5, 2.5], 4):
        with pytest.raises(splitee.InputError, match="sum to 4"):
            result.regret(segments=wrong)
    result = splitee.replay(trace, splitee.FinalExit(), repeats=1)
    with pytest.raises(splitee.InputError, match="whose actions are splits"):
        result.regret(segments=[2, 2])
