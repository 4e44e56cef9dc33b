"""A small grid for sweeps, and the bytes that a sweep leaves."""

from pathlib import Path

import yaml

SMALL = {
    "policies": ["splitee", "splitee-s", "cloud-only", "elasticbert", "split:2"],
    "offload": [1, 5],
    "threshold": [0.6, 0.8],
    "exploration": [1, 0.5],
    "device_layers": ["all", "half"],
    "repeats": 3,
}


def grid_file(folder: Path, **keys: object) -> Path:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({"traces": ["one.parquet", "two.parquet"], **SMALL, **keys}))
    return path


def bytes_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}
