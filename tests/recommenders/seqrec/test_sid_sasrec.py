"""SID-SASRec: GPT-2 over codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2Model

from tastebench.recommenders.seqrec.sid_sasrec import CARD, SIDSASRecConfig
from tastebench.recommenders.seqrec.sid_sasrec_network import SIDSASRecNetwork
from tastebench.testing import RecommenderTests

CODES = np.array([[0, 3, 1], [1, 2, 0], [1, 0, -1], [0, 1, 2], [0, 1, 0]])


class TestConformance(RecommenderTests):
    card = CARD
    config = {"epochs": 2, "hidden_size": 8, "heads": 2, "device": "cpu"}  # noqa: RUF012


def network(**config: object) -> SIDSASRecNetwork:
    torch.manual_seed(0)
    small = {"hidden_size": 16, "inner_size": 24, "heads": 2, "layers": 3, **config}
    return SIDSASRecNetwork(CODES, 6, SIDSASRecConfig.model_validate(small))


@pytest.mark.parametrize("output", ["tied", "separate"])
def test_parameters_by_formula(output: str) -> None:
    h, length, codes = 128, 20, 2 + 4 + 3
    net = SIDSASRecNetwork(CODES, length, SIDSASRecConfig(output=output, user_tokens=7))
    block = 4 * (h * h + h) + (h * 4 * h + 4 * h) + (4 * h * h + h) + 2 * 2 * h
    tables = codes + 2 + 7 + (length + 1) + 3 + (codes if output == "separate" else 0)
    assert sum(p.numel() for p in net.parameters()) == 4 * block + tables * h + 2 * h


def test_states_are_those_of_gpt2() -> None:
    """Another implementation with the same weights."""
    net = network().eval()
    config = GPT2Config(
        n_embd=16, n_inner=24, n_head=2, n_layer=3, activation_function="gelu", vocab_size=2,
        n_positions=32, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    theirs = GPT2Model(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.3)
        theirs.wpe.weight.zero_()
        theirs.ln_f.load_state_dict(net.norm.state_dict())
        for own, other in zip(net.blocks, theirs.h, strict=True):
            other.ln_1.load_state_dict(own.attention_norm.state_dict())
            other.ln_2.load_state_dict(own.inner_norm.state_dict())
            pairs = (
                (other.attn.c_attn, own.qkv), (other.attn.c_proj, own.out),
                (other.mlp.c_fc, own.up), (other.mlp.c_proj, own.down),
            )  # fmt: skip
            for theirs_layer, own_layer in pairs:
                theirs_layer.weight.copy_(own_layer.weight.T)
                theirs_layer.bias.copy_(own_layer.bias)
        items = torch.tensor([[0, 2, 4, 1], [3, 3, 1, 0]])
        # Start, then codes of level 0 from 0 on, of level 1 from 2, of level 2 from 6; 10 for none.
        tokens = torch.tensor(
            [[9, 0, 5, 7, 1, 2, 10, 0, 3, 6, 1, 4], [9, 0, 3, 8, 0, 3, 8, 1, 4, 6, 0, 5]]
        )
        places = torch.arange(12)
        inputs = net.tokens.table[tokens] + net.items[places // 3] + net.levels[places % 3]
        want = theirs(inputs_embeds=inputs).last_hidden_state
        got = net.norm(net(items, None)).flatten(1, 2)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_no_place_sees_a_later_item_or_code() -> None:
    net = network().eval()
    items, other = torch.tensor([[0, 1, 3, 2]]), torch.tensor([[0, 1, 4, 3]])
    before, after = net(items, None)[0], net(other, None)[0]
    torch.testing.assert_close(before[:2], after[:2])
    torch.testing.assert_close(before[2], after[2])  # items 3 and 4 begin alike: 0, 1
    assert not torch.allclose(before[3, 0], after[3, 0])


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads=3 does not divide hidden_size=8"):
        SIDSASRecConfig(hidden_size=8, heads=3)
