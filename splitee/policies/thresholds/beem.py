"""BEEM: exits that agree add up their confidence.

With a weight w_i for each exit, the evidence is

    S_i = w_i·C_i + (S_{i−1} if exit i answers as exit i − 1 did, else 0),     S_1 = w_1·C_1,

and the first exit with S_i ≥ α_i answers. BEEM-C weighs by depth (0.1·i in the example of the paper's
figure, with α = 0.2), BEEM-A by the accuracy of each exit on validation data; the paper derives α_i from the
exits' error rates, by a formula that is not known here. `BEEM.fitted` takes the lowest α that keeps the
accuracy on the source (ours). The code released with the paper computes S and then exits on plain patience:
that is `splitee.PABEE`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.numbers import check_share, check_whole, number
from splitee.costs import CostModel
from splitee.policies.base import BySample, Policy
from splitee.policies.cascades import LiveCascade, first_sure
from splitee.policies.fixed import exit_actions
from splitee.policies.loop import DeviceLoop
from splitee.policies.problem import Table
from splitee.policies.rules import Memory, Rule, Said, Sure
from splitee.policies.setting import Name
from splitee.policies.thresholds.device import NO_SCORES
from splitee.trace import Trace


@dataclass(frozen=True)
class Evidence(Rule):
    """The weighted confidence of exits that agree reaches α.

    Parameters
    ----------
    weights : tuple of float
        w_i of exits 1..L.
    threshold : tuple of float
        α_i of exits 1..L.

    Examples
    --------
    >>> rule, memory = Evidence((0.1, 0.2), (0.2, 0.2)), None
    >>> for exit_, classes in enumerate(([0, 1], [1, 1]), 1):
    ...     sure, memory = rule.sure(exit_, Said(np.float32([0.9, 0.9]), np.array(classes)), memory)
    >>> sure
    array([False,  True])
    """

    weights: tuple[float, ...]
    threshold: tuple[float, ...]

    def check(self, exits: int) -> None:  # noqa: D102
        for name in ("weights", "threshold"):
            if len(getattr(self, name)) != exits:
                many = len(getattr(self, name))
                raise InputError(f"BEEM has {many} {name} for {exits} exits: give {exits}")

    def sure(self, exit_: int, said: Said, memory: Memory | None) -> tuple[Sure, Memory | None]:  # noqa: D102
        if said.value is not None:
            raise InputError(NO_SCORES.format("BEEM"))
        answer = said.prediction.astype(np.float64)
        evidence = self.weights[exit_ - 1] * said.confidence.astype(np.float64)
        if memory is not None:
            evidence = evidence + np.where(answer == memory[:, 0], memory[:, 1], 0.0)
        return evidence >= self.threshold[exit_ - 1], np.stack([answer, evidence], axis=1)


@dataclass(frozen=True)
class BEEM(Policy):
    """The first exit answers at which the weighted confidence of exits that agree reaches α, else the last.

    Parameters
    ----------
    evidence : float or sequence of float
        α, or one for each of exits 1..L. It is compared with sums of weighted confidences, and may exceed 1.
    weights : sequence of float, optional
        w_i of exits 1..L. Default: 0.1·i (BEEM-C).
    last : int, optional
        The layer that answers at the latest. Default: L.

    References
    ----------
    BEEM, ICLR 2025; arXiv 2502.00745 (abstract read; weights and rule from third-party summaries).

    Examples
    --------
    >>> BEEM(0.8).label, BEEM(0.8, weights=(0.7, 0.9), last=1).label
    ('BEEM-C (S ≥ 0.8)', 'BEEM (S ≥ 0.8, ≤ 1)')
    """

    evidence: float | tuple[float, ...]
    weights: tuple[float, ...] | None = None
    last: int | None = None
    name: ClassVar[str] = "BEEM"
    every_exit: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False
    varies: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", _numbers("weights", self.weights))
        if isinstance(self.evidence, Sequence | np.ndarray):
            object.__setattr__(self, "evidence", _numbers("evidence", self.evidence))
        else:
            _numbers("evidence", (self.evidence,))
        if self.last is not None:
            check_whole("layer", self.last)

    @classmethod
    def fitted(cls, source: Trace, most: float = 0.01, weigh: str = "depth", last: int | None = None) -> BEEM:
        """Return the policy with the lowest α that keeps the accuracy on the source.

        Parameters
        ----------
        source : Trace
            The same model's labelled trace of its source's validation data.
        most : float
            How much lower the accuracy may be than that of the last exit, such as 0.01.
        weigh : {"depth", "accuracy"}
            BEEM-C, or BEEM-A.
        last : int, optional
            See `BEEM`.

        Examples
        --------
        >>> source = Trace([[0.6, 0.9], [0.8, 0.9]], [[0, 1], [1, 1]], [1, 1])
        >>> BEEM.fitted(source, weigh="accuracy").label
        'BEEM (S ≥ 0.33)'
        """
        check_share("most", most, 0.0, 1.0)
        if weigh not in ("depth", "accuracy"):
            raise InputError(f"weigh is {weigh!r}: choose depth or accuracy")
        if not isinstance(source, Trace) or source.label is None:
            raise InputError("BEEM is fitted on labels: give a labelled trace of the source's data")
        right = source.prediction == source.label[:, None]
        weights = tuple(right.mean(axis=0).tolist()) if weigh == "accuracy" else None
        end = source.layers if last is None else last
        table = Table.of(source, CostModel(), 0.0, 0.5)
        enough = float(right[:, end - 1].mean()) - most
        # α in steps of 1/50 of the greatest sum
        top = sum(weights or [0.1 * i for i in range(1, source.layers + 1)])
        for step in range(1, 51):
            policy = cls(round(top * step / 50, 6), weights, last)
            stops = first_sure(policy.rule(source.layers), table, end)
            if right[np.arange(source.samples), stops - 1].mean() >= enough:
                break
        return policy

    @property
    def label(self) -> str:  # noqa: D102
        alpha = self.evidence
        shown = f"{alpha[0]:g}, …" if isinstance(alpha, tuple) else f"{alpha:g}"
        upto = "" if self.last is None else f", ≤ {self.last}"
        return f"{self.name}{'-C' if self.weights is None else ''} (S ≥ {shown}{upto})"

    def rule(self, exits: int) -> Evidence:
        """Return when an exit may answer, of so many."""
        weights = self.weights or tuple(0.1 * i for i in range(1, exits + 1))
        alpha = self.evidence
        return Evidence(weights, alpha if isinstance(alpha, tuple) else (float(alpha),) * exits)

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        if trace.value is not None:
            raise InputError(NO_SCORES.format(self.label))
        self.rule(trace.layers).check(trace.layers)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return self.last or layers

    def by_sample(self, table: Table) -> BySample:  # noqa: D102
        stops = first_sure(self.rule(table.layers), table, self.last or table.layers)
        return exit_actions(table, stops, self.every_exit)

    def live(self) -> DeviceLoop:  # noqa: D102
        return LiveBEEM(self)


class LiveBEEM(LiveCascade):
    """BEEM on a device, exit by exit."""

    def __init__(self, policy: BEEM) -> None:
        super().__init__(policy.label, policy.rule(0), policy.last)
        self.policy = policy

    def start(self, problem, rng) -> None:  # type: ignore[no-untyped-def]
        """Begin a stream."""
        self.rule = self.policy.rule(problem.exits)
        super().start(problem, rng)


def _numbers(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Return numbers as a tuple of floats; InputError unless all are finite and at least 0."""
    for value in values:
        if isinstance(value, bool) or not (isinstance(value, Real) and 0 <= float(value) < math.inf):
            raise InputError(f"{name} has {value!r}: give finite numbers, at least 0")
    if not len(values):
        raise InputError(f"{name} is empty: give one number for each exit")
    return tuple(float(value) for value in values)


NAMES = (
    Name("beem", lambda s: BEEM.fitted(s.source_of("beem"), last=s.last), source=True),
    Name("beem-a", lambda s: BEEM.fitted(s.source_of("beem-a"), weigh="accuracy", last=s.last), source=True),
    Name("beem:ALPHA", lambda s, alpha: BEEM(number(alpha), last=s.last)),
)
