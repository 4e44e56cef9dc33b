"""Offline risk control: against plain Python, and against risks that are known."""

import json
import math

import commands
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import random_trace
from scipy.stats import binom

import splitee
from splitee.trace.risk import (
    RISK_RULES,
    accepted,
    cascade_losses,
    p_value,
    risk_grid,
    threshold_for_risk,
    wealth,
)


def plain_accepts(losses: list[float], rule: str, risk: float, failure: float, lowest: float) -> bool:
    """Sections crc, ltt and ucb-wsr of `splitee.trace.risk`, word by word."""
    n, mean = len(losses), sum(losses) / len(losses)
    if rule == "naive":
        return mean <= risk
    if rule == "crc":
        return mean <= ((n + 1) * risk - 1) / n
    if rule == "ltt":
        r, e = (mean - lowest) / (1 - lowest), (risk - lowest) / (1 - lowest)
        if e >= 1:
            return True
        if e <= 0:
            return False
        p = min(r, e)
        kl = (p * math.log(p / e) if p else 0.0) + ((1 - p) * math.log((1 - p) / (1 - e)) if p < 1 else 0.0)
        tail = math.e * binom.cdf(math.ceil(n * r - 1e-9), n, e)
        return min(math.exp(-n * kl), tail, 1.0) <= failure
    total, squares, log_wealth, best, variance = 0.0, 0.0, 0.0, -math.inf, 0.25
    for j, loss in enumerate(losses, start=1):
        bet = min(math.sqrt(2 * math.log(1 / failure) / (n * variance)), 1.0)
        left = 1 - bet * (loss - risk)
        log_wealth = log_wealth + math.log(left) if left > 0 else -math.inf
        best = max(best, log_wealth)
        total += loss
        squares += (loss - (0.5 + total) / (1 + j)) ** 2
        variance = (0.25 + squares) / (1 + j)
    return best >= math.log(1 / failure)


@given(
    st.lists(st.sampled_from([-1.0, 0.0, 0.0, 0.0, 1.0]), min_size=1, max_size=400),
    st.sampled_from(RISK_RULES),
    st.sampled_from([0.0, 0.013, 0.05, 0.31, 1.0]),
    st.sampled_from([0.01, 0.1, 0.3]),
)
@settings(max_examples=200)
def test_it_is_the_specification(losses, rule, risk, failure) -> None:
    for lowest, some in ((-1.0, losses), (0.0, [max(loss, 0.0) for loss in losses])):
        many = accepted(np.array([some]), rule, risk, failure, lowest)
        assert many == plain_accepts(some, rule, risk, failure, lowest)


def test_known_answers() -> None:
    """Without a loss, n samples allow what can be computed by hand."""
    for n in (50, 200):
        none = np.zeros((1, n))
        assert accepted(none, "crc", 1 / (n + 1)) == 1
        assert accepted(none, "crc", 0.999 / (n + 1)) == 0
        least = 1 - 0.1 ** (1 / n)  # (1 − ε)^n = δ
        assert accepted(none, "ltt", least * 1.001) == 1
        assert accepted(none, "ltt", least * 0.999) == 0
        assert p_value(none[0], 0.05) == pytest.approx(0.95**n)
    assert wealth(np.ones(3), 0.5, 0.1)[-1] < 0


@pytest.mark.parametrize("rule", ["crc", "ltt", "ucb-wsr"])
def test_the_promise_is_kept(rule: str) -> None:
    """Thresholds with risks of 0 to 20 %; the true risk of the chosen one is known."""
    rng, risks, risk, failure = np.random.default_rng(0), np.arange(0, 0.2, 0.01), 0.05, 0.1
    for n in (100, 400):
        chosen = []
        for _ in range(300):
            shown = (rng.random(n) < risks[:, None]).astype(float)  # each row its own: harder than nested
            if rule == "crc":
                shown = (rng.random(n)[None] < risks[:, None]).astype(float)
            many = accepted(shown, rule, risk, failure)
            chosen.append(risks[many - 1] if many else 0.0)
        if rule == "crc":
            assert np.mean(chosen) <= risk + 0.003
        else:
            assert np.mean(np.array(chosen) > risk + 1e-9) <= failure + 0.035
        assert np.mean(chosen) > 0.005  # and it is of use


def test_losses_of_a_cascade() -> None:
    trace = splitee.Trace(
        [[0.9, 0.6, 0.8], [0.7, 0.95, 0.99]], [[0, 0, 1], [1, 0, 0]], label=[0, 1], name="two"
    )
    assert cascade_losses(trace, "disagreement", (0.99, 0.9, 0.7)).tolist() == [[0, 0], [1, 0], [1, 1]]
    assert cascade_losses(trace, "error", (0.99, 0.9, 0.7)).tolist() == [[0, 0], [-1, 0], [-1, -1]]
    assert risk_grid(2)[0] == 1.0
    assert risk_grid(2)[-1] == 0.51
    assert risk_grid(40)[-1] == 0.03


def test_from_the_command_line() -> None:
    ran = commands.splitee("trace", "threshold", "imdb", "--rule", "ltt", "--risk", "1/50", "--json")
    found = json.loads(ran.out)
    assert (found["rule"], found["loss"], found["risk"], found["failure"]) == ("ltt", "error", 0.02, 0.1)
    assert found["losses"][f"{found['value']:.2f}"] <= 0.02
    assert (
        "no α is accepted"
        in commands.splitee("trace", "threshold", "rte_validation", "--rule", "ltt", "--risk", "0.02").out
    )
    shown = commands.splitee("trace", "threshold", "imdb", "--rule", "crc", "--risk", "0.02").out
    assert "the mean risk over calibration sets is at most ε" in shown
    assert " ←" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rule", "ltt"], "--risk go together"),
        (["--rule", "best", "--risk", "0.1"], "--risk go together"),
        (["--failure", "0.1"], "--failure and --loss are of risk control"),
        (["--rule", "ltt", "--risk", "2"], "risk is 2.0: give a share from 0 to 1"),
        (["--rule", "ltt", "--risk", "0.1", "--failure", "0"], "failure is 0.0"),
    ],
)
def test_bad_options_are_one_line(options: list[str], words: str) -> None:
    assert words in commands.splitee("trace", "threshold", "rte_validation", *options).complaint


def test_bad_arguments_are_refused() -> None:
    bare = random_trace(20, labels=False)
    assert threshold_for_risk(bare, "naive", 0.5).loss == "disagreement"
    with pytest.raises(splitee.InputError, match="has no labels: give the loss disagreement"):
        threshold_for_risk(bare, loss="error")
    with pytest.raises(splitee.InputError, match="choose disagreement or error"):
        threshold_for_risk(bare, loss="brier")
    with pytest.raises(splitee.InputError, match="rule 'cp': choose one of naive, crc"):
        threshold_for_risk(bare, "cp")
    for losses in (np.zeros(3), np.zeros((0, 3)), np.full((1, 3), 1.5), np.full((1, 3), -0.5), [[np.nan]]):
        with pytest.raises(splitee.InputError, match="losses must be a matrix"):
            accepted(losses, "crc", 0.1)
