"""What computing and offloading cost, in units of λ: one layer with its exit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CostTerm:
    """One part of the cost of a round: an array by layer for the device, one by layer for the offload.

    Attributes
    ----------
    name : str
        Results report the term as ``cost_NAME``.
    device : ndarray, shape (L + 1, L + 1)
        Cost of the device when it has evaluated e exits and stopped at layer i: ``device[e, i]``.
    offload : ndarray, shape (1, L + 1) or (n, L + 1)
        Cost of offloading at layer i (0: the input), for all samples or per sample; NaN where unknown.
    """

    name: str
    device: Floats
    offload: Floats


@dataclass(frozen=True, eq=False)
class CostModel:
    """Costs of computing layers, evaluating exits and offloading samples to the cloud.

    As in the paper, these are free: the cloud's computation, the way back of its answer, and waiting.

    Parameters
    ----------
    layer : float or array of shape (L,)
        λ₁, the cost of one layer. Default 5/6. An array holds the cost of what lies between each exit and the
        one before it, such as measured milliseconds; the first entry includes the embedding.
    exit : float
        λ₂, the cost of evaluating one exit. Default 1/6 (five matrix products to one; SplitEE, section 3).
    offload : float or array of shape (L,)
        o, the cost of offloading a sample, or one cost per layer after which it is offloaded.
    offload_input : float, optional
        Cost of offloading the input itself. Default: the scalar `offload`; it must be given if `offload` is
        an array and the input may be offloaded.
    sample_offload : array of shape (n,), optional
        Added to both of these, per sample (0-based index into the trace).
    device_layers : int, optional
        m: the device holds the first m layers only, so that it can split at 1..m. Default: all L. (It counts
        exits, if they do not sit at every layer.)
    exit_layers : sequence of L int, optional
        Layer of the encoder at which each exit sits, if that is not 1..L: exit i then costs exit_layers[i]
        layers. `splitee.replay` takes it from the trace.
    extra : mapping of str to (device, offload), optional
        Further cost terms, which add to the others and are reported as ``cost_NAME``. `device` has shape
        (L,): what the device pays when it stops at layer i. `offload` has shape (L + 1,) or (n, L + 1): what
        offloading at layer 0 (the input) to L costs. Either may be 0.

    Examples
    --------
    >>> costs = CostModel(offload=5.0)
    >>> costs.device(3).round(3).tolist()                     # γ, one exit evaluated
    [1.0, 1.833, 2.667]
    >>> costs.device(3, every_exit=True).tolist()             # γ, all exits evaluated
    [1.0, 2.0, 3.0]
    """

    layer: float | ArrayLike = 5 / 6
    exit: float = 1 / 6
    offload: float | ArrayLike = 5.0
    offload_input: float | None = None
    sample_offload: ArrayLike | None = None
    device_layers: int | None = None
    exit_layers: Sequence[int] | None = None
    extra: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "exit", _cost("exit", self.exit, dimensions=0))
        for name in ("layer", "offload"):
            object.__setattr__(self, name, _cost(name, getattr(self, name), dimensions=None))
        if self.offload_input is not None:
            object.__setattr__(self, "offload_input", _cost("offload_input", self.offload_input, 0))
        if self.sample_offload is not None:
            object.__setattr__(self, "sample_offload", _cost("sample_offload", self.sample_offload, 1))
        m = self.device_layers
        if m is not None:
            if isinstance(m, bool) or not isinstance(m, Integral) or m < 1:
                raise InputError(f"device_layers is {m!r}: give a whole number of layers, at least 1")
            object.__setattr__(self, "device_layers", int(m))
        if self.exit_layers is not None:
            try:
                depth = np.asarray(self.exit_layers)
            except ValueError:  # lists of different lengths
                depth = np.empty(0, dtype=object)
            layers = tuple(depth.tolist()) if depth.ndim == 1 and depth.dtype.kind in "iu" else (0,)
            if not all(before < layer for before, layer in pairwise((0, *layers))):
                raise InputError(f"exit_layers is {self.exit_layers!r}: give ascending layers, from 1 on")
            object.__setattr__(self, "exit_layers", layers)
        object.__setattr__(self, "extra", _checked_extra(self.extra))

    def of_exits(self, exit_layers: Sequence[int]) -> CostModel:
        """Return these costs for a trace's exits, unless they name the layers of the exits themselves."""
        return self if self.exit_layers is not None else replace(self, exit_layers=exit_layers)

    def device(self, layers: int, every_exit: bool = False) -> Floats:
        """Return γ_1..γ_L, the cost of stopping at each exit, shape (L,).

        Parameters
        ----------
        layers : int
            L.
        every_exit : bool
            Whether all exits on the way are evaluated, or only the one where the device stops.
        """
        gamma = self.gamma(layers)
        index = np.arange(1, layers + 1)
        by_exit: Floats = gamma[index if every_exit else 1, index]
        return by_exit

    def gamma(self, layers: int) -> Floats:
        """Return γ by exits evaluated and layer of the stop, shape (L + 1, L + 1); γ[0, 0] = 0.

        layer·depth + exit·evaluated, by multiplication; (layer + exit)·i if all exits 1..i are evaluated and
        sit at layers 1..i, as in the paper. Costs by layer are summed. Extra terms come last, in order.
        """
        depth, count = self._depth(layers), np.arange(layers + 1, dtype=np.float64)
        gamma = self._computing(layers)[None, :] + self.exit * count[:, None]
        if isinstance(self.layer, float):
            regular = np.cumprod(depth == count).astype(bool)  # as far as exits sit at layers 1, 2, …
            np.fill_diagonal(gamma, np.where(regular, (self.layer + self.exit) * count, np.diagonal(gamma)))
        gamma[:, 0] = 0.0  # nothing is computed before the input is offloaded
        for device, _ in self._extra(layers):
            gamma = gamma + device
        return gamma

    def arms(self, layers: int) -> int:
        """Return m, the number of the L layers that the device holds."""
        if self.device_layers is None:
            return layers
        if self.device_layers > layers:
            raise InputError(
                f"device_layers is {self.device_layers}, the trace has {layers} layers: give at most {layers}"
            )
        return int(self.device_layers)

    def on_device(self, layers: int) -> CostModel:
        """Return the costs as a device that holds m of the L layers sees them: by its own layers only.

        Its `device_layers` is None if the device holds all layers, so that the last exit always answers.
        """
        arms = self.arms(layers)
        offload = self.offload if np.ndim(self.offload) == 0 else np.asarray(self.offload)[:arms]
        exits = None if self.exit_layers is None else self.exit_layers[:arms]
        extra = {
            name: (np.broadcast_to(device, layers)[:arms], _by_layer(offload, layers)[..., : arms + 1])
            for name, (device, offload) in (self.extra or {}).items()
        }
        return replace(
            self,
            layer=self.layer if isinstance(self.layer, float) else np.asarray(self.layer)[:arms],
            offload=offload,
            device_layers=None if arms == layers else arms,
            exit_layers=exits,
            extra=extra or None,
        )

    def offload_by_layer(self, layers: int, *, send_input: bool = False) -> Floats:
        """Return o after 0..L layers, shape (L + 1,), without what depends on the sample.

        Entry 0 is the cost of offloading the input, NaN if it is unknown.

        Raises
        ------
        InputError
            If the input may be offloaded (`send_input`) and its cost is unknown.
        """
        offload = np.asarray(self.offload, dtype=np.float64)
        if offload.ndim == 1 and len(offload) != layers:
            raise InputError(f"offload has {len(offload)} costs, the trace has {layers} layers")
        if self.offload_input is not None:
            at_input = self.offload_input
        elif offload.ndim == 0:
            at_input = float(offload)
        elif send_input:
            raise InputError(
                "the input may be offloaded, but offload is given per layer: give its cost, offload_input"
            )
        else:
            at_input = np.nan
        by_layer = np.empty(layers + 1)
        by_layer[0], by_layer[1:] = at_input, offload
        return by_layer

    def offload_costs(self, layers: int, samples: int) -> Floats:
        """Return o by sample and layer, shape (n, L + 1), or (1, L + 1) if all samples cost the same."""
        offload = self.offload_by_layer(layers)[None, :]
        if self.sample_offload is not None:
            offload = offload + self._by_sample(samples)[:, None]
        for _, extra in self._extra(layers, samples):
            offload = offload + extra
        return np.ascontiguousarray(offload)

    def terms(self, layers: int, samples: int) -> list[CostTerm]:
        """Return the terms into which a cost divides: layers, exits, offload, and the extra ones."""
        depth, count = self._depth(layers), np.arange(layers + 1, dtype=np.float64)
        square, row = np.zeros((layers + 1, layers + 1)), np.zeros((1, layers + 1))
        exits = np.where(depth > 0, self.exit * count[:, None], 0.0)
        base = replace(self, extra=None)
        return [
            CostTerm("layers", square + self._computing(layers), row),
            CostTerm("exits", exits, row),
            CostTerm("offload", square, base.offload_costs(layers, samples)),
            *(
                CostTerm(name, square + device, row + offload)
                for name, (device, offload) in zip(
                    self.extra or {}, self._extra(layers, samples), strict=True
                )
            ),
        ]

    def to_dict(self) -> dict[str, Any]:
        """As plain types, for a manifest."""
        return {
            "layer": np.asarray(self.layer).tolist(),
            "exit": self.exit,
            "offload": np.asarray(self.offload).tolist(),
            "offload_input": self.offload_input,
            "sample_offload": None
            if self.sample_offload is None
            else np.asarray(self.sample_offload).tolist(),
            "device_layers": self.device_layers,
            "exit_layers": None if self.exit_layers is None else list(self.exit_layers),
        } | (
            {}
            if self.extra is None
            else {"extra": {k: [np.asarray(part).tolist() for part in v] for k, v in self.extra.items()}}
        )

    def _computing(self, layers: int) -> Floats:
        """Return the cost of the layers that are computed when the device stops at 0..L, shape (L + 1,)."""
        if isinstance(self.layer, float):
            return self.layer * self._depth(layers)
        each = np.asarray(self.layer, dtype=np.float64)
        if len(each) != layers:
            raise InputError(f"layer has {len(each)} costs, the trace has {layers} exits: give one per exit")
        return np.append(0.0, np.cumsum(each))

    def _depth(self, layers: int) -> Floats:
        """Return the encoder layers that are computed when the device stops at 0..L, shape (L + 1,)."""
        if self.exit_layers is None:
            return np.arange(layers + 1, dtype=np.float64)
        if len(self.exit_layers) < layers:
            raise InputError(f"exit_layers names {len(self.exit_layers)} exits, the trace has {layers}")
        return np.array([0, *self.exit_layers[:layers]], dtype=np.float64)

    def _by_sample(self, samples: int) -> Floats:
        extra = np.asarray(self.sample_offload, dtype=np.float64)
        if len(extra) != samples:
            raise InputError(f"sample_offload has {len(extra)} costs, the trace has {samples} samples")
        return extra

    def _extra(self, layers: int, samples: int | None = None) -> list[tuple[Floats, Floats]]:
        """Return the extra terms as (device (L + 1,), offload (…, L + 1))."""
        terms = []
        for name, (device, offload) in (self.extra or {}).items():
            if np.ndim(device) == 1 and len(np.asarray(device)) != layers:
                raise InputError(f"extra cost {name}: device has {np.shape(device)} costs, give {layers}")
            by_layer = np.append(0.0, np.broadcast_to(np.asarray(device, dtype=np.float64), layers))
            shape = np.shape(offload)
            if shape not in ((), (layers + 1,)) and samples is not None and shape != (samples, layers + 1):
                raise InputError(
                    f"extra cost {name}: offload has shape {shape}, give ({layers + 1},) or "
                    f"({samples}, {layers + 1})"
                )
            terms.append((by_layer, _by_layer(offload, layers)))
        return terms


