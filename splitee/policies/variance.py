"""Learners that also know how much each arm's reward varies: UCB-tuned and Thompson sampling.

β = 1 explores as if a reward could be anything between 0 and 1; the rewards of one layer vary far less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from splitee.policies.bandit import THOMPSON, TUNED, LayerBandit


@dataclass(frozen=True)
class UCBTuned(LayerBandit):
    """UCB whose width follows the variance seen; evaluates one exit a sample and updates that arm.

    i_t = argmax_i Q(i) + sqrt( ln t / N(i) · min(1/4, V(i) + sqrt(2·ln t / N(i))) ), V(i) the variance of the
    rewards seen of arm i (divided by N).

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
    V(i) = (1/4 + Σ(r − Q(i))²) / N(i): the variance of the rewards seen of arm i, with the largest that a
    number between 0 and 1 can have as the deviation of one sample more, so that two equal rewards do not look
    like certainty.

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
