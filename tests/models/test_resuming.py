"""Samples that enter at different layers, in one batch, get the answers of the model run alone."""

import functools

import backbones
import numpy as np
import photos
import pytest
import torch
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import SwinConfig, ViTConfig

from splitee.models.config import StagedConfig
from splitee.models.early_exit import infer
from splitee.models.inputs import ImageInputs
from splitee.models.multi_exit import MultiExitModel
from splitee.models.resuming import Final, Part, resumer_of
from splitee.models.staged import StagedModel
from splitee.policies.rules import AtExit
from splitee.system.codec import as_rows
from splitee.trace.columns import read_logits


def tokens(
    rng: np.random.Generator, rows: int, most: int = 9, words: int = 40
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and masks, padded on the right."""
    lengths = rng.integers(1, most + 1, rows)
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    return np.where(mask, rng.integers(5, words, mask.shape), 1), mask


@torch.inference_mode()
def part(model: MultiExitModel, layer: int, ids: np.ndarray, mask: np.ndarray) -> Part:
    """What a device hands over after `layer` layers."""
    if not layer:
        return Part(0, mask, ids=ids)
    cut = model.run_layers(model.start(torch.tensor(ids), torch.tensor(mask)), layer)
    recent = torch.stack(cut.recent, 1).numpy() if cut.recent else None
    return Part(layer, mask, state=cut.hidden.numpy(), recent=recent)


@torch.inference_mode()
def alone(model: MultiExitModel, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return model(torch.tensor(ids), torch.tensor(mask)).logits[:, -1].numpy()


def assert_answers(model: MultiExitModel, parts: list[Part], texts: list[tuple]) -> list[Final]:
    found = resumer_of(model).finish(parts)
    for one, text in zip(found, texts, strict=True):
        np.testing.assert_allclose(one.logits, alone(model, *text), atol=1e-4)
        confidence, _, prediction = read_logits(one.logits)
        np.testing.assert_array_equal(one.prediction, prediction)
        np.testing.assert_array_equal(one.confidence, confidence)
    return found


@pytest.mark.parametrize("name", backbones.WORK)
def test_every_backbone_that_can_be_cut(name: str) -> None:
    model, rng = backbones.model(name), np.random.default_rng(0)
    texts = [tokens(rng, 2, words=60) for _ in range(4)]
    layers = [2, 0, 1, 0]
    parts = [part(model, layer, *text) for layer, text in zip(layers, texts, strict=True)]
    assert_answers(model, parts, texts)


_WIDTH = {"num_attention_heads": 2, "intermediate_size": 24, "image_size": 32, "patch_size": 8}
VISION = {
    "vit": ViTConfig(hidden_size=16, num_hidden_layers=3, **_WIDTH),
    "swin": SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1, 1], num_heads=[2] * 3, window_size=2
    ),
}
MODEL = toys.model("bert")
DEEP = toys.model("bert", exit_states=3, seed=2)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=5), st.integers(0, 99))
def test_any_batch(entries: list[tuple[int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [tokens(rng, rows) for _, rows in entries]
    for model in (MODEL, DEEP):
        parts = [part(model, layer, *text) for (layer, _), text in zip(entries, texts, strict=True)]
        assert_answers(model, parts, texts)


def test_padding_on_the_left() -> None:
    ids, mask = tokens(np.random.default_rng(1), 3)
    left = [(np.ascontiguousarray(ids[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])), (ids[:1], mask[:1])]
    assert_answers(MODEL, [part(MODEL, 0, *left[0]), part(MODEL, 2, *left[1])], left)
    assert_answers(MODEL, [part(MODEL, 1, *left[0])], left[:1])


def test_token_types_are_used_where_given() -> None:
    ids, mask = tokens(np.random.default_rng(2), 2)
    types = mask * (np.arange(mask.shape[1]) > 1)
    with torch.inference_mode():
        both = MODEL(*map(torch.tensor, (ids, mask, types))).logits[:, -1].numpy()
    found = resumer_of(MODEL).finish([Part(0, mask, ids=ids, types=types), Part(0, mask, ids=ids)])
    np.testing.assert_allclose(found[0].logits, both, atol=1e-4)
    np.testing.assert_allclose(found[1].logits, alone(MODEL, ids, mask), atol=1e-4)
    assert np.abs(found[0].logits - found[1].logits).max() > 1e-2


@pytest.mark.parametrize("options", [{"confidence": "learned"}, {"classes": 1, "score_range": (0, 5)}])
def test_other_confidences_are_those_of_early_exit(options: dict) -> None:
    model = toys.model("bert", **options)
    ids, mask = tokens(np.random.default_rng(3), 4)
    final = infer(model, {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}, AtExit(4))
    with torch.inference_mode():
        found = model(torch.tensor(ids), torch.tensor(mask))
    for layer in (0, 2, 3):
        (said,) = resumer_of(model).finish([part(model, layer, ids, mask)])
        np.testing.assert_array_equal(said.prediction, final.prediction)
        if model.config.regresses:
            change = np.abs(np.diff(found.logits[:, -2:, 0].numpy(), axis=1))[:, 0]
            np.testing.assert_allclose(said.confidence, np.clip(1 - change / 5, 0, 1), atol=1e-4)
        else:
            np.testing.assert_allclose(said.confidence, found.certainty[:, -1].numpy(), atol=1e-5)


def test_no_layer_runs_that_was_run_elsewhere() -> None:
    ids, mask = tokens(np.random.default_rng(4), 2)
    given_ = [part(MODEL, 3, ids, mask), part(MODEL, 1, ids, mask)]
    resumer, seen = resumer_of(MODEL), []
    hooks = [
        layer.register_forward_hook(lambda _, inputs, __, at=at: seen.append((at, len(inputs[0]))))
        for at, layer in enumerate(MODEL.layers, 1)
    ]
    try:
        resumer.finish(given_)
    finally:
        for hook in hooks:
            hook.remove()
    assert seen == [(2, 2), (3, 2), (4, 4)]


@settings(max_examples=15)
@given(
    st.sampled_from(["toy", "vit", "swin"]),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=5),
)
def test_images_that_enter_at_different_stages(kind: str, entries: list[tuple[int, int]]) -> None:
    """Files, and states of maps and of tokens, in one batch; each stage runs once for all that reached it."""
    model = staged(kind)
    inputs, parts, expected = ImageInputs(model.config), [], []
    for seed, (layer, rows) in enumerate(entries):
        files = tuple(photos.photo(seed * 10 + row) for row in range(rows))
        batch = inputs.batch([{"image": ("it", file)} for file in files])
        with torch.inference_mode():
            expected.append(model(**batch).logits[:, -1].numpy())
            if layer:
                cut = model.run_layers(model.start(**batch), layer)
                parts.append(Part(layer, state=as_rows(cut.hidden).numpy()))
            else:
                parts.append(Part(0, files=files))
    seen: list[int] = []
    hooks = [
        stage.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
        for stage in model.layers
    ]
    try:
        found = resumer_of(model).finish(parts)
    finally:
        for hook in hooks:
            hook.remove()
    for one, logits in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.logits, logits, atol=1e-4)
        np.testing.assert_array_equal(one.prediction, one.logits.argmax(1))
    reached = [
        sum(rows for layer, rows in entries if layer < stage) for stage in range(1, len(model.layers) + 1)
    ]
    assert seen == [rows for rows in reached if rows]


@functools.cache
def staged(kind: str) -> StagedModel:
    if kind == "toy":
        return photos.model()
    torch.manual_seed(0)
    config = VISION[kind]
    return StagedModel(StagedConfig(config.to_dict(), num_labels=3, image_size=32)).eval()
