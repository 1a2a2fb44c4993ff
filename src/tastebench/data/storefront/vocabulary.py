"""The word tables as typed values, and the numbering of traits.

A trait is a (facet, value) pair such as (scene, camping); all traits of all facets share one
numbering, so that a shopper's taste is one row of integers and an item a short list of columns.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

FACETS = (
    "department",
    "kind",
    "scene",
    "virtue",
    "material",
    "style",
    "audience",
    "tier",
    "brand",
    "colour",
)


@dataclass(frozen=True)
class Kind:
    """A kind of product: what may be true of one, and how shop and shopper call it.

    Attributes:
        titles, openers: The shop's words; `{of}` in an opener takes the material's phrase.
        short, ask: The shopper's words: for a search box, and after "I am looking for".
        part: What of it the material names, where that is not the whole thing, e.g. `Handle`.
        price: Typical price in cents.
    """

    name: str
    department: str
    titles: tuple[str, ...]
    openers: tuple[str, ...]
    short: tuple[str, ...]
    ask: tuple[str, ...]
    materials: tuple[str, ...]
    virtues: tuple[str, ...]
    scenes: tuple[str, ...]
    sizes: tuple[str, ...]
    price: int
    audiences: tuple[str, ...] = ("anyone",)
    part: str = ""
    plural: bool = False
    style: bool = False
    colour: bool = False


@dataclass(frozen=True)
class Brand:
    """An invented maker, with the price tier and the style it leans to."""

    name: str
    department: str
    tier: str
    style: str


@dataclass(frozen=True)
class Vocabulary:
    """Everything the shop and its customers can say.

    Attributes:
        virtues, scenes, materials, styles, audiences: Trait name to its phrases.
        conflicts: (material, virtue) pairs that would contradict each other.
        traits: (facet, name) to the trait's number.
    """

    kinds: tuple[Kind, ...]
    brands: tuple[Brand, ...]
    lines: tuple[str, ...]
    virtues: Mapping[str, Any]
    scenes: Mapping[str, Any]
    materials: Mapping[str, Any]
    styles: Mapping[str, Any]
    audiences: Mapping[str, Any]
    tiers: Mapping[str, Any]
    colours: Mapping[str, Any]
    departments: Mapping[str, Any]
    department_styles: Mapping[str, Any]
    chatter: tuple[str, ...]
    conflicts: frozenset[tuple[str, str]]
    traits: Mapping[tuple[str, str], int]

    def ids(self, facet: str) -> range:
        """The numbers of a facet's traits; they are contiguous."""
        numbers = [number for (of, _), number in self.traits.items() if of == facet]
        return range(numbers[0], numbers[-1] + 1)

    def virtues_of(self, kind: Kind, material: str) -> list[str]:
        """The virtues that a thing of this kind and material may have."""
        return [name for name in kind.virtues if (material, name) not in self.conflicts]


@cache
def vocabulary() -> Vocabulary:
    """The word tables of this package."""
    looks = _read("looks")
    makers = _read("brands")
    rows = _read("kinds_1") | _read("kinds_2")
    kinds = tuple(_kind(name, row) for name, row in rows.items())
    tables: dict[str, list[str]] = {
        "department": list(looks["departments"]),
        "kind": [kind.name for kind in kinds],
        "scene": list(scenes := _read("scenes")),
        "virtue": list(virtues := _read("virtues")),
        "material": list(materials := _read("materials")),
        "style": list(looks["styles"]),
        "audience": list(looks["audiences"]),
        "tier": list(looks["tiers"]),
        "brand": [row[0] for row in makers["brands"]],
        "colour": list(looks["colours"]),
    }
    names = [(facet, name) for facet in FACETS for name in tables[facet]]
    return Vocabulary(
        kinds=kinds,
        brands=tuple(Brand(*row) for row in makers["brands"]),
        lines=tuple(makers["lines"]),
        virtues=virtues,
        scenes=scenes,
        materials=materials,
        styles=looks["styles"],
        audiences=looks["audiences"],
        tiers=looks["tiers"],
        colours=looks["colours"],
        departments=looks["departments"],
        department_styles=looks["department_styles"],
        chatter=tuple(looks["chatter"]["sentences"]),
        conflicts=frozenset(
            (material, virtue)
            for row in looks["conflicts"]
            for material in row["materials"]
            for virtue in row["virtues"]
        ),
        traits={name: number for number, name in enumerate(names)},
    )


def _kind(name: str, row: dict[str, Any]) -> Kind:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    return Kind(name=name, **fields)


def _read(table: str) -> dict[str, Any]:
    text = files(__package__).joinpath("words", f"{table}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
