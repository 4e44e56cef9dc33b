"""`splitee trace croissant`: the document on the screen or in a file, and an option for every fact."""

import json

import commands
import pytest

import splitee
from splitee.cli.croissant import command
from splitee.trace.croissant import REQUIRED, croissant, option

OPTIONS = (
    "--license",
    "L",
    "--license",
    "M",
    "--url",
    "U",
    "--creator",
    "C",
    "--date-published",
    "2026-11-29",
)


def run(*args: object) -> commands.Ran:
    return commands.splitee("trace", "croissant", *args)


def test_the_document_of_a_bundled_trace_goes_to_the_screen_or_a_file(tmp_path) -> None:
    shown = run("rte_validation")
    assert shown.code == 0, shown
    document = json.loads(shown.out)
    assert document == croissant("rte_validation")
    out = tmp_path / "croissant.json"
    assert run("rte_validation", "--out", out).code == 0
    assert json.loads(out.read_text(encoding="utf-8")) == document
    again = run("rte_validation", "--out", out)
    assert again.code == 2
    assert "--overwrite" in again.err
    assert run("rte_validation", "--out", out, "--overwrite", "--content-url", "https://x.org/t").code == 0
    assert json.loads(out.read_text())["distribution"][0]["contentUrl"] == "https://x.org/t"


def test_ones_own_trace_gets_its_facts_from_options(tmp_path) -> None:
    mine = tmp_path / "mine.parquet"
    splitee.Trace([[0.6, 0.9]], [[0, 1]]).save(mine)
    refused = run(mine)
    assert refused.code == 2
    assert "give --license, --url, --creator, --date-published" in refused.err
    document = json.loads(run(mine, *OPTIONS, "--description", "D", "--cite-as", "T").out)
    assert document["license"] == ["L", "M"]
    assert (document["description"], document["citeAs"]) == ("D", "T")
    over = run(mine, *OPTIONS, "--out", mine, "--overwrite")
    assert over.code == 2
    assert "is an input file" in over.err
    assert splitee.load_trace(mine).samples == 1


@pytest.mark.parametrize("fact", REQUIRED)
def test_the_options_that_a_refusal_names_exist(fact: str) -> None:
    assert option(fact) in {name for one in command.params for name in one.opts}
