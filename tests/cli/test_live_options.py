"""The options of the live pair: where the token comes from, and what is refused."""

import json
import re
import socket
from pathlib import Path

import commands
import pytest

from splitee._internal.errors import InputError
from splitee.cli import live_options, serve


def test_the_token_is_of_the_file_or_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(live_options.VARIABLE, raising=False)
    assert live_options.read_token(None) is None
    monkeypatch.setenv(live_options.VARIABLE, "of-the-variable")
    assert live_options.read_token(None) == "of-the-variable"
    (tmp_path / "token").write_text("of-the-file\n")
    assert live_options.read_token(tmp_path / "token") == "of-the-file"


@pytest.mark.parametrize("text", ["", "\n", "two words", "two\nlines", "é", "x" * 5000, "a\x00b"])
def test_what_is_no_token_is_refused(tmp_path, text):
    (tmp_path / "token").write_text(text)
    with pytest.raises(InputError, match="token"):
        live_options.read_token(tmp_path / "token")


def test_a_missing_extra_is_named():
    live_options.need("serve", "json")
    with pytest.raises(InputError, match=r"needs nothere: pip install 'splitee\[serve\]'"):
        live_options.need("serve", "json", "nothere")


def test_serve_says_what_the_model_takes():
    ran = commands.splitee("serve", "sst2_slender", "--json", "--max-tokens", "64", "--max-rows", "5")
    assert ran.code == 0, ran
    found = json.loads(ran.out)
    assert (found["name"], found["parameters"]["tokens"], found["parameters"]["rows"]) == (
        "sst2_slender",
        64,
        5,
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("nothere",), "no checkpoint"),
        (("sst2_slender", "--max-tokens", "9999"), "512"),
        (("sst2_slender", "--tls-cert", "x.pem"), "give both"),
        (("sst2_slender", "--token-file", "nothere"), "no such file"),
        (("sst2_slender", "--port", "65536"), "65536"),
    ],
)
def test_serve_refuses(options, line):
    assert line in commands.splitee("serve", *options).complaint


def test_serve_refuses_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "in use" in commands.splitee("serve", "sst2_slender", "--port", port).complaint.lower()


def test_the_deployment_notes_are_commands():
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf-8")
    unit = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1].split()
    container = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[1])
    for words in (unit, container):
        assert [Path(words[0]).name, words[1]] == ["splitee", "serve"]
        assert serve.command.make_context("serve", words[2:]).params["host"] == "0.0.0.0"
