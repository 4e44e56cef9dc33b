"""The clock of a replay: when the device works, when an answer is back, and what a round costs.

A world is *timed*, with a device, a link and a cloud (`splitee.System`), or it counts *rounds*: costs are
then given beforehand, and the feedback of an offloaded sample arrives `delay` rounds later. Kernels of
learners and of `walk` share the functions of this file, so a learner meets the world that its results report.

In a timed world the device works on one sample at a time, in order. A transfer waits until the link is free.
The answer is back a round trip and the cloud's time after the transfer has ended. If it comes after the
deadline, or the link goes down before it is back, it is lost: the device then answers from the exit that it
has evaluated. If it has offloaded the input and evaluated none, it computes to its last exit, as soon as the
loss is known and before it begins another sample.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import inlined, kernel
from splitee.costs import Floats

STATE, INPUT, CHEAPER = range(3)  # what an offload after a layer sends
LATE, CUT = 1, 2  # why an answer was lost
FREE, LINK, ANSWERED = range(3)  # of `Lane.clock`: device free, link free, last answer
HEAD, TAIL, ARRIVED = range(3)  # of `Lane.at`: jobs begun, jobs known, samples arrived


class World(NamedTuple):
    """What an action leads to; k is the row of a sample's length.

    Attributes
    ----------
    timed : bool
        Whether there is a clock; else rounds are counted, and only `delay`, `offload` and `kind` are used,
        and `device`.
    delay : int
        Rounds after which the feedback of an offload arrives.
    offload : ndarray, shape (n, L + 1) or (1, L + 1)
        o by sample and layer.
    kind : ndarray of int32, shape (n,)
        k of each sample.
    device : ndarray, shape (2, k, L + 1)
        Cost of stopping at layer i if one exit is evaluated (0), or all on the way (1).
    device_ms, device_mj : ndarray, shape (2, k, L + 1)
        The same in ms and in mJ.
    encode_ms, encode_mj : ndarray, shape (k,)
        To encode a state.
    state_bits : ndarray, shape (k, L + 1)
        Of the encoded state after layer i.
    input_bits : ndarray, shape (n,)
    cloud_ms : ndarray, shape (k, L + 1)
        Time of the cloud if it gets the state after layer i (0: the input).
    sends : int
        STATE, INPUT or CHEAPER.
    arrival : ndarray, shape (rounds, repeats) or (rounds, 1) or (0, 0)
        When samples arrive, ms; empty: each when the one before it is answered.
    edges, bits_per_ms : ndarray, shape (e + 1,), (e,)
        When the rate of the link changes, and the rates; they repeat after the last edge. (1,): constant.
    outages : ndarray, shape (o, 2)
        When the link goes down and comes back, ms.
    rate : float
        Mean rate in bits per ms: what the device takes for it before the first answer.
    rtt, deadline : float
        ms.
    radio_mw, radio_mj_per_mbit : float
        Energy of sending, by time and by amount.
    weights : ndarray, shape (3,)
        Cost of a ms of latency, a mJ of the device, a KB sent.
    last : int
        m, the last exit of the device.
    """

    timed: bool
    delay: int
    offload: Floats
    kind: NDArray[np.int32]
    device: Floats
    device_ms: Floats
    device_mj: Floats
    encode_ms: Floats
    encode_mj: Floats
    state_bits: Floats
    input_bits: Floats
    cloud_ms: Floats
    sends: int
    arrival: Floats
    edges: Floats
    bits_per_ms: Floats
    outages: Floats
    rate: float
    rtt: float
    deadline: float
    radio_mw: float
    radio_mj_per_mbit: float
    weights: Floats
    last: int


class Lane(NamedTuple):
    """The state of one repeat; arrays of shape (rounds,) unless noted.

    Attributes
    ----------
    due : ndarray
        When the feedback of a round arrives (a round's number + 1 if there is no clock).
    paid : ndarray
        What the offload of a round cost, on top of the device's cost.
    rate : ndarray
        The rate that the device takes for the link's once this round's feedback has arrived.
    lost : ndarray of uint8
        Whether the answer was lost: LATE (the deadline had passed), CUT (the link went down), or 0.
    taken : ndarray of int32
        Rounds whose feedback had been taken in when this one began.
    arrived, latency, energy, kilobytes : ndarray
    sample : ndarray of int32
    jobs : ndarray of int32
        Rounds whose input was offloaded and lost, in order.
    clock : ndarray, shape (3,)
    at : ndarray of int64, shape (3,)
    """

    due: Floats
    paid: Floats
    rate: Floats
    lost: NDArray[np.uint8]
    taken: NDArray[np.int32]
    arrived: Floats
    latency: Floats
    energy: Floats
    kilobytes: Floats
    sample: NDArray[np.int32]
    jobs: NDArray[np.int32]
    clock: Floats
    at: NDArray[np.int64]


@kernel
def new_lane(rounds):  # type: ignore[no-untyped-def]
    """Return the state of a repeat before its first round."""
    return Lane(
        np.zeros(rounds), np.zeros(rounds), np.zeros(rounds), np.zeros(rounds, np.uint8),
        np.zeros(rounds, np.int32), np.zeros(rounds), np.zeros(rounds), np.zeros(rounds), np.zeros(rounds),
        np.zeros(rounds, np.int32),
        np.zeros(rounds, np.int32), np.zeros(3), np.zeros(3, np.int64),
    )  # fmt: skip


def in_rounds(device: Floats, offload: Floats, samples: int, delay: int, last: int) -> World:
    """Return a world without a clock.

    Parameters
    ----------
    device : ndarray, shape (2, L + 1)
        γ if one exit is evaluated, and if all are.
    offload : ndarray, shape (n, L + 1) or (1, L + 1)
    samples, delay, last : int
        n; rounds after which feedback of an offload arrives; m.
    """
    row, none = np.zeros((1, device.shape[1])), np.zeros(1)
    by_kind = np.ascontiguousarray(device[:, None, :])
    return World(
        timed=False,
        delay=delay,
        offload=offload,
        kind=np.zeros(samples, np.int32),
        device=by_kind,
        device_ms=by_kind,
        device_mj=by_kind,
        encode_ms=none,
        encode_mj=none,
        state_bits=row,
        input_bits=none,
        cloud_ms=row,
        sends=INPUT,
        arrival=np.zeros((0, 0)),
        edges=none,
        bits_per_ms=none,
        outages=np.zeros((0, 2)),
        rate=1.0,
        rtt=0.0,
        deadline=math.inf,
        radio_mw=0.0,
        radio_mj_per_mbit=0.0,
        weights=np.zeros(3),
        last=last,
    )


@inlined
def begin_round(world, lane, t, r, s):  # type: ignore[no-untyped-def]
    """Return when the device begins sample s of round t (from 0) in repeat r.

    If there is no clock, this is t: feedback that is due until t has arrived.
    """
    lane.sample[t] = s
    if not world.timed:
        return np.float64(t)
    if world.arrival.shape[0] == 0:
        while lane.at[HEAD] < lane.at[TAIL]:
            _answer_lost(world, lane)
        start = lane.clock[ANSWERED]
        lane.arrived[t], lane.at[ARRIVED] = start, t + 1
        return start
    arrival = world.arrival[t, r if world.arrival.shape[1] > 1 else 0]
    lane.arrived[t] = arrival
    start = max(arrival, lane.clock[FREE])
    while lane.at[HEAD] < lane.at[TAIL] and lane.due[lane.jobs[lane.at[HEAD]]] <= start:
        _answer_lost(world, lane)
        start = max(arrival, lane.clock[FREE])
    return start


@inlined
def waiting(world, lane, t, r, start):  # type: ignore[no-untyped-def]
    """Return the number of samples that have arrived by `start` and wait behind that of round t."""
    if world.arrival.shape[0] == 0:
        return 0
    column, a = r if world.arrival.shape[1] > 1 else 0, max(lane.at[ARRIVED], t + 1)
    while a < world.arrival.shape[0] and world.arrival[a, column] <= start:
        a += 1
    lane.at[ARRIVED] = a
    return a - t - 1


@inlined
def known_rate(world, lane, taken):  # type: ignore[no-untyped-def]
    """Return what the device takes for the rate when it has taken in the first `taken` rounds' feedback."""
    return lane.rate[taken - 1] if taken > 0 else world.rate


@inlined
def sends_state(world, s, k, i, rate):  # type: ignore[no-untyped-def]
    """Return whether an offload after layer i sends the state: if its answer is back before the input's."""
    if i == 0 or world.sends == INPUT:
        return False
    if world.sends == STATE:
        return True
    state = world.encode_ms[k] + world.state_bits[k, i] / rate + world.cloud_ms[k, i]
    return state < world.input_bits[s] / rate + world.cloud_ms[k, 0]


@inlined
def _payload(world, s, k, i, rate):  # type: ignore[no-untyped-def]
    """Return what an offload after layer i takes: ms and mJ to encode it, its bits, and the cloud's ms."""
    if sends_state(world, s, k, i, rate):
        return world.encode_ms[k], world.encode_mj[k], world.state_bits[k, i], world.cloud_ms[k, i]
    return 0.0, 0.0, world.input_bits[s], world.cloud_ms[k, 0]


@inlined
def offload_cost(world, s, k, i, rate):  # type: ignore[no-untyped-def]
    """Return what offloading sample s after layer i costs at this rate, if it does not wait for the link."""
    if not world.timed:
        return world.offload[np.int64(s) if len(world.offload) > 1 else 0, i]
    encode_ms, encode_mj, bits, cloud = _payload(world, s, k, i, rate)
    duration = bits / rate
    mj = encode_mj + world.radio_mw * duration / 1e3 + world.radio_mj_per_mbit * bits / 1e6
    back = encode_ms + duration + world.rtt + cloud
    return world.weights[0] * back + world.weights[1] * mj + world.weights[2] * (bits / 8e3)


@inlined
def act(world, lane, t, s, start, taken, i, ms, mj, offloads):  # type: ignore[no-untyped-def]
    """Let the device stop at layer i, and fill in what the round leads to.

    Parameters
    ----------
    world, lane
    t, s : int
        Round (from 0) and sample.
    start : float
        See `begin_round`.
    taken : int
        Rounds whose feedback the device has taken in.
    i : int
        Layer of the stop; 0: the input is offloaded.
    ms, mj : float
        What the device spends to stop there.
    offloads : bool
    """
    k = world.kind[s]
    rate = known_rate(world, lane, taken)
    lane.paid[t], lane.lost[t], lane.rate[t], lane.taken[t] = 0.0, 0, rate, taken
    if not world.timed:
        lane.due[t] = t + 1.0
        if offloads:
            lane.due[t] += world.delay
            lane.paid[t] = offload_cost(world, s, k, i, rate)
        return
    arrival = lane.arrived[t]
    wait = start - arrival
    finish = start + ms
    lane.clock[FREE] = finish
    lane.latency[t], lane.energy[t], lane.kilobytes[t] = wait + ms, mj, 0.0
    lane.due[t] = finish
    lane.clock[ANSWERED] = finish
    if not offloads:
        return
    left = world.deadline - (wait + ms)  # ms until the deadline
    if left <= 0.0:  # it has passed: offloading would be in vain
        lane.lost[t] = LATE
        if i == 0:
            _lose_input(lane, t)
        return
    encode_ms, encode_mj, bits, cloud = _payload(world, s, k, i, rate)
    ready = finish + encode_ms
    lane.clock[FREE] = ready
    begin = max(ready, lane.clock[LINK])
    queued = begin - ready if world.arrival.shape[0] > 0 else 0.0
    duration = _transfer_ms(world, begin, bits)
    back = encode_ms + queued + duration + world.rtt + cloud
    down = _down_after(world, begin)  # ms from `begin` until the link goes down: 0 if it is down
    cut = down < duration + world.rtt + cloud  # the link goes down before the answer is back
    sent = min(1.0, down / duration) if cut and duration > 0.0 else (0.0 if cut and down == 0.0 else 1.0)
    lane.clock[LINK] = begin + min(duration, down)
    spent = duration * sent
    more_mj = encode_mj + world.radio_mw * spent / 1e3 + world.radio_mj_per_mbit * (bits * sent) / 1e6
    kilobytes = bits * sent / 8e3
    if cut:
        back = encode_ms + queued + down
    late = back > left
    if late:
        back = left
    elif not cut and duration > 0.0 and len(world.bits_per_ms) > 1:
        lane.rate[t] = bits / duration
    lane.lost[t] = LATE if late else (CUT if cut else 0)
    lane.latency[t], lane.energy[t], lane.kilobytes[t] = wait + (ms + back), mj + more_mj, kilobytes
    lane.paid[t] = world.weights[0] * back + world.weights[1] * more_mj + world.weights[2] * kilobytes
    lane.due[t] = finish + back
    lane.clock[ANSWERED] = lane.due[t]
    if (late or cut) and i == 0:
        _lose_input(lane, t)


@inlined
def act_at(world, lane, t, s, start, taken, i, every_exit, offloads):  # type: ignore[no-untyped-def]
    """Let the device stop at layer i, with one exit evaluated (0) or all on the way (1); see `act`."""
    k = world.kind[s]
    ms, mj = world.device_ms[every_exit, k, i], world.device_mj[every_exit, k, i]
    act(world, lane, t, s, start, taken, i, ms, mj, offloads)


@inlined
def taken_in(lane, t, start, taken):  # type: ignore[no-untyped-def]
    """Return whether the feedback of round `taken` < t has arrived by `start`.

    Learners take feedback in in the order of the rounds: a sample that exits waits for those offloaded before
    it. Exits alone would be early, and the mean of an arm biased towards them. A lost input is known when the
    device has answered it.
    """
    due, jobs, at = lane.due, lane.jobs, lane.at  # or references to every array are counted
    arrived = taken < t and due[taken] <= start
    if arrived and at[HEAD] < at[TAIL]:
        arrived = jobs[at[HEAD]] > taken
    return arrived


@inlined
def finish_stream(world, lane):  # type: ignore[no-untyped-def]
    """Answer what was lost and has not been answered when the stream ends."""
    while lane.at[HEAD] < lane.at[TAIL]:
        _answer_lost(world, lane)


@inlined
def _lose_input(lane, t):  # type: ignore[no-untyped-def]
    """Leave the lost input of round t to the device."""
    lane.jobs[lane.at[TAIL]] = t
    lane.at[TAIL] += 1


@inlined
def _answer_lost(world, lane):  # type: ignore[no-untyped-def]
    """Compute the first lost input to the device's last exit, now that the device is free."""
    t = lane.jobs[lane.at[HEAD]]
    lane.at[HEAD] += 1
    k = world.kind[lane.sample[t]]
    ms, mj = world.device_ms[0, k, world.last], world.device_mj[0, k, world.last]
    begin = max(lane.due[t], lane.clock[FREE])
    took = begin - lane.due[t] + ms
    lane.latency[t] += took
    lane.energy[t] += mj
    lane.paid[t] += world.weights[0] * took + world.weights[1] * mj
    lane.due[t] = begin + ms
    lane.clock[FREE] = lane.due[t]
    lane.clock[ANSWERED] = lane.due[t]


@inlined
def _transfer_ms(world, begin, bits):  # type: ignore[no-untyped-def]
    """Return how long a transfer takes that begins at `begin`: until ∫ rate = bits."""
    rates, edges = world.bits_per_ms, world.edges
    if len(rates) == 1:
        return bits / rates[0]
    period = edges[len(rates)]
    phase = begin - math.floor(begin / period) * period
    segment = np.searchsorted(edges, phase, side="right") - 1
    segment = min(max(segment, 0), len(rates) - 1)  # a phase may be rounded to an end
    duration, left, at = 0.0, bits, max(phase, edges[segment])
    while True:
        room = edges[segment + 1] - at
        if left <= rates[segment] * room:
            return duration + (left / rates[segment] if left > 0.0 else 0.0)
        left -= rates[segment] * room
        duration += room
        segment = segment + 1 if segment + 1 < len(rates) else 0
        at = edges[segment]


@inlined
def _down_after(world, at):  # type: ignore[no-untyped-def]
    """Return the ms from `at` until the link goes down: 0 if it is down, ∞ if it stays up."""
    for o in range(len(world.outages)):
        if at < world.outages[o, 0]:
            return world.outages[o, 0] - at
        if at < world.outages[o, 1]:
            return 0.0
    return math.inf


@inlined
def _walk(world, lane, order, action, r, layer, offloads, ms, mj):  # type: ignore[no-untyped-def]
    """Play the rounds of repeat r, whose actions are known; see `walk`."""
    taken = 0
    for t in range(order.shape[0]):
        s, a = order[t, r], action[t, r]
        start = begin_round(world, lane, t, r, s)
        while taken_in(lane, t, start, taken):
            taken += 1
        k = world.kind[s]
        act(world, lane, t, s, start, taken, layer[a], ms[a, k], mj[a, k], offloads[a])


@kernel
def walk(world, order, action, layer, offloads, ms, mj, measured, lost):  # type: ignore[no-untyped-def]
    """Measure the rounds of a policy whose actions are known.

    Parameters
    ----------
    world : World
    order : int32 array, shape (rounds, repeats)
    action : uint8 or uint16 array, shape (rounds, repeats)
    layer, offloads : arrays, shape (a,)
        Of each action; see `act`.
    ms, mj : float64 arrays, shape (a, k)
        What the device spends, by action and row of the sample's length.
    measured : float64 array, shape (3, rounds, repeats)
        Filled in: latency in ms, energy in mJ, KB.
    lost : uint8 array, shape (rounds, repeats)
        Filled in; see `Lane`.
    """
    rounds, repeats = order.shape
    for r in range(repeats):
        lane = new_lane(rounds)
        _walk(world, lane, order, action, r, layer, offloads, ms, mj)
        finish_stream(world, lane)
        for t in range(rounds):
            measured[0, t, r], measured[1, t, r] = lane.latency[t], lane.energy[t]
            measured[2, t, r], lost[t, r] = lane.kilobytes[t], lane.lost[t]


@kernel
def observe(world, lane, order, action, r, layer, offloads, ms, mj):  # type: ignore[no-untyped-def]
    """Play the rounds of repeat r, and leave in the lane what the device observes; see `walk`."""
    _walk(world, lane, order, action, r, layer, offloads, ms, mj)


@kernel
def _offload_costs(world, s, rate, costs):  # type: ignore[no-untyped-def]
    for i in range(len(costs)):
        costs[i] = offload_cost(world, s, world.kind[s], i, rate)


def offload_costs(world: World, s: int, rate: float) -> Floats:
    """Return what offloading sample s after layers 0..L costs at a rate, shape (L + 1,)."""
    if not world.timed:
        row: Floats = world.offload[s if len(world.offload) > 1 else 0].copy()
        return row
    costs = np.empty(world.device.shape[2])
    _offload_costs(world, s, rate, costs)
    return costs


@kernel
def _offload_table(world, rate, table):  # type: ignore[no-untyped-def]
    for s in range(table.shape[0]):
        for i in range(table.shape[1]):
            table[s, i] = offload_cost(world, s, world.kind[s], i, rate)


def offload_table(world: World, rate: float) -> Floats:
    """Return what offloading each sample after layers 0..L costs at a rate, shape (n, L + 1)."""
    table = np.empty((len(world.kind), world.device.shape[2]))
    _offload_table(world, rate, table)
    return table


@kernel
def begin(world, lane, t, r, s):  # type: ignore[no-untyped-def]
    """Begin round t for a policy in Python; return `begin_round` and the number of samples that wait."""
    start = begin_round(world, lane, t, r, s)
    return start, waiting(world, lane, t, r, start)


@kernel
def stop(world, lane, t, s, start, taken, i, ms, mj, offloads):  # type: ignore[no-untyped-def]
    """Stop at layer i for a policy in Python; see `act`."""
    act(world, lane, t, s, start, taken, i, ms, mj, offloads)


@kernel
def end(world, lane):  # type: ignore[no-untyped-def]
    """End the stream of a policy in Python; see `finish_stream`."""
    finish_stream(world, lane)


def due_of(lane: Lane, t: int) -> float:
    """Return when the feedback of round t (from 0) arrives; ∞ while the device has yet to answer it."""
    pending = lane.jobs[lane.at[HEAD] : lane.at[TAIL]]
    return math.inf if t in pending else float(lane.due[t])


def time_of(device: Floats, exits: list[int]) -> float:
    """Return what evaluating these exits takes; `device` is `World.device_ms` of a length, (2, L + 1)."""
    if not exits:
        return 0.0
    one, every = device
    layer = exits[-1]
    if exits == list(range(1, layer + 1)):
        return float(every[layer])
    before = np.diff(
        every - one, prepend=0.0
    )  # at j + 1: what exit j takes; exact, for their sums differ by it
    return float(one[layer]) + float(sum(before[j + 1] for j in exits[:-1]))
