"""`splitee train`: backbone and data in, multi-exit checkpoint out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from splitee._internal.errors import InputError
from splitee._internal.numbers import listed, whole
from splitee.cli import options, systems
from splitee.cli.image_options import Pictures, images, stages
from splitee.cli.models_extra import TrainingData, need_models_extra, training_data
from splitee.cli.texts import flush, report
from splitee.models.checkpoints import check_out


@click.command("train")
@click.option(
    "--backbone",
    metavar="MODEL",
    required=True,
    help="What gets the exits: a folder or a name on the Hugging Face hub. For texts an encoder or decoder, "
    "for images a vision backbone (ViT, DeiT, Swin, ResNet, MobileNetV2) or a checkpoint of stages.",
)
@training_data
@images
@click.option("--validation-images", metavar="PATH", help="With --images: those of the validation.")
@click.option(
    "--frozen", is_flag=True, help="With --images: fit linear exits only, on features of the frozen stages."
)
@click.option(
    "--image-size",
    type=click.IntRange(1, 4096),
    help="With --images: pixels per side that they are resized to.  [default: as the backbone has it]",
)
@stages
@click.option("--regression", is_flag=True, help="With --text: the labels are numbers to regress.")
@options.out("Folder of the checkpoint.")
@click.option(
    "--pooling",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="Input of an exit. Of texts mean, first or last (token); auto: first with pretrained poolers, last "
    "in decoders, else mean. Of images such as avg, avg+max or grid+max (of 3 × 3 fields); auto: avg+max, if "
    "--frozen what validates best.",
)
@click.option("--exits", metavar="LAYERS", help="Layers with an exit, such as 1,3,7,12.  [default: all]")
@options.layers("Keep only this many first layers of the backbone.  [default: all]")
@click.option(
    "--exit-start",
    type=click.Choice(["new", "pooler"]),
    default="new",
    show_default=True,
    help="Start the exits' dense layers at random, or from the backbone's pretrained pooler.",
)
@click.option(
    "--exit-dense/--no-exit-dense",
    default=True,
    show_default=True,
    help="Whether an exit has a dense layer before its classifier (COST-EFF's exits have none).",
)
@options.first_exit("First layer with an exit; all later ones have one too (instead of --exits).")
@click.option(
    "--exit-states",
    default=1,
    show_default=True,
    help="Last states that an exit reads: of its layer, and of the layers (or the embedding) before it.",
)
@click.option(
    "--exit-join",
    type=click.Choice(["concat", "mean"]),
    default="concat",
    show_default=True,
    help="How these states are joined: side by side, or their mean.",
)
@options.confidence(
    "What traces and early exit take as confidence: the softmax, or a certainty learned beside the exits "
    "(BERxiT).",
    "softmax",
)
@click.option(
    "--objective",
    type=click.Choice(
        [
            *("joint", "depth-weighted", "two-stage", "alternating"),
            *("joint+distillation", "joint+distillation-released"),
            *("self-distillation", "self-distillation-released"),
        ]
    ),
    default="joint",
    show_default=True,
    help="How the exits are trained (docs/models.md).",
)
@click.option("--epochs", default=5, show_default=True, help="Largest number of epochs.")
@click.option(
    "--patience", default=1, show_default=True, help="Stop after this many epochs without improvement."
)
@click.option("--learning-rate", default=2e-5, show_default=True, help="Highest learning rate of AdamW.")
@click.option("--weight-decay", default=0.1, show_default=True, help="Weight decay of AdamW.")
@click.option("--warmup", default=0.06, show_default=True, help="Share of the steps with a rising rate.")
@options.max_tokens("Truncate texts to this many tokens.", 128)
@click.option(
    "--gradient-equilibrium/--no-gradient-equilibrium",
    default=None,
    help="Pass the mean, not the sum, of the exits' gradients to each layer.  [default: with joint]",
)
@click.option(
    "--alpha-rule",
    default="within:0.5",
    show_default=True,
    help="Rule for the recommended α on the validation rows: within:POINTS of the best accuracy, or best.",
)
@options.training
def command(
    data: TrainingData,
    pictures: Pictures,
    validation_images: str | None,
    frozen: bool,
    image_size: int | None,
    backbone: str,
    regression: bool,
    out: Path,
    pooling: str,
    exits: str | None,
    layers: int | str | None,
    exit_start: str,
    exit_dense: bool,
    first_exit: int | None,
    exit_states: int,
    exit_join: str,
    confidence: str,
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
    """Fine-tune a backbone with an exit after every layer, or fit exits to a frozen one.

    All exits are trained jointly. The epoch with the best last exit on the validation rows is kept. --out
    receives the model, its tokenizer, its recommended threshold α and validation.parquet, the trace of the
    validation rows. An interrupted command continues from its last checkpoint when it is run again.

    \b
    Example:
      splitee train --backbone bert-base-uncased --task sst2_sentences --out sst2-model
      splitee train --backbone resnet-50 --images photos --validation-rows 500 --frozen --out photo-model
    """
    need_models_extra()
    check_out(out, overwrite)
    of_images = pictures.path is not None
    unfit = OF_TEXTS if of_images else OF_IMAGES
    if name := systems.set_by_hand(*unfit):
        raise InputError(f"{systems.option(name)} {'does not go' if of_images else 'goes'} with --images")
    if frozen and (name := systems.set_by_hand(*OF_STEPS)):
        raise InputError(f"{systems.option(name)} does not go with --frozen: nothing is trained step by step")
    pictures.check(data.texts)
    if not of_images:
        data.check(regression=regression)

    from splitee.training.finetune import Recipe, finetune

    recipe = Recipe(
        pooling=pooling,
        exits=_layers(exits),
        layers=layers,
        exit_start=exit_start,
        exit_dense=exit_dense,
        first_exit=first_exit,
        exit_states=exit_states,
        exit_join=exit_join,
        confidence=confidence,
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
        image_size=image_size,
    )
    train: Any
    validation: Any
    if not of_images:
        train, validation = data.rows(seed, regression=regression)
        work: Any = finetune
    else:
        from splitee.training.frozen import fit_frozen
        from splitee.training.stages import stages_size

        size = stages_size(backbone, recipe)
        train, validation = data.images(pictures, validation_images, size, seed)
        work = fit_frozen if frozen else finetune
    model = work(
        backbone,
        train,
        validation,
        out,
        recipe,
        overwrite=overwrite,
        report=report,
    )
    flush()
    summary = {
        "checkpoint": str(out),
        "training": model.config.training,
        "recommended_threshold": model.config.recommended_threshold,
    }
    click.echo(json.dumps(summary) if as_json else f"wrote {out}")


OF_TEXTS = (
    *("task", "validation_text", "regression", "layers", "exit_start", "exit_dense", "exit_states"),
    *("exit_join", "confidence", "max_tokens"),
)  # do not go with --images
OF_IMAGES = ("validation_images", "frozen", "image_size")
OF_STEPS = (
    *("objective", "epochs", "patience", "learning_rate", "weight_decay", "warmup"),
    *("gradient_equilibrium", "precision", "checkpoint_steps"),
)  # do not go with --frozen


def _layers(exits: str | None) -> tuple[int, ...] | None:
    if exits is None:
        return None
    try:
        return listed(exits, lambda layer: whole(layer, 1))
    except InputError as error:
        raise InputError(f"--exits {error}: give layers separated by commas, such as 1,3,7,12") from error
