"""SplitEE in plain Python: the specification that the compiled engine must equal, to the bit.

Read it beside Bajpai, Trivedi, Yadav and Hanawal, "SplitEE: Early Exit in Deep Neural Networks with Split
Computing" (AIMLSystems 2023, arXiv 2309.09195): its cost model and its reward (`device_cost`, `reward`),
its two algorithms, SplitEE (`split_ee`) and SplitEE-S, "with side information" (`split_ee_s`), its
baselines, its regret. Where the paper, the authors' released code and a learner that could be deployed part
ways, the docstring says which of them a line follows.

The module imports nothing of the package and nothing numeric but `math`, is as slow as it is plain, and is
meant to stay so. Every number is a Python float (IEEE float64) and every expression is evaluated as
written: no sum is reassociated, no product is fused with a sum.

Notation
--------
=================  ==========================================================================================
in the paper       here
=================  ==========================================================================================
t = 1, 2, …        ``t``, the position in the stream, from 1
the sample at t    ``s = order[t - 1]``, a row of the trace, from 0; an order may repeat or leave out rows
i, i_t, L          ``i`` in 1..``world.layers``: layer, exit, split are one number, from 1; 0 sends the input
C_i                ``world.confidence[s][i - 1]``, the largest softmax probability of exit i
α                  ``threshold``, rounded once to float32: the device answers if C_i ≥ α
λ₁, λ₂             ``world.layer``, ``world.exit``: computing one layer, evaluating one exit; λ = λ₁ + λ₂
γ_i                ``device_cost(world, i, every_exit)``
o                  ``offload_price(world, s, i)``; one constant in the paper
μ                  ``world.mu``: the points of confidence that one λ is worth
β                  ``exploration``
r(i)               ``reward(world, s, i, threshold, every_exit, final)``
S(i), N(i)         ``total[i]``, ``count[i]``: the sum of the rewards seen of arm i, and how many they are
Q(i) = S(i)/N(i)   the mean reward seen of arm i
r̄(i), r*           ``mean_reward(world, order, i, …)``, and the greatest of them
=================  ==========================================================================================

A policy is one function, ``policy(world, order, …) -> list[Round]``: one `Round` for each position of the
stream. Labels decide nothing, they only fill in ``Round.right``. The downlink is free. With ``delay`` k, the
feedback of a sample offloaded in round t arrives at the end of round t + k, before that round's own;
that of samples that exit on the device arrives at the end of their own round. Learners take feedback in
in the order of the rounds (`arrived`), custom policies as it arrives (`arrivals`).
"""

import math
import struct
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

