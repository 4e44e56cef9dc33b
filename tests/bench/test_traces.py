"""The traces of the suite: two halves without a common sample, made of bundled files."""

import numpy as np
import pytest

import splitee
from splitee.bench.traces import FORMS, MOST, halves
from splitee.trace.bundled import bundled_traces


def test_there_are_enough_and_all_are_bundled() -> None:
    assert len(FORMS) >= 20
    assert {file for form in FORMS.values() for file in form.files} <= set(bundled_traces())
    assert {form.kind for form in FORMS.values()} == {"text", "image"}


@pytest.mark.parametrize("name", FORMS)
def test_halves_have_labels_and_no_common_sample(name: str) -> None:
    both = halves(name)
    first, second = both.choose, both.judge
    assert first.has_labels
    assert second.has_labels
    assert not set(first.id) & set(second.id)
    assert abs(first.samples - second.samples) <= 1
    assert first.samples <= MOST
    assert both.source is None or both.source.layers == first.layers


def test_calibrated_forms_answer_alike_and_are_less_sure() -> None:
    plain, calibrated = halves("imdb"), halves("imdb calibrated")
    whole = splitee.load_trace("imdb")
    rows = {sample: row for row, sample in enumerate(whole.id)}
    order = [rows[sample] for sample in calibrated.judge.id]
    assert (calibrated.judge.prediction == whole.prediction[order]).all()
    assert plain.judge.recommended_threshold != calibrated.judge.recommended_threshold
    assert calibrated.source is not None
    assert calibrated.judge.confidence[:, -1].mean() < plain.judge.confidence[:, -1].mean()


def test_a_mixed_form_has_every_image_once() -> None:
    both = halves("caltech101 mixed")
    ids = [*both.choose.id, *both.judge.id]
    images = [sample.partition("/")[2] for sample in ids]
    assert len(set(images)) == len(images) == splitee.load_trace("caltech101").samples
    assert both.choose.group is not None
    assert len(np.unique(both.choose.group)) == 4
