"""Threads share a replay, are kept from call to call, and never wait for themselves."""

import multiprocessing
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import splitee
import splitee.arrivals
import splitee.engine
import splitee.simulation
import splitee.threads
from splitee.policies.base import Policy, Stream


def trace_of(samples: int) -> splitee.Trace:
    rng = np.random.default_rng(0)
    return splitee.Trace(rng.uniform(0.5, 1, (samples, 5)), rng.integers(2, size=(samples, 5)))


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads, for replays of any size."""
    monkeypatch.setattr(splitee.threads.config, "NUMBA_NUM_THREADS", 2)
    monkeypatch.setattr(splitee.simulation, "SHARED", 0)
    monkeypatch.setattr(splitee.arrivals, "SHARED", 0)


class Wrong:
    """A policy of one's own that fails as soon as it starts; `wrong` is set then."""

    every_exit = False

    def __init__(self) -> None:
        self.started = threading.Event()

    def start(self, *_: object) -> None:
        self.started.set()
        raise splitee.InputError("wrong from the start")

    choose = learn = start


def test_an_error_of_ones_own_does_not_wait_for_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    play = splitee.engine.Player.play

    def counted(player: splitee.engine.Player, blocks: Iterable[range]) -> splitee.engine.Played:
        begun.append(player.name)
        if player.name != "own":
            wrong.started.wait(10)
        return play(player, blocks)

    wrong = Wrong()
    monkeypatch.setattr(splitee.engine.Player, "play", counted)
    policies = {f"learner {k}": splitee.SplitEE(0.75, 1.0 + k) for k in range(40)}
    with pytest.raises(splitee.InputError, match="wrong from the start"):
        splitee.replay(trace_of(20_000), policies | {"own": wrong}, repeats=20)
    assert len(begun) < 40


def test_an_error_of_ones_own_stops_what_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[range] = []
    block = splitee.engine.Player._block

    def counted(player: splitee.engine.Player, repeats: range, *rest: object) -> splitee.engine.Block:
        if player.name != "own":
            played.append(repeats)
            told.wait(10)
        return block(player, repeats, *rest)

    told = threading.Event()
    monkeypatch.setattr(splitee.engine.Player, "_block", counted)
    monkeypatch.setattr(splitee.arrivals, "LANE_ROUNDS", 1)  # ten blocks of eight repeats
    policies = {f"learner {k}": splitee.SplitEE(0.75, 1.0 + k) for k in range(3)}
    with pytest.raises(splitee.InputError, match="wrong from the start"):
        splitee.replay(trace_of(20), policies | {"own": Wrong()}, repeats=80)
    assert len(played) <= 2  # one in each thread
    told.set()
    splitee.replay(trace_of(20), policies, repeats=80)  # once the threads are free
    assert len(played) <= 2 + 3 * 10


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
