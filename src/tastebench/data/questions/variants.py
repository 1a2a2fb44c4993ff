"""What can be asked of each kind."""

from __future__ import annotations

from tastebench.data.questions.answers import Variant
from tastebench.data.questions.spec import KINDS, Kind
from tastebench.data.questions.templates import FORMS, Form
from tastebench.data.questions.world import World

_COUNTS = 3
"""Values of a user that `count` asks about per attribute, at most."""


_FORMS: dict[Kind, tuple[Form, ...]] = {
    kind: tuple(form for form, (of, _) in FORMS.items() if of == kind) for kind in KINDS
}


def variants(world: World, kind: Kind) -> list[Variant]:
    """All that a kind can ask of a user of this dataset; titles are the attribute 0."""
    return [variant for form in _FORMS[kind] for variant in _of_form(world, form)]


def _of_form(world: World, form: Form) -> list[Variant]:
    n, within = len(world.attributes), world.spec.direct_within
    attributes, distances = range(1, n), range(1)
    match form:
        case "last" | "first":
            attributes, distances = range(n), range(1, within + 1)
        case "latest":
            attributes, distances = range(n), range(2, within + 1)
        case "length":
            attributes = range(-1, 0)
        case "count":
            distances = range(_COUNTS)
        case "next_item":
            attributes = range(1)
        case "short_term":
            distances = range(world.spec.recent, world.spec.recent + 1)
    return [Variant(form, attribute, k) for attribute in attributes for k in distances]
