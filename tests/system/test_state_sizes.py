"""Traces of images: a System reads the bytes of every input, and of the state at every exit."""

import numpy as np
import pytest

import splitee
from splitee.system.codec import state_bytes

SHAPES = [[36, 6], [36, 8], [9, 12]]
SIZES = [5000, 900]


def trace(shapes: object = SHAPES) -> splitee.Trace:
    confidence = [[0.4, 0.5, 0.9], [0.3, 0.6, 0.8]]
    manifest = {"hidden_state_bytes": {"by_exit_shape": shapes}}
    return splitee.Trace(confidence, [[0, 1, 1], [0, 0, 0]], input_bytes=SIZES, classes=4, manifest=manifest)


def system(**options: object) -> splitee.System:
    device = splitee.DeviceProfile(layer_ms=[1.0, 2.0, 3.0], exit_ms=0.0)
    return splitee.System(device, splitee.Link(uplink=1.0, rtt=10.0), **options)


@pytest.mark.parametrize("codec", ["float32", "float16", "int8"])
def test_bytes_by_exit(codec: str) -> None:
    sizes = [int(state_bytes(codec, positions, width)) for positions, width in SHAPES]
    world = system(codec=codec).on(trace()).world
    assert (world.state_bits[0, 1:] / 8).tolist() == sizes
    assert (world.input_bits / 8).tolist() == SIZES
    for layer in (1, 2):  # device, transfer at 1 Mbit/s, round trip
        split = splitee.FixedSplit(layer, 0.99)
        result = splitee.replay(trace(), split, system(codec=codec, sends="state"), mu=0.1, repeats=1)
        assert result.cost[0] == pytest.approx(sum([1.0, 2.0][:layer]) + 8e-3 * sizes[layer - 1] + 10.0)
    cloud = splitee.replay(trace(), splitee.CloudOnly(), system(sends="input"), mu=0.1, repeats=1)
    assert cloud.cost[0] == pytest.approx(np.mean(SIZES) * 8e-3 + 10.0)


def test_given_bytes_go_first() -> None:
    world = system(input_bytes=7.0).on(trace()).world
    assert (world.input_bits / 8).tolist() == [7.0, 7.0]


@pytest.mark.parametrize("shapes", [[[36, 6]], "36", [[36, 6], [36, 8], [9, 0]], [[1], [2], [3]], None])
def test_shapes_that_do_not_fit(shapes: object) -> None:
    with pytest.raises(splitee.InputError, match="3 pairs of positions and width"):
        system().on(trace(shapes)).world  # noqa: B018
