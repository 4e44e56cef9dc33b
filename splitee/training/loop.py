"""The training loop: the transformers Trainer, which resumes an interrupted run as if it had not stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import TrainerState

from splitee._internal.checksums import damaged_file
from splitee.elue.metrics import pearson_and_spearman
from splitee.models.exits import certainty_loss
from splitee.models.inputs import Inputs
from splitee.models.network import ExitNetwork
from splitee.training.objectives import OBJECTIVES
from splitee.training.recipe import Recipe
from splitee.training.trainer import (
    LengthTrainer,
    collate,
    newest_checkpoint,
    prepare,
    read_state,
    step_of,
    trainer_arguments,
)

Report = Callable[[str], None]


def train_model(
    model: ExitNetwork,
    inputs: Inputs,
    train: list[dict[str, Any]],
    validation: list[dict[str, Any]],
    recipe: Recipe,
    work: Path,
    report: Report,
) -> TrainerState:
    """Train from the last checkpoint in `work`, if any, to the end; return the Trainer's final state."""
    last = _last_checkpoint(work, report)
    if last is not None:
        state = TrainerState.load_from_json(str(last / "trainer_state.json"))
        if state.global_step >= state.max_steps or _patience_is_over(state, recipe):
            report(f"the training was finished earlier, at step {state.global_step}")
            return state
        report(f"resuming from step {state.global_step} of {state.max_steps}")
    else:
        report(
            f"training on {len(train)} rows, at most {recipe.epochs} epochs; validating on {len(validation)}"
        )
    trainer = _trainer(model, inputs, train, validation, recipe, work, report)
    result = trainer.train(resume_from_checkpoint=None if last is None else str(last))
    report(
        f"trained {trainer.state.global_step} steps in {result.metrics['train_runtime']:.0f} s (this session)"
    )
    return trainer.state


