"""`splitee precompute`: checkpoint and data in, trace out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from splitee.cli.meter import Meter
from splitee.cli.models_extra import check_source, data_options, names_list, need_models_extra, pairs
from splitee.models.checkpoints import BUNDLED


@click.command("precompute")
@click.argument("checkpoint", type=click.Path(path_type=Path), default=BUNDLED)
@data_options
@click.option("--split", help="With --task: which split, or both as validation+test.  [default: test]")
@click.option(
    "--label-map",
    multiple=True,
    metavar="THEIRS=OURS",
    help="A label of the data and the model's class it means, where names differ (known pairs need none).",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The trace's file (.parquet).")
@click.option("--name", help="The trace's name.  [default: the file's stem]")
@click.option("--batch-size", default=32, show_default=True)
@click.option("--shard-size", default=256, show_default=True, help="Texts a shard, the unit of resuming.")
@click.option("--max-tokens", type=int, help="Cut texts to so many tokens.  [default: as in training]")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("--device", help="A torch device.  [default: a GPU where there is one, else cpu]")
@click.option(
    "--logits/--no-logits", default=None, help="Keep logits.  [default: with more than two classes]"
)
@click.option("--ray", "on_ray", is_flag=True, help="Run shards on Ray (extra ray), on this machine.")
@click.option("--ray-address", metavar="ADDRESS", help="Run shards on this Ray cluster, such as auto.")
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end.")
def command(
    checkpoint: Path,
    task: str | None,
    data_root: str | None,
    text_file: str | None,
    text_columns: tuple[str, ...],
    label_column: str | None,
    class_names: str | None,
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
    on_ray: bool,
    ray_address: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Run CHECKPOINT over data, one forward pass a text, and write the trace.

    Without CHECKPOINT it is sst2_slender, a small model that comes with splitee: six layers that tell
    negative from positive sentences.

    Killed, the same command goes on where it stopped and ends in the same file, byte for byte.

    \b
    Examples:
      splitee precompute sst2-model --task imdb --split test --out imdb.parquet
      splitee precompute --text reviews.csv --out mine.parquet
    """
    need_models_extra()
    from splitee._internal.files import refuse_place
    from splitee.data.tasks import PAIRS, load_file, load_task, map_labels
    from splitee.models.multi_exit import load_config

    refuse_place(out, overwrite, text_file)
    of_text = {"--text-column": text_columns, "--label-column": label_column, "--class-names": class_names}
    check_source(task, text_file, of_text, {"--split": split})
    config = load_config(checkpoint)
    if task is not None:
        rows = load_task(task, split or "test", data_root)
    else:
        assert text_file is not None
        columns, names = text_columns or ("text",), names_list(class_names)
        rows = load_file(text_file, columns, label_column, names, config.regresses)

    from splitee.models.precompute import PrecomputeOptions, Run, precompute, run_on

    classes = config.class_names
    known = {} if task not in PAIRS else {k: v for k, v in PAIRS[task].label_map.items() if k not in classes}
    if not config.regresses:
        rows = map_labels(rows, classes, known | pairs(label_map, "--label-map"))
    options = PrecomputeOptions(batch_size, shard_size, max_tokens, precision, device, logits)
    run: Run | None = None
    if on_ray or ray_address:
        import torch

        from splitee._internal.ray import Cluster

        run = run_on(Cluster(ray_address, cpus=torch.get_num_threads()))

    with Meter(out.name, "{:.1f} texts/s") as progress:
        trace = precompute(
            checkpoint,
            rows,
            out,
            options,
            name=name,
            run=run,
            overwrite=overwrite,
            report=progress.say,
            advance=lambda texts, tokens: progress.advance(tokens, texts),
            begin=lambda texts, tokens: progress.begin(tokens),
        )
    summary = {"trace": str(out), "name": trace.name, "samples": trace.samples, "layers": trace.layers}
    labels = "" if task is not None or rows.label is not None else ", no labels (--label-column names them)"
    told = f"wrote {out}: {trace.samples} samples, {trace.layers} exits{labels}"
    click.echo(json.dumps(summary) if as_json else told)
