"""Labels that a learner buys, of samples that it has audited: what they tell, and what they cost.

The loss of an exit is that it disagrees with the last exit. With the sample's label it is
[exit is wrong] − [last exit is wrong], which is −1, 0 or 1, and 0 where the two agree.
"""

from __future__ import annotations

import math
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined
from splitee._internal.numbers import check_whole
from splitee.policies.played import Actions
from splitee.system.world import World
from splitee.trace import Trace

LOSSES = ("disagreement", "error")
NO_LABELS = np.zeros(0, dtype=np.int32)


@inlined
def loss_of(prediction, label, s, i, bought):  # type: ignore[no-untyped-def]
    """Return the loss of exit i on sample s.

    It is 0 if the exit agrees with the last, else 1 or, if the label was bought, [exit i is wrong] − [the
    last is wrong].
    """
    own, last = prediction[s, i], prediction[s, 0]
    if own == last:
        return 0
    return np.int64(own != label[s]) - np.int64(last != label[s]) if bought else 1


def with_labels(actions: Actions, cost: float) -> Actions:
    """Return the actions, followed by the same with a label that is bought at a cost."""
    both = actions.then(actions)
    return replace(both, label=np.repeat([0.0, cost], len(actions)))


def check_labels(loss: object, labels: object, label_cost: Any) -> None:
    """Raise InputError unless these parameters of a learner are valid."""
    if loss not in LOSSES:
        raise InputError(f"loss is {loss!r}: choose {' or '.join(LOSSES)}")
    check_whole("labels", labels, least=0)
    valid = isinstance(label_cost, Real) and not isinstance(label_cost, bool)
    if not (valid and 0 <= float(label_cost) < math.inf):
        raise InputError(f"label_cost is {label_cost!r}: give a finite number, at least 0")


def check_trace(policy: Any, trace: Trace) -> None:
    """Raise InputError unless a policy that audits can play a trace."""
    check_answer(policy, 0 if trace.value is None else 0.0)
    if policy.buys_labels and trace.label is None:
        raise InputError(f"{policy.label} buys labels, and trace {trace.name} has none")


def check_answer(policy: Any, prediction: object) -> None:
    """Raise InputError if a prediction is the score of a regression."""
    if isinstance(prediction, float):
        raise InputError(f"{policy.name} needs classes: scores of a regression neither agree nor disagree")


def check_world(policy: Any, world: World | None) -> None:
    """Raise InputError if a policy buys labels in a System, where they have no cost."""
    if policy.buys_labels and world is not None and world.timed:
        raise InputError(f"{policy.label} buys labels, which cost nothing in a System: give a CostModel")


def bought_by(policy: Any) -> str:
    """Return what a policy's name says of the labels that it buys."""
    return f", error, ≤ {policy.labels} labels" if policy.buys_labels else ""
