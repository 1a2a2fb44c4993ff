"""UniSRec against its formulas, written out with torch's own parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items, Queries, SeqProblem, Targets
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.seqrec.next_item import NextItem
from tastebench.recommenders.seqrec.unisrec import CARD, UniSRecConfig
from tastebench.recommenders.seqrec.unisrec_network import UniSRecNetwork, unisrec_network
from tastebench.testing import RecommenderTests
from tastebench.training.fit import FabricTrainer

N_ITEMS, D = 20, 6


class TestConformance(RecommenderTests):
    card = CARD
    config = {"epochs": 2, "hidden_size": 8, "inner_size": 8, "device": "cpu"}  # noqa: RUF012


class TestConformanceWithDrawnItems(RecommenderTests):
    card = CARD
    config = {  # noqa: RUF012
        "epochs": 2,
        "hidden_size": 8,
        "inner_size": 8,
        "device": "cpu",
        "loss": "sampled-softmax",
        "negatives": 4,
    }


def test_losses_that_came_later_leave_what_was_written_as_it_was() -> None:
    assert not {"loss", "negatives", "draws", "logq", "gbce_t", "table"} & set(
        UniSRecConfig().model_dump()
    )
    assert UniSRecConfig(loss="sampled-softmax").model_dump()["loss"] == "sampled-softmax"


def problem() -> SeqProblem:
    none = np.empty(0, np.int64)
    targets = Targets(none, Ragged.from_lists([]), none.astype(np.int32), none)
    return SeqProblem(N_ITEMS, 2, 5, Ragged.from_lists([[1, 2], [3, 4, 5]]), targets, targets)


def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N_ITEMS, D)).astype(np.float32)


def network(*, ids: bool = False) -> UniSRecNetwork:
    config = UniSRecConfig(hidden_size=8, inner_size=12, experts=3)
    torch.manual_seed(0)
    made = UniSRecNetwork(vectors(), 5, config, ids=ids)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made.eval()


def represent(net: UniSRecNetwork, items: list[int]) -> Tensor:
    """The adaptor by its formula, expert by expert, plus the id where there is one."""
    x, a = torch.from_numpy(vectors()[items]), net.adaptor
    gates = (x @ a.gate).softmax(dim=-1)
    out = sum(gates[:, k, None] * ((x - a.shift[k]) @ a.weight[:, k].T) for k in range(3))
    return out if net.ids is None else out + net.ids[items]


def state(net: UniSRecNetwork, history: list[int]) -> Tensor:
    """The last state, with `nn.MultiheadAttention` and no batch."""
    encoder, n = net.encoder, len(history)

    def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (8,), layer.weight, layer.bias, 1e-12)

    x = norm(encoder.norm, represent(net, history) + encoder.positions[:n])
    for block in encoder.blocks:
        attention = nn.MultiheadAttention(8, 2)
        attention.in_proj_weight, attention.in_proj_bias = block.qkv.weight, block.qkv.bias
        attention.out_proj = block.out
        later = torch.ones(n, n).triu(1).bool()
        x = norm(block.attention_norm, x + attention(x, x, x, attn_mask=later)[0])
        x = norm(block.output_norm, x + block.down(functional.gelu(block.up(x))))
    return x[-1]


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("history", [[4], [7, 7, 2], [0, 1, 2, 3, 19]])
def test_scores_are_cosines_of_the_formulas(ids: bool, history: list[int]) -> None:
    net = network(ids=ids)
    ours = net.states(torch.tensor([history + [0] * (5 - len(history))]))[0, len(history) - 1]
    expected = functional.cosine_similarity(
        state(net, history)[None], represent(net, list(range(N_ITEMS))), dim=-1
    )
    torch.testing.assert_close(net.catalogue() @ ours, expected)
    assert net.catalogue().shape == (N_ITEMS, 8)  # every item, and no row for the padding
    assert net.scale == pytest.approx(1 / 0.07)


def test_the_catalogue_in_pieces_is_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    whole = net.catalogue()
    monkeypatch.setattr("tastebench.recommenders.seqrec.next_item.EMBEDDED_TOGETHER", 7)
    with torch.no_grad():
        torch.testing.assert_close(net.catalogue(), whole)


def test_training_draws_for_items_and_sequences() -> None:
    net = network().train()
    assert not torch.equal(net.catalogue(), net.catalogue())
    items = torch.tensor([[1, 2]])
    assert not torch.equal(net.states(items), net.states(items))


@pytest.mark.parametrize("ids", [False, True])
def test_gradients_reach_every_parameter_and_not_the_vectors(ids: bool) -> None:
    """T12."""
    config = UniSRecConfig(hidden_size=8, inner_size=12, experts=3)
    net = UniSRecNetwork(vectors(), 5, config, ids=ids).train()
    states = net.states(torch.tensor([[1, 2, 3, 4, 5], [3, 4, 0, 0, 0]]))
    (net.scale * states[:, -1] @ net.catalogue().T).softmax(dim=-1)[:, 6].sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert not net.vectors.requires_grad
    assert "vectors" not in net.state_dict()


@pytest.mark.parametrize("ids", [False, True])
def test_later_items_change_no_earlier_state(ids: bool) -> None:
    """T12."""
    net = network(ids=ids)
    one, other = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[1, 2, 3, 9, 0]])
    torch.testing.assert_close(net.states(one)[:, :3], net.states(other)[:, :3])
    assert not torch.allclose(net.states(one)[:, 3], net.states(other)[:, 3])


def test_padding_is_no_class() -> None:
    """T12: one column an item, in training and in scores; the reference has one for padding."""
    recommender = CARD.build(UniSRecConfig(hidden_size=8, inner_size=8, epochs=1, device="cpu"))
    recommender.fit(problem(), Items(n=N_ITEMS, vector=vectors()), FabricTrainer(seed=0))
    assert isinstance(recommender, NextItem)
    assert recommender.network.catalogue().shape == (N_ITEMS, 8)
    scores = recommender.scores(Queries(1, history=Ragged.from_lists([[3]])), slice(0, N_ITEMS))
    assert scores.shape == (1, N_ITEMS) and torch.isfinite(scores).all()


def test_weights_begin_as_published() -> None:
    net = UniSRecNetwork(vectors(), 50, UniSRecConfig(), ids=True)
    for name, parameter in net.named_parameters():
        if name in {"adaptor.gate", "adaptor.noise", "adaptor.shift"} or name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
            assert abs(parameter.mean().item()) < 2e-3, name
    norms = [m for m in net.modules() if isinstance(m, nn.LayerNorm)]
    assert [norm.eps for norm in norms] == [1e-12] * 5


def test_dropout_is_where_it_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[tuple[int, ...], float]] = []

    def recorded(shape: tuple[int, ...], p: float, device: torch.device) -> tuple[Tensor, float]:
        drawn.append((tuple(shape), p))
        return torch.ones(*shape, dtype=torch.bool), 1.0

    for module in ("recommenders.seqrec.experts", "training.dropout"):
        monkeypatch.setattr(f"tastebench.{module}.keep_mask", recorded)
    net = UniSRecNetwork(vectors(), 5, UniSRecConfig(), ids=False).train()
    net.states(torch.tensor([[1, 2, 3]]))
    # Each expert's input; the embeddings; after attention and feed-forward of two layers.
    assert drawn == [((3, 8, D), 0.2), *([((1, 3, 300), 0.5)] * 5)]


def test_parameters_by_formula_at_published_settings() -> None:
    d, h, f, length = 128, 300, 256, 50
    config = UniSRecConfig()
    net = UniSRecNetwork(np.zeros((9, d), np.float32), length, config, ids=False)
    adaptor = 8 * (d * h + d) + 16 * d
    layer = 4 * (h * h + h) + (h * f + f) + (f * h + h) + 2 * 2 * h
    count = sum(p.numel() for p in net.parameters())
    assert count == adaptor + length * h + 2 * h + 2 * layer
    with_ids = UniSRecNetwork(np.zeros((9, d), np.float32), length, config, ids=True)
    assert sum(p.numel() for p in with_ids.parameters()) == count + 9 * h


def test_vectors_are_whitened_to_what_they_allow() -> None:
    net = unisrec_network(UniSRecConfig(), problem(), Items(n=N_ITEMS, vector=vectors()))
    assert net.vectors.shape == (N_ITEMS, D)
    torch.testing.assert_close(net.vectors.T.cov(), torch.eye(D), rtol=0, atol=1e-4)
    assert net.notes == ("item vectors whitened by PCA from 6 to 6 dimensions",)
    net = unisrec_network(
        UniSRecConfig(dimensions=3), problem(), Items(n=N_ITEMS, vector=vectors())
    )
    assert net.vectors.shape == (N_ITEMS, 3)


def test_few_items_span_fewer_dimensions() -> None:
    net = unisrec_network(UniSRecConfig(), problem(), Items(n=4, vector=vectors()[:4]))
    assert net.vectors.shape == (4, 3)
    assert torch.isfinite(net.vectors).all()


def test_vectors_can_be_left_as_they_are() -> None:
    given = vectors()
    given.setflags(write=False)  # as a memory map is
    config = UniSRecConfig(adaptor="none")
    net = unisrec_network(config, problem(), Items(n=N_ITEMS, vector=given))
    assert np.array_equal(net.vectors.numpy(), given)
    assert net.notes == ("item vectors as encoded, 6 dimensions",)


def test_ids_come_with_the_representation() -> None:
    plain = Items(n=N_ITEMS, vector=vectors(), forms=("vector",))
    both = Items(n=N_ITEMS, vector=vectors(), forms=("id", "vector"))
    assert unisrec_network(UniSRecConfig(), problem(), plain).ids is None
    assert unisrec_network(UniSRecConfig(), problem(), both).ids is not None


@pytest.mark.parametrize(
    ("config", "items", "message"),
    [
        ({}, Items(n=N_ITEMS), "needs item vectors"),
        ({"dimensions": 7}, Items(n=N_ITEMS, vector=vectors()), "7"),
        ({"adaptor": "none", "dimensions": 3}, Items(n=N_ITEMS, vector=vectors()), "keeps them"),
    ],
)
def test_items_must_have_what_is_asked(config: dict[str, int], items: Items, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        unisrec_network(UniSRecConfig(**config), problem(), items)
