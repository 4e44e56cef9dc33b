"""`splitee device`: the device half of the live pair."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from splitee._internal.errors import InputError
from splitee.cli import live_options, options, system_options, systems
from splitee.cli.image_options import Pictures, images, stages
from splitee.cli.texts import Texts, flush, texts
from splitee.system.settings import SystemSettings

if TYPE_CHECKING:
    from splitee.data.images import Images
    from splitee.data.rows import Rows
    from splitee.runtime.device import Device
    from splitee.runtime.halves import Half
    from splitee.runtime.setting import Setting

_TYPICAL = 200  # texts from which a typical length is taken
WITHOUT_SYSTEM = ("sends", "codec", "arrivals", "deadline")  # options of a system that hold without one


@click.command("device")
@click.argument("model", type=click.Path(path_type=Path))
@options.cloud("The cloud half, such as http://10.0.0.2:8000.", "URL")
@click.option("--cloud-model", help="The model's name there.  [default: that of the checkpoint]")
@click.option("--cloud-ca", metavar="FILE", help="Certificates to trust, for https.")
@live_options.token_file("File with the token that the cloud wants.")
@options.policy("The policy, one.  [default: that of --plan]")
@click.option("--plan", "plan_file", metavar="FILE", help="What splitee plan --json wrote: system and rule.")
@texts
@images
@stages
@click.option("--listen", metavar="HOST:PORT", help="Take samples by HTTP: POST /, GET /status.")
@options.device_layers("m, the layers that the device holds: a number, half or all.  [default: all]")
@options.threshold(options.THRESHOLD, "α.  [default: the model's recommended one, else 0.7]")
@options.exploration()
@options.send_input()
@options.source("The source's validation trace, for policies that use it.")
@options.offload(options.NUMBER, "o in λ, without a system.")
@options.mu(options.NUMBER, "μ.  [default: 0.1 per λ]", None)
@options.seed("Seed of the policy's random numbers, of random arrivals and of --distort.")
@system_options.live_system
@options.threads()
@click.option("--complete-log", is_flag=True, help="Compute all exits after the answer: the log is a trace.")
@options.out("The log to write (.parquet); LOG.journal is kept while the device runs.")
@options.overwrite("Replace --out, and begin anew.")
@options.as_json("Print answers as JSON lines, and at the end a summary as JSON.")
def command(**given: Any) -> None:
    """Run the device half of MODEL: a checkpoint, sst2_slender, or a folder of `splitee export onnx`.

    Texts come from --text FILE, from lines of standard input (--text -), or by HTTP (--listen); images, for
    a network of stages, from --images PATH or by HTTP. The policy decides on each: answer, or offload to the
    cloud half (`splitee serve`). If the cloud is gone or too late, the device answers by itself. Everything
    is logged, and `splitee verify-log` replays it. A device that was killed resumes when the command is run
    again. SIGTERM ends it in order.

    \b
    Examples:
      splitee device sst2_slender --cloud http://127.0.0.1:8000 --policy splitee-s \\
        --text t.csv --out log.parquet
      splitee device half --cloud http://10.0.0.2:8000 --plan plan.json \\
        --listen 127.0.0.1:9000 --out log.parquet
      splitee device photo-model --cloud http://10.0.0.2:8000 --policy splitee-s \\
        --images photos --out log.parquet
    """
    live_options.need("device", "httpx", "tokenizers")
    import os

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    run(given)


def run(given: dict[str, Any]) -> None:
    """Open what the options name, and answer samples until they end."""
    from splitee._internal.files import refuse_place
    from splitee.runtime.connection import Connection
    from splitee.runtime.device import Device
    from splitee.runtime.halves import open_half
    from splitee.runtime.interfaces import interface_of
    from splitee.runtime.journal import Journal
    from splitee.runtime.log import write_log
    from splitee.runtime.setting import Rules

    out: Path = given["out"]
    journal_file = out.with_name(out.name + ".journal")
    found, pictures = _source(given)
    resumes = journal_file.exists() and not given["overwrite"]
    if not resumes:
        refuse_place(out, given["overwrite"])
        journal_file.unlink(missing_ok=True)
    token = live_options.read_token(given["token_file"])
    half = open_half(given["model"], given["device_layers"] or "all", given["threads"])
    rows = _rows(found, pictures, half, given["seed"])
    setting = _setting(given, half, rows)
    rules = Rules(setting)
    source = rows.identity if rows is not None else "stream"
    journal = Journal(journal_file, {"setting": setting.to_dict(), "input": source})
    if resumes:
        _say(f"{journal_file}: goes on after {len(journal.records):,} samples")
    connection = None
    if given["cloud"] is not None:
        connection = Connection(
            given["cloud"], interface_of(half.facts), token=token, model=given["cloud_model"],
            verify=given["cloud_ca"] or True, say=_say,
        )  # fmt: skip
    try:
        device = Device(half, rules, connection, journal)
        flush()
        _run(device, given, rows)
    finally:
        if connection is not None:
            connection.close()
        journal.close()
    write_log(setting, device.records, out, overwrite=True)
    whole = rows is not None and len(device.records) == len(rows)
    if whole:
        journal_file.unlink()
    summary = {"out": str(out), **device.view.to_dict()}
    click.echo(json.dumps(summary) if given["as_json"] else f"wrote {out}: {device.view.line()}")


def _run(device: Device, given: dict[str, Any], rows: Any) -> None:
    from splitee.runtime import running
    from splitee.runtime.records import Record

    classes = device.half.facts["classes"]

    def reply(record: Record) -> None:
        found = running.answer_of(record, classes)
        text = (
            json.dumps(found)
            if given["as_json"]
            else f"{found['id']}\t{found['class']}\t{found['confidence']}"
        )
        click.echo(text)

    with running.stopping() as stop, _shown(device, given["as_json"]):
        if rows is not None:
            arrivals = _arrivals(device.rules.setting, len(rows))
            running.run_rows(
                device, _samples(rows), list(rows.id), _labels(rows, classes), arrivals, stop,
                reply if given["as_json"] else lambda record: None,
            )  # fmt: skip
        elif given["listen"]:
            host, _, port = given["listen"].rpartition(":")
            if not port.isdecimal() or int(port) > 65535:
                raise InputError(f"--listen {given['listen']}: write it as HOST:PORT, such as 127.0.0.1:9000")
            with running.endpoint(device, host or "127.0.0.1", int(port)) as (source, number):
                _say(f"listening on http://{host or '127.0.0.1'}:{number}")
                running.run_stream(device, source, stop)
        else:
            running.run_stream(device, running.lines_of(device, sys.stdin, reply), stop)


def _source(given: dict[str, Any]) -> tuple[Texts, Pictures]:
    """Return where samples come from; InputError unless it is one place."""
    found: Texts = given.pop("texts")
    pictures: Pictures = given.pop("pictures")
    pictures.check(found)
    if sum(one is not None for one in (found.text_file, pictures.path, given["listen"])) != 1:
        raise InputError(
            "give either --text FILE (- for standard input), --images PATH or --listen HOST:PORT for the "
            "samples"
        )
    return found, pictures


def _rows(found: Texts, pictures: Pictures, half: Half, seed: int) -> Rows | Images | None:
    """Return the rows of --text or --images; None for standard input and for --listen."""
    from splitee.data.pictures import read_picture

    of_images = "shapes" in half.facts
    if found.text_file is not None and of_images:
        raise InputError("--text: the model reads images: give --images PATH or --listen HOST:PORT")
    if pictures.path is not None and not of_images:
        raise InputError("--images: the model reads texts: give --text FILE or --listen HOST:PORT")
    if pictures.path is not None:
        images = pictures.load(found, half.facts["image_size"], seed)
        for id_, one in zip(images.id, images.data, strict=True):
            read_picture(one, f"{pictures.path}: image {id_}")  # else a damaged one would end a long run
        return images
    return None if found.text_file in (None, "-") else found.load(False)


def _samples(rows: Rows | Images) -> list[Any]:
    """Return what a device's half encodes, one a row: a text or a pair, or an image file."""
    return list(rows.data) if hasattr(rows, "data") else list(zip(*rows.text, strict=True))


