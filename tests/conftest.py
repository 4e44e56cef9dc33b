"""Hypothesis without deadlines for all tests; libraries are kept quiet and offline.

A run draws the same examples as the one before it, so that a change is judged by its own faults.
`pytest --hypothesis-profile=search` draws new ones.
"""

import gc
import os
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")

import pytest
from hypothesis import HealthCheck, settings
from made_up import random_trace

settings.register_profile(
    "search",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("same", settings.get_profile("search"), derandomize=True)
settings.load_profile("same")


def pytest_collection_finish() -> None:
    """Exempt what was imported from garbage collection: the Trainer collects at every start."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two traces, and the folder to work in."""
    for seed, name in enumerate(("one", "two")):
        random_trace(120 + seed, layers=4, seed=seed).replace(name=name).save(tmp_path / f"{name}.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path
