"""What a policy of the package is: a frozen dataclass of parameters that plays the rounds of a replay."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.costs import CostModel
from splitee.policies.loop import ANSWER, METHODS, OFFLOAD, Context, DeviceLoop, Feedback
from splitee.policies.played import Actions, Played
from splitee.policies.problem import Floats, Layers, Orders, Problem, Table, Threshold, alpha_by_layer
from splitee.system.world import World
from splitee.trace import Trace

Worth = tuple[NDArray[np.float32], Floats, float, Floats, Floats]
BySample = tuple[NDArray[np.unsignedinteger], Actions]


@dataclass(frozen=True)
class Policy:
    """A policy of the package.

    A policy whose decision depends on the sample only defines `by_sample`. A learner defines `play`. Both
    define `live`, the same decisions as a device loop, unless no device could make them.
    """

    name: ClassVar[str] = ""
    every_exit: ClassVar[bool] = False  # evaluates all exits on the way
    sees_final: ClassVar[bool] = False  # reads confidences that no device could know
    has_arms: ClassVar[bool] = True  # its actions are splits, each with a mean reward
    learns: ClassVar[bool] = False  # its decisions depend on earlier samples
    varies: ClassVar[bool] = False  # each sample has its own layer, without learning
    in_time: ClassVar[bool] = True  # can be played in a System
    hindsight: ClassVar[bool] = False  # knows the stream beforehand: a bound that nobody can run

    @property
    def buys_labels(self) -> bool:
        """Whether it pays for labels of samples that it audits; no other policy is shown any."""
        return False

    def by_sample(self, table: Table) -> BySample | None:
        """Return the action for each sample of the trace, shape (n,), and the actions; None if they vary."""
        return None

    def play(
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        """Play the rounds of some repeats.

        Parameters
        ----------
        table : Table
        order : ndarray of int32, shape (m, repeats)
        rngs : sequence of Generator
            One per repeat.
        world : World, optional
            When feedback arrives, and what it says of costs. Default: at once, and costs are the table's.
        """
        decided = self.by_sample(table)
        assert decided is not None, f"{type(self).__name__} defines neither by_sample nor play"
        action, actions = decided
        return Played(action[order], actions)

    def live(self) -> DeviceLoop:
        """Return the policy as a device loop, which decides sample by sample."""
        raise InputError(f"{self.label} cannot run on a device: it only exists in a replay")

    def check_trace(self, trace: Trace) -> None:
        """Raise InputError if the policy cannot play this trace."""

    def deepest(self, layers: int, arms: int) -> int:
        """Return the deepest layer that the device must hold, of a trace of L layers and a device of m."""
        return arms

    def priced(self, costs: CostModel) -> CostModel:
        """Return the costs that this policy reports: those of the call."""
        return costs

    def placed(self, world: World) -> World:
        """Return the world of a System that this policy meets: that of the call."""
        return world

    @property
    def label(self) -> str:
        """The name in tables."""
        return self.name

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters in plain types, for a manifest."""
        shown = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        shown = {k: v.item() if isinstance(v, np.generic) else v for k, v in shown.items()}
        return {"policy": type(self).__name__, **shown}


class SplitPolicy(Policy):
    """A policy that splits at a layer: the device answers there if C_i ≥ α or i = L, else it offloads.

    Subclasses have `threshold` (α); those that may offload the input have `send_input`.
    """

    threshold: Threshold

    @property
    def first(self) -> int:
        """The lowest arm: 0 if the input may be offloaded, else 1."""
        return 0 if sends_input(self) else 1

    def worth(self, table: Table) -> Worth:
        """Return what `splitee.policies.problem.reward` takes for this policy."""
        return table.worth(self.threshold, self.every_exit)

    def split_at(self, table: Table, layer: Layers) -> BySample:
        """Return the action of each sample that is split at its `layer`, shape (n,)."""
        alpha = alpha_by_layer(self.threshold, table.layers)
        return split_actions(table, layer, alpha, self.every_exit)


def split_actions(table: Table, layer: Layers, alpha: Floats, every_exit: bool) -> BySample:
    """Return the action of each sample at its layer: offload if its confidence is below α of that layer."""
    actions = Actions.of_splits(table.layers, every_exit)
    own = table.confidence[np.arange(table.samples), layer].astype(np.float64)
    action = np.where(own < alpha[layer], layer + table.layers + 1, layer)
    return action.astype(actions.dtype), actions


