"""A reader given users as vectors: it learns, it learns from the user, nothing frozen moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tastebench.contracts import AnswersQuestions, Items, QaProblem, Questions
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import build_recommender
from tastebench.recommenders.userqa import embedded, user_vectors
from tastebench.recommenders.userqa.embedded import UserEmbedding
from tastebench.recommenders.userqa.user_embedding import CARD, UserEmbeddingConfig
from tastebench.testing.user_questions import accuracy, favourites, problem, shop, shuffled
from tastebench.training.fit import FabricTrainer

LEARNING = {
    "strategy": "full",
    "lr": 3e-3,
    "reader_lr": 3e-3,
    "warmup": 10,
    "epochs": 4,
    "pretrain": {"epochs": 8, "batch_size": 256, "lr": 3e-3},
}
"""The tiny readers are drawn at random, so they have to learn to answer at all."""

QUICK = {"epochs": 1, "warmup": 2, "pretrain": {"epochs": 1, "batch_size": 256}}


def settings(folder: Path, prompt: str, **more: Any) -> UserEmbeddingConfig:
    return UserEmbeddingConfig(
        model=str(folder), prompt=prompt, device="cpu", max_length=200, question_length=64, **more
    )


def fitted(
    config: UserEmbeddingConfig, case: QaProblem, items: Items | None = None, **more: Any
) -> UserEmbedding:
    assert CARD.check is not None
    CARD.check(config, "id+side")
    made: Any = build_recommender(CARD, config)
    made.fit(case, items or shop(("id", "side")), FabricTrainer(seed=0, **more))
    assert isinstance(made, AnswersQuestions)
    return made


def scored(made: UserEmbedding, questions: Questions) -> float:
    return accuracy(made.answer(questions).scores, questions)


# ----------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("adapter", ["mean", "q-former", "kmeans"])
def test_it_learns_what_users_like_from_their_vectors(
    models: Callable[[str], Path], prompt: str, adapter: str
) -> None:
    """And asked with the vectors of others, the very same model is at chance."""
    tokens = {"q-former": 4, "kmeans": 3, "mean": 1}[adapter]
    config = settings(models("qwen2"), prompt, adapter=adapter, tokens=tokens, **LEARNING)
    case = problem()
    made = fitted(config, case)
    assert scored(made, case.test) > 0.85
    # A quarter by chance; two standard deviations of 200 questions are 0.06.
    assert scored(made, shuffled(case.test)) == pytest.approx(0.25, abs=0.07)


def test_trained_on_the_vectors_of_others_it_stays_at_chance(
    models: Callable[[str], Path], prompt: str
) -> None:
    """The control: the same questions, options and number of steps, and nothing to learn from."""
    case = problem()
    made = fitted(
        settings(models("qwen2"), prompt, **LEARNING), replace(case, train=shuffled(case.train))
    )
    assert scored(made, case.test) == pytest.approx(0.25, abs=0.07)


def test_an_adapter_alone_speaks_to_a_reader_that_can_answer(
    models: Callable[[str], Path], prompt: str, tmp_path: Path
) -> None:
    """A reader that was taught the questions in words is frozen, and learns nothing any more."""
    from tastebench.recommenders.userqa.text_history import TextHistoryConfig
    from tastebench.recommenders.userqa.told import TextHistory

    case = problem()
    told = TextHistory(
        TextHistoryConfig(
            model=str(models("qwen2")),
            prompt=prompt,
            device="cpu",
            max_length=250,
            question_length=64,
            events=3,
            tune="full",
            lr=3e-3,
            warmup=10,
            epochs=4,
        )
    )
    told.fit(case, shop(), FabricTrainer(seed=0))
    folder = _saved(told, models("qwen2"), tmp_path / "taught")
    more = {**LEARNING, "strategy": "adapter", "reader_lr": None, "lr": 1e-2, "epochs": 8}
    made = fitted(settings(folder, prompt, **more), case)
    assert scored(made, case.test) > 0.7
    assert scored(made, shuffled(case.test)) == pytest.approx(0.25, abs=0.1)


def _saved(told: Any, source: Path, folder: Path) -> Path:
    """A tuned reader as a folder of its own."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source)
    tuned = told._fitted[0].headed.model
    values = {**dict(tuned.named_parameters()), **dict(tuned.named_buffers())}
    model.load_state_dict({name: values[name] for name in model.state_dict()})
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


