"""`splitee link show`: the numbers of the link, for people and for programs."""

import json
from pathlib import Path

import commands
import pytest

from splitee.cli.link import sparkline
from splitee.system.link import Link
from splitee.system.link_files import bundled_links, load_link


@pytest.mark.parametrize("name", bundled_links())
def test_a_program_reads_what_the_link_is(name: str) -> None:
    shown = json.loads(commands.splitee("link", "show", name, "--json").out)
    link = load_link(name)
    assert shown["mean"] == link.mean
    assert shown["p5"] == link.percentile(5)
    assert shown["fades"] == len(link.fades())
    assert shown["sparkline"] == sparkline(link)[0]


def test_a_table_for_people(tmp_path: Path) -> None:
    (tmp_path / "tunnel.csv").write_text("t;mbit_s;time_s\na;8,0;0\nb;0,0;10\nc;8,0;30\nd;8,0;40\n")
    shown = commands.splitee("link", "show", tmp_path / "tunnel.csv", "--decimal", ",").out
    assert "mean 4.8, median 8, p5 0 Mbit/s" in shown
    assert "fades below a quarter of the mean: 1, the longest 20 s" in shown
    assert "outages: 1, the longest 20 s" in shown
    assert "▇▁▅█" in shown  # bars of 12.5 s: 10 s of 8, none, 7.5 s of 8, all
    (tmp_path / "one").write_text("0 3.5\n")
    assert "one: 3.5 Mbit/s at all times" in commands.splitee("link", "show", tmp_path / "one").out


def test_a_bar_is_the_mean_over_its_time() -> None:
    link = Link(time_s=[0, 1, 1.5, 2, 3, 4], mbit_s=[8.0, 8.0, 0.0, 4.0, 8.0, 8.0])  # 5 s
    assert sparkline(link, most=5) == ("█▅▅██", 1.0)
    assert sparkline(link, most=1) == ("█", 5.0)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    assert "hsdpa_bus_1_down" in commands.splitee("link", "show", "nowhere").complaint
    (tmp_path / "bad.csv").write_text("time_s,mbit_s\n0,1\n1,-1\n")
    assert "row 1" in commands.splitee("link", "show", tmp_path / "bad.csv").complaint
    assert "'shwo'" in commands.splitee("link", "shwo").complaint
