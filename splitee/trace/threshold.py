"""Choose the confidence threshold α on source-domain data, never on the target.

`recommend_threshold` chooses one α for all exits by a rule. `thresholds_for_budget` chooses one per exit, so
that the mean cost meets a budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError

if TYPE_CHECKING:
    from splitee.trace import Trace

GRID = tuple(round(0.60 + 0.05 * step, 2) for step in range(8))  # the authors' grid, up to 0.95
AGREE = "agree"
NEVER = 1.0  # a threshold that only certainty reaches
FEW = 3  # classes up to which it is used


def alpha_grid(classes: int) -> tuple[float, ...]:
    """Return the values of α to choose from: the authors' grid for up to 3 classes.

    With more classes an exit can be right with a confidence below 0.6, so the grid begins above 1/K.

    Examples
    --------
    >>> alpha_grid(2)[0], alpha_grid(40)[0], alpha_grid(40)[-1]
    (0.6, 0.05, 0.95)
    """
    return GRID if classes <= FEW else tuple(a / 100 for a in range(5, 100, 5) if a / 100 > 1 / classes)


@dataclass(frozen=True)
class RecommendedThreshold:
    """A recommended threshold and how it was chosen.

    Attributes
    ----------
    value : float
        The recommended α.
    rule : str
        "best", "within:POINTS" or "agree:POINTS".
    accuracy : dict of str to float
        Accuracy of the confidence cascade at each α of the grid, keyed by α; for "agree:POINTS" its agreement
        with the last exit.
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
    """Choose α on a validation trace.

    Each α of the grid (see `alpha_grid`; 0.60, 0.65, …, 0.95 for up to 3 classes) is scored by the confidence
    cascade over all exits: the first exit with C_i ≥ α answers, otherwise the last.

    Parameters
    ----------
    trace : Trace
        From the validation split of the data the model was fine-tuned on; with labels, unless the rule is
        "agree:POINTS".
    rule : str
        ``"within:POINTS"``: the smallest α whose accuracy is within that many percentage points of the best;
        ``"best"``: the α with the best accuracy, the smallest on ties (the rule of the SplitEE paper);
        ``"agree:POINTS"``: the smallest α at which at most that many per cent of the answers differ from the
        last exit's, the largest of the grid if there is none.
    bootstrap, seed : int
        Number of bootstrap resamples that measure how stable the choice is, and their seed.

    Returns
    -------
    RecommendedThreshold

    Raises
    ------
    InputError
        If the trace has no labels and the rule needs them, or the rule is unknown.

    Examples
    --------
    >>> from splitee.trace import Trace
    >>> trace = Trace([[0.72, 0.9], [0.9, 0.9]], [[0, 1], [1, 1]], label=[1, 1])
    >>> recommend_threshold(trace, "best", bootstrap=10).value
    0.75
    """
    slack, agree = check_rule(rule), rule.startswith(AGREE)
    truth = trace.prediction[:, -1] if agree else trace.label
    if truth is None:
        raise InputError(
            f"trace {trace.name} has no labels: choose the threshold on labelled source data, or by the rule "
            "agree:POINTS"
        )
    grid, samples = alpha_grid(trace.classes), np.arange(trace.samples)
    answers = [trace.prediction[samples, first_sure(trace, [alpha] * trace.layers)] for alpha in grid]
    right = np.stack([answer == truth for answer in answers], axis=1).astype(np.float64)
    n = len(right)
    accuracy = right.mean(axis=0)
    rng = np.random.default_rng(seed)
    picks = np.zeros(len(grid))
    for _ in range(bootstrap):
        weights = np.bincount(rng.integers(n, size=n), minlength=n)
        picks[_pick(weights @ right / n, slack, agree)] += 1
    return RecommendedThreshold(
        value=grid[_pick(accuracy, slack, agree)],
        rule=rule,
        accuracy={f"{alpha:.2f}": round(float(a), 6) for alpha, a in zip(grid, accuracy, strict=True)},
        picked={f"{alpha:.2f}": float(p) / bootstrap for alpha, p in zip(grid, picks, strict=True)},
        samples=n,
    )


@dataclass(frozen=True)
class BudgetThresholds:
    """Thresholds by exit that meet a budget.

    Attributes
    ----------
    thresholds : tuple of float, length L − 1
        α of exits 1..L − 1; the last exit always answers. 1.0 or more than any confidence: never.
    cost : float
        Mean cost per sample on the trace that they were chosen on, in the unit of the budget.
    shares : tuple of float, length L
        Share of the samples that each exit answers there.
    accuracy : float or None
        Of the answers there; None without labels.
    agreement : float
        Share of the answers there that are the last exit's.
    """

    thresholds: tuple[float, ...]
    cost: float
    shares: tuple[float, ...]
    accuracy: float | None
    agreement: float


