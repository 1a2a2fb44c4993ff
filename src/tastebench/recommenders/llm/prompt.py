"""How a language model is asked about a user and items: prompts as data, in files, by name.

A prompt is a few fixed texts with places between them. What stands in a place - the text of an
item - is never searched for places itself, so braces in a title are braces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tastebench.files import hash_json
from tastebench.lm.prompt_files import read_prompt, shipped

Kind = Literal["pairwise", "matching", "list", "next", "title"]
Conversation = list[dict[str, str]]
"""`[{"role": "user", "content": "..."}, ...]`"""

NUMBER, ITEM = "{n}", "{item}"


class Prompt(BaseModel):
    """What a model is told, in the order of the fields.

    A user's items are entries, oldest first and numbered from 1. Then come one candidate (pairwise,
    matching) or several, numbered (list), or none (next, title), then what asks for the answer. In
    matching user and candidate are two texts.

    Attributes:
        name, version: Together its public name, e.g. `yes-no-v1`.
        kind: What it is for.
        system: The role; None for none.
        instruction: Before everything else.
        history: Before the user's items.
        entry: One item of the user's; holds `{n}`, or not, and ` {item}` behind it.
        empty: What stands for the items of a user who has none.
        candidates: Before several candidates.
        candidate: One candidate; holds ` {item}`, and `{n}` before it where there are several.
        answer: Asks for the answer; blanks at its end belong to the answer.
        yes, no: The answers, of which a model is asked the probabilities.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(ge=1)
    kind: Kind
    system: str | None = None
    instruction: str = ""
    history: str = ""
    entry: str
    empty: str = ""
    candidates: str = ""
    candidate: str = ""
    answer: str = ""
    yes: str = "Yes"
    no: str = "No"

    @model_validator(mode="after")
    def _has_its_places(self) -> Self:
        _check_places("entry", self.entry, numbered=None)
        if self.kind not in ("next", "title"):
            _check_places("candidate", self.candidate, numbered=self.kind == "list")
        elif self.candidate:
            raise ValueError(f"a prompt for the {self.kind} item has no candidate")
        words = [self.yes.strip(), self.no.strip()]
        if self.kind == "pairwise" and (words[0] == words[1] or not all(words)):
            raise ValueError(f"yes and no must be two different words, got {words}")
        return self

    @property
    def title(self) -> str:
        """Name and version, e.g. `yes-no-v1`."""
        return f"{self.name}-v{self.version}"

    @property
    def hash(self) -> str:
        """Identifies every word of it, 16 hex digits."""
        return hash_json(self.model_dump(mode="json"))

    def user(self, history: Sequence[str], candidates: Sequence[str] = ()) -> str:
        """The whole text, without the system's.

        Args:
            history: Texts of the user's items, oldest first.
            candidates: Texts of the candidates; of one in pairwise, of none in matching, next and
                title.
        """
        entries = [filled(self.entry, n, text) for n, text in enumerate(history, start=1)]
        shown = [filled(self.candidate, n, text) for n, text in enumerate(candidates, start=1)]
        parts = [self.instruction, self.history, *(entries or [self.empty])]
        return "".join([*parts, self.candidates, *shown, self.answer])

    def conversation(self, history: Sequence[str], candidates: Sequence[str] = ()) -> Conversation:
        """The same as messages of a chat; blanks at its end are left out."""
        content = self.user(history, candidates).rstrip()
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": content}]


def filled(template: str, n: int, text: str) -> str:
    """An entry or a candidate with its number and its text.

    >>> filled("({n}) {item}.", 2, "a {n}")
    '(2) a {n}.'
    """
    before, _, after = template.partition(ITEM)
    return before.replace(NUMBER, str(n)) + one_line(text) + after


def one_line(text: str) -> str:
    """A text as it stands in a prompt: runs of blanks and line ends are one blank.

    An item is one line, so that no text of an item looks like the next part of a prompt.
    """
    return " ".join(text.split())


def get_prompt(name: str) -> Prompt:
    """The prompt called `name`, e.g. `yes-no-v1`, or the one in a YAML file of that path.

    Raises:
        UsageError: No such prompt.
        DataError: The file is no prompt.
    """
    return read_prompt(Prompt, name, __package__, like="yes-no-v1")


def prompt_names() -> list[str]:
    """The prompts that are shipped, by the alphabet."""
    return shipped(__package__)


def _check_places(field: str, template: str, *, numbered: bool | None) -> None:
    before, found, after = template.partition(ITEM)
    if not found or ITEM in after or NUMBER in after or before.count(NUMBER) > 1:
        raise ValueError(f"{field} needs {ITEM} once, and {NUMBER} only before it")
    if not before.endswith(" "):
        # A text is read with the blank before it, the same in either place.
        raise ValueError(f"{field} needs a blank before {ITEM}")
    if numbered is not None and (NUMBER in before) != numbered:
        raise ValueError(f"{field} needs {NUMBER}" if numbered else f"{field} has no {NUMBER}")