# ----------------------------------------------------------------------------------------------------------
# The world, and one round in it
# ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """What every exit says about every sample (the trace), what it costs, and what cost is worth.

    Attributes
    ----------
    confidence : list of n lists of L floats
        C_1..C_L of every sample: float32 values, widened exactly.
    prediction : list of n lists of L ints
        The class that each exit answers.
    label : list of n ints or None
        The true class.
    cloud_confidence, cloud_prediction : list of n or None
        Another model in the cloud: both or neither. It answers the samples that are offloaded, its
        confidence takes C_L's place in the reward of offloading, and it is observed only when the sample is
        offloaded. Exit L still exits on the device, with its own answer and its own confidence.
    layer : float or list of L floats
        λ₁, or the cost of what lies between each exit and the one before it.
    exit : float
        λ₂.
    offload : list of L floats
        The price of sending what layer i gives, i = 1..L; the last is never paid.
    offload_input : float or None
        The price of sending the input itself; None: it cannot be sent.
    sample_offload : list of n floats or None
        What is added to either price, by sample.
    device_layers : int or None
        m: the device holds exits 1..m only, so these are the arms; None: all L.
    mu : float
        μ.
    exit_layers : list of L ints or None
        The backbone layer at which each exit sits; None: exit i at layer i.
    extra_device : list of L floats or None
        A further cost term of the device, by layer of the stop; added last.
    extra_offload : list of L + 1 floats or None
        A further cost term of the offload, by layer from 0; added last.
    """

    confidence: list[list[float]]
    prediction: list[list[int]]
    label: list[int] | None = None
    cloud_confidence: list[float] | None = None
    cloud_prediction: list[int] | None = None
    _: KW_ONLY
    offload: list[float]
    offload_input: float | None = None
    sample_offload: list[float] | None = None
    layer: float | list[float] = 5 / 6
    exit: float = 1 / 6
    device_layers: int | None = None
    mu: float = 0.1
    exit_layers: list[int] | None = None
    extra_device: list[float] | None = None
    extra_offload: list[float] | None = None

    @property
    def layers(self) -> int:
        """L, the number of exits."""
        return len(self.confidence[0])

    @property
    def depths(self) -> list[int]:
        """The backbone layer of exit 1, …, L."""
        return list(range(1, self.layers + 1)) if self.exit_layers is None else self.exit_layers


@dataclass(frozen=True)
class Round:
    """What happened to one sample of the stream.

    Attributes
    ----------
    split : int
        Where the device stopped, from 1; 0 where the input was sent.
    offloaded : bool
        Whether the cloud answered.
    answer : int
        The class answered.
    cost : float
        γ_split, and o on top of it when offloaded: in λ, without μ.
    reward : float
        r(split): confidence of the answer − μ · cost.
    right : bool or None
        Whether the answer is the label; None without labels.
    """

    split: int
    offloaded: bool
    answer: int
    cost: float
    reward: float
    right: bool | None


def device_cost(world: World, i: int, every_exit: bool) -> float:
    """γ_i, what the device spends to stop at exit i, by multiplication and never by summing layers.

    - one exit evaluated (SplitEE, fixed and random splits): γ_i = λ₁·i + λ₂
    - every exit on the way evaluated (SplitEE-S, cascades): γ_i = (λ₁ + λ₂)·i
    - nothing computed, the input sent: γ_0 = 0

    Where exits do not sit at every layer (d_i is the layer of exit i): λ₁·d_i + λ₂ and λ₁·d_i + λ₂·i.
    """
    return device_cost_of(world, i, i if every_exit else min(i, 1))


def device_cost_of(world: World, i: int, evaluated: int) -> float:
    """γ of stopping at exit i after so many exits were evaluated: λ₁·d_i + λ₂·evaluated.

    Costs by layer are summed in order: (layer_1 + … + layer_i) + λ₂·evaluated.
    """
    if i == 0:
        return 0.0
    if isinstance(world.layer, list):
        computing = 0.0
        for cost in world.layer[:i]:
            computing += cost
        cost = computing + world.exit * evaluated
    elif evaluated == i and world.depths[:i] == list(range(1, i + 1)):
        cost = (world.layer + world.exit) * i
    else:
        cost = world.layer * world.depths[i - 1] + world.exit * evaluated
    return cost if world.extra_device is None else cost + world.extra_device[i - 1]


def offload_price(world: World, s: int, i: int) -> float:
    """o: what sending sample s from layer i costs (the input at i = 0); its own part is added last."""
    price = world.offload_input if i == 0 else world.offload[i - 1]
    if price is None:
        raise ValueError("this world does not say what sending the input costs")
    if world.sample_offload is not None:
        price = price + world.sample_offload[s]
    return price if world.extra_offload is None else price + world.extra_offload[i]


def cloud_confidence(world: World, s: int) -> float:
    """C_L, or the confidence of the other model in the cloud."""
    return world.confidence[s][-1] if world.cloud_confidence is None else world.cloud_confidence[s]


def cloud_answer(world: World, s: int) -> int:
    """Exit L's class, or that of the other model in the cloud."""
    return world.prediction[s][-1] if world.cloud_prediction is None else world.cloud_prediction[s]


def exits(world: World, s: int, i: int, threshold: float) -> bool:
    """Whether the device answers sample s by itself at split i: C_i ≥ α, or i = L.

    It is the model's last exit that always answers; the device's last exit, m < L, may offload like any
    other.
    """
    return i >= 1 and (world.confidence[s][i - 1] >= float32(threshold) or i == world.layers)


def float32(x: float) -> float:
    """Round to float32, which confidences are, and widen again."""
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


def reward(world: World, s: int, i: int, threshold: float, every_exit: bool, final: float) -> float:
    """r(i), the paper's reward of splitting sample s at i.

    - C_i − μ·γ_i                when it exits
    - C_L − μ·(γ_i + o)          when it offloads

    ``final`` stands where the second line says C_L: it is `cloud_confidence` in every case but one, the side
    information of a causal learner (`side_rewards`).
    """
    if exits(world, s, i, threshold):
        return world.confidence[s][i - 1] - world.mu * device_cost(world, i, every_exit)
    return final - world.mu * (device_cost(world, i, every_exit) + offload_price(world, s, i))


def true_reward(world: World, s: int, i: int, threshold: float, every_exit: bool) -> float:
    """r(i) with what the cloud says, whether or not the device ever learns it."""
    return reward(world, s, i, threshold, every_exit, cloud_confidence(world, s))


