"""The rounds of a certified split: played in pieces, and written down when the rule changes."""

import numpy as np
import pytest
from made_up import easy

import splitee
from splitee.policies import certified
from splitee.policies.certified_rounds import begin_journal

HALF = splitee.CostModel(offload=12.0, device_layers=3)


@pytest.mark.parametrize("delay", [0, 25])
def test_pieces_of_a_stream_are_played_as_the_whole(delay: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trace, policy = easy(n=2000), splitee.CertifiedSplit(0.05)
    whole = splitee.replay(trace, policy, HALF, repeats=3, delay=delay)
    monkeypatch.setattr(certified, "CHUNK", 97)
    pieces = splitee.replay(trace, policy, HALF, repeats=3, delay=delay)
    assert pieces.split.tolist() == whole.split.tolist()
    assert pieces.offloaded.tolist() == whole.offloaded.tolist()
    assert pieces.certificate().equals(whole.certificate())


def test_a_journal_begins_with_the_last_row_of_the_one_before() -> None:
    first = begin_journal(100)
    first[1:3] = [[1, 0, -1, 104, 0, np.nan], [60, 0, 2, 80, 50, 0.5]]
    first[0, 0] = 2
    second = begin_journal(100, first)
    assert second[1].tolist() == [60, 0, 2, 80, 50, 0.5]
    assert second[0, 0] == 1
