"""What a split is worth, r(i), compiled: for learners, for hindsight and for regret."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from splitee._internal.jit import compiled, inlined
from splitee.costs import CostModel, Floats

if TYPE_CHECKING:
    from splitee.policies.base import Stream

Number = TypeVar("Number", bound=np.generic)


@inlined
def exit_of(layer):  # type: ignore[no-untyped-def]
    """Return the row, from 0, of a layer's exit; of layer 0, which has none, row 0. Unsigned, for speed."""
    return np.uintp(layer) - np.uintp(1) if layer else np.uintp(0)


@compiled
def leaving(layers, alpha):  # type: ignore[no-untyped-def]
    """Return the confidence below which layer 0..L sends a sample: 0, the input, always; L never."""
    below = np.full(layers + 1, alpha)
    below[0], below[layers] = np.inf, -np.inf
    return below


@inlined
def exit_reward(own, mu, gamma):  # type: ignore[no-untyped-def]
    """Return C_i − μ·γ_i."""
    return own - mu * gamma


@inlined
def offload_reward(far, mu, gamma, price):  # type: ignore[no-untyped-def]
    """Return C_L − μ·(γ_i + o)."""
    return far - mu * (gamma + price)


GAMMA, SENDING, PRICES = 2, 3, 4  # numbers a layer; the first two are by whether the sample is sent


def prices_of(mu: float, gamma: Floats, sending: Floats) -> Floats:
    """Return what rewards lose, flat: of each layer, μ·γ_i, μ·(γ_i + o_i), γ_i, o_i."""
    return np.stack([mu * gamma, mu * (gamma + sending), gamma, sending], axis=1).ravel()


@inlined
def reward(answer, sent, layer, sample, mu, prices, extra):  # type: ignore[no-untyped-def]
    """Return r(i) by the confidence of whoever answers: C_i − μ·γ_i, or C_L − μ·(γ_i + o) where `sent`."""
    at = np.uintp(layer) * np.uintp(PRICES)
    if extra is not None and sent:
        price = prices[at + np.uintp(SENDING)] + extra[sample]
        return offload_reward(answer, mu, prices[at + np.uintp(GAMMA)], price)
    return answer - prices[at + np.uintp(sent)]


@inlined
def split_reward(own, far, below, mu, gamma, price):  # type: ignore[no-untyped-def]
    """Return r(i) of a sample: as it exits, or is sent, by its C_i; `below` is `leaving`'s of that layer."""
    stayed, gone = exit_reward(own, mu, gamma), offload_reward(far, mu, gamma, price)
    return gone if own < below else stayed


@compiled
def mean_rewards(confidence, far, alpha, mu, gamma, sending, extra, order):  # type: ignore[no-untyped-def]
    """Return r̄(0), …, r̄(L) over an order, summed in stream order as the specification does.

    r(i) = C_i − μ·γ_i where C_i ≥ α or i = L, else C_L − μ·(γ_i + o)  (SplitEE, section 3); r(0) is that of
    sending the input. `confidence` has shape (L, n); `extra`, shape (n,) or (0,), is added to o.
    """
    layers, rounds = confidence.shape[0], order.shape[0]
    below = leaving(layers, alpha)
    means = np.zeros(layers + 1)
    for layer in range(layers + 1):
        here, least, cost, price = confidence[exit_of(layer)], below[layer], gamma[layer], sending[layer]
        total = 0.0
        for position in range(rounds):
            sample = np.uintp(order[position])
            more = extra[sample] if extra.shape[0] else 0.0
            total += split_reward(
                np.float64(here[sample]), np.float64(far[sample]), least, mu, cost, price + more
            )
        means[layer] = total / rounds
    return means


def means_of(
    stream: Stream, costs: CostModel, threshold: float, every_exit: bool, order: NDArray[np.int32]
) -> Floats:
    """Return r̄(0), …, r̄(L) over some samples of a stream's trace, shape (L + 1,).

    Layers that are not on the device are priced as if they were. `costs` are the stream's, or what a policy
    is priced by.
    """
    means: Floats = mean_rewards(
        by_exit(stream.confidence),
        stream.far,
        float(threshold),
        float(stream.mu),
        device_costs(costs, stream.layers, every_exit),
        costs.sending(stream.layers),
        costs.by_sample(len(stream.far)),
        order,
    )
    return means


def by_exit(matrix: NDArray[Number]) -> NDArray[Number]:
    """Return a matrix of shape (n, L) as one of shape (L, n), rows contiguous; a trace's is not copied."""
    return np.ascontiguousarray(matrix.T)


def device_costs(costs: CostModel, layers: int, every_exit: bool) -> Floats:
    """Return γ_0 = 0, γ_1, …, γ_L."""
    return np.concatenate([[0.0], costs.device(layers, every_exit)])
