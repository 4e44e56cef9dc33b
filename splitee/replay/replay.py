"""`splitee.replay`: policies over a trace, in several orders of its samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from numbers import Integral, Real
from typing import overload

from numba import config
from numpy.typing import ArrayLike

from splitee._internal.errors import InputError
from splitee._internal.processor import EIGHT
from splitee.costs import CostModel
from splitee.policies.base import AnyPolicy, Policy, check_threshold, display_name
from splitee.policies.fixed import FinalExit
from splitee.replay.arrivals import Arrivals
from splitee.replay.engine import Played, Player
from splitee.replay.scene import DEFAULT_THRESHOLD, Scene
from splitee.replay.threads import Task, begin, give_up
from splitee.results.outcomes import MOST
from splitee.results.result import Result
from splitee.results.results import REFERENCE, Results
from splitee.trace import Trace

SHARED = 2**18  # rounds of all repeats from which threads share them: fewer are done before one wakes


@overload
def replay(
    trace: Trace,
    policies: AnyPolicy,
    costs: CostModel | None = None,
    mu: float = 0.1,
    *,
    repeats: int = 20,
    seed: int = 0,
    orders: ArrayLike | None = None,
    threshold: float | None = None,
    log: bool = False,
) -> Result: ...


@overload
def replay(
    trace: Trace,
    policies: Sequence[AnyPolicy] | Mapping[str, AnyPolicy],
    costs: CostModel | None = None,
    mu: float = 0.1,
    *,
    repeats: int = 20,
    seed: int = 0,
    orders: ArrayLike | None = None,
    threshold: float | None = None,
    log: bool = False,
) -> Results: ...


def replay(
    trace: Trace,
    policies: AnyPolicy | Sequence[AnyPolicy] | Mapping[str, AnyPolicy],
    costs: CostModel | None = None,
    mu: float = 0.1,
    *,
    repeats: int = 20,
    seed: int = 0,
    orders: ArrayLike | None = None,
    threshold: float | None = None,
    log: bool = False,
) -> Result | Results:
    """Run policies over a trace, in several orders of its samples.

    Feedback is immediate, and the cloud's computing and its answer's way back are free, as in the paper.

    Parameters
    ----------
    trace : Trace
        What every exit said.
    policies : policy, list of policies, or dict of name to policy
        Of the package, or one's own in plain Python (see `splitee.policies.base.PlainPolicy`).
    costs : CostModel, optional
        Default: the paper's, o = 5 λ.
    mu : float
        μ ≥ 0, the points of confidence that one λ is worth.
    repeats : int
        How many random orders (permutations) of the samples.
    seed : int
        Of the orders and of random policies. The same seed gives the same result, whatever else is replayed.
    orders : array of int, shape (repeats, m), optional
        Orders of one's own: 0-based sample indices, not necessarily permutations; checked and copied as they
        are played, so they must not change meanwhile.
    threshold : float, optional
        α of policies in plain Python that name none, and of the splits that policies without α are held
        against in the regret. Default: the trace's recommended α, else 0.7.
    log : bool
        Whether to keep every choice at once; else `split`, `offloaded` and the whole `regret` are worked out
        when first asked for.

    Returns
    -------
    Result
        For one policy; else `Results`, a mapping of names to them.

    Raises
    ------
    InputError
        Where something does not fit together.

    Examples
    --------
    >>> import splitee
    >>> trace = splitee.Trace([[0.6, 0.9], [0.8, 0.9], [0.9, 0.95]], [[0, 1], [1, 1], [0, 0]], [1, 1, 0])
    >>> result = splitee.replay(trace, splitee.FixedSplit(1, threshold=0.7), repeats=2)
    >>> result.accuracy.tolist(), result.cost.round(3).tolist()
    ([1.0, 1.0], [2.667, 2.667])
    """
    if not isinstance(trace, Trace):
        raise InputError(f"trace is {trace!r}: give a Trace, such as splitee.load_trace(FILE)")
    if costs is None:
        costs = CostModel()
    if not isinstance(costs, CostModel):
        raise InputError(f"costs is {costs!r}: give a CostModel, such as CostModel(offload=5.0)")
    if not isinstance(mu, Real) or not (math.isfinite(mu) and mu >= 0):
        raise InputError(f"mu is {mu!r}: give a finite number, at least 0")
    for name, number, least in (("repeats", repeats, 1), ("seed", seed, 0)):
        if not isinstance(number, Integral) or number < least:
            raise InputError(f"{name} is {number!r}: give a whole number, at least {least}")
    costs = costs.of_exits(trace.exit_layers)
    if threshold is None:
        threshold = trace.recommended_threshold
    if threshold is None:
        threshold = DEFAULT_THRESHOLD
    check_threshold(threshold)
    arrivals = Arrivals(trace.samples, int(repeats), int(seed))
    if orders is not None:
        arrivals = Arrivals.of(orders, trace.samples, int(seed))
    if arrivals.repeats * arrivals.rounds > MOST and (most := int(arrivals.shown.max())) > MOST:
        raise InputError(
            f"a sample is shown {most:,} times: give repeats that show each at most {MOST:,} times"
        )
    scene = Scene(trace, costs, float(mu), arrivals, float(threshold))
    if isinstance(policies, Mapping):
        named = dict(policies)
    elif isinstance(policies, Sequence):
        named = _names(policies)
    else:
        named = {display_name(policies): policies}
    if not named:
        raise InputError("give at least one policy")
    for name, policy in named.items():
        if not isinstance(name, str) or name in ("", REFERENCE):
            raise InputError(f"no policy can be called {name!r}: give it another name")
        scene.check(name, policy)
    # final-exit is the reference of every comparison, shown or not
    reference = Player(scene, REFERENCE, FinalExit(), log).whole
    results = Results(_play_all(scene, named, log), reference, scene.facts, trace.id)
    if isinstance(policies, (Mapping, Sequence)):
        return results
    return next(iter(results.values()))


def _play_all(scene: Scene, work: Mapping[str, AnyPolicy], log: bool) -> dict[str, Result]:
    """Play every policy, in threads; the results do not depend on how many there are."""
    players = [Player(scene, name, policy, log) for name, policy in work.items()]
    threads, arrivals = config.NUMBA_NUM_THREADS, scene.arrivals
    learners = [one for one in players if isinstance(one.policy, Policy) and one.policy.learns]
    enough = len(learners) % threads == 0 or len(learners) >= 2 * threads
    small = arrivals.repeats * arrivals.rounds < SHARED
    # more lanes in one go are faster, and a vector has eight
    shares = 1 if enough or small else max(1, min(threads, arrivals.repeats // EIGHT))
    anyone = threads if len(players) * shares > 1 else 1
    blocks: list[Iterator[range]] = []
    tasks: dict[str, list[Task[Played | None]]] = {}
    try:
        # learners first; shuffles of others are soon told; and one's own needs this thread
        for player in sorted(players, key=lambda one: one not in learners):
            learns = player in learners
            here = not learns and (arrivals.all_shuffled or not isinstance(player.policy, Policy))
            parts = shares if learns else 1
            blocks.append(iter(arrivals.blocks(parts)))  # whoever is free takes the next
            play = partial(player.play, blocks[-1])
            tasks[player.name] = [begin(1 if here else anyone, play) for _ in range(parts)]
        # others begin with the first, this thread with the last
        played = {name: [task.result() for task in reversed(tasks[name])] for name in reversed(tasks)}
    except BaseException:
        for left in blocks:
            list(left)  # so that whoever plays finds none after its block
        give_up(chain(*tasks.values()))
        raise
    return {one.name: one.told(played[one.name]) for one in players}


def _names(policies: Sequence[AnyPolicy]) -> dict[str, AnyPolicy]:
    """Name a list of policies as tables call them; those that share a name are told apart by parameters."""
    labels = [display_name(policy) for policy in policies]
    named: dict[str, AnyPolicy] = {}
    for label, policy in zip(labels, policies, strict=True):
        name = label if labels.count(label) == 1 else f"{label} {policy!r}"
        if name in named:
            raise InputError(f"two policies are called {name!r}: give a dict of names to policies")
        named[name] = policy
    return named
