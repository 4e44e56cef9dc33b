"""Pre-train an ElasticBERT on plain text with the transformers Trainer: seeded and resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    DataCollatorForLanguageModeling,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
)

from splitee._internal.checksums import write_fingerprints
from splitee._internal.errors import InputError
from splitee._internal.files import refuse_existing
from splitee._internal.folders import claimed_folder, put_in_place
from splitee.models.elasticbert import ElasticBertConfig
from splitee.models.pretraining import ElasticBertForPreTraining, groups_of
from splitee.training.recipe import mixed_precision
from splitee.training.trainer import prepare, train_to_the_end, trainer_arguments

Pair = dict[str, Any]


@dataclass(frozen=True)
class Pretraining:
    """Options of pre-training; the authors used batches of 4096 for 125,000 steps.

    Parameters
    ----------
    steps : int
        Number of training steps.
    batch_size : int
        Pairs of segments per step.
    tokens : int
        Tokens per pair, special tokens included.
    learning_rate, weight_decay : float
        Options of AdamW.
    warmup : float
        Share of the steps in which the learning rate rises.
    mask : float
        Share of tokens that are masked.
    grouped : bool
        Whether two groups of exits alternate by batch (`groups_of`), instead of all exits in every batch.
    evaluate_every : int
        Steps between evaluations of every exit on held-out text, and between checkpoints.
    precision : {"auto", "float32", "bfloat16", "float16"}
        See `Recipe`.
    seed : int
        Seed of weights, order and masking.
    """

    steps: int = 1000
    batch_size: int = 32
    tokens: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    mask: float = 0.15
    grouped: bool = True
    evaluate_every: int = 100
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.tokens < 5:
            raise InputError(f"tokens is {self.tokens}: two segments and three special tokens need 5")
        if not 0 < self.mask < 1:
            raise InputError(f"mask is {self.mask}: give a share of the tokens between 0 and 1")
        mixed_precision(self.precision)


def segment_pairs(tokenizer: Any, texts: Sequence[str], tokens: int, seed: int) -> list[Pair]:
    """Cut texts into pairs of neighbouring segments; a random half of the pairs is swapped (order = 1).

    Returns
    -------
    list of dict
        ``input_ids`` (at most `tokens` of them), ``token_type_ids``, ``order`` and ``index``.

    Raises
    ------
    InputError
        If no text is long enough for a pair.
    """
    rng = np.random.default_rng(seed)
    half = (tokens - 3) // 2
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)[
        "input_ids"
    ]
    pairs: list[Pair] = []
    for ids in encoded:
        for start in range(0, len(ids) - half - 1, 2 * half):
            first, second = ids[start : start + half], ids[start + half : start + 2 * half]
            swapped = bool(rng.integers(2))
            if swapped:
                first, second = second, first
            head = [tokenizer.cls_token_id, *first, tokenizer.sep_token_id]
            tail = [*second, tokenizer.sep_token_id]
            kinds = [0] * len(head) + [1] * len(tail)
            pair = {"input_ids": head + tail, "token_type_ids": kinds, "order": int(swapped)}
            pairs.append(pair | {"index": len(pairs)})
    if not pairs:
        raise InputError(f"no text is longer than {half + 1} tokens, so there are no pairs: lower `tokens`")
    return pairs


def pretrain(
    config: ElasticBertConfig,
    tokenizer: Any,
    train: Sequence[Pair],
    held_out: Sequence[Pair],
    out: str | Path,
    how: Pretraining | None = None,
    *,
    encoder: PreTrainedModel | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> ElasticBertForPreTraining:
    """Pre-train and write the model to the folder `out`; resume after an interruption.

    The encoder starts from random weights, or from those of `encoder`, a pretrained BERT of the same shape.
    ``training.history`` of the configuration holds every exit's held-out losses by step.

    Raises
    ------
    FileExistsError
        If `out` exists.
    InputError
        If ``OUT.partial`` belongs to another run, or `encoder` has another shape.
    """
    how = how or Pretraining()
    out = Path(out)
    refuse_existing(out, overwrite=False)
    claim: dict[str, Any] = {
        "how": asdict(how),
        "config": config.to_dict(),
        "pairs": [_fingerprint(train), _fingerprint(held_out)],
    }
    torch.manual_seed(how.seed)
    model = ElasticBertForPreTraining(config)
    if encoder is not None:
        claim["encoder"] = _copy_encoder(model, encoder)
    with claimed_folder(out, claim) as work:
        arguments = trainer_arguments(
            work,
            batch_size=how.batch_size,
            learning_rate=how.learning_rate,
            weight_decay=how.weight_decay,
            warmup_steps=int(how.warmup * how.steps),
            seed=how.seed,
            precision=how.precision,
            save_steps=how.evaluate_every,
            max_steps=how.steps,
            logging_steps=how.evaluate_every,
        )
        trainer = _Trainer(
            groups_of(config.num_hidden_layers) if how.grouped else (None,),
            model=model,
            args=arguments,
            train_dataset=list(train),
            data_collator=lambda batch: collate(tokenizer, batch, how),
            callbacks=[_Measure(tokenizer, list(held_out), how, report)],
        )
        prepare(trainer)
        history = [entry for entry in train_to_the_end(trainer, work, report) if "mlm" in entry]
        model.config.training = {"how": asdict(how), "pairs": len(train), "history": history}
        final = work / "final"
        model.save_pretrained(final)
        tokenizer.save_pretrained(final)
        write_fingerprints(final)
        put_in_place(final, out, work)
    return model


def _copy_encoder(model: ElasticBertForPreTraining, encoder: PreTrainedModel) -> str:
    """Copy the weights of embeddings and layers; return their SHA-256."""
    for name in ("num_hidden_layers", "num_attention_heads", "hidden_act"):
        if getattr(encoder.config, name) != getattr(model.config, name):
            raise InputError(
                "the initial encoder is of another shape: "
                f"its {name} is {getattr(encoder.config, name)}, not {getattr(model.config, name)}"
            )
    own, given = model.elasticbert.state_dict(), encoder.state_dict()
    wanted = {key: values for key, values in own.items() if "pooler" not in key}
    for key, values in wanted.items():
        if key not in given or given[key].shape != values.shape:
            raise InputError(f"the initial encoder is of another shape: {key} is missing or differs")
    model.elasticbert.load_state_dict({key: given[key] for key in wanted}, strict=False)
    digest = hashlib.sha256()
    for key in sorted(wanted):
        digest.update(given[key].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _fingerprint(pairs: Sequence[Pair]) -> str:
    return hashlib.sha256(json.dumps(list(pairs)).encode()).hexdigest()


def collate(tokenizer: Any, batch: Sequence[Pair], how: Pretraining) -> dict[str, Tensor]:
    """Pad pairs and mask words (80 % masked, 10 % random, 10 % unchanged).

    The masked words depend only on the seed and the batch's members, so a resumed training masks the same.
    """
    drawn = np.random.SeedSequence([how.seed, *(one["index"] for one in batch)]).generate_state(1)
    words = DataCollatorForLanguageModeling(tokenizer, mlm_probability=how.mask, seed=int(drawn[0]))
    made = dict(words([{key: one[key] for key in ("input_ids", "token_type_ids")} for one in batch]))
    return made | {"order": torch.tensor([one["order"] for one in batch])}


class _Trainer(Trainer):
    def __init__(self, groups: Sequence[tuple[int, ...] | None], **options: Any) -> None:
        super().__init__(**options)
        self.groups = groups

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """Return the loss of the current group of exits, which depends only on the step."""
        outputs = model(**inputs, group=self.groups[self.state.global_step % len(self.groups)])
        return (outputs.loss, outputs) if return_outputs else outputs.loss


class _Measure(TrainerCallback):
    """Evaluates every exit's losses on the same held-out batches with the same masks."""

    def __init__(self, tokenizer: Any, held_out: list[Pair], how: Pretraining, report: Any) -> None:
        size = how.batch_size
        batches = [held_out[i : i + size] for i in range(0, len(held_out), size)]
        self.batches = [collate(tokenizer, batch, how) for batch in batches]
        self.every = how.evaluate_every
        self.report = report

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step == 0:
            self.measure(state, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self.measure(state, model)

    def measure(self, state: Any, model: Any) -> None:
        """Append the losses to the Trainer's history, which is stored in checkpoints."""
        model.eval()
        found = []
        with torch.no_grad():
            for batch in self.batches:
                output = model(**{key: value.to(model.device) for key, value in batch.items()})
                found.append(torch.stack([output.mlm, output.order]).float().cpu())
        model.train()
        mlm, order = torch.stack(found).mean(0).tolist()
        state.log_history.append({"step": state.global_step, "mlm": mlm, "order": order})
        words = " ".join(f"{value:.2f}" for value in mlm)
        orders = " ".join(f"{value:.3f}" for value in order)
        self.report(f"step {state.global_step}: masked words, by exit: {words}; order: {orders}")
