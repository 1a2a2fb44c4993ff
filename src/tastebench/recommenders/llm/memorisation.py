"""Does a model know this dataset by heart? Its titles, and what its users took next.

Di Palma et al., "Do LLMs Memorize Recommendation Datasets?", 2025, arXiv:2505.10212. A rate says
something only beside its control: titles whose words were shuffled first, which nobody can know,
and histories compared with what another user took next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from tastebench.contracts import CtrProblem, Items
from tastebench.files import hash_json
from tastebench.lm.asking import Conversation
from tastebench.lm.calls import Call
from tastebench.recommenders.llm.prompt import one_line
from tastebench.recommenders.llm.texts import texts_of

GIVEN = "{given}"
WORDS = 4
"""Words of a title that is asked for, at least."""
HISTORY = (4, 10)
"""Items of a history that are shown, at least and at most."""
ANSWER_TOKENS = 48
_WORD = re.compile(r"\w+")


class Writes(Protocol):
    """What is asked: a model here or behind an address."""

    def ask(self, conversations: Sequence[Conversation], *, max_tokens: int) -> list[Call]:
        """The answers, in the order of the questions."""
        ...


class MemoryWords(BaseModel):
    """What a model is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    system: str
    title: str
    history: str

    @property
    def hash(self) -> str:
        """Identifies every word of it, 16 hex digits."""
        return hash_json(self.model_dump(mode="json"))

    def conversation(self, template: str, given: str) -> Conversation:
        """The question, with what is given in its place."""
        before, _, after = template.partition(GIVEN)
        user = {"role": "user", "content": before + given + after}
        return [{"role": "system", "content": self.system}, user]


def get_memory_words() -> MemoryWords:
    """The words of the package."""
    import yaml

    text = (files(__package__) / "memorisation-v1.yaml").read_text(encoding="utf-8")
    return MemoryWords.model_validate(yaml.safe_load(text))


def memorised(
    model: Writes, problem: CtrProblem, items: Items, n: int, rng: np.random.Generator
) -> dict[str, float]:
    """Rates of what is completed word by word, by name, each beside its control.

    Args:
        model: What is asked.
        problem: Whose training histories.
        items: Whose titles, or texts where there is no column `title`.
        n: Titles and histories to ask about, each.
        rng: Draws them.

    Returns:
        Nothing of what there is none of: titles of four words, histories of five items.
    """
    titles = _titles(items)
    return {
        **_titles_known(model, titles, n, rng),
        **_histories_known(model, problem, titles, n, rng),
    }


def _titles(items: Items) -> list[str]:
    columns = items.columns or {}
    return [one_line(text) for text in columns["title"]] if "title" in columns else texts_of(items)


def _titles_known(
    model: Writes, titles: Sequence[str], n: int, rng: np.random.Generator
) -> dict[str, float]:
    long = sorted({title for title in titles if len(title.split()) >= WORDS})
    if not long:
        return {}
    drawn = [long[i] for i in rng.choice(len(long), min(n, len(long)), replace=False)]
    shuffled = [" ".join(rng.permutation(title.split())) for title in drawn]
    return {
        "memory_titles": _completed(model, drawn),
        "memory_titles_shuffled": _completed(model, shuffled),
    }


def _completed(model: Writes, titles: Sequence[str]) -> float:
    """Share of titles whose second half is written, alone or behind the first."""
    words = get_memory_words()
    halves = [_halves(title.split()) for title in titles]
    asked = [words.conversation(words.title, begin) for begin, _ in halves]
    calls = model.ask(asked, max_tokens=ANSWER_TOKENS)
    right = [
        _said(call.text) in (_plain(rest), _plain(f"{begin} {rest}"))
        for call, (begin, rest) in zip(calls, halves, strict=True)
    ]
    return float(np.mean(right))


def _halves(words: Sequence[str]) -> tuple[str, str]:
    half = len(words) // 2
    return " ".join(words[:half]), " ".join(words[half:])


def _histories_known(
    model: Writes, problem: CtrProblem, titles: Sequence[str], n: int, rng: np.random.Generator
) -> dict[str, float]:
    words, (least, most) = get_memory_words(), HISTORY
    contexts = np.unique(problem.train.context)
    contexts = contexts[problem.history.lengths[contexts] > least]
    if len(contexts) < 2:
        return {}
    drawn = problem.history[rng.choice(contexts, min(n, len(contexts)), replace=False)]
    named = [[titles[item] for item in history[-(most + 1) :]] for history in drawn]
    asked = [
        words.conversation(
            words.history, "\n".join(f"({k}) {title}" for k, title in enumerate(own[:-1], start=1))
        )
        for own in named
    ]
    said = [_said(call.text) for call in model.ask(asked, max_tokens=ANSWER_TOKENS)]
    taken = [_plain(own[-1]) for own in named]

    def rate(wanted: Sequence[list[str]]) -> float:
        return float(np.mean([bool(a) and a == b for a, b in zip(said, wanted, strict=True)]))

    return {
        "memory_histories": rate(taken),
        "memory_histories_of_others": rate([*taken[1:], taken[0]]),
    }


def _said(text: str) -> list[str]:
    """The words of the first line that has any."""
    lines = (_plain(line) for line in text.splitlines())
    return next((line for line in lines if line), [])


def _plain(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
