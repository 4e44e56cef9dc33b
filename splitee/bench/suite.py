"""EE-Bench 1: the cells in which policies are compared, and the questions that are asked.

A cell is a trace, a stream and costs. Every cell is played twice: on one half of the trace to choose a
policy's setting (in the track "shift" on other data, as when labels are of the laboratory and streams are
not), on the other half to judge it. What is here is sealed: a change makes another version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from splitee.bench.traces import FORMS, MOST, halves
from splitee.costs import CostModel
from splitee.policies.base import AnyPolicy
from splitee.policies.problem import DEFAULT_THRESHOLD
from splitee.policies.setting import Setting
from splitee.replay.orders import stream_of
from splitee.replay.replay import replay
from splitee.results.results import Results
from splitee.system.link import Link
from splitee.system.link_files import load_link
from splitee.system.profile import DeviceProfile
from splitee.system.system import System
from splitee.trace import Trace
from splitee.trace.bundled import find_trace
from splitee.trace.file import read_manifest

VERSION = "EE-Bench 1"
REPEATS = 4  # orders of a half
MU = 0.1
SHORT, DELAY = 300, 200  # rounds of a short stream; rounds until feedback arrives
LIMITS = (0.5, 1.0, 2.0)  # points of accuracy that may be lost
QUESTIONS = ("regret", *(f"drop {limit:g}" for limit in LIMITS))
TRACKS = ("constant", "shift", "drift", "short", "delay", "system")


@dataclass(frozen=True)
class Cell:
    """One setting in which policies are compared.

    Attributes
    ----------
    number : int
    track : str
        One of `TRACKS`.
    trace : str
        One of `splitee.bench.traces.FORMS`.
    stream : str
        See `splitee.replay.orders.stream_of`.
    offload : float, optional
        o in λ.
    system : str, optional
        One of `systems`, instead of `offload`.
    half_device : bool
        Whether the device holds half of the layers, else all.
    delay : int
        Rounds until the feedback of an offload arrives.
    rounds : int, optional
        Length of the stream. Default: every sample of the half comes once.
    chosen_on : str, optional
        The trace on which settings are chosen: another form, or "source", the model's own validation trace.
        Default: the other half of `trace`.
    """

    number: int
    track: str
    trace: str
    stream: str = "shuffled"
    offload: float | None = None
    system: str | None = None
    half_device: bool = False
    delay: int = 0
    rounds: int | None = None
    chosen_on: str | None = None

    @property
    def title(self) -> str:
        """The cell in words."""
        parts = [self.trace, self.stream, f"o = {self.offload:g}" if self.system is None else self.system]
        parts += ["half of the layers"] * self.half_device
        parts += [f"chosen on {self.chosen_on}"] * (self.chosen_on is not None)
        parts += [f"delay {self.delay}"] * bool(self.delay)
        return ", ".join([*parts, *([f"{self.rounds} rounds"] if self.rounds else [])])


@dataclass(frozen=True)
class Task(Setting):
    """What policies of a cell are made for.

    Attributes
    ----------
    mu : float
        μ.
    calibration : Trace, optional
        The half with labels on which settings are chosen; what is judged comes from the other half.
    offload : CostModel, optional
        The costs; in a System constants near them.
    """

    mu: float = MU
    calibration: Trace | None = None
    costs: CostModel | None = None


def _cells() -> Iterator[dict[str, Any]]:
    whole = ("imdb", "yelp_sentences", "scitail", "qqp", "snli", "caltech101", "caltech101 mixed")
    for trace in FORMS:
        yield {"track": "constant", "trace": trace, "offload": 12.0}
        yield {"track": "constant", "trace": trace, "offload": 5.0, "half_device": True}
        if trace in whole:
            yield {"track": "constant", "trace": trace, "offload": 2.0}
            yield {"track": "constant", "trace": trace, "offload": 36.0}
    shifted = dict.fromkeys(("imdb", "yelp_sentences", "scitail", "qqp", "snli", "slender_imdb"), "source")
    for trace in ("caltech101_blur2", "caltech101_noise2", "caltech101_jpeg3", "caltech101 mixed"):
        shifted[trace] = "caltech101"
    for trace, chosen_on in shifted.items():
        yield {"track": "shift", "trace": trace, "offload": 12.0, "chosen_on": chosen_on}
        yield {"track": "shift", "trace": trace, "offload": 5.0, "half_device": True, "chosen_on": chosen_on}
    for trace in ("imdb", "qqp", "yelp + imdb", "caltech101 mixed"):
        for stream in ("sudden", "gradual", "recurring", "bursts", "label-shift"):
            yield {"track": "drift", "trace": trace, "stream": stream, "offload": 12.0}
    some = ("imdb", "qqp", "snli", "caltech101", "caltech101 mixed")
    for trace in some:
        yield {"track": "short", "trace": trace, "offload": 12.0, "rounds": SHORT}
        yield {"track": "delay", "trace": trace, "offload": 12.0, "delay": DELAY}
    for trace in some:
        for system in ("Wi-Fi", "4G", "bus", "ferry", "5G"):
            yield {"track": "system", "trace": trace, "system": system, "half_device": system == "5G"}


@cache
def cells() -> tuple[Cell, ...]:
    """Return the cells of the suite, trace by trace.

    Examples
    --------
    >>> len(cells()) > 100, cells()[0].title
    (True, 'imdb, shuffled, o = 12')
    """
    places = list(FORMS)
    given = sorted(_cells(), key=lambda one: places.index(one["trace"]))
    return tuple(Cell(number, **one) for number, one in enumerate(given))


@cache
def systems(kind: str) -> Mapping[str, System]:
    """Return the systems by name: a phone for texts, a single-board computer for images."""
    ms, mj = (6.0, 18.0) if kind == "text" else (4.0, 12.0)
    device = DeviceProfile(layer_ms=ms, exit_ms=1.0, layer_mj=mj, exit_mj=2.0, radio_mw=800.0)
    return {
        "Wi-Fi": System(device, Link(uplink=20.0, rtt=20.0)),
        "4G": System(device, Link(uplink=5.0, rtt=60.0), arrivals="3/s"),
        "bus": System(device, load_link("hsdpa_bus_1_down", rtt=80.0), arrivals="2/s", deadline=1000.0),
        "ferry": System(
            device,
            load_link("hsdpa_ferry_1_down", rtt=150.0, outages=[(60.0, 66.0), (180.0, 186.0)]),
            arrivals="1/s",
            deadline=2000.0,
        ),
        "5G": System(device, load_link("5g_walking_down", rtt=30.0), arrivals="3/s", codec="int8"),
    }


@cache
def _seal() -> str:
    files = sorted({file for form in FORMS.values() for file in form.files})
    facts = {
        "version": VERSION,
        "cells": [asdict(cell) for cell in cells()],
        "traces": {file: read_manifest(find_trace(file))["fingerprint"] for file in files},
        "systems": {kind: {k: v.to_dict() for k, v in systems(kind).items()} for kind in ("text", "image")},
        "numbers": [REPEATS, MU, SHORT, DELAY, LIMITS, MOST],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def seal() -> str:
    """Return the SHA-256 of all that the suite is: cells, systems, and the fingerprints of its traces."""
    return _seal()


@dataclass(frozen=True)
class Played:
    """One half of a cell, ready to be played.

    Attributes
    ----------
    cell : Cell
    trace : Trace
    costs : CostModel or System
    task : Task
        What policies are made for.
    seed : int
    """

    cell: Cell
    trace: Trace
    costs: CostModel | System
    task: Task
    seed: int

    def play(
        self,
        policies: Mapping[str, AnyPolicy] | Sequence[AnyPolicy],
        repeats: int = REPEATS,
        rounds: int | None = None,
    ) -> Results:
        """Replay policies, over the cell's streams or their first `rounds`."""
        cell = self.cell
        orders = stream_of(cell.stream, self.trace, repeats, self.seed)
        if rounds is not None or cell.rounds is not None:
            if orders is None:
                rngs = [np.random.default_rng([self.seed, r]) for r in range(repeats)]
                orders = np.stack([rng.permutation(self.trace.samples) for rng in rngs])
            orders = orders[:, : min(rounds or MOST, cell.rounds or MOST)]
        return replay(
            self.trace,
            policies,
            self.costs,
            self.task.mu,
            repeats=repeats,
            seed=self.seed,
            orders=orders,
            threshold=self.task.threshold,
            delay=cell.delay,
        )


