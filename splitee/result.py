"""What one policy did in a replay: numbers a repeat and a sample, choices, regret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from splitee.costs import CostModel
from splitee.errors import InputError
from splitee.policies.base import AnyPolicy, Layers, Policy, Stream, as_dict
from splitee.statistics import Floats
from splitee.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

METRICS = (
    "accuracy",
    "agreement",  # with the last exit
    "cost",
    "reward",
    "utility",
    "offload_rate",
    "cost_layers",
    "cost_exits",
    "cost_offload",
)


class Playback(Protocol):
    """What can play the rounds of a result once more: the engine, for what was not kept."""

    @property
    def trace(self) -> Trace:
        """The trace that was replayed."""

    @property
    def costs(self) -> CostModel:
        """Its prices."""

    @property
    def mu(self) -> float:
        """μ."""

    @property
    def repeats(self) -> int:
        """How many orders there are."""

    def order(self, repeat: int) -> NDArray[np.int64]:
        """Return the samples of one repeat, in order."""

    def play(self, policy: AnyPolicy, repeat: int) -> tuple[Stream, Layers]:
        """Return one repeat's stream and where the policy stopped in it."""

    def offloaded(self, policy: AnyPolicy, order: NDArray[np.int64], split: Layers) -> NDArray[np.bool_]:
        """Return which samples were sent."""

    def stream(self, repeat: int) -> Stream:
        """Return what a policy may see of one repeat."""

    def regret(
        self, policy: AnyPolicy, stream: Stream, split: Layers, mean_reward: float
    ) -> dict[str, Floats]:
        """Return the cumulative regret of one repeat, common and own."""


@dataclass(frozen=True)
class Curve:
    """Cumulative regret at some rounds (1-based, shape (p,)): `common` and `own`, shape (repeats, p)."""

    rounds: NDArray[np.int64]
    common: Floats
    own: Floats


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
    settled : ndarray of int, shape (repeats,)
        The layer played most in the second half of each stream.
    curve : Curve
        Cumulative regret at up to 400 rounds.
    on_device : bool
        Whether the device holds all layers the policy needs.
    """

    name: str
    policy: AnyPolicy | dict[str, Any]
    totals: Floats  # (repeats, metrics): means
    per_sample: Floats  # (n, metrics): sums over repeats
    shown: Floats  # (n,)
    settled: NDArray[np.int16]
    curve: Curve
    on_device: bool
    scene: Playback | None = None
    logged: list[Layers] | None = None
    saved_choices: pd.DataFrame | None = field(default=None, repr=False)
    summarise: Callable[[str], pd.DataFrame] | None = field(default=None, repr=False)  # of all it belongs to

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

    def described(self) -> dict[str, Any]:
        """Return the policy's parameters in plain types, and whether a device could run it."""
        facts = self.policy if isinstance(self.policy, dict) else as_dict(self.policy)
        return facts | {
            "on_device": self.on_device,
            "sees_final": self.sees_final,
            "learns": self.learns,
        }

    @cached_property
    def split(self) -> Layers:
        """Layer at which the device stopped, shape (repeats, m); 1-based, 0 where the input was sent."""
        if self.logged is not None:
            return np.stack(self.logged)
        if self.scene is not None and not isinstance(self.policy, dict):
            return np.stack([self.scene.play(self.policy, r)[1] for r in range(self.scene.repeats)])
        return self._saved("split").astype(np.int16)

    @cached_property
    def offloaded(self) -> NDArray[np.bool_]:
        """Whether the cloud answered, shape (repeats, m)."""
        if self.scene is None or isinstance(self.policy, dict):
            return self._saved("offloaded").astype(bool)
        scene, policy = self.scene, self.policy
        return np.stack(
            [scene.offloaded(policy, scene.order(r), split) for r, split in enumerate(self.split)]
        )

    def regret(self, against: str = "common") -> Floats:
        """Return the cumulative regret, shape (repeats, m).

        Parameters
        ----------
        against : {"common", "own"}
            "common": the best split with one exit evaluated, the same for every policy. "own": the best arm
            at the policy's own price, as in the paper.
        """
        if against not in ("common", "own"):
            raise InputError(f"regret against {against!r}: choose common or own")
        if self.scene is None or isinstance(self.policy, dict):
            raise InputError("a reloaded result holds regret at some rounds only: see its curve")
        return np.stack(
            [
                self.scene.regret(self.policy, self.scene.stream(r), split, self.reward[r])[against]
                for r, split in enumerate(self.split)
            ]
        )

    def summary(self, interval: str = "data") -> pd.DataFrame:
        """Return one row of numbers; see `Results.summary`."""
        assert self.summarise is not None
        table = self.summarise(interval)
        return table[table["policy"] == self.name].reset_index(drop=True)

    def choices(self) -> pd.DataFrame:
        """Return every choice: repeat, t (from 1), sample id, split, offloaded."""
        import pandas as pd

        if self.scene is None:
            if self.saved_choices is None:
                raise InputError(f"the choices of {self.name} were not saved")
            return self.saved_choices
        repeats, m = self.split.shape
        orders = np.concatenate([self.scene.order(r) for r in range(repeats)])
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
