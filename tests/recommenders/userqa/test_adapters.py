"""From states to soft tokens, against definitions written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tastebench.errors import UsageError
from tastebench.recommenders.userqa.adapters import ROUNDS, KMeansTokens, MeanPool, QFormer

WIDTH, MODEL = 16, 24
MAKE: dict[str, Any] = {
    "mean": lambda: MeanPool(WIDTH, MODEL),
    "kmeans": lambda: KMeansTokens(WIDTH, MODEL, 3),
    "q-former": lambda: QFormer(WIDTH, MODEL, 5, blocks=2, heads=4),
}
ALL = pytest.mark.parametrize("name", MAKE)


def adapter(name: str) -> Any:
    torch.manual_seed(0)
    made = MAKE[name]()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return made


def tokens(made: Any, states: Tensor, real: Tensor) -> Tensor:
    found: Tensor = made(*made.summarise(states, real))
    return found


def some(length: int = 7, users: int = 3) -> tuple[Tensor, Tensor]:
    states = torch.randn(users, length, WIDTH)
    return states, torch.ones(users, length, dtype=torch.bool)


def test_mean_pooling_is_the_projected_mean_and_the_mean_of_projections() -> None:
    """T20."""
    made, (states, real) = adapter("mean"), some()
    found = tokens(made, states, real)
    torch.testing.assert_close(found[:, 0], made.project(states.mean(dim=1)))
    torch.testing.assert_close(found[:, 0], made.project(states).mean(dim=1))


def test_the_published_mean_pool_has_the_published_numbers() -> None:
    """T20: from 512 to the 2,048 of the published reader."""
    assert sum(p.numel() for p in MeanPool(512, 2048).parameters()) == 1_050_624


@ALL
def test_padding_is_not_seen(name: str) -> None:
    made, (states, real) = adapter(name), some()
    padded = torch.cat([states, torch.full((3, 4, WIDTH), 30.0)], dim=1)
    mask = torch.cat([real, torch.zeros(3, 4, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(tokens(made, padded, mask), tokens(made, states, real))


@ALL
def test_company_changes_nothing(name: str) -> None:
    made, (states, real) = adapter(name), some()
    torch.testing.assert_close(tokens(made, states, real)[1:2], tokens(made, states[1:2], real[:1]))


@ALL
@pytest.mark.parametrize("length", [1, 2, 9])
def test_there_are_as_many_tokens_as_are_said(name: str, length: int) -> None:
    made = adapter(name)
    found = tokens(made, *some(length))
    assert found.shape == (3, made.n_tokens, MODEL)
    assert found.isfinite().all()
    kept = made.summarise(*some(length))[0].shape[1]
    assert kept == (length if made.kept is None else made.kept)


@ALL
def test_every_number_learns(name: str) -> None:
    made = adapter(name)
    tokens(made, *some()).square().sum().backward()
    zero = {n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()}
    # A bias of keys adds the same to all scores of a query, which the softmax does not see.
    dead = {n for n in zero if not n.endswith("key.bias")}
    assert not dead


def test_kmeans_is_lloyd_s_algorithm_from_evenly_spread_states() -> None:
    made, (states, real) = adapter("kmeans"), some(10)
    centres = made.summarise(states, real)[0].numpy()
    for own, found in zip(states.numpy(), centres, strict=True):
        wanted = own[[1, 5, 8]]  # (j + 1/2) / 3 of ten
        for _ in range(ROUNDS):
            away = ((own[:, None] - wanted) ** 2).sum(axis=2)
            nearest = away.argmin(axis=1)
            wanted = np.stack(
                [
                    own[nearest == j].mean(axis=0) if (nearest == j).any() else wanted[j]
                    for j in range(3)
                ]
            )
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_clusters_that_are_plain_are_found_in_the_order_of_time() -> None:
    made = adapter("kmeans")
    middles = torch.tensor([[5.0], [-5.0], [0.0]]).expand(3, WIDTH)
    states = middles.repeat_interleave(4, dim=0) + 0.1 * torch.randn(12, WIDTH)
    centres = made.summarise(states[None], torch.ones(1, 12, dtype=torch.bool))[0][0]
    torch.testing.assert_close(centres, middles.contiguous(), atol=0.2, rtol=0)


def test_the_q_former_s_attention_is_float32_under_autocast() -> None:
    """Scores of a thousand are beyond what bfloat16 tells apart."""
    made, (states, real) = adapter("q-former"), some()
    cross = made.blocks[0].cross
    with torch.no_grad():
        for layer in (cross.query, cross.key):
            layer.weight.mul_(30)
    seen: list[torch.dtype] = []
    softmax = torch.Tensor.softmax

    def spy(self: Tensor, dim: int) -> Tensor:
        seen.append(self.dtype)
        return softmax(self, dim)

    torch.Tensor.softmax = spy  # type: ignore[assignment, method-assign]
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert tokens(made, states, real).isfinite().all()
    finally:
        torch.Tensor.softmax = softmax  # type: ignore[method-assign]
    assert seen == [torch.float32] * 4


def test_q_former_s_attention_is_softmax_attention() -> None:
    made, (x, _) = adapter("q-former").blocks[0].cross, some(5)
    seen, real = torch.randn(3, 6, WIDTH), torch.arange(6) < torch.tensor([[6], [2], [4]])
    heads = [part.unflatten(-1, (4, 4)).transpose(1, 2) for part in (made.query(x),)]
    k, v = (layer(seen).unflatten(-1, (4, 4)).transpose(1, 2) for layer in (made.key, made.value))
    wanted = torch.nn.functional.scaled_dot_product_attention(
        heads[0], k, v, attn_mask=real[:, None, None]
    )
    wanted = made.out(wanted.transpose(1, 2).flatten(2))
    torch.testing.assert_close(made(x, seen, real), wanted)


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UsageError, match=r"q-former of 3 heads.*16 wide(.|\n)*divides"):
        QFormer(16, 8, 4, blocks=1, heads=3)
