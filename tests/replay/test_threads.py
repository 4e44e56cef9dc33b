"""Threads share a replay, are kept from call to call, and never wait for themselves."""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import splitee
import splitee.replay.arrivals
import splitee.replay.engine
import splitee.replay.replay
import splitee.replay.threads
from splitee.policies.base import Policy, Stream


def trace_of(samples: int) -> splitee.Trace:
    rng = np.random.default_rng(0)
    return splitee.Trace(rng.uniform(0.5, 1, (samples, 5)), rng.integers(2, size=(samples, 5)))


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads, for replays of any size."""
    monkeypatch.setattr(splitee.replay.replay.config, "NUMBA_NUM_THREADS", 2)
    monkeypatch.setattr(splitee.replay.replay, "SHARED", 0)


class Wrong:
    """A policy of one's own that fails as it starts, once `begun` is set; it says so by `started`."""

    every_exit = False

    def __init__(self) -> None:
        self.begun, self.started = threading.Event(), threading.Event()

    def start(self, *_: object) -> None:
        assert self.begun.wait(60)
        self.started.set()
        raise splitee.InputError("wrong from the start")

    choose = learn = start


def shown(samples: int, repeats: int) -> NDArray[np.int64]:
    """Orders that are no shuffles, so that whoever does not learn is played, too."""
    return np.random.default_rng(1).integers(samples, size=(repeats, samples))


KINDS = [splitee.SplitEE(0.75), splitee.RandomSplit(0.75)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_ones_own_does_not_wait_for_what_has_not_begun(
    kind: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    wrong, play = Wrong(), splitee.replay.engine.Player.play

    def counted(
        player: splitee.replay.engine.Player, blocks: Iterable[range]
    ) -> splitee.replay.engine.Played | None:
        if player.name != "own":
            begun.append(player.name)
            wrong.begun.set()
            assert wrong.started.wait(60)
        return play(player, blocks)

    monkeypatch.setattr(splitee.replay.engine.Player, "play", counted)
    policies = {f"other {k}": kind for k in range(40)} | {"own": wrong}
    with pytest.raises(splitee.InputError, match="wrong from the start"):
        splitee.replay(trace_of(20_000), policies, orders=shown(20_000, 20))
    before = len(begun)
    splitee.replay.threads.begin(2, int).taken.result()  # the thread is free
    assert 1 <= len(begun) == before < 40


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_ones_own_stops_what_has_begun(kind: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[range] = []
    ended: list[range] = []
    wrong, block = Wrong(), splitee.replay.engine.Player._block

    def counted(
        player: splitee.replay.engine.Player, repeats: range, *rest: object
    ) -> splitee.replay.engine.Block:
        if player.name != "own":
            played.append(repeats)
            wrong.begun.set()
            assert wrong.started.wait(60)
            time.sleep(0.5)  # until the error has been met
            ended.append(repeats)
        return block(player, repeats, *rest)

    monkeypatch.setattr(splitee.replay.engine.Player, "_block", counted)
    monkeypatch.setattr(splitee.replay.arrivals, "LANE_ROUNDS", 1)  # ten blocks of eight repeats
    policies = {f"other {k}": kind for k in range(3)} | {"own": wrong}
    with pytest.raises(splitee.InputError, match="wrong from the start"):
        splitee.replay(trace_of(20), policies, orders=shown(20, 80))
    assert len(played) == 1
    assert ended == played  # waited for


def test_a_replay_does_not_wait_for_another_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[splitee.Results] = []
    begun, free, block = threading.Barrier(3), threading.Event(), splitee.replay.engine.Player._block

    def held(
        player: splitee.replay.engine.Player, repeats: range, *rest: object
    ) -> splitee.replay.engine.Block:
        if player.name.startswith("long"):
            begun.wait(60)
            assert free.wait(60)
        return block(player, repeats, *rest)

    monkeypatch.setattr(splitee.replay.engine.Player, "_block", held)
    policies = {"long": splitee.SplitEE(0.75), "long, too": splitee.SplitEE(0.8)}
    long = threading.Thread(target=lambda: told.append(splitee.replay(trace_of(20), policies, repeats=16)))
    long.start()
    begun.wait(60)  # that thread and the one that waits for work
    orders = shown(20, 16)
    alone = [splitee.replay(trace_of(20), {"short": kind}, orders=orders)["short"] for kind in KINDS]
    assert not told
    free.set()
    long.join(60)
    assert told
    for result, kind in zip(alone, KINDS, strict=True):
        again = splitee.replay(trace_of(20), kind, orders=orders)
        assert result.split.tolist() == again.split.tolist()


BOTH = threading.Barrier(2)


@dataclass(frozen=True)
class Nested(Policy):
    """A learner that asks what would have been, by a replay within the replay, while another one does."""

    threshold: float = 0.75
    learns: ClassVar[bool] = True
    name: ClassVar[str] = "nested"

    def splits(self, stream: Stream) -> NDArray[np.int16]:
        BOTH.wait(60)
        within = splitee.replay(trace_of(20), splitee.SplitEE(0.75), orders=stream.order[None].repeat(16, 0))
        return within.split[0].astype(np.int16)


def test_replays_within_a_replay_do_not_wait_for_each_other() -> None:
    told: list[splitee.Results] = []
    policies = {"one": Nested(), "other": Nested()}
    asking = threading.Thread(
        target=lambda: told.append(splitee.replay(trace_of(20), policies, repeats=16, log=True)),
        daemon=True,
    )
    asking.start()
    asking.join(120)
    assert told, "both threads wait for each other"
    alone = splitee.replay(trace_of(20), splitee.SplitEE(0.75), repeats=16)
    for name in policies:
        assert told[0][name].split.tolist() == alone.split.tolist()


def test_of_several_wrong_orders_the_first_is_told() -> None:
    orders = shown(20, 16)
    orders[3, 1], orders[3, 2], orders[12, 0] = 21, 22, 23  # in the parts of several threads
    with pytest.raises(splitee.InputError, match="orders name sample 21"):
        splitee.replay(trace_of(20), splitee.SplitEE(0.75), orders=orders)


def test_no_thread_plays_orders_that_another_is_still_copying(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = [splitee.SplitEE(0.75), splitee.SplitEES(0.75), splitee.FixedExit(1)]
    trace, orders = trace_of(50), shown(50, 40)
    expected = splitee.replay(trace, policies, orders=orders)
    copy = splitee.replay.arrivals._copy

    def slowly(*given: object) -> object:
        time.sleep(0.05)
        return copy(*given)

    monkeypatch.setattr(splitee.replay.arrivals, "_copy", slowly)
    results = splitee.replay(trace, policies, orders=orders)
    for name in results:
        np.testing.assert_array_equal(results[name].totals, expected[name].totals)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_replays_with_threads_of_its_own() -> None:
    trace = trace_of(20)
    before = splitee.replay(trace, splitee.SplitEE(0.75), repeats=16).totals
    with multiprocessing.get_context("fork").Pool(1) as forked:
        work = forked.apply_async(_totals, (trace,))
        np.testing.assert_array_equal(work.get(60), before)


def _totals(trace: splitee.Trace) -> NDArray[np.float64]:
    return splitee.replay(trace, splitee.SplitEE(0.75), repeats=16).totals
