"""What one policy did in a replay: numbers per repeat and per sample, choices, regret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.policies.base import AnyPolicy, Policy, as_dict
from splitee.policies.problem import Floats, Layers
from splitee.results.measures import Counted, Measures
from splitee.results.regret import Curve
from splitee.results.setup import Setup

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


class Table(Protocol):
    """Results of a call, in which one is compared with the reference, and saved."""

    def summary(self, interval: str = "data") -> pd.DataFrame:
        """Return one row per policy."""

    def save(self, folder: str | Path, *, choices: bool = False, overwrite: bool = False) -> None:
        """Write the results."""


@dataclass(frozen=True, eq=False)
class Result:
    """What one policy did.

    Attributes
    ----------
    name : str
        The policy's name in tables.
    accuracy, agreement, cost, reward, utility, offload_rate : ndarray, shape (repeats,)
        Means per sample of the stream; agreement is with the last exit; accuracy and utility are NaN without
        labels. Also ``cost_NAME`` for each term of the cost: `cost_layers`, `cost_exits`, `cost_offload`, …
        Costs in λ (or the cost model's unit).
    on_device : bool
        Whether the device holds all layers that the policy needs.
    threshold : float
        Its α; for a policy without one, that of the splits its regret is measured against.
    """

    name: str
    policy: AnyPolicy | dict[str, Any]
    measures: Measures
    on_device: bool
    threshold: float
    saved_choices: pd.DataFrame | None = field(default=None, repr=False)
    saved_certificate: pd.DataFrame | None = field(default=None, repr=False)
    # makes a table of this result alone
    alone: Callable[[dict[str, Result]], Table] | None = field(default=None, repr=False)

    def __getattr__(self, name: str) -> Floats:
        if not name.startswith("_") and name in self.measures.metrics:
            metric: Floats = self.totals[:, self.measures.metrics.index(name)]
            return metric
        raise AttributeError(f"a Result has no {name}")

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *self.measures.metrics]

    def __repr__(self) -> str:
        return f"<Result {self.name}: {len(self.totals)} repeats, cost {self.totals[:, 2].mean():.2f}>"

    @property
    def setup(self) -> Setup | None:
        """The trace, costs and orders; None if the result was loaded from a file."""
        return self.measures.rounds.setup if isinstance(self.measures, Counted) else None

    @property
    def shown(self) -> Floats:
        """How often each sample came in all repeats, shape (n,)."""
        return self.measures.shown

    @property
    def totals(self) -> Floats:
        """Means per sample of each repeat, shape (repeats, metrics)."""
        return self.measures.totals

    @property
    def per_sample(self) -> Floats:
        """Sums of each metric over all rounds of a sample, shape (n, metrics)."""
        return self.measures.per_sample

    @property
    def settled(self) -> NDArray[np.int16]:
        """The layer played most in the second half of each stream, shape (repeats,)."""
        return self.measures.settled

    @property
    def curve(self) -> Curve:
        """Cumulative regret at up to 400 rounds."""
        return self.measures.curve

    @property
    def sees_final(self) -> bool:
        """Whether the policy reads confidences that no device could know."""
        if isinstance(self.policy, dict):
            return bool(self.policy.get("sees_final", False))
        return bool(getattr(self.policy, "sees_final", False))

    @property
    def learns(self) -> bool:
        """Whether its decisions depend on earlier samples; custom policies count as such."""
        if isinstance(self.policy, dict):
            return bool(self.policy["learns"])
        return self.policy.learns if isinstance(self.policy, Policy) else True

    @property
    def varies(self) -> bool:
        """Whether each sample has its own layer, without learning, so that `settled` says little."""
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
        quantiles = {
            interval: {name: np.asarray(ends).tolist() for name, ends in each.items()}
            for interval, each in self.measures.quantiles.items()
        }
        return (
            facts
            | {
                "on_device": self.on_device,
                "sees_final": self.sees_final,
                "learns": self.learns,
                "hindsight": self.hindsight,
                "varies": self.varies,
                "regret_threshold": self.threshold,
            }
            | ({"latency": quantiles} if quantiles else {})
            | (
                {"certificate": {name: str(kind) for name, kind in self.certificate().dtypes.items()}}
                if self.certified
                else {}
            )
        )

    def _by_round(self, of_actions: NDArray[Any]) -> NDArray[Any]:
        """Return a property of the actions for every round, shape (repeats, m)."""
        assert isinstance(self.measures, Counted)
        every = self.measures.rounds.of_every_repeat()
        return np.concatenate([of_actions[played.action].T for _, played in every])

    @cached_property
    def split(self) -> Layers:
        """Layer at which the device stopped, shape (repeats, m); 1-based, 0 if the input was offloaded."""
        if not isinstance(self.measures, Counted):
            return self._saved("split").astype(np.int16)
        return self._by_round(self.measures.rounds.actions.layer.astype(np.int16))

    @cached_property
    def offloaded(self) -> NDArray[np.bool_]:
        """Whether the cloud answered, shape (repeats, m)."""
        if not isinstance(self.measures, Counted):
            return self._saved("offloaded").astype(bool)
        return self._by_round(self.measures.rounds.actions.offloaded)

    @property
    def evaluated(self) -> NDArray[np.int16]:
        """How many exits the device evaluated, shape (repeats, m)."""
        if not isinstance(self.measures, Counted):
            raise InputError("a loaded result does not say how many exits were evaluated")
        return self._by_round(self.measures.rounds.actions.evaluated.astype(np.int16))

    def regret(self, against: str = "common", segments: Sequence[int] | None = None) -> Floats:
        """Return the cumulative regret, shape (repeats, m).

        Parameters
        ----------
        against : {"common", "own"}
            "common": the best split with one exit evaluated, the same for every policy of one α (without α:
            of the call's `threshold`). "own": the best arm at the policy's own γ, as in the paper.
        segments : sequence of int, optional
            Lengths of consecutive parts of the stream, such as domains: each round is then compared with the
            best arm of its own part, not of the whole stream.
        """
        if against not in ("common", "own"):
            raise InputError(f"regret against {against!r}: choose common or own")
        if not isinstance(self.measures, Counted):
            raise InputError("a loaded result holds regret at some rounds only: see its curve")
        return self.measures.regret.cumulative(against, self.reward, segments)

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

        if not isinstance(self.measures, Counted):
            if self.saved_choices is None:
                raise InputError(f"the choices of {self.name} were not saved")
            return self.saved_choices
        repeats, m = self.split.shape
        setup = self.measures.rounds.setup
        orders = setup.streams.block(0, repeats).T.ravel()
        return pd.DataFrame(
            {
                "repeat": np.repeat(np.arange(1, repeats + 1, dtype=np.int32), m),
                "t": np.tile(np.arange(1, m + 1, dtype=np.int32), repeats),
                "id": setup.trace.id[orders],
                "split": self.split.ravel(),
                "offloaded": self.offloaded.ravel(),
            }
        )

    def certificate(self) -> pd.DataFrame:
        """Return what a policy that audits itself reports over time.

        Returns
        -------
        DataFrame
            With repeat, round t, alarms so far, layer of the first exit (0: the fallback, which always agrees
            with the last exit), and audits (full ones since the last alarm). `CertifiedSplit`: one row per
            change of the rule, in force from round t on, with threshold, second_layer and second_threshold
            (0 and NaN except in a cascade), and margin (evidence beyond what certifies, in nats).
            `AuditedStopping`: one row per fit, with the account of the disagreement until round t, and its
            bound, both per sample.
        """
        import pandas as pd

        if self.saved_certificate is not None:
            return self.saved_certificate
        if not self.certified:
            raise InputError(f"{self.name} reports no certificate")
        journals = [(first, journal) for first, journal in self._journals if journal is not None]
        frames = [pd.DataFrame(journal) for _, journal in journals]
        for frame, (first, _) in zip(frames, journals, strict=True):
            frame["repeat"] += first + 1
        return pd.concat(frames, ignore_index=True)

    @property
    def certified(self) -> bool:
        """Whether it has a certificate."""
        return self.saved_certificate is not None or any(journal for _, journal in self._journals)

    @property
    def _journals(self) -> list[tuple[int, dict[str, NDArray[Any]] | None]]:
        blocks = self.measures.rounds.blocks if isinstance(self.measures, Counted) else []
        return [(first, played.journal) for first, played in blocks]

    def _saved(self, column: str) -> NDArray[Any]:
        table = self.choices()
        return table[column].to_numpy().reshape(len(self.totals), -1)