def is_right(world: World, s: int, answer: int) -> bool | None:
    """Whether the answer is the label."""
    return None if world.label is None else answer == world.label[s]


def split_at(world: World, s: int, i: int, threshold: float, every_exit: bool) -> Round:
    """Split sample s at i: exit there, with exit i's answer, or offload, with the cloud's."""
    offloaded = not exits(world, s, i, threshold)
    answer = cloud_answer(world, s) if offloaded else world.prediction[s][i - 1]
    cost = device_cost(world, i, every_exit)
    if offloaded:
        cost = cost + offload_price(world, s, i)
    r = true_reward(world, s, i, threshold, every_exit)
    return Round(i, offloaded, answer, cost, r, is_right(world, s, answer))


def utility(world: World, played: Round) -> float:
    """Value the round by its label: [the answer is right] − μ·cost; it is only reported."""
    if played.right is None:
        raise ValueError("utility needs labels")
    return float(played.right) - world.mu * played.cost


# ----------------------------------------------------------------------------------------------------------
# The learners
# ----------------------------------------------------------------------------------------------------------


def arms_of(world: World, send_input: bool = False) -> list[int]:
    """Arms, ascending: the exits 1..m that the device holds; before them 0 where the input may be sent."""
    held = world.layers if world.device_layers is None else world.device_layers
    return [0] * send_input + list(range(1, held + 1))


def choose(
    arms: list[int], total: dict[int, float], count: dict[int, int], t: int, exploration: float
) -> int:
    """Choose i_t: every arm once, ascending; then the greatest upper confidence bound, the lowest on ties.

        i_t = argmax_i  Q(i) + β·sqrt(ln t / N(i))

    It is computed as Q(i) + w·h(i) with w = β·sqrt(ln t) and h(i) = 1/sqrt(N(i)). S and N hold the feedback
    that arrived before t and t is the position itself: the first index computed, with k arms, is that of
    t = k + 1. An arm of which nothing has arrived has the index ∞.
    """
    if t <= len(arms):
        return arms[t - 1]
    w = exploration * math.sqrt(math.log(t))
    best, best_index = arms[0], -math.inf
    for i in arms:
        index = math.inf
        if count[i] > 0:
            q = total[i] / count[i]
            h = 1.0 / math.sqrt(count[i])
            index = q + w * h
        if index > best_index:
            best, best_index = i, index
    return best


def arrivals(rounds: list[Round], delay: int) -> list[int]:
    """List the rounds (from 0) whose feedback arrives at the end of the last one, oldest first."""
    last = len(rounds) - 1
    if delay == 0:
        return [last]
    late = [last - delay] if last >= delay and rounds[last - delay].offloaded else []
    return late + ([] if rounds[last].offloaded else [last])


def arrived(rounds: list[Round], first: int, delay: int) -> list[int]:
    """List the rounds (from 0), from ``first`` on, that a learner takes in at the end of the last one.

    It takes them in one after the other: a sample that exited waits for those offloaded before it. Exits
    alone would be early, and the mean of an arm biased towards them; so it is the mean of a whole prefix.
    """
    last, end = len(rounds) - 1, first
    while end <= last and (not rounds[end].offloaded or end + delay <= last):
        end = end + 1
    return list(range(first, end))


def split_ee(
    world: World,
    order: list[int],
    threshold: float,
    exploration: float = 1.0,
    send_input: bool = False,
    delay: int = 0,
) -> list[Round]:
    """SplitEE: evaluate exit i_t alone, and learn of arm i_t alone."""
    arms = arms_of(world, send_input)
    total = dict.fromkeys(arms, 0.0)
    count = dict.fromkeys(arms, 0)
    rounds, learnt = [], 0
    for t, s in enumerate(order, start=1):
        i = choose(arms, total, count, t, exploration)
        rounds.append(split_at(world, s, i, threshold, every_exit=False))
        for k in arrived(rounds, learnt, delay):
            learnt = k + 1
            j = rounds[k].split
            total[j] = total[j] + rounds[k].reward
            count[j] = count[j] + 1
    return rounds


