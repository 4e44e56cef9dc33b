"""The problem that a policy solves: what exits say, what actions cost, what a split is worth.

`Problem` is what a device knows before the first sample. `Table` is what a replay knows of every sample: a
trace under one set of costs, as the arrays that kernels read. Neither has labels.

Column 0 of the arrays by layer is the cloud, columns 1..L are the exits: offloading the input is layer 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from numbers import Real
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee._internal.jit import aligned, inlined, kernel
from splitee.costs import CostModel
from splitee.system.system import SystemOn
from splitee.system.world import World, in_rounds
from splitee.trace import Trace

Floats = NDArray[np.float64]
Layers = NDArray[np.int16]  # from 1; 0 = the input is offloaded
Orders = NDArray[np.int32]  # samples from 0, shape (m, repeats): all repeats of a round lie together
Threshold = float | tuple[float, ...]  # α, the same at every exit, or one for each
DEFAULT_THRESHOLD = 0.7  # α for traces that recommend none


@dataclass(frozen=True)
class Problem:
    """What a device knows before the first sample.

    Attributes
    ----------
    exits : int
        L, the exits of the model.
    device_exits : int
        m: the device holds exits 1..m.
    costs : CostModel
        The costs of the device's own layers: its `device_layers` is None if m = L.
    mu : float
        μ, the points of confidence that one λ is worth.
    classes : int
        K.
    threshold : float
        α for policies that have none of their own.
    unit : str
        Of the costs.
    other_cloud : bool
        Whether the cloud has another model, so that reaching exit L does not reveal the cloud's confidence.
    timed : bool
        Whether costs are measured in a `System`; `costs` are then constants near them.
    """

    exits: int
    device_exits: int
    costs: CostModel
    mu: float
    classes: int
    threshold: float
    unit: str = "λ"
    other_cloud: bool = False
    timed: bool = False

    def worth(self, threshold: Threshold, every_exit: bool) -> tuple[Floats, float, Floats, Floats]:
        """Return (α by layer, μ, γ, o) as `reward` takes them, shapes (L + 1,) and (1, L + 1).

        Entries of layers that the device does not hold are 0. In a System they are constants near its costs;
        what a sample costs is in `Feedback`.
        """
        if self.costs.sample_offload is not None:
            raise InputError("a live device does not know the cost of a sample: give costs without any")
        m = self.device_exits
        gamma, offload = np.zeros(self.exits + 1), np.zeros((1, self.exits + 1))
        index = np.arange(m + 1)
        gamma[: m + 1] = self.costs.gamma(m)[index if every_exit else np.minimum(index, 1), index]
        offload[:, : m + 1] = self.costs.offload_costs(m, 1)
        return alpha_by_layer(threshold, self.exits), self.mu, gamma, offload


@dataclass(frozen=True, eq=False)
class Table:
    """A trace under one set of costs, without its labels.

    Attributes
    ----------
    problem : Problem
    costs : CostModel
        Of all L layers.
    rows : ndarray of float32, shape (n, W), W > L
        Confidences. Column 0: of the cloud, which is C_L unless it has another model. Column i: C_i. The
        columns after L are 0: see `_in_cache_lines`.
    prediction : ndarray of int32, shape (n, L + 1)
        Answers, in the same columns.
    entropies : callable
        Returns the entropies of exits 1..L in nats, shape (n, L), or None.
    value : ndarray of float32, shape (n, L), or None
        The score of each exit if the model regresses.
    length : ndarray of int, shape (n,), or None
        Tokens of each sample.
    sharpness, noise : ndarray of float32, shape (n,), or None
        Of images.
    system : SystemOn, optional
        Where costs are measured, not given: `costs` are then constants near them.
    labels : ndarray of int32, shape (n,), optional
        For a policy that pays for labels of samples that it has audited; None for all others.
    """

    problem: Problem
    costs: CostModel
    rows: NDArray[np.float32]
    prediction: NDArray[np.int32]
    entropies: Callable[[], NDArray[np.float32] | None]
    value: NDArray[np.float32] | None
    length: NDArray[np.integer] | None
    sharpness: NDArray[np.float32] | None = None
    noise: NDArray[np.float32] | None = None
    system: SystemOn | None = None
    labels: NDArray[np.int32] | None = None

    @classmethod
    def of(
        cls,
        trace: Trace,
        costs: CostModel,
        mu: float,
        threshold: float,
        system: SystemOn | None = None,
    ) -> Table:
        """Return the table of a trace under these costs; InputError if they do not fit the trace."""
        layers = trace.layers
        arms = costs.arms(layers)
        costs.offload_costs(layers, trace.samples)
        problem = Problem(
            layers,
            arms,
            costs.on_device(layers),
            mu,
            trace.classes,
            threshold,
            unit="λ" if system is None else system.system.unit,
            other_cloud=trace.cloud_confidence is not None,
            timed=system is not None,
        )
        rows, prediction = _with_cloud(trace)
        return cls(
            problem,
            costs,
            rows,
            prediction,
            partial(getattr, trace, "entropy"),  # not a lambda: results can be pickled
            trace.value,
            trace.length,
            trace.sharpness,
            trace.noise,
            system,
        )

    @property
    def samples(self) -> int:
        """The number of samples n of the trace."""
        return len(self.rows)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The confidences without the columns after L, shape (n, L + 1)."""
        return self.rows[:, : self.layers + 1]

    @property
    def layers(self) -> int:
        """The number of exits L."""
        return self.problem.exits

    @property
    def arms(self) -> int:
        """The number of exits m on the device."""
        return self.problem.device_exits

    @property
    def other_cloud(self) -> bool:
        """Whether the cloud has another model."""
        return self.problem.other_cloud

    @property
    def mu(self) -> float:
        """μ."""
        return self.problem.mu

    @property
    def entropy(self) -> NDArray[np.float32] | None:
        """Entropies of exits 1..L, shape (n, L); not every policy needs them."""
        return self.entropies()

    @cached_property
    def gamma(self) -> Floats:
        """γ by exits evaluated and layer of the stop, shape (L + 1, L + 1); see `CostModel.gamma`."""
        return self.costs.gamma(self.layers)

    def device(self, every_exit: bool) -> Floats:
        """Return γ_0..γ_L if one exit is evaluated, or every exit on the way, shape (L + 1,)."""
        index = np.arange(self.layers + 1)
        return np.ascontiguousarray(self.gamma[index if every_exit else np.minimum(index, 1), index])

    @cached_property
    def offload(self) -> Floats:
        """O by sample and layer, shape (n, L + 1), or (1, L + 1) if it does not depend on the sample."""
        return self.costs.offload_costs(self.layers, self.samples)

    def in_rounds(self, delay: int) -> World:
        """Return the world of these costs in which feedback of an offload arrives `delay` rounds later."""
        device = np.stack([self.device(every_exit=False), self.device(every_exit=True)])
        return in_rounds(device, self.offload, self.samples, delay, self.arms)

    def worth(
        self, threshold: Threshold, every_exit: bool
    ) -> tuple[NDArray[np.float32], Floats, float, Floats, Floats]:
        """Return (rows, α by layer, μ, γ, o), as `reward` takes them."""
        alpha = alpha_by_layer(threshold, self.layers)
        return self.rows, alpha, self.mu, self.device(every_exit), self.offload

    def mean_rewards(self, threshold: float, every_exit: bool, order: NDArray[np.integer]) -> Floats:
        """Return r̄(0), …, r̄(L) over an order of samples, shape (L + 1,), summed in stream order.

        Layers that are not on the device have costs as if they were; r̄(0) is NaN if its cost is unknown.
        """
        means: Floats = mean_rewards(*self.worth(threshold, every_exit), frozen(order))
        return means


