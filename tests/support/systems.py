"""Random systems for hypothesis: a `splitee.System` and the same physics in plain Python."""

import math
import random
from dataclasses import dataclass

import naive
import naive_system
import numpy as np
from hypothesis import strategies as st
from strategies import Case, cases, held, worlds
from twins import trace_of

import splitee
from splitee.system.codec import state_bytes

TOKENS = [4, 9, 30]
HIDDEN = 8


@dataclass(frozen=True)
class SystemCase:
    """A case, a system that it is played in, and its twin."""

    case: Case
    trace: splitee.Trace
    system: splitee.System
    physics: naive_system.Physics
    arrivals: list[float] | None


@st.composite
def system_cases(draw: st.DrawFn) -> SystemCase:
    """Cases whose costs are measured: fading links, outages, queues, deadlines, every kind of offload."""
    case = draw(cases(worlds(exit_layers=False, extras=False, max_layers=8, send_input=True)))
    world, rng = case.world, random.Random(draw(st.integers(0, 2**20)))
    n, layers = len(world.confidence), world.layers
    lengths = [rng.choice(TOKENS) for _ in range(n)]
    regular = draw(st.booleans())
    with_energy = draw(st.booleans())

    def values(low: float, high: float) -> list[list[float]]:
        return [[rng.uniform(low, high) for _ in range(layers)] for _ in TOKENS]

    layer_ms = [[world.layer] * layers] * 3 if regular else values(1.0, 20.0)
    exit_ms = [[world.exit] * layers] * 3 if regular else values(0.0, 3.0)
    layer_mj, exit_mj = values(0.0, 30.0), values(0.0, 2.0)
    tokenize = [0.0] * 3 if regular else [rng.uniform(0.0, 1.0) for _ in TOKENS]
    encode = [rng.uniform(0.0, 1.0) for _ in TOKENS]
    encode_mj = [rng.uniform(0.0, 1.0) if with_energy else 0.0 for _ in TOKENS]
    radio = (rng.uniform(0, 2000), rng.uniform(0, 400)) if draw(st.booleans()) else (0.0, 0.0)
    cloud = rng.uniform(0.0, 30.0) if draw(st.booleans()) else None
    codec = rng.choice(["float32", "float16", "int8"])
    sends = draw(st.sampled_from(["cheaper", "state", "input"]))
    input_bytes = (
        [rng.choice([0.0, 40.0, 4000.0, 90000.0]) for _ in range(n)] if draw(st.booleans()) else None
    )
    weights = draw(st.sampled_from([(1.0, 0.0, 0.0), (0.5, 0.1, 0.02), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]))
    deadline = draw(st.none() | st.sampled_from([1e-3, 30.0, 120.0, 900.0]))
    rtt = draw(st.sampled_from([0.0, 40.0, 7.25]))
    outages, at = [], 0.0
    for _ in range(draw(st.integers(0, 3))):
        start = at + rng.uniform(0.01, 2.0)
        at = start + rng.uniform(0.01, 3.0)
        outages.append((start, at))
    if draw(st.booleans()):
        times = [0.0]
        for _ in range(rng.randrange(1, 6)):
            times.append(times[-1] + rng.choice([0.1, 1.0, 0.37]))
        rates = [rng.choice([0.0, 0.05, 1.0, 8.0, 3.3]) for _ in times]
        rates[rng.randrange(len(rates))] = 2.0
        link = splitee.Link(rtt=rtt, outages=outages, time_s=times, mbit_s=rates)
    else:
        link = splitee.Link(uplink=rng.choice([0.3, 5.0, 40.0]), rtt=rtt, outages=outages)
    kind = draw(st.sampled_from(["alone", "every", "given"]))
    rounds = len(case.order)
    arrivals: object = None
    times_ms: list[float] | None = None
    if kind == "every":
        arrivals = rng.choice([5.0, 60.0, 300.0])
        times_ms = [arrivals * t for t in range(rounds)]
    elif kind == "given":
        times_ms = sorted(rng.choice([0.0, 10.0, rng.uniform(0, 60.0 * rounds)]) for _ in range(rounds))
        arrivals = times_ms
    system = splitee.System(
        splitee.DeviceProfile(
            layer_ms=world.layer if regular else layer_ms,
            exit_ms=world.exit if regular else exit_ms,
            layer_mj=layer_mj,
            exit_mj=exit_mj,
            tokens=TOKENS,
            tokenize_ms=tokenize,
            encode_ms={codec: encode},
            encode_mj={codec: encode_mj},
            radio_mw=radio[0],
            radio_mj_per_mbit=radio[1],
            hidden=HIDDEN,
        ),
        link,
        cloud,
        sends=sends,
        codec=codec,
        arrivals=arrivals,
        weights=dict(zip(("ms", "mJ", "KB"), weights, strict=True)),
        deadline=deadline,
        device_layers=world.device_layers,
        input_bytes=input_bytes,
    )

    def row(s: int) -> int:
        return TOKENS.index(lengths[s])

    def summed(layer: list[float], exits: list[float], i: int, every: bool) -> float:
        done = 0.0
        for j in range(i):
            done = done + layer[j]
        if not every:
            return done + exits[i - 1] if i else 0.0
        tried = 0.0
        for j in range(i):
            tried = tried + exits[j]
        return done + tried

    def ms(s: int, i: int, every: bool) -> float:
        if regular:
            return naive.device_cost_of(world, i, i if every else min(i, 1)) + (
                tokenize[row(s)] if i else 0.0
            )
        done = summed(layer_ms[row(s)], exit_ms[row(s)], i, every)
        return done + tokenize[row(s)] if i else done

    def mj(s: int, i: int, every: bool) -> float:
        return summed(layer_mj[row(s)], exit_mj[row(s)], i, every)

    edges = link.edges_ms.tolist()
    physics = naive_system.Physics(
        ms=ms,
        mj=mj,
        encode_ms=lambda s: encode[row(s)],
        encode_mj=lambda s: encode_mj[row(s)],
        state_bits=lambda s, i: 8.0 * int(state_bytes(codec, lengths[s], HIDDEN)),
        input_bits=lambda s: 8.0 * (input_bytes[s] if input_bytes else 4.0 * lengths[s]),
        cloud_ms=lambda s, i: (cloud or 0.0) * (1.0 - i / layers),
        sends=sends,
        rates=list(zip(edges[:-1], link.bits_per_ms.tolist(), strict=True)),
        period=edges[-1],
        outages=[(1000.0 * a, 1000.0 * b) for a, b in outages],
        mean_rate=float(link.bits_per_ms[0]) if link.constant else link.mean * 1e3,
        rtt=rtt,
        deadline=math.inf if deadline is None else deadline,
        radio_mw=radio[0],
        radio_mj_per_mbit=radio[1],
        weights=weights,
        device_layers=held(world),
    )
    trace = trace_of(world).replace(length=np.array(lengths))
    return SystemCase(case, trace, system, physics, times_ms)
