"""Measure a checkpoint on this machine: milliseconds and millijoules per layer, exit, reading and codec.

Every measured pass is early-exit inference itself (`infer` at batch 1) with a clock at its steps, in which no
exit is sure. A pass thus times every layer once, and token counts take turns in a random order, so that a
processor that slows down does so for all of them. Reading is tokenising a text, or decoding an image.
"""

from __future__ import annotations

import gc
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

import splitee
from splitee._internal.checksums import file_sha256
from splitee._internal.errors import InputError
from splitee._internal.numbers import check_whole
from splitee.data.images import Images
from splitee.models.checkpoints import find_checkpoint
from splitee.models.early_exit import infer
from splitee.models.multi_exit import load_checkpoint
from splitee.models.network import ExitNetwork
from splitee.models.probes import Probe, Probes, Sample, probes_of
from splitee.policies.rules import Confidence, Memory, Rule, Said, Sure
from splitee.system.codec import CODECS, check_codec, decode, state_bytes
from splitee.system.codec import encode as encode_state
from splitee.system.machine import EnergyCounter, describe_machine
from splitee.system.profile import DeviceProfile

Floats = NDArray[np.float64]

_WARM_UP = 3  # passes of everything that are not counted
_MOST_THREADS = 1024
_MOST_REPEATS = 10_000
_ALPHA = 0.9  # if the checkpoint recommends no threshold


@dataclass(frozen=True)
class ProfileOptions:
    """How a checkpoint is measured.

    Parameters
    ----------
    tokens : sequence of int, optional
        Token counts of texts, special tokens included. Default: `TOKENS`, up to ``max_tokens``.
    repeats : int
        Passes per token count, or of images, after three that warm up.
    threads : int, optional
        Threads of torch. Default: as torch has chosen.
    codecs : sequence of str
        Codecs that are timed.
    watts : float, optional
        Power of the device while it computes, where RAPL cannot be read.
    seed : int
        Of the order of passes.
    """

    tokens: Sequence[int] | None = None
    repeats: int = 30
    threads: int | None = None
    codecs: Sequence[str] = CODECS
    watts: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, most in (("repeats", _MOST_REPEATS), ("threads", _MOST_THREADS)):
            if (value := getattr(self, name)) is not None:
                check_whole(name, value)
                if value > most:
                    raise InputError(f"{name} is {value}: give at most {most:,}")
        for codec in self.codecs:
            check_codec(codec)
        if self.watts is not None and not 0 < self.watts < math.inf:
            raise InputError(f"watts is {self.watts!r}: give the power in watts, above 0")
        if self.tokens is not None:
            for count in self.tokens:
                check_whole("tokens", count)


@dataclass(frozen=True)
class Check:
    """Milliseconds of early-exit inference on samples: measured, and as the profile predicts them.

    Attributes
    ----------
    measured, predicted : ndarray of float64, shape (n,)
        Per sample, from its text or file to the answer: the median of the repeats, and the sum of the
        profile's values up to the exit that answered.
    exit : ndarray of int, shape (n,)
        The exit that answered, from 1.
    """

    measured: Floats
    predicted: Floats
    exit: NDArray[np.int64]

    def summary(self) -> dict[str, float]:
        """Return p50 and p95 of both, their relative errors, and those of the texts' own errors."""
        found: dict[str, float] = {"texts": len(self.measured), "mean_exit": float(self.exit.mean())}
        own = np.abs(self.predicted / self.measured - 1)
        for share in (50, 95):
            right, said = (float(np.percentile(ms, share)) for ms in (self.measured, self.predicted))
            found |= {f"measured_p{share}": right, f"predicted_p{share}": said}
            found |= {f"error_p{share}": said / right - 1, f"text_error_p{share}": np.percentile(own, share)}
        return {key: round(float(value), 5) for key, value in found.items()}


