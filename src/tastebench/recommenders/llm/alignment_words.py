"""The words around an item's text and its codes, as data: they are part of a run's identity."""

from __future__ import annotations

from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from tastebench.files import hash_json


class Around(BaseModel):
    """What is said before what is given, and between it and what is to be said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str
    between: str


class AlignmentWords(BaseModel):
    """A versioned set of such words, one for each task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    tasks: dict[str, Around]

    @property
    def hash(self) -> str:
        """Identifies every word of it, 16 hex digits."""
        return hash_json(self.model_dump(mode="json"))


def get_alignment_words() -> AlignmentWords:
    """The words of the package."""
    import yaml

    text = (files(__package__) / "alignment-v1.yaml").read_text(encoding="utf-8")
    return AlignmentWords.model_validate(yaml.safe_load(text))