# ------------------------------------------------------------------------------------- freezing


@pytest.mark.parametrize("strategy", ["adapter", "lora", "full"])
def test_what_is_frozen_does_not_move_and_draws_no_dropout(
    models: Callable[[str], Path],
    prompt: str,
    strategy: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T21, and that of the reader as much is trained as is said."""
    kept: dict[str, Tensor] = {}
    learn = embedded.learn

    def spy(module: Any, reader: Any, *args: Any) -> Any:
        kept.update({k: v.clone() for k, v in _weights(made).items()})
        return learn(module, reader, *args)

    monkeypatch.setattr(embedded, "learn", spy)
    # Where nothing is kept the encoder is read within the training loop.
    monkeypatch.setattr(user_vectors, "KEPT_BYTES", 0)
    config = settings(models("qwen2"), prompt, strategy=strategy, lora_rank=2, **QUICK)
    made = UserEmbedding(config)
    made.fit(problem(40, 8), shop(("id", "side")), FabricTrainer(seed=0))
    moved = {k for k, v in _weights(made).items() if not torch.equal(v, kept[k])}
    assert not any(name.startswith("encoder.") for name in moved)
    assert {name for name in _weights(made) if name.startswith("adapter.")} <= moved
    of_reader = {name for name in moved if name.startswith("reader.")}
    if strategy == "adapter":
        assert not of_reader
    elif strategy == "lora":
        assert of_reader and all("lora_" in name for name in of_reader)
    else:
        assert len(of_reader) > 30 and not any("lora_" in name for name in of_reader)
    made.fitted.module.train()
    assert not made.fitted.network.training
    assert made.fitted.module.partly.training == (strategy != "adapter")
    states = [made._soft(made._users(problem(8, 8).test), np.arange(4)) for _ in range(2)]
    assert torch.equal(*states)


def _weights(made: UserEmbedding) -> dict[str, Tensor]:
    known = made.fitted
    parts: dict[str, nn.Module] = {
        "encoder": known.network,
        "adapter": known.adapter,
        "reader": known.reader.headed.model,
    }
    return {
        f"{part}.{name}": value.detach()
        for part, module in parts.items()
        for name, value in (*module.named_parameters(), *module.named_buffers())
    }


def test_the_report_says_what_was_trained(models: Callable[[str], Path], prompt: str) -> None:
    made = UserEmbedding(settings(models("qwen2"), prompt, **QUICK))
    report = made.fit(problem(40, 8), shop(("id", "side")), FabricTrainer(seed=0))
    assert report.parameters == 64 * 32 + 32  # the mean's projection alone
    assert made.fitted.network.dense == pytest.approx(130_000, rel=0.06)
    assert f"user encoder: {made.fitted.network.dense:,} dense" in report.notes[0]
    assert any("qwen2, asked by tiny-v1" in note for note in report.notes)


# --------------------------------------------------------------------------------------- asking


def test_an_answer_depends_on_nothing_but_its_question(
    models: Callable[[str], Path], prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, among others, in another order, in chunks: the same numbers."""
    case = problem(40, 30)
    made = fitted(settings(models("qwen2"), prompt, adapter="q-former", tokens=3, **QUICK), case)
    asked = favourites(9, 4, per_user=4, turned=True)
    together = made.answer(asked)
    monkeypatch.setattr(embedded, "_USERS", 2)
    order = np.random.default_rng(0).permutation(len(asked))
    other = made.answer(asked[order])
    np.testing.assert_allclose(other.scores, together.scores[order], atol=1e-4)
    for row in (0, 17, 35):
        alone = made.answer(asked[np.array([row])])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-4)
    assert made.fitted.reader.reader.shares is True
    empty = made.answer(asked[np.empty(0, np.int64)])
    assert len(empty.scores) == len(empty.status) == 0


