"""Checks of learners of `splitee.policies.thresholds`: they, and their device loops, equal their twins."""

from collections.abc import Callable

import naive_thresholds
import numpy as np
from hypothesis import settings
from strategies import Case
from systems import SystemCase
from twins import check, replayed

import splitee

EXAMPLES = settings(max_examples=20)
CLASSES = 4  # of the traces of `twins.trace_of`
DELAYS = (0, 0, 1, 3, 200)
Twin = Callable[[], naive_thresholds.Learner]


def coins_of(case: Case, columns: int) -> list[list[float]]:
    """What the policy's own generator of repeat 0 draws."""
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, 0)))
    return rng.random((len(case.order), columns)).tolist()


def check_in_rounds(case: Case, policy: splitee.policies.Policy, twin: Twin, delay: int) -> None:
    """Costs in λ, feedback late: policy and device loop decide as the twin, which sees what arrived."""
    rounds = naive_thresholds.play(case.world, case.order, twin(), delay)
    result = replayed(case, policy, delay)
    check(result, rounds, case, has_arms=False)
    if case.world.sample_offload is None:
        live = replayed(case, policy.live(), delay)
        assert live.split.tolist() == result.split.tolist()
        assert live.offloaded.tolist() == result.offloaded.tolist()


def check_in_system(one: SystemCase, policy: splitee.policies.Policy, twin: Twin) -> None:
    """The same in a System: links that fade, queues, lost answers."""
    case, last = one.case, one.physics.device_layers
    rounds = naive_thresholds.play_in_system(one.physics, case.world, case.order, one.arrivals, twin())
    for each in (policy, policy.live()):
        result = splitee.replay(one.trace, each, one.system, mu=case.world.mu, orders=[case.order])
        assert result.split[0].tolist() == [r.layer or (last if r.lost else 0) for r in rounds]
        assert result.offloaded[0].tolist() == [r.offloaded and not r.lost for r in rounds]
        ((_, played),) = result.measures.rounds.blocks
        assert played.measured[0, :, 0].tolist() == [r.latency for r in rounds]
