"""What a policy is, what it may see, and how one's own policy in plain Python takes part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.costs import CostModel

if TYPE_CHECKING:
    from splitee.trace import Trace

Floats = NDArray[np.float64]
Layers = NDArray[np.int16]  # 1-based; 0 = send the input
Orders = NDArray[np.int32]  # 0-based samples, shape (m,) or (repeats, m)


@dataclass(frozen=True)
class Stream:
    """One order of samples, as a policy may see it: no labels.

    Attributes
    ----------
    confidence : ndarray of float32, shape (n, L)
        C_i of every sample of the trace.
    prediction : ndarray of int32, shape (n, L)
        The class that each exit answers.
    entropies : callable
        Returns `entropy`, which not every policy asks for.
    value : ndarray of float32, shape (n, L), or None
        The score that each exit gives, where the model regresses.
    far : ndarray of float32, shape (n,)
        Confidence of whoever answers offloaded samples: C_L, or the cloud's own model.
    other_cloud : bool
        Whether that is another model, so that reaching exit L does not reveal `far`.
    order : ndarray of int32, shape (m,)
        The samples in the order they arrive, 0-based.
    arms : int
        The device can split at 1..arms.
    costs : CostModel
        All prices.
    mu : float
        μ, points of confidence one λ is worth.
    seed : tuple of int
        Entropy and spawn key of what chance is left to.
    """

    confidence: NDArray[np.float32]
    prediction: NDArray[np.int32]
    entropies: Callable[[], NDArray[np.float32] | None]
    value: NDArray[np.float32] | None
    far: NDArray[np.float32]
    other_cloud: bool
    order: Orders
    arms: int
    costs: CostModel
    mu: float
    seed: tuple[int, tuple[int, ...]]

    @cached_property
    def rng(self) -> np.random.Generator:
        """The policy's own generator, for this repeat."""
        entropy, key = self.seed
        return np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=key))

    @property
    def entropy(self) -> NDArray[np.float32] | None:
        """Of each exit's probabilities, in nats, shape (n, L); None where the trace does not tell."""
        return self.entropies()

    @property
    def layers(self) -> int:
        """L."""
        return int(self.confidence.shape[1])


@runtime_checkable
class PlainPolicy(Protocol):
    """A policy of one's own in plain Python: `splitee.replay` takes any object of this form.

    It may also have a ``threshold`` (α, read once before it starts; default: the trace's recommended one,
    else 0.7), a ``name``, ``send_input = True`` where it may send the input, and ``sees_final = True``, which
    makes every round reveal the final confidence (no device could; tables mark it).
    """

    every_exit: bool
    """Whether all exits on the way are evaluated (and paid), or only the one it stops at."""

    def start(self, layers: int, costs: CostModel, mu: float, rng: np.random.Generator) -> None:
        """Begin a stream; the device can split at 1..layers.

        `costs` has the prices of these layers; its ``device_layers`` is None where the last of them is L,
        whose exit always answers.
        """

    def choose(self, t: int) -> int:
        """Return the layer to split at in round t = 1, 2, …; 0 sends the input."""

    def learn(
        self,
        t: int,
        layer: int,
        confidences: Floats,
        offloaded: bool,
        final_confidence: float | None,
    ) -> None:
        """Take in round t.

        `confidences` holds those of the exits that were evaluated: all of 1..layer where `every_exit`, else
        only the last of these; none where the input was sent. `final_confidence` is that of whoever answers
        offloaded samples; None unless the sample was offloaded or reached the last layer (where another model
        answers in the cloud: unless it was offloaded).
        """


@dataclass(frozen=True)
class Policy:
    """A policy of the package: a frozen dataclass of its parameters that turns a stream into splits.

    A sample that stops at layer i is answered there if C_i ≥ ``threshold`` or i = L, else offloaded; where
    ``offloads`` is false, it is answered there, sure or not.
    """

    name: ClassVar[str] = ""
    every_exit: ClassVar[bool] = False
    sees_final: ClassVar[bool] = False
    has_arms: ClassVar[bool] = True  # what it plays are layers to split at, each with a mean reward
    learns: ClassVar[bool] = False  # whether what it plays depends on what it has seen
    varies: ClassVar[bool] = False  # whether each sample has its own layer, without learning
    offloads: ClassVar[bool] = True  # whether an unsure sample is sent from the layer where it stops
    hindsight: ClassVar[bool] = False  # whether it knows the very stream beforehand: a bound, no policy

    def by_sample(self, stream: Stream) -> Layers | None:
        """Return where each sample of the trace always stops, shape (n,); None where that depends."""
        return None

    def splits(self, stream: Stream) -> Layers:
        """Return where the device stops at each sample of the stream, shape (m,)."""
        layers = self.by_sample(stream)
        assert layers is not None, f"{type(self).__name__} has no by_sample, no splits, and is no bandit"
        stops: Layers = layers[stream.order]
        return stops

    def check_trace(self, trace: Trace) -> None:
        """Raise InputError where the policy cannot meet this trace."""

    def deepest(self, layers: int, arms: int) -> int:
        """Return the deepest layer that must be on the device, of a trace of `layers`."""
        return arms

    def rounds_with_every_exit(self, rounds: int) -> int:
        """Return in how many of the first of so many rounds all exits on the way are evaluated, and paid."""
        return rounds if self.every_exit else 0

    def priced(self, costs: CostModel) -> CostModel:
        """Return the prices by which this policy's costs are reported: those of the call."""
        return costs

    @property
    def label(self) -> str:
        """How tables call it."""
        return self.name

    def to_dict(self) -> dict[str, Any]:
        """As plain types, for a manifest."""
        shown = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        shown = {k: v.item() if isinstance(v, np.generic) else v for k, v in shown.items()}
        return {"policy": type(self).__name__, **shown}


