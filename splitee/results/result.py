"""What one policy did in a replay: numbers a repeat and a sample, choices, regret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.policies.base import AnyPolicy, Layers, Policy, as_dict
from splitee.replay.scene import Scene
from splitee.results.accounting import METRICS
from splitee.results.books import Books, Curve
from splitee.results.intervals import Floats

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


class Table(Protocol):
    """Results of a call: where one is compared with the reference, and saved."""

    def summary(self, interval: str = "data") -> pd.DataFrame:
        """Return one row a policy."""

    def save(self, folder: str | Path, *, choices: bool = False, overwrite: bool = False) -> None:
        """Write the results."""


@dataclass(frozen=True, eq=False)
class Result:
    """What one policy did.

    Attributes
    ----------
    name : str
        What tables call the policy.
    accuracy, agreement, cost, reward, utility, offload_rate : ndarray, shape (repeats,)
        Means a sample of the stream; accuracy and utility are NaN without labels. Also `cost_layers`,
        `cost_exits` and `cost_offload`, into which the cost divides. Costs in λ (or the cost model's unit).
    on_device : bool
        Whether the device holds all layers the policy needs.
    threshold : float
        Its α; of a policy without, that of the splits its regret is held against.
    """

    name: str
    policy: AnyPolicy | dict[str, Any]
    books: Books
    on_device: bool
    threshold: float
    scene: Scene | None = None
    # where the device stopped, repeat by repeat: logged, or played again
    chosen: Callable[[], Sequence[Layers]] | None = field(default=None, repr=False)
    saved_choices: pd.DataFrame | None = field(default=None, repr=False)
    # makes a table of this result alone
    alone: Callable[[dict[str, Result]], Table] | None = field(default=None, repr=False)

    def __getattr__(self, name: str) -> Floats:
        if name in METRICS:
            metric: Floats = self.totals[:, METRICS.index(name)]
            return metric
        raise AttributeError(f"a Result has no {name}")

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *METRICS]

    def __repr__(self) -> str:
        return f"<Result {self.name}: {len(self.totals)} repeats, cost {self.totals[:, 2].mean():.2f}>"

    @property
    def shown(self) -> Floats:
        """How often each sample came in all repeats, shape (n,)."""
        return self.books.shown

    @property
    def totals(self) -> Floats:
        """Each repeat's means a sample, shape (repeats, metrics)."""
        return self.books.totals

    @property
    def per_sample(self) -> Floats:
        """Sums of each metric over all times that a sample was shown, shape (n, metrics)."""
        return self.books.per_sample

    @property
    def settled(self) -> NDArray[np.int16]:
        """The layer played most in the second half of each stream, shape (repeats,)."""
        return self.books.settled

    @property
    def curve(self) -> Curve:
        """Cumulative regret at up to 400 rounds."""
        return self.books.curve

    @property
    def sees_final(self) -> bool:
        """Whether the policy reads confidences that no device could know."""
        if isinstance(self.policy, dict):
            return bool(self.policy.get("sees_final", False))
        return bool(getattr(self.policy, "sees_final", False))

    @property
    def learns(self) -> bool:
        """Whether what the policy plays depends on what it has seen; one's own policies count as such."""
        if isinstance(self.policy, dict):
            return bool(self.policy["learns"])
        return self.policy.learns if isinstance(self.policy, Policy) else True

    @property
    def varies(self) -> bool:
        """Whether each sample has its own layer, without learning: the layer settled on then tells little."""
        if isinstance(self.policy, dict):
            return bool(self.policy.get("varies", False))
        return self.policy.varies if isinstance(self.policy, Policy) else False

    @property
    def hindsight(self) -> bool:
        """Whether the policy knows the very stream beforehand: a bound that nobody can run."""
        if isinstance(self.policy, dict):
            return bool(self.policy.get("hindsight", False))
        return self.policy.hindsight if isinstance(self.policy, Policy) else False

    def described(self) -> dict[str, Any]:
        """Return the policy's parameters in plain types, and whether a device could run it."""
        facts = self.policy if isinstance(self.policy, dict) else as_dict(self.policy)
        return facts | {
            "on_device": self.on_device,
            "sees_final": self.sees_final,
            "learns": self.learns,
            "hindsight": self.hindsight,
            "varies": self.varies,
            "regret_threshold": self.threshold,
        }

    @cached_property
    def split(self) -> Layers:
        """Layer at which the device stopped, shape (repeats, m); 1-based, 0 where the input was sent."""
        if self.chosen is None:
            return self._saved("split").astype(np.int16)
        return np.stack(self.chosen())

    @cached_property
    def offloaded(self) -> NDArray[np.bool_]:
        """Whether the cloud answered, shape (repeats, m)."""
        if self.scene is None or isinstance(self.policy, dict):
            return self._saved("offloaded").astype(bool)
        scene, policy = self.scene, self.policy
        return np.stack(
            [scene.offloaded(policy, r, split, self.threshold) for r, split in enumerate(self.split)]
        )

    def regret(self, against: str = "common", segments: Sequence[int] | None = None) -> Floats:
        """Return the cumulative regret, shape (repeats, m).

        Parameters
        ----------
        against : {"common", "own"}
            "common": the best split with one exit evaluated, the same for every policy of one α (of policies
            without α: of the call's `threshold`). "own": the best arm at the policy's own price, as in the
            paper.
        segments : sequence of int, optional
            Lengths of consecutive parts of the stream, such as domains: each round is then held against the
            best arm of its own part, not of the whole stream.
        """
        if against not in ("common", "own"):
            raise InputError(f"regret against {against!r}: choose common or own")
        if self.scene is None or isinstance(self.policy, dict):
            raise InputError("a reloaded result holds regret at some rounds only: see its curve")
        scene, policy = self.scene, self.policy
        return np.stack(
            [
                scene.regret(policy, r, split, self.reward[r], self.threshold, segments)[against]
                for r, split in enumerate(self.split)
            ]
        )

    def summary(self, interval: str = "data") -> pd.DataFrame:
        """Return one row of numbers; see `Results.summary`."""
        return self._alone.summary(interval)

    def save(self, folder: str | Path, *, choices: bool = False, overwrite: bool = False) -> None:
        """Save this result, and the reference it is compared with; see `Results.save`."""
        self._alone.save(folder, choices=choices, overwrite=overwrite)

    @property
    def _alone(self) -> Table:
        assert self.alone is not None
        return self.alone({self.name: self})

    def choices(self) -> pd.DataFrame:
        """Return every choice: repeat, t (from 1), sample id, split, offloaded."""
        import pandas as pd

        if self.scene is None:
            if self.saved_choices is None:
                raise InputError(f"the choices of {self.name} were not saved")
            return self.saved_choices
        repeats, m = self.split.shape
        orders = np.concatenate([self.scene.arrivals.order(r) for r in range(repeats)])
        return pd.DataFrame(
            {
                "repeat": np.repeat(np.arange(1, repeats + 1, dtype=np.int32), m),
                "t": np.tile(np.arange(1, m + 1, dtype=np.int32), repeats),
                "id": self.scene.trace.id[orders],
                "split": self.split.ravel(),
                "offloaded": self.offloaded.ravel(),
            }
        )

    def _saved(self, column: str) -> NDArray[Any]:
        table = self.choices()
        return table[column].to_numpy().reshape(len(self.totals), -1)
