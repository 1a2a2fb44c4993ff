"""Descriptions: one to four sentences for what the title leaves out, and some of what it says."""

from __future__ import annotations

from tastebench.data.storefront.catalogue import Article
from tastebench.data.storefront.phrasing import Roll, sentence
from tastebench.data.storefront.titles import Title
from tastebench.data.storefront.vocabulary import Vocabulary

_LONGEST = 4
_PROPER = {"French", "Pilates", "Bluetooth", "Santoku", "LED", "Virgin"}


def describe(words: Vocabulary, article: Article, title: Title, roll: Roll) -> str:
    """A description that says every fact the title leaves out."""
    kind = article.kind
    material = words.materials[article.material]
    of = " " + roll.pick(material["of"], unlike=[title.text])
    opener = sentence(roll.pick(kind.openers), plural=kind.plural, of=of)
    of_material = roll.pick(material["sentences"], unlike=[title.text])

    needed = _facts(words, article, title, roll)
    several = len(set(kind.audiences)) > 1
    if several and article.audience != "anyone" and "audience" not in title.says:
        needed.append(roll.pick(words.audiences[article.audience]["sentences"]))
    # Without an opener, the first sentence has to be about "this kettle".
    needed.sort(key=lambda phrase: not _begins_with_it(phrase))
    opened = roll.below(5) < 3 or not needed or not _begins_with_it(needed[0])
    if not opened and "material" not in title.says:
        needed.insert(1, of_material)

    optional = [roll.pick(words.styles[article.style]["sentences"])] if article.style else []
    optional += [of_material, roll.pick(words.tiers[article.tier]), roll.pick(words.chatter)]
    room = _LONGEST - opened - len(needed)
    kept = [text for text in optional if roll.below(4) == 0 and text not in needed]

    name = f"{'these' if kind.plural else 'this'} {_common(title.noun)}"
    told = [
        sentence(phrase, plural=kind.plural, subject="" if opened or at else name)
        for at, phrase in enumerate(needed + kept[: max(room, 0)])
    ]
    return " ".join([opener, *told] if opened else told)


def _facts(words: Vocabulary, article: Article, title: Title, roll: Roll) -> list[str]:
    """What it is good at and good for, in at most two phrases."""
    # What the title says may be said again in other words.
    repeat = roll.below(3) == 0
    scenes = list(article.scenes) if repeat or "scene" not in title.says else []
    clauses = [
        _clause(words.virtues[name]["clauses"], roll, about_it=len(scenes) > 1)
        for name, field in zip(article.virtues, ("virtue", "virtue 2"), strict=False)
        if field not in title.says or roll.below(3) == 0
    ]
    clauses.sort(key=lambda clause: not _begins_with_it(clause))
    told = len(clauses) + len(scenes)
    led = len(scenes) > 1 or roll.below(3) > 0
    phrases: list[str] = []
    if scenes and clauses and led and _begins_with_it(clauses[0]):
        lead = roll.pick(words.scenes[scenes.pop()]["leads"])
        phrases.append(f"{lead}, {clauses.pop(0)}")
    if len(clauses) > 1 and told > 2:
        first, second = clauses
        joint = " and " if _begins_with_it(second) else "; "
        clauses = [f"{first}{joint}{second.removeprefix('{it} ')}"]
    phrases += [*clauses, *(roll.pick(words.scenes[name]["sentences"]) for name in scenes)]
    return phrases[::-1] if roll.below(2) else phrases


def _clause(options: list[str], roll: Roll, *, about_it: bool) -> str:
    """One of the clauses; `about_it`: only those with the thing as their subject."""
    return roll.pick([text for text in options if not about_it or _begins_with_it(text)])


def _begins_with_it(phrase: str) -> bool:
    return phrase.lower().startswith("{it} ")


def _common(noun: str) -> str:
    """The noun as it stands within a sentence: `French press`, `T-shirt`, `kettle`."""
    words = (word if word in _PROPER else word.lower() for word in noun.split())
    return " ".join(words).replace("t-shirt", "T-shirt")
