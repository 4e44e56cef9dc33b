"""UCB that starts again when something has changed: five ways to notice it.

Between restarts the learner is UCB-tuned on the rewards since the last one: with n the rounds since then,

    Q(i) + R·sqrt( ln n/N(i) · min(1/4, V(i)/R² + sqrt(2·ln n/N(i))) ),   R = 1 + μ·o,

every arm being played once, ascending, at first. The published learners use UCB1 (CUSUM) and KL-UCB (GLR).
One index for all compares the ways to notice, not the indices. All of them forget every arm at an alarm: a
change of the input changes all (published CUSUM-UCB forgets the arm with the alarm [memory]). Rewards hardly
show that exits lose confidence, because what is unsure is offloaded.

Rewards of the played arm, y = (r + μ·γ_i + R − 1)/R cut to [0, 1]; a share ε = 0.01 of rounds plays an arm at
random, so that arms not played are watched too:

- CUSUM: û is the mean of the first M rewards of an arm; then g⁺ ← max(0, g⁺ + y − û − d) and
  g⁻ ← max(0, g⁻ + û − y − d); alarm at g ≥ h. Constants: M = 50, d = 0.05, h = 10.
- GLR: one test per arm (see `glr`), δ = 10⁻⁵.

Unlabelled evidence (ours); no round plays an arm at random:

- confidence: one GLR test on C_1, which every round evaluates besides C_i, and pays for. No arm has to be
  played to be watched.
- share: the same on [C_1 ≥ α].
- agreement: a GLR test per arm on [P_i = P_L], for offloaded samples. Seen only once the answer is back.

No constant was tuned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from splitee._internal.errors import InputError
from splitee._internal.jit import inlined, kernel
from splitee.policies.arms.glr import begin_glr, push
from splitee.policies.arms.rounds import LiveArms, answer_of, brought, game_of, peeking, stop_at
from splitee.policies.base import SplitPolicy, check_switch
from splitee.policies.loop import Context, Feedback
from splitee.policies.played import Actions, Played, room_for
from splitee.policies.problem import Floats, Orders, Table, check_threshold
from splitee.policies.setting import Name
from splitee.policies.ucb import logarithms
from splitee.policies.variance import reward_span
from splitee.system.world import World, begin_round, new_lane, taken_in
from splitee.trace import Trace

CUSUM, GLR, CONFIDENCE, SHARE, AGREEMENT = range(5)
_BY = {
    "cusum": CUSUM,
    "glr": GLR,
    "confidence": CONFIDENCE,
    "share": SHARE,
    "agreement": AGREEMENT,
}
COUNT, TOTAL, MEAN, SPREAD, FIRST, UP, DOWN, SHIFT = range(8)  # rows of a state, by arm
WARM, SLACK, HIGH = 50, 0.05, 10.0  # M, d and h of CUSUM
DELTA, EPSILON = 1e-5, 0.01


@inlined
def choose(first, span, logs, since, coins, state):  # type: ignore[no-untyped-def]
    """Return the arm of the round that is `since` rounds after the last restart.

    Parameters
    ----------
    first : int
        The lowest arm.
    span : float
        R.
    logs : float64 array
        ln 1, ln 2, …
    since : int
    coins : float64 array, shape (2,)
        Uniform on [0, 1): whether to play an arm at random, and which.
    state : float64 array, shape (8, m + 1)
        See `begin`.
    """
    arms = state.shape[1]
    if since < arms - first:
        return first + since
    if coins[0] < EPSILON:
        return first + np.int64(coins[1] * (arms - first))
    best, chosen = -math.inf, first
    for arm in range(first, arms):
        n, index = state[COUNT, arm], math.inf
        if n > 0.0:
            x = logs[since] / n
            variance = state[SPREAD, arm] / n / (span * span) + math.sqrt(2.0 * x)
            index = state[MEAN, arm] + span * math.sqrt(x * min(0.25, variance))
        if index > best:
            best, chosen = index, arm
    return chosen


@inlined
def learn(by, span, state, tests, arm, gain, agrees):  # type: ignore[no-untyped-def]
    """Learn a reward; return whether it raises an alarm.

    `agrees` is 1 or 0 if the sample was offloaded after a layer and answered, else −1.
    """
    before, n = gain - state[MEAN, arm], state[COUNT, arm] + 1.0
    state[COUNT, arm] = n
    state[TOTAL, arm] += gain
    q = state[TOTAL, arm] / n
    state[MEAN, arm] = q
    state[SPREAD, arm] += before * (gain - q)
    y = min(1.0, max(0.0, (gain + state[SHIFT, arm]) / span))
    if by == GLR:
        return push(tests, arm, y, DELTA)
    if by == AGREEMENT:
        return agrees >= 0 and push(tests, arm, np.float64(agrees), DELTA)
    if by != CUSUM:
        return False
    if n <= WARM:
        state[FIRST, arm] += y / WARM
        return False
    off = y - state[FIRST, arm]
    state[UP, arm] = max(0.0, state[UP, arm] + off - SLACK)
    state[DOWN, arm] = max(0.0, state[DOWN, arm] - off - SLACK)
    return max(state[UP, arm], state[DOWN, arm]) >= HIGH


@inlined
def look(by, alpha, tests, confidence):  # type: ignore[no-untyped-def]
    """Watch C_1 of a sample; return whether it raises an alarm."""
    if by == CONFIDENCE:
        return push(tests, 0, confidence, DELTA)
    return by == SHARE and push(tests, 0, 1.0 if confidence >= alpha[1] else 0.0, DELTA)


@inlined
def forget(state, tests):  # type: ignore[no-untyped-def]
    """Begin anew."""
    for row in range(SHIFT):
        for arm in range(state.shape[1]):
            state[row, arm] = 0.0
    for j in range(tests.shape[0]):
        for size in range(tests.shape[1]):
            for b in range(tests.shape[2]):
                tests[j, size, b] = 0.0


@kernel
def play(by, span, logs, coins, game, world, order, r, state, tests, action):  # type: ignore[no-untyped-def]
    """Play all rounds of repeat r; see `choose`, `learn` and `splitee.policies.arms.indices.play`.

    `coins` has shape (rounds, 2); `tests` are those of `splitee.policies.arms.glr`.
    """
    lane, taken, begun = new_lane(order.shape[0]), 0, 0
    for t in range(order.shape[0]):
        start = begin_round(world, lane, t, r, order[t, r])
        while taken_in(lane, t, start, taken):
            arm, confidence, cost = brought(game, world, lane, order, action, taken, r)
            s, agrees = order[taken, r], -1
            if arm > 0 and action[taken, r] >= len(game.alpha) and lane.lost[taken] == 0:
                agrees = 1 if game.prediction[s, arm] == game.prediction[s, 0] else 0
            if learn(by, span, state, tests, arm, confidence - game.mu * cost, agrees):
                forget(state, tests)
                begun = t
            taken += 1
        i = choose(game.first, span, logs, t - begun, coins[t], state)
        stop_at(game, world, lane, order, action, t, r, start, taken, i)
        if i > 0 and look(by, game.alpha, tests, np.float64(game.confidence[order[t, r], 1])):
            forget(state, tests)
            begun = t + 1


def begin(by: int, arms: int, span: float, mu: float, gamma: Floats) -> tuple[Floats, Floats]:
    """Return the state before the first round (N, ΣrN, Q, M; û, g⁺, g⁻; the shift of y) and the tests."""
    state = np.zeros((8, arms + 1))
    state[SHIFT] = mu * gamma[: arms + 1] + (span - 1.0)
    return state, begin_glr({CUSUM: 0, CONFIDENCE: 1, SHARE: 1}.get(by, arms + 1))


@dataclass(frozen=True)
class RestartingUCB(SplitPolicy):
    """UCB-tuned that starts again when it notices a change.

    Parameters
    ----------
    threshold : float
        α.
    by : {"cusum", "glr", "confidence", "share", "agreement"}
        What it notices a change by; see this module.
    send_input : bool
        Whether offloading the input (layer 0) is an arm too. It evaluates no exit, so that rounds that play
        it show neither C_1 nor an agreement.

    References
    ----------
    Liu, Lee, Shroff (2018): A Change-Detection based Framework for Piecewise-stationary Multi-Armed Bandit
    Problem, arXiv 1711.03539 (CUSUM-UCB); Besson et al. (2022) (GLR-klUCB). Neither paper was read in full;
    the recurrence of CUSUM is that of a library's code as a summary has it [secondary]. The unlabelled
    evidence is ours.

    Examples
    --------
    >>> RestartingUCB(0.7, "confidence").label
    'restart by confidence'
    """

    threshold: float
    by: str = "glr"
    send_input: bool = False
    name: ClassVar[str] = "restart"
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_switch("send_input", self.send_input)
        if not isinstance(self.by, str) or self.by not in _BY:
            raise InputError(f"by is {self.by!r}: choose {', '.join(_BY)}")

    @property
    def label(self) -> str:  # noqa: D102
        return f"{self.by.upper()}-UCB" if self.by in ("cusum", "glr") else f"restart by {self.by}"

    @property
    def peeks(self) -> bool:
        """Whether exit 1 is evaluated besides the exit of the split."""
        return self.by in ("confidence", "share")

    @property
    def has_arms(self) -> bool:  # type: ignore[override]  # noqa: D102
        return not self.peeks

    def check_trace(self, trace: Trace) -> None:  # noqa: D102
        if self.by == "agreement" and trace.value is not None:
            raise InputError("restarts by agreement need classes: scores of a regression do not agree")

    def coins(self, rng: np.random.Generator, rounds: int) -> Floats:
        """Return numbers that decide about random arms, shape (rounds, 2); 1 if it plays none."""
        return rng.random((rounds, 2)) if self.by in ("cusum", "glr") else np.ones((rounds, 2))

    def play(  # noqa: D102
        self, table: Table, order: Orders, rngs: Sequence[np.random.Generator], world: World | None
    ) -> Played:
        world = table.in_rounds(0) if world is None else world
        actions = peeking(table.layers) if self.peeks else Actions.of_splits(table.layers, False)
        action = room_for(order.shape, actions)
        game, span = game_of(self, table, world, actions), reward_span(table.mu, table.offload, table.arms)
        logs, by = logarithms(len(order)), _BY[self.by]
        for r, rng in enumerate(rngs):
            state, tests = begin(by, table.arms, span, table.mu, table.device(every_exit=False))
            coins = self.coins(rng, len(order))
            play(by, span, logs, coins, game, world, order, r, state, tests, action)
        return Played(action, actions)

    def live(self) -> LiveRestarting:
        """Return this learner as a device loop: the same compiled code."""
        return LiveRestarting(self)


class LiveRestarting(LiveArms):
    """A learner that starts again, on a device, sample by sample."""

    policy: RestartingUCB

    def begin_stream(self) -> None:  # noqa: D102
        _, self.mu, gamma, offload = self.worth
        self.by = _BY[self.policy.by]
        self.span = reward_span(self.mu, offload, self.problem.device_exits)
        self.state, self.tests = begin(self.by, self.problem.device_exits, self.span, self.mu, gamma)
        self.logs, self.begun = logarithms(2**10), 1

    def choose(self, t: int) -> int:  # noqa: D102
        if t > len(self.logs):
            self.logs = logarithms(2 * len(self.logs))
        self.t, coins = t, self.policy.coins(self.rng, 1)[0]
        return int(choose(self.policy.first, self.span, self.logs, t - self.begun, coins, self.state))

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate."""
        self.split = self.choose(t)
        return min(1, self.split) if self.policy.peeks else self.split

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        """Watch exit 1, and go on to the split."""
        if self.policy.peeks and exit == 1 and look(self.by, self.worth[0], self.tests, confidence):
            self.restart(self.t + 1)
        return self.split if exit < self.split else super().decide(exit, confidence, prediction)

    def restart(self, t: int) -> None:
        """Begin anew in round t."""
        forget(self.state, self.tests)
        self.begun = t

    def _take_in(self, feedback: Feedback) -> None:
        arm, confidence, cost = answer_of(feedback)
        agrees = -1
        if feedback.offloaded and feedback.exits and feedback.cloud_prediction is not None:
            agrees = int(feedback.predictions[-1] == feedback.cloud_prediction)
        gain = confidence - self.mu * cost
        if learn(self.by, self.span, self.state, self.tests, arm, gain, agrees):
            self.restart(self.t + 1)


NAMES = tuple(
    Name(name, lambda s, by=by: RestartingUCB(s.threshold, by, s.send_input))
    for name, by in {
        "cusum-ucb": "cusum",
        "glr-ucb": "glr",
        "restart-confidence": "confidence",
        "restart-share": "share",
        "restart-agreement": "agreement",
    }.items()
)