def ready(cell: Cell, judge: bool) -> Played:
    """Return the half of a cell on which policies are judged, or on which their settings are chosen.

    Examples
    --------
    >>> half = ready(cells()[0], judge=True)
    >>> half.trace.samples, half.task.threshold, half.task.source.name
    (2500, 0.9, 'sst2_validation')
    """
    parts = halves(cell.trace)
    choose = parts.choose
    if cell.chosen_on == "source":
        assert parts.source is not None
        choose = parts.source
    elif cell.chosen_on is not None:
        choose = halves(cell.chosen_on).choose
    trace = parts.judge if judge else choose
    held = max(1, trace.layers // 2) if cell.half_device else None
    costs: CostModel | System
    if cell.system is None:
        assert cell.offload is not None
        constant = costs = CostModel(offload=cell.offload, device_layers=held)
        mu = MU
    else:
        costs = replace(systems(FORMS[cell.trace].kind)[cell.system], device_layers=held)
        on = costs.on(trace)
        constant, mu = on.costs, on.usual_mu
    alpha = parts.judge.recommended_threshold
    task = Task(
        layers=trace.layers,
        arms=constant.arms(trace.layers),
        threshold=DEFAULT_THRESHOLD if alpha is None else alpha,
        source=parts.source,
        classes=trace.classes,
        mu=mu,
        calibration=choose,
        costs=constant.of_exits(trace.exit_layers),
    )
    return Played(cell, trace, costs, task, seed=2 if judge else 1)