def _setting(given: dict[str, Any], half: Half, rows: Any) -> Setting:
    """Return the setting that the options describe."""
    from splitee.policies.problem import DEFAULT_THRESHOLD
    from splitee.runtime.planned import planned
    from splitee.runtime.setting import Setting

    described, system, costs = given["given"], None, None
    threshold, policy = given["threshold"], next(iter(given["policies"]), None)
    if len(given["policies"]) > 1:
        raise InputError(f"--policy is given {len(given['policies'])} times: a device runs one")
    held = half.facts["device_exits"]
    if given["plan_file"] is not None:
        if name := systems.set_by_hand(*system_options.LIVE_NAMES):
            raise InputError(f"--plan describes the system: leave {systems.option(name)} out")
        system, rule, alpha = planned(given["plan_file"])
        policy, threshold = policy or rule, alpha if threshold is None else threshold
    elif described["device"] is not None or described["layer_ms"] is not None:
        system = SystemSettings(**described).system(held, systems.option).to_dict()
    else:
        if name := systems.set_by_hand(*(set(system_options.LIVE_NAMES) - set(WITHOUT_SYSTEM))):
            raise InputError(f"{systems.option(name)} is of a system: give --device FILE or --layer-ms too")
        costs = {"offload": given["offload"]}
    if policy is None:
        raise InputError("give the policy: --policy NAME, such as splitee-s, or --plan FILE")
    timing = described if system is None else system
    arrivals = timing["arrivals"] if rows is not None else None
    recommended = (half.facts.get("recommended_threshold") or {}).get("value", DEFAULT_THRESHOLD)
    return Setting(
        model=dict(half.facts),
        policy=policy,
        threshold=float(recommended if threshold is None else threshold),
        exploration=float(given["exploration"]),
        send_input=given["send_input"],
        costs=costs,
        system=system,
        mu=given["mu"],
        sends=described["sends"],
        codec=described["codec"],
        **_typical(half, rows),
        seed=given["seed"],
        source=given["source"],
        arrivals=arrivals,
        deadline=timing["deadline"],
        one_at_a_time=rows is not None and arrivals is None,
        every_exit=given["complete_log"],
    )