def _by_layer(offload: ArrayLike, layers: int) -> Floats:
    """Return an extra term's offload costs, shape (L + 1,) or (n, L + 1); a number stands for all layers."""
    costs = np.asarray(offload, dtype=np.float64)
    return np.broadcast_to(costs, layers + 1) if costs.ndim == 0 else costs


def _checked_extra(extra: Any) -> dict[str, tuple[Any, Any]] | None:
    if extra is None:
        return None
    if not isinstance(extra, Mapping):
        raise InputError(f"extra is {extra!r}: give a mapping of names to (device, offload)")
    checked = {}
    for name, parts in extra.items():
        if not isinstance(name, str) or not name.isidentifier() or name in (*_TERMS, "low", "high"):
            raise InputError(f"extra cost {name!r}: give it another name, of letters, digits and _")
        if not isinstance(parts, Sequence) or len(parts) != 2:
            raise InputError(f"extra cost {name}: give (device, offload)")
        device, offload = (_cost(f"extra cost {name}", part, dimensions=-1) for part in parts)
        checked[name] = (device, offload)
    return checked


def _cost(name: str, value: Any, dimensions: int | None) -> float | Floats:
    """Return a cost, or an array of them, checked; `dimensions` None: at most one; −1: at most two."""
    if dimensions != 1 and isinstance(value, (int, float)):  # most are: arrays take longer
        _check(name, 0 <= value <= _LARGEST)
        return float(value)
    try:
        cost = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} is {value!r}: give a number (in λ)") from error
    if cost.ndim > (2 if dimensions == -1 else 1) or (dimensions in (0, 1) and cost.ndim != dimensions):
        raise InputError(f"{name} has shape {cost.shape}: give {_SHAPES.get(name, 'an array by layer')}")
    _check(name, bool(((cost >= 0) & (cost <= _LARGEST)).all()))
    cost.flags.writeable = False
    return cost if cost.ndim else float(cost)


def _check(name: str, valid: bool) -> None:
    if not valid:
        raise InputError(f"{name} must be between 0 and {_LARGEST:g}")


_LARGEST = 1e12  # far from where sums of costs would lose their digits
_TERMS = ("layers", "exits", "offload", "delta", "change", "device")  # names that are taken
_SHAPES = {
    "layer": "one number, or one per exit",
    "exit": "one number",
    "offload": "one number, or one per layer",
    "offload_input": "one number",
    "sample_offload": "one number per sample",
}
