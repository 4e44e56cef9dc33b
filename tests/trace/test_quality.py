"""AUROC, macro-F1 and balanced accuracy, against scipy and plain counting."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.stats import mannwhitneyu

from splitee._internal.errors import InputError
from splitee.trace.quality import auroc, balanced_accuracy, macro_f1

SAMPLES = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40)
ANSWERS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@given(SAMPLES)
def test_auroc_is_the_share_of_ordered_pairs(samples):
    score, truth = np.array([s for s, _ in samples]) / 6, np.array([t for _, t in samples])
    found = auroc(score, truth)
    if truth.all() or not truth.any():
        assert math.isnan(found)
        return
    u = mannwhitneyu(score[truth], score[~truth], method="asymptotic").statistic
    assert found == pytest.approx(u / (truth.sum() * (~truth).sum()))
    assert auroc(-score, truth) == pytest.approx(1 - found)


@given(ANSWERS)
def test_f1_and_recall_by_counting(answers):
    prediction, label = [p for p, _ in answers], [t for _, t in answers]
    f1, recall = [], []
    for c in range(4):
        hit = sum(p == t == c for p, t in answers)
        predicted, labelled = prediction.count(c), label.count(c)
        if predicted + labelled:
            f1.append(2 * hit / (predicted + labelled))
        if labelled:
            recall.append(hit / labelled)
    assert macro_f1(prediction, label) == pytest.approx(sum(f1) / len(f1))
    assert balanced_accuracy(prediction, label) == pytest.approx(sum(recall) / len(recall))


def test_shapes_are_checked():
    with pytest.raises(InputError, match="one shape"):
        auroc([0.5, 0.6], [True])
    with pytest.raises(InputError, match="n ≥ 1"):
        macro_f1([], [])
