"""`System`: a device, a link and a cloud, in milliseconds, millijoules and bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError
from splitee.costs import CostModel, Floats
from splitee.system.arrivals import Arrivals
from splitee.system.codec import check_codec, state_bytes
from splitee.system.link import Link
from splitee.system.profile import DeviceProfile, Times
from splitee.system.world import CHEAPER, INPUT, STATE, World, offload_table
from splitee.trace import Trace

UNITS = ("ms", "mJ", "KB")
BYTES_PER_TOKEN = 4  # a token id, if the trace does not say how large the input is
_SENDS = {"state": STATE, "input": INPUT, "cheaper": CHEAPER}


@dataclass(frozen=True, eq=False)
class System:
    """A device that may offload samples to a cloud over a link.

    It stands where a `CostModel` does. The cost of a sample is a weighted sum of its latency in ms, the
    energy of the device in mJ, and the KB sent. The device works on one sample at a time; others wait.

    Parameters
    ----------
    device : DeviceProfile
        ms, and mJ where known, by layer and exit.
    link : Link, optional
        Default: 5 Mbit/s up, a round trip of 40 ms.
    cloud : DeviceProfile or float, optional
        Times of the cloud, or ms for the whole model, of which a state after layer i needs the share
        (L − i)/L. Default: free.
    sends : {"cheaper", "state", "input"}
        What an offload after layer i ≥ 1 sends. "cheaper": what is answered first, at the rate of the last
        transfer whose answer is back; before the first, at the link's mean rate.
    codec : {"float16", "float32", "int8"}
        How states are encoded.
    arrivals : None, float, str or array, optional
        None: a sample comes when the one before it is answered. A number: one every so many ms. "10/s":
        Poisson, 10 per second on average. An array of shape (rounds,): when each comes, in ms.
    weights : mapping, optional
        Cost per "ms", "mJ" and "KB". Default: {"ms": 1}.
    deadline : float, optional
        ms. An answer of the cloud that comes later is lost: the device answers from the exit it has
        evaluated, or, if it offloaded the input, from its last exit, computed then.
    device_layers : int, optional
        m; see `CostModel`.
    input_bytes : float or array of shape (n,), optional
        Bytes of the input of each sample. Default: those of the trace, else 4 per token.
    tokens : int, optional
        Tokens per sample, for traces without lengths.

    See Also
    --------
    splitee.CostModel : constant costs in λ, without a clock.

    Examples
    --------
    >>> import splitee
    >>> system = splitee.System(splitee.DeviceProfile(layer_ms=15, exit_ms=1), splitee.Link(uplink=5, rtt=40))
    >>> trace = splitee.load_trace("sst2_validation")
    >>> result = splitee.replay(trace, splitee.FixedSplit(4, threshold=0.9), system, repeats=1)
    >>> round(float(result.summary()["latency_p50"].iloc[0]), 1)  # 4 layers, an exit, and mostly an offload
    101.1
    """

    device: DeviceProfile
    link: Link = field(default_factory=Link)
    cloud: DeviceProfile | float | None = None
    sends: str = "cheaper"
    codec: str = "float16"
    arrivals: ArrayLike | str | None = None
    weights: Mapping[str, float] = field(default_factory=lambda: {"ms": 1.0})
    deadline: float | None = None
    device_layers: int | None = None
    input_bytes: float | ArrayLike | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        for name, kind, such in (
            ("device", DeviceProfile, "DeviceProfile(layer_ms=15, exit_ms=1)"),
            ("link", Link, "Link(uplink=5.0, rtt=40.0)"),
        ):
            if not isinstance(getattr(self, name), kind):
                raise InputError(f"{name} is {getattr(self, name)!r}: give a {kind.__name__}, such as {such}")
        if not isinstance(self.cloud, DeviceProfile | None):
            object.__setattr__(self, "cloud", _number("cloud", self.cloud, "ms for the whole model"))
        if self.sends not in _SENDS:
            raise InputError(f"sends is {self.sends!r}: choose cheaper, state or input")
        check_codec(self.codec)
        if self.deadline is not None:
            object.__setattr__(self, "deadline", _number("deadline", self.deadline, "ms", above=True))
        object.__setattr__(self, "weights", _checked_weights(self.weights))
        CostModel(device_layers=self.device_layers)
        if self.tokens is not None and not (
            isinstance(self.tokens, int) and not isinstance(self.tokens, bool) and self.tokens > 0
        ):
            raise InputError(f"tokens is {self.tokens!r}: give a whole number, at least 1")
        if self.input_bytes is not None:
            object.__setattr__(self, "input_bytes", _sizes(self.input_bytes))
        object.__setattr__(self, "arrivals", Arrivals.of(self.arrivals))

    @property
    def unit(self) -> str:
        """The unit of costs: "ms", or a sum such as "ms + 0.5 mJ"."""
        parts = [
            name if weight == 1 else f"{weight:g} {name}" for name, weight in self.weights.items() if weight
        ]
        return " + ".join(parts)

    def on(self, trace: Trace) -> SystemOn:
        """Return this system for the samples of a trace; InputError if they do not fit together."""
        return SystemOn(self, trace)

    def to_dict(self) -> dict[str, Any]:
        """Describe the system in plain types, for a manifest."""
        sizes = None if self.input_bytes is None else np.asarray(self.input_bytes).tolist()
        cloud = self.cloud.to_dict() if isinstance(self.cloud, DeviceProfile) else self.cloud
        assert isinstance(self.arrivals, Arrivals)
        return {
            "device": self.device.to_dict(),
            "link": self.link.to_dict(),
            "cloud": cloud,
            "sends": self.sends,
            "codec": self.codec,
            "arrivals": self.arrivals.description,
            "weights": dict(self.weights),
            "deadline": self.deadline,
            "device_layers": self.device_layers,
            "input_bytes": sizes,
            "tokens": self.tokens,
        }


@dataclass(frozen=True, eq=False)
class SystemOn:
    """A system for the samples of one trace."""

    system: System
    trace: Trace

    @cached_property
    def world(self) -> World:
        """What kernels read, without arrivals."""
        system, trace, layers = self.system, self.trace, self.trace.layers
        kinds, kind = self._kinds
        system.device.check_model(trace.manifest)
        known = system.device.at(kinds, trace.exit_layers)
        ms, mj = _device_times(system.device, known, trace.exit_layers)
        weights = np.array([system.weights.get(unit, 0.0) for unit in UNITS])
        if mj is None and weights[1] > 0:
            raise InputError(
                f"weights name mJ, and device profile {system.device.name} has none: "
                "give layer_mj and exit_mj"
            )
        device_mj = np.zeros_like(ms) if mj is None else mj
        link = system.link
        rate = float(link.bits_per_ms[0]) if link.constant else link.mean * 1e3
        return World(
            timed=True,
            delay=0,
            offload=np.zeros((1, layers + 1)),
            kind=kind.astype(np.int32),
            device=weights[0] * ms + weights[1] * device_mj,
            device_ms=ms,
            device_mj=device_mj,
            encode_ms=known.encode_ms(system.codec),
            encode_mj=known.encode_mj(system.codec),
            state_bits=self._state_bits(kinds),
            input_bits=self._input_bits(),
            cloud_ms=_cloud_times(system.cloud, kinds, trace),
            sends=_SENDS[system.sends],
            arrival=np.zeros((0, 0)),
            edges=link.edges_ms,
            bits_per_ms=link.bits_per_ms,
            outages=link.outages_ms,
            rate=rate,
            rtt=float(link.rtt),
            deadline=math.inf if system.deadline is None else system.deadline,
            radio_mw=float(system.device.radio_mw),
            radio_mj_per_mbit=float(system.device.radio_mj_per_mbit),
            weights=weights,
            last=self.arms,
        )

    def world_of(self, rounds: int, first: int, end: int, seed: int) -> World:
        """Return what kernels read in repeats first..end − 1."""
        assert isinstance(self.system.arrivals, Arrivals)
        return self.world._replace(arrival=self.system.arrivals.times(rounds, first, end, seed))

    @property
    def steady(self) -> bool:
        """Whether what an action leads to depends on the sample only."""
        alone = self.system.arrivals.one_at_a_time  # type: ignore[union-attr]
        return bool(alone and self.system.link.constant and not len(self.system.link.outages_ms))

    @property
    def has_energy(self) -> bool:
        """Whether the profile of the device knows energies."""
        return self.system.device.layer_mj is not None and self.system.device.exit_mj is not None

    @property
    def arms(self) -> int:
        """The exits m that the device holds."""
        return CostModel(device_layers=self.system.device_layers).arms(self.trace.layers)

    @cached_property
    def costs(self) -> CostModel:
        """Constant costs near these: means over the samples, at the link's mean rate, without waiting."""
        world = self.world
        by_sample = offload_table(world, world.rate)
        offload = np.where((by_sample == by_sample[0]).all(axis=0), by_sample[0], by_sample.mean(axis=0))
        regular = self._regular()
        if regular is None:
            shares = np.bincount(world.kind) / len(world.kind)
            one, every = np.tensordot(world.device, shares, axes=(1, 0))
            exits = np.diff(every - one, prepend=0.0)[2:]  # of exits 1..L − 1; 0 may become −1e-14
            exit_ = max(float(exits.mean()), 0.0)
            # of one exit evaluated the first is known best; the others differ by layers
            between = np.maximum(np.diff(one), 0.0)
            between[0] = max(float(one[1]) - exit_, 0.0)
            layer: float | Floats = between
        else:
            layer, exit_ = regular
        return CostModel(
            layer=layer,
            exit=exit_,
            offload=offload[1:],
            offload_input=float(offload[0]),
            device_layers=self.system.device_layers,
            exit_layers=self.trace.exit_layers,
        )

    @property
    def unit_cost(self) -> float:
        """λ: what one layer with its exit costs on this device, the mean over layers and samples."""
        device = self.world.device[1, self.world.kind, self.trace.layers]
        regular = self._regular()
        return sum(regular) if regular else float(device.mean()) / self.trace.layers

    @property
    def usual_mu(self) -> float:
        """0.1 per λ; InputError if a layer costs nothing in these weights."""
        if self.unit_cost == 0:
            raise InputError(
                f"a layer costs nothing in {self.system.unit}, so that mu has no default: give a number"
            )
        return 0.1 / self.unit_cost

    def _regular(self) -> tuple[float, float] | None:
        """Return the cost of a layer and of an exit, if all layers cost the same for all samples."""
        device, weights = self.system.device, self.system.weights
        if device.regular is None or np.any(np.asarray(device.tokenize_ms)):
            return None
        if not weights.get("mJ"):
            w = weights.get("ms", 0.0)
            return w * device.regular[0], w * device.regular[1]
        return None

    @cached_property
    def _kinds(self) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """The token counts that occur, and which of them each sample has."""
        length = self.trace.length
        if length is None:
            return np.array([self.system.tokens or 1]), np.zeros(self.trace.samples, dtype=np.intp)
        kinds, kind = np.unique(length, return_inverse=True)
        return kinds.astype(np.int64), kind

    @property
    def _has_tokens(self) -> bool:
        return self.trace.length is not None or self.system.tokens is not None

    def _state_bits(self, kinds: NDArray[np.int64]) -> Floats:
        bits = np.zeros((len(kinds), self.trace.layers + 1))
        if self.system.sends == "input":
            return bits
        hidden = self.system.device.hidden
        stored = self.trace.manifest.get("hidden_state_bytes")
        if isinstance(stored, Mapping) and "by_exit_shape" in stored:
            shapes = _shapes(stored["by_exit_shape"], self.trace)
            bits[:, 1:] = [8.0 * float(state_bytes(self.system.codec, *shape)) for shape in shapes]
            return bits
        if hidden is None:
            per_token = stored.get("per_token_float32") if isinstance(stored, Mapping) else None
            hidden = per_token // 4 if isinstance(per_token, int) and per_token > 0 else None
        if hidden is None or not self._has_tokens:
            if self.system.sends == "state":
                raise InputError(
                    f"{self.trace.name} does not say how large a state is: give a device profile with "
                    'hidden, and tokens for a trace without lengths, or sends="input"'
                )
            bits[:, 1:] = math.inf  # never cheaper
            return bits
        bits[:, 1:] = 8.0 * state_bytes(self.system.codec, kinds, hidden)[:, None]
        return bits

    def _input_bits(self) -> Floats:
        sizes = self.system.input_bytes
        if sizes is None and self.trace.input_bytes is not None:
            sizes = self.trace.input_bytes
        if sizes is None:
            if not self._has_tokens:
                if self.system.sends == "state" and self.system.device_layers is not None:
                    return np.zeros(self.trace.samples)
                raise InputError(
                    f"{self.trace.name} does not say how large an input is: give input_bytes, or tokens"
                )
            kinds, kind = self._kinds
            return 8.0 * BYTES_PER_TOKEN * kinds[kind].astype(np.float64)
        array = np.asarray(sizes, dtype=np.float64)
        if array.ndim and len(array) != self.trace.samples:
            raise InputError(
                f"input_bytes has {len(array)} sizes, the trace has {self.trace.samples} samples"
            )
        return np.broadcast_to(8.0 * array, self.trace.samples).copy()


