"""Questions as data: a YAML file a language, hashed into whatever is made with it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from tastebench.data.questions.spec import Kind, Language
from tastebench.files import hash_json

Form = Literal[
    "last",
    "first",
    "latest",
    "length",
    "count",
    "next_item",
    "next_value",
    "long_term",
    "short_term",
    "trace",
]

FORMS: dict[Form, tuple[Kind, frozenset[str]]] = {
    "last": ("df", frozenset({"attribute", "ordinal"})),
    "first": ("df", frozenset({"attribute", "ordinal"})),
    "latest": ("df", frozenset({"attribute", "k"})),
    "length": ("mf", frozenset()),
    "count": ("mf", frozenset({"attribute", "value"})),
    "next_item": ("ip", frozenset()),
    "next_value": ("ap", frozenset({"attribute"})),
    "long_term": ("li", frozenset({"attribute"})),
    "short_term": ("si", frozenset({"attribute", "k"})),
    "trace": ("it", frozenset({"attribute"})),
}
"""Of each form of question its kind, and what is filled into it."""

SLOTS = ("attribute", "ordinal", "k", "value")


class Template(BaseModel):
    """One wording of one form of question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    form: Form
    text: str

    @model_validator(mode="after")
    def _has_its_places(self) -> Self:
        there = {slot for slot in SLOTS if f"{{{slot}}}" in self.text}
        wanted = FORMS[self.form][1]
        if there != wanted or self.text.count("{") != len(wanted):
            raise ValueError(f"{self.id} needs {sorted(wanted)} once each, and no other braces")
        return self


class Templates(BaseModel):
    """All wordings of a language.

    Attributes:
        attributes: What attributes are called; others are called by their names.
        last, first: The ordinals from each end, from the first on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: Language
    version: int
    attributes: dict[str, str]
    last: tuple[str, ...]
    first: tuple[str, ...]
    templates: tuple[Template, ...]

    @model_validator(mode="after")
    def _every_form_has_one(self) -> Self:
        ids = [template.id for template in self.templates]
        lacking = set(FORMS) - {template.form for template in self.templates}
        if lacking or len(set(ids)) < len(ids):
            raise ValueError(f"no template for {sorted(lacking)}, or an id stands twice")
        return self

    @property
    def hash(self) -> str:
        """Identifies every word, 16 hex digits."""
        return hash_json(self.model_dump(mode="json"))

    def of(self, form: Form) -> tuple[Template, ...]:
        """The wordings of a form."""
        return tuple(template for template in self.templates if template.form == form)

    def called(self, attribute: str) -> str:
        """What an attribute is called in the language."""
        return self.attributes.get(attribute, attribute)


@cache
def get_templates(language: Language) -> Templates:
    """The wordings of a language of the package."""
    import yaml

    text = (files(__package__) / f"{language}.yaml").read_text(encoding="utf-8")
    return Templates.model_validate(yaml.safe_load(text))
