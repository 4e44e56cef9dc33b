"""Precomputing against the bare encoder on the same batches, and against a loop that pads to 128 tokens.

python benchmarks/precompute.py [--backbone FOLDER] [--texts 256]

An encoder of MPNet's base size (12 layers, 768 wide; with --backbone, that one) reads texts as long as the
bundled Yelp sentences and IMDb reviews are. Timed in one run and in turns, since a machine's speed changes
(medians of ratios of neighbours): the encoder's forward on the batches that precompute plans; precompute's
passes (padding, encoder, all exits, logits to NumPy); for short texts, the usual loop: batches as they come,
padded to 128; and tokenising. Then the same passes in bfloat16, and compiled by torch.compile where that
works, with what they change.
"""

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch
from timing import clock
from transformers import AutoTokenizer, MPNetConfig

import splitee
from splitee.models.encode import encode, pad
from splitee.models.multi_exit import MultiExitConfig, MultiExitModel
from splitee.models.passes import Passes, Shard, plan_batches

TURNS = 3


def beside(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """How many times as long as ours theirs takes: the median over turns, after one that does not count."""
    turns = [clock(theirs) / clock(ours) for _ in range(TURNS + 1)]
    return median(turns[1:])


def measure(model: MultiExitModel, trace: str, texts: int, tokenizer: object) -> None:
    """Measure one kind of texts."""
    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.choice(splitee.load_trace(trace).length, texts), 500)
    encoded = [
        {"input_ids": [0, *rng.integers(1000, 30_000, max(1, length - 2)).tolist(), 2]} for length in lengths
    ]
    batches = plan_batches(np.array([len(one["input_ids"]) for one in encoded]), 32)
    shard = Shard(0, [(members, [encoded[i] for i in members]) for members in batches])
    padded = [pad(inputs, 1) for _, inputs in shard.batches]

    def bare() -> None:
        with torch.inference_mode():
            for inputs in padded:
                model.backbone(**inputs)

    def as_they_come() -> None:
        with torch.inference_mode():
            for first in range(0, texts, 32):
                inputs = pad([*encoded[first : first + 32], {"input_ids": [1] * 128}], 1)
                model(**{name: values[:-1] for name, values in inputs.items()}).logits.numpy()

    batch = partial(pad, pad_id=1)
    passes = Passes(model, batch, "float32")
    ours = lambda: passes.outputs(shard)  # noqa: E731
    print(f"{trace}: {beside(ours, bare):.3f} of the bare encoder, {texts / clock(ours):.1f} texts/s")
    if lengths.mean() < 64:
        print(f"  {beside(ours, as_they_come):.2f} × a loop that pads to 128")
    if tokenizer is not None:
        words = [" ".join(["good"] * int(length)) for length in lengths]
        share = 1 / beside(lambda: encode(tokenizer, [words], 512), ours)
        print(f"  tokenising takes {100 * share:.2f} % of that time")
    half = Passes(model, batch, "bfloat16")
    _told("bfloat16", beside(lambda: half.outputs(shard), ours), half.outputs(shard), ours())
    try:
        whole = Passes(torch.compile(model, dynamic=True), batch, "float32")
        compiling = clock(lambda: whole.outputs(shard))
        faster = beside(lambda: whole.outputs(shard), ours)
        _told(f"torch.compile (after {compiling:.0f} s)", faster, whole.outputs(shard), ours())
    except Exception as error:  # whatever a compiler says
        print(f"  torch.compile does not work here: {' '.join(str(error).split())[:100]}")


def _told(name: str, faster: float, ours: np.ndarray, theirs: np.ndarray) -> None:
    confidence = [np.exp(logits - logits.max(-1, keepdims=True)) for logits in (ours, theirs)]
    ours, theirs = (1 / part.sum(-1) for part in confidence)
    print(
        f"  {name}: {faster:.2f} × as fast, confidences change by {abs(ours - theirs).max():.4f}", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", help="a folder; default: random weights of the same size")
    parser.add_argument("--texts", type=int, default=256)
    given = parser.parse_args()
    torch.manual_seed(0)
    if given.backbone:
        model = MultiExitModel.from_backbone(given.backbone, num_labels=2)
        tokenizer = AutoTokenizer.from_pretrained(given.backbone)
    else:
        model, tokenizer = MultiExitModel(MultiExitConfig(MPNetConfig().to_dict(), num_labels=2)), None
    model.eval()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    measure(model, "yelp_sentences", given.texts, tokenizer)
    measure(model, "imdb", max(32, given.texts // 8), tokenizer)


if __name__ == "__main__":
    main()
