"""Learners that also know how much each arm's reward varies: UCB-tuned and Thompson sampling.

β = 1 explores as if all arms varied as much; most layers' rewards vary far less. Rewards of one arm lie
within R = 1 + μ·o of each other (one sample exits, another is sent): both use R, which is known beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from splitee.policies.bandit import THOMPSON, TUNED, LayerBandit


@dataclass(frozen=True)
class UCBTuned(LayerBandit):
    """UCB whose width follows the variance seen; evaluates one exit a sample and updates that arm.

    i_t = argmax_i Q(i) + R·sqrt( ln t / N(i) · min(1/4, V(i)/R² + sqrt(2·ln t / N(i))) ), V(i) the variance
    of the rewards seen of arm i (divided by N), R = 1 + μ·o (o the dearest): the published index, on rewards
    divided by R.

    Parameters
    ----------
    threshold : float
        α.
    send_input : bool
        Whether sending the input (layer 0) is an arm too.

    References
    ----------
    Auer, Cesa-Bianchi, Fischer (2002): Finite-time Analysis of the Multiarmed Bandit Problem, section 4.

    Examples
    --------
    >>> UCBTuned(0.7).label
    'UCB-tuned'
    """

    send_input: bool = False
    name: ClassVar[str] = "UCB-tuned"
    rule: ClassVar[int] = TUNED


@dataclass(frozen=True)
class ThompsonSplit(LayerBandit):
    """Gaussian Thompson sampling; evaluates one exit a sample and updates that arm.

    i_t = argmax_i θ(i), θ(i) drawn from a normal distribution of mean Q(i) and variance V(i)/N(i), where
    V(i) = (R²/4 + Σ(r − Q(i))²) / N(i): the variance of the rewards seen of arm i and of one sample more, of
    the largest variance that rewards within R = 1 + μ·o (o the dearest) can have, so that two equal rewards
    do not look like certainty.

    Parameters
    ----------
    threshold : float
        α.
    send_input : bool
        Whether sending the input (layer 0) is an arm too.

    References
    ----------
    Thompson (1933), Biometrika 25; Russo et al. (2018): A Tutorial on Thompson Sampling, section 4.

    Examples
    --------
    >>> ThompsonSplit(0.7).label
    'Thompson'
    """

    send_input: bool = False
    name: ClassVar[str] = "Thompson"
    rule: ClassVar[int] = THOMPSON