def split_ee_s(
    world: World,
    order: list[int],
    threshold: float,
    exploration: float = 1.0,
    side_information: str = "causal",
    send_input: bool = False,
    delay: int = 0,
) -> list[Round]:
    """SplitEE-S: evaluate every exit up to i_t, and learn of all these arms.

    It learns from the first round on, so that N(1) = m, N(2) = m − 1, … when every arm has been played once
    (fewer with *skip*); it pays γ_i = (λ₁ + λ₂)·i, and so does each arm j ≤ i_t in the reward it is
    credited with.
    """
    arms = arms_of(world, send_input)
    total = dict.fromkeys(arms, 0.0)
    count = dict.fromkeys(arms, 0)
    rounds, learnt = [], 0
    for t, s in enumerate(order, start=1):
        i = choose(arms, total, count, t, exploration)
        rounds.append(split_at(world, s, i, threshold, every_exit=True))
        for k in arrived(rounds, learnt, delay):
            learnt = k + 1
            for j, r in side_rewards(
                world, order[k], rounds[k].split, threshold, side_information, send_input
            ):
                total[j] = total[j] + r
                count[j] = count[j] + 1
    return rounds


def side_rewards(
    world: World, s: int, i: int, threshold: float, side_information: str, send_input: bool = False
) -> list[tuple[int, float]]:
    """List the pairs (j, r(j)) that SplitEE-S learns from having split sample s at i, j ascending.

    Splitting at i evaluates exits 1..i, so these are the arms it learns of, and arm 0 where the input may be
    offloaded; offloading the input (i = 0) evaluates none, so it teaches of arm 0 only. An arm j whose
    exit is sure enough is credited with its own confidence. An arm j that would have offloaded, as arm 0
    always does, needs the cloud's confidence, which the device has

    - if it offloaded this sample;
    - or if it ran the last exit itself (i = L) and the cloud has no other model.

    Otherwise the sample exited at i, and for such j

    - *causal* (the default) takes C_i, the deepest confidence the device has seen: a learner that can be
      deployed;
    - *published* takes the cloud's confidence all the same, as the authors' code does: no device can;
    - *skip* leaves j alone, which is biased: j is never charged for having to offload such a sample.
    """
    if side_information not in ("causal", "published", "skip"):
        raise ValueError(f"side information is causal, published or skip, not {side_information}")
    cloud = cloud_confidence(world, s)
    if i == 0:
        return [(0, reward(world, s, 0, threshold, True, cloud))]
    offloaded = not exits(world, s, i, threshold)
    observed = offloaded or (i == world.layers and world.cloud_confidence is None)
    known = observed or side_information == "published"
    final = cloud if known else world.confidence[s][i - 1]
    return [
        (j, reward(world, s, j, threshold, True, final))
        for j in range(0 if send_input else 1, i + 1)
        if known or side_information == "causal" or exits(world, s, j, threshold)
    ]


def reward_span(world: World) -> float:
    """R = 1 + μ·o, o the largest: two rewards of one arm (one exits, one offloads) lie no further apart."""
    samples = range(len(world.confidence))
    return 1.0 + world.mu * max(offload_price(world, s, i) for s in samples for i in arms_of(world))


def ucb_tuned(
    world: World, order: list[int], threshold: float, send_input: bool = False, delay: int = 0
) -> list[Round]:
    """UCB-tuned (Auer, Cesa-Bianchi and Fischer 2002, section 4): the width follows the variance seen.

        i_t = argmax_i  Q(i) + R·sqrt( ln t / N(i) · min(1/4, V(i)/R² + sqrt(2 ln t / N(i))) )

    V(i) is the variance of the rewards seen of arm i, divided by N: the published index on r/R. One exit is
    evaluated, one arm updated.
    """
    r = reward_span(world)

    def index(i: int, t: int, q: float, spread: float, n: int) -> float:
        variance = spread / n / (r * r) + math.sqrt(2.0 * math.log(t) / n)
        return q + r * math.sqrt(math.log(t) / n * min(0.25, variance))

    return _by_index(world, order, threshold, send_input, delay, index)


def thompson_split(
    world: World,
    order: list[int],
    threshold: float,
    noise: list[list[float]],
    send_input: bool = False,
    delay: int = 0,
) -> list[Round]:
    """Thompson sampling with Gaussian arms: one draw an arm from N(Q(i), V(i)/N(i)), the greatest is played.

    V(i) = (R²/4 + Σ(r − Q(i))²) / N(i). The standard normal draws are made beforehand: ``noise[t - 1]`` has
    one for each arm, ascending.
    """
    arms, r = arms_of(world, send_input), reward_span(world)

    def index(i: int, t: int, q: float, spread: float, n: int) -> float:
        variance = (0.25 * (r * r) + spread) / n
        return q + noise[t - 1][arms.index(i)] * math.sqrt(variance / n)

    return _by_index(world, order, threshold, send_input, delay, index)


