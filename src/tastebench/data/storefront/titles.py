"""Titles: what a shop puts above the picture, from terse to overloaded."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tastebench.data.storefront.catalogue import Article
from tastebench.data.storefront.phrasing import Roll, stems
from tastebench.data.storefront.vocabulary import Vocabulary

# A pattern is a head and further segments; a segment with an empty field is left out. `{who}` and
# `{whom}` are the audience before the noun and at the end; `{part}` names the material of a part.
_USUAL = (
    ("{brand} {noun}", ", {colour}"),
    ("{brand} “{line}” {noun}",),
    ("{noun} {line}", ", {size}"),
    ("{who} {virtue} {noun} {scene} {whom}",),
    ("{who} {style} {material} {noun} {part} {whom}",),
    ("{material} {noun} {part}", " \u2013 {virtue}", ", {size}"),
    ("{brand} {who} {virtue} {noun} {whom}", " in {colour}"),
    ("{who} {noun} {part} {scene} {whom}", ", {colour}"),
    ("{virtue} {material} {noun} {part}", " by {brand}"),
    ("{brand} {style} {noun}", " ({size})"),
    ("{who} {style} {noun} {line} {whom}", " | {colour}"),
    ("{virtue} {noun} {whom}", " | {size}"),
    ("{brand} {style} {noun} {scene}",),
    ("{noun} {line}", " by {brand}", ", {colour}"),
    ("{brand} {material} {noun} {part}", ", {colour}", ", {size}"),
    ("{style} {noun}", " \u2013 {virtue}", ", {colour}"),
)

# Where there is no description, the title has to say everything.
_COMPLETE = (
    ("{brand} {who} {virtue} {material} {noun} {part} {scene} {whom}", ", {second}"),
    ("{who} {virtue} {material} {noun} {part} {scene} {whom}", ", {second}", ", {size}"),
    ("{brand} {who} {material} {noun} {part} {scene} {whom}", " \u2013 {virtue}", " & {second}"),
)

_SAYS = {"second": "virtue 2", "part": "material", "who": "audience", "whom": "audience"}


@dataclass(frozen=True)
class Title:
    """A title, the noun in it, and what else it says (`virtue`, `virtue 2`, `scene`, ...)."""

    text: str
    noun: str
    says: frozenset[str]


def entitle(words: Vocabulary, article: Article, roll: Roll, *, complete: bool) -> Title:
    """A title for the article; a complete one says whatever a query may ask for."""
    patterns = _COMPLETE if complete else _USUAL
    pattern = patterns[roll.below(len(patterns))]
    noun = roll.pick(article.kind.titles)
    fields = {"noun": noun}
    for name, options in _phrases(words, article, roll).items():
        phrase = roll.pick(options, unlike=fields.values()) if options else ""
        used = any(f"{{{name}}}" in segment for segment in pattern)
        # "Camping Stove for Camping": better left to the description, if there is one.
        repeats = bool(stems(phrase) & stems(" ".join(fields.values())))
        fields[name] = phrase if used and (complete or not repeats) else ""
    head, *tail = pattern
    text = re.sub(r"\s+", " ", head.format(**fields)).strip()
    says = set(_names(head))
    for segment in tail:
        if all(fields[name] for name in _names(segment)):
            text += segment.format(**fields)
            says |= set(_names(segment))
    return Title(text, noun, frozenset(_SAYS.get(name, name) for name in says if fields[name]))


def _phrases(words: Vocabulary, article: Article, roll: Roll) -> dict[str, list[str]]:
    """What each field of a pattern may hold for this article; nothing where it does not apply."""
    audience = words.audiences[article.audience]
    material = words.materials[article.material]["titles"]
    part = article.kind.part
    virtues = [words.virtues[name]["titles"] for name in article.virtues]
    # One side only: not "Women's Boots for Her".
    before = roll.below(2)
    return {
        "brand": [article.brand],
        "line": list(words.lines),
        "who": audience["before"] if before else [],
        "whom": [] if before else audience["after"],
        "material": [] if part else material,
        "part": [f"with {name} {part}" for name in material] if part else [],
        "virtue": virtues[0],
        "second": virtues[1] if len(virtues) > 1 else [],
        "style": words.styles[article.style]["titles"] if article.style else [],
        "scene": _occasions(words, article),
        "colour": words.colours[article.colour] if article.colour else [],
        "size": [article.size],
    }


def _occasions(words: Vocabulary, article: Article) -> list[str]:
    """One phrase a wording that names all scenes: `for Hiking & Camping`."""
    first, *rest = (words.scenes[name]["titles"] for name in article.scenes)
    if not rest:
        return list(first)
    return [
        f"{a} & {b.removeprefix('for ') if a.startswith('for ') else b}"
        for a, b in zip(first, rest[0], strict=True)
    ]


def _names(segment: str) -> list[str]:
    return re.findall(r"{(\w+)}", segment)
