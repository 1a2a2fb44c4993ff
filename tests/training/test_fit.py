"""The loop: early stopping by hand, and resume to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.contracts import FitReport
from tastebench.errors import DataError, ProtocolError, UsageError
from tastebench.training.batches import shuffled
from tastebench.training.fit import Batches, FabricTrainer
from tastebench.training.settings import TrainSettings

CPU = {"device": "cpu", "batch_size": 8}


class Problem:
    """A small regression with dropout, so that every random stream matters."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.x = torch.randn(40, 3, generator=draw)
        self.y = self.x @ torch.tensor([[1.0], [-2.0], [0.5]])
        self.module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.normal_(generator=draw)
        self.modes: list[bool] = []

    def batches(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        return shuffled(40, rng, 8)

    def loss(self, rows: np.ndarray) -> Tensor:
        self.modes.append(self.module.training)
        return ((self.module(self.x[rows]) - self.y[rows]) ** 2).mean()

    def quality(self) -> float:
        assert not self.module.training
        return -((self.module(self.x) - self.y) ** 2).mean().item()

    def weights(self) -> list[list[float]]:
        return [p.flatten().tolist() for p in self.module.parameters()]

    def fit(self, trainer: FabricTrainer, **settings: Any) -> FitReport:
        return trainer.fit(
            self.module, TrainSettings(**{**CPU, **settings}), self.batches, self.loss
        )


def numbers(report: FitReport) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in report.curve]


def scripted(values: list[float]) -> Callable[[], float]:
    it = iter(values)
    return lambda: next(it)


@pytest.mark.parametrize(
    ("values", "patience", "best", "epochs", "converged"),
    [
        ([1, 2, 3, 4, 5, 6], 2, 6, 6, False),
        ([3, 1, 2, 9, 9, 9], 2, 1, 3, True),
        ([1, 3, 2, 4, 3, 3], 2, 4, 6, True),  # patience ends with the budget
        ([2, 2, 2, 2, 2, 2], 3, 1, 4, True),  # equal is no improvement
        ([1, 5, 4, 5, 4, 4], 5, 2, 6, False),  # of equals the first
        ([-3, -2, -9, -9, -1, 0], 1, 2, 3, True),
    ],
)
def test_early_stopping(
    values: list[float], patience: int, best: int, epochs: int, converged: bool
) -> None:
    problem, states = Problem(), []
    trainer = FabricTrainer(
        seed=1,
        validate=scripted(values),
        progress=lambda row: states.append(problem.weights()),
    )
    report = problem.fit(trainer, epochs=6, patience=patience)
    assert (report.best_epoch, len(report.curve), report.converged) == (best, epochs, converged)
    assert [row["valid"] for row in report.curve] == values[:epochs]
    assert problem.weights() == states[best - 1]
    assert not problem.module.training


@pytest.mark.parametrize(
    ("values", "every", "patience", "best", "validated", "converged"),
    [
        # Epoch 7 is the last, so it is validated too.
        ([1, 2, 3, 4], 2, 9, 7, [2, 4, 6, 7], False),
        # Best at 2; at 5 patience is over, and 6 is the first look after that.
        ([3, 2, 1], 2, 3, 2, [2, 4, 6], True),
        # Patience is over at every look that is not better.
        ([3, 4, 1], 2, 1, 4, [2, 4, 6], True),
        # Looked at once, at the end.
        ([5], 9, 2, 7, [7], False),
        # The end of the budget and of patience at once.
        ([5, 4, 4], 3, 4, 3, [3, 6, 7], True),
    ],
)
def test_validation_every_so_many_epochs(
    values: list[float],
    every: int,
    patience: int,
    best: int,
    validated: list[int],
    converged: bool,
) -> None:
    problem, states = Problem(), []
    trainer = FabricTrainer(
        seed=1,
        validate=scripted(values),
        progress=lambda row: states.append(problem.weights()),
    )
    report = problem.fit(trainer, epochs=7, patience=patience, validate_every=every)
    assert [row["epoch"] for row in report.curve if "valid" in row] == validated
    assert [row["epoch"] for row in report.curve] == list(range(1, validated[-1] + 1))
    assert (report.best_epoch, report.converged) == (best, converged)
    assert problem.weights() == states[best - 1]


def test_what_is_not_validated_trains_the_same() -> None:
    often, seldom = Problem(), Problem()
    often.fit(FabricTrainer(5, validate=scripted([1, 2, 3, 4, 5, 6])), epochs=6)
    seldom.fit(FabricTrainer(5, validate=scripted([1, 2])), epochs=6, validate_every=3)
    assert often.weights() == seldom.weights()


