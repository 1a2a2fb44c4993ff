"""A board as a LaTeX table, ready for a paper; of packages it needs booktabs alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, cast, get_args

from rich.text import Text

from tastebench.board import figures
from tastebench.board.layout import Block, TextColumn
from tastebench.board.model import Board, Column, Row, Score
from tastebench.board.questions import question_blocks
from tastebench.board.short import last_parts
from tastebench.board.tested import Tested
from tastebench.build.printable import printed
from tastebench.errors import UsageError, did_you_mean

Interval = Literal["half", "ends", "none"]
"""What stands behind a mean: half its interval, both ends, or nothing."""

BETTER, WORSE = r"$^{\uparrow}$", r"$^{\downarrow}$"
BELOW_BEST = r"$^{\dagger}$"
MISSING = "--"

_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "`": "{`}",  # two of them, or one behind a ? or !, would be another sign
    **{sign: f"\\{sign}" for sign in "{}$&#_%"},
}
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_TWICE = re.compile(r"(?<=(-|'))\1")
"""Two of them would be a dash, or a quotation mark."""


def interval_of(name: str) -> Interval:
    """What may stand behind a mean, by name.

    Raises:
        UsageError: Nothing is called so.
    """
    if name not in get_args(Interval):
        hint = did_you_mean(name, get_args(Interval))
        raise UsageError(f"no interval is called {name!r}: {hint}", fix="--interval half")
    return cast(Interval, name)


def escape(text: str) -> str:
    r"""Text that LaTeX prints as it is, in one line.

    >>> escape("a_b & 50 % --x\n")
    'a\\_b \\& 50 \\% -{-}x'
    """
    return _TWICE.sub(r"{\1}", _SIGN.sub(lambda found: _SIGNS[found[0]], printed(text)))


def to_latex(board: Board, tested: Tested | None = None, interval: Interval = "half") -> str:
    r"""A `table` with the best of each column bold, the second underlined, and marks of tests.

    What a reader has to know of the protocol stands in comments; ceilings stand below a line.

    Args:
        board: The board.
        tested: Which scores are marked; None for no tests.
        interval: What stands behind a mean.
    """
    board = replace(board, published=None)  # numbers of others are cited, not taken over
    body = [*_head(board), r"\midrule", *_rows(board, tested, interval, "")]
    if board.ceilings:
        body += [r"\midrule", *_rows(board, tested, interval, "ceiling")]
    columns = f"l{'r' * (len(board.columns) + len(_extra(board)))}"
    main = table(
        columns,
        body,
        caption=_caption(board),
        label=board.suite,
        comments=_comments(board),
        notes=list(_notes(board, tested, interval)),
    )
    names = last_parts(row.name for row in board.rows)
    first = TextColumn((board.row_by,), tuple(Text(names[r.name]) for r in board.rows), left=True)
    kinds = [
        block_table([first, *block[1:]], title, f"{board.suite}-kinds")
        for title, block in question_blocks(board)
    ]
    return "\n".join([r"% needs \usepackage{booktabs}", main, *kinds])


def table(
    columns: str,
    body: Sequence[str],
    *,
    caption: str,
    label: str,
    comments: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """A floating table.

    Args:
        columns: As `tabular` takes them.
        body: Lines between the first and the last rule.
        caption: Already LaTeX.
        label: A name, from which the label is made.
        comments: Text that stands in the source alone.
        notes: Already LaTeX; printed small below.
    """
    name = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-").lower() or "results"
    lines = [r"\begin{table}[t]", r"  \centering", f"  \\caption{{{caption}}}"]
    lines += [f"  \\label{{tab:{name}}}", *(f"  % {printed(line)}" for line in comments)]
    lines += [f"  \\begin{{tabular}}{{{columns}}}", r"    \toprule"]
    lines += [f"    {line}" for line in body]
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    if notes:
        lines += [r"  \par\smallskip", r"  {\footnotesize"]
        lines += [f"  {note}" for note in notes]
        lines += [r"  \par}"]
    return "\n".join([*lines, r"\end{table}", ""])


def block_table(block: Block, title: str, label: str) -> str:
    """Columns of text as a table; a row without a cell beside its name is left out."""
    heads = [escape(" ".join(column.head)) for column in block]
    cells = [[escape(cell.plain) for cell in column.cells] for column in block]
    rows = [list(row) for row in zip(*cells, strict=True) if any(row[1:])]
    body = [row_of(heads), r"\midrule", *(row_of([c or MISSING for c in row]) for row in rows)]
    columns = "".join("l" if column.left else "r" for column in block)
    return table(columns, body, caption=f"{escape(title)}.", label=label)


def row_of(cells: Sequence[str]) -> str:
    """A row of a table; a bracket or star at its beginning would belong to the row before."""
    shield = "{}" if cells[0][:1] in ("[", "*") else ""
    return f"{shield}{' & '.join(cells)} \\\\"


# ---------------------------------------------------------------------------------------- head


def _head(board: Board) -> Iterator[str]:
    """Tasks over their columns, datasets where there are several, metrics."""
    extra = list(_extra(board))
    parts = [
        (part, len(list(same))) for part, same in itertools.groupby(c.part for c in board.columns)
    ]
    spans = [
        f"\\multicolumn{{{n}}}{{c}}{{{escape(part)}}}" if n > 1 else escape(part)
        for part, n in parts
    ]
    yield row_of(["", *spans, *[""] * len(extra)])
    begins = itertools.accumulate((n for _, n in parts), initial=2)
    rules = [
        f"\\cmidrule(lr){{{begin}-{begin + n - 1}}}"
        for (_, n), begin in zip(parts, begins, strict=False)
        if n > 1
    ]
    if rules:
        yield " ".join(rules)
    if len({column.dataset for column in board.columns}) > 1:
        yield row_of(["", *(escape(c.dataset) for c in board.columns), *[""] * len(extra)])
    metrics = [f"{escape(c.metric)} {_arrow(c)}" for c in board.columns]
    yield row_of([escape(board.row_by), *metrics, *map(escape, extra)])


def _arrow(column: Column) -> str:
    return r"$\uparrow$" if column.sign > 0 else r"$\downarrow$"


def _extra(board: Board) -> dict[str, list[str]]:
    """Points and averages of several columns, in the order of the rows."""
    if len(board.columns) < 2:
        return {}
    return {
        "Borda": [figures.points(row) for row in board.rows],
        **{
            name: [figures.number(value) for value in values[: len(board.rows)]]
            for name, values in figures.averages(board).items()
        },
    }


# ---------------------------------------------------------------------------------------- rows


def _rows(board: Board, tested: Tested | None, interval: Interval, kind: str) -> Iterator[str]:
    """Ceilings, or all others; what only controls is in italics."""
    names = last_parts(row.name for row in board.rows)
    best = {column.key: _best_two(board, column) for column in board.columns}
    extra = _extra(board)
    for i, row in enumerate(board.rows):
        if (row.kind == "ceiling") != (kind == "ceiling"):
            continue
        name = escape(names[row.name])
        cells = [name if row.kind == "model" else f"\\textit{{{name}}}"]
        for column in board.columns:
            first, second = best[column.key]
            style = "textbf" if row.name in first else "underline" if row.name in second else ""
            shown = number(row.scores.get(column.key), interval, style)
            cells.append(shown + mark(tested, row, column))
        others = [values[i] for values in extra.values()]
        yield row_of([*cells, *(MISSING if one == figures.MISSING else one for one in others)])


def _best_two(board: Board, column: Column) -> tuple[set[str], set[str]]:
    return figures.best_two({row.name: row.mean(column) for row in board.ranked}, column.sign)


def number(score: Score | None, interval: Interval, style: str = "") -> str:
    """A mean in a style, with what stands behind it; a dash where there is none."""
    if score is None or score.mean is None:
        return MISSING
    mean = figures.mean(score)
    mean = f"\\{style}{{{mean}}}" if style else mean
    if interval == "none" or score.low is None or score.high is None:
        return mean
    if interval == "ends":
        return f"{mean} {{\\scriptsize [{score.low:.4f}, {score.high:.4f}]}}"
    return f"{mean} {{\\scriptsize $\\pm$ {figures.half_width(score)}}}"


def number_or_dash(value: float | None) -> str:
    """A mean without anything behind it."""
    return MISSING if value is None else figures.number(value)


def mark(tested: Tested | None, row: Row, column: Column) -> str:
    """What the test of a score says, as a sign behind it."""
    found = None if tested is None else tested.sure(row, column)
    if tested is None or found is None:
        return ""
    if tested.against is None:
        return "" if found.better else BELOW_BEST
    return BETTER if found.better else WORSE


# --------------------------------------------------------------------------------------- notes


def _caption(board: Board) -> str:
    preliminary = " Preliminary: reduced budget." if board.preliminary else ""
    return f"{escape(board.suite)}, by {escape(board.row_by)}.{preliminary}"


def _notes(board: Board, tested: Tested | None, interval: Interval) -> Iterator[str]:
    yield r"\textbf{Bold}: best, \underline{underlined}: second;"
    if any(row.kind == "control" for row in board.rows):
        yield r"\textit{italic}: controls that a model has to beat;"
    behind = {
        "half": r"$\pm$: half the 95\,\% interval over units.",
        "none": "",
        "ends": r"in brackets: the 95\,\% interval over units.",
    }[interval]
    if behind:
        yield behind
    if tested is not None and tested.n:
        marks = (BETTER, WORSE if tested.against is not None else BELOW_BEST)
        line = escape(tested.line(("@better@", "@worse@"))).replace(r"p \textless{} ", "$p<$ ")
        yield f"{line.replace('@better@', marks[0]).replace('@worse@', marks[1])}."


def _comments(board: Board) -> list[str]:
    """The protocol, the data, what marks would say, and what failed."""
    marked = [f"{row.name}: {mark.text}" for row in board.rows for mark in row.marks]
    return [
        *(figures.column_line(board, column) for column in board.columns),
        *figures.data_lines(board),
        *marked,
        *board.notes,
        *(f"failed: {figures.failure_line(failure)}" for failure in board.failed),
        *(f"tastebench {version}" for version in board.versions),
    ]
