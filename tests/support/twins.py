"""What tests of the engine share: a naive world as a trace and prices, replayed, held against the twin."""

import naive
import numpy as np
import pytest
from hypothesis import settings
from strategies import Case

import splitee

EXAMPLES = settings(max_examples=60)


def trace_of(world: naive.World) -> splitee.Trace:
    manifest = None if world.exit_layers is None else {"exit_layers": world.exit_layers}
    return splitee.Trace(
        world.confidence,
        world.prediction,
        world.label,
        classes=4,
        cloud_confidence=world.cloud_confidence,
        cloud_prediction=world.cloud_prediction,
        softmax=False,  # worlds of fewer classes than 4 have confidences below 1/4 nowhere, but say so
        manifest=manifest,
    )


def costs_of(world: naive.World) -> splitee.CostModel:
    return splitee.CostModel(
        layer=world.layer,
        exit=world.exit,
        offload=world.offload,
        offload_input=world.offload_input,
        sample_offload=world.sample_offload,
        device_layers=world.device_layers,
        extra=None
        if world.extra_device is None
        else {"other": (world.extra_device, 0.0 if world.extra_offload is None else world.extra_offload)},
    )


def replayed(case: Case, policy: object, delay: int = 0) -> splitee.Result:
    return splitee.replay(
        trace_of(case.world),
        policy,
        costs_of(case.world),
        mu=case.world.mu,
        orders=[case.order],
        threshold=case.threshold,
        delay=delay,
    )


def check(result: splitee.Result, rounds: list[naive.Round], case: Case, **regret: object) -> None:
    world = case.world
    assert result.split[0].tolist() == [r.split for r in rounds]
    assert result.offloaded[0].tolist() == [r.offloaded for r in rounds]
    mean = lambda values: sum(values) / len(rounds)  # noqa: E731
    same = lambda value: pytest.approx(value, rel=1e-12, abs=1e-12)  # noqa: E731  (sums in another order)
    assert result.cost[0] == same(mean([r.cost for r in rounds]))
    assert result.reward[0] == same(mean([r.reward for r in rounds]))
    assert result.offload_rate[0] == mean([float(r.offloaded) for r in rounds])
    if world.label is None:
        assert np.isnan(result.accuracy[0])
        assert np.isnan(result.utility[0])
    else:
        assert result.accuracy[0] == mean([float(r.right) for r in rounds])
        assert result.utility[0] == same(mean([naive.utility(world, r) for r in rounds]))
    last = [world.prediction[s][-1] for s in case.order]
    assert result.agreement[0] == mean([float(r.answer == k) for r, k in zip(rounds, last, strict=True)])
    terms = [name for name in result.measures.metrics if name.startswith("cost_")]
    parts = sum(getattr(result, name) for name in terms)
    assert parts[0] == pytest.approx(result.cost[0], abs=1e-9)
    for kind in ("common", "own"):
        expected = naive.regret(rounds, world, case.order, kind, case.threshold, **regret)
        assert result.regret(kind)[0] == pytest.approx(expected, abs=1e-9)
        curve = getattr(result.curve, kind)[0]
        assert curve == pytest.approx([expected[t - 1] for t in result.curve.rounds], abs=1e-9)
    late = [r.split for r in rounds[len(rounds) // 2 :]]
    assert result.settled[0] == max(sorted(set(late)), key=late.count)
