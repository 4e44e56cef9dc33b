"""Playing policies: in blocks of repeats, which threads share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numba import config

from splitee._internal.errors import InputError
from splitee.policies.base import AnyPolicy, Policy, check_policy, sends_input
from splitee.policies.loop import play_custom
from splitee.policies.played import Played
from splitee.policies.problem import check_threshold, frozen
from splitee.policies.timed import in_time
from splitee.results.measures import Counted
from splitee.results.result import Result
from splitee.results.rounds import Rounds
from splitee.results.setup import Setup
from splitee.results.timed import Timed

LANES = 64  # repeats of a block: their state stays in the first-level cache
BLOCK_ROUNDS = 2**25  # rounds of a block, all repeats together: their orders take 128 MB
SHARED = 2**18  # rounds of a call from which threads share them; starting a thread costs about 10,000 rounds


class Player:
    """One policy in one replay.

    Parameters
    ----------
    setup : Setup
    name : str
    policy : policy
    """

    def __init__(self, setup: Setup, name: str, policy: AnyPolicy) -> None:
        check_policy(name, policy)
        self.setup, self.name, self.policy = setup, name, policy
        layers = setup.trace.layers
        own = getattr(policy, "threshold", None)
        self.threshold = setup.threshold if own is None or isinstance(own, tuple) else float(own)
        check_threshold(self.threshold)
        self.table = setup.table
        if isinstance(policy, Policy):
            if policy.deepest(layers, 0) > layers:
                raise InputError(
                    f"policy {name} needs layer {policy.deepest(0, 0)}: the trace has {layers} layers"
                )
            policy.check_trace(setup.trace)
            self.table = setup.table_of(policy.priced(setup.costs))
            if policy.buys_labels and setup.trace.label is not None:
                self.table = replace(self.table, labels=setup.trace.label.astype(np.int32))
        if setup.system is not None and isinstance(policy, Policy) and not policy.in_time:
            raise InputError(f"policy {name} knows constant costs only: give a CostModel, or leave it out")
        if sends_input(policy) and not getattr(policy, "hindsight", False):
            setup.costs.offload_by_layer(layers, send_input=True)

    @property
    def custom(self) -> bool:
        """Whether the policy is a device loop of the caller."""
        return not isinstance(self.policy, Policy)

    def by_sample(self) -> Played | None:
        """Return one round per sample if the action depends on the sample only and each comes once."""
        setup = self.setup
        if not isinstance(self.policy, Policy) or self.policy.learns or not setup.streams.shuffled:
            return None
        if setup.system is not None and not setup.system.steady:
            return None
        decided = self.policy.by_sample(self.table)
        if decided is None:
            return None
        played = Played(decided[0][:, None], decided[1])
        if setup.system is None:
            return played
        every = frozen(np.arange(self.table.samples)[:, None])
        return in_time(self.table, self.policy.placed(setup.system.world), every, played)

    def play(self, first: int, end: int) -> Played:
        """Play repeats first..end − 1."""
        streams = self.setup.streams
        order = streams.block(first, end)
        rngs = [
            np.random.default_rng(np.random.SeedSequence(streams.seed, spawn_key=(1, repeat)))
            for repeat in range(first, end)
        ]
        world = self.setup.world(self.table, first, end)
        if isinstance(self.policy, Policy):
            world = world if world is None else self.policy.placed(world)
            played = self.policy.play(self.table, order, rngs, world)
        else:
            played = play_custom(self.policy, self.table, order, rngs, world, self.name)
        if world is None or not world.timed or played.measured is not None:
            return played
        return replace(in_time(self.table, world, order, played), journal=played.journal)

    def result(self, blocks: Sequence[tuple[int, Played]], by_sample: bool) -> Result:
        """Return what the policy did in all repeats."""
        setup, layers = self.setup, self.setup.trace.layers
        arms = setup.costs.arms(layers)
        fits = not isinstance(self.policy, Policy) or bool(self.policy.deepest(layers, arms) <= arms)
        rounds = Rounds(setup, self.policy, self.table, self.threshold, blocks, by_sample)
        measures = Counted(rounds) if setup.system is None else Timed(rounds)
        return Result(self.name, self.policy, measures, fits, self.threshold)


def play_all(setup: Setup, policies: Mapping[str, AnyPolicy]) -> dict[str, Result]:
    """Play every policy over every repeat; the results do not depend on the number of threads."""
    players = [Player(setup, name, policy) for name, policy in policies.items()]
    results: dict[str, Result] = {}
    rest: list[Player] = []
    for player in players:
        if (once := player.by_sample()) is not None:
            results[player.name] = player.result([(0, once)], by_sample=True)
        else:
            rest.append(player)
    compiled = [player for player in rest if not player.custom]
    streams = setup.streams
    threads = config.NUMBA_NUM_THREADS if streams.repeats * streams.rounds >= SHARED else 1
    blocks = _blocks(streams.repeats, streams.rounds, threads if len(compiled) < 2 * threads else 1)
    with ThreadPoolExecutor(threads, "splitee") as pool:
        try:
            if threads == 1:
                played = {p.name: [(a, p.play(a, b)) for a, b in blocks] for p in compiled}
            else:
                tasks = {p.name: [(a, pool.submit(p.play, a, b)) for a, b in blocks] for p in compiled}
                played = {}
            for player in rest:
                if player.custom:  # custom policies run in the calling thread
                    whole = [(0, player.play(0, streams.repeats))]
                    results[player.name] = player.result(whole, by_sample=False)
            if threads > 1:
                played = {name: [(a, task.result()) for a, task in some] for name, some in tasks.items()}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for player in compiled:
        results[player.name] = player.result(played[player.name], by_sample=False)
    return {player.name: results[player.name] for player in players}


def _blocks(repeats: int, rounds: int, shares: int) -> list[tuple[int, int]]:
    """Cut the repeats into blocks (first, end) of like size: at least `shares`, if each then has 8."""
    lanes = max(1, min(LANES, BLOCK_ROUNDS // rounds))
    count = max(-(-repeats // lanes), min(shares, repeats // 8), 1)
    cuts = [repeats * k // count for k in range(count + 1)]
    return [(a, b) for a, b in pairwise(cuts) if b > a]
