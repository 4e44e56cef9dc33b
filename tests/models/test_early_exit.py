"""Early exit in batches: as one sample at a time, as the cascades of replay, no layer run in vain."""

import naive
import numpy as np
import pytest
import torch
import toys
from hypothesis import given, settings
from hypothesis import strategies as st

import splitee
from splitee._internal.errors import InputError
from splitee.data.rows import Rows
from splitee.models.cutting import Cut
from splitee.models.early_exit import infer
from splitee.models.encode import encode, pad
from splitee.models.flops import count_flops
from splitee.models.inputs import TextInputs
from splitee.models.precompute import compute_trace
from splitee.policies.rules import AtExit, Confidence, Entropy, Patience, Rule
from splitee.trace import Trace

TEXTS = [
    "good",  # one word
    "",  # none
    "w1 bad w2 w3 w4 w5 fine",
    "dull poor w9 " * 9,  # more than the model takes
    *(" ".join(f"w{(7 * i + j) % 40}" for j in range(1 + i % 11)) for i in range(28)),
]
ALONE = 14  # of them are also run one at a time
TOKENIZER = toys.tokenizer()
SCORES = {"classes": 1, "score_range": (0, 5)}


def made(kind: str, classes: int) -> tuple[torch.nn.Module, Trace]:
    """A toy, and the trace that it writes of the texts."""
    torch.manual_seed(0)
    options = SCORES if classes == 1 else {"classes": classes}
    model = toys.model(kind, max_tokens=16, **options)
    rows = Rows("texts", (TEXTS,), None, None, [str(i) for i in range(len(TEXTS))], {})
    return model, compute_trace(model, TextInputs(TOKENIZER, model), rows)


def batch(texts: list[str]) -> dict[str, torch.Tensor]:
    return pad(encode(TOKENIZER, (texts,), 16), TOKENIZER.pad_token_id)


def between(values: np.ndarray, quantile: float) -> float:
    """A threshold far from all values, so that float error of the encoder decides nothing."""
    ordered = np.unique(values.astype(np.float64))
    gaps = np.diff(ordered)
    near = np.argsort(np.abs(np.arange(len(gaps)) - quantile * len(gaps)))[:15]
    widest = near[gaps[near].argmax()]
    return float((ordered[widest] + ordered[widest + 1]) / 2)


def policies(trace: Trace) -> list[splitee.policies.Policy]:
    """Cascades of every kind that this trace can meet."""
    found = [
        splitee.PABEE(1),
        splitee.PABEE(2, last=3),
        splitee.FixedExit(1),
        splitee.FixedExit(3),
        splitee.FixedExit(toys.LAYERS),
        splitee.ElasticBERT(threshold=0.0),
        splitee.ElasticBERT(threshold=1.0),
    ]
    for quantile in (0.2, 0.5, 0.9):
        found.append(splitee.ElasticBERT(between(trace.confidence, quantile)))
        if trace.entropy is not None:
            found.append(splitee.DeeBERT(between(trace.entropy, quantile)))
    if trace.value is not None:
        apart = np.abs(np.diff(trace.value.astype(np.float64), axis=1))
        found += [splitee.PABEE(2, tolerance=between(apart, quantile)) for quantile in (0.3, 0.6)]
    return found


QUICK = {("bert", 2), ("mpnet", 3), ("roberta", 1), ("distilbert", 2), ("electra", 3)}


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        pytest.param(kind, classes, marks=() if (kind, classes) in QUICK else pytest.mark.slow)
        for kind in toys.KINDS
        for classes in (1, 2, 3)
    ],
)
def test_batches_answer_as_one_at_a_time_and_as_the_cascades_of_replay(kind, classes):
    model, trace = made(kind, classes)
    seen = set()
    for policy in policies(trace):
        last = getattr(policy, "last", None)
        replayed = splitee.replay(trace, policy, orders=[np.arange(trace.samples)]).split[0]
        whole = infer(model, batch(TEXTS), policy.rule, last=last)
        alone = [infer(model, batch([text]), policy.rule, last=last) for text in TEXTS[:ALONE]]
        assert whole.exit.tolist() == replayed.tolist(), policy
        assert whole.exit[:ALONE].tolist() == [int(one.exit[0]) for one in alone], policy
        answers = trace.prediction[np.arange(trace.samples), replayed - 1]
        assert whole.prediction.tolist() == answers.tolist()
        assert whole.prediction[:ALONE].tolist() == [int(one.prediction[0]) for one in alone]
        np.testing.assert_allclose(
            whole.logits[:ALONE], np.concatenate([one.logits for one in alone]), rtol=1e-4, atol=1e-5
        )
        if classes == 1:
            said = trace.value[np.arange(trace.samples), replayed - 1]
            np.testing.assert_allclose(whole.logits[:, 0], said, rtol=1e-4, atol=1e-5)
        seen |= set(whole.exit)
    assert seen == set(range(1, toys.LAYERS + 1)), "every exit has answered"


