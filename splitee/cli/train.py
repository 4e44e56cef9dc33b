"""`splitee train`: backbone and data in, multi-exit checkpoint out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from splitee._internal.errors import InputError
from splitee.cli.models_extra import need_models_extra
from splitee.cli.training_data import TrainingData, training_data


@click.command("train")
@click.option(
    "--backbone", required=True, help="Encoder to put exits on: a folder or a name on the Hugging Face hub."
)
@training_data
@click.option("--regression", is_flag=True, help="With --text: the labels are numbers, to be regressed.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the checkpoint.")
@click.option(
    "--pooling",
    type=click.Choice(["auto", "mean", "first"]),
    default="auto",
    show_default=True,
    help="What exits read; auto: the first token with ElasticBERT, else the mean over tokens.",
)
@click.option("--exits", help="Layers with an exit, such as 1,3,7,12.  [default: all]")
@click.option(
    "--layers", type=int, help="Keep only the first so many layers of the backbone.  [default: all]"
)
@click.option(
    "--exit-dense/--no-exit-dense",
    default=True,
    show_default=True,
    help="Whether exits have a dense layer before their classifier (COST-EFF's have none).",
)
@click.option(
    "--objective",
    type=click.Choice(["joint", "depth-weighted", "two-stage", "alternating", "self-distillation"]),
    default="joint",
    show_default=True,
    help="How the exits are trained (docs/models.md).",
)
@click.option("--epochs", default=5, show_default=True, help="At most so many.")
@click.option(
    "--patience", default=1, show_default=True, help="Stop after so many epochs without a better one."
)
@click.option("--batch-size", default=32, show_default=True)
@click.option("--learning-rate", default=2e-5, show_default=True)
@click.option("--weight-decay", default=0.1, show_default=True)
@click.option("--warmup", default=0.06, show_default=True, help="Share of the steps.")
@click.option("--max-tokens", default=128, show_default=True, help="Texts are cut to so many tokens.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="Of the encoder while training; auto: mixed bfloat16 on a GPU that has it, else float32.",
)
@click.option(
    "--gradient-equilibrium/--no-gradient-equilibrium",
    default=None,
    help="Let the mean, not the sum, of the exits' gradients reach each layer.  [default: with joint]",
)
@click.option(
    "--alpha-rule",
    default="within:0.5",
    show_default=True,
    help="How the recommended α is chosen on the validation rows: within:POINTS of the best, or best.",
)
@click.option("--checkpoint-steps", default=100, show_default=True, help="Save progress every so many steps.")
@click.option("--seed", default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end.")
def command(
    data: TrainingData,
    backbone: str,
    regression: bool,
    out: Path,
    pooling: str,
    exits: str | None,
    layers: int | None,
    exit_dense: bool,
    objective: str,
    epochs: int,
    patience: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    warmup: float,
    max_tokens: int,
    precision: str,
    gradient_equilibrium: bool | None,
    alpha_rule: str,
    checkpoint_steps: int,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Fine-tune a backbone with an exit after every layer.

    All exits are trained jointly; the epoch whose last exit is best on the validation rows is kept. The
    folder --out gets the model, its tokenizer, its recommended threshold α and validation.parquet, the trace
    of the validation rows. Interrupted, the same command goes on from the last checkpoint.

    \b
    Example:
      splitee train --backbone bert-base-uncased --task sst2_sentences --out sst2-model
    """
    need_models_extra()
    from splitee._internal.files import refuse_existing

    refuse_existing(out, overwrite)
    data.check(regression=regression)
    train, validation = data.rows(seed, regression=regression)

    from splitee.training.finetune import Recipe, finetune

    recipe = Recipe(
        pooling=pooling,
        exits=_layers(exits),
        layers=layers,
        exit_dense=exit_dense,
        objective=objective,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup=warmup,
        max_tokens=max_tokens,
        gradient_equilibrium=gradient_equilibrium,
        precision=precision,
        seed=seed,
        alpha_rule=alpha_rule,
        checkpoint_steps=checkpoint_steps,
    )
    model = finetune(
        backbone,
        train,
        validation,
        out,
        recipe,
        overwrite=overwrite,
        report=lambda line: click.echo(line, err=True),
    )
    summary = {
        "checkpoint": str(out),
        "training": model.config.training,
        "recommended_threshold": model.config.recommended_threshold,
    }
    click.echo(json.dumps(summary) if as_json else f"wrote {out}")


def _layers(exits: str | None) -> tuple[int, ...] | None:
    if exits is None:
        return None
    try:
        return tuple(int(layer) for layer in exits.split(","))
    except ValueError as error:
        raise InputError(
            f"--exits {exits!r}: give layer numbers separated by commas, such as 1,3,7,12"
        ) from error
