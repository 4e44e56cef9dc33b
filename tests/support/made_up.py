"""Made-up traces that several tests share."""

import numpy as np

import splitee


def random_trace(n: int = 200, layers: int = 5, labels: bool = True, seed: int = 0) -> splitee.Trace:
    rng = np.random.default_rng(seed)
    depth = np.linspace(-0.2, 0.1, layers)
    confidence = np.clip(rng.uniform(0.5, 1, (n, layers)) + depth, 0.5, 1)
    label = rng.integers(2, size=n)
    prediction = np.where(rng.random((n, layers)) < confidence, label[:, None], 1 - label[:, None])
    ids = [f"sample-{i}" for i in range(n)]
    return splitee.Trace(confidence, prediction, label if labels else None, "random", id=ids)


def twelve_layers(samples: int = 300, layers: int = 12, labelled: bool = True) -> splitee.Trace:
    """Return a trace whose exits are surer, and more often right, the deeper they are."""
    rng = np.random.default_rng(1)
    sure = 0.5 + 0.5 / (1 + np.exp(rng.normal(size=(samples, 1)) - np.linspace(-1, 3, layers)))
    label = rng.integers(2, size=samples)
    right = rng.random((samples, layers)) < sure
    prediction = np.where(right, label[:, None], 1 - label[:, None])
    return splitee.Trace(sure, prediction, label if labelled else None, name="made up")


def easy(rate: float = 0.002, n: int = 4000, seed: int = 0) -> splitee.Trace:
    """Exits of which the later are surer; exit 1 is seldom sure, exit 3 often; wrong at a rate where sure."""
    rng = np.random.default_rng(seed)
    last = rng.integers(2, size=n)
    sure = rng.random((n, 1)) < np.array([0.45, 0.5, 0.8, 0.9])
    wrong = rng.random((n, 4)) < np.where(sure, rate, 0.3)
    prediction = np.where(wrong, 1 - last[:, None], last[:, None])
    prediction[:, -1] = last
    confidence = np.where(sure, rng.uniform(0.9, 1, (n, 4)), rng.uniform(0.5, 0.7, (n, 4)))
    return splitee.Trace(confidence, prediction, last, "easy")


def harmless(n: int = 3000) -> splitee.Trace:
    """Exit 3 disagrees with the last exit on 6 % of the samples, and is right on half of these."""
    rng = np.random.default_rng(2)
    label = rng.integers(2, size=n)
    last = np.where(rng.random(n) < 0.03, 1 - label, label)
    prediction = np.stack([rng.integers(2, size=n), rng.integers(2, size=n), last, last], axis=1)
    swap = rng.random(n) < 0.03
    prediction[:, 2] = np.where((last != label) | swap, 1 - last, last)
    confidence = np.stack([np.full(n, 0.55), np.full(n, 0.55), rng.uniform(0.9, 1, n), np.ones(n)], axis=1)
    return splitee.Trace(confidence, prediction, label, "harmless")