def _by_index(
    world: World,
    order: list[int],
    threshold: float,
    send_input: bool,
    delay: int,
    index: Callable[[int, int, float, float, int], float],
) -> list[Round]:
    """Every arm once, ascending; then the greatest ``index(i, t, Q, Σ(r − Q)², N)``, the lowest on ties.

    The squared deviations are kept by Welford's recurrence, r − Q before times r − Q after the update.
    """
    arms = arms_of(world, send_input)
    total, count = dict.fromkeys(arms, 0.0), dict.fromkeys(arms, 0)
    mean, spread = dict.fromkeys(arms, 0.0), dict.fromkeys(arms, 0.0)
    rounds, learnt = [], 0
    for t, s in enumerate(order, start=1):
        if t <= len(arms):
            i = arms[t - 1]
        else:
            i, greatest = arms[0], -math.inf
            for j in arms:
                value = index(j, t, mean[j], spread[j], count[j]) if count[j] else math.inf
                if value > greatest:
                    i, greatest = j, value
        rounds.append(split_at(world, s, i, threshold, every_exit=False))
        for k in arrived(rounds, learnt, delay):
            learnt = k + 1
            j, r = rounds[k].split, rounds[k].reward
            before = r - mean[j]
            total[j] = total[j] + r
            count[j] = count[j] + 1
            mean[j] = total[j] / count[j]
            spread[j] = spread[j] + before * (r - mean[j])
    return rounds


def explore_then_commit(
    world: World, order: list[int], threshold: float, samples: int, delay: int = 0
) -> list[Round]:
    """Run the first samples to layer m, every exit evaluated; then keep to the split that was best on them.

    An arm's reward is that of `fixed_split`: one exit evaluated. Where it contains a C_L that the device did
    not observe, the deepest confidence it has seen, C_m, stands in (as in causal SplitEE-S). Samples whose
    feedback has not arrived when exploring ends are left out; if none has, the split is 1.
    """
    m = arms_of(world)[-1]
    rounds = [split_at(world, s, m, threshold, every_exit=True) for s in order[:samples]]
    if len(order) <= samples:
        return rounds
    best, best_mean = 1, -math.inf
    for j in arms_of(world):
        total, taken = 0.0, 0
        for t, (s, played) in enumerate(zip(order, rounds, strict=False), start=1):
            if played.offloaded and t + delay > samples:
                break
            taken = taken + 1
            observed = played.offloaded or (m == world.layers and world.cloud_confidence is None)
            final = cloud_confidence(world, s) if observed else world.confidence[s][m - 1]
            total = total + reward(world, s, j, threshold, False, final)
        mean = total / taken if taken else -math.inf
        if mean > best_mean:
            best, best_mean = j, mean
    return rounds + fixed_split(world, order[samples:], best, threshold)


def source_split(world: World, order: list[int], threshold: float, source: World) -> list[Round]:
    """Use the fixed split with the greatest mean reward on the source's samples; the lowest on ties.

    ``source`` has the source's confidences and the target's prices.
    """
    every = list(range(len(source.confidence)))
    best, best_mean = 1, -math.inf
    for i in arms_of(world):
        mean = mean_reward(source, every, i, threshold, every_exit=False)
        if mean > best_mean:
            best, best_mean = i, mean
    return fixed_split(world, order, best, threshold)


# ----------------------------------------------------------------------------------------------------------
# The baselines that split: α decides whether to offload, nothing is learned
# ----------------------------------------------------------------------------------------------------------


def fixed_split(world: World, order: list[int], layer: int, threshold: float) -> list[Round]:
    """Split every sample at the same layer; one exit is evaluated."""
    return [split_at(world, s, layer, threshold, every_exit=False) for s in order]


def random_split(world: World, order: list[int], drawn: list[int], threshold: float) -> list[Round]:
    """Split every sample at a layer of its own, drawn beforehand: ``drawn[t - 1]`` at position t."""
    return [split_at(world, s, i, threshold, every_exit=False) for s, i in zip(order, drawn, strict=True)]


def best_fixed_split(world: World, order: list[int], threshold: float) -> list[Round]:
    """Use the fixed split of 1..m with the greatest mean reward over this very order; the lowest on ties."""
    best, best_mean = 1, -math.inf
    for i in arms_of(world):
        mean = mean_reward(world, order, i, threshold, every_exit=False)
        if mean > best_mean:
            best, best_mean = i, mean
    return fixed_split(world, order, best, threshold)


# ----------------------------------------------------------------------------------------------------------
# The baselines that do not: no α, one place answers everything. Their reward is C_answer − μ·cost
# ----------------------------------------------------------------------------------------------------------


