"""Dense gradients are Adam's, sparse ones touch their rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.training.adam import RowAdam
from tastebench.training.fit import FabricTrainer
from tastebench.training.settings import TrainSettings

STEPS = [[1, 4, 4], [0, 1, 5], [4, 2, 4], [1, 1, 1]]


def table() -> nn.Parameter:
    return nn.Parameter(torch.randn(7, 3, generator=torch.Generator().manual_seed(0)))


def loss(weights: Tensor, rows: list[int], *, sparse: bool) -> Tensor:
    # The same row twice in a step: its gradients add up before they are squared.
    return functional.embedding(torch.tensor(rows), weights, sparse=sparse).pow(3).sum()


def test_rows_move_as_sparse_adam_moves_them() -> None:
    ours, theirs = table(), table()
    mine, peer = RowAdam([ours], lr=0.05), torch.optim.SparseAdam([theirs], lr=0.05)
    for rows in STEPS:
        for weights, optimizer in ((ours, mine), (theirs, peer)):
            optimizer.zero_grad()
            loss(weights, rows, sparse=True).backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(ours[[3, 6]], table()[[3, 6]])  # never read


def test_rows_that_are_always_touched_move_as_in_adam() -> None:
    every = list(range(7))
    ours, theirs = table(), table()
    mine, peer = RowAdam([ours], lr=0.05), torch.optim.Adam([theirs], lr=0.05)
    for _ in range(5):
        for weights, optimizer, sparse in ((ours, mine, True), (theirs, peer, False)):
            optimizer.zero_grad()
            loss(weights, every, sparse=sparse).backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_dense_parameters_beside_them_are_adams() -> None:
    rows, dense, peer = table(), table(), table()
    ours, theirs = RowAdam([rows, dense], lr=0.05), torch.optim.Adam([peer], lr=0.05)
    for step in STEPS:
        for optimizer in (ours, theirs):
            optimizer.zero_grad()
        loss(rows, step, sparse=True).backward()
        loss(dense, step, sparse=False).backward()
        loss(peer, step, sparse=False).backward()
        ours.step()
        theirs.step()
    torch.testing.assert_close(dense, peer)
    assert not torch.allclose(rows, dense)  # in lazy Adam moments of other rows do not decay


class Rows(nn.Module):
    """A table read sparsely, and a weight beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.weights, self.beside = table(), nn.Parameter(torch.ones(3))

    def fit(self, trainer: FabricTrainer) -> None:
        def epoch(rng: np.random.Generator) -> list[list[int]]:
            drawn: list[list[int]] = rng.integers(7, size=(4, 3)).tolist()
            return drawn

        def of(rows: list[int]) -> Tensor:
            read = functional.embedding(torch.tensor(rows), self.weights, sparse=True)
            return (read * self.beside).pow(2).sum()

        trainer.fit(self, TrainSettings(lr=0.05, epochs=4, device="cpu"), epoch, of)


def test_a_killed_fit_of_rows_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = Rows()
    whole.fit(FabricTrainer(seed=0))

    def kill(row: dict[str, float]) -> None:
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Rows().fit(FabricTrainer(0, tmp_path, progress=kill, save_every=0))
    again, told = Rows(), []
    again.fit(FabricTrainer(0, tmp_path, progress=told.append, save_every=0))
    assert [row["epoch"] for row in told] == [3, 4]
    assert torch.equal(again.weights, whole.weights)
    assert torch.equal(again.beside, whole.beside)
