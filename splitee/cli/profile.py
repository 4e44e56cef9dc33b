"""`splitee profile`: measure a checkpoint on this machine."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from splitee._internal import numbers
from splitee._internal.errors import InputError
from splitee.cli import options
from splitee.cli.image_options import Pictures, images, stages
from splitee.cli.meter import Meter
from splitee.cli.models_extra import check_source, need_models_extra
from splitee.cli.printing import table_console
from splitee.cli.texts import Texts, flush, keep, texts
from splitee.models.checkpoints import BUNDLED
from splitee.system.codec import CODECS, check_codec

if TYPE_CHECKING:
    from splitee.data.images import Images
    from splitee.models.profiling import Check
    from splitee.system.profile import DeviceProfile

WIDTH = 142  # of the table in a pipe, which has no width of its own
_CHECKED = 300
_CODECS = options.Read("codecs", partial(numbers.listed, read=check_codec))


@click.command("profile")
@click.argument("checkpoint", type=click.Path(path_type=Path), default=BUNDLED)
@options.out("The profile to write (.json).", required=False)
@options.name("Name of the profile.  [default: that of CHECKPOINT]")
@options.tokens(
    "Token counts of texts, ascending: 8,16,32.  [default: 4,8,16,24,32,48,64,96,… up to the limit]",
    options.LAYERS,
    None,
)
@click.option(
    "--watts",
    type=options.NUMBER,
    help="Power of this machine while it computes, if RAPL cannot be read; the profile calls it assumed.",
)
@options.threads()
@options.codec(_CODECS, ",".join(CODECS), "Codecs to time.")
@click.option(
    "--passes",
    type=click.IntRange(1, 10_000),
    default=30,
    show_default=True,
    help="Passes per token count, or of images.",
)
@click.option(
    "--check",
    type=click.IntRange(1, 100_000),
    help="With --task, --text or --images: compare the profile with inference on this many samples, timed in "
    f"the same run.  [default: {_CHECKED}]",
)
@options.task(options.DATA_SET)
@texts
@images
@stages
@options.split("With --task: its split.  [default: validation]")
@options.overwrite()
@options.as_json()
def command(
    checkpoint: Path,
    out: Path | None,
    name: str | None,
    tokens: tuple[int, ...] | None,
    watts: float | None,
    threads: int | None,
    codec: tuple[str, ...],
    passes: int,
    check: int | None,
    task: str | None,
    texts: Texts,
    pictures: Pictures,
    split: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure CHECKPOINT on this machine: ms of every layer and exit, of reading and of codecs.

    Samples are run one at a time on the processor: texts by token count, images as the model resizes them.
    Reading is tokenising texts, or decoding images. The energy is read from RAPL, where the
    system lets this user read it (Linux, mostly root only). Default: the bundled sst2_slender.

    \b
    Examples:
      splitee profile --threads 1 --out laptop.json
      splitee profile sst2-model --watts 6 --text reviews.csv --out pi.json
      splitee profile photo-model --images photos --out phone.json
    """
    need_models_extra()
    from splitee._internal.files import refuse_place
    from splitee.models.profiling import ProfileOptions, measure

    if out is not None:
        refuse_place(out, overwrite, texts.text_file)
    how = ProfileOptions(tokens, passes, threads, codec, watts)
    pictures.check(texts, task=task, split=split)
    chosen: dict[str, Any] = (
        {"texts": _texts(task, split, texts, check)}
        if pictures.path is None
        else {"images": _images(checkpoint, pictures, texts, check)}
    )
    with Meter("profile", "{:.1f} passes/s") as progress:

        def advance(passes: int) -> None:
            flush(progress.say)
            progress.advance(passes, passes)

        device, checked = measure(checkpoint, how, **chosen, name=name, begin=progress.begin, advance=advance)
    if out is not None:
        device.save(out, overwrite=overwrite)
    if as_json:
        found = None if checked is None else checked.summary()
        click.echo(json.dumps({"profile": device.to_dict(), "check": found}))
        return
    _print(device)
    if checked is not None:
        _print_check(checked)
    if out is not None:
        click.echo(f"wrote {out}")


def _texts(task: str | None, split: str | None, texts: Texts, check: int | None) -> list[list[str]] | None:
    """Return the texts to check the profile with, spread over the rows; None if none are given."""
    if task is None and texts.text_file is None:
        unused = {"--check": check, "--split": split, **texts.of_text}
        if name := next((name for name, value in unused.items() if value), None):
            raise InputError(f"{name} needs texts: give --task NAME or --text FILE (images: --images PATH)")
        return None
    check_source(task, texts.text_file, texts.of_text, {"--split": split})
    if task is not None:
        from splitee.data.tasks import load_task

        rows = load_task(task, split or "validation", texts.data_root)
        keep(rows.name, rows)
    else:
        rows = texts.load(False)
    return list(rows.take(_spread(len(rows), check)).text)