def fixed_exit(world: World, order: list[int], layer: int) -> list[Round]:
    """Exit ``layer`` answers on the device, and only that exit is evaluated: γ = λ₁·layer + λ₂."""
    cost = device_cost(world, layer, every_exit=False)
    return [answer_at(world, s, layer, cost) for s in order]


def final_exit(world: World, order: list[int]) -> list[Round]:
    """Exit L answers, and pays for every exit on the way as in the paper: (λ₁ + λ₂)·L.

    `fixed_exit` at L pays λ₁·L + λ₂, the honest price. Final exit takes no notice of m: whether the device
    holds exit L is for the caller to say.
    """
    cost = device_cost(world, world.layers, every_exit=True)
    return [answer_at(world, s, world.layers, cost) for s in order]


def answer_at(world: World, s: int, i: int, cost: float) -> Round:
    """Exit i answers sample s on the device, sure or not."""
    answer = world.prediction[s][i - 1]
    r = world.confidence[s][i - 1] - world.mu * cost
    return Round(i, False, answer, cost, r, is_right(world, s, answer))


def cloud_only(world: World, order: list[int]) -> list[Round]:
    """Send the input itself: the cloud answers and the device computes nothing."""
    rounds = []
    for s in order:
        answer, cost = cloud_answer(world, s), offload_price(world, s, 0)
        r = cloud_confidence(world, s) - world.mu * cost
        rounds.append(Round(0, True, answer, cost, r, is_right(world, s, answer)))
    return rounds


# ----------------------------------------------------------------------------------------------------------
# Cascades: the exits are asked one after the other, every one of them is paid, the first sure one answers
# ----------------------------------------------------------------------------------------------------------


def cascade(
    world: World, order: list[int], is_sure: Callable[[int, int], bool], last: int | None = None
) -> list[Round]:
    """The first exit i with ``is_sure(s, i)`` answers, at the latest ``last`` (default: L); on the device."""
    last = world.layers if last is None else last
    rounds = []
    for s in order:
        i = 1
        while i < last and not is_sure(s, i):
            i = i + 1
        rounds.append(answer_at(world, s, i, device_cost(world, i, every_exit=True)))
    return rounds


def alpha_of(threshold: float | list[float], i: int) -> float:
    """α_i: one threshold for all exits, or one for each."""
    return threshold[i - 1] if isinstance(threshold, list) else threshold


def elasticbert(
    world: World, order: list[int], threshold: float | list[float], last: int | None = None
) -> list[Round]:
    """ElasticBERT by confidence: C_i ≥ α_i."""

    def is_sure(s: int, i: int) -> bool:
        return world.confidence[s][i - 1] >= float32(alpha_of(threshold, i))

    return cascade(world, order, is_sure, last)


def deebert(
    world: World, order: list[int], entropies: list[list[float]], threshold: float, last: int | None = None
) -> list[Round]:
    """DeeBERT (and ElasticBERT by entropy): H_i < S. ``entropies`` are float32 values, widened."""
    return cascade(world, order, lambda s, i: entropies[s][i - 1] < threshold, last)


def pabee(world: World, order: list[int], patience: int, last: int | None = None) -> list[Round]:
    """PABEE (and ElasticBERT by patience): so many exits in a row answered as the one before them."""

    def is_sure(s: int, i: int) -> bool:
        confirmed = 0
        for j in range(2, i + 1):
            same = world.prediction[s][j - 1] == world.prediction[s][j - 2]
            confirmed = confirmed + 1 if same else 0
        return confirmed >= patience

    return cascade(world, order, is_sure, last)


def patient_with_scores(values: list[float], patience: int, tolerance: float, last: int | None) -> int:
    """PABEE where the model regresses: scores agree where they differ by less than the tolerance."""
    last = len(values) if last is None else last
    confirmed = 0
    for i in range(1, last):
        if i >= 2:
            confirmed = confirmed + 1 if abs(values[i - 1] - values[i - 2]) < tolerance else 0
        if confirmed >= patience:
            return i
    return last


def cascade_split(world: World, order: list[int], layer: int, threshold: float | list[float]) -> list[Round]:
    """Answer at the first sure exit i ≤ layer; what is unsure there too is offloaded, unless at L."""
    rounds = []
    for s in order:
        i = 1
        while i < layer and not exits(world, s, i, alpha_of(threshold, i)):
            i = i + 1
        alpha = 0.0 if i == world.layers else alpha_of(threshold, i)  # exit L always answers
        rounds.append(split_at(world, s, i, alpha, every_exit=True))
    return rounds


# ----------------------------------------------------------------------------------------------------------
# As released: what the authors' public code does, where it differs from the paper
# ----------------------------------------------------------------------------------------------------------


