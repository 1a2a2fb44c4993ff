"""What a fit leaves, restored to the bit; and what is not of it, refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tastebench.errors import DataError, UsageError
from tastebench.training.fit import FabricTrainer
from tastebench.training.kept import MODEL, RestoringTrainer, keep, read_kept
from tastebench.training.settings import TrainSettings

SETTINGS = TrainSettings(epochs=2, device="cpu")


class Line(nn.Module):
    """A learnt row an item, tied to itself, over data that is no part of the state."""

    def __init__(self, n: int, seen: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n))
        self.again = self.weight
        self.register_buffer("seen", torch.full((n,), seen), persistent=False)
        self.register_buffer("codes", torch.arange(n), persistent=False)


def absent() -> DataError:
    return DataError("nothing was kept")


def restoring(path: Path, grown: int | None = None) -> RestoringTrainer:
    return RestoringTrainer(seed=0, kept=read_kept(path), missing=absent, grown=grown)


def fit(trainer: RestoringTrainer, module: nn.Module) -> None:
    trainer.fit(module, SETTINGS, None, None)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A line of three items, its weights 1, 2, 3."""
    module = Line(3)
    module.weight.data = torch.tensor([1.0, 2.0, 3.0])
    module.again = module.weight
    keep([module], tmp_path / MODEL, {"spec_hash": "abc"})
    return tmp_path / MODEL


def test_what_was_trained_comes_back_to_the_bit(tmp_path: Path) -> None:
    trained, rng = nn.Linear(4, 3), np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((8, 4)).astype(np.float32))
    trainer = FabricTrainer(seed=1)
    trainer.fit(trained, SETTINGS, lambda _: [x], lambda batch: trained(batch).square().mean())
    assert trainer.fitted == [trained]
    keep(trainer.fitted, tmp_path / MODEL, {})
    fresh = nn.Linear(4, 3).train()
    report = restoring(tmp_path / MODEL).fit(fresh, SETTINGS, None, None)
    assert torch.equal(fresh(x), trained(x))
    assert not fresh.training
    assert (report.parameters, report.curve) == (15, ())


def test_data_that_came_with_the_items_is_put_back_and_whole_numbers_must_agree(
    kept: Path,
) -> None:
    """Real numbers of another machine differ in the last digits; codes are equal or others."""
    module = Line(3, seen=1.0 + 1e-7)
    fit(restoring(kept), module)
    assert module.seen.tolist() == [1.0, 1.0, 1.0]
    assert module.weight.tolist() == [1.0, 2.0, 3.0]
    other = Line(3)
    other.codes = torch.tensor([0, 2, 1])
    with pytest.raises(DataError, match="its codes is not what this data gives"):
        fit(restoring(kept), other)


def test_new_items_come_behind_the_kept_ones_unless_each_has_a_learnt_row(tmp_path: Path) -> None:
    class Frozen(nn.Module):
        def __init__(self, rows: list[float]) -> None:
            super().__init__()
            self.map = nn.Parameter(torch.tensor([2.0]))
            self.register_buffer("seen", torch.tensor(rows), persistent=False)

    keep([Frozen([1.0, 2.0])], tmp_path / MODEL, {})
    grown = Frozen([1.5, 2.5, 7.0])
    fit(restoring(tmp_path / MODEL, grown=2), grown)
    assert grown.seen.tolist() == [1.0, 2.0, 7.0]
    with pytest.raises(DataError, match=r"its seen is \[2\], and of this data \[3\]"):
        fit(restoring(tmp_path / MODEL), Frozen([1.5, 2.5, 7.0]))
    keep([Line(3)], tmp_path / "line.safetensors", {})
    with pytest.raises(UsageError, match=r"cannot take new items.* would be \[4\].*learnt \[3\]"):
        fit(restoring(tmp_path / "line.safetensors", grown=3), Line(4))


def test_what_was_not_kept_or_is_of_another_model_is_said(kept: Path) -> None:
    with pytest.raises(DataError, match="nothing was kept"):
        fit(RestoringTrainer(seed=0, kept=None, missing=absent), Line(3))
    with pytest.raises(DataError, match=r"not of this run.*size mismatch"):
        fit(restoring(kept), Line(4))
    with pytest.raises(DataError, match=r"not of this run.*Missing key"):
        fit(restoring(kept), nn.Linear(3, 3))
    twice = restoring(kept)
    fit(twice, Line(3))
    with pytest.raises(DataError, match="it holds 1 fits, and one more is asked for"):
        fit(twice, Line(3))


def test_a_file_that_is_none_is_refused(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_kept(tmp_path / "nowhere.safetensors")
    save_file(load_file(kept), tmp_path / "bare.safetensors")
    with pytest.raises(DataError, match="cannot be read: 'kept'"):
        read_kept(tmp_path / "bare.safetensors")
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        read_kept(kept)


def test_random_streams_are_those_of_the_run(kept: Path) -> None:
    ours, theirs = restoring(kept).rng("weights"), FabricTrainer(seed=0).rng("weights")
    assert ours.integers(1 << 60) == theirs.integers(1 << 60)