def _labels(rows: Rows | Images, classes: list[str]) -> list[int] | None:
    """Return the rows' labels as the model's classes, for the log; None if they are no names of these."""
    if rows.label is None:
        return None
    names = [str(name) for name in rows.label_names or range(int(rows.label.max()) + 1)]
    if unknown := [name for name in names if name not in classes]:
        _say(
            f"the model has no class {unknown[0]!r} (it has {', '.join(classes)[:200]}): the log "
            "gets no labels (--class-names names them)"
        )
        return None
    return [classes.index(names[label]) for label in rows.label.tolist()]


def _typical(half: Half, rows: Rows | Images | None) -> dict[str, int]:
    """Return the median length or size of the first samples of a table; of a stream it is not known."""
    if rows is None:
        return {}
    if isinstance(sizes := getattr(rows, "sizes", None), np.ndarray):
        return {"typical_bytes": int(sorted(sizes.tolist())[len(sizes) // 2])}
    lengths = sorted(len(half.encode(text)["input_ids"]) for text in _samples(rows)[:_TYPICAL])
    return {"typical_tokens": lengths[len(lengths) // 2]}


def _arrivals(setting: Setting, count: int) -> list[float] | None:
    """Return when the rows of a table arrive, ms; None: each when the one before it is answered."""
    from splitee.system.arrivals import Arrivals

    given: Any = setting.arrivals
    if isinstance(given, str) and "/" not in given:
        given = float(given)
    times = Arrivals.of(given).times(count, 0, 1, setting.seed)
    return times[:, 0].tolist() if len(times) else None


def _say(line: str) -> None:
    click.echo(f"splitee: {line}", err=True)


@contextmanager
def _shown(device: Device, quiet: bool) -> Iterator[None]:
    """Print how it goes on standard error: every second on a terminal, else every minute."""
    terminal, ended = sys.stderr.isatty(), threading.Event()

    def show() -> None:
        while not ended.wait(1.0 if terminal else 60.0):
            line = device.view.line()
            click.echo(f"\r\x1b[K{line}" if terminal else line, err=True, nl=not terminal)

    thread = threading.Thread(target=show, name="view", daemon=True)
    if not quiet:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if not quiet:
            thread.join()
        if terminal and not quiet:
            click.echo("\r\x1b[K", err=True, nl=False)