def released_reward(world: World, s: int, i: int, threshold: float) -> float:
    """C_i − μ·i, or C_L − μ·(i + o): both algorithms learn on λ·i."""
    if exits(world, s, i, threshold):
        return world.confidence[s][i - 1] - world.mu * i
    return cloud_confidence(world, s) - world.mu * (i + offload_price(world, s, i))


def released(world: World, order: list[int], threshold: float, side_information: bool) -> list[Round]:
    """SplitEE and SplitEE-S as released.

    Sample i of the stream plays arm i, for i = 1..L, which is neither charged nor counted; then the loop
    meets all samples from the first, with t = 1. Reported cost: 0.8·(i − 1) + 1, or i with side information,
    and o where it offloads.
    """
    if len(order) < world.layers:
        raise ValueError("the stream is shorter than L")
    arms = range(1, world.layers + 1)
    total = {i: released_reward(world, order[i - 1], i, threshold) for i in arms}
    count = dict.fromkeys(arms, 1)
    rounds = []
    for t, s in enumerate(order, start=1):
        best, best_index = 1, -math.inf
        for i in arms:
            index = total[i] / count[i] + math.sqrt(math.log(t) / count[i])
            if index > best_index:
                best, best_index = i, index
        for j in range(1, best + 1) if side_information else [best]:  # C_L is read, observed or not
            total[j] = total[j] + released_reward(world, s, j, threshold)
            count[j] = count[j] + 1
        device = float(best) if side_information else 0.8 * (best - 1) + 1
        rounds.append(_released_round(world, s, best, not exits(world, s, best, threshold), device))
    return rounds


def released_elasticbert(world: World, order: list[int], threshold: float) -> list[Round]:
    """ElasticBERT as released: the layer after the first sure exit answers, and is what is paid."""
    rounds = []
    for s in order:
        i = 1
        while i < world.layers and not world.confidence[s][i - 1] >= float32(threshold):
            i = i + 1
        late = min(i + 1, world.layers)
        rounds.append(_released_round(world, s, late, False, float(late)))
    return rounds


def _released_round(world: World, s: int, i: int, offloaded: bool, device: float) -> Round:
    answer = cloud_answer(world, s) if offloaded else world.prediction[s][i - 1]
    sure = cloud_confidence(world, s) if offloaded else world.confidence[s][i - 1]
    cost = device + offload_price(world, s, i) if offloaded else device
    return Round(i, offloaded, answer, cost, sure - world.mu * cost, is_right(world, s, answer))


# ----------------------------------------------------------------------------------------------------------
# In hindsight
# ----------------------------------------------------------------------------------------------------------


def per_sample_oracle(world: World, order: list[int], send_input: bool = True) -> list[Round]:
    """Take the action of the greatest reward for each sample, of all that a device could do with it.

    It may offload the input (if that has a price), or evaluate one exit i of 1..m and answer there, C_i −
    μ·γ_i, or offload there, C_L − μ·(γ_i + o), unless i = L. On ties the lowest layer, and answering before
    offloading. It knows every confidence beforehand, and no label: no policy gets more reward of any sample.
    """
    rounds = []
    for s in order:
        best: Round | None = None
        for i in arms_of(world, send_input and world.offload_input is not None):
            cost = device_cost(world, i, every_exit=False)
            options = [answer_at(world, s, i, cost)] if i > 0 else []
            if i < world.layers:
                options = [*options, offload_at(world, s, i, cost)]
            for option in options:
                if best is None or option.reward > best.reward:
                    best = option
        assert best is not None
        rounds.append(best)
    return rounds


def offload_at(world: World, s: int, i: int, device: float) -> Round:
    """Offload sample s after layer i, sure or not; ``device`` is what the device has spent."""
    cost = device + offload_price(world, s, i)
    answer = cloud_answer(world, s)
    r = cloud_confidence(world, s) - world.mu * cost
    return Round(i, True, answer, cost, r, is_right(world, s, answer))


# ----------------------------------------------------------------------------------------------------------
# The device loop: custom policies
# ----------------------------------------------------------------------------------------------------------

ANSWER, OFFLOAD = 0, -1


