"""Random worlds, orders and policy settings for hypothesis: plain Python data, made to hit ties and edges."""

import math
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from hypothesis import strategies as st
from naive import World

T = TypeVar("T")

MAX_LAYERS = 24
MAX_SAMPLES = 60
MAX_ROUNDS = 120

TIE_PRONE = (0.5, 0.75, 1.0)  # their rewards meet exactly when μ = 0, and often otherwise


@dataclass(frozen=True)
class Case:
    """A world, one stream through it, and the settings that the policies take."""

    world: World
    order: list[int]
    threshold: float
    exploration: float
    send_input: bool
    drawn: list[int]  # for random_split: a layer in 1..m for every position
    layer: int  # for fixed_split and fixed_exit: in 1..m


def float32(x: float) -> float:
    """Round to float32 once, and widen again."""
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


def held(world: World) -> int:
    """m, the number of layers that the device holds."""
    return world.layers if world.device_layers is None else world.device_layers


def table(n: int, columns: int, seed: int, cell: Callable[[random.Random], T]) -> list[list[T]]:
    """n rows from a drawn seed and not cell by cell, which would be too much data for hypothesis.

    A row depends on the seed and its own number only, so a failing example still shrinks in n and in L.
    """
    rows = []
    for s in range(n):
        rng = random.Random(f"{seed} {s}")
        rows.append([cell(rng) for _ in range(columns)])
    return rows


@st.composite
def confidences(draw: st.DrawFn, n: int, columns: int, classes: int) -> list[list[float]]:
    """C in [1/classes, 1], float32: tie-prone, of a few levels, free, or growing with depth."""
    kind = draw(st.sampled_from(["ties", "levels", "free", "growing"]))
    seed = draw(st.integers(0, 2**20))
    low = 1 / classes
    if kind == "ties":
        return table(n, columns, seed, lambda rng: rng.choice(TIE_PRONE))
    if kind == "levels":
        levels = [float32(x) for x in draw(st.lists(st.floats(low, 1.0), min_size=1, max_size=4))]
        return table(n, columns, seed, lambda rng: rng.choice(levels))
    rows = table(n, columns, seed, lambda rng: float32(rng.uniform(low, 1.0)))
    return [sorted(row) for row in rows] if kind == "growing" else rows


@st.composite
def worlds(
    draw: st.DrawFn,
    *,
    layers: int | None = None,
    max_layers: int = MAX_LAYERS,
    max_samples: int = MAX_SAMPLES,
    labels: bool | None = None,
    cloud: bool | None = None,
    send_input: bool | None = None,
    exit_layers: bool | None = False,
    extras: bool = True,
) -> World:
    """Worlds. A switch that is None is tossed; True or False fixes whether every world has the thing.

    ``layers``: how many, where that is fixed. ``send_input``: whether the input has a price. ``exit_layers``:
    whether exits may sit at some layers only. ``extras``: whether there may be extra cost terms.
    """

    def tossed(switch: bool | None) -> bool:
        return draw(st.booleans()) if switch is None else switch

    n = draw(st.integers(1, max_samples))
    layers = layers or draw(st.integers(2, min(5, max_layers)) | st.integers(2, max_layers))
    classes = draw(st.integers(2, 4))
    seed = draw(st.integers(0, 2**20))
    with_cloud = tossed(cloud)
    prices = st.sampled_from([0.0, 0.5, 1.0, 5.0, 7.3]) | st.floats(0.0, 10.0)

    def classes_of(columns: int, salt: int) -> list[list[int]]:
        return table(n, columns, seed + salt, lambda rng: rng.randrange(classes))

    def first(rows: list[list[T]]) -> list[T]:
        return [row[0] for row in rows]

    if draw(st.booleans()):
        offload = [draw(prices)] * layers
    else:
        offload = draw(st.lists(prices, min_size=layers, max_size=layers))
    layer, exit_ = draw(
        st.sampled_from([(5 / 6, 1 / 6), (0.8, 0.2), (0.75, 0.25), (1.0, 0.0)])
        | st.tuples(st.floats(0.01, 3.0), st.floats(0.0, 1.0))
    )
    if draw(st.integers(0, 3)) == 0:  # measured layers
        layer = first(table(layers, 1, seed + 7, lambda rng: rng.choice((0.0, 1.0, rng.uniform(0.0, 3.0)))))
    extra = first(table(n, 1, seed + 4, lambda rng: rng.choice((0.0, 1.0, rng.uniform(0.0, 3.0)))))
    extras = extras and draw(st.integers(0, 3)) == 0
    depths = sorted(random.Random(seed).sample(range(1, 2 * layers + 1), layers))
    return World(
        confidence=draw(confidences(n, layers, classes)),
        prediction=classes_of(layers, 1),
        label=first(classes_of(1, 2)) if tossed(labels) else None,
        cloud_confidence=first(draw(confidences(n, 1, classes))) if with_cloud else None,
        cloud_prediction=first(classes_of(1, 3)) if with_cloud else None,
        offload=offload,
        offload_input=draw(prices) if tossed(send_input) else None,
        sample_offload=extra if draw(st.booleans()) else None,
        layer=layer,
        exit=exit_,
        device_layers=draw(st.none() | st.integers(1, layers)),
        mu=draw(st.sampled_from([0.0, 0.1, 1 / 16, 0.02, 1.0]) | st.floats(0.0, 0.2)),
        exit_layers=depths if tossed(exit_layers) else None,
        extra_device=first(table(layers, 1, seed + 5, lambda rng: rng.uniform(0.0, 1.0))) if extras else None,
        extra_offload=first(table(layers + 1, 1, seed + 6, lambda rng: rng.uniform(0.0, 1.0)))
        if extras
        else None,
    )


