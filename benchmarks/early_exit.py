"""Early exit in batches against the full forward pass, and against the speed-up that layers alone allow.

python benchmarks/early_exit.py [--backbone FOLDER] [--batches 4]

An encoder of MPNet's base size (with --backbone, that one) reads batches of 32 texts as long as the bundled
Yelp sentences and IMDb reviews are. Each sample leaves at the exit where the bundled trace leaves by that
rule; all exits on the way are evaluated. Timed in one run, in turns, each the median of five after a warm-up:
the full forward pass with its last exit, `infer` in batches of 32, and `infer` one sample at a time. Ideal is
L / mean layers used: no exit, no copying, no smaller batch costs anything.
"""

import argparse
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from timing import clock
from torch import Tensor
from transformers import MPNetConfig

import splitee
from splitee.models.early_exit import infer
from splitee.models.encode import pad
from splitee.models.multi_exit import MultiExitConfig, MultiExitModel
from splitee.policies.rules import AtExit, Memory, Rule, Said, Sure

BATCH = 32


class Scripted(Rule):
    """Each sample leaves where it is told to; what exits say is worked out all the same."""

    def __init__(self, exits: np.ndarray) -> None:
        self.exits = exits.astype(np.float64)[:, None]

    def sure(self, exit_: int, said: Said, memory: Memory | None) -> tuple[Sure, Memory]:
        """Take the places from the script, once; afterwards they are what is remembered."""
        memory = self.exits if memory is None else memory
        return memory[:, 0] == exit_, memory


def in_turns(works: list[Callable[[], object]]) -> list[float]:
    """Seconds of each, the median of five rounds after one that does not count."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(6):
        for work, mine in zip(works, seconds, strict=True):
            mine.append(clock(work))
    return [median(mine[1:]) for mine in seconds]


def measure(model: MultiExitModel, name: str, count: int, threshold: float) -> None:
    """Measure one kind of texts under one threshold."""
    trace = splitee.load_trace(name)
    assert trace.length is not None
    policy = splitee.ElasticBERT(threshold)
    leave = splitee.replay(trace, policy, orders=[np.arange(trace.samples)]).split[0]
    rng = np.random.default_rng(0)
    chosen = rng.choice(trace.samples, BATCH * count, replace=False)
    chosen = chosen[np.argsort(-trace.length[chosen], kind="stable")]  # batches of like length
    work: list[tuple[dict[str, Tensor], Scripted]] = []
    singles: list[tuple[dict[str, Tensor], Scripted]] = []
    for first in range(0, len(chosen), BATCH):
        rows = chosen[first : first + BATCH]
        texts = [
            {"input_ids": [0, *rng.integers(1000, 30_000, max(1, int(trace.length[i]) - 2)).tolist(), 2]}
            for i in rows
        ]
        work.append((pad(texts, 1), Scripted(leave[rows])))
        singles += [(pad([text], 1), Scripted(leave[[i]])) for text, i in zip(texts, rows, strict=True)]

    def run(jobs: list[tuple[dict[str, Tensor], Scripted]], rule: Rule | None = None) -> None:
        for inputs, scripted in jobs:
            infer(model, inputs, rule or scripted)

    with torch.inference_mode():
        full, batched, alone = in_turns(
            [lambda: run(work, AtExit(len(model.exits))), lambda: run(work), lambda: run(singles)]
        )
    layers = float(leave[chosen].mean())
    ideal = len(model.exits) / layers
    print(
        f"| {name}, α = {threshold:g} | {trace.length[chosen].mean():.0f} | {layers:.2f} | {ideal:.2f} "
        f"| {full / batched:.2f} | {full / batched / ideal:.2f} | {full / alone:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", help="a folder; default: random weights of the same size")
    parser.add_argument("--batches", type=int, default=4)
    given = parser.parse_args()
    torch.manual_seed(0)
    if given.backbone:
        model = MultiExitModel.from_backbone(given.backbone, num_labels=2)
    else:
        model = MultiExitModel(MultiExitConfig(MPNetConfig().to_dict(), num_labels=2))
    model.eval()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| texts | tokens | layers used | ideal | `infer`, batches of 32 | of ideal | one at a time |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    measure(model, "yelp_sentences", given.batches, 0.9)
    measure(model, "yelp_sentences", given.batches, 0.8)
    measure(model, "imdb", max(1, given.batches // 4), 0.9)


if __name__ == "__main__":
    main()
