"""`splitee precompute`: checkpoint and data in, trace out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitee._internal.errors import InputError
from splitee.cli import options
from splitee.cli.image_options import Pictures, images, stages
from splitee.cli.meter import Meter
from splitee.cli.models_extra import check_source, need_models_extra
from splitee.cli.texts import Texts, flush, hold, keep, texts
from splitee.models.checkpoints import BUNDLED

if TYPE_CHECKING:
    from splitee.data.images import Images
    from splitee.data.rows import Rows


@click.command("precompute")
@click.argument("checkpoint", type=click.Path(path_type=Path), default=BUNDLED)
@options.task(options.DATA_SET)
@texts
@images
@stages
@options.seed("With --distort: of the noise and of the draw.")
@options.split("With --task: its split, or two as validation+test.  [default: test]")
@click.option(
    "--label-map",
    multiple=True,
    metavar="THEIRS=OURS",
    help="A label of the data and the model's class for it, where the names differ. Repeatable.",
)
@options.out("The trace file to write (.parquet).")
@options.name("Name of the trace.  [default: the name of the file]")
@options.batch_size("Samples per forward pass.")
@click.option(
    "--shard-size",
    default=256,
    show_default=True,
    help="Samples per shard; finished shards are not repeated.",
)
@options.max_tokens("Truncate texts to this many tokens.  [default: as in training]")
@options.precision(("float32", "bfloat16"), "Precision of the encoder.")
@options.device("A torch device.  [default: a GPU if there is one, else cpu]")
@click.option(
    "--logits/--no-logits", default=None, help="Store logits.  [default: if there are 3 or more classes]"
)
@options.confidence("Confidence of the trace, for a model with a learned one.  [default: as in training]")
@options.on_ray("shards")
@options.overwrite()
@options.as_json()
def command(
    checkpoint: Path,
    texts: Texts,
    task: str | None,
    pictures: Pictures,
    seed: int,
    split: str | None,
    label_map: tuple[str, ...],
    out: Path,
    name: str | None,
    batch_size: int,
    shard_size: int,
    max_tokens: int | None,
    precision: str,
    device: str | None,
    logits: bool | None,
    confidence: str | None,
    on_ray: bool,
    ray_address: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Run CHECKPOINT over data, one forward pass per sample, and write the trace.

    The default CHECKPOINT is sst2_slender, a small bundled model: six layers that classify sentences as
    negative or positive. An interrupted command continues when it is run again, and writes the same file,
    byte for byte.

    \b
    Examples:
      splitee precompute sst2-model --task imdb --split test --out imdb.parquet
      splitee precompute --text reviews.csv --out mine.parquet
      splitee precompute photo-model --images photos --distort blur2 --out blurred.parquet
    """
    need_models_extra()
    from splitee._internal.files import refuse_place
    from splitee.data.tasks import PAIRS, load_task, map_labels
    from splitee.models.multi_exit import load_config

    refuse_place(out, overwrite, texts.text_file)
    pictures.check(texts, task=task, split=split)
    if pictures.path is None:
        check_source(task, texts.text_file, texts.of_text, {"--split": split})
    config = load_config(checkpoint)
    rows: Rows | Images
    if pictures.path is not None:
        if not hasattr(config, "image_size"):
            raise InputError(
                f"{checkpoint} reads texts: --images is for networks of stages, give --text FILE"
            )
        rows = pictures.load(texts, config.image_size, seed)
    elif task is not None:
        rows = load_task(task, split or "test", texts.data_root)
        keep(rows.name, rows)
    else:
        rows = texts.load(config.regresses)

    from splitee.models.precompute import PrecomputeOptions, Run, precompute, run_on
    from splitee.trace.checks import check_labels

    classes = config.class_names
    known = {} if task not in PAIRS else {k: v for k, v in PAIRS[task].label_map.items() if k not in classes}
    if not config.regresses:
        rows = map_labels(rows, classes, known | options.pairs(label_map, "--label-map", "THEIRS=OURS"))
    how = PrecomputeOptions(batch_size, shard_size, max_tokens, precision, device, logits, confidence)
    run: Run | None = None
    if on_ray or ray_address:
        import torch

        from splitee._internal.ray import Cluster

        run = run_on(Cluster(ray_address, cpus=torch.get_num_threads()))

    with Meter(out.name, "{:.1f} samples/s") as progress:

        def advance(texts: int, tokens: int) -> None:
            flush(progress.say)  # now that the model works on these texts
            progress.advance(tokens, texts)

        trace = precompute(
            checkpoint,
            rows,
            out,
            how,
            name=name,
            run=run,
            overwrite=overwrite,
            report=hold,
            advance=advance,
            begin=lambda texts, tokens: progress.begin(tokens),
        )
        flush(progress.say)
    if trace.has_labels:
        for warning in check_labels(trace):
            click.echo(f"warning: {warning}", err=True)
    summary = {"trace": str(out), "name": trace.name, "samples": trace.samples, "layers": trace.layers}
    labels = "" if task is not None or rows.label is not None else ", no labels (--label-column names them)"
    line = f"wrote {out}: {trace.samples} samples, {trace.layers} exits{labels}"
    click.echo(json.dumps(summary) if as_json else line)
