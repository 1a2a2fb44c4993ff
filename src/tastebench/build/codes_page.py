"""A page to browse semantic ids: one file, nothing fetched, every text escaped."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np

from tastebench.build.codes_facts import LEVEL_COLUMNS, facts, level_cells, sentence
from tastebench.build.codes_view import CodesView
from tastebench.items.semantic_ids.about import About, made_by

MOST = 20_000
"""Items on a page; with more it would be slow to open."""
_BARS = 128
"""Points of a picture of how much the codes of a level are used."""


def to_html(view: CodesView, most: int = MOST) -> str:
    """The page.

    Args:
        view: The codes, with the words of their items if those are here.
        most: Items on it; of more, so many spread over the catalogue.
    """
    from jinja2 import Environment, StrictUndefined

    template = (resources.files("tastebench.build") / "pages" / "codes.html").read_text("utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined)
    page.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    about = view.artefact.about
    n = len(view.values)
    rows = np.linspace(0, n - 1, most).astype(np.int64) if n > most else np.arange(n)
    told = "All items, by their codes; the largest groups first."
    if n > most:
        told = f"{most:,} of the {n:,} items, spread over the catalogue; the largest groups first."
    return page.from_string(template).render(
        about=about,
        sentence=sentence(about),
        command=None if about["learned_from"] else made_by(About.model_validate(about)),
        facts=facts(about["quality"]),
        columns=LEVEL_COLUMNS,
        levels=[_level(view, level) for level in range(view.levels)],
        shown=told,
        data=_data(view, rows),
    )


def _data(view: CodesView, rows: np.ndarray) -> dict[str, Any]:
    """Ids, titles and codes of some items, as short as JSON gets."""
    return {
        "width": view.values.shape[1],
        "levels": view.levels,
        "ids": view.artefact.item_ids[rows].to_list(),
        "titles": None if view.titles is None else view.titles[rows].to_list(),
        "codes": view.values[rows].ravel().tolist(),
    }


def _level(view: CodesView, level: int) -> dict[str, Any]:
    """A row of the table, with its picture."""
    size = view.artefact.ids.sizes[level]
    counts = np.sort(np.bincount(view.values[:, level], minlength=size))[::-1]
    used, told = int((counts > 0).sum()), view.artefact.about["quality"].get("levels")
    return {
        "cells": level_cells(told[level] if told else {}),
        "used": used / size,
        "path": _steps(counts),
        "told": f"most used {counts[0]:,} times, median {np.median(counts):,.0f}",
    }


def _steps(counts: np.ndarray) -> str:
    """The outline of bars from large to small, in a box of 128 by 24."""
    wide = np.array_split(counts, min(_BARS, len(counts)))
    heights = 24 * np.array([part.mean() for part in wide]) / max(counts[0], 1)
    step = 128 / len(heights)
    bars = (f"V{24 - height:.1f}H{(i + 1) * step:.2f}" for i, height in enumerate(heights.tolist()))
    return f"M0 24{''.join(bars)}V24Z"