def measure(
    checkpoint: str | Path,
    options: ProfileOptions | None = None,
    *,
    texts: Sequence[list[str]] | None = None,
    images: Images | None = None,
    name: str | None = None,
    advance: Callable[[int], object] = lambda passes: None,
    begin: Callable[[int], object] = lambda passes: None,
    counter: EnergyCounter | None = None,
) -> tuple[DeviceProfile, Check | None]:
    """Measure a checkpoint on this machine.

    Parameters
    ----------
    checkpoint : str or path
        A folder of `splitee train`, or the bundled "sst2_slender".
    options : ProfileOptions, optional
    texts : one or two lists of n str, optional
        Texts whose whole inference is timed in the same run, with the checkpoint's recommended threshold.
    images : Images, optional
        The same for a network of stages. Reading is then timed on them, else on one JPEG file of the model's
        size.
    name : str, optional
        Name of the profile. Default: the checkpoint's.
    begin, advance : callable
        Called with the number of passes of the whole run, and with those just done.
    counter : EnergyCounter, optional
        Default: RAPL's of this machine.

    Returns
    -------
    DeviceProfile, Check or None

    Raises
    ------
    InputError
        If the checkpoint cannot be loaded, or a token count is beyond what the model takes.
    """
    options = options or ProfileOptions()
    folder = find_checkpoint(checkpoint)
    model = load_checkpoint(folder)
    name = name or folder.resolve().name
    measured = probes_of(model, folder, options.tokens, texts, images)
    probes, samples = measured.probes, measured.samples
    bench = _Bench(model, measured, options)
    with _threads(options.threads) as threads, _no_garbage():
        order = random.Random(options.seed)
        jobs: list[Probe | Sample] = [*probes, *samples]
        begin(len(jobs) * (options.repeats + _WARM_UP))
        energy = counter or EnergyCounter()
        for turn in range(options.repeats + _WARM_UP):
            if turn == _WARM_UP:
                began, spent = perf_counter_ns(), energy.joules()
            order.shuffle(jobs)
            for job in jobs:
                found = bench.steps(job) if isinstance(job, Probe) else bench.whole(job)
                if turn >= _WARM_UP:
                    job.ns.append(found)
            energy.joules()
            advance(len(jobs))
        seconds = (perf_counter_ns() - began) / 1e9
        watts = (energy.joules() - spent) / seconds if energy.readable else options.watts
    power = f"rapl: {watts:.3g} W, whole package, idle power included" if energy.readable else "unknown"
    if not energy.readable and watts is not None:
        power = f"assumed {watts:g} W"
    facts = {
        "model": {
            "name": folder.resolve().name,
            "sha256": file_sha256(folder / "model.safetensors"),
            "layers": len(model.layers),
            "exits": list(model.exits),
        },
        "machine": describe_machine(),
        "threads": threads,
        "batch": 1,
        "repeats": options.repeats,
        "precision": "float32",
        "energy": power,
        "libraries": {
            "splitee": splitee.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
        },
    }
    profile = _profile(model, measured, options, watts, name, facts)
    return profile, _check(profile, model, samples) if samples else None


class _Never(Rule):
    """Evaluate all exits and accept none."""

    def sure(self, exit_: int, said: Said, memory: Memory | None) -> tuple[Sure, Memory | None]:
        """Return that no sample may be answered."""
        return np.zeros(len(said.confidence), dtype=bool), None


class _Bench:
    """Runs passes: what a device does with one sample."""

    def __init__(self, model: ExitNetwork, measured: Probes, options: ProfileOptions) -> None:
        self.model, self.read, self.options = model, measured.batch, options
        self.rng = np.random.default_rng(options.seed)
        self.rule: Rule = _Never()
        if not model.config.regresses:
            recommended = (model.config.recommended_threshold or {}).get("value", _ALPHA)
            self.rule = Confidence(recommended)

    def steps(self, probe: Probe) -> list[int]:
        """Time the steps of a sample: read; layers and exit, L times; encode and decode every state."""
        at = [perf_counter_ns()]
        mark = lambda: at.append(perf_counter_ns())  # noqa: E731  # the shortest way to the clock
        batch = self.read(probe)
        mark()
        infer(self.model, batch, _Never(), mark=mark)
        at[-1] = perf_counter_ns()  # the last exit also builds the answer
        steps = np.diff(at).tolist()
        states = [self.rng.normal(size=shape).astype(np.float32) for shape in probe.states]
        for codec in self.options.codecs:
            for state in states:
                begun = perf_counter_ns()
                parts = encode_state(codec, state)
                encoded = perf_counter_ns()
                decode(codec, parts, state.shape[1])
                steps += [encoded - begun, perf_counter_ns() - encoded]
        return steps

    def whole(self, sample: Sample) -> tuple[int, int]:
        """Time a sample from its text or file to the answer; return nanoseconds and exit."""
        begun = perf_counter_ns()
        answers = infer(self.model, self.read(sample), self.rule)
        return perf_counter_ns() - begun, int(answers.exit[0])


