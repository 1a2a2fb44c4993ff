"""What will be asked, said before: the same prompts and tokens as are asked then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import Items, Preview, QaProblem, RecommenderCard
from tastebench.errors import UsageError
from tastebench.recommenders import build_recommender
from tastebench.recommenders.userqa import preview as module
from tastebench.recommenders.userqa.text_history import CARD as TOLD
from tastebench.recommenders.userqa.user_embedding import CARD as EMBEDDED
from tastebench.testing.user_questions import problem, shop
from tastebench.training.fit import FabricTrainer

ROOM = {"device": "cpu", "max_length": 200, "question_length": 64}


@pytest.fixture
def case() -> QaProblem:
    return problem(20, 8, per_user=3)


def told(
    card: RecommenderCard, case: QaProblem, items: Items | None = None, **more: Any
) -> Preview:
    assert card.preview is not None
    found = card.preview(card.config(**ROOM, **more), case, items or shop())
    assert found.usd == 0.0
    return found


@pytest.mark.parametrize(
    ("card", "more"),
    [
        (TOLD, {"events": 5}),
        (EMBEDDED, {"adapter": "q-former", "epochs": 1, "pretrain": {"epochs": 1}}),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_tokens_are_those_that_are_read(
    models: Callable[[str], Path],
    prompt: str,
    case: QaProblem,
    card: RecommenderCard,
    more: dict[str, Any],
) -> None:
    given = {"model": str(models("qwen2")), "prompt": prompt, **more}
    found = told(card, case, **given)
    made: Any = build_recommender(card, card.config(**ROOM, **given))
    made.fit(case, shop(), FabricTrainer(seed=0))
    answers = [made.answer(part) for part in (case.test, case.valid)]
    assert found.requests == sum(len(one.scores) for one in answers) == 16
    # Only the test part is counted, and both are like it.
    read = (answers[0].tokens + answers[0].soft).mean() * found.requests
    assert found.prompt_tokens == pytest.approx(read, abs=1)
    assert found.completion_tokens == 0
    assert found.seconds is not None and found.seconds > 0


def test_prompts_hold_events_question_and_options(
    models: Callable[[str], Path], prompt: str, case: QaProblem
) -> None:
    found = told(TOLD, case, model=str(models("qwen2")), prompt=prompt, events=2)
    assert len(found.prompts) == 3
    colours = [shop().columns["category"][i] for i in case.test.history[0][-2:]]  # type: ignore[index]
    for text in (*colours, "oak for chair", *case.test.options[0]):
        assert text in found.prompts[0]
    assert found.prompts[0].count(";") == 2 + 4  # events and options, each closed
    vectors = told(EMBEDDED, case, model=str(models("qwen2")), prompt=prompt, adapter="q-former")
    assert vectors.prompts[0].startswith("<16 user vectors> ")
    assert "oak for chair" in vectors.prompts[0]


def test_training_is_in_the_time_and_a_greedy_token_is_written(
    models: Callable[[str], Path], prompt: str, case: QaProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is: prompts alone. Tuned: three times the training prompts, and a validation, an epoch.
    What the questions of a user share is read once."""
    monkeypatch.setattr(module.Work, "seconds", lambda self, *args, **more: vars(self))
    given = {"model": str(models("qwen2")), "prompt": prompt}
    case = replace(case, test=case.train)
    plain: Any = told(TOLD, case, **given, scoring="greedy")
    assert plain.completion_tokens == plain.requests == 60 + 8
    assert plain.seconds["learned"] == 0
    tuned: Any = told(TOLD, case, **given, tune="lora", epochs=4)
    length = tuned.prompt_tokens / 68
    assert tuned.seconds["learned"] == pytest.approx(60 * (length + 2), rel=1e-3)  # label, end
    assert tuned.seconds["epochs"] == 4
    assert tuned.seconds["validated"] == pytest.approx(8 * length, rel=1e-3)
    assert tuned.seconds["validated"] < tuned.seconds["asked"] < 0.75 * tuned.prompt_tokens


@pytest.mark.parametrize("card", [TOLD, EMBEDDED], ids=lambda card: card.name)
def test_a_model_that_is_not_here_is_guessed(card: RecommenderCard, case: QaProblem) -> None:
    found = told(card, case, model="nobody/has-this-model")
    assert len(found.prompts) == 3 and "oak for chair" in found.prompts[0]
    assert found.seconds is None
    text = found.prompts[0].removeprefix("<user vector> ")
    assert found.prompt_tokens / found.requests == pytest.approx(len(text.encode()) / 4, rel=0.15)


def test_nothing_to_ask_is_nothing_and_items_without_words_are_said(
    models: Callable[[str], Path], prompt: str, case: QaProblem
) -> None:
    nothing = case.test[np.empty(0, np.int64)]
    given = {"model": str(models("qwen2")), "prompt": prompt}
    found = told(TOLD, replace(case, test=nothing, valid=nothing), **given)
    assert (found.prompts, found.requests, found.prompt_tokens) == ((), 0, 0)
    with pytest.raises(UsageError, match="these items have none"):
        told(TOLD, case, Items(n=24, forms=("id",)), **given)
