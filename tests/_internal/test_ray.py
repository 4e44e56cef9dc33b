"""On a real Ray cluster of two nodes, one of which is lost half-way: the same bytes as in one process."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import commands
import pandas as pd
import pytest
import toys
from grids import bytes_of, grid_file
from made_up import random_trace

from splitee._internal.ray import Cluster
from splitee.data.tasks import load_file
from splitee.models.precompute import PrecomputeOptions, precompute, run_on
from splitee.sweep import play_on, read_grid, sweep

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")


@pytest.fixture
def nodes() -> Iterator[object]:
    """A cluster of a head that plays nothing and two nodes that do."""
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.two = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def losing(nodes: object, after: int, lost: list[int]) -> Callable[[Iterable[object]], Iterator[object]]:
    """Give pieces of work as they are done, and lose a node after one of them."""

    def given(pieces: Iterable[object]) -> Iterator[object]:
        for number, done in enumerate(pieces):
            yield done
            if number == after:
                nodes.remove_node(nodes.two[0], allow_graceful=False)
                lost.append(number)

    return given


def test_a_lost_node_loses_nothing(folder: Path, nodes: object) -> None:
    random_trace(20_000, layers=6).replace(name="long").save("long.parquet")
    path = grid_file(folder, traces=["one.parquet", "long.parquet"], offload=[1, 2, 3, 4, 5], repeats=20)
    here = bytes_of(sweep(read_grid(path), folder / "here"))
    lost: list[int] = []
    lose, play = losing(nodes, 3, lost), play_on(Cluster())
    there = sweep(read_grid(path), folder / "there", play=lambda *work: lose(play(*work)))
    assert lost == [3]
    until = time.monotonic() + 60  # the cluster itself takes a while to see it
    while len([node for node in ray.nodes() if node["Alive"]]) > 2:
        assert time.monotonic() < until
        time.sleep(0.2)
    assert bytes_of(there) == here


def test_precompute_loses_nothing_either(tmp_path: Path, nodes: object) -> None:
    checkpoint = toys.checkpoint(tmp_path / "toy")
    frame = pd.DataFrame({"text": [" ".join(toys.WORDS[: 1 + i % 9]) for i in range(200)]})
    frame.to_csv(tmp_path / "texts.csv", index=False)
    rows, options = load_file(tmp_path / "texts.csv"), PrecomputeOptions(batch_size=2, shard_size=4)
    precompute(checkpoint, rows, tmp_path / "here" / "t.parquet", options)
    lost: list[int] = []
    lose, run = losing(nodes, 5, lost), run_on(Cluster())
    there = tmp_path / "there" / "t.parquet"
    precompute(checkpoint, rows, there, options, run=lambda *work: lose(run(*work)))
    assert lost == [5]
    here = tmp_path / "here" / "t.parquet"
    assert there.read_bytes() == here.read_bytes()  # to the bit: one thread here, one processor a task there


def test_without_a_cluster_there_is_one_line(folder: Path) -> None:
    ran = commands.splitee("sweep", grid_file(folder), "--out", "out", "--ray-address", "127.0.0.1:1")
    assert "no Ray cluster at 127.0.0.1:1" in ran.complaint