def test_a_user_s_prefix_is_read_once_for_all_questions(
    models: Callable[[str], Path], prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fitted(settings(models("qwen2"), prompt, **QUICK), problem(40, 8))
    asked = favourites(5, 4, per_user=6, turned=True)
    made.answer(asked)  # finds out whether the model can share
    read: list[int] = []
    model: Any = made.fitted.reader.headed.model
    model.register_forward_pre_hook(
        lambda module, args, given: read.append(given["inputs_embeds"].shape[:2].numel()),
        with_kwargs=True,
    )
    found = made.answer(asked)
    head = len(made.fitted.reader.layout.head())
    assert read == [5 * (1 + head), (found.tokens - head).sum()]
    users = made._asked
    made.answer(asked)
    assert made._asked is users  # and its history, too
    made.answer(asked[np.array([7])])
    assert made._asked is not None and len(made._asked[2]) == 1  # and nobody else's


def test_tokens_are_counted_as_published(models: Callable[[str], Path], prompt: str) -> None:
    """T24: sixteen soft tokens are fifteen more than one, and the words are the same."""
    case = problem(20, 8)
    found = []
    for adapter in ("mean", "q-former"):
        made = fitted(settings(models("qwen2"), prompt, adapter=adapter, **QUICK), case)
        found.append(made.answer(case.test))
        told = made.account()
        assert told.prompt_tokens == found[-1].tokens.sum()
        assert told.counts == {"cut": 0, "answered": 8}
        assert told.probes["encoder_parameters"] == made.fitted.network.dense
        assert told.probes["prompt_tokens_per_thousand"] == 1000 * told.prompt_tokens / 8
        assert told.probes["seconds_per_thousand"] > 0
        # Two operations a weight and token: matrices over what is read, words where one is scored,
        # the encoder over events.
        c: Any = made.fitted.reader.headed.model.config
        keys = c.hidden_size // c.num_attention_heads * c.num_key_value_heads
        layer = c.hidden_size * (2 * c.hidden_size + 2 * keys + 3 * c.intermediate_size)
        body = c.num_hidden_layers * layer
        words = c.vocab_size * c.hidden_size
        events = case.test.history[np.unique(case.test.user)].tail(case.history_length)
        worked = body * (found[-1].tokens.sum() + found[-1].soft.sum()) + words * 8
        worked += made.fitted.network.dense * len(events.values)
        assert told.probes["gflops_per_question"] == pytest.approx(2e-9 * worked / 8, rel=1e-9)
    one, sixteen = found
    assert set(one.soft) == {1} and set(sixteen.soft) == {16}
    np.testing.assert_array_equal(one.tokens, sixteen.tokens)
    np.testing.assert_array_equal(sixteen.soft + sixteen.tokens - one.soft - one.tokens, 15)


@pytest.mark.parametrize("adapter", ["mean", "q-former", "kmeans"])
def test_users_without_history_are_answered_and_all_alike(
    models: Callable[[str], Path], prompt: str, adapter: str
) -> None:
    case = problem(20, 8)
    made = fitted(settings(models("qwen2"), prompt, adapter=adapter, **QUICK), case)
    lists = case.test.history.to_lists()
    lists[0] = lists[3] = []
    answers = made.answer(replace(case.test, history=Ragged.from_lists(lists)))
    assert np.isfinite(answers.scores).all()
    np.testing.assert_allclose(answers.scores[0], answers.scores[3], atol=1e-5)
    assert np.abs(answers.scores[0] - answers.scores[1]).max() > 1e-6


@pytest.mark.parametrize(("shown", "events"), [(4, None), (12, 4), (4, 9)])
def test_events_beyond_those_that_are_read_are_not_seen(
    models: Callable[[str], Path], prompt: str, shown: int, events: int | None
) -> None:
    """As many as the protocol shows, or fewer; never more."""
    case = replace(problem(20, 8), history_length=shown)
    made = fitted(settings(models("qwen2"), prompt, events=events, **QUICK), case)
    before = made.answer(case.test).scores
    longer = [[7, 7, 7, *own[-4:]] for own in case.test.history.to_lists()]
    after = made.answer(replace(case.test, history=Ragged.from_lists(longer))).scores
    np.testing.assert_allclose(after, before, atol=1e-5)


@pytest.mark.parametrize("adapter", ["mean", "q-former", "kmeans"])
def test_kept_vectors_are_those_that_are_read(
    models: Callable[[str], Path], prompt: str, adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = problem(30, 20)
    made = fitted(settings(models("qwen2"), prompt, adapter=adapter, **QUICK), case)
    kept = made.answer(case.test).scores
    monkeypatch.setattr(user_vectors, "KEPT_BYTES", 0)
    made._asked = None
    np.testing.assert_allclose(made.answer(case.test).scores, kept, atol=1e-5)


def test_it_is_repeated_to_the_bit_and_taken_up_again(
    models: Callable[[str], Path], prompt: str, tmp_path: Path
) -> None:
    case = problem(40, 8)
    config = settings(models("qwen2"), prompt, strategy="lora", lora_rank=2, **QUICK)
    first = fitted(config, case, directory=tmp_path).answer(case.test).scores
    np.testing.assert_array_equal(fitted(config, case).answer(case.test).scores, first)
    assert (tmp_path / "fit-1.safetensors").is_file()
    np.testing.assert_array_equal(
        fitted(config, case, directory=tmp_path).answer(case.test).scores, first
    )


def test_it_is_chosen_by_its_answers(models: Callable[[str], Path], prompt: str) -> None:
    case = problem(40, 30)
    made: Any = UserEmbedding(settings(models("qwen2"), prompt, **{**QUICK, "epochs": 3}))
    trainer = FabricTrainer(seed=0, validate=lambda: scored(made, case.valid))
    report = made.fit(case, shop(("id", "side")), trainer)
    assert [set(row) >= {"loss", "valid"} for row in report.curve] == [True] * len(report.curve)


# --------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize(
    ("forms", "inputs", "width"),
    [
        (("id", "side", "text"), None, 64 + 32 + 2 * 32),
        (("id", "side", "text"), ("id",), 64),
        (("side",), None, 32),
        (("id", "text"), None, 64 + 2 * 32),
    ],
)
def test_inputs_are_those_of_the_representation_or_fewer(
    models: Callable[[str], Path],
    prompt: str,
    forms: tuple[str, ...],
    inputs: Any,
    width: int,
) -> None:
    config = settings(models("qwen2"), prompt, inputs=inputs, **QUICK)
    made = UserEmbedding(config)
    made.fit(problem(20, 8), shop(forms), FabricTrainer(seed=0))
    assert made.fitted.network.features.width == width


def test_inputs_that_the_representation_lacks_are_refused(
    models: Callable[[str], Path], prompt: str
) -> None:
    assert CARD.check is not None
    config = settings(models("qwen2"), prompt, inputs=("id", "text"))
    with pytest.raises(UsageError, match=r"read text of items, and the representation id\+side"):
        CARD.check(config, "id+side")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": 4}, "tokens=4 does not go with adapter=mean"),
        ({"adapter": "q-former", "q_former_heads": 7}, "q_former_heads=7 does not divide"),
        ({"q_former_blocks": 3}, "q_former_blocks changes nothing in adapter=mean"),
        ({"reader_lr": 1e-3}, "reader_lr changes nothing where strategy=adapter"),
        ({"inputs": ()}, "at least one"),
        ({"shape": {"heads": 3}}, "heads=3 does not divide width=64"),
        ({"encoder": "gru4rec", "size": "25M"}, "one of trm's"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        UserEmbeddingConfig(model="x", **changes)


def test_no_reader_is_asked_for_one() -> None:
    assert CARD.check is not None and CARD.weights is not None
    with pytest.raises(UsageError, match=r"which language model answers\?"):
        CARD.check(UserEmbeddingConfig(), "id")
    assert CARD.weights(UserEmbeddingConfig(), "id", False) is None


def test_weights_are_the_reader_s_and_the_prompt_s(
    models: Callable[[str], Path], prompt: str
) -> None:
    assert CARD.weights is not None
    one = CARD.weights(settings(models("qwen2"), prompt), "id", False)
    other = CARD.weights(settings(models("qwen2"), "user-zh-v1"), "id", False)
    third = CARD.weights(settings(models("llama"), prompt), "id", False)
    assert len({one, other, third}) == 3


def test_no_questions_and_no_room_are_said(models: Callable[[str], Path], prompt: str) -> None:
    case = problem(20, 8)
    made = UserEmbedding(settings(models("qwen2"), prompt, **QUICK))
    with pytest.raises(UsageError, match="user-embedding is not fitted"):
        made.answer(case.test)
    nothing = case.train[np.empty(0, np.int64)]
    with pytest.raises(UsageError, match="there are no training questions"):
        made.fit(replace(case, train=nothing), shop(("id",)), FabricTrainer(seed=0))
    crowded = settings(models("qwen2"), prompt, adapter="kmeans", tokens=140, **QUICK)
    with pytest.raises(UsageError, match=r"140 soft tokens.*200 are all(.|\n)*fewer tokens"):
        UserEmbedding(crowded).fit(case, shop(("id",)), FabricTrainer(seed=0))
