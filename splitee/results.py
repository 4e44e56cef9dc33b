"""What happened in a replay: numbers a repeat, numbers a sample, choices, regret; saved and reloaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitee.errors import InputError
from splitee.statistics import Floats, bootstrap_means, data_interval, run_interval

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from splitee.engine import AnyPolicy, Scene
    from splitee.policies.base import Layers

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
REFERENCE = "final-exit (reference)"


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
    scene: Scene | None = None
    logged: list[Layers] | None = None
    saved_choices: pd.DataFrame | None = field(default=None, repr=False)
    results: Results | None = field(default=None, repr=False)  # those it belongs to

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
        assert self.results is not None
        table = self.results.summary(interval)
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


class Results(Mapping[str, Result]):
    """What several policies did over the same orders: a mapping of names to `Result`."""

    def __init__(
        self, results: Mapping[str, Result], reference: Result, facts: dict[str, Any], ids: NDArray[Any]
    ) -> None:
        self._results = dict(results)
        self.reference = reference
        self.facts = facts
        self.ids = ids
        for result in self._results.values():
            object.__setattr__(result, "results", self)

    def __getitem__(self, name: str) -> Result:
        if name not in self._results:
            raise KeyError(f"no policy {name!r}; there are {', '.join(self._results)}")
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f"<Results of {', '.join(self)}>"

    @property
    def members(self) -> dict[str, Result]:
        """The results and, under the name `REFERENCE`, the final-exit that they are compared with."""
        return {REFERENCE: self.reference, **self._results}

    @property
    def samples(self) -> int:
        """How many distinct samples were shown."""
        return int((self.reference.shown > 0).sum())

    def summary(self, interval: str = "data") -> pd.DataFrame:
        """Return one row a policy.

        Parameters
        ----------
        interval : {"data", "run"}
            What the columns ``*_low`` and ``*_high`` (95 %) are taken over: resampled samples, paired between
            policies, or orders. The first is the one for claims.

        Returns
        -------
        DataFrame
            ``policy``, ``layer`` (settled on in most repeats) and ``layer_repeats`` (in how many), the means
            of accuracy (0..1), agreement with the last exit, cost and its parts (λ), reward, utility, offload
            rate, each with its interval; ``*_delta``: the difference from final-exit, for the cost also as a
            share of it; ``regret``: common, at the end; ``on_device``, ``sees_final``; ``interval``,
            ``samples`` (distinct) and ``repeats``.
        """
        import pandas as pd

        if interval not in ("data", "run"):
            raise InputError(f"interval {interval!r}: choose data or run")
        draws = self._draws if interval == "data" else None
        return pd.DataFrame([self._row(result, interval, draws) for result in self.values()])

    @cached_property
    def _draws(self) -> dict[str, Floats]:
        """Bootstrap means of every member, over the same resamples."""
        k = len(METRICS)
        sums = np.column_stack([result.per_sample for result in self.members.values()])
        means = bootstrap_means(sums, self.reference.shown)
        return {name: means[:, i * k : (i + 1) * k] for i, name in enumerate(self.members)}

    def _row(self, result: Result, interval: str, draws: dict[str, Floats] | None) -> dict[str, Any]:
        layer = int(np.bincount(result.settled).argmax())
        row: dict[str, Any] = {
            "policy": result.name,
            "layer": layer,
            "layer_repeats": int((result.settled == layer).sum()),
        }

        def interval_of(ours: Floats, draws_of: Floats | None) -> tuple[float, float]:
            return data_interval(draws_of) if draws_of is not None else run_interval(ours)

        for k, metric in enumerate(METRICS):
            ours, theirs = result.totals[:, k], self.reference.totals[:, k]
            if metric.startswith("cost_"):
                row[metric] = float(ours.mean())
                continue
            mine = draws[result.name][:, k] if draws else None
            other = draws[REFERENCE][:, k] if draws else None
            row[metric] = float(ours.mean())
            row[f"{metric}_low"], row[f"{metric}_high"] = interval_of(ours, mine)
            if metric in ("accuracy", "agreement", "cost", "utility"):
                row[f"{metric}_delta"] = float((ours - theirs).mean())
                row[f"{metric}_delta_low"], row[f"{metric}_delta_high"] = interval_of(
                    ours - theirs, mine - other if mine is not None and other is not None else None
                )
            if metric == "cost":
                shares = ours / theirs - 1 if theirs.all() else np.full(len(ours), np.nan)
                row["cost_change"] = float(shares.mean())
                row["cost_change_low"], row["cost_change_high"] = interval_of(
                    shares,
                    mine / other - 1 if mine is not None and other is not None and other.all() else None,
                )
        row["regret"] = float(result.curve.common[:, -1].mean())
        row["regret_own"] = float(result.curve.own[:, -1].mean())
        row["on_device"] = result.on_device
        row["sees_final"] = result.sees_final
        row["interval"] = interval
        row["samples"] = self.samples
        row["repeats"] = len(result.totals)
        return row

    def repeats(self) -> pd.DataFrame:
        """Return one row a member and repeat."""
        import pandas as pd

        return pd.concat(
            [
                pd.DataFrame(result.totals, columns=list(METRICS)).assign(
                    policy=name, repeat=np.arange(1, len(result.totals) + 1), layer=result.settled
                )
                for name, result in self.members.items()
            ],
            ignore_index=True,
        )[["policy", "repeat", "layer", *METRICS]]

    def curves(self) -> pd.DataFrame:
        """Return the regret curves: policy, repeat, t, common, own."""
        import pandas as pd

        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "policy": name,
                        "repeat": np.repeat(np.arange(1, len(curve.common) + 1), len(curve.rounds)),
                        "t": np.tile(curve.rounds, len(curve.common)),
                        "common": curve.common.ravel(),
                        "own": curve.own.ravel(),
                    }
                )
                for name, curve in ((name, result.curve) for name, result in self.members.items())
            ],
            ignore_index=True,
        )

    def by_sample(self) -> pd.DataFrame:
        """Return what happened to each sample: policy, id, how often shown, and sums over all repeats."""
        import pandas as pd

        return pd.concat(
            [
                pd.DataFrame(result.per_sample, columns=list(METRICS)).assign(
                    policy=name, id=self.ids, shown=result.shown
                )
                for name, result in self.members.items()
            ],
            ignore_index=True,
        )[["policy", "id", "shown", *METRICS]]

    def save(self, folder: str | Path, *, choices: bool = False, overwrite: bool = False) -> None:
        """Write all tables and a manifest to a folder; see `splitee.results_files.save_results`."""
        from splitee.results_files import save_results

        save_results(self, folder, choices=choices, overwrite=overwrite)
