"""TIGER: T5 over codes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention

from tastebench.recommenders.seqrec.t5 import bucket
from tastebench.recommenders.seqrec.tiger import CARD, TIGERConfig
from tastebench.recommenders.seqrec.tiger_network import TIGERNetwork
from tastebench.testing import RecommenderTests

CODES = np.array([[0, 3, 1], [1, 2, 0], [1, 0, -1], [0, 1, 2], [0, 1, 0]])
SMALL: dict[str, Any] = {
    "hidden_size": 16, "inner_size": 24, "heads": 3, "head_size": 4, "layers": 2
}  # fmt: skip


class TestConformance(RecommenderTests):
    card = CARD
    config = {**SMALL, "epochs": 2, "device": "cpu"}  # noqa: RUF012


class TestCausalConformance(RecommenderTests):
    card = CARD
    config = {**SMALL, "epochs": 2, "device": "cpu", "encoder": "causal"}  # noqa: RUF012


def network(**config: Any) -> TIGERNetwork:
    torch.manual_seed(0)
    return TIGERNetwork(CODES, TIGERConfig(**SMALL, **config)).eval()


def test_parameters_by_formula() -> None:
    net = TIGERNetwork(CODES, TIGERConfig())
    attention, inner = 4 * 128 * 384, 2 * 128 * 1024
    layers = 4 * (attention + inner + 2 * 128) + 4 * (2 * attention + inner + 3 * 128)
    codes = 2 + 4 + 3 + 2
    want = layers + 2 * 32 * 6 + 2 * 128 + codes * 128
    assert sum(p.numel() for p in net.parameters()) == want


@pytest.mark.parametrize("both_ways", [True, False])
def test_buckets_are_t5s(both_ways: bool) -> None:
    ahead = torch.arange(-400, 401)
    want = T5Attention._relative_position_bucket(ahead, both_ways, 32, 128)
    assert bucket(ahead, both_ways).tolist() == want.tolist()


def copied(net: TIGERNetwork) -> T5ForConditionalGeneration:
    """Transformers' T5 with the same weights."""
    config = T5Config(
        vocab_size=11, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=3, dropout_rate=0.0,
        feed_forward_proj="relu", tie_word_embeddings=True, pad_token_id=10,
    )  # fmt: skip
    theirs = T5ForConditionalGeneration(config).eval()
    pairs = [(theirs.shared, net.tokens.table)]
    for stack, layers, norm, places in (
        (theirs.encoder, net.encoder, net.encoder_norm, net.encoder_places),
        (theirs.decoder, net.decoder, net.decoder_norm, net.decoder_places),
    ):
        pairs += [(stack.final_layer_norm, norm.weight)]
        first = stack.block[0].layer[0].SelfAttention
        pairs += [(first.relative_attention_bias, places.table)]
        for other, own in zip(stack.block, layers, strict=True):
            attentions = [(other.layer[0].SelfAttention, own.attention)]
            norms = [own.attention_norm]
            if stack is theirs.decoder:
                attentions += [(other.layer[1].EncDecAttention, own.cross)]
                norms += [own.cross_norm]
            for their_attention, attention in attentions:
                keys, values = attention.kv.weight.chunk(2)
                pairs += [(their_attention.q, attention.q.weight), (their_attention.k, keys)]
                pairs += [(their_attention.v, values), (their_attention.o, attention.out.weight)]
            pairs += zip((part.layer_norm for part in other.layer),
                         (n.weight for n in (*norms, own.inner_norm)), strict=True)  # fmt: skip
            relu = other.layer[-1].DenseReluDense
            pairs += [(relu.wi, own.inner.up.weight), (relu.wo, own.inner.down.weight)]
    with torch.no_grad():
        for module, weight in pairs:
            module.weight.copy_(weight)
    return theirs


def test_logits_are_those_of_t5() -> None:
    """Another implementation with the same weights; histories of two lengths."""
    net = network()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.normal_(std=1.0 if "table" in name else 0.3)
        theirs = copied(net)
        items, length = torch.tensor([[0, 2, 4], [3, 1, 0]]), torch.tensor([3, 1])
        targets = torch.tensor([1, 3])
        # Start, then codes of level 0 from 0 on, of level 1 from 2, of level 2 from 6; 10 for none.
        read = torch.tensor([[9, 0, 5, 7, 1, 2, 10, 0, 3, 6], [9, 0, 3, 8, 10, 10, 10, 10, 10, 10]])
        mask = torch.arange(10) <= 3 * length[:, None]
        written = torch.tensor([[9, 1, 4], [9, 0, 3]])
        want = theirs(input_ids=read, attention_mask=mask.long(), decoder_input_ids=written).logits
        states = net.decode(targets[:, None], net.encode(items, length, None), length)[:, 0]
        for level, codes in enumerate((slice(0, 2), slice(2, 6), slice(6, 9))):
            got = net.heads(states[:, level], level)
            torch.testing.assert_close(got, want[:, level, codes], rtol=1e-4, atol=1e-4)


def test_a_bidirectional_encoder_sees_later_items_and_a_causal_one_does_not() -> None:
    items, other, length = torch.tensor([[0, 1, 3]]), torch.tensor([[0, 1, 2]]), torch.tensor([3])
    for encoder, same in (("bidirectional", False), ("causal", True)):
        net = network(encoder=encoder)
        one, two = net.encode(items, length, None)[0], net.encode(other, length, None)[0]
        assert torch.allclose(one[:7], two[:7], atol=1e-6) is same
        assert not torch.allclose(one[7:], two[7:])


@pytest.mark.parametrize(
    ("config", "note"),
    [
        ({}, "an epoch predicts at most 1 item of each sequence"),
        ({"targets_per_sequence": 3}, "an epoch predicts at most 3 items of each sequence"),
        ({"targets_per_sequence": None}, None),
        ({"encoder": "causal"}, "the encoder is causal: .* does not see later ones as in TIGER"),
    ],
)
def test_the_record_says_what_is_not_as_published(config: dict[str, Any], note: str | None) -> None:
    notes = network(**config).notes
    assert [bool(re.fullmatch(note or "", found)) for found in notes] == [True] * (note is not None)