class SplitLearner:
    """The device loop of a learner that splits: it chooses a layer, α decides, and it learns.

    Parameters
    ----------
    policy : SplitPolicy
    """

    def __init__(self, policy: Any) -> None:
        if policy.sees_final:
            raise InputError(f"{policy.label} reads what no device knows, so it cannot run on one")
        self.policy, self.name, self.threshold = policy, policy.label, policy.threshold

    def start(self, problem: Problem, rng: np.random.Generator) -> None:
        """Begin a stream."""
        self.problem, self.rng = problem, rng
        if self.policy.first == 0:
            problem.costs.offload_by_layer(problem.device_exits, send_input=True)
        alpha, mu, gamma, offload = problem.worth(self.threshold, self.policy.every_exit)
        self.worth = alpha, mu, gamma, offload  # before feedback: constant costs, or constants near them
        self.early: dict[int, Feedback] = {}  # of rounds after one whose feedback has not arrived
        self.taken = 0
        self.begin_stream()

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate."""
        self.split = self.choose(t)
        return min(1, self.split) if self.policy.every_exit else self.split

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        """Go on to the split, and answer there if the exit is sure."""
        if exit < self.split:
            return exit + 1
        return OFFLOAD if np.float32(confidence) < self.worth[0][exit] else ANSWER

    def learn(self, t: int, feedback: Feedback) -> None:
        """Learn from what was evaluated, as in a replay: in the order of the rounds."""
        self.early[t] = feedback
        while (following := self.early.pop(self.taken + 1, None)) is not None:
            self.taken += 1
            self._take_in(following)

    def _take_in(self, feedback: Feedback) -> None:
        if feedback.device_costs is not None and feedback.offload_costs is not None:
            self.worth[2][:] = feedback.device_costs[1 if self.policy.every_exit else 0]
            self.worth[3][0] = feedback.offload_costs
        seen = np.zeros((1, self.problem.exits + 1), dtype=np.float32)
        known = True
        if feedback.offloaded:
            if feedback.cloud_confidence is not None:
                seen[0, 0] = feedback.cloud_confidence
            elif feedback.exits:  # the answer was lost, and the device's own is what the arm has brought
                seen[0, 0], known = feedback.confidences[-1], False
            elif feedback.computed_late is not None:
                seen[0, 0], known = feedback.computed_late[1], False
            else:
                return
        elif feedback.layer == self.problem.exits and not self.problem.other_cloud:
            seen[0, 0] = feedback.confidences[-1]
        else:
            known = False
        seen[0, list(feedback.exits)] = feedback.confidences
        self.update(seen, feedback.layer, known)

    def begin_stream(self) -> None:
        """Make the state afresh."""
        raise NotImplementedError

    def choose(self, t: int) -> int:
        """Return the layer to split at."""
        raise NotImplementedError

    def update(self, seen: NDArray[np.float32], split: int, known: bool) -> None:
        """Learn from confidences, shape (1, L + 1), 0 where none was seen; C_L (column 0) may be `known`.

        `worth` then holds the costs of this sample.
        """
        raise NotImplementedError


AnyPolicy = Policy | DeviceLoop


def sends_input(policy: object) -> bool:
    """Whether a policy says that it may offload the input."""
    return bool(getattr(policy, "send_input", False))


def check_switch(name: str, value: object) -> None:
    """Raise InputError unless `value` is True or False: a misplaced argument would pass for one."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} is {value!r}: give True or False")


def check_policy(name: str, policy: object) -> None:
    """Raise InputError unless this is a policy of the package or a custom one."""
    if isinstance(policy, type):
        raise InputError(f"policy {name} is a class: make an instance, such as {policy.__name__}(...)")
    if isinstance(policy, Policy):
        return
    if lacking := [method for method in METHODS if not hasattr(policy, method)]:
        raise InputError(
            f"policy {name} ({type(policy).__name__}) has no {' and no '.join(lacking)}: "
            f"a policy has {', '.join(METHODS)}"
        )


def display_name(policy: AnyPolicy) -> str:
    """Return the name of a policy in tables."""
    if isinstance(policy, Policy):
        return policy.label
    return str(getattr(policy, "name", type(policy).__name__))


def as_dict(policy: AnyPolicy) -> dict[str, Any]:
    """Describe a policy in plain types; a custom one by its simple public attributes."""
    if isinstance(policy, Policy):
        return policy.to_dict()
    simple = (bool, int, float, str, type(None))
    kept = {
        k: v
        for k, v in getattr(policy, "__dict__", {}).items()
        if not k.startswith("_") and isinstance(v, simple)
    }
    return {"policy": type(policy).__name__, **kept}