def _trainer(
    model: ExitNetwork,
    inputs: Inputs,
    train: list[dict[str, Any]],
    validation: list[dict[str, Any]],
    recipe: Recipe,
    work: Path,
    report: Report,
) -> Trainer:
    steps = -(-len(train) // recipe.batch_size) * recipe.epochs
    arguments = trainer_arguments(
        work,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup_steps=int(recipe.warmup * steps),
        seed=recipe.seed,
        precision=recipe.precision,
        save_steps=recipe.checkpoint_steps,
        num_train_epochs=recipe.epochs,
        per_device_eval_batch_size=64,
        eval_strategy="epoch",
        metric_for_best_model="score",
        greater_is_better=True,
        logging_steps=20,
        label_names=["labels"],
    )
    measure = measure_of(model)
    by_exits = correlations if model.config.regresses else accuracies
    trainer = _Trainer(
        recipe,
        model=model,
        args=arguments,
        data_collator=lambda batch: collate(batch, inputs.batch),
        train_dataset=train,
        eval_dataset=validation,
        compute_metrics=lambda output: _scores(by_exits(output.predictions, output.label_ids), recipe),
        callbacks=[_Judge(recipe, measure, report)],
    )
    prepare(trainer)
    return trainer


class _Judge(TrainerCallback):
    """Saves every epoch after its evaluation, stops the training when patience is exhausted, and reports.

    Its decisions depend only on the Trainer's history, so a resumed training decides the same.
    """

    def __init__(self, recipe: Recipe, measure: str, report: Report) -> None:
        self.recipe = recipe
        self.measure = measure
        self.report = report
        self.began = self.shown = 0.0
        self.began_at = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = self.shown = time.monotonic()
        self.began_at = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # the end of an epoch is saved once, after its evaluation; a resumed training could not make up for it
        if state.global_step % (state.max_steps // args.num_train_epochs) == 0:
            control.should_save = False

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        now, done = time.monotonic(), state.global_step - self.began_at
        if "loss" not in logs or not done or now < self.shown + 10:
            return
        self.shown = now
        rate = done / (now - self.began)
        left = (state.max_steps - state.global_step) / rate / 60
        self.report(
            f"step {state.global_step} of {state.max_steps} (epoch {state.epoch:.2f}): "
            f"loss {float(logs['loss']):.3f}, {rate:.2f} steps/s, at most {left:.0f} min left"
        )

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        control.should_save = True
        control.should_training_stop |= _patience_is_over(state, self.recipe)
        shown = " ".join(f"{100 * a:.1f}" for a in by_exit(metrics))
        self.report(f"epoch {state.epoch:.0f}: validation {self.measure} by exit, %: {shown}")


class _Trainer(LengthTrainer):
    def __init__(self, recipe: Recipe, **options: Any) -> None:
        super().__init__(**options)
        self.recipe = recipe

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """Return the loss of the recipe's objective at this step."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs)
        objective = OBJECTIVES[self.recipe.objective]
        steps = self.state.max_steps // self.recipe.epochs * self.recipe.first_half
        loss, frozen = objective.loss, False
        if objective.second is not None and self.state.global_step >= steps:
            loss, frozen = objective.second, True
        outputs = model(**inputs, frozen=frozen)
        step, labels = self.state.global_step + 1, inputs["labels"]
        value = loss(outputs.logits, labels, step)
        if outputs.certainty is not None and (frozen or objective.every_exit(step)):
            value = value + certainty_loss(outputs.certainty, outputs.logits, labels)
        return (value, outputs) if return_outputs else value


def measure_of(model: ExitNetwork) -> str:
    """Return the validation measure: "accuracy", or "correlation" for regression."""
    return "correlation" if model.config.regresses else "accuracy"


def accuracies(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> list[float]:
    """Return the accuracy of each exit; shapes (n, exits, classes) and (n,)."""
    right = (logits.argmax(-1) == np.asarray(labels)[:, None]).mean(axis=0)
    return [float(share) for share in right]


def correlations(values: NDArray[np.float32], scores: NDArray[np.float64]) -> list[float]:
    """Return the mean of Pearson's and Spearman's correlation per exit; shapes (n, exits, 1) and (n,)."""
    return [pearson_and_spearman(column, scores) for column in values[..., 0].T]


def _scores(each: list[float], recipe: Recipe) -> dict[str, float]:
    """Return the metrics of an epoch; "score", the last exit's or the mean over exits, selects the best one.

    The mean is used for objectives that train the other exits separately.
    """
    chosen = each[-1] if OBJECTIVES[recipe.objective].second is None else float(np.mean(each))
    return {"score": chosen} | {f"score_exit_{i}": score for i, score in enumerate(each, 1)}


def evaluations(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of the Trainer's history that evaluate an epoch."""
    return [entry for entry in log if "eval_score" in entry]


def _patience_is_over(state: TrainerState, recipe: Recipe) -> bool:
    """Return whether the last `patience` epochs brought no improvement; a first half is not evaluated."""
    half = 0 if OBJECTIVES[recipe.objective].second is None else recipe.first_half
    scores = [entry["eval_score"] for entry in evaluations(state.log_history)][half:]
    return bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= recipe.patience


def by_exit(metrics: dict[str, Any]) -> list[float]:
    """Return the validation score of each exit from an entry of `evaluations`."""
    prefix = "eval_score_exit_"
    found = {int(k.removeprefix(prefix)): float(v) for k, v in metrics.items() if k.startswith(prefix)}
    return [found[i] for i in sorted(found)]


def _last_checkpoint(work: Path, report: Report) -> Path | None:
    """Return the newest complete checkpoint whose best epoch is there too, or None."""
    return newest_checkpoint(work, report, lambda one: _is_evaluated(one) and _has_best(one, work, report))


def _is_evaluated(checkpoint: Path) -> bool:
    """Return whether the evaluation of an epoch that ends at a checkpoint was made before it was saved."""
    state = read_state(checkpoint) or {}
    step = state["global_step"]
    if step % (state["max_steps"] // state["num_train_epochs"]):
        return True
    return any(entry["step"] == step for entry in evaluations(state["log_history"]))


def _has_best(checkpoint: Path, work: Path, report: Report) -> bool:
    """Return whether the checkpoint of the best epoch so far, which will be the result, is not damaged."""
    best = (read_state(checkpoint) or {}).get("best_global_step")
    if not best or best == step_of(checkpoint):
        return True
    damaged = damaged_file(work / f"checkpoint-{best}")
    if damaged:
        report(f"the best epoch (checkpoint-{best}) is damaged ({damaged}): {checkpoint.name} is not used")
    return not damaged
