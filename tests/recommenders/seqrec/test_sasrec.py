"""SASRec: what it does not share with every sequence model."""

from __future__ import annotations

import pytest
import torch

from tastebench.recommenders.seqrec.sasrec import CARD, SASRecConfig
from tastebench.recommenders.seqrec.sasrec_network import SASRecNetwork
from tastebench.testing import RecommenderTests


class TestConformance(RecommenderTests):
    card = CARD
    config = {"epochs": 2, "hidden_size": 8, "inner_size": 8, "device": "cpu"}  # noqa: RUF012


def test_parameters_by_formula() -> None:
    h, f, length, n = 64, 256, 50, 1000
    net = SASRecNetwork(n, length, SASRecConfig())
    layer = 4 * (h * h + h) + (h * f + f) + (f * h + h) + 2 * 2 * h
    assert sum(p.numel() for p in net.parameters()) == n * h + length * h + 2 * h + 2 * layer


def test_states_meet_the_embeddings_they_read() -> None:
    net = SASRecNetwork(9, 4, SASRecConfig(hidden_size=8, inner_size=8)).eval()
    items = torch.tensor([[3, 5]])
    torch.testing.assert_close(net.states(items), net.encoder(net.catalogue()[items]))
    assert net.scale == 1


@pytest.mark.parametrize("lost", [0, 5])
def test_gradients_reach_every_item(lost: int) -> None:
    net = SASRecNetwork(9, 4, SASRecConfig(hidden_size=8, inner_size=8, hidden_dropout=0.0))
    states = net.states(torch.tensor([[3, lost]]))[:, -1]
    (states @ net.catalogue().T).softmax(dim=-1)[0, 2].backward()
    # Items that were read and items that were only compared with.
    assert (net.items.grad.abs().sum(dim=1) > 0).all()