def _device_times(
    device: DeviceProfile, known: Times, exit_layers: tuple[int, ...]
) -> tuple[Floats, Floats | None]:
    """Return ms and mJ of stopping at layers 0..L, shape (2, k, L + 1): one exit evaluated, or all."""
    kinds, layers = known.layer_ms.shape
    if device.regular is not None:  # the same numbers as a CostModel's, to the last bit
        gamma = CostModel(*device.regular, exit_layers=exit_layers).gamma(layers)
        index = np.arange(layers + 1)
        pair = np.stack([gamma[np.minimum(index, 1), index], gamma[index, index]])
        ms = np.repeat(pair[:, None, :], kinds, axis=1)
    else:
        ms = _sums(known.layer_ms, known.exit_ms)
    ms[:, :, 1:] += known.tokenize_ms[:, None]
    if known.layer_mj is None or known.exit_mj is None:
        return ms, None
    mj = _sums(known.layer_mj, known.exit_mj)
    mj[:, :, 1:] += known.tokenize_mj[:, None]
    return ms, mj


def _sums(layer: Floats, exit_: Floats) -> Floats:
    """Return what stopping at layers 0..L takes, shape (2, k, L + 1), from parts of shape (k, L)."""
    both = np.zeros((2, len(layer), layer.shape[1] + 1))
    both[:, :, 1:] = layer.cumsum(axis=1)
    both[0, :, 1:] += exit_
    both[1, :, 1:] += exit_.cumsum(axis=1)
    return both


