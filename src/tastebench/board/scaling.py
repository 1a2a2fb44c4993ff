"""Does a larger encoder help? Scores over parameters, one panel a task.

Encoders of items are drawn task by task. Encoders of users, whose sizes are varied in a study of
their own, have panels with a power law each (`tastebench.board.user_scaling`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench.board.chart import heading, write_chart
from tastebench.board.layout import short_names
from tastebench.board.load import Loaded
from tastebench.board.model import Board, Row
from tastebench.board.scaling_panel import PARAMETERS, Over, ends_of, panel
from tastebench.board.user_scaling import user_panels
from tastebench.errors import UsageError

if TYPE_CHECKING:
    import altair as alt

_COLUMNS = 2


def draw(board: Board, path: Path, loaded: Loaded | None = None) -> None:
    """Writes the picture, SVG or an HTML page that needs no network, by the ending of `path`.

    Args:
        board: The board.
        path: Where to.
        loaded: The records of the board, which know the sizes of user encoders; None leaves these
            out.

    Raises:
        UsageError: Another ending, or no encoder of known size has a score.
        DataError: A table of values per user is broken.
        OSError: It cannot be written.
    """
    write_chart(lambda: make_chart(board, loaded), path, "scaling")


def make_chart(board: Board, loaded: Loaded | None = None) -> alt.VConcatChart:
    """The picture as an Altair chart.

    Each encoder is a point at its number of parameters (log), its interval a bar; controls and what
    needs no encoder are horizontal lines. A task is the mean of its datasets. Encoders of unknown
    size are listed beneath.

    Raises:
        UsageError: No encoder of known size has a score.
        DataError: A table of values per user is broken.
    """
    import altair as alt

    names = short_names(board)
    panels = [
        panel(part, Over(), points, list(_lines(board, part, names)))
        for part in board.parts
        if (points := list(_points(board, part, names)))
    ]
    of_users, said = user_panels(loaded, board) if loaded is not None else ([], [])
    if not panels and not of_users:
        raise UsageError(
            "no encoder of known size has a score, so there is nothing to draw over sizes",
            fix="tastebench board DIR --svg FILE draws the board without sizes",
        )
    chart = alt.concat(*panels, *of_users, columns=_COLUMNS, spacing=24)
    under = ["bars: 95 % intervals over units; lines: controls and what needs no encoder"]
    what = [*(["encoder size"] if panels else []), *(["user encoder"] if of_users else [])]
    title = heading(
        f"{board.title}: score over {' and '.join(what)}", [*under, *said, *_unsized(board)]
    )
    titled = chart.properties(title=title)
    made: alt.VConcatChart = titled.configure_view(stroke=None)
    return made


def _points(board: Board, part: str, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    for row in board.ranked:
        size, score = _size(row), row.tasks.get(part)
        if row.kind == "model" and size and score is not None:
            yield {"name": names[row.name], PARAMETERS: size, **ends_of(score)}


def _lines(board: Board, part: str, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    for row in board.ranked:
        score = row.tasks.get(part)
        if (row.kind == "control" or row.encoder is None) and score is not None:
            yield {"name": names[row.name], **ends_of(score)}


def _unsized(board: Board) -> list[str]:
    found = [
        row.name
        for row in board.ranked
        if row.kind == "model" and row.encoder is not None and not _size(row)
    ]
    return [f"not drawn, size unknown: {', '.join(found)}"] if found else []


def _size(row: Row) -> int | None:
    size: int | None = row.cost.get("parameters", {}).get("encoder")
    return size
