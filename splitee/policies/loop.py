"""The device loop: the one protocol of custom policies, replayed here and run live by the same code.

For each sample the device asks the policy where to begin (`begin`), evaluates that exit, and asks what to do
(`decide`): answer, offload, or evaluate a deeper exit. When all that the sample brings has arrived, the
policy learns from it (`learn`). Splits, cascades, thresholds per exit, patience, audits and delayed feedback
are all written so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any, Protocol, runtime_checkable

import numpy as np

from splitee._internal.errors import InputError
from splitee.policies.played import Actions, Played
from splitee.policies.problem import Floats, Orders, Problem, Table
from splitee.system.world import (
    Lane,
    World,
    begin,
    due_of,
    end,
    known_rate,
    new_lane,
    offload_costs,
    stop,
    taken_in,
    time_of,
)

ANSWER = 0
"""`decide` returns this to answer on the device, with the exit just evaluated."""
OFFLOAD = -1
"""`decide` returns this to offload the sample after the exit just evaluated."""


@dataclass(frozen=True)
class Context:
    """What the device knows of a sample before any layer is computed.

    Attributes
    ----------
    tokens : int or None
        Length of the input.
    clock : float or None
        Time in ms since the start of the stream; None if costs have no clock (λ).
    link : float or None
        The estimate of the link's rate in Mbit/s.
    queue : int or None
        Samples that wait for the device.
    sharpness, noise : float or None
        Of an image, as `splitee.data.measures` says; a live device does not measure them yet.
    """

    tokens: int | None = None
    clock: float | None = None
    link: float | None = None
    queue: int | None = None
    sharpness: float | None = None
    noise: float | None = None


@dataclass(frozen=True)
class Feedback:
    """What one sample brought, once all of it has arrived.

    Attributes
    ----------
    exits : tuple of int
        The exits that were evaluated, ascending; empty if the input was offloaded.
    confidences, predictions : tuple of float, tuple of int
        Their outputs.
    offloaded : bool
    cost : float
        γ of the stop, and o on top of it if the sample was offloaded.
    cloud_confidence, cloud_prediction : float, int, or None
        The cloud's output; None unless the sample was offloaded and the answer came back.
    computed_late : tuple of (int, float, int), optional
        If the input was offloaded and the answer was lost: the exit that the device then computed, its
        confidence and its prediction.
    device_costs : ndarray, shape (2, L + 1), optional
        What stopping at layers 0..L costs with this sample: with one exit evaluated, and with all.
    offload_costs : ndarray, shape (L + 1,), optional
        What an offload after layers 0..L costs with this sample, as far as the device knows: what it paid at
        the layer of the stop if it offloaded there, elsewhere at the rate that it takes for the link's.
    """

    exits: tuple[int, ...]
    confidences: tuple[float, ...]
    predictions: tuple[int, ...]
    offloaded: bool
    cost: float
    cloud_confidence: float | None
    cloud_prediction: int | None
    computed_late: tuple[int, float, int] | None = None
    device_costs: Floats | None = field(default=None, compare=False, repr=False)
    offload_costs: Floats | None = field(default=None, compare=False, repr=False)

    @property
    def layer(self) -> int:
        """Where the device stopped; 0 if the input was offloaded."""
        return self.exits[-1] if self.exits else 0

    def reward(self, mu: float) -> float | None:
        """Return C − μ·cost, C being the answer's confidence; None if the cloud's answer was lost."""
        confidence = self.cloud_confidence if self.offloaded else self.confidences[-1]
        return None if confidence is None else confidence - mu * self.cost


@runtime_checkable
class DeviceLoop(Protocol):
    """A custom policy: `splitee.replay` takes any object with these four methods.

    It may have a ``name`` for the tables, and a ``threshold`` (α) if it decides by one: its regret is then
    measured against the splits of that α. ``needs_entropy = True`` passes the exit's entropy (nats) to
    `decide` as a fourth argument. A policy that is replayed several times starts afresh in `start`.
    """

    def start(self, problem: Problem, rng: np.random.Generator) -> None:
        """Begin a stream."""

    def begin(self, t: int, context: Context) -> int:
        """Return the first exit to evaluate in round t = 1, 2, …, in 1..m; 0 offloads the input at once."""

    def decide(self, exit: int, confidence: float, prediction: int) -> int:
        """Return ANSWER, OFFLOAD, or a deeper exit to evaluate next. Exit L is not asked: it answers."""

    def learn(self, t: int, feedback: Feedback) -> None:
        """Learn from round t, once per sample, when all of its feedback has arrived."""


METHODS = ("start", "begin", "decide", "learn")


def decide_round(
    policy: DeviceLoop,
    problem: Problem,
    t: int,
    context: Context,
    see: Callable[[int], tuple[Any, ...]],
    name: str,
) -> tuple[list[int], bool]:
    """Let a policy decide on one sample, in a replay or on a device.

    Parameters
    ----------
    policy : DeviceLoop
    problem : Problem
    t : int
        The round, from 1.
    context : Context
    see : callable
        Evaluates an exit: returns its confidence and prediction, and its entropy if the policy needs it.
    name : str
        For errors.

    Returns
    -------
    (list of int, bool)
        The exits that were evaluated, and whether the sample is offloaded.
    """
    exits: list[int] = []
    action = _checked(policy.begin(t, context), 0, problem, t, name)
    offloaded = action == 0
    while action > 0:
        exits.append(action)
        said = see(action)
        if action == problem.exits:
            break
        action = _checked(policy.decide(action, *said), action, problem, t, name)
        offloaded = action == OFFLOAD
    return exits, offloaded


def play_loop(
    policy: DeviceLoop,
    table: Table,
    order: Orders,
    r: int,
    rng: np.random.Generator,
    world: World,
    name: str,
) -> list[tuple[int, bool, tuple[int, ...]]]:
    """Let a policy decide sample by sample; it sees only what a device sees.

    Parameters
    ----------
    policy : DeviceLoop
    table : Table
    order : ndarray of int, shape (m, repeats)
    r : int
        The repeat.
    rng : Generator
    world : World
        When feedback arrives: that of a round before the next round begins, or later. The policy learns from
        what has arrived in the order of arrival, the older first.
    name : str
        For errors.

    Returns
    -------
    list of (layer, offloaded, exits that were evaluated)
        One per round.
    """
    problem = table.problem
    policy.start(problem, rng)
    rounds: list[tuple[int, bool, tuple[int, ...]]] = []
    waiting_for: list[tuple[int, list[int], bool]] = []  # round, exits, offloaded
    entropy = table.entropy if getattr(policy, "needs_entropy", False) else None
    if getattr(policy, "needs_entropy", False) and entropy is None:
        raise InputError(f"policy {name} needs entropies, and the trace has none")
    lane, taken, samples = new_lane(len(order)), 0, order[:, r].tolist()

    def learn_until(now: float) -> None:
        found = [(due_of(lane, t - 1), t, exits, sent) for t, exits, sent in waiting_for]
        for due, t, exits, sent in sorted(found):
            if due <= now:
                waiting_for.remove((t, exits, sent))
                policy.learn(t, _feedback(table, world, lane, samples[t - 1], t, exits, sent))

    for t, s in enumerate(samples, start=1):
        start, queue = begin(world, lane, t - 1, r, s)
        learn_until(start)
        while taken_in(lane, t - 1, start, taken):
            taken += 1
        length = None if table.length is None else int(table.length[s])
        context = Context(
            length,
            sharpness=None if table.sharpness is None else float(table.sharpness[s]),
            noise=None if table.noise is None else float(table.noise[s]),
        )
        if world.timed:
            rate = known_rate(world, lane, taken) / 1e3
            context = replace(context, clock=start, link=rate, queue=queue)

        def see(exit_: int, s: int = s) -> tuple[float, ...]:
            more = () if entropy is None else (float(entropy[s, exit_ - 1]),)
            return float(table.confidence[s, exit_]), _answer(table, s, exit_), *more

        exits, offloaded = decide_round(policy, problem, t, context, see, name)
        if not exits and not world.timed and np.isnan(table.offload[s if len(table.offload) > 1 else 0, 0]):
            raise InputError(f"policy {name} offloads the input in round {t}, and its cost is not given")
        rounds.append((exits[-1] if exits else 0, offloaded, tuple(exits)))
        ms, mj = _spent(world, s, exits)
        stop(world, lane, t - 1, s, start, taken, rounds[-1][0], ms, mj, offloaded)
        waiting_for.append((t, exits, offloaded))
    end(world, lane)
    learn_until(np.inf)
    return rounds


def play_custom(
    policy: DeviceLoop,
    table: Table,
    order: Orders,
    rngs: list[np.random.Generator],
    world: World | None,
    name: str,
) -> Played:
    """Let a custom policy play all repeats of an order of shape (m, repeats), one after another."""
    world = table.in_rounds(0) if world is None else world
    repeats = [play_loop(policy, table, order, r, rng, world, name) for r, rng in enumerate(rngs)]
    kinds = sorted({kind for rounds in repeats for kind in rounds})
    place = {kind: k for k, kind in enumerate(kinds)}
    layer, offloaded, exits = zip(*kinds, strict=True)
    evaluated = np.array([len(each) for each in exits])
    actions = Actions(np.array(layer), np.array(offloaded), evaluated, [list(each) for each in exits])
    played = np.array([[place[kind] for kind in rounds] for rounds in repeats], dtype=actions.dtype)
    return Played(np.ascontiguousarray(played.T), actions)


def _spent(world: World, s: int, exits: list[int]) -> tuple[float, float]:
    """Return what the device spends on these exits, in ms and in mJ."""
    if not world.timed:
        return 0.0, 0.0
    return time_of(world.device_ms[:, world.kind[s]], exits), time_of(
        world.device_mj[:, world.kind[s]], exits
    )


def _feedback(
    table: Table, world: World, lane: Lane, s: int, t: int, exits: list[int], offloaded: bool
) -> Feedback:
    layer = exits[-1] if exits else 0
    if world.timed:
        ms, mj = _spent(world, s, exits)
        cost = world.weights[0] * ms + world.weights[1] * mj
    else:
        cost = float(table.gamma[len(exits), layer])
    if offloaded:
        cost = cost + float(lane.paid[t - 1])
    lost, k, m = bool(lane.lost[t - 1]), world.kind[s], world.last
    costs = offload_costs(world, s, lane.rate[t - 1])
    if offloaded:
        costs[layer] = lane.paid[t - 1]
    late = m, float(table.confidence[s, m]), _answer(table, s, m)
    return Feedback(
        tuple(exits),
        tuple(float(table.confidence[s, i]) for i in exits),
        tuple(_answer(table, s, i) for i in exits),
        offloaded,
        cost,
        float(table.confidence[s, 0]) if offloaded and not lost else None,
        int(table.prediction[s, 0]) if offloaded and not lost else None,
        late if lost and layer == 0 else None,
        world.device[:, k],
        costs,
    )


def _answer(table: Table, s: int, i: int) -> Any:
    """Return the class that exit i answers; its score if the model regresses."""
    return int(table.prediction[s, i]) if table.value is None else float(table.value[s, i - 1])


def _checked(action: Any, exit_: int, problem: Problem, t: int, name: str) -> int:
    """Return an action; InputError unless it is possible after exit `exit_` (0: before any)."""
    if isinstance(action, Integral) and not isinstance(action, bool | np.bool_):
        number = int(action)
        ends = number in (ANSWER, OFFLOAD) if exit_ > 0 else number == 0
        if ends or exit_ < number <= problem.device_exits:
            return number
    if exit_ == 0:
        raise InputError(
            f"policy {name} began round {t} with {action!r}: begin returns 1 to {problem.device_exits}, the "
            "first exit to evaluate, or 0 to offload the input"
        )
    raise InputError(
        f"policy {name} decided {action!r} after exit {exit_} in round {t}: decide returns ANSWER, OFFLOAD "
        f"or a deeper exit, up to {problem.device_exits}"
    )
