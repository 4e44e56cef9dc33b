"""Forward passes: group samples of similar size into batches and batches into shards, and run the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from splitee._internal.errors import InputError
from splitee.models.cutting import evaluating
from splitee.models.network import ExitNetwork

Encoded = Sequence[Any]  # of each sample what `Inputs.encode` returns
Members = NDArray[np.int64]


def plan_batches(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Divide samples into batches of similar length, longest first, so that a lack of memory shows at once.

    Parameters
    ----------
    lengths : ndarray of int, shape (n,)
        Tokens per sample; samples of equal length keep their order.

    Returns
    -------
    list of ndarray of int
        0-based sample indices; every sample is in exactly one batch.

    Examples
    --------
    >>> [batch.tolist() for batch in plan_batches(np.array([3, 9, 3, 5]), 2)]
    [[1, 3], [0, 2]]
    """
    order = np.argsort(-lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def plan_shards(batches: Sequence[Members], batch_size: int, shard_size: int) -> Iterator[list[Members]]:
    """Group consecutive batches into shards of at least `shard_size` samples."""
    per_shard = -(-shard_size // batch_size)
    for first in range(0, len(batches), per_shard):
        yield list(batches[first : first + per_shard])


@dataclass(frozen=True)
class Shard:
    """A group of batches with their encoded samples.

    Attributes
    ----------
    number : int
        Number of the shard, from 0.
    batches : list of (members, encoded)
        0-based sample indices, and these samples, encoded.
    """

    number: int
    batches: list[tuple[Members, Encoded]]

    @property
    def members(self) -> Members:
        """The sample indices in the order of the logits."""
        return np.concatenate([members for members, _ in self.batches])


@dataclass(frozen=True)
class Passes:
    """A model and the way to run it.

    Attributes
    ----------
    model : ExitNetwork
        The model.
    batch : callable
        Puts encoded samples together: `splitee.models.inputs`.
    precision : {"float32", "bfloat16"}
        Precision of the encoder; exits always compute in float32.
    learned : bool
        Whether the outputs include the learned certainties.
    """

    model: ExitNetwork
    batch: Callable[[Encoded], dict[str, Tensor]]
    precision: str
    learned: bool = False

    def outputs(self, shard: Shard) -> NDArray[np.float32]:
        """Return the logits of every exit for a shard, shape (samples, exits, classes).

        Learned certainties, if wanted, come after the last class.
        """
        return np.concatenate([self._forward(*batch) for batch in shard.batches])

    def _forward(self, members: Members, encoded: Encoded) -> NDArray[np.float32]:
        device = self.model.device
        inputs = {key: value.to(device) for key, value in self.batch(encoded).items()}
        half = self.precision == "bfloat16"
        cast = torch.autocast(device.type, torch.bfloat16) if half else nullcontext()
        with torch.inference_mode(), evaluating(self.model), cast:
            found = self.model(**inputs)
            both = [found.logits, *([found.certainty[..., None]] if self.learned else [])]
            values: NDArray[np.float32] = torch.cat(both, dim=-1).float().cpu().numpy()
        finite = np.isfinite(values).all(axis=-1)
        if not finite.all():
            row, exit_ = (int(i[0]) for i in np.nonzero(~finite))
            raise InputError(
                f"row {members[row]}: exit {exit_ + 1} of the model returns NaN: its weights are broken"
            )
        return values
