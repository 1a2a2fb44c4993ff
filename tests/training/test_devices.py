"""Steps of several batches, and processes that share them: one fit, whoever computes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.errors import UsageError
from tastebench.files import read_json
from tastebench.runs.processes import Listener, Work, run_all
from tastebench.runs.record import Failure
from tastebench.training.fit import FabricTrainer, open_fabric
from tastebench.training.seat import LostTeamError, Seat, seats
from tastebench.training.seeds import generator, torch_seeded
from tastebench.training.settings import TrainSettings
from tastebench.training.team import Team

# --------------------------------------------------------------------------- steps of one process


class Drawn:
    """Loss whose gradient is what a batch draws of torch, so that a step tells its mean."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.module = nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            self.module.weight.fill_(1.0)
        self.drawn: list[float] = []

    def batches(self, rng: np.random.Generator) -> Iterator[int]:
        return iter(range(self.n))

    def loss(self, batch: int) -> Tensor:
        factor = torch.rand(())
        self.drawn.append(factor.item())
        return factor * self.module.weight.sum()

    def fit(self, **settings: Any) -> float:
        whole = TrainSettings(**{"device": "cpu", "epochs": 1, "lr": 0.1, **settings})
        FabricTrainer(seed=5).fit(self.module, whole, self.batches, self.loss)
        return self.module.weight.item()


@pytest.mark.parametrize(("n", "accumulate"), [(6, 2), (5, 2), (5, 3), (2, 4), (7, 7)])
def test_a_step_goes_by_the_mean_gradient_of_its_batches(n: int, accumulate: int) -> None:
    """A hand-written loop over averaged gradients comes to the same; the last step has fewer."""
    one = Drawn(n)
    ended = one.fit(accumulate=accumulate)
    weight = torch.ones((1, 1), requires_grad=True)
    adam = torch.optim.Adam([weight], lr=0.1)
    for begin in range(0, n, accumulate):
        weight.grad = torch.tensor([one.drawn[begin : begin + accumulate]]).mean(1, keepdim=True)
        adam.step()
    assert ended == pytest.approx(weight.item(), abs=1e-7)


def test_what_a_batch_draws_does_not_depend_on_who_computes_the_ones_before() -> None:
    two, three, one = Drawn(5), Drawn(5), Drawn(5)
    two.fit(accumulate=2)
    three.fit(accumulate=3)
    assert two.drawn == three.drawn
    assert len(set(two.drawn)) == 5
    for place, drawn in enumerate(two.drawn, start=1):
        with torch_seeded(generator(5, f"fit 1 epoch 1 batch {place} torch")):
            assert torch.rand(()).item() == drawn
    one.fit()
    with torch_seeded(generator(5, "fit 1 epoch 1 torch")):  # as it always was
        assert torch.rand(5).tolist() == one.drawn


def test_running_means_move_once_a_step_by_the_mean_of_its_batches() -> None:
    norm = nn.BatchNorm1d(1)
    batches = [torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [8.0]])]
    FabricTrainer(seed=0).fit(
        norm,
        TrainSettings(device="cpu", epochs=1, accumulate=2),
        lambda rng: iter(batches),
        lambda x: norm(x).sum(),
    )
    # Means 1 and 6, unbiased variances 2 and 8, momentum 0.1.
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.running_mean.item() == pytest.approx(0.1 * 3.5)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * 5)
    assert norm.num_batches_tracked is not None and norm.num_batches_tracked.item() == 2


def test_accumulate_is_part_of_what_a_run_is_where_it_is_not_one() -> None:
    assert "accumulate" not in TrainSettings().model_dump()
    assert TrainSettings(accumulate=2).model_dump()["accumulate"] == 2
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        TrainSettings(accumulate=0)


# --------------------------------------------------------------------------------- several of them


class Diary(Listener):
    def __init__(self) -> None:
        self.failures: dict[str, Failure | None] = {}

    def ended(self, key: str, failure: Failure | None) -> None:
        self.failures[key] = failure


def together(target: Any, size: int, folder: Path) -> Work:
    first, *others = ((seat, folder) for seat in seats(size, folder / f"meeting-of-{size}"))
    return Work(f"{folder.name} of {size}", target, first, folder / "log", beside=tuple(others))