def test_without_validation_all_epochs_count_and_the_last_stays() -> None:
    problem, states = Problem(), []
    trainer = FabricTrainer(seed=1, progress=lambda row: states.append(problem.weights()))
    report = problem.fit(trainer, epochs=3)
    assert (report.best_epoch, report.converged, len(report.curve)) == (3, False, 3)
    assert "no validation part" in report.notes[0]
    assert all("valid" not in row for row in report.curve)
    assert problem.weights() == states[-1]


def test_training_learns_and_reports() -> None:
    problem = Problem()
    problem.module.eval()
    before = problem.quality()
    report = problem.fit(FabricTrainer(seed=1, validate=problem.quality), epochs=40, lr=0.03)
    assert problem.quality() > before / 10
    assert report.parameters == 3 * 8 + 8 + 8 + 1
    assert report.seconds == pytest.approx(sum(row["seconds"] for row in report.curve))
    assert report.curve[0]["epoch"] == 1
    assert all(problem.modes)  # every loss was taken in training mode


def test_frozen_parameters_are_left_alone_and_not_counted() -> None:
    problem = Problem()
    problem.module[0].requires_grad_(False)
    before = problem.weights()
    report = problem.fit(FabricTrainer(seed=1), epochs=1)
    assert problem.weights()[:2] == before[:2]
    assert problem.weights()[2:] != before[2:]
    assert report.parameters == 9


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("fails_after", [1, 3, 5])
def test_a_killed_fit_goes_on_with_the_same_numbers(
    fails_after: int, every: int, tmp_path: Path
) -> None:
    settings = {"epochs": 7, "lr": 0.02, "validate_every": every}
    whole = Problem()
    expected = whole.fit(FabricTrainer(seed=5, validate=whole.quality), **settings)

    killed = Problem()

    def kill(row: dict[str, float]) -> None:
        if row["epoch"] == fails_after + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed.fit(FabricTrainer(5, tmp_path, killed.quality, kill, save_every=0), **settings)

    again, told = Problem(), []
    trainer = FabricTrainer(5, tmp_path, again.quality, told.append, save_every=0)
    report = again.fit(trainer, **settings)
    assert [row["epoch"] for row in told] == list(range(fails_after + 1, 8))
    assert numbers(report) == numbers(expected)
    assert again.weights() == whole.weights()
    assert (report.best_epoch, report.notes) == (expected.best_epoch, expected.notes)


def test_a_finished_fit_is_taken_from_disk(tmp_path: Path) -> None:
    first = Problem()
    # The best is in the middle, so what is restored differs from what was trained last.
    report = first.fit(FabricTrainer(5, tmp_path, scripted([1, 9, 2, 3])), epochs=4)
    again = Problem()
    told: list[Any] = []
    same = again.fit(FabricTrainer(5, tmp_path, again.quality, told.append), epochs=4)
    assert told == []
    assert same == report
    assert again.weights() == first.weights()


def test_state_is_written_as_time_passes_and_at_the_end(tmp_path: Path) -> None:
    problem, path = Problem(), tmp_path / "fit-1.safetensors"
    seen: list[bool] = []
    trainer = FabricTrainer(
        5, tmp_path, progress=lambda row: seen.append(path.exists()), save_every=1e9
    )
    problem.fit(trainer, epochs=3)
    assert seen == [False, False, False]
    assert path.exists()


def test_each_fit_of_a_trainer_has_its_own_streams_and_state(tmp_path: Path) -> None:
    trainer = FabricTrainer(5, tmp_path)
    one, two = Problem(), Problem()
    one.fit(trainer, epochs=1)
    two.fit(trainer, epochs=1)
    assert one.weights() != two.weights()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["fit-1.safetensors", "fit-2.safetensors"]


def test_numbers_depend_on_the_seed_and_on_nothing_else() -> None:
    def train(seed: int) -> list[list[float]]:
        problem = Problem()
        before = torch.random.get_rng_state()
        problem.fit(FabricTrainer(seed), epochs=2)
        assert torch.equal(torch.random.get_rng_state(), before)  # the caller's draws are theirs
        return problem.weights()

    torch.manual_seed(1)
    first = train(5)
    torch.manual_seed(2)
    assert train(5) == first
    assert train(6) != first


def test_validation_may_draw_without_changing_training() -> None:
    quiet, noisy = Problem(), Problem()
    quiet.fit(FabricTrainer(5, validate=lambda: 0.0), epochs=3)
    noisy.fit(FabricTrainer(5, validate=lambda: 0.0 * torch.rand(1).item()), epochs=3)
    assert quiet.weights() == noisy.weights()


