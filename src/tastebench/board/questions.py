"""Questions about users by kind: the table under a board that has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rich.text import Text

from tastebench.board.cells import Cell
from tastebench.board.layout import Block, Line, TextColumn, lines_of, row_labels
from tastebench.board.model import Board, Column, Row
from tastebench.board.published import PublishedRow
from tastebench.metrics.grammar import DIMENSIONS
from tastebench.recommenders.userqa.settings import FLOPS_PROBE

TASK = "userqa"

_HEADS = {
    **{
        f"{TASK}:{kind}": kind
        for dimension, kinds in DIMENSIONS.items()
        for kind in (*kinds, dimension)
    },
    TASK: "all",
}
"""Place in a printed table to the head of its column here: the kinds of a dimension, then it."""


def tokens_of(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """Tokens of a question on average by task and dataset: `soft` ones, and those of `text`."""
    found = {}
    for cell in cells:
        counts = [e.record.counts for e in cell.entries if "soft_tokens" in e.record.counts]
        if asked := sum(one["asked"] for one in counts):
            found[f"{cell.record.spec.task}/{cell.record.spec.dataset}"] = {
                kind: sum(one[f"{kind}_tokens"] for one in counts) / asked
                for kind in ("soft", "text")
            }
    return found


def gflops_of(cells: Sequence[Cell]) -> dict[str, float]:
    """10^9 operations of a question by task and dataset, means over seeds."""
    found = {}
    for cell in cells:
        probes = [e.record.probes.get(FLOPS_PROBE) for e in cell.entries]
        known = [value for value in probes if value is not None]
        if known and len(known) == len(probes):
            found[f"{cell.record.spec.task}/{cell.record.spec.dataset}"] = float(np.mean(known))
    return found


def kind_columns(board: Board) -> list[Column]:
    """Columns of every kind and dimension of questions beside those that rank, for lists."""
    metrics = [_metric(place) for place in _HEADS]
    asked = [column for column in board.columns if column.task == TASK]
    return [
        replace(column, metric=metric)
        for column in asked
        for metric in metrics
        if metric != column.metric
    ]


def question_blocks(board: Board, *, intervals: bool = True) -> Iterator[tuple[str, Block]]:
    """A title and the columns of each dataset: accuracy of every kind and dimension, in percent.

    Args:
        board: The board.
        intervals: With half the 95 % interval over users behind each, for which a terminal has no
            room.
    """
    datasets = dict.fromkeys(c.dataset for c in board.columns if c.task == TASK)
    lines = lines_of(board)
    for dataset in datasets:
        cells = {
            place: [_percent(line, dataset, place, intervals) for line in lines] for place in _HEADS
        }
        block = [TextColumn((board.row_by,), tuple(map(Text, row_labels(board))), left=True)]
        block += [
            TextColumn((head,), tuple(map(Text, cells[place])))
            for place, head in _HEADS.items()
            if any(cells[place])
        ]
        for head, told in (("tokens", _tokens), ("GFLOP", _gflops)):
            costs = [told(line, dataset) for line in lines]
            if any(costs):
                block.append(TextColumn((head,), tuple(map(Text, costs))))
        yield f"{dataset}: right answers in percent, {_options(board, dataset)}", block


def _percent(line: Line, dataset: str, place: str, intervals: bool) -> str:
    if isinstance(line, PublishedRow):
        score = line.scores.get(place)
        return "" if score is None else f"{100 * score:.1f}"
    found = line.scores.get(f"{TASK}/{dataset}/{_metric(place)}")
    if found is None or found.mean is None:
        return ""
    mean = f"{100 * found.mean:.1f}"
    if not intervals or found.low is None or found.high is None:
        return mean
    return f"{mean}±{50 * (found.high - found.low):.1f}"


def _metric(place: str) -> str:
    """The metric of a place of a printed table."""
    _, _, of = place.partition(":")
    return f"accuracy_{of}" if of else "accuracy"


def _tokens(line: Line, dataset: str) -> str:
    """Soft tokens and those of text, which count alike."""
    places: Any = line.cost.get("tokens", {}) if isinstance(line, Row) else {}
    found = places.get(f"{TASK}/{dataset}")
    if not found or not (found["soft"] or found["text"]):
        return ""
    return f"{found['soft'] + found['text']:,.1f}"


def _gflops(line: Line, dataset: str) -> str:
    places: Any = line.cost.get("gflops", {}) if isinstance(line, Row) else {}
    found = places.get(f"{TASK}/{dataset}")
    return "" if found is None else f"{found:.3g}"


def _options(board: Board, dataset: str) -> str:
    """How many options a question has and what guessing is worth, of each where several are."""
    found = {
        asked["protocol"]["questions"]["options"]
        for asked in board.protocols
        if asked["task"] == TASK and asked["dataset"] == dataset
    }
    return " or ".join(f"of {n} options (chance {100 / n:.1f})" for n in sorted(found))
