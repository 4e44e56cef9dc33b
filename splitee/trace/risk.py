"""Choose α so that a loss stays below a risk: offline risk control, with labels or without.

The losses of n samples at thresholds λ_0 > λ_1 > … form a matrix ℓ[k, s]; λ_0 is the safest. A rule walks
from the safe end and stops before the first threshold that it does not accept. With ε the risk, δ the
probability of failure and B the largest loss, threshold k is accepted if

    naive     mean ℓ_k ≤ ε                               promises nothing
    crc       mean ℓ_k ≤ ((n + 1)·ε − B)/n               mean risk ≤ ε over calibration sets, if the risk
                                                         does not fall from one threshold to the next
    ltt       p_k ≤ δ                                    risk ≤ ε with probability 1 − δ
    ucb-wsr   max_t Σ_{j ≤ t} ln(1 − ν_j·(ℓ_kj − ε)) ≥ ln(1/δ)      the same, by betting

p_k is the Hoeffding–Bentkus p-value of losses in [0, 1] with mean r, to which others are moved, and ε with
them: min(exp(−n·kl(min(r, ε), ε)), e·P(Binomial(n, ε) ≤ ⌈n·r⌉)). The bets of ucb-wsr are
ν_j = min(sqrt(2·ln(1/δ)/(n·σ²_{j−1})), 1/B), with μ_j = (1/2 + Σℓ)/(1 + j) and
σ²_j = (1/4 + Σ(ℓ − μ)²)/(1 + j) over the first j losses. Here B = 1.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.numbers import check_share
from splitee.trace.threshold import first_sure

if TYPE_CHECKING:
    from splitee.trace import Trace

RISK_RULES = ("naive", "crc", "ltt", "ucb-wsr")
LOSSES = ("disagreement", "error")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RiskThreshold:
    """A threshold that was chosen for a risk.

    Attributes
    ----------
    value : float or None
        α of the confidence cascade; None: no threshold is accepted, so that only the last exit may answer.
    rule, loss : str
    risk, failure : float
        ε and δ.
    losses : dict of str to float
        Mean loss at each α of the grid, from the safe end, keyed by α.
    samples : int
        Number of samples used.
    """

    value: float | None
    rule: str
    loss: str
    risk: float
    failure: float
    losses: dict[str, float]
    samples: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain types."""
        return asdict(self)


