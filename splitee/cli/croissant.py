"""`splitee trace croissant`: the Croissant metadata of a trace file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from splitee.cli import options


@click.command("croissant", short_help="Write the Croissant metadata (JSON-LD) of TRACE.")
@click.argument("trace")
@options.out("The JSON file to write.  [default: standard output]", required=False)
@click.option(
    "--content-url", metavar="URL", help="Where TRACE can be downloaded.  [default: beside the JSON]"
)
@click.option("--license", multiple=True, metavar="URL", help="Licence of the trace. Repeatable.")
@click.option("--url", metavar="URL", help="Page of the trace.")
@click.option("--creator", metavar="NAME", help="Person who made it.")
@click.option("--date-published", metavar="DATE", help="When it was published: YYYY-MM-DD.")
@click.option("--cite-as", metavar="TEXT", help="How to cite it, best in BibTeX.")
@click.option("--description", metavar="TEXT", help="What it is.  [default: from its manifest]")
@options.overwrite()
def command(
    trace: str,
    out: Path | None,
    content_url: str | None,
    license: tuple[str, ...],
    url: str | None,
    creator: str | None,
    date_published: str | None,
    cite_as: str | None,
    description: str | None,
    overwrite: bool,
) -> None:
    """Write the Croissant metadata of TRACE, a trace file or a bundled trace, as JSON-LD.

    Croissant requires a licence, a page, a creator and a date. Bundled traces have them; of other traces they
    are read from the manifest (license, url, creator, datePublished) or given by options.

    \b
    Example:
      splitee trace croissant imdb --out imdb.json
    """
    from splitee._internal.files import refuse_place, write_text
    from splitee.trace.croissant import croissant

    if out is not None:
        refuse_place(out, overwrite, trace)
    given: dict[str, Any] = {
        "license": list(license) or None,
        "url": url,
        "creator": creator,
        "datePublished": date_published,
        "citeAs": cite_as,
        "description": description,
    }
    text = json.dumps(croissant(trace, given, content_url=content_url), indent=1, ensure_ascii=False)
    if out is None:
        click.echo(text)
        return
    write_text(out, text + "\n", overwrite=overwrite)
    click.echo(f"wrote {out}")
