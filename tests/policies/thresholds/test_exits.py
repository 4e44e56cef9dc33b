"""LEE and DEE (`splitee.policies.thresholds.exits`); the suite of every learner has their twins."""

import numpy as np
import pytest

import splitee
from splitee.policies.thresholds.exits import DEE, LEE


def test_lee_finds_the_exit_of_the_greatest_reward() -> None:
    confidence = np.tile([0.6, 0.9, 0.95], (3000, 1))
    trace = splitee.Trace(confidence, np.zeros((3000, 3), dtype=int))
    result = splitee.replay(trace, LEE(0.1), splitee.CostModel(), mu=0.1, repeats=1)
    assert np.bincount(result.split[0, -1000:]).argmax() == 2  # 0.6 − 0.1, 0.9 − 0.183, 0.95 − 0.267
    assert not result.offloaded.any()


def test_dee_goes_on_where_it_pays() -> None:
    rng = np.random.default_rng(0)
    sure = rng.random(4000) < 0.5
    confidence = np.stack([np.where(sure, 0.95, 0.55), np.full(4000, 0.97)], axis=1)
    trace = splitee.Trace(confidence, np.zeros((4000, 2), dtype=int))
    costs = splitee.CostModel(offload=1.0, device_layers=1)
    result = splitee.replay(trace, DEE(), costs, mu=0.1, orders=[range(4000)])
    late = slice(2000, None)
    assert result.offloaded[0, late][~sure[late]].mean() > 0.99  # + 0.42 − 0.1
    assert result.offloaded[0, late][sure[late]].mean() < 0.05  # + 0.02 − 0.1


def test_bad_parameters_are_refused() -> None:
    for make in (lambda: LEE(-1.0), lambda: DEE(0), lambda: DEE(exploration=float("nan"))):
        with pytest.raises(splitee.InputError):
            make()
