"""`splitee.replay`: policies over a trace, in several orders of its samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, overload

from numpy.typing import ArrayLike

from splitee._internal.errors import InputError
from splitee.costs import CostModel
from splitee.policies.base import AnyPolicy, display_name
from splitee.policies.fixed import FinalExit
from splitee.policies.names import parse_policies, policy_named, setting_of
from splitee.policies.problem import DEFAULT_THRESHOLD, check_threshold
from splitee.replay.player import play_all
from splitee.replay.streams import Given, Shuffles
from splitee.results.result import Result
from splitee.results.results import REFERENCE, Results
from splitee.results.setup import Setup, Streams
from splitee.system.system import System
from splitee.trace import Trace

MOST = 2**31 - 1  # rounds that can be counted of a sample


@overload
def replay(  # type: ignore[overload-overlap]  # a str is a sequence too
    trace: Trace,
    policies: AnyPolicy | str,
    costs: CostModel | System | None = None,
    mu: float | str = "auto",
    *,
    repeats: int = 20,
    seed: int = 0,
    orders: ArrayLike | None = None,
    threshold: float | None = None,
    delay: int = 0,
) -> Result: ...


@overload
def replay(
    trace: Trace,
    policies: Sequence[AnyPolicy | str] | Mapping[str, AnyPolicy | str],
    costs: CostModel | System | None = None,
    mu: float | str = "auto",
    *,
    repeats: int = 20,
    seed: int = 0,
    orders: ArrayLike | None = None,
    threshold: float | None = None,
    delay: int = 0,
) -> Results: ...


def replay(
    trace: Trace,
    policies: AnyPolicy | str | Sequence[AnyPolicy | str] | Mapping[str, AnyPolicy | str],
    costs: CostModel | System | None = None,
    mu: float | str = "auto",
    *,
    repeats: int = 20,
    seed: int = 0,
    orders: ArrayLike | None = None,
    threshold: float | None = None,
    delay: int = 0,
) -> Result | Results:
    """Run policies over a trace, in several orders of its samples.

    Under a `CostModel`, as in the paper, the cloud's computation and the way back of its answer are free, and
    feedback is immediate unless `delay` says otherwise.

    Parameters
    ----------
    trace : Trace
        The outputs of every exit.
    policies : policy or str, list of them, or dict of name to them
        Policies of the package, custom ones (see `splitee.policies.loop.DeviceLoop`), or names as on the
        command line, such as ``"splitee-s"``. All get the same orders.
    costs : CostModel or System, optional
        Default: the paper's, o = 5 λ. In a `System` costs are measured: time, energy and bytes.
    mu : float or "auto"
        μ ≥ 0, the points of confidence that one unit of cost is worth. "auto": 0.1; in a `System` 0.1 per
        layer with its exit on the device.
    repeats : int
        The number of random orders (permutations) of the samples.
    seed : int
        Of the orders and of random policies. The same seed gives the same result, whatever else is replayed.
    orders : array of int, shape (repeats, m), optional
        Given orders instead: 0-based sample indices, not necessarily permutations. `splitee.streams`
        makes some.
    threshold : float, optional
        α of policies that have none: custom ones, and the splits that policies without α are compared with
        in the regret. Default: the trace's recommended α, else 0.7.
    delay : int
        Rounds after which the feedback of an offloaded sample arrives; that of others arrives at once.
        Learners of the package take it in in the order of the rounds. In a `System` the clock decides.

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
    costs = CostModel() if costs is None else costs
    if not isinstance(costs, CostModel | System):
        raise InputError(f"costs is {costs!r}: give a CostModel, such as CostModel(offload=5.0), or a System")
    system = costs.on(trace) if isinstance(costs, System) else None
    if isinstance(mu, str) and mu == "auto":
        mu = 0.1 if system is None else system.usual_mu
    if not isinstance(mu, Real) or not (math.isfinite(mu) and mu >= 0):
        raise InputError(f"mu is {mu!r}: give a finite number, at least 0")
    for name, number, least in (("repeats", repeats, 1), ("seed", seed, 0), ("delay", delay, 0)):
        if not isinstance(number, Integral) or number < least:
            raise InputError(f"{name} is {number!r}: give a whole number, at least {least}")
    if threshold is None:
        threshold = trace.recommended_threshold
    threshold = DEFAULT_THRESHOLD if threshold is None else threshold
    check_threshold(threshold)
    streams: Streams = Shuffles(trace.samples, int(repeats), int(seed))
    if orders is not None:
        streams = Given(orders, trace.samples, int(seed))
    if system is not None and delay:
        raise InputError(
            f"delay is {delay!r}: in a System feedback arrives when the answer is back, give none"
        )
    constant = system.costs if system is not None else costs.of_exits(trace.exit_layers)
    setup = Setup(trace, constant, float(mu), streams, float(threshold), int(delay), system)
    if streams.repeats * streams.rounds > MOST and (most := int(setup.shown.max())) > MOST:
        raise InputError(
            f"a sample comes {most:,} times: give repeats in which each comes at most {MOST:,} times"
        )
    results = play_all(setup, _named(policies, setup))
    # final-exit is the reference of every comparison
    reference = partial(_reference, setup)
    every = Results(results, reference, setup.facts, trace.id)
    if isinstance(policies, (Mapping, Sequence)) and not isinstance(policies, str):
        return every
    return next(iter(every.values()))


def _reference(setup: Setup) -> Result:
    return play_all(setup, {REFERENCE: FinalExit()})[REFERENCE]


def _named(
    policies: AnyPolicy | str | Sequence[AnyPolicy | str] | Mapping[str, AnyPolicy | str], setup: Setup
) -> dict[str, AnyPolicy]:
    """Return the policies by name; strings become the policies that they name."""
    if isinstance(policies, Mapping):
        named = {name: _made(policy, setup) for name, policy in policies.items()}
    elif isinstance(policies, Sequence) and not isinstance(policies, str):
        given: Sequence[Any] = policies
        if any(isinstance(policy, str) for policy in given):
            given = parse_policies(given, setting_of(given, setup.trace, setup.costs, setup.threshold))
        named = _names(given)
    else:
        policy = _made(policies, setup)
        named = {display_name(policy): policy}
    if not named:
        raise InputError("give at least one policy")
    for name in named:
        if not isinstance(name, str) or name in ("", REFERENCE):
            raise InputError(f"no policy can be called {name!r}: give it another name")
    return named


def _made(policy: AnyPolicy | str, setup: Setup) -> AnyPolicy:
    if not isinstance(policy, str):
        return policy
    made: AnyPolicy = policy_named(policy, setup.trace, setup.costs, setup.threshold)
    return made


def _names(policies: Sequence[AnyPolicy]) -> dict[str, AnyPolicy]:
    """Name a list of policies by their labels; those that share a label get their parameters too."""
    labels = [display_name(policy) for policy in policies]
    named: dict[str, AnyPolicy] = {}
    for label, policy in zip(labels, policies, strict=True):
        name = label if labels.count(label) == 1 else f"{label} {policy!r}"
        if name in named:
            raise InputError(f"two policies have the name {name!r}: give a dict of names to policies")
        named[name] = policy
    return named