def _images(checkpoint: Path, pictures: Pictures, texts: Texts, check: int | None) -> Images:
    """Return the images to check the profile with, spread over those that are given."""
    from splitee.models.multi_exit import load_config

    rows = pictures.load(texts, getattr(load_config(checkpoint), "image_size", 0))
    return rows.take(_spread(len(rows), check))


def _spread(count: int, check: int | None) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, check or _CHECKED)).astype(np.int64))


def _print(device: DeviceProfile) -> None:
    from rich.table import Table

    facts = device.facts
    machine = facts["machine"]
    speed = "" if machine["mhz"] is None else f", {machine['mhz']:,} MHz"
    click.echo(f"{device.name}: {device.source}{speed}")
    if device.tokens is None:
        _print_stages(device)
        return
    layer, exit_ = np.asarray(device.layer_ms), np.asarray(device.exit_ms)
    total = np.asarray(device.tokenize_ms) + layer.sum(axis=1) + exit_.sum(axis=1)
    table = Table(title="ms, the median per text", title_justify="left")
    headings = ["tokens", "tokenise", "layer 1", "later\nlayers", "exit", "all layers\nand exits"]
    headings += [f"encode\n{codec}" for codec in device.encode_ms] + [
        f"KB\n{codec}" for codec in device.encode_ms
    ]
    for heading in headings:
        table.add_column(heading, justify="right")
    for row, count in enumerate(device.tokens):
        later = layer[row, 1:].mean() if layer.shape[1] > 1 else 0.0
        ms = [np.asarray(device.tokenize_ms)[row], layer[row, 0], later, exit_[row].mean(), total[row]]
        ms += [np.asarray(values)[row] for values in device.encode_ms.values()]
        kilobytes = [facts["bytes"][codec][row] / 1000 for codec in device.encode_ms]
        table.add_row(str(count), *(f"{value:.3f}" for value in ms), *(f"{size:.1f}" for size in kilobytes))
    table_console(WIDTH, highlight=False).print(table)
    click.echo("layer 1 includes the embeddings and what inference does once per text.")
    click.echo(f"energy: {facts['energy']}" + (" (--watts gives one)" if device.layer_mj is None else ""))


def _print_stages(device: DeviceProfile) -> None:
    """Print the profile of a network of stages: a row per exit."""
    from rich.table import Table

    facts = device.facts
    size = facts["image_size"]
    table = Table(title=f"ms, the median per image of {size} × {size} pixels", title_justify="left")
    table.add_column("exit after\nstage", justify="right")
    for heading in ("stages", "exit", "reading, stages\nand exits so far"):
        table.add_column(heading, justify="right")
    for what in ("encode", "KB"):
        for codec in device.encode_ms:
            table.add_column(f"{what}\n{codec}", justify="right")
    so_far = float(np.asarray(device.tokenize_ms))
    for row, stage in enumerate(facts["model"]["exits"]):
        layer, exit_ = np.asarray(device.layer_ms)[row], np.asarray(device.exit_ms)[row]
        so_far += layer + exit_
        ms = [layer, exit_, so_far, *(facts["encode_ms"][codec][row] for codec in device.encode_ms)]
        kilobytes = [facts["bytes"][codec][row] / 1000 for codec in device.encode_ms]
        table.add_row(str(stage), *(f"{value:.3f}" for value in ms), *(f"{size:.1f}" for size in kilobytes))
    table_console(WIDTH, highlight=False).print(table)
    click.echo(f"reading (decode, resize, scale): {float(np.asarray(device.tokenize_ms)):.3f} ms")
    click.echo(f"energy: {facts['energy']}" + (" (--watts gives one)" if device.layer_mj is None else ""))


def _print_check(check: Check) -> None:
    found = check.summary()
    click.echo(f"check: {found['texts']:.0f} samples, which stop at exit {found['mean_exit']:.1f} on average")
    for share in (50, 95):
        click.echo(
            f"p{share}: {found[f'measured_p{share}']:.2f} ms measured, {found[f'predicted_p{share}']:.2f} ms "
            f"predicted ({found[f'error_p{share}']:+.1%}); per sample {found[f'text_error_p{share}']:.1%}"
        )
