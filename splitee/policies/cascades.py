"""Cascades: exits are asked one after the other, and the first that is sure enough answers.

Every exit that is evaluated is paid: a sample that stops at layer i costs (λ₁ + λ₂)·i. All but `CascadeSplit`
stay on the device, where the last layer answers whatever it says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee.errors import InputError
from splitee.policies.base import Layers, Policy, Stream, check_layer, check_threshold
from splitee.policies.fixed import AtLayer

Sure = NDArray[np.bool_]  # (n, L): whether an exit may answer


def first_sure(sure: Sure, last: int) -> Layers:
    """Return the first layer that is sure, shape (n,); `last` where none before it is."""
    asked = sure[:, :last].copy()
    asked[:, -1] = True
    first: Layers = (1 + asked.argmax(axis=1)).astype(np.int16)
    return first


def confident(stream: Stream, threshold: float) -> Sure:
    """Return where C_i ≥ α."""
    enough: Sure = stream.confidence.astype(np.float64) >= threshold  # NumPy would round α to float32
    return enough


def certain(stream: Stream, entropy: float) -> Sure:
    """Return where the entropy is below S."""
    if stream.entropy is None:
        raise InputError(
            "a cascade by entropy needs a trace with entropies: with more than two classes they do not "
            "follow from the confidence (precompute or import them)"
        )
    low: Sure = stream.entropy.astype(np.float64) < entropy
    return low


def patient(stream: Stream, patience: int) -> Sure:
    """Return where so many exits in a row have confirmed the one before them."""
    same = stream.prediction[:, 1:] == stream.prediction[:, :-1]
    confirmed = np.zeros(stream.prediction.shape, dtype=np.int64)
    for i in range(1, stream.layers):
        confirmed[:, i] = np.where(same[:, i - 1], confirmed[:, i - 1] + 1, 0)
    enough: Sure = confirmed >= patience
    return enough


@dataclass(frozen=True)
class _Cascade(Policy):
    """A cascade that stays on the device."""

    every_exit: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False
    varies: ClassVar[bool] = True
    offloads: ClassVar[bool] = False

    @property
    def last_layer(self) -> int | None:
        """The layer that answers at the latest; None: L."""
        return getattr(self, "last", None)

    def sure(self, stream: Stream) -> Sure:
        """Return which exits may answer, shape (n, L)."""
        raise NotImplementedError

    def by_sample(self, stream: Stream) -> Layers:
        return first_sure(self.sure(stream), self.last_layer or stream.layers)

    def deepest(self, layers: int, arms: int) -> int:
        return self.last_layer or layers

    def _marked(self, setting: str) -> str:
        upto = "" if self.last_layer is None else f", ≤ {self.last_layer}"
        return f"{self.name} ({setting}{upto})"


@dataclass(frozen=True)
class ElasticBERT(_Cascade):
    """ElasticBERT's dynamic use: the first exit that is sure answers, else the last.

    Sure is, by exactly one of three measures: confidence C_i ≥ `threshold`; entropy below `entropy`; or
    `patience` confirmations in a row. (The code released with SplitEE answers one layer late: see
    `splitee.policies.released.ElasticBERT`.)

    Parameters
    ----------
    threshold : float, optional
        α.
    entropy : float, optional
        S, in nats.
    patience : int, optional
        How many exits in a row must agree with the one before them.
    last : int, optional
        The layer that answers at the latest, where the device does not hold all. Default: L.

    References
    ----------
    Liu et al. (2022): Towards Efficient NLP: A Standard Evaluation and A Strong Baseline, section 3; arXiv
    2110.07038.

    Examples
    --------
    >>> ElasticBERT(0.9).label, ElasticBERT(entropy=0.3, last=6).label
    ('ElasticBERT (C ≥ 0.9)', 'ElasticBERT (H < 0.3, ≤ 6)')
    """

    threshold: float | None = None
    entropy: float | None = None
    patience: int | None = None
    last: int | None = None
    name: ClassVar[str] = "ElasticBERT"

    def __post_init__(self) -> None:
        given = [value is not None for value in (self.threshold, self.entropy, self.patience)]
        if sum(given) != 1:
            raise InputError("ElasticBERT takes exactly one of threshold, entropy and patience")
        if self.threshold is not None:
            check_threshold(self.threshold)
        if self.entropy is not None:
            _check_entropy(self.entropy)
        if self.patience is not None:
            _check_patience(self.patience)
        if self.last is not None:
            check_layer(self.last)

    @property
    def label(self) -> str:  # noqa: D102
        if self.threshold is not None:
            return self._marked(f"C ≥ {self.threshold:g}")
        if self.entropy is not None:
            return self._marked(f"H < {self.entropy:g}")
        return self._marked(f"patience {self.patience}")

    def sure(self, stream: Stream) -> Sure:  # noqa: D102
        if self.threshold is not None:
            return confident(stream, self.threshold)
        if self.entropy is not None:
            return certain(stream, self.entropy)
        assert self.patience is not None
        return patient(stream, self.patience)


@dataclass(frozen=True)
class DeeBERT(_Cascade):
    """The first exit whose entropy is below S answers, else the last.

    H_i = −Σ_c p_c·ln p_c < S. (DeeBERT trains in two stages; on a trace that difference is the trace's.)

    Parameters
    ----------
    entropy : float
        S, in nats.
    last : int, optional
        The layer that answers at the latest. Default: L.

    References
    ----------
    Xin et al. (2020): DeeBERT: Dynamic Early Exiting for Accelerating BERT Inference, algorithm 1; arXiv
    2004.12993.

    Examples
    --------
    >>> DeeBERT(0.3).label
    'DeeBERT (H < 0.3)'
    """

    entropy: float
    last: int | None = None
    name: ClassVar[str] = "DeeBERT"

    def __post_init__(self) -> None:
        _check_entropy(self.entropy)
        if self.last is not None:
            check_layer(self.last)

    @property
    def label(self) -> str:  # noqa: D102
        return self._marked(f"H < {self.entropy:g}")

    def sure(self, stream: Stream) -> Sure:  # noqa: D102
        return certain(stream, self.entropy)


@dataclass(frozen=True)
class PABEE(_Cascade):
    """The first exit that `patience` exits in a row, itself the last of them, have confirmed answers.

    cnt_i = cnt_{i−1} + 1 if exit i answers as exit i − 1 did, else 0; exit at cnt_i = patience: at layer
    patience + 1 at the earliest.

    Parameters
    ----------
    patience : int
        At least 1.
    last : int, optional
        The layer that answers at the latest. Default: L.

    References
    ----------
    Zhou et al. (2020): BERT Loses Patience: Fast and Robust Inference with Early Exit, section 3.2; arXiv
    2006.04152.

    Examples
    --------
    >>> PABEE(3).label
    'PABEE (patience 3)'
    """

    patience: int
    last: int | None = None
    name: ClassVar[str] = "PABEE"

    def __post_init__(self) -> None:
        _check_patience(self.patience)
        if self.last is not None:
            check_layer(self.last)

    @property
    def label(self) -> str:  # noqa: D102
        return self._marked(f"patience {self.patience}")

    def sure(self, stream: Stream) -> Sure:  # noqa: D102
        return patient(stream, self.patience)


@dataclass(frozen=True)
class CascadeSplit(AtLayer):
    """Answer at the first sure exit up to a layer; what is unsure there too is offloaded.

    Stops at the first i ≤ layer with C_i ≥ α, else at the layer, and offloads from there unless it is L.

    Parameters
    ----------
    layer : int
        1-based.
    threshold : float
        α.

    Examples
    --------
    >>> CascadeSplit(4, threshold=0.9).label
    'cascade split 4'
    """

    threshold: float
    name: ClassVar[str] = "cascade split"
    every_exit: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False
    varies: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_threshold(self.threshold)

    def by_sample(self, stream: Stream) -> Layers:  # noqa: D102
        return first_sure(confident(stream, self.threshold), self.layer)


def _check_entropy(entropy: float) -> None:
    if not (isinstance(entropy, Real) and 0 <= entropy < math.inf):
        raise InputError(f"entropy is {entropy!r}: give nats, at least 0")


def _check_patience(patience: int) -> None:
    if isinstance(patience, bool) or not isinstance(patience, Integral) or patience < 1:
        raise InputError(f"patience is {patience!r}: give a whole number, at least 1")
