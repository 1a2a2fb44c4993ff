"""Prompts as data: a versioned YAML file in the package, hashed into whatever is made with it."""

from __future__ import annotations

from importlib.resources import files
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tastebench.files import hash_json

Conversation = list[dict[str, str]]
"""`[{"role": "user", "content": "..."}, ...]`"""

REVIEW, FAULTS = "{review}", "{faults}"


class Prompt(BaseModel):
    """What a model is told.

    Attributes:
        name, version: Together its public name.
        system: The role and the rules.
        user: The question; holds `{review}`.
        retry: What is answered to an answer that cannot be used; holds `{faults}`.
        temperature: None is the server's default.
        max_tokens: An answer is cut there.
        usual_tokens: About how long an answer is, for estimates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    system: str
    user: str
    retry: str
    temperature: float | None = None
    max_tokens: int = Field(ge=1)
    usual_tokens: int = Field(ge=1)

    @model_validator(mode="after")
    def _has_its_places(self) -> Self:
        if self.user.count(REVIEW) != 1 or self.retry.count(FAULTS) != 1:
            raise ValueError(f"user needs {REVIEW} once, and retry {FAULTS} once")
        return self

    @property
    def hash(self) -> str:
        """Identifies every word and setting, 16 hex digits."""
        return hash_json(self.model_dump(mode="json"))

    def ask(self, review: str) -> Conversation:
        """The question about one review."""
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.user.replace(REVIEW, review)},
        ]

    def ask_again(self, review: str, answer: str, faults: list[str]) -> Conversation:
        """The question after an answer that cannot be used, with what is wrong with it."""
        retry = self.retry.replace(FAULTS, "; ".join(faults))
        return [
            *self.ask(review),
            {"role": "assistant", "content": answer},
            {"role": "user", "content": retry},
        ]


def get_prompt(name: str) -> Prompt:
    """The prompt of the package called `name`, e.g. `complex-query-v1`."""
    import yaml

    text = (files(__package__) / "prompts" / f"{name}.yaml").read_text(encoding="utf-8")
    return Prompt.model_validate(yaml.safe_load(text))
