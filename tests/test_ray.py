"""On a real Ray cluster of two nodes, one of which is lost half-way: the same bytes as in one process."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import commands
import pytest
from test_replay import random_trace
from test_sweep import bytes_of, folder, grid_file  # noqa: F401

from splitee.sweep import Cell, read_grid, sweep
from splitee.sweep.cluster import Cluster
from splitee.sweep.running import Sweep, Tables

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


def test_a_lost_node_loses_nothing(folder: Path, nodes: object) -> None:  # noqa: F811
    random_trace(20_000, layers=6).replace(name="long").save("long.parquet")
    path = grid_file(folder, traces=["one.parquet", "long.parquet"], offload=[1, 2, 3, 4, 5], repeats=20)
    here = bytes_of(sweep(read_grid(path), folder / "here"))
    lost: list[int] = []

    class Losing(Cluster):
        """Loses a node after the third cell."""

        def __call__(self, work: Sweep, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Tables]]:
            for number, done in enumerate(super().__call__(work, cells)):
                yield done
                if number == 3:
                    nodes.remove_node(nodes.two[0], allow_graceful=False)
                    lost.append(number)

    there = sweep(read_grid(path), folder / "there", play=Losing())
    assert lost == [3]
    assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    assert bytes_of(there) == here


def test_without_a_cluster_there_is_one_line(folder: Path) -> None:  # noqa: F811
    ran = commands.splitee("sweep", grid_file(folder), "--out", "out", "--ray-address", "127.0.0.1:1")
    assert "no Ray cluster at 127.0.0.1:1" in ran.complaint
