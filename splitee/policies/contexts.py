"""A policy of its own for each bin of a context that is measured on the input before the model runs.

With edges e_1 < e_2 < … a sample whose context is x belongs to bin b, the number of edges that are at most x.
The samples of a bin are a stream of their own: bin b's policy decides them, and learns from them only. So
every policy of the package becomes one that knows how noisy or how sharp an image is, or how long a text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.costs import CostModel
from splitee.policies.base import BySample, Policy, sends_input
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Orders, Table, frozen
from splitee.system.world import World
from splitee.trace import Trace

CONTEXTS = ("sharpness", "noise", "length")  # columns of a trace


@dataclass(frozen=True)
class ByContext(Policy):
    """One policy for each bin of a context.

    It exists in replays with constant costs only: a live device does not measure its inputs yet, and a clock
    or delays would join the streams of the bins.

    Parameters
    ----------
    policy : Policy or sequence of Policy
        Each bin gets this policy, with a state of its own; or one for each of the len(edges) + 1 bins.
    by : {"sharpness", "noise", "length"}
        The column of the trace that is the context; see `splitee.data.measures`.
    edges : sequence of float
        In rising order. Choose them on other data than those that the policy is judged on.

    See Also
    --------
    splitee.policies.arms.tables.TableUCB : learners of the layer by the first exit's confidence, or a link's
        rate.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.Trace([[0.6, 0.9]] * 2, [[0, 1]] * 2, [1, 1], noise=[1.0, 30.0])
    >>> policy = ByContext([splitee.FixedExit(1), splitee.FixedExit(2)], "noise", [10.0])
    >>> policy.label, splitee.replay(trace, policy, orders=[[0, 1]]).split.tolist()
    ('exit 1 / exit 2 by noise', [[1, 2]])
    """

    policy: Policy | tuple[Policy, ...]
    by: str
    edges: tuple[float, ...]
    varies: ClassVar[bool] = True
    in_time: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.by, str) or self.by not in CONTEXTS:
            raise InputError(f"by is {self.by!r}: choose {', '.join(CONTEXTS)}")
        edges = tuple(self.edges) if isinstance(self.edges, Sequence | np.ndarray) else ()
        if not edges or not all(_finite(edge) for edge in edges) or list(edges) != sorted(set(edges)):
            raise InputError(f"edges is {self.edges!r}: give at least one finite number, in rising order")
        object.__setattr__(self, "edges", tuple(float(edge) for edge in edges))
        if not isinstance(self.policy, Policy):
            object.__setattr__(self, "policy", tuple(self.policy))
        for one in self.each:
            if not isinstance(one, Policy):
                raise InputError(f"{one!r} is no policy of the package, which alone can have bins")
        if len(self.each) != len(edges) + 1:
            raise InputError(f"there are {len(self.each)} policies for {len(edges) + 1} bins: give as many")

    @property
    def each(self) -> tuple[Policy, ...]:
        """The policy of each bin."""
        one = self.policy
        return one if isinstance(one, tuple) else (one,) * (len(self.edges) + 1)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{' / '.join(dict.fromkeys(one.label for one in self.each))} by {self.by}"

    @property
    def learns(self) -> bool:  # type: ignore[override]  # noqa: D102
        return any(one.learns for one in self.each)

    @property
    def has_arms(self) -> bool:  # type: ignore[override]  # noqa: D102
        return False

    @property
    def every_exit(self) -> bool:  # type: ignore[override]  # noqa: D102
        return any(one.every_exit for one in self.each)

    @property
    def sees_final(self) -> bool:  # type: ignore[override]  # noqa: D102
        return any(one.sees_final for one in self.each)

    @property
    def hindsight(self) -> bool:  # type: ignore[override]  # noqa: D102
        return any(one.hindsight for one in self.each)

    @property
    def buys_labels(self) -> bool:  # noqa: D102
        return any(one.buys_labels for one in self.each)

    @property
    def send_input(self) -> bool:
        """Whether a bin's policy may offload the input."""
        return any(sends_input(one) for one in self.each)

    def deepest(self, layers: int, arms: int) -> int:  # noqa: D102
        return max(one.deepest(layers, arms) for one in self.each)

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        if getattr(trace, self.by) is None:
            raise InputError(
                f"trace {trace.name} has no column {self.by}, which {self.label} reads: splitee precompute "
                "--images stores sharpness and noise"
            )
        for one in self.each:
            one.check_trace(trace)

    def priced(self, costs: CostModel) -> CostModel:  # noqa: D102
        found = [one.priced(costs) for one in self.each]
        if any(one != found[0] for one in found):
            raise InputError(f"the policies of {self.label} are charged differently: give others")
        return found[0]

    def bins(self, table: Table) -> NDArray[np.intp]:
        """Return the bin of each sample, shape (n,)."""
        values = getattr(table, self.by)
        assert values is not None
        found: NDArray[np.intp] = np.searchsorted(
            np.array(self.edges), values.astype(np.float64), side="right"
        )
        return found

    def by_sample(self, table: Table) -> BySample | None:  # noqa: D102
        bins, found = self.bins(table), [one.by_sample(table) for one in self.each]
        decided = [one for one in found if one is not None]
        if len(decided) < len(found):
            return None
        actions, first = _joined([known for _, known in decided])
        action = np.empty(table.samples, dtype=actions.dtype)
        for b, (own, _) in enumerate(decided):
            action[bins == b] = own[bins == b] + first[b]
        return action, actions

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        if world is not None:
            raise InputError(f"{self.label} has a stream per bin, which a delay would join: leave it out")
        if not self.learns:
            return super().play(table, order, rngs, world)
        bins, parts = self.bins(table), []
        for r, rng in enumerate(rngs):
            where = bins[order[:, r]]
            for b, (one, own) in enumerate(zip(self.each, rng.spawn(len(self.each)), strict=True)):
                rounds = np.flatnonzero(where == b)
                if len(rounds):
                    played = one.play(table, frozen(order[rounds, r][:, None]), [own], None)
                    parts.append((r, rounds, played))
        actions, first = _joined([played.actions for _, _, played in parts])
        action = room_for(order.shape, actions)
        for (r, rounds, played), offset in zip(parts, first, strict=True):
            action[rounds, r] = played.action[:, 0].astype(np.int64) + offset
        return Played(action, actions)

    def to_dict(self) -> dict[str, Any]:  # noqa: D102
        return {
            "policy": type(self).__name__,
            "each": [one.to_dict() for one in self.each],
            "by": self.by,
            "edges": list(self.edges),
        }


def _joined(given: Sequence[Actions]) -> tuple[Actions, list[int]]:
    """Return actions that hold all of these, and where those of each begin."""
    known: list[Actions] = []
    which = []
    for one in given:
        at = next((k for k, other in enumerate(known) if _same(one, other)), len(known))
        known += [one] if at == len(known) else []
        which.append(at)
    if len(known) > 1 and any(one.exits is not None for one in known):
        raise InputError("a policy that skips exits has bins beside policies of its kind only")
    starts = np.cumsum([0, *(len(one) for one in known)])
    joined = known[0]
    for one in known[1:]:
        joined = joined.then(one)
    if len(known) > 1 and any(one.label is not None for one in known):
        paid = [np.zeros(len(one)) if one.label is None else one.label for one in known]
        joined = Actions(joined.layer, joined.offloaded, joined.evaluated, label=np.concatenate(paid))
    return joined, [int(starts[at]) for at in which]


def _same(one: Actions, other: Actions) -> bool:
    pairs = (
        (getattr(one, name), getattr(other, name)) for name in ("layer", "offloaded", "evaluated", "label")
    )
    return one.exits == other.exits and all(
        np.array_equal(a, b) if a is not None and b is not None else a is b for a, b in pairs
    )


def _finite(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(float(value))
