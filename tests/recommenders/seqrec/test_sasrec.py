"""SASRec: what it does not share with every sequence model, in its three forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items, SeqProblem, Targets
from tastebench.ragged import Ragged
from tastebench.recommenders.seqrec.sasrec import (
    CARD,
    GPT2RecConfig,
    SASRecConfig,
    SASRecOriginalConfig,
)
from tastebench.recommenders.seqrec.sasrec_network import IdNetwork, sasrec_network
from tastebench.testing import RecommenderTests


class TestConformance(RecommenderTests):
    card = CARD
    config = {"epochs": 2, "hidden_size": 8, "inner_size": 8, "device": "cpu"}  # noqa: RUF012


def network(config: SASRecConfig, n_items: int = 9, length: int = 4) -> IdNetwork:
    nobody = np.empty(0, np.int64)
    none = Targets(nobody, Ragged.from_lists([]), nobody.astype(np.int32), nobody)
    problem = SeqProblem(n_items, 0, length, Ragged.from_lists([]), none, none)
    return sasrec_network(config, problem, Items(n_items, forms=("id",)))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def by_formula(n: int, length: int, h: int, f: int, layers: int) -> int:
    """Item table, positions, the norm outside the blocks, blocks."""
    layer = 4 * (h * h + h) + (h * f + f) + (f * h + h) + 2 * 2 * h
    return n * h + length * h + 2 * h + layers * layer


def test_parameters_by_formula() -> None:
    net = network(SASRecConfig(), 1000, 50)
    assert parameters(net) == by_formula(1000, 50, 64, 256, 2)


def test_parameters_of_the_original() -> None:
    net = network(SASRecOriginalConfig(), 1000, 50)
    assert parameters(net) == by_formula(1000, 50, 50, 50, 2)


@pytest.mark.parametrize(
    ("layers", "width", "heads"), [(3, 64, 8), (6, 64, 8), (12, 768, 12), (24, 2048, 16)]
)
def test_parameters_of_recbenchs_sizes(layers: int, width: int, heads: int) -> None:
    config = GPT2RecConfig(layers=layers, hidden_size=width, heads=heads)
    with torch.device("meta"):
        net = network(config, 12_101, 20)
    table = 12_101 * width  # the output has its own
    assert parameters(net) == by_formula(12_101, 20, width, 4 * width, layers) + table


def test_blocks_of_gpt2_without_items_are_gpt2() -> None:
    """The blocks and the last norm have as many weights as those of the language model."""
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        peer = transformers.GPT2Model(
            transformers.GPT2Config(vocab_size=1, n_positions=20, n_embd=64, n_layer=3, n_head=8)
        )
        ours = network(GPT2RecConfig(), 1, 20).encoder
    assert parameters(ours) == parameters(peer) - 64  # its vocabulary of one


def test_gpt2rec_computes_what_gpt2_computes() -> None:
    transformers = pytest.importorskip("transformers")
    peer = transformers.GPT2Model(
        transformers.GPT2Config(
            vocab_size=9, n_positions=6, n_embd=16, n_layer=2, n_head=4, attn_implementation="eager"
        )
    ).eval()
    net = network(GPT2RecConfig(hidden_size=16, heads=4, layers=2), 9, 6).eval()
    with torch.no_grad():
        for parameter in peer.parameters():  # norms and biases begin at 1 and 0: tell them apart
            parameter.add_(torch.randn(parameter.shape) * 0.1)
        _take_over(net, peer)
        items = torch.tensor([[3, 5, 5, 1, 0, 8], [2, 2, 7, 4, 4, 4]])
        torch.testing.assert_close(net.states(items), peer(items).last_hidden_state)


def _take_over(net: IdNetwork, peer: Any) -> None:
    """GPT-2's weights; its linear layers hold theirs turned."""
    net.items.copy_(peer.wte.weight)
    net.encoder.positions.copy_(peer.wpe.weight)
    pairs = [(net.encoder.norm, peer.ln_f)]
    for ours, theirs in zip(net.encoder.blocks, peer.h, strict=True):
        pairs += [(ours.attention_norm, theirs.ln_1), (ours.output_norm, theirs.ln_2)]
        pairs += [(ours.qkv, theirs.attn.c_attn), (ours.out, theirs.attn.c_proj)]
        pairs += [(ours.up, theirs.mlp.c_fc), (ours.down, theirs.mlp.c_proj)]
    for ours, theirs in pairs:
        turned = isinstance(ours, nn.Linear)
        ours.weight.copy_(theirs.weight.T if turned else theirs.weight)
        ours.bias.copy_(theirs.bias)


