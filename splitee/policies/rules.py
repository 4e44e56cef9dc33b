"""Exit rules: whether an exit may answer, decided exit by exit.

The same rule decides for all samples of a trace in a replay (`cascades`), and for a batch on a device
(`splitee.models.early_exit.infer`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.numbers import check_whole
from splitee.policies.problem import Threshold, as_alpha, by_exit

Sure = NDArray[np.bool_]  # (b,): whether the exit may answer
Memory = NDArray[np.float64]  # (b, …): what a rule remembers of each sample from exit to exit

TOLERANCE = 0.94  # scores this near agree, where they run from 0 to 5 (ElasticBERT's released code)


@dataclass(frozen=True)
class Said:
    """What one exit says of b samples.

    Attributes
    ----------
    confidence : ndarray of float32, shape (b,)
    prediction : ndarray of int, shape (b,)
        The classes.
    entropy : ndarray of float32, shape (b,), or None
        In nats; None where it is not known.
    value : ndarray of float32, shape (b,), or None
        The scores, where the model regresses.
    """

    confidence: NDArray[np.float32]
    prediction: NDArray[np.integer]
    entropy: NDArray[np.float32] | None = None
    value: NDArray[np.float32] | None = None


class Rule:
    """When an exit may answer; the last one always may."""

    def check(self, exits: int) -> None:
        """Raise InputError where the rule cannot be followed with so many exits."""

    def asks(self, exit_: int) -> bool:
        """Return whether the exit (1-based) needs to be evaluated."""
        return True

    def sure(self, exit_: int, said: Said, memory: Memory | None) -> tuple[Sure, Memory | None]:
        """Return which samples may be answered here, and what to remember of each until the next exit.

        Parameters
        ----------
        exit_ : int
            1-based; exits are asked in ascending order.
        said : Said
            What it says of b samples.
        memory : ndarray, shape (b, …), or None
            What was returned at the exit before; None at the first.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Confidence(Rule):
    """Confidence C_i ≥ α_i, rounded to float32 as confidences are.

    Parameters
    ----------
    threshold : float or tuple of float
        α, or α_1, α_2, … of each exit but the last.

    Examples
    --------
    >>> said = Said(np.float32([0.6, 0.9]), np.array([0, 1]))
    >>> Confidence(0.9).sure(1, said, None)[0]
    array([False,  True])
    """

    threshold: Threshold

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", by_exit(self.threshold))

    def check(self, exits: int) -> None:  # noqa: D102
        if isinstance(self.threshold, tuple) and len(self.threshold) not in (exits - 1, exits):
            raise InputError(
                f"{len(self.threshold)} thresholds for {exits} exits: give one for all, or {exits - 1}"
            )

    def sure(self, exit_: int, said: Said, memory: Memory | None) -> tuple[Sure, Memory | None]:  # noqa: D102
        alpha = self.threshold[exit_ - 1] if isinstance(self.threshold, tuple) else self.threshold
        return said.confidence.astype(np.float64) >= as_alpha(alpha), None


@dataclass(frozen=True)
class Entropy(Rule):
    """Entropy H_i = −Σ_c p_c·ln p_c below S nats."""

    entropy: float

    def __post_init__(self) -> None:
        if not (isinstance(self.entropy, Real) and 0 <= self.entropy < math.inf):
            raise InputError(f"entropy is {self.entropy!r}: give nats, at least 0")

    def sure(self, exit_: int, said: Said, memory: Memory | None) -> tuple[Sure, Memory | None]:  # noqa: D102
        if said.entropy is None:
            raise InputError(
                "a rule by entropy needs entropies: with more than two classes they do not follow from the "
                "confidence (precompute or import them), and scores have none"
            )
        return said.entropy.astype(np.float64) < self.entropy, None


@dataclass(frozen=True)
class Patience(Rule):
    """So many exits in a row, this one the last of them, have confirmed the one before.

    cnt_i = cnt_{i−1} + 1 if exit i names the class that exit i − 1 named, else 0. Scores y agree where
    |y_i − y_{i−1}| is below the tolerance.

    Parameters
    ----------
    patience : int
        At least 1.
    tolerance : float
        Of scores; classes have none.

    Examples
    --------
    >>> rule, memory = Patience(1), None
    >>> for exit_, classes in enumerate(([0, 1], [1, 1]), 1):
    ...     sure, memory = rule.sure(exit_, Said(np.float32([0.9, 0.9]), np.array(classes)), memory)
    >>> sure
    array([False,  True])
    """

    patience: int
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        check_whole("patience", self.patience)
        if not (isinstance(self.tolerance, Real) and 0 < self.tolerance < math.inf):
            raise InputError(f"tolerance is {self.tolerance!r}: give a difference of scores, above 0")

    def sure(self, exit_: int, said: Said, memory: Memory | None) -> tuple[Sure, Memory | None]:  # noqa: D102
        answer = np.asarray(said.prediction if said.value is None else said.value, dtype=np.float64)
        confirmed = np.zeros(len(answer))
        if memory is not None:
            apart = np.abs(answer - memory[:, 0])
            same = apart == 0 if said.value is None else apart < self.tolerance
            confirmed = np.where(same, memory[:, 1] + 1, 0)
        return confirmed >= self.patience, np.stack([answer, confirmed], axis=1)


@dataclass(frozen=True)
class AtExit(Rule):
    """One exit answers everything, and no other is evaluated."""

    exit_: int

    def __post_init__(self) -> None:
        check_whole("layer", self.exit_)

    def check(self, exits: int) -> None:  # noqa: D102
        if self.exit_ > exits:
            raise InputError(f"exit {self.exit_}: the model has exits 1 to {exits}")

    def asks(self, exit_: int) -> bool:  # noqa: D102
        return exit_ == self.exit_

    def sure(self, exit_: int, said: Said, memory: Memory | None) -> tuple[Sure, Memory | None]:  # noqa: D102
        return np.full(len(said.confidence), exit_ == self.exit_), None
