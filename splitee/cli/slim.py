"""`splitee slim`: checkpoint in, slender multi-exit checkpoint out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from splitee._internal.errors import InputError
from splitee.cli import options
from splitee.cli.models_extra import TrainingData, need_models_extra, training_data
from splitee.cli.texts import flush, report
from splitee.models.checkpoints import check_out


@click.command("slim")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@training_data
@options.out("Folder of the smaller checkpoint.")
@click.option("--params", type=float, help="Largest share of the parameters to keep, such as 0.125.")
@click.option("--heads", type=int, help="Attention heads per layer (instead of --params).")
@click.option("--ffn", "units", type=int, help="Feed-forward units per layer (instead of --params).")
@click.option("--rank", type=int, help="Rank of the word embedding (instead of --params).  [default: full]")
@options.layers("Keep only this many first layers too, for comparison.")
@click.option(
    "--teacher-layers",
    type=click.Choice(["spread", "first"]),
    default="spread",
    show_default=True,
    help="With --layers: the teacher's layers whose states are learned; the first as released.",
)
@options.first_exit("Drop the exits before this layer.")
@click.option(
    "--attention-weight",
    default=0.0,
    show_default=True,
    help="Weight of a loss on attention maps, added to the loss on states.",
)
@click.option(
    "--recipe",
    "task_recipe",
    type=click.Choice(["mrpc", "sst-2", "qnli", "mnli", "cola", "qqp"]),
    default="sst-2",
    show_default=True,
    help="COST-EFF's epochs and share for this task and number of heads, where the options below do not say "
    "otherwise.",
)
@click.option(
    "--assistant-epochs", type=float, help="Epochs of a full-size teaching assistant, trained first; 0: none."
)
@click.option(
    "--assistant-start",
    type=click.Choice(["encoder", "teacher"]),
    default="encoder",
    show_default=True,
    help="Initial weights of the assistant: the pretrained encoder, as released, or CHECKPOINT.",
)
@click.option("--encoder", metavar="MODEL", help="The pretrained encoder.  [default: as CHECKPOINT records]")
@click.option("--prune-epochs", type=float, help="Epochs of pruning, over all steps together.")
@click.option(
    "--representation-share",
    type=float,
    help="Share of the pruning epochs that use only the loss on the teacher's hidden states.",
)
@click.option("--representation-epochs", type=float, help="Epochs on the teacher's hidden states.")
@click.option("--prediction-epochs", type=float, help="Epochs on its hidden states and answers.")
@click.option("--prune-rate", type=float, help="Learning rate of pruning.  [default: 1e-5, as released]")
@click.option(
    "--representation-rate",
    type=float,
    help="Learning rate of the representation epochs.  [default: 3e-5; with --batch-size 64 4e-5]",
)
@click.option(
    "--prediction-rate",
    type=float,
    help="Learning rate of the prediction epochs.  [default: 2e-5; with --batch-size 64 3e-5]",
)
@click.option(
    "--importance",
    type=click.Choice(["absolute", "signed", "random"]),
    default="absolute",
    show_default=True,
    help="Importance of a head or unit: Σ |w·Σ|g||, as COST-EFF's authors have it; |Σ w·g|; or random.",
)
@click.option(
    "--importance-loss",
    type=click.Choice(["states+predictions", "predictions"]),
    default="states+predictions",
    show_default=True,
    help="Loss whose change is the importance; the first as released.",
)
@click.option(
    "--event-order",
    type=click.Choice(["train-first", "prune-first"]),
    default="train-first",
    show_default=True,
    help="Order within a pruning event; the first as released.",
)
@click.option(
    "--states-average",
    type=click.Choice(["sample", "token"]),
    default="sample",
    show_default=True,
    help="Average of the loss on states: per sample, then over samples, as released; or over all tokens.",
)
@click.option(
    "--importance-share",
    default=1.0,
    show_default=True,
    help="Share of the training rows over which importance is measured.",
)
@click.option(
    "--every-exit/--last-exit",
    default=True,
    show_default=True,
    help="Exits whose loss counts for the importance.",
)
@click.option(
    "--distill/--labels", default=True, show_default=True, help="Learn from the checkpoint, or from labels."
)
@options.training
def command(
    checkpoint: Path,
    data: TrainingData,
    params: float | None,
    heads: int | None,
    units: int | None,
    rank: int | None,
    layers: int | str | None,
    teacher_layers: str,
    first_exit: int | None,
    attention_weight: float,
    task_recipe: str,
    assistant_epochs: float | None,
    assistant_start: str,
    encoder: str | None,
    prune_epochs: float | None,
    representation_share: float | None,
    representation_epochs: float | None,
    prediction_epochs: float | None,
    prune_rate: float | None,
    representation_rate: float | None,
    prediction_rate: float | None,
    batch_size: int,
    importance: str,
    importance_loss: str,
    event_order: str,
    states_average: str,
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
    """Compress CHECKPOINT by pruning and distillation (COST-EFF).

    Every layer keeps fewer heads and feed-forward units, and the word embedding a lower rank. CHECKPOINT is
    the teacher, and the task's training rows are read. An interrupted command continues in the stage where it
    stopped when it is run again.

    \b
    Examples:
      splitee slim sst2-model --task sst2_sentences --params 0.125 --out slender
      splitee slim sst2-model --task sst2_sentences --heads 4 --ffn 192 --rank 32 --out slender
    """
    need_models_extra()
    check_out(out, overwrite)
    data.check()
    sized = any(wanted is not None for wanted in (heads, units, rank, layers))
    if params is None and not sized:
        raise InputError("say how slender: --params SHARE, or --heads, --ffn and --rank (or --layers)")
    if params is not None and sized:
        raise InputError("--params sets the whole size: leave out --heads, --ffn, --rank and --layers")

    from splitee.models.multi_exit import check_encoder, load_config
    from splitee.models.slender import Widths, check_slimmable
    from splitee.training.slim_recipe import WHY_NOT, Event, SlimRecipe, size_for

    check_encoder(checkpoint, WHY_NOT)
    config = load_config(checkpoint)
    check_slimmable(config.backbone_config())
    if params is not None:
        size = size_for(config, params)
    else:
        now = Widths.of(config.backbone_config())
        asked = (heads, len(now.heads[0])), (units, now.units[0]), (rank, now.rank)
        size = Event(*(wanted if wanted is not None else there for wanted, there in asked))  # type: ignore[arg-type]
    given = {
        "assistant_epochs": assistant_epochs,
        "prune_epochs": prune_epochs,
        "representation_share": representation_share,
        "representation_epochs": representation_epochs,
        "prediction_epochs": prediction_epochs,
        "prune_rate": prune_rate,
        "representation_rate": representation_rate,
        "prediction_rate": prediction_rate,
    }
    recipe = SlimRecipe.for_task(
        task_recipe,
        size.heads,
        size.units,
        size.rank,
        **{name: value for name, value in given.items() if value is not None},
        layers=layers,
        teacher_layers=teacher_layers,
        first_exit=first_exit,
        attention_weight=attention_weight,
        assistant_start=assistant_start,
        importance_loss=importance_loss,
        event_order=event_order,
        states_average=states_average,
        batch_size=batch_size,
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
        encoder=encoder,
        overwrite=overwrite,
        report=report,
    )
    flush()
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
        else f"wrote {out}: {size.heads} heads, {size.units} units, rank {size.rank or 'unchanged'}, "
        f"{model.num_parameters() / 1e6:.2f} M parameters"
    )
