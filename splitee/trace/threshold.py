"""Choose the confidence threshold α on labelled source-domain data, never on the target."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError

if TYPE_CHECKING:
    from splitee.trace import Trace

GRID = tuple(round(0.60 + 0.05 * step, 2) for step in range(8))  # the authors' grid, up to 0.95


@dataclass(frozen=True)
class RecommendedThreshold:
    """A recommended threshold and how it was chosen.

    Attributes
    ----------
    value : float
        The recommended α.
    rule : str
        "best", or "within:POINTS".
    accuracy : dict of str to float
        Accuracy of the confidence cascade at each α of the grid, keyed by α.
    picked : dict of str to float
        Share of bootstrap resamples of the samples in which each α is chosen.
    samples : int
        Number of samples used.
    """

    value: float
    rule: str
    accuracy: dict[str, float]
    picked: dict[str, float]
    samples: int

    def to_dict(self) -> dict[str, object]:
        """Return plain types for a manifest."""
        return asdict(self)


def recommend_threshold(
    trace: Trace, rule: str = "within:0.5", *, bootstrap: int = 1000, seed: int = 0
) -> RecommendedThreshold:
    """Choose α on a labelled validation trace.

    Each α of the grid 0.60, 0.65, …, 0.95 is scored by the accuracy of the confidence cascade over all exits:
    the first exit with C_i ≥ α answers, otherwise the last.

    Parameters
    ----------
    trace : Trace
        With labels, from the validation split of the data the model was fine-tuned on.
    rule : str
        ``"within:POINTS"``: the smallest α whose accuracy is within that many percentage points of the best;
        ``"best"``: the α with the best accuracy, the smallest on ties (the rule of the SplitEE paper).
    bootstrap, seed : int
        Number of bootstrap resamples that measure how stable the choice is, and their seed.

    Returns
    -------
    RecommendedThreshold

    Raises
    ------
    InputError
        If the trace has no labels or the rule is unknown.

    Examples
    --------
    >>> from splitee.trace import Trace
    >>> trace = Trace([[0.72, 0.9], [0.9, 0.9]], [[0, 1], [1, 1]], label=[1, 1])
    >>> recommend_threshold(trace, "best", bootstrap=10).value
    0.75
    """
    if trace.label is None:
        raise InputError(f"trace {trace.name} has no labels: a threshold is chosen on labelled source data")
    slack = check_rule(rule)
    right = np.stack([_cascade_right(trace, alpha) for alpha in GRID], axis=1).astype(np.float64)
    n = len(right)
    accuracy = right.mean(axis=0)
    rng = np.random.default_rng(seed)
    picks = np.zeros(len(GRID))
    for _ in range(bootstrap):
        weights = np.bincount(rng.integers(n, size=n), minlength=n)
        picks[_pick(weights @ right / n, slack)] += 1
    return RecommendedThreshold(
        value=GRID[_pick(accuracy, slack)],
        rule=rule,
        accuracy={f"{alpha:.2f}": round(float(a), 6) for alpha, a in zip(GRID, accuracy, strict=True)},
        picked={f"{alpha:.2f}": float(p) / bootstrap for alpha, p in zip(GRID, picks, strict=True)},
        samples=n,
    )


def _cascade_right(trace: Trace, alpha: float) -> NDArray[np.bool_]:
    sure = trace.confidence >= np.float32(alpha)  # as every policy rounds it
    sure[:, -1] = True
    exit_at = sure.argmax(axis=1)
    right: NDArray[np.bool_] = trace.prediction[np.arange(len(exit_at)), exit_at] == trace.label
    return right


def _pick(accuracy: NDArray[np.float64], slack: float) -> int:
    # the tolerance makes a difference of exactly `slack` points count in floating point too
    return int(np.argmax(accuracy >= accuracy.max() - slack / 100 - 1e-12))


def check_rule(rule: str) -> float:
    """Return the tolerance, in points of accuracy, of a rule; raise InputError if the rule is unknown."""
    if rule == "best":
        return 0.0
    kind, _, points = rule.partition(":")
    try:
        slack = float(points)
    except ValueError:
        slack = -1.0
    if kind != "within" or not 0 <= slack <= 100:
        raise InputError(f"alpha rule {rule!r}: give 'best' or 'within:POINTS', such as within:0.5")
    return slack