def accepted(losses: Floats, rule: str, risk: float, failure: float = 0.1, lowest: float = 0.0) -> int:
    """Return how many thresholds a rule accepts, from the safe end.

    Parameters
    ----------
    losses : ndarray, shape (k, n)
        Losses of n samples, at most 1, in an order that does not depend on them; row 0 is the safest
        threshold.
    rule : {"naive", "crc", "ltt", "ucb-wsr"}
    risk : float
        ε, from 0 to 1.
    failure : float
        δ, of "ltt" and "ucb-wsr".
    lowest : float
        The least loss that there can be, from −1 to 0.

    References
    ----------
    Angelopoulos et al. (2024): Conformal Risk Control, ICLR, arXiv 2208.02814 (crc). Angelopoulos et al.
    (2021): Learn then Test, arXiv 2110.01052 (ltt). Waudby-Smith, Ramdas (2024), JRSS B 86 (ucb-wsr). Jazbec
    et al. (2024): Fast yet Safe, NeurIPS, arXiv 2405.20915, uses them for early exits.

    Examples
    --------
    >>> losses = np.repeat([[0.0], [1.0]], 200, axis=1)
    >>> [accepted(losses, rule, 0.05) for rule in RISK_RULES]
    [1, 1, 1, 1]
    """
    check_share("risk", risk, 0.0, 1.0)
    check_share("failure", failure, 1e-12, 0.999)
    if rule not in RISK_RULES:
        raise InputError(f"rule {rule!r}: choose one of {', '.join(RISK_RULES)}")
    check_share("lowest", lowest, -1.0, 0.0)
    matrix = np.asarray(losses, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size or not ((matrix >= lowest) & (matrix <= 1)).all():
        raise InputError(f"losses must be a matrix of numbers from {lowest:g} to 1, one row per threshold")
    for k, row in enumerate(matrix):
        if not _accepts(row, rule, risk, failure, lowest):
            return k
    return len(matrix)


def _accepts(losses: Floats, rule: str, risk: float, failure: float, lowest: float) -> bool:
    n, mean = len(losses), float(losses.mean())
    if rule == "naive":
        return mean <= risk
    if rule == "crc":
        return mean <= ((n + 1) * risk - 1) / n
    if rule == "ltt":
        return p_value((losses - lowest) / (1 - lowest), (risk - lowest) / (1 - lowest)) <= failure
    return bool(wealth(losses, risk, failure).max() >= math.log(1 / failure))


def p_value(losses: Floats, risk: float) -> float:
    """Return the Hoeffding–Bentkus p-value that losses in [0, 1] have a mean above the risk.

    Examples
    --------
    >>> round(p_value(np.zeros(100), 0.05), 4) == round(0.95**100, 4)
    True
    """
    from scipy.special import bdtr

    if risk in (0.0, 1.0):
        return 1.0 if risk == 0.0 else 0.0
    n, mean = len(losses), min(float(losses.mean()), 1.0)
    hoeffding = math.exp(-n * _divergence(min(mean, risk), risk))
    bentkus = math.e * float(bdtr(math.ceil(n * mean - 1e-9), n, risk))
    return min(hoeffding, bentkus, 1.0)


def _divergence(p: float, q: float) -> float:
    """Return kl(p, q) of two Bernoulli distributions, 0 < q < 1."""
    return sum(x * math.log(x / y) for x, y in ((p, q), (1 - p, 1 - q)) if x > 0)


def wealth(losses: Floats, risk: float, failure: float) -> Floats:
    """Return the logarithm of the wealth after each loss, of bets that the mean loss is below the risk.

    Under the hypothesis that it is not, wealth is a supermartingale that begins at 1.
    """
    n = np.arange(1, len(losses) + 1)
    mean = (0.5 + losses.cumsum()) / (1 + n)
    variance = (0.25 + ((losses - mean) ** 2).cumsum()) / (1 + n)
    before = np.append(0.25, variance[:-1])
    bets = np.minimum(np.sqrt(2 * math.log(1 / failure) / (len(losses) * before)), 1.0)
    with np.errstate(divide="ignore"):  # a loss of 1 at a risk of 0 ends all wealth
        return np.log1p(-bets * (losses - risk)).cumsum()


def risk_grid(classes: int) -> tuple[float, ...]:
    """Return the values of α from the safe end: 1.00, 0.99, … above 1/K."""
    return tuple(a / 100 for a in range(100, 0, -1) if a / 100 > 1 / classes)


def cascade_losses(trace: Trace, loss: str, grid: tuple[float, ...]) -> Floats:
    """Return the losses of the confidence cascade over all exits at each α, shape (k, n).

    Parameters
    ----------
    trace : Trace
    loss : {"disagreement", "error"}
        "disagreement": whether the answer differs from the last exit's, which needs no label. "error":
        [answer is wrong] − [last exit is wrong].
    grid : tuple of float
    """
    if loss not in LOSSES:
        raise InputError(f"loss {loss!r}: choose {' or '.join(LOSSES)}")
    if loss == "error" and trace.label is None:
        raise InputError(f"trace {trace.name} has no labels: give the loss disagreement")
    rows, last = np.arange(trace.samples), trace.prediction[:, -1]
    made = np.empty((len(grid), trace.samples))
    for k, alpha in enumerate(grid):
        answer = trace.prediction[rows, first_sure(trace, [alpha] * trace.layers)]
        if loss == "disagreement":
            made[k] = answer != last
        else:
            made[k] = (answer != trace.label).astype(np.float64) - (last != trace.label)
    return made


def threshold_for_risk(
    trace: Trace,
    rule: str = "ltt",
    risk: float = 0.02,
    *,
    failure: float = 0.1,
    loss: str | None = None,
    seed: int = 0,
) -> RiskThreshold:
    """Choose the α of the confidence cascade over all exits whose loss stays below a risk.

    Parameters
    ----------
    trace : Trace
        Calibration samples, drawn as those that α is used on. A shift between the two breaks every promise.
    rule : {"naive", "crc", "ltt", "ucb-wsr"}
        See this module.
    risk : float
        ε.
    failure : float
        δ, of "ltt" and "ucb-wsr".
    loss : {"disagreement", "error"}, optional
        See `cascade_losses`. Default: "error" if the trace has labels.
    seed : int
        Of the order in which "ucb-wsr" looks at the samples.

    Raises
    ------
    InputError
        If an argument is not valid, or the loss needs labels that the trace has not.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.load_trace("sst2_validation")
    >>> chosen = threshold_for_risk(trace, "ltt", 0.02, loss="disagreement")
    >>> chosen.value, chosen.losses["0.84"]
    (0.84, 0.008028)
    """
    if loss is None:
        loss = "error" if trace.label is not None else "disagreement"
    grid = risk_grid(trace.classes)
    losses = cascade_losses(trace, loss, grid)
    shuffled = losses[:, np.random.default_rng(seed).permutation(trace.samples)]
    many = accepted(shuffled, rule, risk, failure, lowest=-1.0 if loss == "error" else 0.0)
    means = {
        f"{alpha:.2f}": round(float(mean), 6) for alpha, mean in zip(grid, losses.mean(axis=1), strict=True)
    }
    return RiskThreshold(
        grid[many - 1] if many else None, rule, loss, float(risk), float(failure), means, trace.samples
    )
