"""The reader's numbers against transformers alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tastebench.ragged import Ragged
from tastebench.recommenders.llm.pieces import concatenated, repeated
from tastebench.recommenders.userqa.reading import QaReader
from tastebench.recommenders.userqa.settings import ReaderSettings
from tastebench.testing.user_questions import favourites

ARCHITECTURES = ("llama", "qwen2", "gpt2", "gemma2", "opt")


def reader(folder: Path, prompt: str, **more: Any) -> QaReader:
    config = ReaderSettings(
        model=str(folder), prompt=prompt, device="cpu", max_length=200, question_length=64, **more
    )
    made = QaReader(config, "none", "en")
    made.use()
    return made


def pure(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


def logits_of(model: Any, soft: Tensor, tokens: list[int]) -> Tensor:
    """All logits of one text behind its soft tokens, `[m + text, vocabulary]`."""
    words = model.get_input_embeddings()(torch.tensor([tokens]))
    with torch.no_grad():
        found: Tensor = model(inputs_embeds=torch.cat([soft[None], words], dim=1)).logits[0]
    return found


@pytest.mark.parametrize("m", [1, 16])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_loss_is_that_of_the_answers_and_of_nothing_else(
    models: Callable[[str], Path], prompt: str, architecture: str, m: int
) -> None:
    """T19: soft tokens come first and shift everything; labels point at the label and its end."""
    folder = models(architecture)
    made, questions = reader(folder, prompt), favourites(5, 0)
    questions = replace(questions, text=["red " * (i + 1) for i in range(5)])
    lessons = made.lessons(repeated(made.layout.head(), 5), questions)
    rows = np.array([3, 0, 4])
    torch.manual_seed(1)
    soft = torch.randn(3, m, made.headed.width)
    found = made.loss(lessons, rows, soft)
    model, losses = pure(folder), []
    texts = Ragged(lessons.texts.values, lessons.texts.offsets)
    for own, row in zip(soft, rows, strict=True):
        tokens = texts[int(row)].tolist()
        logits = logits_of(model, own, tokens)
        label = len(tokens) - 2
        # Position m + t holds token t; what stands one before it predicts it.
        for place in (label, label + 1):
            losses.append(
                functional.cross_entropy(logits[m + place - 1], torch.tensor(tokens[place]))
            )
        assert tokens[label] == made.layout.labels[questions.gold[row]]
    assert found.item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_are_log_probabilities_behind_soft_tokens_that_users_share(
    models: Callable[[str], Path], prompt: str, architecture: str
) -> None:
    """A user's soft tokens and head are read once; every number is that of the whole prompt."""
    folder, m, users = models(architecture), 3, 4
    made = reader(folder, prompt)
    questions = favourites(users, 0, per_user=3, turned=True)
    order = np.random.default_rng(0).permutation(len(questions))
    questions = replace(
        questions,
        user=questions.user[order],
        options=[questions.options[i] for i in order],
        text=["red " * (i + 1) for i in range(len(order))],
    )
    torch.manual_seed(1)
    soft = torch.randn(users, m, made.headed.width)
    made.headed.soft.table = soft.flatten(0, 1)
    own = np.arange(users * m, dtype=np.int32) + made.headed.vocabulary
    heads = repeated(made.layout.head(), users)
    prefixes = concatenated(Ragged.from_lengths(own, np.full(users, m)), heads)
    answers = made.answer(prefixes, questions, 0, m)
    assert made.reader.shares is True
    model, suffixes = pure(folder), made.layout.suffixes(questions)
    for row in range(len(questions)):
        tokens = [*made.layout.head().tolist(), *suffixes.tokens[row].tolist()]
        last = logits_of(model, soft[questions.user[row]], tokens)[-1].log_softmax(0)
        wanted = last[torch.from_numpy(made.layout.labels[:4])].numpy()
        np.testing.assert_allclose(answers.scores[row], wanted, atol=2e-4)
        assert (answers.soft[row], answers.tokens[row]) == (m, len(tokens))
    assert set(answers.status) == {"answered"}


def test_greedy_takes_the_likeliest_token_of_all_and_no_label_is_no_answer(
    models: Callable[[str], Path], prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published scoring: what the token says must begin with the label."""
    made, questions = reader(models("llama"), prompt, scoring="greedy"), favourites(4, 0)
    said = [made.layout.labels[2], made.layout.labels[0], 300, made.layout.end[0]]

    def read(prompts: Any, asked: Any, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        logits = torch.zeros(4, 1, made.headed.vocabulary)
        logits[torch.arange(4), 0, torch.tensor([int(t) for t in said])] = 5.0
        return reduce(logits)

    monkeypatch.setattr(made.reader, "read", read)
    answers = made.answer(repeated(made.layout.head(), 4), questions, 0, 0)
    assert answers.status == ["answered", "answered", "unparsed", "unparsed"]
    none = -np.inf
    wanted = [[none, none, 0, none], [0, none, none, none], [none] * 4, [none] * 4]
    np.testing.assert_array_equal(answers.scores, np.array(wanted, np.float32))
    account = made.account()
    assert account.counts["unparsed"] == 2
    assert account.completion_tokens == 4
    assert account.probes["prompt_tokens_per_thousand"] == 250 * account.prompt_tokens


@pytest.mark.parametrize(
    ("said", "option"),
    [("A", 0), ("A.", 0), ("12", 1), ("1)", 2), ("1x", -1), ("123", -1), ("", -1), ("b", -1)],
)
def test_the_longest_label_that_begins_a_text_is_meant(said: str, option: int) -> None:
    """So that 1 is not taken where 12 is said, and neither nothing nor a word is a label."""
    from tastebench.recommenders.userqa.reading import _option

    assert _option(said, ("A", "12", "1", "Z")) == option
    assert _option("About", ("A", "12", "1", "Z")) == -1


def test_greedy_and_options_agree_where_a_label_is_said(
    models: Callable[[str], Path], prompt: str
) -> None:
    questions = favourites(6, 0, turned=True)
    both = [reader(models("llama"), prompt, scoring=how) for how in ("options", "greedy")]
    prefixes = repeated(both[0].layout.head(), 6)
    options, greedy = (made.answer(prefixes, questions, 0, 0) for made in both)
    for row, status in enumerate(greedy.status):
        if status == "answered":
            assert greedy.scores[row].argmax() == options.scores[row].argmax()
