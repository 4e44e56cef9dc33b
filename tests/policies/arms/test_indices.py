"""The index policies of `splitee.policies.arms.indices`; test_every_learner.py has the rest."""

import math

import naive
import numba
import numpy as np
import pytest
from learners import generator, twins
from strategies import Case
from twins import replayed

import splitee
from splitee.policies.arms import indices
from splitee.policies.arms.indices import GRID, KL, KLUCB, UCBV, BayesUCB, UCBBwK, UCBTunedReleased

CLASSES = {
    "kl-ucb": KLUCB,
    "bayes-ucb": BayesUCB,
    "ucb-v": UCBV,
    "ucb-bwk": UCBBwK,
    "ucb-tuned-released": UCBTunedReleased,
}


def long_case(rounds: int = 1200) -> Case:
    """Three arms whose rewards vary differently, long enough that variances decide."""
    rng = np.random.default_rng(5)
    sure = np.column_stack(
        [rng.uniform(0.5, 1, rounds), rng.uniform(0.78, 0.82, rounds), np.full(rounds, 0.81)]
    )
    cells = sure.astype(np.float32).astype(float).tolist()
    world = naive.World(cells, [[0, 0, 0]] * rounds, offload=[2.0] * 3, offload_input=2.0, mu=0.05)
    return Case(world, list(range(rounds)), 0.6, 1.0, True, [1] * rounds, 1)


@pytest.mark.parametrize("name", CLASSES)
def test_in_a_long_stream_each_equals_its_twin(name: str) -> None:
    case = long_case()
    result = replayed(case, CLASSES[name](case.threshold, case.send_input))
    rounds = twins()[name].rounds(case, 0, generator())
    assert result.split[0].tolist() == [r.split for r in rounds]


def test_the_index_of_kl_ucb_is_where_the_divergence_reaches_the_level() -> None:
    index = numba.njit(lambda state, log_t: indices.kl_index(LOGS, 1.0, log_t, state, 0, -np.inf))
    for n, q, t in [(1, 0.3, 9), (50, 0.92, 4000), (9000, 0.5, 10**5), (3, 0.0, 8), (40, 1.0, 90)]:
        state = indices.begin(0, 1.0, 0.0, np.zeros(1))
        state[indices.COUNT], state[indices.MEAN] = n, q
        state[indices.KNOWN] = sum(p * math.log(p) for p in (q, 1 - q) if p > 0)
        u = index(state, math.log(t))
        kl = lambda u, q=q: sum(p * math.log(p / v) for p, v in ((q, u), (1 - q, 1 - u)) if p > 0)  # noqa: E731
        assert u == 1.0 if q == 1.0 else n * kl(u) <= math.log(t) < n * kl(min(u + 1 / GRID, 1 - 1e-12))


LOGS = indices._LOGS


def test_each_finds_the_best_arm() -> None:
    """Exit 2 is nearly as sure as exit 4 and costs half of it; the ratio of UCB-BwK is best at exit 1."""
    rng = np.random.default_rng(0)
    confidence = np.clip(rng.normal([0.55, 0.9, 0.92, 0.93], 0.03, (4000, 4)), 0.5, 1)
    trace = splitee.Trace(confidence, np.zeros((4000, 4), dtype=int))
    policies = {name: made(0.5) for name, made in CLASSES.items()}
    results = splitee.replay(trace, policies, splitee.CostModel(offload=1.0), mu=0.1, repeats=2)
    for name, result in results.items():
        late = result.split[:, 2000:]
        assert (late == (1 if name == "ucb-bwk" else 2)).mean() > 0.6, name


def test_bad_parameters_are_refused() -> None:
    assert KLUCB.rule == KL
    for made in CLASSES.values():
        with pytest.raises(splitee.InputError, match="send_input"):
            made(0.7, 1.0)
        with pytest.raises(splitee.InputError, match="between 0 and 1"):
            made(7)
