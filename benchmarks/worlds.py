"""What is replayed: synthetic confidences, higher in higher layers, and shuffles."""

import numpy as np
from numpy.typing import NDArray

import splitee


def made_up(samples: int, layers: int) -> splitee.Trace:
    """Return a trace of two classes, each exit right as often as its confidence says."""
    rng = np.random.default_rng(0)
    depth = np.linspace(-0.2, 0.1, layers)
    confidence = np.clip(rng.uniform(0.5, 1, (samples, layers)) + depth, 0.5, 1).astype(np.float32)
    prediction = (rng.random((samples, layers)) > confidence).astype(int)
    return splitee.Trace(confidence, prediction, np.zeros(samples, dtype=int))


def shuffles(samples: int, repeats: int) -> NDArray[np.int64]:
    """Return an order a repeat, shape (repeats, samples)."""
    return np.array([np.random.default_rng(repeat).permutation(samples) for repeat in range(repeats)])
