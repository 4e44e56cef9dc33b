"""What the system reports of this machine, from files of the same form."""

from pathlib import Path

import pytest

from splitee.system.machine import EnergyCounter, describe_machine


def package(folder: Path, name: str, energy: int, most: int = 1000_000) -> Path:
    zone = folder / name
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "max_energy_range_uj").write_text(f"{most}\n")
    (zone / "energy_uj").write_text(f"{energy}\n")
    return zone / "energy_uj"


def test_joules_are_those_of_all_packages_and_wrap(tmp_path: Path) -> None:
    one, other = package(tmp_path, "intel-rapl:0", 900_000), package(tmp_path, "intel-rapl:1", 100)
    package(tmp_path, "intel-rapl:0:0", 5)  # a part of package 0
    counter = EnergyCounter(tmp_path)
    assert counter.readable
    assert counter.joules() == 0
    one.write_text("99999")  # it wrapped: 100,001 to the end, 99,999 beyond
    other.write_text("300100")
    assert counter.joules() == pytest.approx(0.2 + 0.3)
    one.write_text("199999")
    assert counter.joules() == pytest.approx(0.6)


def test_no_counter_is_no_error(tmp_path: Path) -> None:
    assert not EnergyCounter(tmp_path / "nowhere").readable
    package(tmp_path, "intel-rapl:0", 5).write_text("not a number")
    counter = EnergyCounter(tmp_path)
    assert not counter.readable
    assert counter.joules() == 0


def test_the_machine_by_name(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Toy 3\ncpu MHz\t\t: 1000.4\n\ncpu MHz\t\t: 2000.0\n")
    found = describe_machine(file)
    assert (found["processor"], found["mhz"]) == ("Toy 3", 1500)
    assert found["cores"] >= 1
    unknown = describe_machine(tmp_path / "none")
    assert unknown["processor"]
    assert unknown["mhz"] is None
