"""For whom: the best rows of a column by segment of its users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tastebench.board.compare_model import pooled
from tastebench.board.load import Entry
from tastebench.board.model import Board, Column
from tastebench.board.report.column import Drawn
from tastebench.board.report.conclusion import place
from tastebench.board.report.spec import Picture, inline, picture
from tastebench.board.tables import UNITS
from tastebench.metrics.interval import bootstrap
from tastebench.tasks.evaluate import HISTORY_LABELS, POPULARITY_LABELS

MODELS = 5
"""Lines of a chart, with the best control."""

_MOST_LABELS = 20
_SEED = 0
_HEIGHT = 300

_MEANS = {
    "history": "items in the user's history",
    "popularity": "how popular the answer is in training (cold: never seen there)",
}


def segment_pictures(board: Board, columns: Mapping[Column, Sequence[Drawn]]) -> Iterator[Picture]:
    """A chart for each column and way to tell its units apart.

    Raises:
        DataError: A table of values is broken.
    """
    for column, drawn in columns.items():
        lines = _lines(drawn)
        if not lines or pooled(column.metric):
            continue
        for by, labels in segments(lines[0].cell.entries[0], column.group).items():
            values = list(_values(lines, labels))
            if len({value["segment"] for value in values}) > 1:
                yield _picture(board, column, by, values)


def segments(entry: Entry, group: str | None) -> dict[str, np.ndarray]:
    """What units are told apart by: text columns of their table, but for id and group.

    Raises:
        DataError: The table is broken.
    """
    import polars as pl

    table = entry.table(UNITS)
    if table is None:
        return {}
    table = table if group is None else table.filter(pl.col("group") == group)
    apart = (table.columns[0], "group")
    names = [name for name, kind in table.schema.items() if kind == pl.String]
    found = {name: table[name].fill_null("unknown") for name in names if name not in apart}
    return {
        name: np.array(labels.to_list())
        for name, labels in found.items()
        if 1 < labels.n_unique() <= _MOST_LABELS
    }


def _lines(drawn: Sequence[Drawn]) -> list[Drawn]:
    known = [one for one in drawn if one.mean is not None]
    models = [one for one in known if one.row.kind == "model"][:MODELS]
    controls = [one for one in known if one.row.kind == "control"][:1]
    return [one for one in known if one in models or one in controls]


def _values(lines: Sequence[Drawn], labels: np.ndarray) -> Iterator[dict[str, Any]]:
    """The mean of each row in each segment, with its interval."""
    for label in sorted(set(labels.tolist()), key=_order):
        at = labels == label
        for one in lines:
            assert one.mean is not None and one.ids is not None
            found = bootstrap(
                one.mean[at], np.random.default_rng(_SEED), weights=one.ids.weights[at, 0]
            )
            if not np.isnan(found.mean):
                yield {
                    "segment": label,
                    "row": one.row.name,
                    "mean": float(found.mean),
                    "low": None if np.isnan(found.low) else float(found.low),
                    "high": None if np.isnan(found.high) else float(found.high),
                    "n": found.n,
                }


def _order(label: str) -> tuple[int, str]:
    """Known labels as they go up, others by name."""
    known = (*HISTORY_LABELS, *POPULARITY_LABELS)
    return (known.index(label) if label in known else len(known)), label


def _picture(board: Board, column: Column, by: str, values: list[dict[str, Any]]) -> Picture:
    where = f"{place(board, column)}: {column.metric} by {by}"
    told = (
        f"{column.metric} of the best rows in {place(board, column)} by {_MEANS.get(by, by)}, with "
        "95 % intervals over the users of each segment. Few users make long bars."
    )
    return picture(where, _chart(values, column, by), told)


def _chart(values: list[dict[str, Any]], column: Column, by: str) -> Any:
    import altair as alt

    labels = list(dict.fromkeys(value["segment"] for value in values))
    names = list(dict.fromkeys(value["row"] for value in values))
    base = alt.Chart(inline(values)).encode(
        x=alt.X("segment:N").sort(labels).title(_MEANS.get(by, by)).axis(labelAngle=0),
        xOffset=alt.XOffset("row:N").sort(names),
    )
    color = alt.Color("row:N").scale(domain=names).title(None)
    tips = [
        alt.Tooltip("row:N"),
        alt.Tooltip("segment:N", title=by),
        alt.Tooltip("mean:Q", format=".4f", title=column.metric),
        alt.Tooltip("low:Q", format=".4f", title="95 % from"),
        alt.Tooltip("high:Q", format=".4f", title="to"),
        alt.Tooltip("n:Q", title="units"),
    ]
    bars = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q").title(column.metric), y2="high:Q", color=color
    )
    dots = base.mark_point(filled=True, size=55, opacity=1).encode(
        y=alt.Y("mean:Q"),
        color=color,
        shape=alt.Shape("row:N").scale(domain=names).title(None),
        tooltip=tips,
    )
    return alt.layer(bars, dots).properties(width="container", height=_HEIGHT)
