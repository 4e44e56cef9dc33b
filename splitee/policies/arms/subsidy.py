"""The cheapest arm that answers as the cloud does on all but a share ε of samples: bandits with cost subsidy.

The quality q_i of a split at layer i is the share of samples that it answers as the cloud would. What it
offloads counts as equal, so q_i = 1 − P(C_i ≥ α, P_i ≠ P_L). Only an audit shows it: the sample is run to
layer i and offloaded, however sure exit i is. A plain play of arm i shows nothing when the device answers.
Its cost is c_i = γ_i + o·P(C_i < α); the last factor is learned from every round that evaluates exit i;
before any it counts as 0. The cloud is the reference, and its quality, 1, is known. So are the qualities
and costs of layer L if the cloud runs the same model, and of offloading the input. With n audits of arm i,
and q̂ their mean, if

    n·kl(q̂, 1 − ε)  ≥  ln(K·n·(n + 1)/η),   K the number of arms that need audits,

the arm is *in* if q̂ ≥ 1 − ε, else *out*; before, it is undecided. Each decision is false with probability at
most η over all arms and times (Chernoff, and a union over arms and n).

- CS-ETC audits every arm `explore` times in turn, and then keeps to the cheapest arm that is not out.
- CS-UCB does the same, but chooses anew in every round, and audits round t with probability (K/t)^(1/3).
- PE audits the cheapest arm that is not out, and keeps to it once it is in.
- COF is PE with audits that evaluate every exit up to the deepest arm not out, and so teach of all arms.

If every arm is out, the deepest one is played. PE-CS first looks for the arm of the greatest quality; here
that is the cloud, whose quality is known, so it is PE. The methods were not read in full: what they do is
[memory] of their abstracts; audits, the bound on q̂ and the probability of an audit are [derived].

References
----------
Sinha, Sankararaman, Kazerouni, Avadhanula (2021): Multi-Armed Bandits with Cost Subsidy (CS-UCB, CS-ETC);
arXiv 2501.10290 (PE, PE-CS); arXiv 2605.07171 (COF).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined, kernel
from splitee._internal.numbers import check_share, check_whole, share
from splitee.policies.arms.glr import negative_entropy
from splitee.policies.arms.rounds import LiveArms, game_of
from splitee.policies.base import SplitPolicy, check_switch
from splitee.policies.loop import OFFLOAD, Context, Feedback
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table, check_threshold
from splitee.policies.setting import Name
from splitee.system.world import World, act, begin_round, new_lane, taken_in
from splitee.trace import Trace

ETC, UCB, PE, COF = range(4)
_RULES = {"CS-ETC": ETC, "CS-UCB": UCB, "PE": PE, "COF": COF}
AUDITS, EQUAL, SEEN, UNSURE = range(4)  # rows of a state, by arm
NONE, PLAIN, POOLED = range(3)  # audits of a round


class Aim(NamedTuple):
    """What is looked for, and what is known beforehand.

    Attributes
    ----------
    rule : int
    least, failure : float
        1 − ε and η.
    explore : int
    first : int
        0 if the input may be offloaded, else 1.
    audited : int
        K: the arms 1..K need audits.
    last : int
        L if it is an arm of known quality, else 0.
    gamma, offload : ndarray, shape (m + 1,)
        γ and o by layer; o the largest of any sample.
    """

    rule: int
    least: float
    failure: float
    explore: int
    first: int
    audited: int
    last: int
    gamma: Floats
    offload: Floats


@inlined
def standing(aim, state, i):  # type: ignore[no-untyped-def]
    """Return 1 if arm i is in, −1 if it is out, 0 if that is undecided."""
    n = state[AUDITS, i]
    if n == 0.0:
        return 0
    q, p = state[EQUAL, i] / n, aim.least
    divergence = negative_entropy(q) - q * math.log(p) - (1.0 - q) * math.log(1.0 - p)
    if n * divergence < math.log(aim.audited * n * (n + 1.0) / aim.failure):
        return 0
    return 1 if q >= p else -1


@inlined
def cheapest(aim, state):  # type: ignore[no-untyped-def]
    """Return the cheapest arm that is not out, the lowest on ties, and whether it is in."""
    best, at, is_in = math.inf, aim.audited, True
    if aim.first == 0:
        best, at = aim.offload[0], 0
    for i in range(1, aim.audited + 1):
        stands = standing(aim, state, i)
        if stands >= 0:
            share = state[UNSURE, i] / state[SEEN, i] if state[SEEN, i] > 0.0 else 0.0
            cost = aim.gamma[i] + aim.offload[i] * share
            if cost < best:
                best, at, is_in = cost, i, stands > 0
    if aim.last > 0 and aim.gamma[aim.last] < best:
        at, is_in = aim.last, True
    return at, is_in


@inlined
def choose(aim, t, coin, state, kept):  # type: ignore[no-untyped-def]
    """Return the arm of round t (from 0), and its audit: NONE, PLAIN or POOLED; `kept[0]` is kept to."""
    forced = aim.audited * aim.explore if aim.rule in (ETC, UCB) else 0
    if t < forced:
        return 1 + t % aim.audited, PLAIN
    if kept[0] >= 0:
        return kept[0], NONE
    at, is_in = cheapest(aim, state)
    if aim.rule == ETC:
        kept[0] = at
        return at, NONE
    if aim.rule == UCB:
        audits = 1 <= at <= aim.audited and coin < (aim.audited / (t + 1.0)) ** (1.0 / 3.0)
        return at, PLAIN if audits else NONE
    if is_in:
        kept[0] = at
        return at, NONE
    if aim.rule == PE:
        return at, PLAIN
    for i in range(aim.audited, at, -1):
        if standing(aim, state, i) >= 0:
            return i, POOLED
    return at, POOLED


@inlined
def learn(state, i, unsure, audited, agrees):  # type: ignore[no-untyped-def]
    """Learn of arm i that exit i was evaluated; `audited` if the answer of an audit came back."""
    state[SEEN, i] += 1.0
    if unsure:
        state[UNSURE, i] += 1.0
    if audited:
        state[AUDITS, i] += 1.0
        if unsure or agrees:
            state[EQUAL, i] += 1.0


@kernel
def play(aim, coins, game, every, world, order, r, state, kept, action):  # type: ignore[no-untyped-def]
    """Play all rounds of repeat r.

    Parameters
    ----------
    aim : Aim
    coins : float64 array, shape (rounds,)
        Uniform on [0, 1): whether a round is audited.
    game, every : Game
        With one exit evaluated, and with all on the way.
    world : World
    order : int32 array, shape (rounds, repeats)
    r : int
    state : float64 array, shape (4, L + 1)
        Audits and how many of them were equal; rounds that evaluated an exit and how many were unsure.
    kept : int64 array, shape (1,)
        −1, or the arm that is kept to.
    action : uint8 or uint16 array, shape (rounds, repeats)
        Filled in: the layer of the split, plus L + 1 if it offloads, plus 2·(L + 1) if all exits on the way
        were evaluated.
    """
    rounds, columns = order.shape[0], len(game.alpha)
    lane, taken, audits = new_lane(rounds), 0, np.zeros(rounds, np.uint8)
    for t in range(rounds):
        start = begin_round(world, lane, t, r, order[t, r])
        while taken_in(lane, t, start, taken):
            u, i = order[taken, r], np.int64(action[taken, r]) % columns
            back = audits[taken] != NONE and lane.lost[taken] == 0
            for j in range(1 if audits[taken] == POOLED else i, i + 1):
                if j > 0:
                    unsure = np.float64(game.confidence[u, j]) < game.alpha[j]
                    learn(state, j, unsure, back, game.prediction[u, j] == game.prediction[u, 0])
            taken += 1
        i, audit = choose(aim, t, coins[t], state, kept)
        s, audits[t] = order[t, r], audit
        k = world.kind[s]
        offloads = audit != NONE or np.float64(game.confidence[s, i]) < game.alpha[i]
        action[t, r] = (i + columns if offloads else i) + (2 * columns if audit == POOLED else 0)
        ms = every.ms[i, k] if audit == POOLED else game.ms[i, k]
        mj = every.mj[i, k] if audit == POOLED else game.mj[i, k]
        act(world, lane, t, s, start, taken, i, ms, mj, offloads)


@dataclass(frozen=True)
class CheapEnough(SplitPolicy):
    """The cheapest split whose answers differ from the cloud's on at most a share of samples.

    Parameters
    ----------
    threshold : float
        α.
    rule : {"CS-ETC", "CS-UCB", "PE", "COF"}
        How it looks for it; see this module.
    tolerance : float
        ε.
    failure : float
        η.
    explore : int
        Audits of each arm at first, of CS-ETC and CS-UCB; (T/K)^(2/3) in the paper [memory], T being the
        length of the stream, which is not known here.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too.

    See Also
    --------
    splitee.CertifiedSplit : learns the threshold too, and needs fewer audits.

    Examples
    --------
    >>> CheapEnough(0.9, "PE", tolerance=0.02).label
    'PE (ε = 0.02)'
    """

    threshold: float
    rule: str = "PE"
    tolerance: float = 0.02
    failure: float = 0.05
    explore: int = 250
    send_input: bool = False
    learns: ClassVar[bool] = True
    has_arms: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        if not isinstance(self.rule, str) or self.rule not in _RULES:
            raise InputError(f"rule is {self.rule!r}: choose {', '.join(_RULES)}")
        check_share("tolerance", self.tolerance, 1e-4, 0.5)
        check_share("failure", self.failure, 1e-12, 0.5)
        check_whole("explore", self.explore)
        check_switch("send_input", self.send_input)

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.rule} (ε = {self.tolerance:g})"

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        if trace.value is not None:
            raise InputError(f"{self.rule} needs classes: scores of a regression do not agree")

    def aim(self, layers: int, arms: int, other_cloud: bool, gamma: Floats, offload: Floats) -> Aim:
        """Return what is looked for, for costs of shapes (L + 1,) and (n, L + 1)."""
        last = layers if arms == layers and not other_cloud else 0
        chosen = _RULES[self.rule], 1.0 - self.tolerance, float(self.failure), int(self.explore)
        return Aim(*chosen, self.first, min(arms, layers - 1), last, gamma.copy(), offload.max(axis=0))

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        world = table.in_rounds(0) if world is None else world
        one, all_ = (Actions.of_splits(table.layers, every) for every in (False, True))
        actions = one.then(all_)
        action = room_for(order.shape, actions)
        game, every = (game_of(self, table, world, each) for each in (one, all_))
        aim = self.aim(
            table.layers, table.arms, table.other_cloud, table.device(every_exit=False), table.offload
        )
        for r, rng in enumerate(rngs):
            state, kept = begin(table.layers)
            play(aim, rng.random(len(order)), game, every, world, order, r, state, kept, action)
        return Played(action, actions)

    def live(self) -> LiveCheapEnough:
        """Return this learner as a device loop: the same compiled code."""
        return LiveCheapEnough(self)


def begin(layers: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return the state before the first round, and the arm that is kept to: none."""
    return np.zeros((4, layers + 1)), np.full(1, -1)


