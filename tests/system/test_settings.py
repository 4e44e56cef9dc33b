"""A System in words: `splitee.system.settings`."""

import pytest

from splitee._internal.errors import InputError
from splitee.system.settings import SystemSettings


def test_what_settings_say_makes_them_again():
    given = {
        "layer-ms": "15",
        "outages": "60:90, 100:101.5",
        "arrivals": 250,
        "weights": {"ms": 1, "mJ": "1/2"},
    }
    settings = SystemSettings.read({**given, "layer_mj": 3, "codec": "int8"})
    assert SystemSettings.read(settings.to_dict()) == settings
    system = settings.system(device_layers=2)
    assert system.unit == "ms + 0.5 mJ"
    assert system.link.outages_ms.tolist() == [[60_000, 90_000], [100_000, 101_500]]
    assert (system.device.layer_mj, system.device.exit_mj, system.device_layers) == (3.0, 0.0, 2)
    assert system.to_dict()["arrivals"] == 250.0
    assert SystemSettings().to_dict() == {}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["pi.json"], r"is not a system: give keys and values"),
        ({"layers": 3}, "no key is called 'layers'"),
        ({"rtt": "soon"}, "rtt: 'soon' is not a finite number"),
        ({"link": 3}, "link: 3 is not a text"),
        ({"input_tokens": 0}, "input_tokens: 0 is not a whole number of at least 1"),
        ({"outages": 60}, "outages: 60 is not a text"),
        ({}, "give either device FILE or layer_ms"),
        ({"layer_ms": 1, "device": "mpnet_base"}, "give either device FILE or layer_ms"),
        ({"device": "mpnet_base", "exit_ms": 1}, "exit_ms is the profile's"),
        ({"layer_ms": 1, "cloud_ms": 1, "cloud": "mpnet_base"}, "cloud and cloud_ms both"),
        ({"layer_ms": 1, "link": "x.csv", "uplink": 1}, "uplink and link both"),
        ({"layer_ms": 1, "outages": ["60-90"]}, "write it as FROM:TO"),
        ({"layer_ms": 1, "weights": "ms"}, "weights 'ms' has no ="),
        ({"layer_ms": 1, "arrivals": "fast"}, "'fast' is not a finite number"),
    ],
)
def test_bad_settings_are_one_line(given, line):
    with pytest.raises(InputError, match=line) as error:
        SystemSettings.read(given).system()
    assert "\n" not in str(error.value)