def _cloud_times(cloud: DeviceProfile | float | None, kinds: NDArray[np.int64], trace: Trace) -> Floats:
    """Return the cloud's ms if it gets the state after layer 0..L, shape (k, L + 1)."""
    layers = trace.layers
    if isinstance(cloud, DeviceProfile):
        known = cloud.at(kinds, trace.exit_layers)
        done = np.concatenate([np.zeros((len(kinds), 1)), known.layer_ms.cumsum(axis=1)], axis=1)
        times = done[:, -1:] - done + known.exit_ms[:, -1:]
        times[:, 0] += known.tokenize_ms
        whole: Floats = times
        return whole
    rest = 1.0 - np.arange(layers + 1) / layers
    return np.tile((cloud or 0.0) * rest, (len(kinds), 1))


def _shapes(stored: Any, trace: Trace) -> list[tuple[int, int]]:
    """Return positions and width of the state at every exit, as `splitee precompute` wrote them."""
    valid = isinstance(stored, list) and all(
        isinstance(one, list) and len(one) == 2 and all(type(n) is int and 0 < n < 2**31 for n in one)
        for one in stored
    )
    if not valid or len(stored) != trace.layers:
        raise InputError(
            f"{trace.name}: manifest: by_exit_shape must be {trace.layers} pairs of positions and width"
        )
    return [(positions, width) for positions, width in stored]


def _checked_weights(weights: Any) -> dict[str, float]:
    if not isinstance(weights, Mapping) or not set(weights) <= set(UNITS):
        raise InputError(f'weights is {weights!r}: give costs per ms, mJ and KB, such as {{"ms": 1}}')
    checked = {unit: _number(f"weight of {unit}", weights[unit], unit) for unit in UNITS if unit in weights}
    if not any(checked.values()):
        raise InputError("all weights are 0: give one of ms, mJ and KB a weight above 0")
    return checked


def _number(name: str, value: Any, what: str, above: bool = False) -> float:
    """Return a finite number of at least 0, or above it."""
    valid = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1e12
    if not valid or (above and value == 0):
        least = "above" if above else "of at least"
        raise InputError(f"{name} is {value!r}: give a number {least} 0 ({what})")
    return float(value)


def _sizes(value: Any) -> float | Floats:
    """Return sizes in bytes: a number or an array of them."""
    try:
        sizes = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"input_bytes is {value!r}: give bytes, one number or one per sample") from error
    if sizes.ndim > 1 or not ((sizes >= 0) & (sizes <= 1e12)).all():
        raise InputError("input_bytes must be numbers of at least 0, one or one per sample")
    return sizes if sizes.ndim else float(sizes)
