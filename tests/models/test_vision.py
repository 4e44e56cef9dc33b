"""Vision backbones of transformers at toy size: states by stage are the library's own hidden states."""

from pathlib import Path

import photos
import pytest
import torch
from shapes import CONFIGS
from transformers import AutoModel

from splitee._internal.errors import InputError
from splitee.models.config import StagedConfig
from splitee.models.flops import count_flops
from splitee.models.multi_exit import load_checkpoint
from splitee.models.precompute import precompute
from splitee.models.staged import StagedModel
from splitee.models.vision import VISION, stages_of


@pytest.mark.parametrize("kind", VISION)
@torch.no_grad()
def test_states_are_those_of_the_library(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = AutoModel.from_config(CONFIGS[kind]).eval()
    for values in backbone.parameters():
        if values.ndim > 1:  # as they are made, states would fade to 0
            torch.nn.init.kaiming_normal_(values)
    pixels = torch.rand(2, 3, 32, 32)
    output = backbone(pixels, output_hidden_states=True)
    config = StagedConfig(CONFIGS[kind].to_dict(), num_labels=3, image_size=32)
    model = StagedModel(config, stages_of(backbone)).eval()
    library = [state for state in output.hidden_states if state.shape[1:] in model.shapes]
    cut, states = model.start(pixels), []
    for layer in model.exits:
        cut = model.run_layers(cut, layer)
        states.append(cut.hidden)
    last = output.last_hidden_state
    assert min(state.abs().max() for state in states) > 0.1
    assert torch.allclose(states[-1], last, atol=1e-5)
    for ours, theirs in zip(states[-2::-1], _inner(kind, library)[::-1], strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)

    model.save_pretrained(tmp_path / kind)  # no code of ours is needed to load it
    loaded = load_checkpoint(tmp_path / kind)
    assert torch.allclose(loaded(pixels).logits, model(pixels).logits, atol=1e-5)
    counted = count_flops(loaded, 32)
    assert len(counted["layers"]) == len(model.exits)
    assert min(counted["layers"]) > 0


def _inner(kind: str, states: list[torch.Tensor]) -> list[torch.Tensor]:
    """The library's states after all stages but the last."""
    if kind == "mobilenet_v2":
        return states[:16]
    # the first is the embeddings', where its shape is that of a later one
    inner = states[:-1]
    return inner[1:] if kind in ("vit", "deit") else inner[-(len(CONFIGS[kind].depths) - 1) :]


def test_attention_is_counted_in_eager_mode() -> None:
    """Two products of S × S positions per head more than the linear layers have."""
    backbone = AutoModel.from_config(CONFIGS["vit"])
    model = StagedModel(
        StagedConfig(CONFIGS["vit"].to_dict(), num_labels=3, image_size=32), stages_of(backbone)
    )
    tokens, width, inner = 17, 16, 24
    linear = 2 * tokens * (4 * width * width + 2 * width * inner)
    assert count_flops(model, 32)["layers"][1] == linear + 4 * tokens * tokens * width


def test_a_precomputed_vision_transformer(tmp_path: Path) -> None:
    backbone = AutoModel.from_config(CONFIGS["vit"])
    config = StagedConfig(CONFIGS["vit"].to_dict(), num_labels=3, image_size=32, id2label=_NAMES)
    StagedModel(config, stages_of(backbone)).save_pretrained(tmp_path / "vit")
    trace = precompute(tmp_path / "vit", photos.images(5), tmp_path / "out.parquet")
    assert trace.manifest["hidden_state_bytes"]["by_exit_float32"] == [4 * 17 * 16] * 3
    assert trace.manifest["model"]["backbone"] == "vit"


_NAMES = {i: f"class {i}" for i in range(3)}


def test_other_families_are_refused() -> None:
    from transformers import BertConfig

    with pytest.raises(InputError, match="'bert' has no known stages"):
        stages_of(AutoModel.from_config(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1,
                                                    num_attention_heads=2, intermediate_size=8)))  # fmt: skip
