"""Splits that are chosen once: after a look at the first samples, or beforehand on the source's data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee.policies.base import Floats, Layers, Orders, Policy, Stream, check_threshold
from splitee.policies.fixed import everywhere
from splitee.policies.rewards import means_of
from splitee.trace import Trace
from splitee.trace.bundled import same_model


@dataclass(frozen=True)
class ExploreThenCommit(Policy):
    """Run the first samples to the last device layer, then keep to the split that was best on them.

    Exploring, the device evaluates (and pays) every exit, and offloads what exit m is not sure of. Each arm's
    reward is that of a split with one exit evaluated; where it contains a C_L that was not observed, the
    deepest confidence seen, C_m, stands in, as in causal SplitEE-S. From then on it is `FixedSplit` at the
    arm with the greatest mean, the lowest on ties.

    Parameters
    ----------
    threshold : float
        α.
    samples : int
        How many are explored.

    References
    ----------
    Lattimore, Szepesvári (2020): Bandit Algorithms, chapter 6; here one look at a sample teaches of all arms.

    Examples
    --------
    >>> ExploreThenCommit(0.7).label
    'explore-then-commit 200'
    """

    threshold: float
    samples: int = 200
    name: ClassVar[str] = "explore-then-commit"
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        if isinstance(self.samples, bool) or not isinstance(self.samples, Integral) or self.samples < 1:
            raise InputError(f"samples is {self.samples!r}: give a whole number, at least 1")

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} {self.samples}"

    def rounds_with_every_exit(self, rounds: int) -> int:  # noqa: D102
        return min(rounds, self.samples)

    def splits(self, stream: Stream) -> Layers:  # noqa: D102
        splits = np.full(len(stream.order), stream.arms, dtype=np.int16)
        explored = stream.order[: self.samples]
        if len(explored) < len(stream.order):
            splits[self.samples :] = 1 + int(np.argmax(self._means(stream, explored)))
        return splits

    def _means(self, stream: Stream, explored: Orders) -> Floats:
        """Return the mean reward seen of arms 1..m."""
        deepest = stream.confidence[explored, stream.arms - 1].astype(np.float64)
        at_last = stream.arms == stream.layers
        knows_far = (deepest < self.threshold) & (not at_last) | (at_last and not stream.other_cloud)
        extra = stream.costs.by_sample(len(stream.far))
        seen = replace(
            stream,
            confidence=stream.confidence[explored],
            far=np.where(knows_far, stream.far[explored], deepest).astype(np.float32),
            costs=replace(stream.costs, sample_offload=extra[explored]) if extra.size else stream.costs,
        )
        every = np.arange(len(explored), dtype=np.int32)
        return means_of(seen, seen.costs, self.threshold, False, every)[1 : stream.arms + 1]


@dataclass(frozen=True)
class SourceSplit(Policy):
    """The fixed split that is best on the source's validation trace at the target's prices; it sees no label.

    What one can do without learning on the target: it trusts that confidences there are as on the source.

    Parameters
    ----------
    threshold : float
        α.
    source : Trace
        What the same model said of its source's validation data. Where the price of sending is given by
        sample, its mean is taken.

    Examples
    --------
    >>> source = Trace([[0.6, 0.9], [0.8, 0.9]], [[0, 1], [1, 1]])
    >>> SourceSplit(0.7, source).label
    'source split'
    """

    threshold: float
    source: Trace
    name: ClassVar[str] = "source split"

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        if not isinstance(self.source, Trace):
            raise InputError(f"source is {self.source!r}: give the source's validation trace")

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        if self.source.exit_layers != trace.exit_layers or self.source.classes != trace.classes:
            raise InputError(
                f"the source trace {self.source.name} has exits {self.source.exit_layers} and "
                f"{self.source.classes} classes, {trace.name} {trace.exit_layers} and {trace.classes}: "
                "give one of the same model"
            )
        if same_model(self.source.manifest, trace.manifest) is False:
            raise InputError(f"the source trace {self.source.name} is of another model than {trace.name}")

    def by_sample(self, stream: Stream) -> Layers:  # noqa: D102
        source = self.source
        extra = stream.costs.by_sample(len(stream.far))
        own = source.confidence[:, -1] if source.cloud_confidence is None else source.cloud_confidence
        met = replace(
            stream,
            confidence=source.confidence,
            far=np.ascontiguousarray(own),
            costs=replace(stream.costs, sample_offload=np.full(source.samples, extra.mean()))
            if extra.size
            else stream.costs,
        )
        every = np.arange(source.samples, dtype=np.int32)
        means = means_of(met, met.costs, self.threshold, False, every)
        return everywhere(1 + int(np.argmax(means[1 : stream.arms + 1])), stream)

    def to_dict(self) -> dict[str, Any]:  # noqa: D102
        told = {"name": self.source.name, "fingerprint": self.source.fingerprint}
        return {"policy": type(self).__name__, "threshold": float(self.threshold), "source": told}
