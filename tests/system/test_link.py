"""Links: intervals, mean, percentiles and fades against sums in plain Python."""

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import splitee
from splitee.system.link import MOST_ROWS, Link

TRACES = st.lists(
    st.tuples(st.integers(1, 50), st.one_of(st.just(0.0), st.floats(0.01, 900.0))), min_size=2, max_size=40
).filter(lambda rows: any(rate for _, rate in rows))


def traced(rows: list[tuple[int, float]]) -> Link:
    time = np.cumsum([gap for gap, _ in rows]) / 8 + 1e6  # traces may begin at any time
    return Link(time_s=time, mbit_s=[rate for _, rate in rows])


@given(TRACES)
def test_a_trace_is_intervals_of_one_rate(rows: list[tuple[int, float]]) -> None:
    link = traced(rows)
    gaps = [gap / 8 for gap, _ in rows[1:]]
    gaps.append(float(np.median(gaps)))
    rates = [rate for _, rate in rows]
    assert np.allclose(link.edges_ms, [1000 * sum(gaps[:i]) for i in range(len(gaps) + 1)])
    assert link.edges_ms[0] == 0
    assert link.period_ms == link.edges_ms[-1]
    assert np.allclose(link.bits_per_ms, [1000 * rate for rate in rates])
    assert link.mean == pytest.approx(sum(g * r for g, r in zip(gaps, rates, strict=True)) / sum(gaps))
    assert link.uplink == link.mean
    assert not link.constant


@given(TRACES, st.sampled_from([0.1, 5, 50, 95, 100]))
def test_a_percentile_is_a_rate_and_splits_the_time(rows: list[tuple[int, float]], share: float) -> None:
    link = traced(rows)
    at, gaps = link.percentile(share), np.diff(link.edges_ms)
    rates = link.bits_per_ms / 1000
    assert np.isclose(rates, at).any()
    assert gaps[rates <= at * (1 + 1e-9)].sum() >= share / 100 * link.period_ms * (1 - 1e-9)
    assert gaps[rates < at * (1 - 1e-9)].sum() <= share / 100 * link.period_ms * (1 + 1e-9)


@given(TRACES)
def test_fades_are_runs_below_a_quarter_of_the_mean(rows: list[tuple[int, float]]) -> None:
    link = traced(rows)
    spans, at = [], 0.0
    for low, group in itertools.groupby(
        zip(np.diff(link.edges_ms), link.bits_per_ms, strict=True),
        key=lambda interval: interval[1] / 1000 < link.mean / 4,
    ):
        length = sum(gap for gap, _ in group) / 1000
        spans += [(at, at + length)] if low else []
        at += length
    assert np.allclose(link.fades(), np.reshape(spans, (-1, 2)))
    described = link.describe()
    assert described["fades"] == len(spans)
    assert described["longest_fade"] == pytest.approx(max((b - a for a, b in spans), default=0.0))


def test_outages_are_those_given_and_runs_of_no_rate() -> None:
    link = Link(time_s=[0, 1, 2, 3, 4], mbit_s=[0.0, 3, 0, 0, 3], outages=[(10, 13)])
    assert link.dead().tolist() == [[0, 1], [2, 4], [10, 13]]
    assert (link.describe()["outages"], link.describe()["longest_outage"]) == (3, 3.0)


def test_a_constant_link() -> None:
    link = Link(8.0, 20)
    assert (link.constant, link.mean, link.rtt, link.period_ms) == (True, 8.0, 20.0, np.inf)
    assert link.edges_ms.tolist() == [0, np.inf]
    assert link.bits_per_ms.tolist() == [8000]
    assert link.outages_ms.shape == (0, 2)
    assert link.describe()["p5"] == 8.0
    alone = Link(time_s=[3.0], mbit_s=[2.0])  # one row: no interval, so it holds for ever
    assert (alone.constant, alone.mean, alone.period_ms) == (True, 2.0, np.inf)


def test_outages_are_spans_in_ms() -> None:
    link = Link(outages=[(1, 2.5), (2.5, 4)])
    assert link.outages_ms.tolist() == [[1000, 2500], [2500, 4000]]


def test_a_link_can_be_changed_stored_and_sent_to_another_process() -> None:
    link = Link(time_s=[0, 1, 4], mbit_s=[2.0, 0.0, 5.0], outages=((1, 2),), name="there")
    for same in (replace(link, rtt=40.0), Link(**link.to_dict()), pickle.loads(pickle.dumps(link))):
        assert same.to_dict() == link.to_dict()
        assert np.array_equal(same.edges_ms, link.edges_ms)
    with pytest.raises(ValueError, match="read-only"):
        link.mbit_s[0] = 9  # type: ignore[index]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"uplink": -1}, "uplink is -1"),
        ({"uplink": 0}, "uplink is 0"),
        ({"uplink": float("nan")}, "uplink is nan"),
        ({"uplink": float("inf")}, "uplink is inf"),
        ({"uplink": "5"}, "uplink is '5'"),
        ({"uplink": True}, "uplink is True"),
        ({"rtt": -1}, "rtt is -1"),
        ({"rtt": float("nan")}, "rtt is nan"),
        ({"rtt": None}, "rtt is None"),
        ({"time_s": [0, 1]}, "both"),
        ({"time_s": [], "mbit_s": []}, "empty"),
        ({"time_s": [0, 1], "mbit_s": [1.0]}, "2 rows"),
        ({"time_s": [0, 1], "mbit_s": [1.0, -2.0]}, "row 1"),
        ({"time_s": [0, 1], "mbit_s": [1.0, float("nan")]}, "row 1"),
        ({"time_s": [0, float("nan")], "mbit_s": [1.0, 1.0]}, "row 1"),
        ({"time_s": [0, 1], "mbit_s": [0.0, 0.0]}, "all rates are 0"),
        ({"time_s": [0, 2, 1], "mbit_s": [1.0, 1, 1]}, "row 2"),
        ({"time_s": [0, 2, 2], "mbit_s": [1.0, 1, 1]}, "row 2"),
        ({"time_s": [[0]], "mbit_s": [[1.0]]}, "one number per row"),
        ({"time_s": ["a"], "mbit_s": [1.0]}, "one number per row"),
        ({"time_s": np.arange(MOST_ROWS + 1), "mbit_s": np.ones(MOST_ROWS + 1)}, "at most"),
        ({"time_s": [0, 1], "mbit_s": [1.0, 2.0], "uplink": 7}, "not both"),
        ({"outages": [(2, 1)]}, "outage 0"),
        ({"outages": [(0, 5), (4, 6)]}, "outage 1"),
        ({"outages": [(5, 6), (1, 2)]}, "outage 1"),
        ({"outages": [(-1, 2)]}, "outages must"),
        ({"outages": [(1, float("inf"))]}, "outages must"),
        ({"outages": [1, 2]}, "pairs"),
        ({"outages": "soon"}, "pairs"),
        ({"outages": np.ones((9, 9))}, "pairs"),
        ({"name": 3}, "name is 3"),
    ],
)
def test_bad_input_is_one_line(given: dict, words: str) -> None:
    with pytest.raises(splitee.InputError, match=words) as caught:
        Link(**given)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