Told = dict[tuple[int, int], dict[str, Any]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """What each process said of each case, by its rank and how many there were."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import team_targets

        folders = {size: tmp_path_factory.mktemp(f"of-{size}") for size in (1, 2, 3)}
        works = [together(team_targets.train_all, size, folder) for size, folder in folders.items()]
        diary = Diary()
        run_all(works, 2, diary)
        assert not any(diary.failures.values()), diary.failures
        yield {
            (rank, size): read_json(folder / f"rank-{rank}-of-{size}.json")
            for size, folder in folders.items()
            for rank in range(size)
        }


@pytest.mark.parametrize("case", ["two", "one", "sparse", "stopping", "after"])
def test_two_processes_come_to_what_one_does_to_the_last_bit(told: Told, case: str) -> None:
    assert told[0, 2][case]["state"] == told[0, 1][case]["state"]
    assert [row["loss"] for row in told[0, 2][case]["curve"]] == pytest.approx(
        [row["loss"] for row in told[0, 1][case]["curve"]], rel=1e-14
    )


@pytest.mark.parametrize("case", ["two", "three", "sparse"])
def test_three_processes_come_to_what_one_does_but_for_the_order_of_sums(
    told: Told, case: str
) -> None:
    ours, theirs = told[0, 3][case]["state"], told[0, 1][case]["state"]
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name] == pytest.approx(theirs[name], abs=2e-6), name


@pytest.mark.parametrize("size", [2, 3])
def test_all_processes_hold_the_same(told: Told, size: int) -> None:
    for rank in range(1, size):
        for case, found in told[rank, size].items():
            if "error" not in found:
                assert found["state"] == told[0, size][case]["state"], case
                assert found["best"] == told[0, size][case]["best"]


def test_a_branch_that_no_batch_takes_stays_as_it_was(told: Told) -> None:
    from team_targets import Shop

    start = Shop().state()
    for size in (1, 2, 3):
        ended = told[0, size]["two"]["state"]
        assert ended["never.weight"] == start["never.weight"]
        assert ended["rare.weight"] != start["rare.weight"]
        assert ended["norm.num_batches_tracked"] == [3 * 6]  # epochs x batches


def test_the_first_process_validates_and_all_stop_by_that(told: Told) -> None:
    """Best at 2, patience 2: over after 4, which asked 4 times."""
    for size in (1, 2, 3):
        assert told[0, size]["stopping"]["asked"] == 4
        for rank in range(size):
            found = told[rank, size]["stopping"]
            assert (found["best"], len(found["curve"])) == (2, 4)
            assert rank == 0 or found["asked"] == 0


def test_an_error_of_all_or_of_who_validates_leaves_them_together(told: Told) -> None:
    for (rank, size), found in told.items():
        assert found["diverging"]["error"].startswith("training diverged"), (rank, size)
    assert told[0, 2]["unmeasured"]["error"] == "cannot be measured"
    assert told[1, 2]["unmeasured"]["error"] == "the process that validates got an error"
    assert told[1, 2]["unmeasured"]["asked"] == 0


def test_a_report_says_how_many_shared_it_and_threads_stay_the_runs(told: Told) -> None:
    assert "steps of 2 batches, shared by 2 devices" in told[0, 2]["two"]["notes"]
    assert not any("shared" in note for note in told[0, 1]["two"]["notes"])
    assert {case["threads"] for found in told.values() for case in found.values()} == {1}


@pytest.mark.parametrize("rank", [0, 1])
def test_who_fails_while_others_wait_ends_them_all_with_its_error(
    rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import team_targets

    diary = Diary()
    run_all([together(team_targets.fail_alone, 2, tmp_path / str(rank))], 1, diary)
    (failure,) = diary.failures.values()
    assert failure is not None and failure.what == "ValueError: only here"


def test_out_of_step_nothing_is_done_together_any_more() -> None:
    team = Team(rank=0, size=2)
    with pytest.raises(OSError, match="full"), team.in_step():
        raise OSError("full")
    assert team.out_of_step
    with pytest.raises(LostTeamError, match="failed while others went on"):
        team.agree(1.0)
    alone = Team()
    with pytest.raises(OSError, match="full"), alone.in_step():
        raise OSError("full")
    assert alone.agree(2.0) == 2.0


# --------------------------------------------------------------------------------------- messages


def test_one_device_is_not_shared() -> None:
    with pytest.raises(UsageError, match="cuda:1 is one device, and 2 are to share") as raised:
        open_fabric(TrainSettings(device="cuda:1"), Team(0, 2))
    assert raised.value.fix == "set device to cuda, or leave --devices out"


def test_there_has_to_be_a_device_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="3 devices are to share the run, and this machine has 2"):
        open_fabric(TrainSettings(device="cuda"), Team(0, 3))


def test_seats_are_numbered_and_one_alone_meets_nobody(tmp_path: Path) -> None:
    assert seats(2, tmp_path) == (Seat(0, 2, tmp_path), Seat(1, 2, tmp_path))
    assert Seat() == Seat(0, 1, None)