def device_loop(
    world: World,
    order: list[int],
    begin: Callable[[int], int],
    decide: Callable[[int, float, int], int],
    learn: Callable[[int, list[tuple[int, float, int]], bool, float, float | None, int | None], None],
    delay: int = 0,
) -> list[Round]:
    """Let a policy decide exit by exit.

    ``begin(t)`` is the first exit to evaluate, 0 to offload the input. ``decide(i, C_i, class)`` answers,
    offloads, or names a deeper exit; exit L is not asked, it answers. ``learn(t, evaluated, offloaded, cost,
    cloud confidence, cloud class)`` is called once per sample when its feedback has arrived; ``evaluated``
    lists (i, C_i, class), and the cloud's are None unless it was offloaded. What is on the way after the
    last round arrives then, oldest first.
    """
    rounds: list[Round] = []
    feedback: list[tuple[object, ...]] = []
    taught: set[int] = set()

    def teach(k: int) -> None:
        learn(k + 1, *feedback[k])
        taught.add(k)

    for t, s in enumerate(order, start=1):
        evaluated: list[tuple[int, float, int]] = []
        action = begin(t)
        offloaded = action == 0
        while action > 0:
            evaluated.append((action, world.confidence[s][action - 1], world.prediction[s][action - 1]))
            action = ANSWER if action == world.layers else decide(*evaluated[-1])
            offloaded = action == OFFLOAD
        i = evaluated[-1][0] if evaluated else 0
        device = device_cost_of(world, i, len(evaluated))
        played = offload_at(world, s, i, device) if offloaded else answer_at(world, s, i, device)
        rounds.append(played)
        cloud = (cloud_confidence(world, s), cloud_answer(world, s)) if offloaded else (None, None)
        feedback.append((evaluated, offloaded, played.cost, *cloud))
        for k in arrivals(rounds, delay):
            teach(k)
    for k in range(len(rounds)):
        if k not in taught:
            teach(k)
    return rounds


def mean_reward(world: World, order: list[int], i: int, threshold: float, every_exit: bool) -> float:
    """r̄(i), the mean of r(i) over the positions of this order: summed in stream order, then divided.

    A sample that comes twice counts twice, one that never comes does not count.
    """
    total = 0.0
    for s in order:
        total = total + true_reward(world, s, i, threshold, every_exit)
    return total / len(order)


def regret(
    records: list[Round],
    world: World,
    order: list[int],
    kind: str,
    threshold: float,
    *,
    every_exit: bool = False,
    send_input: bool = False,
    has_arms: bool = True,
    explored: int = 0,
) -> list[float]:
    """Cumulative regret at t = 1, 2, …: the sum of r* − r̄(the arm played), over t rounds.

    What is charged at t is the expected gap of the arm played, not the luck of the sample it met: r̄ is a
    mean over the whole order. The played arm is always valued at the price the policy pays for it
    (``every_exit``), and only r* depends on the kind:

    - *common*: r* = max r̄(i) over i = 1..m with one exit evaluated. It depends on the world, the order and
      α only, so it is the same for every policy and regrets can be compared: at the end of the stream they
      differ by what the policies' arms are worth, and SplitEE-S owes the exits it evaluates on the way. A
      policy that may send the input can fall below zero, if that is better than any split.
    - *own*: r* over the policy's own arms at the policy's own price, the paper's figure. It is never
      negative for a policy that plays its arms, says how well a policy learned its own problem, and cannot
      be compared between policies with other γ or other arms.

    A policy without arms (final exit, fixed exit, cloud only, cascades) has its own mean reward as r̄ at
    every t, so that its regret is a straight line, falling where it beats every split.

    Parameters
    ----------
    threshold : float
        α of the policy; for a policy without one, α of the splits it is compared with.
    every_exit, send_input : bool
        Whether the policy evaluates every exit on the way; whether it may send the input.
    has_arms : bool
        Whether ``Round.split`` is an arm the policy chose.
    explored : int
        In how many first rounds it evaluates every exit, where it does not always: these are valued at that
        price, and "own" is at the price of one exit evaluated.
    """
    if kind == "common":
        best = max(mean_reward(world, order, i, threshold, every_exit=False) for i in arms_of(world))
    elif kind == "own":
        best = max(mean_reward(world, order, i, threshold, every_exit) for i in arms_of(world, send_input))
    else:
        raise ValueError(f"regret is common or own, not {kind}")

    own_mean = 0.0
    for played in records:
        own_mean = own_mean + played.reward
    own_mean = own_mean / len(records)

    if has_arms:
        played_arms = {played.split for played in records}
        worth = {i: mean_reward(world, order, i, threshold, every_exit) for i in played_arms}
    else:
        worth = {played.split: own_mean for played in records}

    regrets, owed = [], 0.0
    for t, played in enumerate(records, start=1):
        exploring = has_arms and t <= explored
        value = mean_reward(world, order, played.split, threshold, True) if exploring else worth[played.split]
        owed = owed + (best - value)
        regrets.append(owed)
    return regrets