def _profile(
    model: ExitNetwork,
    measured: Probes,
    options: ProfileOptions,
    watts: float | None,
    name: str,
    facts: dict[str, Any],
) -> DeviceProfile:
    """Return the medians as a profile, with quartiles among the facts.

    Noise is skewed, so that the medians of steps add up to less than the median of passes: those of the
    steps are scaled to add up to it.
    """
    exits, probes = len(model.exits), measured.probes
    steps = np.array([probe.ns for probe in probes]) / 1e6  # (T, repeats, steps)
    low, middle, high = np.percentile(steps, [25, 50, 75], axis=1)
    parts = slice(0, 1 + 2 * exits)  # of a pass: all but the codecs
    passes = np.median(steps[..., parts].sum(axis=2), axis=1)
    middle[:, parts] *= (passes / middle[:, parts].sum(axis=1))[:, None]
    low, middle, high = (np.round(part, 5) for part in (low, middle, high))
    layers, ends = slice(1, 1 + 2 * exits, 2), slice(2, 2 + 2 * exits, 2)
    states = len(probes[0].states)
    codec = {
        codec: slice(at, at + 2 * states, 2)
        for codec, at in zip(options.codecs, itertools.count(1 + 2 * exits, 2 * states), strict=False)
    }
    facts["quartiles"] = {
        key: [part[:, where].tolist() for part in (low, high)]
        for key, where in (("tokenize_ms", 0), ("layer_ms", layers), ("exit_ms", ends))
    }
    decoding = {key: middle[:, at.start + 1 : at.stop : 2] for key, at in codec.items()}  # (T, states)
    encoding = {key: middle[:, at] for key, at in codec.items()}
    facts["bytes"] = {
        key: [int(state_bytes(key, *state)) for probe in probes for state in probe.states] for key in codec
    }
    facts["decode_ms"] = {key: ms.ravel().tolist() for key, ms in decoding.items()}
    if measured.tokens is None:  # of images: by exit, as the bytes are
        facts["image_size"] = model.config.image_size
        facts["encode_ms"] = {key: ms.ravel().tolist() for key, ms in encoding.items()}
    encode_ms = {key: np.round(ms.mean(axis=1), 5) for key, ms in encoding.items()}
    energy: dict[str, Any] = {}
    if watts is not None:  # watts times milliseconds are millijoules
        energy = {
            "layer_mj": np.round(watts * middle[:, layers], 5),
            "exit_mj": np.round(watts * middle[:, ends], 5),
            "tokenize_mj": np.round(watts * middle[:, 0], 5),
            "encode_mj": {key: np.round(watts * ms, 5) for key, ms in encode_ms.items()},
        }
    machine = facts["machine"]
    values: dict[str, Any] = {
        "layer_ms": middle[:, layers],
        "exit_ms": middle[:, ends],
        "tokenize_ms": middle[:, 0],
        "encode_ms": encode_ms,
        **energy,
    }
    if measured.tokens is None:
        values = {key: _only(found) for key, found in values.items()}
    return DeviceProfile(
        **values,
        tokens=measured.tokens,
        hidden=measured.hidden,
        name=name,
        kind="measured",
        source=f"splitee profile, {facts['model']['name']} on {machine['processor']}, "
        f"{facts['threads']} of {machine['cores']} cores, batch 1",
        facts=facts,
    )


def _only(values: Any) -> Any:
    """Return the values of the only row, or those of every codec."""
    return {key: _only(found) for key, found in values.items()} if isinstance(values, dict) else values[0]


def _check(profile: DeviceProfile, model: ExitNetwork, samples: list[Sample]) -> Check:
    times = profile.at(np.array([sample.tokens for sample in samples]), model.exits)
    stops = np.array([sample.ns[0][1] for sample in samples], dtype=np.int64)
    device = np.cumsum(times.layer_ms + times.exit_ms, axis=1)
    predicted = times.tokenize_ms + device[np.arange(len(samples)), stops - 1]
    measured = np.array([np.median([ns for ns, _ in sample.ns]) / 1e6 for sample in samples])
    return Check(measured, predicted, stops)


@contextmanager
def _threads(count: int | None) -> Iterator[int]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Collect garbage first and not meanwhile."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
