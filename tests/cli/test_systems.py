"""The options of a device, a link and a cloud (`splitee.cli.systems`, `splitee.cli.system_options`)."""

from splitee.cli.systems import system_of
from splitee.system.settings import SystemSettings
from splitee.trace import Trace

GIVEN = vars(SystemSettings()) | {
    "layer_ms": 15.0,
    "outages": ("60:90", "100:101.5"),
    "rtt": 40.0,
    "sends": "cheaper",
    "codec": "int8",
    "arrivals": "250",
    "weights": "ms=1, mJ=0.5",
    "layer_mj": 3.0,
}


def test_options_become_a_system() -> None:
    trace = Trace([[0.6, 0.9]], [[0, 1]])
    system = system_of(GIVEN, trace, "half")
    assert system.device_layers == 1
    assert system.device.regular == (15.0, 0.0)
    assert (system.device.layer_mj, system.device.exit_mj) == (3.0, 0.0)
    assert system.link.outages_ms.tolist() == [[60_000, 90_000], [100_000, 101_500]]
    assert system.link.mean == 5.0
    assert system.unit == "ms + 0.5 mJ"
    assert system.to_dict()["arrivals"] == 250.0
