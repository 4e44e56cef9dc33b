"""The ten streams by name, their bundled traces, and the policies of the paper."""

from __future__ import annotations

import splitee

LEVELS = ["clean", *(f"{kind}{level}" for kind in ("blur", "noise", "jpeg") for level in (1, 2, 3))]
MIXED = ("clean", "blur2", "noise2", "jpeg3")
SOURCE = "caltech101_mixed_validation"  # the held-out images under MIXED, distorted by another seed
OFFLOAD, MU = 5.0, 0.1  # λ is a stage with its exit: the paper's setting
DELTA = 0.05  # the claim allows a loss of 5 points


def trace_name(level: str) -> str:
    return "caltech101" if level == "clean" else f"caltech101_{level}"


def trace_of(level: str) -> splitee.Trace:
    return splitee.load_trace(trace_name(level))


def mixture(names: tuple[str, ...] = MIXED) -> splitee.Trace:
    """Every test image once per distortion."""
    return splitee.concatenate([trace_of(name) for name in names], name="mixed")


def policies(alpha: float) -> dict[str, object]:
    """By name. α is chosen on clean held-out images; 0.5 is that of the released code."""
    return {
        "I-SplitEE as published": splitee.SplitEES(alpha, side_information="published"),
        "I-SplitEE as published, α = 0.5": splitee.SplitEES(0.5, side_information="published"),
        "I-SplitEE corrected": splitee.SplitEES(alpha),
        "I-SplitEE corrected, α = 0.5": splitee.SplitEES(0.5),
        "Thompson": splitee.ThompsonSplit(alpha),
        "certified": splitee.CertifiedSplit(DELTA),
        "cascade": splitee.ElasticBERT(alpha),
        "best split (hindsight)": splitee.BestFixedSplit(alpha),
        "cloud-only": splitee.CloudOnly(),
        "last exit": splitee.FinalExit(),
    }
