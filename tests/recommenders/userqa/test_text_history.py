"""A reader told of users in words: Text20 and Text50."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tastebench.contracts import AnswersQuestions, Items, Questions
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import build_recommender
from tastebench.recommenders.userqa.layout import item_lines
from tastebench.recommenders.userqa.text_history import CARD, TextHistoryConfig
from tastebench.recommenders.userqa.told import TextHistory
from tastebench.testing.user_questions import COLOURS, accuracy, favourites, problem, shop, shuffled
from tastebench.training.fit import FabricTrainer


def settings(folder: Path, prompt: str, **more: Any) -> TextHistoryConfig:
    base = {"max_length": 250, "question_length": 64, "device": "cpu"}
    return TextHistoryConfig(model=str(folder), prompt=prompt, **{**base, **more})


def fitted(config: TextHistoryConfig, case: Any, items: Items | None = None) -> TextHistory:
    made: Any = build_recommender(CARD, config)
    made.fit(case, items or shop(("text",)), FabricTrainer(seed=0))
    assert isinstance(made, AnswersQuestions)
    return made


def in_words(questions: Questions, row: int, events: int) -> str:
    """The whole prompt, written out."""
    history = questions.history[int(questions.user[row])][-events:]
    lines = item_lines(shop())
    told = "".join(f"{n} {lines[item]};" for n, item in enumerate(history, start=1))
    labels = ("kettle", "lamp", "chair", "pan")
    options = "".join(
        f" {label} {option};" for label, option in zip(labels, questions.options[row], strict=True)
    )
    return f"a free kettle\nof the:{told or 'for none;'}a {questions.text[row]}{options} the"


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("events", [2, 5])
def test_zero_shot_scores_are_the_log_probabilities_of_the_labels(
    models: Callable[[str], Path], prompt: str, architecture: str, events: int
) -> None:
    """Through transformers alone: one text, one forward."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, case = models(architecture), problem(4, 6)
    made = fitted(settings(folder, prompt, events=events), case)
    lists = case.test.history.to_lists()
    lists[1] = []
    asked = replace(favourites(6, 9, per_user=3, turned=True), history=Ragged.from_lists(lists))
    answers = made.answer(asked)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    labels = [tokenizer(f" {word}")["input_ids"] for word in ("kettle", "lamp", "chair", "pan")]
    assert all(len(label) == 1 for label in labels)
    for row in (0, 3, 4, 17):
        ids = tokenizer(in_words(asked, row, events), return_tensors="pt")["input_ids"]
        with torch.no_grad():
            last = model(input_ids=ids).logits[0, -1].log_softmax(0)
        wanted = last[torch.tensor(labels)[:, 0]].numpy()
        np.testing.assert_allclose(answers.scores[row], wanted, atol=1e-4)
        assert (answers.soft[row], answers.tokens[row]) == (0, ids.shape[1])


def test_tuned_it_learns_what_users_like_and_from_nothing_else(
    models: Callable[[str], Path], prompt: str
) -> None:
    case = problem()
    config = settings(models("qwen2"), prompt, events=5, tune="full", lr=3e-3, warmup=10, epochs=4)
    made = fitted(config, case)
    assert accuracy(made.answer(case.test).scores, case.test) > 0.8
    control = accuracy(made.answer(shuffled(case.test)).scores, case.test)
    assert control == pytest.approx(0.25, abs=0.08)


def test_adapters_of_the_reader_are_all_that_lora_trains(
    models: Callable[[str], Path], prompt: str
) -> None:
    case = problem(20, 6)
    config = settings(models("qwen2"), prompt, tune="lora", lora_rank=2, epochs=1, events=3)
    made: Any = TextHistory(config)
    report = made.fit(case, shop(("text",)), FabricTrainer(seed=0))
    assert made._module is not None
    assert all("lora_" in name for name in made._module.state_dict())
    assert report.parameters == sum(v.numel() for v in made._module.state_dict().values())


