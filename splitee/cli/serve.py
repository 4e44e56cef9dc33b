"""`splitee serve`: the cloud half of the live pair."""

from __future__ import annotations

import json
from pathlib import Path

import click

from splitee.cli import image_options, live_options, options
from splitee.cli.models_extra import need_models_extra


@click.command("serve")
@click.argument("model", type=click.Path(path_type=Path))
@live_options.host("Address to listen on; 0.0.0.0: all.")
@live_options.port("Port to listen on; 0: any that is free.", 8000)
@live_options.token_file("File with the token that clients must give.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate (PEM), to serve https.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Key of --tls-cert (PEM).")
@options.max_tokens("Most tokens per text.  [default: as in training]")
@click.option(
    "--max-rows", type=click.IntRange(1, 4096), default=64, show_default=True, help="Samples of a request."
)
@click.option(
    "--batch-rows", type=click.IntRange(1, 4096), default=32, show_default=True, help="Samples of a batch."
)
@click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="Tokens of a batch, padded.",
)
@click.option(
    "--linger",
    type=click.FloatRange(0, 1000),
    default=2.0,
    show_default=True,
    help="ms that a batch waits, at most, for clients that were there before.",
)
@click.option(
    "--waiting",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Samples that may wait for a batch.",
)
@click.option(
    "--connections", type=click.IntRange(min=1), default=512, show_default=True, help="Connections at once."
)
@click.option(
    "--body-seconds",
    type=click.FloatRange(0.01, 3600),
    default=60.0,
    show_default=True,
    help="Time for a body to come.",
)
@click.option(
    "--stop-seconds",
    type=click.IntRange(0, 3600),
    default=30,
    show_default=True,
    help="Time to answer at a stop.",
)
@options.threads()
@image_options.stages
@live_options.log_level()
@options.as_json("Print what the model takes and returns as one JSON document, and do not serve.")
def command(
    model: Path,
    host: str,
    port: int,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    max_tokens: int | None,
    max_rows: int,
    batch_rows: int,
    batch_tokens: int,
    linger: float,
    waiting: int,
    connections: int,
    body_seconds: float,
    stop_seconds: int,
    threads: int | None,
    log_level: str,
    as_json: bool,
) -> None:
    """Serve MODEL, a checkpoint or sst2_slender, to devices and to clients of the Open Inference Protocol v2.

    An input is the tokens of texts, or image files for a network of stages, or the state of a device after
    some layer. The output is what the last exit says. Requests that wait are run together, whatever their
    layer. /metrics is for Prometheus. The log on standard error is one JSON object per line. SIGTERM answers
    what is open, then stops.
    """
    need_models_extra()
    live_options.need("models,serve", "starlette", "uvicorn", "httptools", "prometheus_client")
    token = live_options.read_token(token_file)
    import torch

    from splitee.runtime.cloud import Limits, open_cloud
    from splitee.runtime.logs import log_to
    from splitee.runtime.serving import Listening, Server

    if threads is not None:
        torch.set_num_threads(threads)
    limits = Limits(max_rows, batch_rows, batch_tokens, waiting, linger / 1000)
    cloud = open_cloud(model, limits, token=token, max_tokens=max_tokens)
    if as_json:
        click.echo(json.dumps(cloud.interface.metadata()))
        return
    log_to(level=log_level)
    listening = Listening(
        host,
        port,
        certificate=tls_cert,
        key=tls_key,
        connections=connections,
        body_seconds=body_seconds,
        stop_seconds=stop_seconds,
    )
    Server(cloud, listening).run()
