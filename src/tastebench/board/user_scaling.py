"""Does a larger user encoder help, or a longer history? Accuracy over both, a power law through it.

What is drawn together differs in nothing but the size (`size`, `shape`) or the events that are read
(`events`, and what the protocol shows): these are a series. Through three of a series or more goes
`tastebench.board.power_law`, with a band and an exponent from resamples of the users, the same ones
for all. Seeds are averaged first: the band is of these training runs and of other users.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tastebench.board.board import cells_of, of_task
from tastebench.board.cells import Cell, mean_over_seeds
from tastebench.board.load import Loaded, Units
from tastebench.board.model import Board, Column, Score
from tastebench.board.names import group_cells
from tastebench.board.power_law import FEWEST, PowerLaw, fit, resampled_errors
from tastebench.board.questions import TASK
from tastebench.board.scaling_panel import Over, ends_of, panel
from tastebench.files import canonical_json
from tastebench.recommenders.userqa.user_embedding import SIZE_PROBE

if TYPE_CHECKING:
    import altair as alt

What = Literal["dense parameters", "events"]

_OVER: dict[What, Over] = {
    "dense parameters": Over("dense parameters", below=3.0, above=6.0),
    "events": Over(
        "events", tuple(2.0**power for power in range(1, 21)), "d", below=1.6, above=2.5
    ),
}
_VARIED: dict[What, tuple[str, ...]] = {"dense parameters": ("size", "shape"), "events": ()}
_VARYING = ("size", "shape", "events")
_WORD = re.compile(r"\S*\{[^}]*\}|\S+")  # settings have no blanks but in braces
_STEPS = 48  # sizes at which a curve is drawn
_SEED = 0  # equal records make equal pictures


@dataclass(frozen=True, eq=False)
class _Point:
    """A setting of a user encoder: its row, where it stands on each axis, and what it scored."""

    name: str
    cell: Cell
    sizes: dict[What, float]
    score: Score


def user_panels(loaded: Loaded, board: Board) -> tuple[list[alt.LayerChart], list[str]]:
    """A panel for each dataset and what is varied there, and what the power laws are in words.

    Args:
        loaded: The records, whose values per user lie beside them.
        board: Their board, which says what ranks and how rows are called.

    Raises:
        DataError: A table of values per user is broken.
    """
    panels: list[alt.LayerChart] = []
    said: list[str] = []
    columns = [column for column in board.columns if column.task == TASK]
    if not columns:
        return panels, said
    rows = group_cells(cells_of(of_task(loaded, TASK), mixed=True), board.row_by).rows
    for column in columns:
        points = _points(rows, column)
        lines = _lines(board, column, {one.name for one in points})
        for what, over in _OVER.items():
            series = _worth_drawing(points, what)
            if series:
                drawn, laws = _panel(column, what, over, series, lines)
                panels.append(drawn)
                said += laws
    return panels, said


def _panel(
    column: Column,
    what: What,
    over: Over,
    series: Sequence[list[_Point]],
    lines: Sequence[dict[str, Any]],
) -> tuple[alt.LayerChart, list[str]]:
    """One panel, and its laws in words."""
    every = [one for mine in series for one in mine]
    guess = _guessing(every)
    laws = [(mine, _law(mine, what, column.metric, guess)) for mine in series]
    known = [(mine, law) for mine, law in laws if law is not None]
    dots = [
        {"name": label, what: one.sizes[what], **ends_of(one.score)}
        for label, one in zip(_labels(every, what), every, strict=True)
    ]
    guessing = {"name": "guessing", "mean": 1 - guess, "low": None, "high": None}
    flat = [dict(one) for one in (*lines, guessing)]
    curves = [_curve(mine, law, what) for mine, law in known]
    title = f"{column.dataset}: {column.metric} over {what}"
    sentences = [_sentence(column, what, mine, law) for mine, law in known]
    return panel(title, over, dots, flat, curves), sentences


def _points(rows: dict[str, list[Cell]], column: Column) -> list[_Point]:
    """The user encoders that were measured in a column."""
    found = []
    for name, cells in rows.items():
        for cell in cells:
            record = cell.record
            parameters = record.probes.get(SIZE_PROBE)
            score = cell.scores.get((column.group, column.metric))
            if record.spec.dataset != column.dataset or record.kind != "model" or not parameters:
                continue
            if score is None or score.mean is None:
                continue
            shown = int(record.protocol["history_length"])
            events = min(record.spec.params.get("events") or shown, shown)
            sizes: dict[What, float] = {"dense parameters": parameters, "events": events}
            found.append(_Point(name, cell, sizes, score))
    return found


def _series(points: Sequence[_Point], what: What) -> list[list[_Point]]:
    """Settings that differ in nothing else, each list from the least to the most."""
    found: dict[str, list[_Point]] = {}
    for one in points:
        spec = one.cell.record.spec
        left_out = {*_VARIED[what], "events"}
        same = {key: value for key, value in spec.params.items() if key not in left_out}
        if what != "events":
            same["events"] = one.sizes["events"]
        asked = [spec.recommender, spec.representation, spec.text_recipe, spec.threads]
        key = canonical_json([*asked, one.cell.record.protocol_id, same])
        found.setdefault(key, []).append(one)
    return [sorted(mine, key=lambda one: one.sizes[what]) for mine in found.values()]


def _worth_drawing(points: Sequence[_Point], what: What) -> list[list[_Point]]:
    """Series of several sizes; where there is none, all encoders over their parameters."""
    every = _series(points, what)
    several = [mine for mine in every if mine[0].sizes[what] < mine[-1].sizes[what]]
    return several or (every if what == "dense parameters" else [])


def _law(points: Sequence[_Point], what: What, metric: str, guess: float) -> PowerLaw | None:
    """The power law through a series; None where it has too few sizes."""
    sizes = np.array([one.sizes[what] for one in points], dtype=np.float64)
    errors = np.array([1 - float(one.score.mean or 0.0) for one in points])
    if len(np.unique(sizes)) < FEWEST:
        return None
    units = _same_units([mean_over_seeds(one.cell.entries, [metric]) for one in points])
    if not units:
        return fit(sizes, errors, guess, floor=0.5 / points[0].score.n)
    values = np.concatenate([one.values for one in units], axis=1)
    weights = units[0].weights[:, 0]
    drawn = resampled_errors(values, weights, np.random.default_rng(_SEED))
    asked = float(weights[~np.isnan(values[:, 0])].sum())
    return fit(sizes, errors, guess, drawn, floor=0.5 / asked)


def _same_units(found: Sequence[Units | None]) -> list[Units]:
    """What all users got, if the same ones were asked the same of everyone; else nothing."""
    known = [units for units in found if units is not None]
    alike = len(known) == len(found) and all(known[0].same(units) for units in known)
    return known if alike else []


def _curve(points: Sequence[_Point], law: PowerLaw, what: What) -> list[dict[str, Any]]:
    """The law from the least to the most, as accuracy."""
    sizes = np.geomspace(points[0].sizes[what], points[-1].sizes[what], _STEPS)
    accuracy, band = 1 - law.error(sizes), law.band(sizes)
    ends: list[tuple[float | None, float | None]] = [(None, None)] * _STEPS
    if band is not None:
        ends = list(zip((1 - band[1]).tolist(), (1 - band[0]).tolist(), strict=True))
    return [
        {what: size, "mean": mean, "low": low, "high": high}
        for size, mean, (low, high) in zip(sizes.tolist(), accuracy.tolist(), ends, strict=True)
    ]


def _sentence(column: Column, what: What, points: Sequence[_Point], law: PowerLaw) -> str:
    """A law in words."""
    if law.low is None or law.high is None:
        sure = "interval unknown: not all were asked the same users"
    else:
        sure = f"95 % {law.low:.3f} to {law.high:.3f} over users"
        if law.low <= 0 <= law.high:
            sure += ": no sure trend"
    varied = _VARYING if what != "events" else ("events",)
    name = " ".join(w for w in _WORD.findall(points[-1].name) if _setting(w) not in varied)
    guessed = sum(1 - float(one.score.mean or 0.0) >= law.ceiling for one in points)
    left = f"; {guessed} no better than guessing left out" if guessed else ""
    return (
        f"{column.dataset}, {name}: 1 - {column.metric} = {law.scale:.3g} x "
        f"({what})^-b, b = {law.exponent:.3f} ({sure}), R2 {law.explained:.2f}, "
        f"{len(points) - guessed} points{left}"
    )


def _lines(board: Board, column: Column, drawn: set[str]) -> list[dict[str, Any]]:
    """Rows that have no user encoder."""
    found = []
    for row in board.ranked:
        score = row.scores.get(column.key)
        if row.name not in drawn and score is not None and score.mean is not None:
            found.append({"name": row.name, **ends_of(score)})
    return found


def _guessing(points: Sequence[_Point]) -> float:
    """The error of guessing one of the options."""
    options = {int(one.cell.record.protocol["questions"]["options"]) for one in points}
    return 1 - 1 / min(options, default=2)


def _labels(points: Sequence[_Point], what: What) -> list[str]:
    """What a point is in a few words: its size or events, and what tells its series apart."""
    words = [[w for w in _WORD.findall(one.name) if _setting(w) not in _VARYING] for one in points]
    shared = set(words[0]).intersection(*words[1:])
    own = [[w for w in mine if w not in shared] for mine in words]
    if what == "events":
        sizes = [f"{one.sizes[what]:.0f} events" for one in points]
    else:
        sizes = _told_sizes([one.cell.record.spec.params for one in points])
    return [" ".join([*mine, size]).strip() for mine, size in zip(own, sizes, strict=True)]


def _setting(word: str) -> str:
    """What a word of a row's name sets: `shape` of `shape.width=32`."""
    return word.partition("=")[0].partition(".")[0]


def _told_sizes(params: Sequence[dict[str, Any]]) -> list[str]:
    """The sizes and single numbers of shapes in which settings differ, in words."""
    shapes = [{"size": str(one.get("size", "")), **(one.get("shape") or {})} for one in params]
    keys = dict.fromkeys(key for shape in shapes for key in shape)
    varied = [key for key in keys if len({shape.get(key) for shape in shapes}) > 1]
    return [
        ", ".join(
            str(shape[key]) if key == "size" else f"{key} {shape[key]}"
            for key in varied
            if shape.get(key) is not None
        )
        for shape in shapes
    ]
