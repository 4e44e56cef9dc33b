"""UEE-UCB: the best exit without labels, if a deeper exit is right wherever a shallower one is.

An arm j is an exit that answers all samples. Under *strong dominance* (where exit 1 is right, exit j is too),

    P(exit 1 wrong) − P(exit j wrong) = P(exit 1 and exit j disagree) =: p_j,

so that errors can be compared without labels. Stopping at j shows the answers of exits 1..j. With N_j
samples on which both were seen, D_j disagreements, and costs c_j, round t plays, the lowest on ties,

    argmax_j  D_j/N_j − (c_j − c_1) + sqrt(a·ln t)/sqrt(N_j),

an arm with N_j = 0 first. Where dominance fails (exit 1 right and exit j wrong), a disagreement counts *for*
the deeper exit: on the authors' IMDb matrices of 4, 6 and 8 exits it fails on 14, 23 and 42 % of the samples.

In the paper c_j = j/L, and all exits are on one machine. Ours: c_j = μ·γ_j, and one arm more, number
m + 1, evaluates exit 1 and offloads (c = μ·(γ_1 + o)): the cloud's answer is then compared with exit 1's.
Offloading the input itself is no arm, since it shows no disagreement. γ and o are means over the samples
taken in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined, kernel
from splitee.policies.base import check_switch
from splitee.policies.loop import ANSWER, OFFLOAD, Context
from splitee.policies.problem import Orders, Table
from splitee.policies.setting import Name
from splitee.policies.thresholds.device import (
    LiveLearner,
    Seen,
    ThresholdLearner,
    check_at_least,
    is_known,
)
from splitee.policies.ucb import logarithms
from splitee.system.world import World, act_at, begin_round, new_lane, offload_cost, taken_in

SPENT, SHOWN, DISAGREED, WIDTH = range(4)  # of `state`


@inlined
def choose(weight, mu, layers, state, samples):  # type: ignore[no-untyped-def]
    """Return the arm of the greatest index, the lowest on ties; see this module.

    Parameters
    ----------
    weight : float
        sqrt(a·ln t).
    mu : float
    layers : int
        c_j is j/layers; 0: μ times the mean of what was spent.
    state : float64 array, shape (4, arms + 1)
        By arm from 1: Σ(γ_j − γ_1), or Σo of the last; N; D; 1/sqrt(N).
    samples : float
        Samples taken in.
    """
    best, greatest = 1, -math.inf
    for j in range(1, state.shape[1]):
        if state[SHOWN, j] == 0.0:
            return j
        more = (j - 1) / layers if layers > 0 else mu * (state[SPENT, j] / samples)
        index = state[DISAGREED, j] / state[SHOWN, j] - more + weight * state[WIDTH, j]
        if index > greatest:
            best, greatest = j, index
    return best


@inlined
def learn(cloud, prediction, s, split, known, state):  # type: ignore[no-untyped-def]
    """Compare what sample s has shown with exit 1.

    Parameters
    ----------
    cloud : int
        The arm that offloads; 0 if there is none.
    prediction : int32 array, shape (n, L + 1)
    s, split : int
    known : bool
        Whether the cloud's answer was seen.
    state
        See `choose`.
    """
    for j in range(1, split + 1):
        state[SHOWN, j] += 1.0
        state[DISAGREED, j] += 1.0 if prediction[s, j] != prediction[s, 1] else 0.0
        state[WIDTH, j] = 1.0 / math.sqrt(state[SHOWN, j])
    if cloud > 0 and known:
        state[SHOWN, cloud] += 1.0
        state[DISAGREED, cloud] += 1.0 if prediction[s, 0] != prediction[s, 1] else 0.0
        state[WIDTH, cloud] = 1.0 / math.sqrt(state[SHOWN, cloud])


@kernel
def play(  # type: ignore[no-untyped-def]
    cloud, arms, layers, weights, mu, other_cloud, prediction, world, order, r, action
):
    """Play all rounds of repeat r.

    Parameters
    ----------
    cloud, layers, mu, prediction
        See `choose` and `learn`.
    arms : int
        The deepest exit that answers.
    weights : float64 array, shape (rounds,)
        sqrt(a·ln t).
    other_cloud : bool
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer, plus L + 1 if it offloads.
    """
    rounds, columns = order.shape[0], world.device.shape[2]
    state = np.zeros((4, (cloud if cloud > 0 else arms) + 1))
    lane, taken = new_lane(rounds), 0
    for t in range(rounds):
        s = order[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            u, split = order[taken, r], np.int64(action[taken, r])
            offloaded = split >= columns
            split, k = split - columns if offloaded else split, world.kind[u]
            for j in range(2, arms + 1):
                state[SPENT, j] += world.device[1, k, j] - world.device[1, k, 1]
            if cloud > 0:
                if offloaded:
                    state[SPENT, cloud] += lane.paid[taken]
                else:
                    state[SPENT, cloud] += offload_cost(world, u, k, 1, lane.rate[taken])
            known = is_known(lane, taken, offloaded, split, columns - 1, other_cloud)
            learn(cloud, prediction, u, split, known, state)
            taken += 1
        i = choose(weights[t], mu, layers, state, np.float64(taken))
        offloads = i == cloud
        i = 1 if offloads else i
        action[t, r] = i + columns if offloads else i
        k = world.kind[s]
        act_at(world, lane, t, s, start, taken, i, 1, offloads)


@dataclass(frozen=True)
class UEEUCB(ThresholdLearner):
    """UEE-UCB: one exit for all samples, chosen by how often it disagrees with exit 1, and by its cost.

    Parameters
    ----------
    exploration : float
        a ≥ 0; 1 in the paper.
    offload : bool
        Whether evaluating exit 1 and offloading is an arm.
    released : bool
        As published and released: the cost of exit j is j/L, and nothing is offloaded. (There m = L.)

    References
    ----------
    UEE-UCB: arXiv 2209.09480. The abstract was read; the index is that of the released code.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.load_trace("rte_validation")
    >>> learner = UEEUCB()
    >>> learner.label, splitee.replay(trace, learner, repeats=1).split.shape
    ('UEE-UCB', (1, 277))
    """

    exploration: float = 1.0
    offload: bool = True
    released: bool = False
    name: ClassVar[str] = "UEE-UCB"
    every_exit: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_at_least("exploration", self.exploration)
        check_switch("offload", self.offload)
        check_switch("released", self.released)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.name} (as released)" if self.released else self.name

    def options(self, layers: int, arms: int) -> tuple[int, int, int]:
        """Return the arm that offloads (or 0), the deepest exit, and L if costs are layers / L (or 0)."""
        if self.released:
            return 0, arms, layers
        return (arms + 1 if self.offload and layers > 1 else 0), arms, 0

    def play_one(  # noqa: D102
        self,
        table: Table,
        world: World,
        order: Orders,
        r: int,
        rng: np.random.Generator,
        action: NDArray[np.unsignedinteger],
    ) -> None:
        weights = np.sqrt(float(self.exploration) * logarithms(len(order)))
        options = self.options(table.layers, table.arms)
        play(*options, weights, table.mu, table.other_cloud, table.prediction, world, order, r, action)

    def live(self) -> LiveUEEUCB:  # noqa: D102
        return LiveUEEUCB(self)


class LiveUEEUCB(LiveLearner):
    """UEE-UCB on a device, sample by sample."""

    policy: UEEUCB

    def begin_stream(self) -> None:  # noqa: D102
        options = self.policy.options(self.problem.exits, self.problem.device_exits)
        self.cloud, self.arms, self.layers = options
        self.state = np.zeros((4, (self.cloud or self.arms) + 1))

    def begin(self, t: int, context: Context) -> int:  # noqa: D102
        weight = math.sqrt(float(self.policy.exploration) * math.log(t))
        self.arm = choose(weight, self.mu, self.layers, self.state, float(self.taken))
        return 1

    def decide(self, exit: int, confidence: float, prediction: int) -> int:  # noqa: D102
        if self.arm == self.cloud:
            return OFFLOAD
        return ANSWER if exit == self.arm else exit + 1

    def update(self, t: int, seen: Seen) -> None:  # noqa: D102
        self.state[SPENT, 2 : self.arms + 1] += seen.device[2 : self.arms + 1] - seen.device[1]
        if self.cloud:
            self.state[SPENT, self.cloud] += seen.offload[1]
        learn(self.cloud, seen.prediction, 0, seen.split, seen.known, self.state)


NAMES = (
    Name("uee-ucb", lambda s: UEEUCB()),
    Name("uee-ucb-released", lambda s: UEEUCB(released=True)),
)
