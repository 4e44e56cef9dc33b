"""The bundled traces of two models: samples of the cloud's trace, and cards that say what they hold."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import splitee
from splitee._internal.errors import InputError
from splitee.data import BUNDLED
from splitee.trace.bundled import find_source

HERE = Path(__file__).parents[1] / "experiments" / "bench"
SOURCE = "slender_sst2_validation"
CLOUDS = {SOURCE: "sst2_validation", "slender_yelp_sentences": "yelp_sentences", "slender_imdb": "imdb"}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(HERE))
    before = sys.modules.pop("cards", None)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(HERE))
        sys.modules.pop("cards", None)
        if before is not None:
            sys.modules["cards"] = before
    return module


def test_all_are_bundled_and_small() -> None:
    assert [name for name in splitee.bundled_traces() if name.startswith("slender")] == sorted(CLOUDS)
    assert sum((BUNDLED / f"{name}.parquet").stat().st_size for name in CLOUDS) < 400_000


@pytest.mark.parametrize("name", CLOUDS)
def test_the_cloud_answers_with_the_last_exit_on_the_same_samples(name: str) -> None:
    trace, cloud = splitee.load_trace(name), splitee.load_trace(CLOUDS[name])
    assert trace.samples == min(cloud.samples, 5000)
    row = {one: i for i, one in enumerate(cloud.id)}
    rows = [row[one] for one in trace.id]
    assert rows == sorted(set(rows))
    assert (trace.label == cloud.label[rows]).all()
    assert (trace.cloud_confidence == cloud.confidence[rows, -1]).all()
    assert (trace.cloud_prediction == cloud.prediction[rows, -1]).all()
    # longer texts are longer for both tokenizers
    assert np.corrcoef(trace.length, cloud.length[rows])[0, 1] > 0.9
    told = trace.manifest
    assert told["cloud"]["model"] == cloud.manifest["model"]
    assert told["cloud"]["fingerprint"] == cloud[rows].fingerprint
    assert set(trace.columns) == {
        *("id", "confidence", "prediction", "label", "length", "cloud_confidence", "cloud_prediction")
    }


@pytest.mark.parametrize("name", CLOUDS)
def test_the_slender_source_is_found_with_its_threshold(name: str) -> None:
    trace, source = splitee.load_trace(name), splitee.load_trace(SOURCE)
    assert find_source(trace.manifest) == SOURCE
    assert trace.recommended_threshold == source.recommended_threshold == 0.75
    assert source.manifest["data"]["sha256"] == trace.manifest["training"]["validation"]["sha256"]


@pytest.mark.parametrize("name", CLOUDS)
def test_cards_and_the_readme_say_what_the_traces_hold(name: str) -> None:
    trace, text = splitee.load_trace(name), (BUNDLED / f"{name}.md").read_text(encoding="utf-8")
    assert script("cards").card(name) == text
    rows = [
        re.split(r" *\| *", line.strip("| ")) for line in text.splitlines() if re.match(r"\| [\dc]", line)
    ]
    far = (trace.cloud_prediction == trace.label).mean()
    right = [f"{100 * share:.2f}" for share in (*trace.accuracy_per_exit(), far)]
    assert [row[1] for row in rows] == right
    (shown,) = [line for line in (HERE / "README.md").read_text().splitlines() if f"[`{name}`]" in line]
    agrees = 100 * (trace.prediction[:, -1] == trace.cloud_prediction).mean()
    told = [f"{share} %" for share in (right[0], right[2], right[5], right[6], f"{agrees:.2f}")]
    assert [cell.strip() for cell in shown.split("|")[3:-1]] == told


def test_other_texts_are_refused(tmp_path: Path) -> None:
    cloud = splitee.load_trace("sst2_validation")
    (tmp_path / "sst2").mkdir()
    texts = pd.DataFrame({"sentence": [f"text {i}" for i in range(cloud.samples)], "label": cloud.label})
    texts.to_parquet(tmp_path / "sst2" / "validation.parquet")
    with pytest.raises(InputError, match="not those that sst2_validation was read from"):
        script("slender").drawn(cloud, tmp_path)


def test_the_leaderboard_page_says_what_the_tables_say(tmp_path: Path) -> None:
    from splitee.bench.suite import QUESTIONS, TRACKS
    from splitee.bench.tables import document_of, stored_field

    field = stored_field()
    facts = {"seal": "0" * 64, "field": "played", "files": {}, "libraries": {}}
    document = document_of(field, [], {}, facts)
    page = script("leaderboard").page(document, {"SplitEE": {"seconds": 1e-5, "bytes": 1000}}, field)
    assert set(document["tables"]) == set(QUESTIONS)
    for row in document["tables"]["drop 1"]["all"]:
        assert f"| {row['entrant']}" in page
    assert page.count("\n|") > len(document["entrants"]) * 2
    header = next(line for line in page.splitlines() if line.startswith("| policy | constant"))
    assert header.count("|") == len(TRACKS) + 2
