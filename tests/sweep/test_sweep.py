"""Sweeps: against replays by hand; killed and resumed, here and on Ray, byte for byte; and on bad input."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import numpy as np
import pandas as pd
import pytest
import yaml
from grids import bytes_of, grid_file

import splitee
from splitee._internal.errors import InputError
from splitee.sweep import Grid, Sweep, read_grid, sweep
from splitee.sweep.running import play_here

BARE = {"offload": None}  # without constant costs


def test_every_row_is_what_a_replay_by_hand_gives(folder: Path) -> None:
    grid = read_grid(grid_file(folder, interval=["data", "run"], mu=[0.05, 0.2], layer_cost=["5/6", 0.6]))
    out = sweep(grid, folder / "out")
    summary, repeats = (pd.read_parquet(out / f"{name}.parquet") for name in ("summary", "repeats"))
    # SplitEE and SplitEE-S: 2 α × 2 β each; ElasticBERT and the split: 2 α; cloud-only: 1
    assert len(summary) == 2 * (2 * 2 * 2 * 2 * 2) * (2 * 4 + 2 * 2 + 1)
    assert len(repeats) == len(summary) // 2 * 3
    assert not summary.drop(columns="interval").isna().all().any()
    rng = np.random.default_rng(0)
    for row in summary.iloc[rng.choice(len(summary), 25, replace=False)].to_dict("records"):
        trace = splitee.load_trace(f"{row['trace']}.parquet")
        costs = splitee.CostModel(
            row["layer_cost"], row["exit_cost"], row["offload"], device_layers=row["device_layers"]
        )
        alpha, beta = row["threshold"], row["exploration"]
        policy = {
            "SplitEE": lambda a, b: splitee.SplitEE(a, b),
            "SplitEE-S (causal)": lambda a, b: splitee.SplitEES(a, b),
            "cloud-only": lambda a, b: splitee.CloudOnly(),
            "split 2": lambda a, b: splitee.FixedSplit(2, a),
        }.get(
            row["policy"],
            lambda a, b, row=row: splitee.ElasticBERT(a, last=2 if row["device_layers"] == 2 else None),
        )(alpha, beta)
        by_hand = splitee.replay(
            trace, policy, costs, row["mu"], repeats=3, threshold=0.6 if np.isnan(alpha) else alpha
        )
        told = by_hand.summary(row["interval"]).iloc[0].to_dict()
        same = {key: row[key] for key in told if key not in ("policy",)}
        assert same == pytest.approx({key: told[key] for key in same}, nan_ok=True)
        here = np.logical_and.reduce(
            [
                repeats[key].eq(row[key]) | (repeats[key].isna() & pd.isna(row[key]))
                for key in ("trace", "device_layers", "layer_cost", "offload", "mu", "policy", "threshold")
            ]
            + [repeats["exploration"].eq(beta) | (repeats["exploration"].isna() & np.isnan(beta))]
        )
        assert repeats["cost"][here].tolist() == by_hand.cost.tolist()
        assert repeats["regret_own"][here].tolist() == by_hand.curve.own[:, -1].tolist()


def test_a_stream_that_changes_is_played(folder: Path) -> None:
    grid = read_grid(grid_file(folder, policies=["splitee"], stream=["own", "recurring"], interval=["run"]))
    assert grid.to_dict()["stream"] == ["own", "recurring"]
    assert "stream" not in read_grid(grid_file(folder)).to_dict()
    repeats = pd.read_parquet(sweep(grid, folder / "out") / "repeats.parquet")
    assert repeats["stream"].value_counts().to_dict() == {
        "own": len(repeats) // 4,
        "recurring": len(repeats) * 3 // 4,
    }
    row = repeats[repeats["stream"] == "recurring"].iloc[0]
    trace = splitee.load_trace(f"{row['trace']}.parquet")
    costs = splitee.CostModel(
        row["layer_cost"], row["exit_cost"], row["offload"], device_layers=row["device_layers"]
    )
    orders = splitee.streams.stream_of("recurring", trace, 3, grid.seed)
    policy = splitee.SplitEE(row["threshold"], row["exploration"])
    assert row["cost"] == splitee.replay(trace, policy, costs, row["mu"], orders=orders).cost[0]


def test_a_system_stands_where_the_costs_do(folder: Path) -> None:
    for name in ("one", "two"):
        trace = splitee.load_trace(f"{name}.parquet")
        lengths = np.arange(trace.samples) % 30 + 3
        trace.replace(length=lengths).save(folder / f"{name}.parquet", overwrite=True)
    fading = {"name": "fading", "layer-ms": 15, "exit_ms": 1, "link": "hsdpa_bus_1_down", "deadline": 300}
    slow = {"layer_ms": "1/2", "uplink": 0.5, "rtt": 90, "arrivals": "5/s", "weights": {"ms": 1, "KB": 2}}
    keys = {"systems": [fading, slow], "policies": "splitee, thompson, cloud-only", "threshold": 0.8}
    path = folder / "grid.yaml"
    path.write_text(json.dumps({"traces": ["one.parquet", "two.parquet"], "repeats": 3} | keys))
    grid = read_grid(path)
    assert Grid(**grid.to_dict()) == grid
    assert len(grid.cells()) == 4
    out = sweep(grid, folder / "out")
    summary, repeats = (pd.read_parquet(out / f"{name}.parquet") for name in ("summary", "repeats"))
    assert summary["system"].tolist() == ["fading"] * 3 + ["2"] * 3 + ["fading"] * 3 + ["2"] * 3
    assert "offload" not in summary
    systems = {
        "fading": splitee.System(
            splitee.DeviceProfile(15.0, 1.0), splitee.load_link("hsdpa_bus_1_down"), deadline=300.0
        ),
        "2": splitee.System(
            splitee.DeviceProfile(0.5), splitee.Link(0.5, 90), arrivals="5/s", weights={"ms": 1, "KB": 2}
        ),
    }
    for row in summary[summary["policy"] == "SplitEE"].to_dict("records"):
        trace = splitee.load_trace(f"{row['trace']}.parquet")
        by_hand = splitee.replay(
            trace, splitee.SplitEE(0.8), systems[row["system"]], repeats=3, threshold=0.8
        )
        told = by_hand.summary("data").iloc[0]
        assert row["mu"] == pytest.approx(0.1 / systems[row["system"]].on(trace).unit_cost)
        for name in ("latency_p95", "cost", "accuracy", "kilobytes", "missed"):
            assert row[name] == told[name], name
        here = (repeats["trace"] == row["trace"]) & (repeats["system"] == row["system"])
        assert repeats["cost"][here & (repeats["policy"] == "SplitEE")].tolist() == by_hand.cost.tolist()
    again = sweep(grid, folder / "again")
    assert bytes_of(again) == bytes_of(out)


def test_the_settings_say_what_was_played(folder: Path) -> None:
    out = sweep(read_grid(grid_file(folder)), folder / "out")
    summary = pd.read_parquet(out / "summary.parquet")
    cells = summary[["trace", "device_layers", "offload"]].drop_duplicates()
    assert cells.to_numpy().tolist() == [
        [t, m, o] for t in ("one", "two") for m in (4, 2) for o in (1.0, 5.0)
    ]
    assert (summary["samples"] == summary["trace"].map({"one": 120, "two": 121})).all()
    told = json.loads((out / "grid.json").read_text())
    assert told["grid"]["threshold"] == [0.6, 0.8]
    assert told["traces"]["one.parquet"] == splitee.load_trace("one.parquet").fingerprint


def test_recommended_thresholds_are_each_trace_s_own(folder: Path) -> None:
    one = splitee.load_trace("one.parquet")
    one.replace(manifest={"recommended_threshold": {"value": 0.65}}).save("one.parquet", overwrite=True)
    grid = read_grid(grid_file(folder, threshold=["recommended", 0.7], policies=["split:1"]))
    summary = pd.read_parquet(sweep(grid, folder / "out") / "summary.parquet")
    alphas = summary.groupby("trace")["threshold"].unique().map(list).to_dict()
    assert alphas == {"one": [0.65, 0.7], "two": [0.7]}  # 0.7 is the default: once


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    grid = read_grid(grid_file(folder))
    first = bytes_of(sweep(grid, folder / "first"))
    monkeypatch.setattr("splitee.replay.player.config.NUMBA_NUM_THREADS", threads)
    assert bytes_of(sweep(grid, folder / "again")) == first


def test_killed_and_resumed_it_ends_in_the_same_files(folder: Path) -> None:
    path = grid_file(folder, mu=[round(0.01 * k, 2) for k in range(1, 6)], repeats=20)
    undisturbed = bytes_of(sweep(read_grid(path), folder / "undisturbed"))
    words = [sys.executable, "-m", "splitee", "sweep", str(path), "--out", "killed"]
    process = subprocess.Popen(words, env=commands.environment(), stderr=subprocess.PIPE)
    part = folder / "killed.partial"
    while process.poll() is None and len(list(part.glob("cell-*.summary.parquet"))) < 5:
        time.sleep(0.005)
    process.kill()
    complaint = process.communicate()[1].decode()
    assert process.returncode == -signal.SIGKILL, complaint
    found = {f.name: f.stat().st_mtime_ns for f in part.glob("cell-*.summary.parquet")}
    assert 5 <= len(found) < 40
    assert pd.read_parquet(part / min(found)).shape[0] == 13  # what is done can be read meanwhile

    refused = commands.splitee("sweep", grid_file(folder, repeats=19), "--out", "killed").complaint
    assert "grid.mu" in refused
    assert {f.name: f.stat().st_mtime_ns for f in part.glob("cell-*.summary.parquet")} == found

    grid_file(folder, mu=[round(0.01 * k, 2) for k in range(1, 6)], repeats=20)
    ran = commands.splitee("sweep", path, "--out", "killed")
    assert ran.code == 0, ran
    assert ran.err == f"{len(found)} of 40 cells are there from an earlier run\n"
    assert bytes_of(folder / "killed") == undisturbed
    assert not part.exists()


@pytest.mark.parametrize("table", ["summary", "repeats"])
def test_a_damaged_cell_is_computed_again(folder: Path, table: str) -> None:
    grid = read_grid(grid_file(folder, traces=["one.parquet"], policies=["splitee", "cloud-only"]))
    undisturbed = bytes_of(sweep(grid, folder / "undisturbed"))

    def stopped(work: Sweep, cells: object) -> object:
        yield from list(play_here(work, cells))[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(grid, "out", play=stopped)
    cell = folder / "out.partial" / f"cell-000001.{table}.parquet"
    data = bytearray(cell.read_bytes())
    data[len(data) // 2] ^= 4
    cell.write_bytes(data)
    said: list[str] = []
    assert bytes_of(sweep(grid, "out", report=said.append)) == undisturbed
    assert said == [
        "1 of 4 cells are damaged: they are computed again",
        "2 of 4 cells are there from an earlier run",
    ]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"offload": list(range(1, 60_000))}, "bytes: at most"),
        ({"offload": list(range(1, 9000)), "mu": list(range(1, 9000))}, "combinations: at most 100,000"),
        (
            {"threshold": [k / 9000 for k in range(9000)], "exploration": [1, 2]},
            "combinations: at most 10,000",
        ),
        ({"mu": ["1e99999999/7"]}, "mu: '1e99999999/7' is not"),
        ({"offload": 10**18}, ""),
    ],
)
def test_grids_are_bounded(folder: Path, keys: dict[str, object], words: str) -> None:
    began = time.monotonic()
    ran = commands.splitee("sweep", grid_file(folder, **keys), "--dry-run")
    if words:
        assert words in ran.complaint
    assert time.monotonic() - began < 20


def test_a_key_given_twice_is_refused(folder: Path) -> None:
    (folder / "twice.yaml").write_text("traces: one.parquet\nmu: 0.1\nmu: 0.2\n")
    assert "line 3: the key 'mu' is given twice" in commands.splitee("sweep", "twice.yaml").complaint


def test_a_damaged_footer_is_one_line(folder: Path) -> None:
    data = bytearray((folder / "one.parquet").read_bytes())
    path = grid_file(folder, traces=["one.parquet"])
    for at in range(len(data) - 900, len(data), 17):
        data[at] ^= 255
        (folder / "one.parquet").write_bytes(data)
        data[at] ^= 255
        ran = commands.splitee("sweep", path, "--dry-run")
        assert ran.code == 0 or "one.parquet" in ran.complaint  # the checksum itself is read with the rows


def test_a_dry_run_prints_the_whole_grid_and_plays_nothing(folder: Path) -> None:
    path = grid_file(folder)
    ran = commands.splitee("sweep", path, "--dry-run")
    assert ran.code == 0
    resolved, size = ran.out.rsplit("# ", 1)
    assert size == f"8 cells, {4 * (120 + 121) * 13 * 3:,} decisions\n"
    (folder / "resolved.yaml").write_text(resolved)
    assert read_grid(folder / "resolved.yaml") == read_grid(path)
    document = json.loads(commands.splitee("sweep", path, "--dry-run", "--json").out)
    assert document["cells"] == 8
    assert document["decisions"] == 4 * (120 + 121) * 13 * 3
    assert sorted(p.name for p in folder.iterdir()) == [
        "grid.yaml",
        "one.parquet",
        "resolved.yaml",
        "two.parquet",
    ]


def test_existing_results_are_kept_until_their_successors_are_there(folder: Path) -> None:
    path = grid_file(folder, traces=["one.parquet"])
    assert commands.splitee("sweep", path, "--out", "out").out == "wrote out: 4 cells\n"
    before = bytes_of(folder / "out")
    assert "exists already" in commands.splitee("sweep", path, "--out", "out").complaint
    assert bytes_of(folder / "out") == before
    grid_file(folder, traces=["one.parquet"], repeats=4)
    ran = commands.splitee("sweep", path, "--out", "out", "--overwrite", "--json")
    assert json.loads(ran.out) == {"out": "out", "cells": 4}
    assert bytes_of(folder / "out") != before


def test_only_a_sweep_s_own_results_are_replaced(folder: Path) -> None:
    path = grid_file(folder, traces=["one.parquet"], policies=["cloud-only"])
    for out in (".", "precious"):
        (folder / "precious").mkdir(exist_ok=True)
        (folder / "precious" / "thesis.tex").touch()
        said = commands.splitee("sweep", path, "--out", out, "--overwrite").complaint
        assert "holds more than a sweep's results" in said
        assert (folder / "precious" / "thesis.tex").exists()
        assert (folder / "one.parquet").exists()
    real = folder / "elsewhere"
    (folder / "link").symlink_to(real)
    assert commands.splitee("sweep", path, "--out", "link").code == 0
    assert commands.splitee("sweep", path, "--out", "link", "--overwrite").code == 0
    assert sorted(bytes_of(real)) == ["grid.json", "repeats.parquet", "summary.parquet"]


def test_cells_of_nobody_knows_which_grid_are_not_taken(folder: Path) -> None:
    path = grid_file(folder, traces=["one.parquet"], policies=["cloud-only"])
    (folder / "out.partial").mkdir()
    (folder / "out.partial" / "cell-000000.summary.parquet").touch()
    assert "run.json" in commands.splitee("sweep", path, "--out", "out").complaint


def test_two_runs_at_once_do_not_meet(folder: Path) -> None:
    path = grid_file(folder, traces=["one.parquet"])
    seen: list[str] = []

    def meanwhile(work: Sweep, cells: object) -> object:
        seen.append(commands.splitee("sweep", path, "--out", "out").complaint)
        return play_here(work, cells)

    sweep(read_grid(path), folder / "out", play=meanwhile)
    assert "another run is writing" in seen[0]
    assert sorted(bytes_of(folder / "out")) == ["grid.json", "repeats.parquet", "summary.parquet"]
    assert not (folder / "out.partial").exists()


def test_another_source_is_another_sweep(folder: Path) -> None:
    splitee.load_trace("two.parquet").save("source.parquet")
    grid = read_grid(
        grid_file(folder, traces=["one.parquet"], policies=["source-split"], source="source.parquet")
    )

    def stopped(work: Sweep, cells: object) -> object:
        yield next(iter(play_here(work, cells)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(grid, "out", play=stopped)
    splitee.load_trace("one.parquet").save("source.parquet", overwrite=True)
    with pytest.raises(InputError, match="sources"):
        sweep(grid, "out")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"polices": ["splitee"]}, "no key is called 'polices': did you mean policies?"),
        ({"policies": ["spliteee"]}, "did you mean splitee?"),
        ({"policies": []}, "policies: the list is empty"),
        ({"traces": ["imbd"]}, "did you mean 'imdb'?"),
        ({"offload": [1, -1]}, "offload: -1 is not a finite number of at least 0"),
        ({"offload": [5, 5.0]}, "offload: 5.0 occurs twice"),
        ({"mu": ["a lot"]}, "mu: 'a lot' is not a finite number"),
        ({"mu": [True]}, "mu: True is not"),
        ({"mu": ["1e400"]}, "mu: '1e400' is not"),
        ({"traces": ["one.parquet", "./one.parquet"]}, "two traces are called one"),
        ({"layer_cost": [1.5]}, "layer_cost: 1.5 is not between 0 and 1"),
        ({"threshold": ["recomended"]}, "threshold: 'recomended' is not a confidence"),
        ({"threshold": [float("nan")]}, "threshold: nan is not a confidence"),
        ({"device_layers": [9]}, "device_layers 9: trace one.parquet has 4 layers"),
        ({"device_layers": [2.5]}, "device_layers: 2.5 is not a number of layers"),
        ({"repeats": 0}, "repeats: 0 is not a whole number of at least 1"),
        ({"seed": -1}, "seed: -1 is not a whole number of at least 0"),
        ({"systems": [{"layer_ms": 15}], "offload": 5}, "offload is a constant cost"),
        ({**BARE, "systems": [{"layer_ms": 15}, {"layerms": 15}]}, "systems: 2: no key is called 'layerms'"),
        ({**BARE, "systems": [{"exit_ms": 15}]}, "system 1: what the device takes: give either device FILE"),
        ({**BARE, "systems": [{"layer_ms": -1}]}, "systems: 1: layer_ms: -1 is not a finite number"),
        ({**BARE, "systems": {"layer_ms": 1}, "policies": "oracle"}, "knows constant costs only"),
        ({**BARE, "systems": {"layer_ms": 1}, "policies": "splitee"}, "does not say how large an input is"),
        ({**BARE, "systems": [{"layer_ms": 1, "name": "a"}] * 2}, "two are called a"),
        ({**BARE, "systems": "pi.json"}, "is not a list of systems"),
        ({"stream": "as-is"}, "stream: 'as-is' is not a stream: choose one of shuffled, own"),
        ({"interval": ["both"]}, "interval: 'both' is not an interval"),
        ({"send_input": "no"}, "send_input: 'no' is not a switch"),
        ({"source": 3}, "source: 3 is not a name or file"),
    ],
)
def test_bad_grids_are_told_in_one_line(folder: Path, keys: dict[str, object], words: str) -> None:
    path = grid_file(folder, **keys)
    if "systems" in keys:
        found = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({key: value for key, value in found.items() if value is not None}))
    ran = commands.splitee("sweep", path, "--out", "out")
    assert words in ran.complaint
    assert not (folder / "out").exists()
    assert not (folder / "out.partial").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"traces: [", "is not valid YAML"),
        (b"- imdb", "is not a grid"),
        (b"mu: 1", "has no traces"),
        (b"mu: \xff", "is not valid YAML"),
        (b"seed: 2001-99-99", "is not valid YAML"),
    ],
)
def test_what_is_no_grid_is_told_in_one_line(folder: Path, text: bytes, words: str) -> None:
    (folder / "bad.yaml").write_bytes(text)
    assert words in commands.splitee("sweep", "bad.yaml", "--dry-run").complaint
    with pytest.raises(InputError, match=words):
        read_grid("bad.yaml")


def test_without_a_place_for_results_nothing_is_played(folder: Path) -> None:
    assert "--out FOLDER" in commands.splitee("sweep", grid_file(folder)).complaint


def test_one_value_stands_for_a_list() -> None:
    assert Grid("imdb", policies="splitee", mu="1/10") == Grid(["imdb"], ["splitee"], mu=[0.1])


def test_a_grid_takes_the_names_and_lists_of_the_command_line() -> None:
    grid = Grid(
        "imdb,scitail",
        policies="SplitEE, UCBTuned",
        mu="1/10, 0.2",
        device_layers="half, 3",
        threshold="0.7,recommended",
        exploration="half",
    )
    assert grid == Grid(
        ["imdb", "scitail"],
        ["splitee", "ucb-tuned"],
        mu=[0.1, 0.2],
        device_layers=["half", 3],
        threshold=[0.7, "recommended"],
        exploration=[0.5],
    )


def test_an_entropy_above_that_of_the_classes_is_refused(folder: Path) -> None:
    path = grid_file(folder, policies=["deebert:2"])
    assert "at most ln 2 = 0.693 nats" in commands.splitee("sweep", path, "--out", "out").complaint