@pytest.mark.parametrize(
    ("rule", "per_layer"),
    [
        (Confidence(0.0), [32, 0, 0, 0]),  # all leave at exit 1
        (Confidence(1.0), [32, 32, 32, 32]),  # none does
        (Patience(4), [32, 32, 32, 32]),
        (AtExit(2), [32, 32, 0, 0]),
        (Entropy(0.5), None),
    ],
)
def test_a_layer_sees_only_who_is_still_there(rule, per_layer, monkeypatch):
    model, _ = made("mpnet", 3)
    seen = [0] * toys.LAYERS
    heads = [0] * toys.LAYERS

    def count(of, number):
        def hook(module, arguments, output):
            of[number] += len(output[0] if isinstance(output, tuple) else output)

        return hook

    for number, (layer, head) in enumerate(zip(model.layers, model.exit_heads, strict=True)):
        layer.register_forward_hook(count(seen, number))
        head.register_forward_hook(count(heads, number))
    answers = infer(model, batch(TEXTS), rule)
    there = [int((answers.exit >= layer).sum()) for layer in range(1, toys.LAYERS + 1)]
    assert seen == there
    assert per_layer is None or there == per_layer
    assert heads == ([0, 32, 0, 0] if isinstance(rule, AtExit) else there)


def test_exits_at_some_layers_only():
    model = toys.model("bert", exits=[2, 4])
    answers = infer(model, batch(TEXTS), Confidence(0.8))
    assert set(answers.exit) == {1, 2}, "exits are counted as a trace counts them"
    with torch.no_grad():
        logits = model(**batch(TEXTS)).logits.numpy()
    np.testing.assert_allclose(answers.logits, logits[np.arange(32), answers.exit - 1], rtol=1e-4, atol=1e-5)


@given(st.data())
@settings(max_examples=60)
def test_patience_with_scores_is_its_specification(data):
    n, layers = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 6))
    grid = st.sampled_from([0.0, 0.5, 0.94, 1.0, 1.44, 2.0, 5.0])
    values = np.array(
        data.draw(st.lists(st.lists(grid, min_size=layers, max_size=layers), min_size=n, max_size=n)),
        dtype=np.float32,
    )
    patience, tolerance = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([0.5, 0.94, 1.0, 3.0]))
    last = data.draw(st.none() | st.integers(1, layers))
    trace = Trace(
        np.full((n, layers), 0.5), np.zeros((n, layers), int), classes=6, softmax=False, value=values
    )
    policy = splitee.PABEE(patience, last, tolerance)
    split = splitee.replay(trace, policy, orders=[np.arange(n)]).split[0]
    expected = [naive.patient_with_scores(list(map(float, row)), patience, tolerance, last) for row in values]
    assert split.tolist() == expected


def test_entropy_of_certain_logits_is_finite():
    model, _ = made("bert", 2)
    with torch.no_grad():
        for head in model.exit_heads:
            head.classifier.weight.mul_(1e6)
    assert (infer(model, batch(TEXTS), Entropy(1e-9)).exit == 1).all()


@pytest.mark.parametrize(
    ("rule", "options", "classes", "word"),
    [
        (AtExit(5), {}, 2, "exits 1 to 4"),
        (Confidence(0.5), {"last": 0}, 2, "exit 0"),
        (Confidence(0.5), {"last": 5}, 2, "exits 1 to 4"),
        (Entropy(0.5), {}, 1, "scores have none"),
    ],
)
def test_what_cannot_be_asked(rule: Rule, options, classes, word):
    model, _ = made("bert", classes)
    with pytest.raises(InputError, match=word):
        infer(model, batch(TEXTS), rule, **options)


def test_a_table_as_long_as_the_batch_is_no_samples():
    mask = torch.ones(8, 5)
    table, bias, padded = torch.randn(8, 3), torch.randn(8, 2, 5, 5), torch.ones(8, 5)
    turned = torch.randn(8, 5, 4)
    calls = (((table, bias), {"mask": padded, "other": None}), ((bias,), {"rotary": (turned, turned)}))
    fewer = Cut(torch.randn(8, 5, 4), 1, mask, calls).take(torch.tensor([1, 3]))
    (first, options), (second, more) = fewer.calls
    assert first[0] is table
    assert torch.equal(first[1], bias[[1, 3]])
    assert second[0] is first[1], "what layers share is selected once"
    assert options["mask"].shape == fewer.mask.shape == (2, 5)
    assert torch.equal(more["rotary"][0], turned[[1, 3]])


def test_a_model_in_training_mode_answers_as_in_evaluation_mode():
    model, _ = made("bert", 3)
    expected = infer(model, batch(TEXTS), AtExit(4)).logits
    model.train()
    model.exit_heads[0].eval()
    modes = [part.training for part in model.modules()]
    for _ in range(2):
        np.testing.assert_array_equal(infer(model, batch(TEXTS), AtExit(4)).logits, expected)
    count_flops(model, 5)
    assert [part.training for part in model.modules()] == modes
    with pytest.raises(InputError):
        infer(model, batch(TEXTS), AtExit(9))
    assert [part.training for part in model.modules()] == modes


def test_an_empty_batch():
    model, _ = made("bert", 2)
    with pytest.raises(InputError, match="no samples"):
        infer(model, {"input_ids": torch.zeros((0, 4), dtype=torch.long)}, Confidence(0.5))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Confidence(1.5), "between 0 and 1"),
        (lambda: Entropy(-0.1), "nats"),
        (lambda: Patience(0), "at least 1"),
        (lambda: Patience(1, 0.0), "tolerance"),
        (lambda: AtExit(0), "at least 1"),
    ],
)
def test_rules_that_cannot_be(make, word):
    with pytest.raises(InputError, match=word):
        make()
