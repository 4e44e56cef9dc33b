"""`splitee trace calibrate` as a person runs it."""

import json
import re

import commands
import numpy as np
import pytest

from splitee.trace import load_trace
from splitee.trace.reliability import expected_calibration_error
from splitee.trace.temperature import apply_temperatures, fit_temperatures


def splitee(*arguments):
    return commands.splitee("trace", *arguments)


@pytest.fixture
def files(tmp_path):
    """A small source and target of the bundled model, as files."""
    source = load_trace("sst2_validation").select(range(300)).replace(name="source")
    target = load_trace("imdb").select(range(200)).replace(name="target")
    paths = tmp_path / "source.parquet", tmp_path / "target.parquet"
    for trace, path in zip((source, target), paths, strict=True):
        trace.save(path)
    return *paths, tmp_path / "target-cal.parquet"


def change(path, **changes):
    load_trace(path).replace(**changes).save(path, overwrite=True)


def test_it_writes_the_trace_and_says_what_changed(files):
    source, target, out = files
    done = splitee("calibrate", target, "--source", source, "--out", out)
    assert (done.code, done.err) == (0, "")
    made = load_trace(out)
    expected = apply_temperatures(load_trace(target), fit_temperatures(load_trace(source)))
    assert made.fingerprint == expected.fingerprint
    assert made.name == "target-cal"
    assert "target, calibrated on source (300 samples): before → after" in done.out
    last = made.confidence[:, 11].astype(float)
    for words in (
        f"{made.manifest['calibration']['temperatures'][11]:.3f}",
        f"{load_trace(target).confidence[:, 11].mean(dtype=float):.3f} → {last.mean():.3f}",
        f"→ {(last >= made.recommended_threshold).mean():.1%}",
        f"target-cal.parquet: α = {made.recommended_threshold:g} (within:0.5, on calibrated source);",
        "; before: 0.9",
    ):
        assert words in done.out, words
    again = splitee("verify", out)
    assert again.code == 0
    assert f"α = {made.recommended_threshold:g} (recommended" in splitee("show", out).out


def test_json_has_the_numbers(files):
    source, target, out = files
    document = json.loads(splitee("calibrate", target, "--source", source, "--out", out, "--json").out)
    was, made, from_ = load_trace(target), load_trace(out), load_trace(source)
    fitted = apply_temperatures(from_, fit_temperatures(from_))
    assert document["fingerprint"] == made.fingerprint
    assert document["source"] == made.manifest["calibration"]["source"]
    assert document["threshold"] == {"before": 0.9, "after": made.recommended_threshold, "rule": "within:0.5"}
    assert [row["temperature"] for row in document["exits"]] == made.manifest["calibration"]["temperatures"]
    for i, row in enumerate(document["exits"]):
        assert (row["exit"], row["layer"]) == (i + 1, i + 1)
        for key, before, after in (
            ("source_calibration_error", from_, fitted),
            ("calibration_error", was, made),
        ):
            for when, trace in (("before", before), ("after", after)):
                error = expected_calibration_error(
                    trace.confidence[:, i], trace.prediction[:, i] == trace.label
                )
                assert row[key][when] == pytest.approx(error)
        assert row["mean_confidence"]["after"] == pytest.approx(made.confidence[:, i].mean(dtype=float))
        shares = row["share_at_threshold"]
        assert shares["before"] == pytest.approx((was.confidence[:, i].astype(float) >= 0.9).mean())
        alpha = made.recommended_threshold
        assert shares["after"] == pytest.approx((made.confidence[:, i].astype(float) >= alpha).mean())


def test_the_bundled_source_is_found(files, tmp_path):
    _, target, out = files
    document = json.loads(splitee("calibrate", target, "--out", out, "--json").out)
    assert document["source"]["name"] == "sst2_validation"
    assert document["source"]["samples"] == 872
    mine = tmp_path / "mine.parquet"
    load_trace(target).replace(manifest={"class_names": ["no", "yes"]}).save(mine)
    assert "give --source" in splitee("calibrate", mine, "--out", tmp_path / "o.parquet").complaint


def test_a_target_without_labels_and_threshold(files):
    source, target, out = files
    change(target, label=None, manifest={})
    document = json.loads(splitee("calibrate", target, "--source", source, "--out", out, "--json").out)
    assert document["threshold"]["before"] is None
    row = document["exits"][0]
    assert row["calibration_error"] == {"before": None, "after": None}
    assert row["share_at_threshold"]["before"] is None
    assert row["source_calibration_error"]["after"] >= 0
    done = splitee("calibrate", target, "--source", source, "--out", out, "--overwrite")
    assert "none was recommended before" in done.out
    cells = [cell.strip() for cell in re.search("│ +12 │(.*)│\n", done.out)[1].split("│")]
    assert cells[2] == "–"  # its calibration error
    assert re.fullmatch(r"– → \d+\.\d%", cells[4])  # the share, of which only the new α tells


def test_nothing_is_overwritten_unasked_nor_read_before_that(files, tmp_path):
    source, target, out = files
    out.write_text("mine")
    # the refusal comes before the traces are even looked for
    none = tmp_path / "none.parquet"
    assert "exists already" in splitee("calibrate", none, "--source", source, "--out", out).complaint
    assert out.read_text() == "mine"
    assert splitee("calibrate", target, "--source", source, "--out", out, "--overwrite").code == 0
    assert load_trace(out).name == "target-cal"


def test_bad_sources_are_one_line_and_leave_nothing(files):
    source, target, out = files
    whole = load_trace(source)
    arguments = ("calibrate", target, "--source", source, "--out", out)
    three = whole.replace(confidence=whole.confidence[:, :3], prediction=whole.prediction[:, :3], manifest={})
    for trace, why in [
        (whole.replace(label=None), "source has no labels"),
        (whole.replace(softmax=False), "source has scores"),
        (three, "source source has 3 exits, target has 12: both must come from one model"),
        (whole.replace(classes=3, manifest={}), "has 3 classes"),
        (
            whole.replace(manifest=whole.manifest | {"model": {"sha256": "0" * 64}}),
            "is of another model than target",
        ),
    ]:
        trace.save(source, overwrite=True)
        assert why in splitee(*arguments).complaint
    change(source, manifest={}, softmax=True, classes=2, label=np.ones(300, dtype=int))
    change(target, softmax=False)
    assert "target has scores" in splitee(*arguments).complaint
    assert not out.exists()


def test_a_calibrated_trace_is_not_calibrated_again(files):
    source, target, out = files
    assert splitee("calibrate", target, "--source", source, "--out", out).code == 0
    assert (
        "is calibrated already"
        in splitee("calibrate", out, "--source", source, "--out", target, "--overwrite").complaint
    )


def test_help_is_there():
    done = splitee("calibrate", "--help")
    assert done.code == 0
    assert "\b" not in done.out
    assert "calibrate" in splitee("--help").out