def test_the_original_computes_what_its_paper_says() -> None:
    net = network(SASRecOriginalConfig(hidden_size=6, inner_size=6, layers=1), 9, 4).eval()
    encoder, block = net.encoder, net.encoder.blocks[0]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.3)
        items = torch.tensor([3, 5, 1])
        x = net.items[items] + encoder.positions[:3]
        q, k, v = block.qkv(norm(x, block.attention_norm)).split(6, dim=-1)
        scores = (q @ k.T / 6**0.5).masked_fill(torch.ones(3, 3).triu(1).bool(), float("-inf"))
        x = x + block.out(scores.softmax(dim=-1) @ v)
        x = x + block.down(functional.relu(block.up(norm(x, block.output_norm))))
        torch.testing.assert_close(net.states(items[None])[0], norm(x, encoder.norm))


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    return (
        centred / (centred.pow(2).mean(dim=-1, keepdim=True) + layer.eps).sqrt() * (layer.weight)
        + layer.bias
    )


def test_states_meet_the_embeddings_they_read() -> None:
    net = network(SASRecConfig(hidden_size=8, inner_size=8)).eval()
    items = torch.tensor([[3, 5]])
    torch.testing.assert_close(net.states(items), net.encoder(net.catalogue()[items]))
    torch.testing.assert_close(net.answers(items[0]), net.catalogue()[items[0]])
    assert net.scale == 1


def test_an_untied_output_is_a_table_of_its_own() -> None:
    net = network(SASRecConfig(hidden_size=8, inner_size=8, output="untied")).eval()
    items = torch.tensor([[3, 5]])
    torch.testing.assert_close(net.states(items), net.encoder(net.items[items]))
    assert torch.equal(net.answers(items[0]), net.catalogue()[items[0]])
    assert not torch.equal(net.catalogue(), net.items)
    tied = network(SASRecConfig(hidden_size=8, inner_size=8))
    assert parameters(net) == parameters(tied) + 9 * 8


@pytest.mark.parametrize("lost", [0, 5])
def test_gradients_reach_every_item(lost: int) -> None:
    net = network(SASRecConfig(hidden_size=8, inner_size=8, hidden_dropout=0.0))
    states = net.states(torch.tensor([[3, lost]]))[:, -1]
    (states @ net.catalogue().T).softmax(dim=-1)[0, 2].backward()
    # Items that were read and items that were only compared with.
    assert (net.items.grad.abs().sum(dim=1) > 0).all()


def test_in_deep_pre_norm_the_sum_begins_no_wider_than_in_shallow() -> None:
    """What layers write begins smaller the more of them there are."""
    for layers in (2, 8):
        net = network(GPT2RecConfig(layers=layers, hidden_size=64))
        block = net.encoder.blocks[0]
        for layer in (block.out, block.down):
            assert layer.weight.std().item() == pytest.approx(0.02 / (2 * layers) ** 0.5, rel=0.05)
        assert block.up.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValidationError, match="heads=3 does not divide hidden_size=64"):
        SASRecConfig(heads=3)


def test_the_inner_width_may_follow_the_outer_one() -> None:
    assert SASRecConfig(inner_size=None, hidden_size=24).inner == 96
    assert GPT2RecConfig(hidden_size=768, heads=12).inner == 3072
    assert SASRecConfig().inner == 256
