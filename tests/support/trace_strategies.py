"""Traces of every kind, for properties that hold for all."""

import numpy as np
from hypothesis import strategies as st

from splitee.trace import Trace
from splitee.trace.columns import entropy_bounds


@st.composite
def traces(draw, unique_ids=False, with_logits=True):
    n, layers = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    classes = draw(st.sampled_from([2, 3, 200, 40_000]))
    softmax = draw(st.booleans())

    def column(elements, *shape):
        size = int(np.prod(shape))
        return np.array(draw(st.lists(elements, min_size=size, max_size=size))).reshape(shape)

    lowest = float(np.nextafter(np.float32(1 / classes), np.float32(1))) if softmax else 0.0
    confidences = st.floats(lowest, 1, width=32)
    confidence = column(confidences, n, layers)
    numbers = st.integers(0, classes - 1)

    def entropies(shares):
        low, high = entropy_bounds(confidence, classes) if softmax else (0.0, 0.6875)
        return (low + shares * (high - low)).astype(np.float32)

    optional = {
        "label": lambda: column(numbers, n),
        "entropy": lambda: entropies(column(st.floats(0, 1, width=32), n, layers)),
        "length": lambda: column(st.integers(0, 512), n),
        "input_bytes": lambda: column(st.integers(0, 100_000), n),
        "sharpness": lambda: column(st.floats(0, 2**16, width=32), n),
        "noise": lambda: column(st.floats(0, 2**8, width=32), n),
        "group": lambda: draw(st.lists(st.text(max_size=4), min_size=n, max_size=n)),
        "id": lambda: draw(st.lists(st.text(max_size=4), min_size=n, max_size=n, unique=unique_ids)),
    }
    if with_logits and classes < 10:
        optional["logits"] = lambda: column(st.floats(-9, 9, width=16), n, layers, classes)
    columns = {name: make() for name, make in optional.items() if draw(st.booleans())}
    if draw(st.booleans()):
        columns |= {"cloud_confidence": column(confidences, n), "cloud_prediction": column(numbers, n)}
    return Trace(
        confidence,
        column(numbers, n, layers),
        name=draw(st.text(min_size=1, max_size=5)),
        classes=classes,
        softmax=softmax,
        manifest=draw(
            st.dictionaries(st.sampled_from("abc"), st.text(max_size=3) | st.integers() | st.none())
        ),
        **columns,
    )
