"""Mamba4Rec's mixer against transformers' Mamba, its block against its formula."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer as TheirMixer

from tastebench.recommenders.seqrec.encoders.mamba4rec import Mamba4Rec, MambaMixer


def test_equals_the_mixer_of_transformers() -> None:
    torch.manual_seed(0)
    ours = MambaMixer(24, state=6, expand=2, kernel=4)
    theirs = TheirMixer(
        MambaConfig(
            hidden_size=24,
            state_size=6,
            expand=2,
            conv_kernel=4,
            time_step_rank=2,  # 24 / 16, rounded up
            num_hidden_layers=1,
        ),
        layer_idx=0,
    )
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    theirs.load_state_dict(
        {
            "A_log": ours.log_decay,
            "D": ours.skip,
            "conv1d.weight": ours.mix.weight,
            "conv1d.bias": ours.mix.bias,
            "in_proj.weight": ours.into.weight,
            "x_proj.weight": ours.select.weight,
            "dt_proj.weight": ours.step.weight,
            "dt_proj.bias": ours.step.bias,
            "out_proj.weight": ours.out.weight,
        }
    )
    theirs.eval()
    x = torch.randn(3, 11, 24)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_blocks_add_their_input_only_where_stacked(layers: int) -> None:
    torch.manual_seed(0)
    made = Mamba4Rec(16, layers=layers, state=4, dropout=0.0)

    def norm(x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, (16,), eps=1e-12)

    x = torch.randn(2, 5, 16)
    expected = norm(x)
    for block in made.blocks:
        mixed = block.mixer(expected)
        expected = norm(mixed + expected if layers > 1 else mixed)
        expected = norm(expected + block.down(functional.gelu(block.up(expected))))
    torch.testing.assert_close(made(x), expected)


def test_decays_begin_as_whole_numbers() -> None:
    mixer = MambaMixer(16, state=4, expand=2, kernel=4)
    torch.testing.assert_close(mixer.log_decay.exp(), torch.arange(1.0, 5).expand(32, 4))