def test_tokens_grow_by_what_an_event_takes(models: Callable[[str], Path], prompt: str) -> None:
    """T24: linear in the events that are told."""
    case = problem(4, 10)
    lists = [(own * 3)[:10] for own in case.test.history.to_lists()]
    asked = replace(case.test, history=Ragged.from_lists(lists))
    case = replace(case, history_length=10)
    # An event takes as many tokens whichever it is.
    columns = {"category": [COLOURS[i % 4] for i in range(shop().n)]}
    items = replace(shop(("text",)), columns=columns)
    means = []
    for events in (1, 3, 5, 7):
        made = fitted(settings(models("llama"), prompt, events=events), case, items)
        means.append(made.answer(asked).tokens.mean())
        assert made.account().counts == {
            "cut": 0,
            "answered": 10,
            "left_out": 0,
            "shortened": 0,
        }
    assert len({*np.diff(means).round(9)}) == 1


def test_events_without_room_are_left_out_and_counted(
    models: Callable[[str], Path], prompt: str
) -> None:
    case = problem(4, 10)
    made = fitted(settings(models("llama"), prompt, events=12, max_length=120), case)
    asked = replace(case.test, history=Ragged.from_lists([list(range(12))] * 10))
    answers = made.answer(asked)
    told = made.account()
    kept = 12 - told.counts["left_out"] / 10
    assert 1 <= kept < 12
    whole = fitted(settings(models("llama"), prompt, events=int(kept)), case).answer(asked)
    np.testing.assert_allclose(answers.scores, whole.scores, atol=1e-4)
    assert told.prompt_tokens == answers.tokens.sum()
    assert made.account().prompt_tokens == 0


def test_events_without_room_in_training_are_told_of(
    models: Callable[[str], Path], prompt: str
) -> None:
    """T26: the history gives way to the answer, and the record says how often."""
    case = problem(4, 4)
    long = replace(case.train, history=Ragged.from_lists([list(range(12))] * len(case.train)))
    config = settings(models("llama"), prompt, tune="full", epochs=1, events=12, max_length=120)
    made: Any = TextHistory(config)
    report = made.fit(replace(case, train=long), shop(("text",)), FabricTrainer(seed=0))
    (note,) = [note for note in report.notes if note.endswith("no room in the prompts of training")]
    assert int(note.split()[0].replace(",", "")) > 0
    assert not any("0 texts" in note for note in report.notes)


def test_users_who_are_not_asked_about_are_not_counted(
    models: Callable[[str], Path], prompt: str
) -> None:
    case = problem(4, 10)
    made = fitted(settings(models("llama"), prompt, events=12, max_length=120), case)
    history = Ragged.from_lists([list(range(12))] * 9 + [[1]])
    last = replace(favourites(1, 0), history=history, user=np.array([9]), gold=np.array([0]))
    made.answer(last)
    assert made.account().counts["left_out"] == 0


def test_what_is_not_fitted_and_what_has_no_words_is_told(
    models: Callable[[str], Path], prompt: str
) -> None:
    case = problem(4, 4)
    made = TextHistory(settings(models("llama"), prompt))
    with pytest.raises(UsageError, match="text-history is not fitted"):
        made.answer(case.test)
    with pytest.raises(UsageError, match="these items have none"):
        made.fit(case, Items(n=24), FabricTrainer(seed=0))
    assert CARD.check is not None
    with pytest.raises(UsageError, match=r"text-history: which language model answers\?"):
        CARD.check(TextHistoryConfig(), "text")


def test_the_stories_model_answers_in_letters(asset: Callable[[str], Path]) -> None:
    """A real model with the shipped prompt: a weak control, but it answers."""
    config = TextHistoryConfig(model=str(asset("models/stories260k")), device="cpu", events=3)
    case = problem(4, 20)
    made = fitted(config, case)
    answers = made.answer(case.test)
    assert np.isfinite(answers.scores).all()
    assert (np.exp(answers.scores).sum(axis=1) <= 1 + 1e-5).all()
