"""Options of COST-EFF's scripts that differ by task, by the number of heads kept, and by batch size."""

from __future__ import annotations

# the authors' run.sh: epochs of the assistant, and the share of a pruning event that uses only states
_ASSISTANT = {"mrpc": 12, "sst-2": 5, "qnli": 5, "mnli": 3, "cola": 8, "qqp": 3}
_SHARE = {"mrpc": 0.5, "sst-2": 0.7, "qnli": 0.7, "mnli": 0.7, "cola": 0.5, "qqp": 0.7}
# epochs of pruning, on states, and on states and answers; for 2, 3, …, 8 heads that are kept of twelve
_EPOCHS = {
    "mrpc": ((20, 18, 16, 14, 12, 10, 8), (20, 18, 16, 14, 12, 10, 8), (10, 8, 7, 6, 5, 4, 3)),
    "sst-2": ((5, 5, 4, 4, 3, 2, 2), (10, 10, 9, 9, 8, 7, 6), (6, 5, 4, 4, 3, 3, 3)),
    "qnli": ((5, 5, 4, 4, 3, 2, 2), (8, 8, 7, 7, 6, 6, 5), (5, 4, 4, 3, 3, 2, 2)),
    "mnli": ((3, 3, 3, 2, 2, 1, 1), (5, 5, 4, 4, 3, 3, 2), (3, 2, 2, 2, 2, 1, 1)),
    "cola": ((20, 18, 16, 14, 12, 10, 8), (20, 18, 16, 14, 10, 10, 8), (10, 8, 7, 6, 5, 4, 3)),
    "qqp": ((3, 3, 3, 2, 2, 1, 1), (5, 5, 4, 4, 3, 3, 2), (3, 2, 2, 2, 2, 1, 1)),
}
TASK_RECIPES = tuple(_EPOCHS)
# their rates for batches of 64; the defaults are those for 32
_RATES_64 = {
    "assistant_rate": 3e-5,
    "prune_rate": 1e-5,
    "representation_rate": 4e-5,
    "prediction_rate": 3e-5,
    "growth": 0.15,
}


def released(task: str, heads: int, batch_size: int = 32) -> dict[str, float]:
    """Return the options of the authors' scripts that differ by task, heads kept and batch size.

    Examples
    --------
    >>> released("cola", 2)["prune_epochs"], released("cola", 6)["prune_epochs"]
    (20, 12)
    """
    place = min(max(heads, 2), 8) - 2  # the nearest that they have
    prune, states, answers = (epochs[place] for epochs in _EPOCHS[task])
    return {
        "assistant_epochs": _ASSISTANT[task],
        "representation_share": _SHARE[task],
        "prune_epochs": prune,
        "representation_epochs": states,
        "prediction_epochs": answers,
        **(_RATES_64 if batch_size == 64 else {}),
    }