@st.composite
def orders(draw: st.DrawFn, n: int, length: int | None = None) -> list[int]:
    """A stream of 0-based samples: a permutation, drawn with repetition, of one sample alone, or short."""
    rng = random.Random(draw(st.integers(0, 2**20)))
    kind = draw(st.sampled_from(["permutation", "repeated", "repeated", "constant", "short"]))
    if length is None:
        lengths = {
            "permutation": st.just(n),
            "repeated": st.integers(20, MAX_ROUNDS),
            "short": st.integers(1, 8),
        }
        length = draw(lengths.get(kind, st.integers(1, MAX_ROUNDS)))
    if kind == "permutation" and length <= n:
        return rng.sample(range(n), length)
    if kind == "constant":
        return [rng.randrange(n)] * length
    return [rng.randrange(n) for _ in range(length)]


@st.composite
def thresholds(draw: st.DrawFn, world: World) -> float:
    """α below and above every confidence, at one, beside one (closer than float32 can tell), or usual."""
    cells = sorted(c for row in world.confidence for c in row)
    one = cells[draw(st.integers(0, len(cells) - 1))]
    beside = [math.nextafter(one, 0.0), min(1.0, math.nextafter(one, 2.0))]
    above_all = min(1.0, math.nextafter(cells[-1], 2.0))
    return draw(
        st.just(one)
        | st.sampled_from(beside)
        | st.sampled_from([0.0, cells[0], cells[-1], above_all])
        | st.sampled_from([0.6, 0.7, 0.75, 0.85, 1.0])
        | st.floats(cells[0], cells[-1])
    )


@st.composite
def cases(draw: st.DrawFn, world_strategy: st.SearchStrategy[World] | None = None) -> Case:
    """All that a policy needs. The input is sent only where it has a price."""
    world = draw(worlds() if world_strategy is None else world_strategy)
    order = draw(orders(len(world.confidence)))
    rng = random.Random(draw(st.integers(0, 2**20)))
    m = held(world)
    return Case(
        world=world,
        order=order,
        threshold=draw(thresholds(world)),
        exploration=draw(st.sampled_from([0.0, 0.1, 1.0, 3.0])),
        send_input=world.offload_input is not None and draw(st.booleans()),
        drawn=[rng.randint(1, m) for _ in order],
        layer=draw(st.integers(1, m)),
    )


def unroll(case: Case) -> Case:
    """The same stream with one row for each position, so that a test can change what one round alone sees."""

    def rows(column: list[T] | None) -> list[T]:
        return [] if column is None else [column[s] for s in case.order]

    world = case.world
    unrolled = replace(
        world,
        confidence=[list(row) for row in rows(world.confidence)],
        prediction=rows(world.prediction),
        label=rows(world.label) or None,
        cloud_confidence=rows(world.cloud_confidence) or None,
        cloud_prediction=rows(world.cloud_prediction) or None,
        sample_offload=rows(world.sample_offload) or None,
    )
    return replace(case, world=unrolled, order=list(range(len(case.order))))
