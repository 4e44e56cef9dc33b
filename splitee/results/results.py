"""What several policies did over the same orders: compared, tabulated, saved and loaded."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.results.breakdown import by_class, by_group
from splitee.results.files import REMEDY, read_tables, results_folder, write_tables
from splitee.results.intervals import Floats, Series, bootstrap_means, compared, with_intervals
from splitee.results.measures import METRICS, Reloaded
from splitee.results.regret import Curve
from splitee.results.result import Result
from splitee.results.timed import MEASURED

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "final-exit (reference)"
BREAKDOWNS = {"group": by_group, "class": by_class}


class _Once:
    """A picklable cached factory."""

    def __init__(self, make: Callable[[], Result]) -> None:
        self._make = make
        self._made: Result | None = None

    def __call__(self) -> Result:
        """Return it."""
        if self._made is None:
            self._made = self._make()
        return self._made


class Results(Mapping[str, Result]):
    """What several policies did over the same orders: a mapping of names to `Result`."""

    def __init__(
        self,
        results: Mapping[str, Result],
        reference: Callable[[], Result],
        facts: Callable[[], dict[str, Any]],
        ids: NDArray[Any],
        drawn: dict[str, Floats] | None = None,
    ) -> None:
        self._results = dict(results)
        self._reference = reference if isinstance(reference, _Once) else _Once(reference)
        self._facts = facts
        self.ids = ids
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._drawn = {} if drawn is None else drawn  # bootstrap means, shared with tables of one result
        # no cycle, so that memory is given back
        alone = partial(Results, reference=self._reference, facts=facts, ids=ids, drawn=self._drawn)
        for result in self._results.values():
            object.__setattr__(result, "alone", alone)

    def __getitem__(self, name: str | int) -> Result:
        """Return the result of a policy, by its name or its place in the call."""
        if isinstance(name, int):
            return list(self._results.values())[name]
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
    def reference(self) -> Result:
        """What final-exit did, with which all are compared; played when it is first asked for."""
        return self._reference()

    @property
    def members(self) -> dict[str, Result]:
        """The results and, under the name `REFERENCE`, the final-exit that they are compared with."""
        return {REFERENCE: self.reference, **self._results}

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What was replayed, in plain types."""
        return self._facts()

    @property
    def measured(self) -> tuple[str, ...]:
        """The metrics that have intervals: all but the terms of the cost."""
        return tuple(name for name in self.reference.measures.metrics if not name.startswith("cost_"))

    @cached_property
    def samples(self) -> int:
        """How many distinct samples were shown."""
        return int((self.reference.shown > 0).sum())

    def summary(self, interval: str = "data", by: str | None = None) -> pd.DataFrame:
        """Return one row per policy.

        Parameters
        ----------
        interval : {"data", "run"}
            What the columns ``*_low`` and ``*_high`` (95 %) are taken over: resampled samples, paired between
            policies, or orders. The first is the one for claims.
        by : {"group", "class"}, optional
            "group": one row per policy and group of samples instead, see `breakdown.by_group`.
            "class": macro-F1 and balanced accuracy instead, see `breakdown.by_class`.

        Returns
        -------
        DataFrame
            ``policy``, ``layer`` (settled on in most repeats) and ``layer_repeats`` (in how many), the means
            of accuracy (0..1), agreement with the last exit, cost and its parts (λ), reward, utility, offload
            rate, each with its interval; in a `System` also latency (ms) and its quantiles ``latency_p50``,
            ``_p95``, ``_p99``, energy (mJ), kilobytes, the shares missed and answered by the device as a
            fallback; ``*_delta``: the difference from final-exit, for the cost also as a
            share of it; ``regret``: common, at the end; ``unit`` of costs; ``learns``, ``on_device``,
            ``sees_final``, ``hindsight``, ``varies`` (by sample); ``interval``, ``samples`` (distinct) and
            ``repeats``.
        """
        import pandas as pd

        if by is None:
            return pd.DataFrame(self.rows(interval))
        if by not in BREAKDOWNS:
            raise InputError(f"by {by!r}: choose {' or '.join(BREAKDOWNS)}")
        return pd.DataFrame(BREAKDOWNS[by](self))

    def rows(self, interval: str = "data") -> list[dict[str, Any]]:
        """Return what `summary` has, a dict a policy: nothing loads pandas, which takes a while."""
        _check_interval(interval)
        if interval not in self._rows:
            draws = self._draws() if interval == "data" else None
            self._rows[interval] = [self._row(result, interval, draws) for result in self.values()]
        return [dict(row) for row in self._rows[interval]]  # copies, so that a caller may change them

    def compare(self, policy: str, other: str, interval: str = "data") -> dict[str, float]:
        """Return the paired difference of two policies, the first minus the second.

        Parameters
        ----------
        policy, other : str
            Names in these results.
        interval : {"data", "run"}
            See `summary`.

        Returns
        -------
        dict
            For each metric NAME of accuracy, agreement, cost, reward, utility and offload rate: the mean
            difference ``NAME`` and its 95 % interval ``NAME_low``, ``NAME_high``.

        Examples
        --------
        >>> import splitee
        >>> trace = splitee.load_trace("rte_validation")
        >>> results = splitee.replay(trace, ["splitee", "cloud-only"], repeats=5)
        >>> difference = results.compare("SplitEE", "cloud-only")
        >>> difference["cost_low"] > 0  # SplitEE costs more here, whatever the sample
        True
        """
        _check_interval(interval)
        ours, theirs = self[policy], self[other]
        draws = self._draws() if interval == "data" else None
        return with_intervals(
            {
                metric: (
                    ours.totals[:, k] - theirs.totals[:, k],
                    draws[policy][:, k] - draws[other][:, k] if draws else None,
                )
                for k, metric in enumerate(self.measured)
            }
        )

    def _draws(self) -> dict[str, Floats]:
        """Return bootstrap means of every member's metrics (cost terms left out), of the same resamples."""
        missing = [name for name in self.members if name not in self._drawn]
        if missing:
            sums = (self.members[name].per_sample[:, : len(self.measured)] for name in missing)
            self._drawn |= zip(missing, bootstrap_means(sums, self.reference.shown), strict=True)
        return self._drawn

    def _row(self, result: Result, interval: str, draws: dict[str, Floats] | None) -> dict[str, Any]:
        layer = int(np.bincount(result.settled).argmax())
        row: dict[str, Any] = {
            "policy": result.name,
            "layer": layer,
            "layer_repeats": int((result.settled == layer).sum()),
        }
        measures: dict[str, Series] = {}
        totals, of_reference = result.totals, self.reference.totals
        ours_drawn, theirs_drawn = (draws[result.name], draws[REFERENCE]) if draws else (None, None)
        for k, metric in enumerate(self.measured):
            ours = totals[:, k], None if ours_drawn is None else ours_drawn[:, k]
            theirs = of_reference[:, k], None if theirs_drawn is None else theirs_drawn[:, k]
            measures[metric] = ours
            if metric in ("accuracy", "agreement", "cost", "utility"):
                measures |= compared(metric, ours, theirs)
        row |= with_intervals(measures)
        for name, (value, low, high) in result.measures.quantiles.get(interval, {}).items():
            row |= {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}
        rest = len(self.measured)
        for k, metric in enumerate(result.measures.metrics[rest:], start=rest):
            row[metric] = float(totals[:, k].mean())
        curve = result.curve
        row["regret"] = float(curve.common[:, -1].mean())
        row["regret_own"] = float(curve.own[:, -1].mean())
        row["unit"] = self.facts.get("unit", "λ")
        row["learns"] = result.learns
        row["on_device"] = result.on_device
        row["sees_final"] = result.sees_final
        row["hindsight"] = result.hindsight
        row["varies"] = result.varies
        row["interval"] = interval
        row["samples"] = self.samples
        row["repeats"] = len(totals)
        return row

    def repeats(self) -> pd.DataFrame:
        """Return one row a member and repeat."""
        import pandas as pd

        return pd.concat(
            [
                pd.DataFrame(result.totals, columns=list(result.measures.metrics)).assign(
                    policy=name, repeat=np.arange(1, len(result.totals) + 1), layer=result.settled
                )
                for name, result in self.members.items()
            ],
            ignore_index=True,
        )[["policy", "repeat", "layer", *self.reference.measures.metrics]]

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
                pd.DataFrame(result.per_sample, columns=list(result.measures.metrics)).assign(
                    policy=name, id=self.ids, shown=result.shown
                )
                for name, result in self.members.items()
            ],
            ignore_index=True,
        )[["policy", "id", "shown", *self.reference.measures.metrics]]

    def save(self, folder: str | Path, *, choices: bool = False, overwrite: bool = False) -> None:
        """Write tables (Parquet, the small ones also CSV) and a manifest to a folder.

        ``summary`` (both intervals), ``repeats``, ``regret``, ``samples`` (sums over repeats, by sample id)
        ``certificate`` if a policy has one, and, where `choices` is true, ``choices`` (every one, with its
        sample id).

        Raises
        ------
        FileExistsError
            If the folder holds a file of such a name and `overwrite` is false; nothing is written then.
        InputError
            If the folder cannot be written, or another process writes to it.
        """
        import pandas as pd

        tables = {
            "summary": pd.concat([self.summary("data"), self.summary("run")], ignore_index=True),
            "repeats": self.repeats(),
            "regret": self.curves(),
            "samples": self.by_sample(),
        }
        if audited := {name: result for name, result in self.items() if result.certified}:
            every = [result.certificate().assign(policy=name) for name, result in audited.items()]
            tables["certificate"] = pd.concat(every, ignore_index=True)
        if choices:
            every = [result.choices().assign(policy=name) for name, result in self.items()]
            tables["choices"] = pd.concat(every, ignore_index=True)
        manifest = {
            **self.facts,
            "policies": {name: result.described() for name, result in self.members.items()},
            "libraries": {n: version(n) for n in ("splitee", "numpy", "numba", "pandas", "pyarrow", "scipy")}
            | {"python": platform.python_version()},
        }
        write_tables(Path(folder), tables, manifest, overwrite)


