"""What the shop sells: the traits, price, popularity and launch day of every item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tastebench.data.storefront.calendar import DAY, DAYS, PERIODS, START
from tastebench.data.storefront.draws import Draws
from tastebench.data.storefront.vocabulary import Kind, Vocabulary

N_ITEMS = 2000

SLOTS = (
    "department",
    "kind",
    "scene",
    "scene",
    "virtue",
    "virtue",
    "material",
    "style",
    "audience",
    "tier",
    "brand",
    "colour",
)
"""The columns of `item_traits`; a facet that stands twice may hold one trait or two."""

_TIER_PERCENT = {"budget": 60, "middle": 100, "premium": 180}

# How much more than usual a scene's items sell per calendar quarter, in quarters of the usual.
_SEASON = {
    "winter": (6, 3, 3, 6),
    "christmas": (3, 3, 3, 9),
    "beach": (3, 6, 8, 3),
    "camping": (3, 6, 7, 3),
    "barbecue": (3, 7, 7, 3),
    "picnic": (3, 7, 6, 3),
    "balcony": (4, 8, 5, 3),
    "hiking": (3, 5, 6, 4),
    "cycling": (3, 6, 5, 3),
    "study": (4, 4, 7, 4),
    "movie": (5, 3, 3, 6),
    "baking": (4, 3, 3, 6),
}
_USUAL = 4


@dataclass(frozen=True)
class Article:
    """One item as its author sees it: names instead of numbers. `style`, `colour` may be empty."""

    kind: Kind
    material: str
    virtues: tuple[str, ...]
    scenes: tuple[str, ...]
    style: str
    audience: str
    tier: str
    brand: str
    colour: str
    size: str
    cents: int


def articles(words: Vocabulary, draws: Draws) -> list[Article]:
    """The catalogue's articles, one an item."""
    rolls = draws.below(1 << 32, "articles", N_ITEMS, 16).tolist()
    return [_article(words, row) for row in rolls]


def _article(words: Vocabulary, roll: list[int]) -> Article:
    kind = words.kinds[roll[0] % len(words.kinds)]
    material = kind.materials[roll[1] % len(kind.materials)]
    virtues = words.virtues_of(kind, material)
    first = virtues.pop(roll[2] % len(virtues))
    scenes = list(kind.scenes)
    scene = scenes.pop(roll[3] % len(scenes))
    # One fact more than the minimum, three times in four: a second virtue or a second scene.
    second = virtues[roll[5] % len(virtues)] if virtues and roll[4] % 4 < 2 else ""
    other = scenes[roll[5] % len(scenes)] if scenes and roll[4] % 4 == 2 else ""
    brands = [brand for brand in words.brands if brand.department == kind.department]
    brand = brands[roll[6] % len(brands)]
    tier = brand.tier if roll[7] % 2 else tuple(words.tiers)[roll[8] % len(words.tiers)]
    colours = tuple(words.colours)
    # 85 % to 115 % of what such a thing costs, then to a price that ends in 90 cents.
    cents = kind.price * _TIER_PERCENT[tier] * (85 + roll[12] % 31) // 10_000
    return Article(
        kind=kind,
        material=material,
        virtues=(first, second) if second else (first,),
        scenes=(scene, other) if other else (scene,),
        style=_style(words, kind, brand.style, roll[9], roll[10]),
        audience=kind.audiences[roll[11] % len(kind.audiences)],
        tier=tier,
        brand=brand.name,
        colour=colours[roll[13] % len(colours)] if kind.colour else "",
        size=kind.sizes[roll[14] % len(kind.sizes)],
        cents=max(cents // 100, 2) * 100 - 10,
    )


def _style(words: Vocabulary, kind: Kind, leaning: str, roll: int, other: int) -> str:
    if not kind.style:
        return ""
    allowed = words.department_styles[kind.department]
    if leaning in allowed and roll % 2:
        return leaning
    return str(allowed[other % len(allowed)])


def trait_table(words: Vocabulary, catalogue: list[Article]) -> np.ndarray:
    """The traits of every item by `SLOTS`, int16 `[items, slots]`; -1 where there is none."""
    rows = []
    for item in catalogue:
        named = (
            item.kind.department,
            item.kind.name,
            *(*item.scenes, "")[:2],
            *(*item.virtues, "")[:2],
            item.material,
            item.style,
            item.audience,
            item.tier,
            item.brand,
            item.colour,
        )
        rows.append(
            [words.traits.get((facet, name), -1) for facet, name in zip(SLOTS, named, strict=True)]
        )
    return np.array(rows, dtype=np.int16)


def popularity(words: Vocabulary, traits: np.ndarray, draws: Draws) -> np.ndarray:
    """How often items are picked for no reason of taste, int64 `[periods, items]`.

    A long tail (the top item is about ten times the typical one), times the season of its scene.
    """
    rank = draws.order("popularity", N_ITEMS)
    tail = 8 + 5120 // (40 + rank)
    season = np.full((PERIODS, len(words.traits) + 1), _USUAL, dtype=np.int64)
    for scene, quarters in _SEASON.items():
        season[:, words.traits["scene", scene]] = [quarters[p % 4] for p in range(PERIODS)]
    out: np.ndarray = tail * season[:, traits[:, SLOTS.index("scene")]]
    return out


def launches(draws: Draws) -> np.ndarray:
    """When each item went on sale, int64 milliseconds `[items]`: a quarter of them not at once."""
    late = draws.below(4, "late", N_ITEMS) == 0
    day = draws.below(DAYS - 30, "launch", N_ITEMS)
    return START + np.where(late, day * DAY, 0)
