"""Cascades: exits are evaluated one after the other, and the first that is sure enough answers.

Every exit that is evaluated is paid for: a sample that stops at layer i costs (λ₁ + λ₂)·i. All but
`CascadeSplit` stay on the device, where the last layer answers in any case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.numbers import check_whole, items, number, share, whole
from splitee.policies.base import BySample, Policy, SplitPolicy
from splitee.policies.fixed import exit_actions
from splitee.policies.loop import ANSWER, OFFLOAD, Context, DeviceLoop, Feedback
from splitee.policies.problem import Layers, Problem, Table, Threshold, as_alpha, by_exit
from splitee.policies.rules import TOLERANCE, Confidence, Entropy, Memory, Patience, Rule, Said
from splitee.policies.setting import Name, Setting


def first_sure(rule: Rule, table: Table, last: int) -> Layers:
    """Return the first layer at which the rule lets each sample stop, at the latest `last`, shape (n,)."""
    rule.check(table.layers)
    first = np.full(table.samples, last, dtype=np.int16)
    memory: Memory | None = None
    entropy = table.entropy if isinstance(rule, Entropy) else None
    for layer in range(1, last):
        said = Said(
            table.confidence[:, layer],
            table.prediction[:, layer],
            None if entropy is None else entropy[:, layer - 1],
            None if table.value is None else table.value[:, layer - 1],
        )
        sure, memory = rule.sure(layer, said, memory)
        first[sure & (first == last)] = layer
    return first


class LiveCascade:
    """The device loop of a cascade.

    Parameters
    ----------
    name : str
    rule : Rule
    last : int or None
        Where every sample stops at the latest; None: the last exit of the device.
    alpha : float or None
        There, samples of a lower confidence are offloaded; None: none is.
    """

    def __init__(self, name: str, rule: Rule, last: int | None, alpha: float | None = None) -> None:
        self.name, self.rule, self.last = name, rule, last
        self.alpha = -np.inf if alpha is None else as_alpha(alpha)
        self.needs_entropy = isinstance(rule, Entropy)

    def start(self, problem: Problem, rng: np.random.Generator) -> None:
        """Begin a stream."""
        self.rule.check(problem.exits)
        self.end = problem.exits if self.last is None else self.last
        self.regresses = problem.classes == 0

    def begin(self, t: int, context: Context) -> int:
        """Evaluate exit 1 first."""
        self.memory: Memory | None = None
        return 1

    def decide(self, exit: int, confidence: float, prediction: float, entropy: float | None = None) -> int:
        """Answer if the rule is sure, else go on; offload or answer at the end."""
        if exit == self.end:
            return OFFLOAD if np.float32(confidence) < self.alpha else ANSWER
        score = np.array([prediction], dtype=np.float32) if isinstance(prediction, float) else None
        said = Said(
            np.array([confidence], dtype=np.float32),
            np.array([0 if score is not None else prediction]),
            None if entropy is None else np.array([entropy], dtype=np.float32),
            score,
        )
        sure, self.memory = self.rule.sure(exit, said, self.memory)
        return ANSWER if sure[0] else exit + 1

    def learn(self, t: int, feedback: Feedback) -> None:
        """Learn nothing."""


@dataclass(frozen=True)
class _Cascade(Policy):
    """A cascade that stays on the device."""

    every_exit: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False
    varies: ClassVar[bool] = True

    @property
    def last_layer(self) -> int | None:
        """The layer that answers at the latest; None: L."""
        return getattr(self, "last", None)

    @property
    def rule(self) -> Rule:
        """When an exit may answer."""
        raise NotImplementedError

    def by_sample(self, table: Table) -> BySample:
        stops = first_sure(self.rule, table, self.last_layer or table.layers)
        return exit_actions(table, stops, self.every_exit)

    def live(self) -> DeviceLoop:
        return LiveCascade(self.label, self.rule, self.last_layer)

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
    threshold : float or sequence of float, optional
        α, or one for each exit but the last (see `splitee.trace.threshold.thresholds_for_budget`).
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

    threshold: Threshold | None = None
    entropy: float | None = None
    patience: int | None = None
    last: int | None = None
    name: ClassVar[str] = "ElasticBERT"

    def __post_init__(self) -> None:
        given = [value is not None for value in (self.threshold, self.entropy, self.patience)]
        if sum(given) != 1:
            raise InputError("ElasticBERT takes exactly one of threshold, entropy and patience")
        object.__setattr__(self, "threshold", by_exit(self.threshold))
        _check(self)

    @property
    def label(self) -> str:  # noqa: D102
        if self.threshold is not None:
            return self._marked(f"C ≥ {_listed(self.threshold)}")
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
class CascadeSplit(SplitPolicy):
    """Answer at the first sure exit up to a layer; offload what is not sure there either.

    Stops at the first i ≤ layer with C_i ≥ α_i, else at the layer, and offloads from there unless it is L.

    Parameters
    ----------
    layer : int
        1-based.
    threshold : float or sequence of float
        α, or one for each exit but the last.

    Examples
    --------
    >>> CascadeSplit(4, threshold=0.9).label
    'cascade split 4'
    """

    layer: int
    threshold: Threshold
    name: ClassVar[str] = "cascade split"
    every_exit: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False
    varies: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("layer", self.layer)
        object.__setattr__(self, "threshold", by_exit(self.threshold))

    @property
    def rule(self) -> Confidence:
        """When an exit may answer."""
        return Confidence(self.threshold)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} {self.layer}"

    def by_sample(self, table: Table) -> BySample:  # noqa: D102
        return self.split_at(table, first_sure(self.rule, table, self.layer))

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return self.layer

    def live(self) -> DeviceLoop:  # noqa: D102
        several = self.rule.threshold
        alpha = several[min(self.layer, len(several)) - 1] if isinstance(several, tuple) else several
        return LiveCascade(self.label, self.rule, self.layer, alpha)


def _listed(threshold: Threshold) -> str:
    """Return α, or the α of each exit; of many the first and the last."""
    each = [f"{one:.4g}" for one in (threshold if isinstance(threshold, tuple) else (threshold,))]
    return ", ".join(each) if len(each) <= 4 else f"{each[0]}, …, {each[-1]}"


def _check(cascade: _Cascade) -> None:
    """Raise InputError if a parameter is out of range; the rule checks its own."""
    _ = cascade.rule
    if cascade.last_layer is not None:
        check_whole("layer", cascade.last_layer)


def _alphas(text: str) -> float | tuple[float, ...]:
    alphas = tuple(share(part) for part in items(text))
    return alphas[0] if len(alphas) == 1 else alphas


def _nats(setting: Setting, text: str) -> float:
    entropy = number(text)
    if setting.classes is not None and entropy > math.log(setting.classes):
        most = math.log(setting.classes)
        raise InputError(
            f"an entropy over {setting.classes} classes is at most ln {setting.classes} = {most:.3f} nats: "
            "give a lower threshold"
        )
    return entropy


NAMES = (
    Name("elasticbert", lambda s: ElasticBERT(s.threshold, last=s.last)),
    Name("pabee", lambda s: PABEE(max(1, s.arms // 2), last=s.last)),  # 6 of 12, as its authors have it
    Name("cascade-splits", lambda s: [CascadeSplit(i, s.threshold) for i in range(1, s.arms + 1)]),
    Name("cascade-split:LAYER", lambda s, layer: CascadeSplit(s.layer(layer), s.threshold)),
    Name("elasticbert:ALPHA", lambda s, alpha: ElasticBERT(_alphas(alpha), last=s.last)),
    Name("deebert:NATS", lambda s, entropy: DeeBERT(_nats(s, entropy), last=s.last)),
    Name("pabee:PATIENCE", lambda s, patience: PABEE(whole(patience, 1), last=s.last)),
)