def thresholds_for_budget(trace: Trace, budget: float, cost: Sequence[float]) -> BudgetThresholds:
    """Choose one threshold per exit, so that the mean cost on a trace meets a budget.

    Exit i is to answer a share of the samples proportional to r^i (in the reference r = 1 − q, q being the
    share that stops of those that reach an exit). The r whose mean cost is the budget is found by bisection.
    Then, exit by exit, α_i is the confidence that so many of the samples still running reach. Labels are not
    used.

    Parameters
    ----------
    trace : Trace
        A validation trace of the model's source.
    budget : float
        Mean cost per sample, in the unit of `cost`: at least that of exit 1, at most that of the last.
    cost : sequence of float, length L
        What a sample costs that stops at each exit, ascending, such as
        ``CostModel().device(L, every_exit=True)``.

    Raises
    ------
    InputError
        If no thresholds can meet the budget.

    References
    ----------
    Huang et al. (2018): Multi-Scale Dense Networks for Resource Efficient Image Classification, section 3
    (budgeted batch classification); ICLR; arXiv 1703.09844.

    Examples
    --------
    >>> from splitee.trace import Trace
    >>> trace = Trace([[0.6, 0.9], [0.7, 0.9], [0.8, 0.9], [0.9, 0.9]], [[0, 1], [1, 1], [1, 1], [1, 1]])
    >>> found = thresholds_for_budget(trace, 1.5, [1, 2])
    >>> round(found.thresholds[0], 3), found.cost, found.agreement
    (0.8, 1.5, 1.0)
    """
    costs = np.asarray(cost, dtype=np.float64)
    if costs.shape != (trace.layers,) or not (np.isfinite(costs).all() and (np.diff(costs) > 0).all()):
        raise InputError(f"cost must be {trace.layers} ascending numbers, one per exit, not {cost!r}")
    if not costs[0] <= budget <= costs[-1]:
        raise InputError(
            f"budget {budget:g}: give a cost per sample from {costs[0]:g} (all stop at exit 1) to "
            f"{costs[-1]:g} (none stops before the last exit)"
        )
    running, alphas = np.arange(trace.samples), []
    for i, until in enumerate(np.round(np.cumsum(_shares(costs, budget)) * trace.samples)[:-1]):
        sure = np.sort(trace.confidence[running, i])[::-1]
        stop = int(until) - (trace.samples - len(running))  # equal confidences may have stopped more before
        alphas.append(float(sure[stop - 1]) if stop > 0 else NEVER)
        running = running[trace.confidence[running, i] < np.float32(alphas[-1])]
    stops = first_sure(trace, [*alphas, 0.0])
    answer = trace.prediction[np.arange(trace.samples), stops]
    return BudgetThresholds(
        thresholds=tuple(alphas),
        cost=float(costs[stops].mean()),
        shares=tuple((np.bincount(stops, minlength=trace.layers) / trace.samples).tolist()),
        accuracy=None if trace.label is None else float((answer == trace.label).mean()),
        agreement=float((answer == trace.prediction[:, -1]).mean()),
    )


def _shares(costs: NDArray[np.float64], budget: float) -> NDArray[np.float64]:
    """Return the shares of exits, proportional to r^i, whose mean cost is the budget."""
    i = np.arange(len(costs))
    low, high = -50.0, 50.0  # ln r: nearly all stop at the first exit, nearly all at the last
    for _ in range(100):
        middle = (low + high) / 2
        shares: NDArray[np.float64] = np.exp(middle * i - (middle * i).max())
        shares /= shares.sum()
        low, high = (middle, high) if shares @ costs < budget else (low, middle)
    return shares


def first_sure(trace: Trace, thresholds: Sequence[float]) -> NDArray[np.intp]:
    """Return the first exit (from 0) whose confidence reaches its threshold, or the last, shape (n,)."""
    sure = trace.confidence >= np.asarray(thresholds).astype(np.float32)  # as every policy rounds them
    sure[:, -1] = True
    first: NDArray[np.intp] = sure.argmax(axis=1)
    return first


def _pick(accuracy: NDArray[np.float64], slack: float, agree: bool) -> int:
    # the tolerance makes a difference of exactly `slack` points count in floating point too
    enough = accuracy >= (1.0 if agree else accuracy.max()) - slack / 100 - 1e-12
    return int(np.argmax(enough)) if enough.any() else len(accuracy) - 1


def check_rule(rule: str) -> float:
    """Return the tolerance, in points, of a rule; raise InputError if the rule is unknown."""
    if rule == "best":
        return 0.0
    kind, _, points = rule.partition(":")
    try:
        slack = float(points)
    except ValueError:
        slack = -1.0
    if kind not in ("within", AGREE) or not 0 <= slack <= 100:
        raise InputError(
            f"alpha rule {rule!r}: give 'best', 'within:POINTS' or 'agree:POINTS', such as within:0.5"
        )
    return slack