@kernel
def chosen(aim, t, coin, state, kept):  # type: ignore[no-untyped-def]
    """Return `choose`, for Python."""
    return choose(aim, t, coin, state, kept)


class LiveCheapEnough(LiveArms):
    """CS-ETC, CS-UCB, PE or COF on a device, sample by sample."""

    policy: CheapEnough

    def begin_stream(self) -> None:  # noqa: D102
        problem = self.problem
        _, _, gamma, offload = self.worth
        self.aim = self.policy.aim(problem.exits, problem.device_exits, problem.other_cloud, gamma, offload)
        self.state, self.kept = begin(problem.exits)
        self.audits: dict[int, int] = {}
        self.number = 0

    def choose(self, t: int) -> int:  # noqa: D102
        arm, audit = chosen(self.aim, t - 1, self.rng.random(), self.state, self.kept)
        self.audit = self.audits[t] = int(audit)
        return int(arm)

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate."""
        self.split = self.choose(t)
        return min(1, self.split) if self.audit == POOLED else self.split

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        """Offload an audited sample however sure the exit is."""
        if self.audit != NONE and exit == self.split:
            return OFFLOAD
        return super().decide(exit, confidence, prediction)

    def _take_in(self, feedback: Feedback) -> None:
        self.number += 1  # the round, for they come in order
        audit, said = self.audits.pop(self.number), feedback.cloud_prediction
        back = audit != NONE and said is not None
        for i, confidence, answer in zip(
            feedback.exits, feedback.confidences, feedback.predictions, strict=True
        ):
            unsure = np.float32(confidence) < self.worth[0][i]
            learn(self.state, i, bool(unsure), back, bool(answer == said))


def _of(rule: str) -> tuple[Any, Any]:
    return (
        lambda s: CheapEnough(s.threshold, rule, send_input=s.send_input),
        lambda s, epsilon: CheapEnough(s.threshold, rule, share(epsilon), send_input=s.send_input),
    )


NAMES = tuple(
    Name(f"{rule.lower()}{parameter}", make)
    for rule in _RULES
    for parameter, make in zip(("", ":SHARE"), _of(rule), strict=True)
)
