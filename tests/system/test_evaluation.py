"""The committed numbers of experiments/system are of one piece: readable tables are those of the numbers."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import splitee
from splitee.system.codec import state_bytes

HERE = Path(__file__).parents[2] / "experiments" / "system"
TABLES = HERE / "results" / "tables"
TARGETS = [  # of texts
    name
    for name in splitee.bundled_traces()
    if not name.endswith("_validation") and not name.startswith(("caltech", "slender"))
]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"experiment_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


@pytest.mark.parametrize(("name", "table"), [("inputs", "inputs"), ("codec_accuracy", "codecs")])
def test_readable_tables_are_those_of_the_numbers(name: str, table: str, tmp_path: Path) -> None:
    script(name).readable(pd.read_csv(TABLES / f"{table}.csv"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{table}.md", f"{table}.tex"}
    for path in tmp_path.iterdir():
        assert path.read_text(encoding="utf-8") == (TABLES / path.name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_of_inputs_are_of_every_sample(name: str) -> None:
    trace = splitee.load_trace(name)
    size = pd.read_parquet(HERE / "results" / "input_bytes" / f"{name}.parquet")["bytes"].to_numpy()
    row = pd.read_csv(TABLES / "inputs.csv").set_index("data").loc[name]
    assert len(size) == trace.samples
    assert row["text_mean"] == pytest.approx(size.mean(), rel=1e-5)
    assert row["float16_mean"] == pytest.approx(state_bytes("float16", trace.length, 768).mean(), rel=1e-5)
    # longer texts have more tokens: these are the bytes of this trace's samples
    assert np.corrcoef(size, trace.length)[0, 1] > (0.3 if name == "imdb" else 0.8)


def test_float32_changes_nothing_and_smaller_states_little() -> None:
    table = pd.read_csv(TABLES / "codecs.csv")
    exact = table[table["codec"] == "float32"]
    assert (exact["agreement"] == 1).all()
    assert (exact["state_error"] == 0).all()
    for _, part in table.groupby(["data", "layer"]):
        by_codec = part.set_index("codec")
        assert by_codec.loc["float16", "state_error"] < by_codec.loc["int8", "state_error"]
        assert by_codec.loc["int8", "bytes"] < by_codec.loc["float16", "bytes"]


def test_the_profiles_predicted_what_was_measured() -> None:
    check = pd.read_csv(HERE / "results" / "check.csv").set_index("profile")
    slender = check.loc["sst2_slender_epyc_1_thread"]
    assert slender["texts"] == 300
    assert abs(slender["error_p50"]) <= 0.05
    assert abs(slender["error_p95"]) <= 0.1
    for name in check.index:
        assert splitee.DeviceProfile.load(name).kind == "measured"
