"""What the numbers about semantic ids say, in words: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tastebench.build.printable import printed
from tastebench.errors import counted

LEVEL_COLUMNS = ("codes used", "perplexity", "prefixes", "error left", "cosine within")
"""What `level_cells` says of a level."""


def sentence(about: Mapping[str, Any]) -> str:
    """What the codes are: `12,101 items; rk-means, 4 levels of 256 codes; of vectors by minilm`.

    Args:
        about: What `codes.json` says.
    """
    recipe, vectors = about["recipe"], about["vectors"]
    of = "drawn at random" if vectors is None else f"of vectors by {printed(vectors['encoder'])}"
    more = ""
    if len(about["sizes"]) > about["levels"]:
        more = f", and up to {about['sizes'][-1]:,} to tell equal paths apart"
    if about["learned_from"] is not None:
        of += (
            f", learned from {counted(about['learned_from']['items'], 'item')} of the training part"
        )
    levels = counted(recipe["levels"], "level")
    return (
        f"{counted(about['dataset']['items'], 'item')}; {recipe['method']}, {levels} of "
        f"{recipe['size']:,} codes{more}; {of}; made in {about['seconds']:.1f} s"
    )


def facts(quality: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the numbers are and how large; what is undefined or needs vectors is left out.

    Args:
        quality: As `items.semantic_ids.report.quality` returns it.
    """
    told = [
        ("distinct paths", _whole(quality, "paths")),
        ("collision rate", _share(quality, "collision_rate")),
        ("items that share a path", _share(quality, "colliding_items")),
        ("largest group with one path", _whole(quality, "largest_group")),
        ("collision rate, nearest codes", _share(quality, "nearest_collision_rate")),
        ("variance lost", _share(quality, "error")),
        ("cosine of any two items", _number(quality, "random_cosine")),
    ]
    return [(label, value) for label, value in told if value]


def level_cells(level: Mapping[str, Any]) -> list[str]:
    """A level in words, a text for each of `LEVEL_COLUMNS`; empty where nothing is known."""
    usage, size = level.get("usage"), level.get("size")
    used = "" if usage is None or size is None else f"{usage * size:,.0f} of {size:,}"
    perplexity = level.get("perplexity")
    return [
        used,
        "" if perplexity is None else f"{perplexity:,.1f}",
        _whole(level, "prefixes"),
        _share(level, "error"),
        _number(level, "cosine"),
    ]


def _share(values: Mapping[str, Any], key: str) -> str:
    return "" if values.get(key) is None else f"{values[key]:.2%}"


def _whole(values: Mapping[str, Any], key: str) -> str:
    return "" if values.get(key) is None else f"{values[key]:,}"


def _number(values: Mapping[str, Any], key: str) -> str:
    return "" if values.get(key) is None else f"{values[key]:.3f}"
