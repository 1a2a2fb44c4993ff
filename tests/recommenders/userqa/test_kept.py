"""A user encoder is trained once for all who need the same, and for nobody who does not."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tastebench.contracts import FitReport, QaProblem
from tastebench.ragged import Ragged
from tastebench.recommenders.userqa import kept
from tastebench.recommenders.userqa.embedded import UserEmbedding
from tastebench.recommenders.userqa.encoders import EncoderSettings
from tastebench.recommenders.userqa.item_features import make_bags
from tastebench.recommenders.userqa.kept import encoders_folder, pretrained
from tastebench.recommenders.userqa.pretrain import pretrain
from tastebench.recommenders.userqa.pretrain_settings import PretrainSettings
from tastebench.recommenders.userqa.user_embedding import UserEmbeddingConfig
from tastebench.recommenders.userqa.user_network import UserNetwork
from tastebench.testing.user_questions import LENGTH, problem, shop
from tastebench.training.fit import FabricTrainer

ENCODER = EncoderSettings(name="gru4rec", width=16, inner=16)
SETTINGS = PretrainSettings(epochs=2, batch_size=256, device="cpu")
BAGS = make_bags(shop(), ("id", "side"), None)


def drawn(encoder: EncoderSettings = ENCODER, seed: int = 0) -> UserNetwork:
    torch.manual_seed(seed)
    return UserNetwork(encoder, BAGS, LENGTH)


def train(case: QaProblem, seed: int = 0, **changes: Any) -> tuple[UserNetwork, FitReport]:
    given = {"encoder": ENCODER, "settings": SETTINGS, "bags": BAGS, "length": LENGTH, **changes}
    network = drawn(given["encoder"])
    report = pretrained(
        network,
        given["encoder"],
        given["bags"],
        given["settings"],
        case.train.history,
        case.valid.history,
        given["length"],
        FabricTrainer(seed=seed),
    )
    return network, report


def folders() -> list[Path]:
    return sorted(one for one in encoders_folder().iterdir() if one.is_dir())


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every training."""
    trainings: list[int] = []

    def spy(*args: Any) -> FitReport:
        trainings.append(1)
        return pretrain(*args)

    monkeypatch.setattr(kept, "pretrain", spy)
    return trainings


def test_what_is_found_again_is_what_training_gives(counted: list[int]) -> None:
    case = problem(40, 8)
    plain = drawn()
    histories = case.train.history, case.valid.history
    expected = pretrain(plain, SETTINGS, *histories, LENGTH, FabricTrainer(seed=0))
    first, trained = train(case)
    again, found = train(case)
    assert len(counted) == 1 and len(folders()) == 1
    for network in (first, again):
        for name, value in plain.state_dict().items():
            assert torch.equal(network.state_dict()[name], value), name
        assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert [row["loss"] for row in found.curve] == [row["loss"] for row in expected.curve]
    assert (found.best_epoch, found.converged) == (trained.best_epoch, trained.converged)
    assert found.seconds == trained.seconds > 0
    assert found.notes[:-1] == trained.notes
    assert "trained by an earlier run" in found.notes[-1]


def _other_users(case: QaProblem) -> QaProblem:
    lists = case.train.history.to_lists()
    lists[0][0] = (lists[0][0] + 1) % 24
    return replace(case, train=replace(case.train, history=Ragged.from_lists(lists)))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"length": LENGTH - 1},
        {"encoder": EncoderSettings(name="gru4rec", width=16, inner=16, dropout=0.2)},
        {"settings": SETTINGS.model_copy(update={"lr": 0.5})},
        {"bags": replace(BAGS, side=BAGS.side[::-1])},
        {"case": _other_users(problem(40, 8))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_numbers_depend_on_makes_another(counted: list[int], changes: dict[str, Any]) -> None:
    case = problem(40, 8)
    train(case)
    train(**{"case": case, **changes})
    assert len(counted) == 2 and len(folders()) == 2


def test_threads_make_another(counted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    case = problem(40, 8)
    train(case)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    train(case)
    assert len(counted) == 2


def _cut(folder: Path) -> None:
    whole = (folder / "encoder.safetensors").read_bytes()
    (folder / "encoder.safetensors").write_bytes(whole[:-7])


def _flip(folder: Path) -> None:
    whole = bytearray((folder / "encoder.safetensors").read_bytes())
    whole[-1] ^= 1
    (folder / "encoder.safetensors").write_bytes(bytes(whole))


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _flip,
        lambda folder: (folder / "encoder.safetensors").unlink(),
        lambda folder: (folder / "about.json").unlink(),
        lambda folder: (folder / "about.json").write_text("{"),
        lambda folder: (folder / "about.json").write_text('{"users": 3}'),
    ],
    ids=["cut", "flipped", "no weights", "no about", "no JSON", "another JSON"],
)
def test_damage_is_repaired_and_said(counted: list[int], damage: Callable[[Path], None]) -> None:
    case = problem(40, 8)
    first, _ = train(case)
    damage(folders()[0])
    again, report = train(case)
    assert len(counted) == 2
    assert "a kept one was damaged, and was trained again" in report.notes[-1]
    torch.testing.assert_close(again.state_dict(), first.state_dict(), rtol=0, atol=0)
    train(case)
    assert len(counted) == 2


def _train_there(seconds: Any) -> None:
    _, report = train(problem(40, 8))
    seconds.put(report.seconds)


def test_two_processes_train_one() -> None:
    """Both are told the same seconds to the last digit: there was one training."""
    context = multiprocessing.get_context("spawn")
    seconds: Any = context.Queue()
    both = [context.Process(target=_train_there, args=(seconds,)) for _ in range(2)]
    for one in both:
        one.start()
    found = [seconds.get(timeout=120) for _ in both]
    for one in both:
        one.join()
    assert found[0] == found[1] and len(folders()) == 1


def test_what_was_not_trained_is_not_kept() -> None:
    train(problem(20, 8), settings=PretrainSettings(by="none", device="cpu"))
    assert not encoders_folder().exists()


def test_adapters_share_an_encoder_and_answer_as_without_it(
    models: Callable[[str], Path], prompt: str, counted: list[int]
) -> None:
    case, items = problem(40, 8), shop(("id", "side", "text"))

    def made(**more: Any) -> tuple[np.ndarray, FitReport]:
        config = UserEmbeddingConfig(
            model=str(models("qwen2")),
            prompt=prompt,
            device="cpu",
            max_length=200,
            question_length=64,
            epochs=1,
            pretrain=PretrainSettings(epochs=1, batch_size=256),
            **more,
        )
        one = UserEmbedding(config)
        report = one.fit(case, items, FabricTrainer(seed=0))
        return one.answer(case.test).scores, report

    def q_former() -> tuple[np.ndarray, FitReport]:
        return made(adapter="q-former", strategy="lora", lora_rank=2)

    alone, _ = q_former()
    for folder in folders():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    made(adapter="mean")
    counted.clear()
    shared, report = q_former()
    assert not counted
    np.testing.assert_array_equal(shared, alone)
    assert any("trained by an earlier run" in note for note in report.notes)
