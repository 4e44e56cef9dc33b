"""What a system predicts for the decisions in a log, beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee.policies.played import Actions
from splitee.policies.timed import spent
from splitee.runtime.records import Record
from splitee.runtime.setting import Rules
from splitee.system.system import System, SystemOn
from splitee.system.world import walk

Floats = NDArray[np.float64]
_SIZES = ("tokens", "input_bytes")


def measured(records: Sequence[Record]) -> dict[str, float]:
    """Return latencies, the device's computing and its own overhead (ms), and KB per sample."""
    latency = np.array([one.latency for one in records])
    computed = np.array([one.ms.get("tokenize", 0.0) + one.ms.get("compute", 0.0) for one in records])
    own = np.array([one.ms.get("own", 0.0) for one in records])
    return {
        **_quantiles(latency),
        "device_ms": float(computed.mean()),
        "own_ms_p50": float(np.median(own)),
        "kilobytes": float(np.mean([one.bytes for one in records])) / 1e3,
    }


def predicted(
    rules: Rules, system: System, records: Sequence[Record], one_at_a_time: bool
) -> dict[str, float]:
    """Return the same of a system's clock, which plays the decisions that were made.

    Parameters
    ----------
    rules : Rules
    system : System
    records : sequence of Record
    one_at_a_time : bool
        Whether each sample came when the one before it was answered; else they come when they came.

    Raises
    ------
    InputError
        If the system does not fit the model.
    """
    arrivals = None if one_at_a_time else [one.arrived - records[0].arrived for one in records]
    system = replace(system, arrivals=arrivals, device_layers=rules.held)
    trace = rules.stand_in(*(np.array([getattr(one, name) for one in records]) for name in _SIZES))
    world = SystemOn(system, trace).world_of(len(records), 0, 1, 0)
    world = world._replace(sends=rules.world.sends) if rules.problem.timed else world
    kinds = sorted({(one.layer, one.offloaded, one.exits) for one in records})
    layer, offloaded, exits = zip(*kinds, strict=True)
    evaluated = np.array([len(each) for each in exits])
    actions = Actions(np.array(layer), np.array(offloaded), evaluated, [list(each) for each in exits])
    place = {kind: k for k, kind in enumerate(kinds)}
    played = [[place[one.layer, one.offloaded, one.exits]] for one in records]
    action = np.array(played, dtype=actions.dtype)
    order = np.arange(len(records), dtype=np.int32)[:, None]
    result, lost = np.zeros((3, len(records), 1)), np.zeros((len(records), 1), np.uint8)
    timed = spent(world, actions)
    ms = timed[2]
    walk(world, order, action, *timed, result, lost)
    kind = world.kind
    device = [ms[action[t, 0], kind[t]] for t in range(len(records))]
    return {
        **_quantiles(result[0, :, 0]),
        "device_ms": float(np.mean(device)),
        "kilobytes": float(result[2].mean()),
    }


def _quantiles(latency: Floats) -> dict[str, Any]:
    p50, p95, p99 = np.percentile(latency, [50, 95, 99]).tolist()
    return {"latency_p50": p50, "latency_p95": p95, "latency_p99": p99, "latency": float(latency.mean())}
