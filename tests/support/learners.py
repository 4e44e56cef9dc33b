"""Every registered learner with its plain-Python twin, so that one suite can try them all.

A twin is two functions. `rounds(case, delay, rng)` returns the rounds without a clock, `system(one, known,
rng)` those in a System; `rng` is the policy's own generator.
A module ``tests/naive_*.py`` that has a constant ``TWINS`` (by the policy's name) adds them to the suite.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import naive
import naive_system
import numpy as np
from strategies import Case, held
from systems import SystemCase

from splitee.policies.base import Policy, sends_input
from splitee.policies.names import all_names, parse_policies
from splitee.policies.setting import Setting
from splitee.trace import Trace


class Known(NamedTuple):
    """What is known of a System beforehand: constants near its costs.

    Attributes
    ----------
    gamma, offload : lists of floats, by layer 0..L
        With one exit evaluated; the largest of any sample.
    span : float
        R.
    """

    gamma: list[float]
    offload: list[float]
    span: float


class Twin(NamedTuple):
    rounds: Callable[..., list[naive.Round]]
    system: Callable[..., list[naive_system.Measured]] | None


SHORT = {"explore-then-commit": "explore-then-commit:9"}  # so that it commits in a short stream
ELSEWHERE = {  # these have twins of their own form, and suites of their own
    "certified": "tests/policies/test_certified.py",
    "audited-stopping": "tests/policies/test_stopping.py",
    "link-aware": "tests/policies/test_adaptive.py",
    "splitee-released": "tests/policies/test_released.py",
    "splitee-s-released": "tests/policies/test_released.py",
}


def _split_ee(side: str | None) -> Twin:
    def rounds(case: Case, delay: int, rng: np.random.Generator) -> list[naive.Round]:
        given = case.world, case.order, case.threshold, case.exploration
        if side is None:
            return naive.split_ee(*given, case.send_input, delay)
        return naive.split_ee_s(*given, side, case.send_input, delay)

    def system(one: SystemCase, known: Known, rng: np.random.Generator) -> list[naive_system.Measured]:
        case = one.case
        given = one.physics, case.world, case.order, one.arrivals, case.threshold, case.exploration
        return naive_system.split_ee(*given, side, case.send_input)

    return Twin(rounds, system)


def _by_variance(thompson: bool) -> Twin:
    def noise(case: Case, rng: np.random.Generator) -> list[list[float]]:
        shape = len(case.order), len(naive.arms_of(case.world, case.send_input))
        return rng.standard_normal(shape).tolist() if thompson else []

    def rounds(case: Case, delay: int, rng: np.random.Generator) -> list[naive.Round]:
        given = case.world, case.order, case.threshold
        if thompson:
            return naive.thompson_split(*given, noise(case, rng), case.send_input, delay)
        return naive.ucb_tuned(*given, case.send_input, delay)

    def system(one: SystemCase, known: Known, rng: np.random.Generator) -> list[naive_system.Measured]:
        case, span = one.case, known.span
        arms, drawn = naive.arms_of(case.world, case.send_input), noise(case, rng)

        def index(i: int, t: int, q: float, spread: float, n: int) -> float:
            if thompson:
                width = np.sqrt((0.25 * (span * span) + spread) / n / n)
                return q + drawn[t - 1][arms.index(i)] * float(width)
            variance = spread / n / (span * span) + float(np.sqrt(2.0 * naive.math.log(t) / n))
            return q + span * float(np.sqrt(naive.math.log(t) / n * min(0.25, variance)))

        given = one.physics, case.world, case.order, one.arrivals, case.threshold, index, case.send_input
        return naive_system.by_index(*given)

    return Twin(rounds, system)


def twins() -> dict[str, Twin]:
    """Return the twins by the name of their policy."""
    found = {
        "splitee": _split_ee(None),
        "splitee-s": _split_ee("causal"),
        "splitee-s-published": _split_ee("published"),
        "splitee-s-skip": _split_ee("skip"),
        "ucb-tuned": _by_variance(thompson=False),
        "thompson": _by_variance(thompson=True),
        "explore-then-commit": Twin(
            lambda case, delay, rng: naive.explore_then_commit(
                case.world, case.order, case.threshold, 9, delay
            ),
            None,
        ),
    }
    for file in sorted(Path(naive.__file__).parent.glob("naive_*.py")):
        given = getattr(importlib.import_module(file.stem), "TWINS", {})
        found |= {name: Twin(*functions) for name, functions in given.items()}
    return found


def learners(case: Case, source: Trace, sees_final: bool = True) -> dict[str, Policy]:
    """Return every registered learner, made for a case, by its name on the command line."""
    world = case.world
    if source.label is None:  # some policies that are made here, and not tried, need them
        source = source.replace(label=source.prediction[:, -1])
    setting = Setting(
        world.layers, held(world), case.threshold, case.exploration, case.send_input, source, source.classes
    )
    made: dict[str, Policy] = {}
    for name in all_names():
        if ":" in name:
            continue
        (*_, policy) = parse_policies(SHORT.get(name, name), setting)
        assert isinstance(policy, Policy)
        released = name.endswith("-released") and name.startswith("splitee")
        if released or (sends_input(policy) and world.offload_input is None):
            continue
        if policy.learns and (sees_final or not policy.sees_final):
            made[name] = policy
    return made


def known_in(one: SystemCase) -> Known:
    """Return what is known of a System beforehand."""
    costs, layers, m = one.system.on(one.trace).costs, one.trace.layers, one.physics.device_layers
    gamma = [float(costs.gamma(layers)[min(i, 1), i]) for i in range(layers + 1)]
    offload = costs.offload_costs(layers, one.trace.samples).max(axis=0).tolist()
    return Known(gamma, offload, 1.0 + one.case.world.mu * max(offload[1 : m + 1]))


def generator() -> np.random.Generator:
    """Return the generator that a policy has in repeat 0 of a replay with seed 0."""
    return np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, 0)))
