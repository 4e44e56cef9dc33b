"""What a policy did: one action per round, from which everything that is reported follows."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Actions:
    """The actions that a policy can take, each given by three numbers.

    Attributes
    ----------
    layer : ndarray of int, shape (a,)
        Where the device stops; 0 if the input is offloaded.
    offloaded : ndarray of bool, shape (a,)
    evaluated : ndarray of int, shape (a,)
        Exits that the device evaluates on the way.
    exits : list of list of int, optional
        Which they are, of a policy that skips some.
    label : ndarray of float64, shape (a,), optional
        What was paid for the sample's label, of a policy that buys some; it adds to the cost.
    """

    layer: NDArray[np.integer]
    offloaded: NDArray[np.bool_]
    evaluated: NDArray[np.integer]
    exits: list[list[int]] | None = None
    label: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.layer)

    @property
    def answer(self) -> NDArray[np.intp]:
        """The column of a `Table` that answers: 0, the cloud, if offloaded, else the layer's exit."""
        return np.where(self.offloaded, 0, self.layer).astype(np.intp)

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The smallest type that numbers them."""
        return np.uint8 if len(self) <= 256 else np.uint16

    @classmethod
    def of_splits(cls, layers: int, every_exit: bool) -> Actions:
        """Return the actions of a split policy: answer at layer i (number i), offload at it (L + 1 + i).

        `every_exit` says whether all exits on the way are evaluated, or only that of layer i.
        """
        layer = np.tile(np.arange(layers + 1), 2)
        evaluated = layer if every_exit else np.minimum(layer, 1)
        return cls(layer, np.repeat([False, True], layers + 1), evaluated)

    def then(self, other: Actions) -> Actions:
        """Return these actions, followed by others."""
        pairs = zip(
            (self.layer, self.offloaded, self.evaluated),
            (other.layer, other.offloaded, other.evaluated),
            strict=True,
        )
        layer, offloaded, evaluated = (np.concatenate(pair) for pair in pairs)
        return Actions(layer, offloaded, evaluated)


@dataclass(frozen=True, eq=False)
class Played:
    """The rounds of some repeats.

    Attributes
    ----------
    action : ndarray of uint8 or uint16, shape (m, repeats)
        Which of the actions was taken.
    actions : Actions
    measured : ndarray of float64, shape (3, m, repeats), or None
        Latency in ms, energy of the device in mJ and KB sent, in a timed world.
    lost : ndarray of uint8, shape (m, repeats), or None
        Whether the cloud's answer was lost; see `splitee.system.world.Lane`.
    journal : dict of str to ndarray, or None
        What a policy reports of itself: columns of a table, with `repeat` (from 0, of these) and `t`.
    """

    action: NDArray[np.unsignedinteger]
    actions: Actions
    measured: NDArray[np.float64] | None = None
    lost: NDArray[np.uint8] | None = None
    journal: dict[str, NDArray[Any]] | None = None


IN_MEMORY = 2**24  # bytes of a block of repeats; larger ones lie in a temporary file


def room_for(shape: tuple[int, ...], actions: Actions) -> NDArray[np.unsignedinteger]:
    """Return an array to be filled with actions: in memory, or in an unnamed file if it is large."""
    if math.prod(shape) * np.dtype(actions.dtype).itemsize <= IN_MEMORY:
        return np.empty(shape, dtype=actions.dtype)
    with tempfile.TemporaryFile(prefix="splitee-") as file:
        return np.memmap(file, dtype=actions.dtype, mode="w+", shape=shape).view(np.ndarray)


def room_for_floats(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return an array of float64 to be filled: in memory, or in an unnamed file if it is large."""
    if math.prod(shape) * 8 <= 8 * IN_MEMORY:
        return np.zeros(shape)
    with tempfile.TemporaryFile(prefix="splitee-") as file:
        return np.memmap(file, dtype=np.float64, mode="w+", shape=shape).view(np.ndarray)
