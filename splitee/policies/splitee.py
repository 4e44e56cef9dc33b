"""SplitEE and SplitEE-S: UCB over layers, without labels (Bajpai et al. 2023, algorithms 1 and 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee.policies.bandit import CAUSAL, PUBLISHED, SKIP, LayerBandit
from splitee.policies.base import Floats

_MODES = {"causal": CAUSAL, "published": PUBLISHED, "skip": SKIP}


@dataclass(frozen=True)
class _UCB(LayerBandit):
    """i_t = argmax_i Q(i) + β·sqrt(ln t / N(i))."""

    exploration: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.exploration, Real) and 0 <= self.exploration < math.inf):
            raise InputError(f"exploration is {self.exploration!r}: give a finite number, at least 0")

    def weights(self, logarithm: Floats) -> Floats:
        root: Floats = float(self.exploration) * np.sqrt(logarithm)
        return root


@dataclass(frozen=True)
class SplitEE(_UCB):
    """SplitEE: evaluates one exit a sample, the one it splits at, and updates that arm.

    Parameters
    ----------
    threshold : float
        α: confidence from which the device answers by itself.
    exploration : float
        β ≥ 0; the paper's regret bound needs β ≥ 1.
    send_input : bool
        Whether sending the input (layer 0) is an arm too.

    References
    ----------
    Bajpai, Trivedi, Yadav, Hanawal: SplitEE, AIMLSystems 2023, algorithm 1; arXiv 2309.09195.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.Trace([[0.6, 0.9], [0.8, 0.9], [0.9, 0.95]], [[0, 1], [1, 1], [0, 0]])
    >>> splitee.replay(trace, SplitEE(0.7), repeats=1).split.shape
    (1, 3)
    """

    send_input: bool = False
    name: ClassVar[str] = "SplitEE"


@dataclass(frozen=True)
class SplitEES(_UCB):
    """SplitEE-S: evaluates every exit on the way and updates every arm up to the one it splits at.

    The reward of an arm j whose C_j < α contains C_L, which a device knows only where the sample was
    offloaded (or ran to L). `side_information` says what is done where it does not know it.

    Parameters
    ----------
    threshold : float
        α.
    exploration : float
        β ≥ 0.
    side_information : {"causal", "published", "skip"}
        "causal": the deepest confidence that the device has seen stands in for C_L. "published": C_L is
        read all the same, as in the authors' code; no device could. "skip": the arm is not updated, which
        biases it (only samples that were hard enough to be sent count against it).
    send_input : bool
        Whether sending the input (layer 0) is an arm too.

    References
    ----------
    Bajpai, Trivedi, Yadav, Hanawal: SplitEE, AIMLSystems 2023, algorithm 2; arXiv 2309.09195.

    Examples
    --------
    >>> SplitEES(0.7).label
    'SplitEE-S (causal)'
    """

    side_information: str = "causal"
    send_input: bool = False
    name: ClassVar[str] = "SplitEE-S"
    every_exit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.side_information, str) or self.side_information not in _MODES:
            raise InputError(
                f"side_information is {self.side_information!r}: choose causal, published or skip"
            )

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} ({self.side_information})"

    @property
    def sees_final(self) -> bool:  # type: ignore[override]  # noqa: D102
        return self.side_information == "published"

    @property
    def mode(self) -> int:  # noqa: D102
        return _MODES[self.side_information]
