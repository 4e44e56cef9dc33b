"""On Ray, also where one of two nodes is lost half-way: the same bytes as in one process."""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import commands
import pandas as pd
import pytest
from grids import bytes_of, grid_file
from made_up import random_trace

from splitee._internal.errors import InputError
from splitee._internal.ray import Cluster
from splitee.data.tasks import load_file
from splitee.models.precompute import PrecomputeOptions, precompute, run_on
from splitee.sweep import play_on, read_grid, sweep


class Error(Exception):
    """As Ray reports what a task raised."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class Stub:
    """What is used of the module `ray`, in this process: the task handed over last is done first."""

    exceptions = SimpleNamespace(RayTaskError=Error)

    def __init__(self, cpus: int) -> None:
        self.cpus, self.put_in, self.most = cpus, [], 0
        self.options: dict[str, object] = {}

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cpus}

    def put(self, value: object) -> object:
        self.put_in.append(value)
        return value

    def remote(self, **options: object) -> Callable[..., object]:
        self.options = options
        return lambda function: SimpleNamespace(remote=lambda *given: partial(function, *given))

    def wait(self, running: list[object], num_returns: int) -> tuple[list[object], list[object]]:
        self.most = max(self.most, len(running))
        return running[-num_returns:], running[:-num_returns]

    def get(self, task: Callable[[], object]) -> object:
        try:
            return task()
        except Exception as error:
            raise Error(error) from error


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    made = Stub(cpus=3)
    monkeypatch.setattr("splitee._internal.ray._connect", lambda address: made)
    return made


def test_each_item_is_done_once_and_few_are_handed_over_at_a_time(stub: Stub) -> None:
    common = lambda item: (f"key {item % 2}", lambda: 100 * (item % 2))  # noqa: E731
    done = list(Cluster(cpus=2).map(lambda shared, item: shared + item, range(40), common))
    assert sorted(done) == [(item, 100 * (item % 2) + item) for item in range(40)]
    assert done[0][0] == 5, "in the order in which they are done"
    assert stub.most == 6, "two per processor"
    assert stub.put_in == [0, 100], "what items have in common is stored once"
    assert stub.options["max_retries"] == -1, "what a lost node was doing is done again"
    assert stub.options["num_cpus"] == 2
    threads = stub.options["runtime_env"]["env_vars"]
    assert threads == {"NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}


def test_bad_input_of_a_task_is_reported_as_it_is_here(stub: Stub) -> None:
    def task(error: Exception, item: int) -> None:
        raise error

    for error, raised in ((InputError("mu is -1"), InputError), (KeyError("mu"), Error)):
        with pytest.raises(raised) as caught:
            list(Cluster().map(task, [1], lambda item, error=error: ("all", lambda: error)))
        assert (caught.value is error) == (raised is InputError)


@pytest.fixture
def nodes() -> Iterator[object]:
    """A cluster of a head that plays nothing and two nodes that do."""
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
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


@pytest.mark.slow
def test_a_lost_node_loses_nothing(folder: Path, nodes: object) -> None:
    random_trace(20_000, layers=6).replace(name="long").save("long.parquet")
    path = grid_file(folder, traces=["one.parquet", "long.parquet"], offload=[1, 2, 3, 4, 5], repeats=20)
    here = bytes_of(sweep(read_grid(path), folder / "here"))
    lost: list[int] = []
    lose, play = losing(nodes, 3, lost), play_on(Cluster())
    there = sweep(read_grid(path), folder / "there", play=lambda *work: lose(play(*work)))
    assert lost == [3]
    assert bytes_of(there) == here


@pytest.mark.slow
def test_precompute_loses_nothing_either(tmp_path: Path, nodes: object) -> None:
    import toys  # loads torch

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
