"""What the shop writes: a title for every item and a description for most.

Every trait that a search query may ask for is said at least once, in the title or else in the
description, in one of several wordings. Style, colour and price tier are said only sometimes.
"""

from __future__ import annotations

from tastebench.data.storefront.catalogue import Article
from tastebench.data.storefront.descriptions import describe
from tastebench.data.storefront.draws import Draws
from tastebench.data.storefront.phrasing import Roll
from tastebench.data.storefront.titles import entitle
from tastebench.data.storefront.vocabulary import Vocabulary

_UNDESCRIBED = 8
"""Percent of items without a description."""

_ESCAPED = 20
"""Percent of items whose title left the shop's database as HTML, with `&` as `&amp;`."""


def write(
    words: Vocabulary, catalogue: list[Article], draws: Draws
) -> tuple[list[str], list[str | None]]:
    """Title and description of every item; the description is None where the shop wrote none."""
    titles: list[str] = []
    descriptions: list[str | None] = []
    taken: set[str] = set()
    rolls = draws.below(1 << 32, "wording", len(catalogue), 48).tolist()
    for article, numbers in zip(catalogue, rolls, strict=True):
        roll = Roll(numbers)
        described = roll.below(100) >= _UNDESCRIBED
        escaped = roll.below(100) < _ESCAPED
        title = entitle(words, article, roll, complete=not described)
        text = _distinct(title.text, article, taken)
        taken.add(text)
        titles.append(text.replace("&", "&amp;") if escaped else text)
        descriptions.append(describe(words, article, title, roll) if described else None)
    return titles, descriptions


def _distinct(title: str, article: Article, taken: set[str]) -> str:
    """The title, told apart from those before it as shops do: by size, maker, number."""
    for extra, glue in ((article.size, ", "), (article.brand, " by ")):
        if title in taken and extra not in title:
            title += glue + extra
    distinct, number = title, 2
    while distinct in taken:
        distinct, number = f"{title} No. {number}", number + 1
    return distinct
