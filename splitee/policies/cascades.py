"""Cascades: exits are asked one after the other, and the first that is sure enough answers.

Every exit that is evaluated is paid: a sample that stops at layer i costs (λ₁ + λ₂)·i. All but `CascadeSplit`
stay on the device, where the last layer answers whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.policies.base import Layers, Policy, Stream, check_layer, check_threshold
from splitee.policies.fixed import AtLayer
from splitee.policies.rules import TOLERANCE, Confidence, Entropy, Memory, Patience, Rule, Said


def first_sure(rule: Rule, stream: Stream, last: int) -> Layers:
    """Return the first layer where the rule lets each sample go, shape (n,); `last` where none before it."""
    first = np.full(len(stream.far), last, dtype=np.int16)
    memory: Memory | None = None
    for layer in range(1, last):
        sure, memory = rule.sure(layer, _said(stream, layer), memory)
        first[sure & (first == last)] = layer
    return first


def _said(stream: Stream, layer: int) -> Said:
    def column(matrix: NDArray[Any] | None) -> Any:
        return None if matrix is None else matrix[:, layer - 1]

    return Said(*map(column, (stream.confidence, stream.prediction, stream.entropy, stream.value)))


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

    @property
    def rule(self) -> Rule:
        """When an exit may answer."""
        raise NotImplementedError

    def by_sample(self, stream: Stream) -> Layers:
        return first_sure(self.rule, stream, self.last_layer or stream.layers)

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
        _check(self)

    @property
    def label(self) -> str:  # noqa: D102
        if self.threshold is not None:
            return self._marked(f"C ≥ {self.threshold:g}")
        if self.entropy is not None:
            return self._marked(f"H < {self.entropy:g}")
        return self._marked(f"patience {self.patience}")

    @property
    def rule(self) -> Rule:  # noqa: D102
        if self.threshold is not None:
            return Confidence(self.threshold)
        if self.entropy is not None:
            return Entropy(self.entropy)
        assert self.patience is not None
        return Patience(self.patience)


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
        _check(self)

    @property
    def label(self) -> str:  # noqa: D102
        return self._marked(f"H < {self.entropy:g}")

    @property
    def rule(self) -> Rule:  # noqa: D102
        return Entropy(self.entropy)


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
    tolerance : float
        Where the model regresses: scores nearer than this agree.

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
    tolerance: float = TOLERANCE
    name: ClassVar[str] = "PABEE"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def label(self) -> str:  # noqa: D102
        return self._marked(f"patience {self.patience}")

    @property
    def rule(self) -> Rule:  # noqa: D102
        return Patience(self.patience, self.tolerance)


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
        return first_sure(Confidence(self.threshold), stream, self.layer)


def _check(cascade: _Cascade) -> None:
    """Raise InputError where a parameter can be none; the rule knows its own."""
    _ = cascade.rule
    if cascade.last_layer is not None:
        check_layer(cascade.last_layer)