def frozen(order: NDArray[np.integer]) -> Orders:
    """Return a read-only order of int32, contiguous: of one type, so that kernels are compiled once."""
    order = np.ascontiguousarray(order, dtype=np.int32).view()
    order.flags.writeable = False
    return order


def as_alpha(threshold: float) -> float:
    """Round a threshold once to float32, which is what confidences are: 0.9 reaches α = 0.9."""
    return float(np.float32(threshold))


def alpha_by_layer(threshold: Threshold, layers: int) -> Floats:
    """Return the confidence below which layers 0..L offload: ∞ (the input), α of each layer, −∞ (exit L).

    Layers after the last of several thresholds have that one.
    """
    given = threshold if isinstance(threshold, tuple) else (threshold,)
    alpha = np.full(layers + 1, as_alpha(given[-1]))
    alpha[1 : len(given) + 1] = [as_alpha(each) for each in given[:layers]]
    alpha[0], alpha[-1] = np.inf, -np.inf
    return alpha


def check_threshold(threshold: float) -> None:
    """Raise InputError unless α lies in [0, 1]."""
    if isinstance(threshold, bool) or not (isinstance(threshold, Real) and 0 <= threshold <= 1):
        raise InputError(f"threshold is {threshold!r}: give a confidence between 0 and 1")


