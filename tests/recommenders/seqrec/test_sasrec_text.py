"""SASRec over texts: its adaptor, and that nothing is a cosine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tastebench.contracts import Items, SeqProblem, Targets
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.seqrec.sasrec_text import SASRecTextConfig
from tastebench.recommenders.seqrec.sasrec_text_network import (
    SASRecTextNetwork,
    sasrec_text_network,
)

VECTORS = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
SMALL = SASRecTextConfig(hidden_size=8, inner_size=8, adaptor_size=5)


def network() -> SASRecTextNetwork:
    torch.manual_seed(0)
    return SASRecTextNetwork(VECTORS, 4, SMALL)


def test_items_are_two_layers_of_their_vectors() -> None:
    net = network().eval()
    weights = [p.detach().numpy() for p in net.adaptor.parameters()]
    hidden = np.maximum(VECTORS @ weights[0].T + weights[1], 0)
    expected = hidden @ weights[2].T + weights[3]
    np.testing.assert_allclose(net.catalogue().detach(), expected, rtol=1e-5, atol=1e-7)
    items = torch.tensor([[3, 5]])
    torch.testing.assert_close(net.states(items), net.encoder(net.catalogue()[items]))
    assert net.scale == 1


def test_each_layer_of_the_adaptor_drops_in_training() -> None:
    net = network().train()
    assert not torch.equal(net.catalogue(), net.catalogue())
    dropped = [type(layer).__name__ for layer in net.adaptor]
    assert dropped == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]


def test_parameters_by_formula_at_published_settings() -> None:
    d, h, f, length = 128, 64, 256, 50
    net = SASRecTextNetwork(np.zeros((9, d), np.float32), length, SASRecTextConfig())
    adaptor = (d * 300 + 300) + (300 * h + h)
    layer = 4 * (h * h + h) + (h * f + f) + (f * h + h) + 2 * 2 * h
    assert sum(p.numel() for p in net.parameters()) == adaptor + length * h + 2 * h + 2 * layer


def test_vectors_are_adapted_and_needed() -> None:
    none = np.empty(0, np.int64)
    targets = Targets(none, Ragged.from_lists([]), none.astype(np.int32), none)
    problem = SeqProblem(9, 1, 4, Ragged.from_lists([[1, 2]]), targets, targets)
    net = sasrec_text_network(SMALL, problem, Items(n=9, vector=VECTORS))
    torch.testing.assert_close(net.vectors.T.cov(), torch.eye(6), rtol=0, atol=1e-4)
    assert net.notes == ("item vectors whitened by PCA from 6 to 6 dimensions",)
    with pytest.raises(UsageError, match="needs item vectors"):
        sasrec_text_network(SMALL, problem, Items(n=9))
