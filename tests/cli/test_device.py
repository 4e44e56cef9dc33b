"""`splitee device`, `splitee verify-log` and `splitee export onnx`: as printed, and what they refuse."""

import json
from pathlib import Path

import commands
import pytest
import serving
import toys

from splitee.runtime.log import load_log
from splitee.runtime.planned import planned

TEXTS = "text,sentiment\n" + "".join(
    f"{' '.join(toys.WORDS[k % 9 : k % 9 + 3])},{k % 2}\n" for k in range(30)
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.checkpoint(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TEXTS)
    return tmp_path


def test_a_run_and_its_proof(model: Path, place: Path) -> None:
    made = commands.splitee("export", "onnx", model, "--device-layers", "half", "--out", "half", "--json")
    assert json.loads(made.out)["device_exits"] == 2
    with serving.serving(model) as server:
        given = ("--cloud", server.url, "--cloud-model", "model", "--text", "t.csv", "--out", "log.parquet")
        ran = commands.splitee("device", "half", *given, "--policy", "splitee-s", "--complete-log", "--json")
        assert ran.code == 0, ran.err
        *answers, summary = map(json.loads, ran.out.splitlines())
        assert [one["id"] for one in answers] == [str(k) for k in range(30)]
        assert summary["answered"] == 30
        assert not Path("log.parquet.journal").exists()
        assert "exists" in commands.splitee("device", "half", *given, "--policy", "splitee-s").complaint
        other = ("--layer-ms", "1", "--arrivals", "5", "--label-column", "sentiment", "--class-names", "0,1")
        again = commands.splitee("device", "half", *given, "--policy", "splitee", "--overwrite", *other)
        assert again.code == 0, again.err
        assert "no class '0'" in again.err
        assert load_log("log.parquet").records[0].label is None
        named = ("--label-column", "sentiment", "--class-names", "LABEL_1,LABEL_0", "--overwrite")
        again = commands.splitee("device", "half", *given, "--policy", "splitee", *named)
        assert [one.label for one in load_log("log.parquet").records] == [1, 0] * 15  # by name
        again = commands.splitee("device", "half", *given, "--policy", "splitee", "--overwrite", *other)
    found = json.loads(commands.splitee("verify-log", "log.parquet", "--json").out)
    assert found["same"]
    assert found["samples"] == 30
    assert found["predicted"]["latency_p50"] > 0
    assert "every decision is the same" in commands.splitee("verify-log", "log.parquet").out


def test_a_plan_names_system_and_rule(model: Path, place: Path) -> None:
    plan = commands.splitee("plan", "rte_validation", "--layer-ms", "2", "--max-drop", "9", "--json")
    Path("plan.json").write_text(plan.out)
    system, rule, alpha = planned("plan.json")
    assert system["device"]["layer_ms"] == 2.0
    answer = json.loads(plan.out)["answer"]
    assert rule.partition(":")[0].replace("-", " ") == answer["policy"].replace("-", " ").rstrip(
        " 0123456789"
    )
    assert alpha == answer["threshold"]
    document = json.loads(plan.out)
    document["answer"] = {**answer, "policy": "split 2", "layer": 2, "threshold": 0.9}
    Path("plan.json").write_text(json.dumps(document))
    ran = commands.splitee("device", model, "--plan", "plan.json", "--text", "t.csv", "--out", "log.parquet")
    assert ran.code == 0, ran.err
    found = json.loads(commands.splitee("verify-log", "log.parquet", "--json").out)
    assert (found["policy"], found["same"], found["lost"]) == ("split 2", True, found["offloaded"])
    for change in ({"answer": None}, {"answer": {}}, {"system": {}}):
        Path("plan.json").write_text(json.dumps({**document, **change}))
        again = commands.splitee(
            "device", model, "--plan", "plan.json", "--text", "t.csv", "--out", "x.parquet"
        )
        assert again.complaint


def test_lines_of_standard_input(model: Path, place: Path) -> None:
    given = ("device", model, "--policy", "exit:2", "--text", "-", "--out", "log.parquet")
    ran = commands.splitee(*given, stdin="good w1\n\nbad\n")
    assert ran.code == 0, ran.err
    assert [line.split("\t")[0] for line in ran.out.splitlines()[:2]] == ["0", "1"]
    assert Path("log.parquet.journal").exists()
    ran = commands.splitee(*given, stdin="dull\n")  # it resumes
    assert ran.out.startswith("2\t")
    assert json.loads(commands.splitee("verify-log", "log.parquet", "--json").out)["samples"] == 3
    other = commands.splitee(*given[:3], "exit:1", *given[4:], stdin="")
    assert "of another run (setting.policy is exit:2 there, exit:1 here)" in other.complaint


def test_one_line_for_bad_input(model: Path, place: Path) -> None:
    text = ("--text", "t.csv", "--out", "log.parquet")
    for options, line in (
        ((*text,), "give the policy"),
        ((*text, "--policy", "splitee", "--listen", "localhost:0"), "either --text"),
        ((*text, "--policy", "splitee", "--rtt", "5"), "--rtt is of a system"),
        ((*text, "--policy", "splitee", "--device-layers", "9"), "9 is not from 1 to 4"),
        ((*text, "--policy", "exit:4", "--device-layers", "2"), "needs exit 4"),
        ((*text, "--policy", "splitee", "--cloud", "nowhere"), "give an address"),
        (("--policy", "splitee", "--listen", "here", "--out", "log.parquet"), "HOST:PORT"),
    ):
        assert line in commands.splitee("device", model, *options).complaint
        assert not Path("log.parquet").exists()
        Path("log.parquet.journal").unlink(missing_ok=True)
    assert "no such file" in commands.splitee("verify-log", "nothere").complaint
    assert "not a Parquet file" in commands.splitee("verify-log", "t.csv").complaint
    assert "no checkpoint" in commands.splitee("device", "t.csv", *text, "--policy", "splitee").complaint