AnyPolicy = Policy | PlainPolicy


def sends_input(policy: AnyPolicy) -> bool:
    """Whether a policy says that it may send the input."""
    return bool(getattr(policy, "send_input", False))


def check_switch(name: str, value: object) -> None:
    """Raise InputError unless `value` is True or False: a misplaced argument would pass for one."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} is {value!r}: give True or False")


def kinds_of_rounds(
    policy: AnyPolicy, rounds: int
) -> tuple[tuple[bool, ...], tuple[tuple[int, int, int], ...]]:
    """Return the kinds of rounds that a policy, one's own too, plays, and when.

    Returns
    -------
    (exits, parts)
        Of each kind, whether every exit on the way is evaluated; consecutive parts of the stream as (first
        round from 0, end, kind).
    """
    if isinstance(policy, Policy):
        every = policy.rounds_with_every_exit(rounds)
    else:
        every = rounds if policy.every_exit else 0
    if 0 < every < rounds:
        return (True, False), ((0, every, 0), (every, rounds, 1))
    return (every > 0,), ((0, rounds, 0),)


def check_threshold(threshold: float) -> None:
    """Raise InputError unless α lies in [0, 1]."""
    if not (isinstance(threshold, Real) and 0 <= threshold <= 1):
        raise InputError(f"threshold is {threshold!r}: give a confidence between 0 and 1")


def check_layer(layer: int) -> None:
    """Raise InputError unless `layer` can be one (1-based)."""
    if isinstance(layer, bool) or not isinstance(layer, Integral) or layer < 1:
        raise InputError(f"layer is {layer!r}: give a whole number, at least 1")


def play(policy: PlainPolicy, stream: Stream, threshold: float) -> Layers:
    """Let a plain-Python policy meet a stream, round by round, seeing only what a device would see."""
    policy.start(stream.arms, stream.costs.on_device(stream.layers), stream.mu, stream.rng)
    sees_final = bool(getattr(policy, "sees_final", False))
    splits = np.empty(len(stream.order), dtype=np.int16)
    lowest = (
        1 if np.isnan(stream.costs.sending(stream.layers)[0]) else 0
    )  # whether sending the input has a price
    for t, sample in enumerate(stream.order, start=1):
        layer: int = policy.choose(t)
        if not isinstance(layer, Integral) or not lowest <= layer <= stream.arms:
            raise InputError(
                f"policy {display_name(policy)} chose layer {layer!r} in round {t}: it can choose {lowest}"
                f"{'' if lowest else ' (send the input)'} to {stream.arms}"
            )
        layer = int(layer)
        row = stream.confidence[sample].astype(np.float64)
        evaluated = row[:layer] if policy.every_exit else row[max(layer - 1, 0) : layer]
        last = layer == stream.layers
        offloaded = layer == 0 or not (last or row[layer - 1] >= threshold)
        final: float | None = None
        if offloaded or sees_final:
            final = float(stream.far[sample])
        elif last and not stream.other_cloud:
            final = float(row[-1])
        policy.learn(t, layer, evaluated, offloaded, final)
        splits[t - 1] = layer
    return splits


def display_name(policy: AnyPolicy) -> str:
    """Return what tables call a policy, one's own included."""
    if isinstance(policy, Policy):
        return policy.label
    return str(getattr(policy, "name", type(policy).__name__))


def as_dict(policy: AnyPolicy) -> dict[str, Any]:
    """Describe a policy in plain types; of one's own, its simple public attributes."""
    if isinstance(policy, Policy):
        return policy.to_dict()
    simple = (bool, int, float, str, type(None))
    kept = {
        k: v
        for k, v in getattr(policy, "__dict__", {}).items()
        if not k.startswith("_") and isinstance(v, simple)
    }
    return {"policy": type(policy).__name__, **kept}
