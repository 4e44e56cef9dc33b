"""`splitee slim`: checkpoint in, slender multi-exit checkpoint out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from splitee._internal.errors import InputError
from splitee.cli.models_extra import need_models_extra
from splitee.cli.training_data import TrainingData, training_data


@click.command("slim")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@training_data
@click.option("--params", type=float, help="Share of the parameters to keep at most, such as 0.125.")
@click.option("--heads", type=int, help="Instead: attention heads of every layer.")
@click.option("--ffn", "units", type=int, help="Feed-forward units of every layer.")
@click.option("--rank", type=int, help="Of the word embedding.  [default: as it is]")
@click.option("--layers", type=int, help="Keep only the first so many layers too (to compare).")
@click.option(
    "--assistant-epochs", default=0.0, show_default=True, help="Of a full-size teaching assistant, first."
)
@click.option("--prune-epochs", default=5.0, show_default=True, help="Between the events, all together.")
@click.option("--representation-epochs", default=8.0, show_default=True, help="On the teacher's states.")
@click.option("--prediction-epochs", default=6.0, show_default=True, help="On its states and answers.")
@click.option("--prune-rate", default=1e-5, show_default=True)
@click.option("--representation-rate", default=3e-5, show_default=True)
@click.option("--prediction-rate", default=2e-5, show_default=True)
@click.option("--batch-size", default=32, show_default=True)
@click.option(
    "--importance",
    type=click.Choice(["absolute", "signed", "random"]),
    default="absolute",
    show_default=True,
    help="Σ |w·Σ|g|| as COST-EFF's authors have it, |Σ w·g|, or drawn.",
)
@click.option(
    "--importance-share", default=1.0, show_default=True, help="Over how much of the training rows."
)
@click.option(
    "--every-exit/--last-exit", default=True, show_default=True, help="Who has a say in what is kept."
)
@click.option("--distill/--labels", default=True, show_default=True, help="Whether the checkpoint teaches.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
)
@click.option("--checkpoint-steps", default=100, show_default=True, help="Save progress every so many steps.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder of the slender checkpoint."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end.")
def command(
    checkpoint: Path,
    data: TrainingData,
    params: float | None,
    heads: int | None,
    units: int | None,
    rank: int | None,
    layers: int | None,
    assistant_epochs: float,
    prune_epochs: float,
    representation_epochs: float,
    prediction_epochs: float,
    prune_rate: float,
    representation_rate: float,
    prediction_rate: float,
    batch_size: int,
    importance: str,
    importance_share: float,
    every_exit: bool,
    distill: bool,
    precision: str,
    checkpoint_steps: int,
    seed: int,
    out: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make CHECKPOINT slender: fewer heads and units in every layer, an embedding of lower rank (COST-EFF).

    It is done step by step on the task's training rows, with CHECKPOINT as the teacher. Interrupted, the same
    command goes on in the stage where it stopped.

    \b
    Examples:
      splitee slim sst2-model --task sst2_sentences --params 0.125 --out slender
      splitee slim sst2-model --task sst2_sentences --heads 4 --ffn 192 --rank 32 --out slender
    """
    need_models_extra()
    from splitee._internal.files import refuse_existing

    refuse_existing(out, overwrite)
    data.check()
    sized = any(wanted is not None for wanted in (heads, units, rank, layers))
    if params is None and not sized:
        raise InputError("say how slender: --params SHARE, or --heads, --ffn and --rank (or --layers)")
    if params is not None and sized:
        raise InputError("--params settles the whole size: leave out --heads, --ffn, --rank and --layers")

    from splitee.models.multi_exit import load_config
    from splitee.models.slender import Widths, check_slimmable
    from splitee.training.slim_recipe import Event, SlimRecipe, size_for

    config = load_config(checkpoint)
    check_slimmable(config.backbone_config())
    if params is not None:
        size = size_for(config, params)
    else:
        now = Widths.of(config.backbone_config())
        asked = (heads, len(now.heads[0])), (units, now.units[0]), (rank, now.rank)
        size = Event(*(wanted if wanted is not None else there for wanted, there in asked))  # type: ignore[arg-type]
    recipe = SlimRecipe(
        size.heads,
        size.units,
        size.rank,
        layers=layers,
        assistant_epochs=assistant_epochs,
        prune_epochs=prune_epochs,
        representation_epochs=representation_epochs,
        prediction_epochs=prediction_epochs,
        batch_size=batch_size,
        prune_rate=prune_rate,
        representation_rate=representation_rate,
        prediction_rate=prediction_rate,
        importance=importance,
        importance_share=importance_share,
        every_exit=every_exit,
        distill=distill,
        precision=precision,
        seed=seed,
        checkpoint_steps=checkpoint_steps,
    )
    train, validation = data.rows(seed, regression=config.regresses)

    from splitee.training.slimming import slim_checkpoint

    model = slim_checkpoint(
        checkpoint,
        train,
        validation,
        out,
        recipe,
        overwrite=overwrite,
        report=lambda line: click.echo(line, err=True),
    )
    summary = {
        "checkpoint": str(out),
        "heads": size.heads,
        "ffn": size.units,
        "rank": size.rank,
        "parameters": model.num_parameters(),
        "stages": model.config.training["slimmed"]["stages"],
    }
    click.echo(
        json.dumps(summary)
        if as_json
        else f"wrote {out}: {size.heads} heads, {size.units} units, rank {size.rank or 'as it was'}, "
        f"{model.num_parameters() / 1e6:.2f} M parameters"
    )
