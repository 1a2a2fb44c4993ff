"""Trm++ against Llama's layers, and the properties of rotary positions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from tastebench.errors import UsageError
from tastebench.recommenders.seqrec.encoders.trm import Trm, inner_width, rotary_turns, rotate

WIDTH, HEADS = 16, 4


@pytest.mark.parametrize("kv_heads", [None, 2, 1])
def test_equals_llama(kv_heads: int | None) -> None:
    torch.manual_seed(0)
    made = Trm(WIDTH, layers=2, heads=HEADS, kv_heads=kv_heads, dropout=0.0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.4)
    llama = LlamaModel(
        LlamaConfig(
            vocab_size=3,
            hidden_size=WIDTH,
            intermediate_size=inner_width(WIDTH),
            num_hidden_layers=2,
            num_attention_heads=HEADS,
            num_key_value_heads=kv_heads or HEADS,
            rms_norm_eps=1e-5,
            hidden_act="silu",
            attn_implementation="eager",
        )
    ).eval()
    llama.norm = nn.Identity()  # there is no last norm
    for ours, theirs in zip(made.layers, llama.layers, strict=True):
        theirs.load_state_dict(
            {
                "self_attn.q_proj.weight": ours.query.weight,
                "self_attn.k_proj.weight": ours.key.weight,
                "self_attn.v_proj.weight": ours.value.weight,
                "self_attn.o_proj.weight": ours.out.weight,
                "mlp.up_proj.weight": ours.up.weight,
                "mlp.gate_proj.weight": ours.gate.weight,
                "mlp.down_proj.weight": ours.down.weight,
                "input_layernorm.weight": ours.attention_norm.weight,
                "post_attention_layernorm.weight": ours.feed_norm.weight,
            }
        )
    x = torch.randn(3, 9, WIDTH)
    with torch.no_grad():
        expected = llama(inputs_embeds=x, use_cache=False).last_hidden_state
    torch.testing.assert_close(made(x), expected, rtol=1e-4, atol=1e-4)


def test_a_turn_by_hand() -> None:
    """Width 2 has one pair, which turns by one radian a position."""
    turns = rotary_turns(3, 2, torch.device("cpu"))
    turned = rotate(torch.tensor([1.0, 0.0]).expand(1, 3, 1, 2), turns)[0, :, 0]
    expected = [[math.cos(t), math.sin(t)] for t in range(3)]
    torch.testing.assert_close(turned, torch.tensor(expected))


def test_slower_pairs_turn_slower() -> None:
    """Pair 1 of 2 turns by 10000^(-1/2) = 0.01 a position."""
    turns = rotary_turns(2, 4, torch.device("cpu"))
    turned = rotate(torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(1, 2, 1, 4), turns)[0, 1, 0]
    torch.testing.assert_close(turned, torch.tensor([0.0, math.cos(0.01), 0.0, math.sin(0.01)]))


def test_products_know_only_the_distance() -> None:
    torch.manual_seed(0)
    turns = rotary_turns(40, 8, torch.device("cpu"))
    q, k = (rotate(torch.randn(8).expand(1, 40, 1, 8), turns)[0, :, 0] for _ in range(2))
    products = q @ k.T
    for distance in (-5, 0, 7):
        along = torch.diagonal(products, distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=1e-4, atol=1e-4)


def test_turns_are_float32_under_bfloat16() -> None:
    """Position 257 is no bfloat16: rounded to 256 it would turn by a radian less."""
    turns = rotary_turns(258, 2, torch.device("cpu"))
    turned = rotate(torch.tensor([1.0, 0.0], dtype=torch.bfloat16).expand(1, 258, 1, 2), turns)
    assert turned.dtype == torch.bfloat16
    assert turned[0, 257, 0, 0].item() == pytest.approx(math.cos(257), abs=0.01)


def test_weights_begin_as_published() -> None:
    torch.manual_seed(0)
    made = Trm(64, layers=8, heads=8, dropout=0.0)
    for key, value in made.named_parameters():
        if "norm" in key:
            assert value.eq(1).all()
        else:
            last = key.endswith(("out.weight", "down.weight"))
            expected = 0.02 / math.sqrt(16) if last else 0.02
            assert value.std().item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "message"),
    [
        (3, None, "3 heads do not divide a width of 16"),
        (16, None, "16 heads do not divide a width of 16 into even parts"),
        (4, 3, "3 heads of keys and values do not divide 4 heads"),
    ],
)
def test_heads_that_do_not_go_together(heads: int, kv_heads: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Trm(16, layers=1, heads=heads, kv_heads=kv_heads, dropout=0.0)