def _check_interval(interval: str) -> None:
    if interval not in ("data", "run"):
        raise InputError(f"interval {interval!r}: choose data or run")


def load_results(folder: str | Path) -> Results:
    """Read results that `Results.save` wrote.

    A folder that `splitee run --out` wrote loads if it holds one scenario. Summaries, intervals, regret
    curves, certificates and, if they were saved, choices are as they were; what was not saved says so when it
    is asked for.

    Raises
    ------
    InputError
        If the folder holds none, those of another version, or damaged ones: a file that does not match the
        checksum in the manifest.
    """
    tables, facts = read_tables(results_folder(Path(folder)))
    try:
        described: dict[str, dict[str, Any]] = facts.pop("policies")
        facts.pop("libraries")  # of the time: saving again writes today's
        members = {name: _reloaded(name, policy, tables) for name, policy in described.items()}
        ids = _of(REFERENCE, tables["samples"])["id"].to_numpy()
        reference = members.pop(REFERENCE)
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{folder} is damaged: its files do not fit together: {REMEDY}") from error
    return Results(members, lambda: reference, lambda: facts, ids)


def _reloaded(name: str, policy: dict[str, Any], tables: dict[str, pd.DataFrame]) -> Result:
    repeats, regret, samples = (_of(name, tables[kind]) for kind in ("repeats", "regret", "samples"))
    columns = list(map(str, repeats))
    terms = (column for column in columns if column.startswith("cost_"))
    metrics = (*METRICS, *(name for name in MEASURED if name in columns), *terms)
    choices = _of(name, tables["choices"]) if "choices" in tables and name != REFERENCE else None
    columns_of = policy.get("certificate")  # other policies' certificates have other columns
    audits = columns_of and _of(name, tables["certificate"])[list(columns_of)].astype(columns_of)
    return Result(
        name=name,
        policy=policy,
        measures=Reloaded(
            metrics,
            samples["shown"].to_numpy(),
            repeats[list(metrics)].to_numpy(),
            samples[list(metrics)].to_numpy(),
            repeats["layer"].to_numpy(dtype=np.int16),
            Curve(
                regret["t"].unique(),
                regret["common"].to_numpy().reshape(len(repeats), -1),
                regret["own"].to_numpy().reshape(len(repeats), -1),
            ),
            policy.get("latency", {}),
        ),
        on_device=bool(policy["on_device"]),
        threshold=float(policy["regret_threshold"]),
        saved_choices=choices,
        saved_certificate=audits,
    )


def _of(name: str, table: pd.DataFrame) -> pd.DataFrame:
    return table[table["policy"] == name].drop(columns="policy").reset_index(drop=True)
