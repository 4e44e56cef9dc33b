"""A small model on the device, a big one in the cloud: joined by sample, and played so."""

import commands
import numpy as np
import pytest

import splitee
from splitee._internal.errors import InputError
from splitee.trace import Trace, load_trace
from splitee.trace.joining import with_cloud


def trace(name, layers, seed, ids, **changes):
    rng = np.random.default_rng(seed)
    n = len(ids)
    given = {
        "confidence": rng.uniform(0.5, 1, (n, layers)).astype(np.float32),
        "prediction": rng.integers(0, 2, (n, layers)),
        "label": [int(i) % 2 for i in ids],
        "id": ids,
        "name": name,
    }
    return Trace(**(given | changes))


IDS = [str(i) for i in range(40)]
SHUFFLED = [str(i) for i in np.random.default_rng(3).permutation(40)]


def test_the_last_exit_of_the_cloud_answers_what_is_sent():
    small, large = trace("small", 3, 0, IDS), trace("large", 5, 1, SHUFFLED)
    joined = with_cloud(small, large)
    place = {id_: i for i, id_ in enumerate(large.id)}
    for i, id_ in enumerate(IDS):
        assert joined.cloud_confidence[i] == large.confidence[place[id_], -1]
        assert joined.cloud_prediction[i] == large.prediction[place[id_], -1]
    assert joined.manifest["cloud"]["fingerprint"] == large.fingerprint
    sent = splitee.replay(joined, splitee.CloudOnly(), repeats=2, seed=0).summary()
    right = np.mean([large.prediction[place[id_], -1] == int(id_) % 2 for id_ in IDS])
    assert sent["accuracy"].item() == pytest.approx(right)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"id": [*IDS[:-1], "other"]}, "lacks '39'"),
        ({"label": [1] * 40}, "label the same samples differently"),
        ({"classes": 3}, "differ in classes"),
        ({"manifest": {"class_names": ["bad", "good"]}}, "has the classes no, yes, large bad, good"),
    ],
)
def test_what_does_not_go_together(changes, word):
    small = trace("small", 3, 0, IDS, manifest={"class_names": ["no", "yes"]})
    with pytest.raises(InputError, match=word):
        with_cloud(small, trace("large", 5, 1, IDS, **changes))


def test_ids_that_repeat():
    with pytest.raises(InputError, match="sample ids repeat"):
        with_cloud(trace("small", 3, 0, ["8", "8"]), trace("large", 5, 1, ["8", "8"]))


def test_of_more_samples():
    with pytest.raises(InputError, match="cloud's has more"):
        with_cloud(trace("small", 3, 0, IDS[:-1]), trace("large", 5, 1, IDS))


def test_the_command(tmp_path):
    small, large = trace("small", 3, 0, IDS), trace("large", 5, 1, SHUFFLED)
    small.save(tmp_path / "small.parquet")
    large.save(tmp_path / "large.parquet")
    command = ("trace", "join", tmp_path / "small.parquet", tmp_path / "large.parquet")
    ran = commands.splitee(*command, "--out", tmp_path / "both.parquet", "--name", "both")
    assert ran.code == 0, ran
    both = load_trace(tmp_path / "both.parquet")
    assert both.name == "both"
    assert np.array_equal(both.cloud_prediction, with_cloud(small, large).cloud_prediction)
    assert "exists already" in commands.splitee(*command, "--out", tmp_path / "both.parquet").complaint
    trace("other", 3, 0, ["8", "99"]).save(tmp_path / "other.parquet")
    ran = commands.splitee(
        "trace",
        "join",
        tmp_path / "small.parquet",
        tmp_path / "other.parquet",
        "--out",
        tmp_path / "x.parquet",
    )
    assert "hold different samples" in ran.complaint


def hashed(name, hashes, **changes):
    given = {"id": [str(i) for i in range(len(hashes))], "text_hash": hashes}
    return trace(name, 3, 0, given["id"], **(given | changes))


def test_samples_are_matched_by_their_text():
    small, large = hashed("small", list("abca"), label=None), hashed("large", list("caab"), label=None)
    joined = with_cloud(small, large)
    rows = [1, 3, 0, 2]  # the two samples of one text in the order of the files
    assert joined.cloud_confidence.tolist() == large.confidence[rows, -1].tolist()
    assert with_cloud(small, small).cloud_confidence.tolist() == small.confidence[:, -1].tolist()
    named = with_cloud(
        hashed("small", list("ab"), id=["x", "y"], label=None),
        hashed("large", list("ba"), id=["y", "x"], label=None),
    )
    assert named.cloud_prediction.tolist() == large.prediction[[1, 0], -1].tolist()
    with pytest.raises(InputError, match=r"different samples .1 of 4 texts"):
        with_cloud(small, hashed("large", list("caax"), label=None))


def test_row_numbers_do_not_match_other_data():
    facts = [{"manifest": {"data": {"sha256": digest}}} for digest in "ab"]
    small, large = trace("small", 3, 0, IDS, **facts[0]), trace("large", 5, 1, IDS, **facts[1])
    with pytest.raises(InputError, match=r"different texts or .* another order.*a column id"):
        with_cloud(small, large)
    assert with_cloud(small, large.replace(manifest=facts[0]["manifest"])).samples == 40
    ids = [f"s{i}" for i in IDS]
    assert with_cloud(small.replace(id=ids), large.replace(id=ids)).samples == 40
    assert with_cloud(small, large.replace(label=None)).samples == 40, "the digest is of texts and labels"
