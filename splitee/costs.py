"""What computing and sending cost, in units of λ: one layer with its exit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CostModel:
    """Prices of running layers, evaluating exits and sending samples to the cloud.

    The cloud's own computing, the answer's way back and waiting are free, as in the paper.

    Parameters
    ----------
    layer : float
        λ₁, the price of one layer. Default 5/6.
    exit : float
        λ₂, the price of evaluating one exit. Default 1/6 (five matrix products to one; SplitEE, section 3).
    offload : float or array of shape (L,)
        o, the price of sending a sample, or one price for every layer it is sent after.
    offload_input : float, optional
        Price of sending the input itself. Default: the scalar `offload`; must be given where that is an array
        and the input is sent.
    sample_offload : array of shape (n,), optional
        Added to both of these, by sample (0-based index into the trace).
    device_layers : int, optional
        m: the device holds the first m layers only, so that it can split at 1..m. Default: all L. (It counts
        exits, where they do not sit at every layer.)
    exit_layers : sequence of L int, optional
        Layer of the encoder at which each exit sits, where that is not 1..L: exit i then costs exit_layers[i]
        layers. `splitee.replay` takes it from the trace.

    Examples
    --------
    >>> costs = CostModel(offload=5.0)
    >>> costs.device(3).round(3).tolist()                     # γ, one exit evaluated
    [1.0, 1.833, 2.667]
    >>> costs.device(3, every_exit=True).tolist()             # γ, all exits evaluated
    [1.0, 2.0, 3.0]
    """

    layer: float = 5 / 6
    exit: float = 1 / 6
    offload: float | ArrayLike = 5.0
    offload_input: float | None = None
    sample_offload: ArrayLike | None = None
    device_layers: int | None = None
    exit_layers: Sequence[int] | None = None

    def __post_init__(self) -> None:
        for name in ("layer", "exit"):
            object.__setattr__(self, name, _price(name, getattr(self, name), dimensions=0))
        object.__setattr__(self, "offload", _price("offload", self.offload, dimensions=None))
        if self.offload_input is not None:
            object.__setattr__(self, "offload_input", _price("offload_input", self.offload_input, 0))
        if self.sample_offload is not None:
            object.__setattr__(self, "sample_offload", _price("sample_offload", self.sample_offload, 1))
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

    def of_exits(self, exit_layers: Sequence[int]) -> CostModel:
        """Return these prices for a trace's exits, where it was not said at which layers they sit."""
        return self if self.exit_layers is not None else replace(self, exit_layers=exit_layers)

    def device(self, layers: int, every_exit: bool = False) -> Floats:
        """Return γ_1..γ_L, the price of computing as far as each exit, shape (L,).

        Parameters
        ----------
        layers : int
            L.
        every_exit : bool
            Whether all exits on the way are evaluated, or only the one it stops at.
        """
        index = np.arange(1, layers + 1, dtype=np.float64)
        if not every_exit:
            return self.layers_only(layers) + self.exit
        if self.exit_layers is None or self.exit_layers == tuple(range(1, len(self.exit_layers) + 1)):
            gamma: Floats = (self.layer + self.exit) * index
            return gamma
        return self.layers_only(layers) + self.exit * index

    def layers_only(self, layers: int) -> Floats:
        """Return the part of γ that is layers, not exits, shape (L,)."""
        return self.layer * self._depth(layers)

    def arms(self, layers: int) -> int:
        """Return m, the layers the device holds of `layers`."""
        if self.device_layers is None:
            return layers
        if self.device_layers > layers:
            raise InputError(
                f"device_layers is {self.device_layers}, the trace has {layers} layers: give at most {layers}"
            )
        return int(self.device_layers)

    def on_device(self, layers: int) -> CostModel:
        """Return the prices as a device that holds m of `layers` sees them: by its own layers only.

        Its `device_layers` is None where the device holds all layers, so that the last exit always answers.
        """
        arms = self.arms(layers)
        offload = self.offload if np.ndim(self.offload) == 0 else np.asarray(self.offload)[:arms]
        return replace(self, offload=offload, device_layers=None if arms == layers else arms)

    def sending(self, layers: int, *, send_input: bool = False) -> Floats:
        """Return the offload price after 0..L layers, shape (L + 1,); at 0 that of the input itself.

        Raises
        ------
        InputError
            Where the input is to be sent and has no price.
        """
        offload = np.asarray(self.offload, dtype=np.float64)
        if offload.ndim == 1 and len(offload) != layers:
            raise InputError(f"offload has {len(offload)} prices, the trace has {layers} layers")
        if self.offload_input is not None:
            at_input = self.offload_input
        elif offload.ndim == 0:
            at_input = float(offload)
        elif send_input:
            raise InputError(
                "the input is sent, but offload is given by layer: say its own price, offload_input"
            )
        else:
            at_input = np.nan
        sending = np.empty(layers + 1)
        sending[0], sending[1:] = at_input, offload
        return sending

    def by_sample(self, samples: int) -> Floats:
        """Return `sample_offload`, shape (n,), or an empty array where there is none."""
        extra = np.empty(0) if self.sample_offload is None else np.asarray(self.sample_offload)
        if self.sample_offload is not None and len(extra) != samples:
            raise InputError(f"sample_offload has {len(extra)} prices, the trace has {samples} samples")
        return extra

    def to_dict(self) -> dict[str, Any]:
        """As plain types, for a manifest."""
        return {
            "layer": self.layer,
            "exit": self.exit,
            "offload": np.asarray(self.offload).tolist(),
            "offload_input": self.offload_input,
            "sample_offload": None
            if self.sample_offload is None
            else np.asarray(self.sample_offload).tolist(),
            "device_layers": self.device_layers,
            "exit_layers": None if self.exit_layers is None else list(self.exit_layers),
        }

    def _depth(self, layers: int) -> Floats:
        if self.exit_layers is None:
            return np.arange(1, layers + 1, dtype=np.float64)
        if len(self.exit_layers) < layers:
            raise InputError(f"exit_layers names {len(self.exit_layers)} exits, the trace has {layers}")
        return np.asarray(self.exit_layers, dtype=np.float64)[:layers]


def _price(name: str, value: Any, dimensions: int | None) -> float | Floats:
    """Return a price, or an array of them, checked; of None `dimensions`, either."""
    if dimensions != 1 and isinstance(value, (int, float)):  # as most are: arrays take a while
        _check(name, 0 <= value <= _DEAREST)
        return float(value)
    try:
        price = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} is {value!r}: give a number (in λ)") from error
    if price.ndim > 1 or (dimensions is not None and price.ndim != dimensions):
        raise InputError(f"{name} has shape {price.shape}: give {_SHAPES[name]}")
    _check(name, bool(((price >= 0) & (price <= _DEAREST)).all()))
    price.flags.writeable = False
    return price if price.ndim else float(price)


def _check(name: str, is_price: bool) -> None:
    if not is_price:
        raise InputError(f"{name} must be between 0 and {_DEAREST:g}")


_DEAREST = 1e12  # far from where sums of prices would lose their digits
_SHAPES = {
    "layer": "one number",
    "exit": "one number",
    "offload": "one number, or one a layer",
    "offload_input": "one number",
    "sample_offload": "one number a sample",
}
