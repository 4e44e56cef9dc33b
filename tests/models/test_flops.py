"""FLOPs of every kind of backbone, against torch's counter on the library's own model."""

import numpy as np
import pytest
import torch
from backbones import WORK, librarys_own, model
from torch.utils.flop_counter import FlopCounterMode

from splitee.elue.flops import Flops
from splitee.models.flops import count_flops

QUICK = ("albert", "deberta", "deberta-v2", "modernbert", "nomic_bert", "rembert", "gpt2")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in WORK]
)
def test_flops_are_torchs_count_of_the_librarys_model(name):
    made = model(name)
    theirs = librarys_own(made).requires_grad_(False)
    theirs.set_attn_implementation("eager")
    if getattr(theirs, "pooler", None) is not None:
        theirs.pooler = None
    closed = Flops.from_config(made.config.to_dict())
    lengths = (5, 31)
    counted = [count_flops(made, tokens) for tokens in lengths]
    manifest = {"flops": dict(enumerate(count_flops(made, tokens) for tokens in (6, 14, 20)))}
    for tokens, ours in zip(lengths, counted, strict=True):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            theirs(torch.full((1, tokens), 7))
        assert sum(ours["layers"]) == counter.get_total_flops()
        expected = np.cumsum(ours["layers"]) + ours["exits"]
        np.testing.assert_allclose(closed.at(tokens), expected, rtol=1e-9)
        np.testing.assert_allclose(Flops.from_manifest(manifest).at(tokens), expected, rtol=1e-9)
    assert all(values.requires_grad for values in made.parameters())