def by_exit(threshold: float | Sequence[float] | None) -> Threshold | None:
    """Return one α, or one for each exit as a tuple; InputError unless all lie in [0, 1]."""
    if threshold is None:
        return None
    if not isinstance(threshold, Sequence | np.ndarray) or isinstance(threshold, str):
        check_threshold(threshold)
        return threshold
    if not len(threshold):
        raise InputError("threshold is empty: give one confidence, or one for each exit")
    for one in threshold:
        check_threshold(one)
    return tuple(float(one) for one in threshold)


@inlined
def reward(confidence, alpha, mu, gamma, offload, s, i, far):  # type: ignore[no-untyped-def]
    """Return r(i) of sample s: C_i − μ·γ_i if C_i ≥ α or i = L, else far − μ·(γ_i + o).

    SplitEE (Bajpai et al. 2023), section 3. `far` is C_L, or what a learner takes for it.

    Parameters
    ----------
    confidence : float32 array, shape (n, W), W > L
    alpha, gamma : float64 arrays, shape (L + 1,)
        See `alpha_by_layer` and `Table.device`.
    mu : float
    offload : float64 array, shape (n, L + 1) or (1, L + 1)
    s, i : unsigned integers
    far : float32
    """
    own, o = np.float64(confidence[s, i]), offload[s if len(offload) > 1 else np.uintp(0), i]
    offloads = own < alpha[i]  # values are selected: a branch would be mispredicted for every other sample
    score, cost = (np.float64(far) if offloads else own), (gamma[i] + o if offloads else gamma[i])
    return score - mu * cost


@kernel
def mean_rewards(confidence, alpha, mu, gamma, offload, order):  # type: ignore[no-untyped-def]
    """Return r̄(0), …, r̄(L) over an order of samples; see `reward`."""
    means = np.zeros(len(alpha))
    for t in range(len(order)):
        s = np.uintp(order[t])
        far = confidence[s, 0]
        for i in range(np.uintp(len(alpha))):
            means[i] += reward(confidence, alpha, mu, gamma, offload, s, i, far)
    for i in range(len(alpha)):
        means[i] /= len(order)
    return means


_KNOWN: WeakKeyDictionary[Trace, tuple[NDArray[np.float32], NDArray[np.int32]]] = WeakKeyDictionary()


def _with_cloud(trace: Trace) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return `Table.rows` and `Table.prediction`; replays of a trace share them."""
    if trace not in _KNOWN:
        cloud = trace.confidence[:, -1] if trace.cloud_confidence is None else trace.cloud_confidence
        answer = trace.prediction[:, -1] if trace.cloud_prediction is None else trace.cloud_prediction
        _KNOWN[trace] = (
            _in_cache_lines(np.concatenate([cloud[:, None], trace.confidence], axis=1)),
            np.ascontiguousarray(np.concatenate([answer[:, None], trace.prediction], axis=1)),
        )
    return _KNOWN[trace]


def _in_cache_lines(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows padded with zeros to whole cache lines of 64 bytes.

    A round reads one row at random. A row that begins in one line and ends in the next would take two reads.
    """
    n, columns = confidence.shape
    rows = aligned((n, -(-columns // 16) * 16), np.float32)
    rows[:, :columns] = confidence
    return rows
