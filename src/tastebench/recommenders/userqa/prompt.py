"""How a language model is asked about a user: prompts as data, in files, by name and language."""

from __future__ import annotations

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tastebench.errors import UsageError
from tastebench.files import hash_json
from tastebench.lm.prompt_files import read_prompt, shipped

NUMBER, ITEM, QUESTION, LABEL, OPTION = "{n}", "{item}", "{question}", "{label}", "{option}"


class QaPrompt(BaseModel):
    """What a model is told, in the order of the fields.

    What stands in a place is never searched for places itself, so braces in a title are braces.

    Attributes:
        name, version: Together its public name, e.g. `user-en-v1`.
        language: Of its words, as in `Questions.language`.
        system: The role; None for none.
        history: Before the user's events in words.
        entry: One of them; holds ` {item}`, and `{n}` before it or not.
        empty: What stands for the events of a user who has none.
        vectors: In place of all three where the user is given as vectors before the prompt.
        question: Holds ` {question}`.
        option: One option; holds ` {option}` and `{label}` before it. Empty where options are not
            shown: then their words can be scored, and nothing else.
        answer: Asks for the answer; blanks at its end belong to the answer.
        labels: What the options are called.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(ge=1)
    language: str = "en"
    system: str | None = None
    history: str = ""
    entry: str
    empty: str = ""
    vectors: str = ""
    question: str
    option: str = ""
    answer: str = ""
    labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_its_places(self) -> Self:
        places = {"entry": ITEM, "question": QUESTION}
        for field, place in (places | ({"option": OPTION} if self.option else {})).items():
            text: str = getattr(self, field)
            # A text is read with the blank before it, the same in every place.
            if text.count(place) != 1 or f" {place}" not in text:
                raise ValueError(f"{field} needs {place} once, with a blank before it")
        if NUMBER in self.entry.partition(ITEM)[2]:
            raise ValueError(f"entry has {NUMBER} only before {ITEM}")
        if not self.option:
            if self.labels:
                raise ValueError("labels are shown by option, and that is empty")
            return self
        if self.option.partition(OPTION)[0].count(LABEL) != 1:
            raise ValueError(f"option needs {LABEL} once, before {OPTION}")
        distinct = set(self.labels)
        if (
            len(self.labels) < 2
            or len(distinct) < len(self.labels)
            or "" in map(str.strip, distinct)
        ):
            raise ValueError("labels must be different words, at least two")
        return self

    @property
    def title(self) -> str:
        """Name and version, e.g. `user-en-v1`."""
        return f"{self.name}-v{self.version}"

    @property
    def words(self) -> tuple[str, ...]:
        """All that it says, without its places."""
        templates = (self.entry, self.question, self.option)
        pieces = [piece for text in templates for piece in re.split(r"\{\w+\}", text)]
        whole = (self.system or "", self.history, self.empty, self.vectors, self.answer)
        return tuple(text for text in (*whole, *pieces, *self.labels) if text.strip())

    @property
    def hash(self) -> str:
        """Identifies every word of it, 16 hex digits."""
        return hash_json(self.model_dump(mode="json"))


def around(template: str, place: str) -> tuple[str, str]:
    """What stands before and behind a place, the blank before it left out.

    >>> around("Question: {question}!", QUESTION)
    ('Question:', '!')
    """
    before, _, after = template.partition(place)
    return before.removesuffix(" "), after


def get_qa_prompt(name: str, language: str = "en", *, by_words: bool = False) -> QaPrompt:
    """The prompt called `name`, or in a YAML file of that path; `auto` is the language's own.

    Args:
        name: Of a prompt, or `auto`.
        language: Of the questions.
        by_words: The words of options are scored, and not their labels.

    Raises:
        UsageError: No such prompt, none of that language, or one without labels to score.
        DataError: The file is no prompt.
    """
    own = f"user-{language}-{'words-' if by_words else ''}v1"
    if name == "auto" and own not in qa_prompt_names():
        raise UsageError(
            f"no prompt asks in the language {language!r}: {', '.join(qa_prompt_names())}",
            fix="prompt: the path of a YAML file of yours",
        )
    like = "user-en-words-v1" if by_words else "user-en-v1"
    found = read_prompt(QaPrompt, own if name == "auto" else name, __package__, like=like)
    if not (found.labels or by_words):
        raise UsageError(
            f"the prompt {found.title} shows no options, and so no labels to answer with",
            fix="scoring: words, or a prompt with option and labels",
        )
    return found


def qa_prompt_names() -> list[str]:
    """The prompts that are shipped, by the alphabet."""
    return shipped(__package__)


def meant(name: str, *, by_words: bool) -> list[str]:
    """Which prompts a name can mean: `auto` one a language."""
    if name != "auto":
        return [name]
    return [one for one in qa_prompt_names() if ("-words-" in one) == by_words]
