"""What the actions of a policy lead to in a world with a clock: latency, energy, bytes, lost answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee.policies.played import Actions, Played, room_for_floats
from splitee.policies.problem import Floats, Orders, Table, alpha_by_layer
from splitee.system.world import Lane, World, end, time_of, walk

Spent = tuple[NDArray[np.int64], NDArray[np.bool_], Floats, Floats]


def spent(world: World, actions: Actions) -> Spent:
    """Return layer, offloaded, ms and mJ of the device, by action; the last two have shape (a, k)."""
    layer, every = actions.layer.astype(np.int64), (actions.evaluated > 1)[:, None]

    def of(device: Floats) -> Floats:
        if actions.exits is not None:
            return np.array(
                [[time_of(each, exits) for each in device.swapaxes(0, 1)] for exits in actions.exits]
            )
        one, all_ = device[:, :, layer]
        return np.ascontiguousarray(np.where(every, all_.T, one.T))

    return layer, actions.offloaded, of(world.device_ms), of(world.device_mj)


def in_time(table: Table, world: World, order: Orders, played: Played) -> Played:
    """Return the rounds measured, and with the answers that the device gave if the cloud's was lost."""
    action, actions = played.action, played.actions
    measured = room_for_floats((3, *order.shape))
    lost = np.zeros(order.shape, dtype=np.uint8)
    walk(world, order, action, *spent(world, actions), measured, lost)
    return _with_answers(table, Played(action, actions, measured, lost))


class Clock:
    """What a policy whose kernel plays through a world leaves behind, repeat by repeat.

    Parameters
    ----------
    world : World
    shape : tuple of int
        Rounds and repeats.
    """

    def __init__(self, world: World, shape: tuple[int, ...]) -> None:
        self.world = world
        if world.timed:
            self.measured = room_for_floats((3, *shape))
            self.lost = np.zeros(shape, dtype=np.uint8)

    def end(self, lane: Lane, r: int) -> float:
        """End the stream of repeat r; return the time until which feedback counts."""
        if self.world.timed:
            end(self.world, lane)
            self.measured[:, :, r] = lane.latency, lane.energy, lane.kilobytes
            self.lost[:, r] = lane.lost
        return float(len(lane.due))

    def played(self, table: Table, action: NDArray[np.unsignedinteger], actions: Actions) -> Played:
        """Return the rounds, with what was measured if there is a clock."""
        if not self.world.timed:
            return Played(action, actions)
        return _with_answers(table, Played(action, actions, self.measured, self.lost))


def rewards_in_time(
    table: Table, world: World, order: Orders, threshold: float, layer: int, every_exit: bool
) -> Floats:
    """Return the reward of each round if every sample is split at one layer, shape (m, repeats)."""
    alpha = alpha_by_layer(threshold, table.layers)[layer]
    actions = Actions.of_splits(table.layers, every_exit)
    unsure = table.rows[:, layer].astype(np.float64) < alpha
    by_sample = np.where(unsure, table.layers + 1 + layer, layer).astype(actions.dtype)
    action: NDArray[Any] = by_sample[order]
    played = in_time(table, world, order, Played(action, actions))
    assert played.measured is not None
    confidence = table.rows[order, played.actions.answer[played.action]].astype(np.float64)
    cost = np.tensordot(world.weights, played.measured, axes=1)
    rewards: Floats = confidence - table.mu * cost
    return rewards


def _with_answers(table: Table, played: Played) -> Played:
    """Return measured rounds in which the device has answered where the cloud's answer was lost."""
    assert played.lost is not None
    if not played.lost.any():
        return played
    action, actions = _answered_by_device(played.action, played.actions, played.lost > 0, table.arms)
    return replace(played, action=action, actions=actions)


def _answered_by_device(
    action: NDArray[np.unsignedinteger], actions: Actions, lost: NDArray[np.bool_], last: int
) -> tuple[NDArray[np.unsignedinteger], Actions]:
    """Replace the actions of rounds whose answer was lost by those that the device then took.

    It answers from the exit it has evaluated, or, if it has offloaded the input, from its last one.
    """
    rows = list(
        zip(actions.layer.tolist(), actions.offloaded.tolist(), actions.evaluated.tolist(), strict=True)
    )
    instead = np.arange(2 * len(rows))
    for number, (layer, offloaded, evaluated) in enumerate(rows.copy()):
        if offloaded:
            own = (layer, False, evaluated) if layer else (last, False, 1)
            if own not in rows:
                rows.append(own)
            instead[number] = rows.index(own)
    layers, offloads, exits = (np.array(column) for column in zip(*rows, strict=True))
    after = Actions(layers, offloads.astype(bool), exits)
    chosen: NDArray[np.unsignedinteger] = np.where(lost, instead[action], action).astype(after.dtype)
    return chosen, after
