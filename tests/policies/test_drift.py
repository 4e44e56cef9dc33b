"""The change test: silent while nothing changes, quick if confidences do."""

import numba
import numpy as np

from splitee.policies.drift import ALARM, alarmed, begin_watch

watched = numba.njit(lambda watch, alarm, at, place, coin: alarmed(watch, alarm, at, place, coin))


def alarm_at(places: np.ndarray, seed: int, exits: np.ndarray | None = None) -> int | None:
    watch, coins = begin_watch(100), np.random.default_rng(seed + 100).random(len(places))
    exits = np.ones(len(places), dtype=np.int64) if exits is None else exits
    for t, (place, coin, at) in enumerate(zip(places, coins, exits, strict=True)):
        if watched(watch, ALARM, int(at), int(place), float(coin)):
            return t
    return None


def test_it_is_silent_while_nothing_changes_and_quick_afterwards() -> None:
    rng = np.random.default_rng(0)
    for seed in range(3):
        before, after = rng.binomial(100, 0.8, 3000) - 1, rng.binomial(100, 0.72, 1000) - 1
        at = alarm_at(np.concatenate([before, after]), seed)
        assert at is not None
        assert 3000 <= at < 3200
    assert alarm_at(np.full(3000, 7), 0) is None  # ties are broken at random


def test_another_exit_begins_anew() -> None:
    rng = np.random.default_rng(1)
    places = np.concatenate([rng.binomial(100, 0.8, 1000), rng.binomial(100, 0.3, 1000)]) - 1
    assert alarm_at(places, 0) is not None
    assert alarm_at(places, 0, np.repeat([1, 2], 1000)) is None