def test_bf16_trains_other_numbers_to_the_same_end() -> None:
    exact, fast = Problem(), Problem()
    exact.fit(FabricTrainer(5), epochs=3)
    fast.fit(FabricTrainer(5), epochs=3, precision="bf16")
    assert fast.weights() != exact.weights()
    np.testing.assert_allclose(fast.weights()[0], exact.weights()[0], atol=0.02)
    assert next(fast.module.parameters()).dtype == torch.float32


def test_resume_with_other_settings_is_refused(tmp_path: Path) -> None:
    Problem().fit(FabricTrainer(5, tmp_path), epochs=1)
    with pytest.raises(UsageError, match=r"other settings(.|\n)*delete"):
        Problem().fit(FabricTrainer(5, tmp_path), epochs=1, lr=0.5)
    with pytest.raises(UsageError, match="other settings"):
        Problem().fit(FabricTrainer(6, tmp_path), epochs=1)


@pytest.mark.parametrize("content", [b"", b"not a state", b"\x08\0\0\0\0\0\0\0{}      "])
def test_damaged_state_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fit-1.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read(.|\n)*fit-1.safetensors(.|\n)*delete"):
        Problem().fit(FabricTrainer(5, tmp_path), epochs=1)


def test_truncated_state_is_an_error(tmp_path: Path) -> None:
    Problem().fit(FabricTrainer(5, tmp_path), epochs=1)
    path = tmp_path / "fit-1.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="cannot be read"):
        Problem().fit(FabricTrainer(5, tmp_path), epochs=1)


def test_state_of_another_model_is_an_error(tmp_path: Path) -> None:
    Problem().fit(FabricTrainer(5, tmp_path), epochs=1)
    other = Problem()
    other.module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 1))
    with pytest.raises(DataError, match="does not fit the model"):
        other.fit(FabricTrainer(5, tmp_path), epochs=1)


def test_a_diverged_loss_is_an_error_that_says_when() -> None:
    problem = Problem()
    with pytest.raises(UsageError, match=r"loss of epoch 1 is (nan|inf)(.|\n)*lr=1e\+30"):
        problem.fit(FabricTrainer(5), epochs=9, lr=1e30)


def test_an_undefined_validation_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="undefined after epoch 2"):
        Problem().fit(FabricTrainer(5, validate=scripted([0.5, math.nan])), epochs=9)


def test_no_batches_is_an_error() -> None:
    problem = Problem()
    with pytest.raises(UsageError, match="nothing to train on"):
        FabricTrainer(5).fit(problem.module, TrainSettings(**CPU), lambda rng: [], problem.loss)


def test_a_missing_device_is_an_error() -> None:
    if torch.cuda.device_count() > 9:
        pytest.skip("there is such a device")
    with pytest.raises(UsageError, match=r"no device 'cuda:9'(.|\n)*auto"):
        Problem().fit(FabricTrainer(5), device="cuda:9")


class Two(nn.Module):
    """Two weights, the later one with a tenth of the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))

    def own_rates(self, settings: TrainSettings) -> list[tuple[list[nn.Parameter], float]]:
        return [([self.slow], settings.lr / 10)]

    def fit(self, trainer: FabricTrainer, epochs: int, gradients: Batches) -> list[float]:
        """How far each was moved."""
        settings = TrainSettings(lr=0.01, epochs=epochs, device="cpu")
        trainer.fit(
            self, settings, gradients, lambda g: g[0] * self.fast.sum() + g[1] * self.slow.sum()
        )
        return [1 - self.fast.item(), 1 - self.slow.item()]


def test_parameters_learn_at_rates_of_their_own() -> None:
    """Adam moves a weight whose gradient stays the same by its rate, whatever the gradient."""
    for epochs in (1, 3):
        moved = Two().fit(FabricTrainer(seed=0), epochs, lambda rng: [(1.0, 5.0)])
        assert moved == pytest.approx([0.01 * epochs, 0.001 * epochs], rel=1e-3)


def test_rates_of_their_own_are_kept_over_an_interruption(tmp_path: Path) -> None:
    def gradients(rng: np.random.Generator) -> np.ndarray:
        drawn: np.ndarray = rng.normal(size=(4, 2)) * [1, 5]
        return drawn

    def kill(row: dict[str, float]) -> None:
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    expected = Two().fit(FabricTrainer(seed=0), 5, gradients)
    with pytest.raises(KeyboardInterrupt):
        Two().fit(FabricTrainer(0, tmp_path, progress=kill, save_every=0), 5, gradients)
    told: list[dict[str, float]] = []
    trainer = FabricTrainer(0, tmp_path, progress=told.append, save_every=0)
    assert Two().fit(trainer, 5, gradients) == expected
    assert [row["epoch"] for row in told] == [3, 4, 5]
