"""How a model is asked in words, and how one behind an address may be."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

AlignmentTask = Literal["text-to-code", "code-to-text", "title-to-code", "code-to-title"]
"""What is learned of the items' own texts: which from which."""

BOTH_WAYS: tuple[AlignmentTask, ...] = ("text-to-code", "code-to-text")
"""What `alignment: true` means."""


class AskSettings(BaseModel):
    """Of answers that are written; each of them decides what is answered."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    answer_tokens: int = Field(8, ge=1)
    """An answer is cut there. Models that think aloud before they answer need hundreds."""

    temperature: float | None = Field(0.0, ge=0)
    """0 takes the likeliest token each time; null is the server's own, for models that accept no
    other."""

    probabilities: Literal["auto", "never"] = "auto"
    """`auto` asks for log-probabilities and reads words where the server has none."""


class ProbeSettings(BaseModel):
    """What is measured beside the scores, before any are asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    users: int = Field(0, ge=0)
    """Users of the validation part whose candidates are scored again, by other wordings and with
    their histories in another order; 0 asks nothing."""

    wordings: tuple[str, ...] = ("yes-no-chat-terse-v1", "yes-no-chat-friend-v1")
    """Prompts that stand beside that of the run."""

    orders: int = Field(3, ge=1)
    """Orders of every history, its own among them."""

    titles: int = Field(0, ge=0)
    """Titles, and as many histories, that the model is asked to complete from memory; 0 for none.
    Each costs a request or two."""

    @property
    def any(self) -> bool:
        """Something is to be measured."""
        return bool(self.users or self.titles)
