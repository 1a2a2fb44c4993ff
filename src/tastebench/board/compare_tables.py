"""A comparison as CSV, as Markdown and as a LaTeX table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from tastebench.board import figures, latex
from tastebench.board.compare_forms import legend
from tastebench.board.compare_model import CORRECTIONS, Adjusted, Compared, Line
from tastebench.board.compare_verdict import SURE, p_value
from tastebench.board.export import plain
from tastebench.board.layout import RICH
from tastebench.board.significance import Paired
from tastebench.errors import counted

CSV_HEAD = (
    *("a", "b", "task", "group", "dataset", "metric", "segment", "label"),
    *("mean_a", "mean_b", "difference", "low", "high", "low_seeds", "high_seeds"),
    *("p", "holm", "bh", "p_wilcoxon", "effect", "wins", "ties", "losses", "detectable", "n"),
    *("seeds_a", "seeds_b", "verdict"),
)

_PAIRED = ("difference", "low", "high", "low_seeds", "high_seeds")
_SIZES = ("p_wilcoxon", "effect", "wins", "ties", "losses", "detectable", "n")
_HEADS = ("", "A", "B", "A - B", "p", "{correction}", "d", "A/=/B %", "shows", "n")


def to_csv(found: Compared) -> str:
    """One line a column, then one for each of its segments; numbers unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for test in found.tests:
        column = test.column
        place = [found.a, found.b, column.task, column.group, column.dataset, column.metric]
        seeds = [test.seeds_a, test.seeds_b]
        numbers = _numbers(test.paired, test.adjusted)
        writer.writerow(
            [*place, None, None, test.mean_a, test.mean_b, *numbers, *seeds, test.verdict]
        )
        for one in test.segments:
            means = [one.paired.mean_a, one.paired.mean_b]
            numbers = _numbers(one.paired, one.adjusted)
            writer.writerow([*place, one.by, one.label, *means, *numbers, *seeds, None])
    return out.getvalue()


def _numbers(paired: Paired | None, adjusted: Adjusted | None) -> list[float | None]:
    p = [None] * 3 if adjusted is None else [adjusted.p, adjusted.holm, adjusted.bh]
    if paired is None:
        return [*[None] * len(_PAIRED), *p, *[None] * len(_SIZES)]
    return [
        *(getattr(paired, name) for name in _PAIRED),
        *p,
        *(getattr(paired, name) for name in _SIZES),
    ]


def _lines(found: Compared) -> Iterator[Line]:
    """All tests, a column's segments behind it."""
    for test in found.tests:
        name = f"{test.place} {test.column.metric}"
        yield Line(name, test.mean_a, test.mean_b, test.paired, test.adjusted)
        for one in test.segments:
            means = one.paired.mean_a, one.paired.mean_b
            yield Line(f"{one.by} {one.label}", *means, one.paired, one.adjusted, segment=True)


def _sure(found: Compared, line: Line) -> bool:
    return line.adjusted is not None and line.adjusted.by(found.correction) < SURE


def _rest(found: Compared, line: Line) -> list[str]:
    """p-values, effect, shares, what could be shown, units; empty where there are none."""
    both, adjusted = line.paired, line.adjusted
    p = [] if adjusted is None else [adjusted.p, adjusted.by(found.correction)]
    effect = "" if both is None or both.effect is None else f"{round(both.effect, 2) + 0.0:+.2f}"
    shares = ""
    if both is not None and None not in (both.wins, both.ties, both.losses):
        parts = (both.wins or 0, both.ties or 0, both.losses or 0)
        shares = "/".join(f"{100 * n / both.n:.0f}" for n in parts)
    n = "" if both is None else f"{both.n:,}"
    shows = "" if both is None else figures.number(both.detectable)
    return [*(map(p_value, p) if p else ("", "")), effect, shares, shows, n]


# -------------------------------------------------------------------------------------- markdown


def to_markdown(found: Compared) -> str:
    """A table with sure differences bold, then what they say and how they were computed."""
    heads = [head.format(correction=CORRECTIONS[found.correction]) for head in _HEADS]
    rows = [heads, [":--", *["--:"] * (len(heads) - 1)]]
    for line in _lines(found):
        name = plain(line.name)
        means = [figures.number(line.a), figures.number(line.b)]
        cells = [f"&emsp;{name}" if line.segment else name, *means, _difference(found, line)]
        rows.append([*cells, *(cell.replace("<", "\\<") for cell in _rest(found, line))])
    warning = ["**Preliminary: reduced budget.**", ""] if found.preliminary else []
    said = [f"- {plain(test.verdict)}" for test in found.tests]
    notes = [f"- {plain(note)}" for note in (*legend(found, RICH), *found.notes)]
    return "\n".join(
        [
            f"A: {plain(found.a)}<br>B: {plain(found.b)}",
            "",
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
            *warning,
            *said,
            "",
            *notes,
            "",
        ]
    )


def _difference(found: Compared, line: Line) -> str:
    if line.paired is None:
        return figures.MISSING
    shown = f"{line.paired.difference:+.4f}"
    shown = f"**{shown}**" if _sure(found, line) else shown
    half = figures.half(line.paired.low, line.paired.high)
    return f"{shown} ± {half}" if half else shown


# ----------------------------------------------------------------------------------------- latex


def to_latex(found: Compared) -> str:
    """A `table` with sure differences bold; verdicts and notes stand in comments."""
    heads = [head.format(correction=CORRECTIONS[found.correction]) for head in _HEADS]
    titles = {"A - B": "$A - B$", "p": "$p$", "d": "$d$", "A/=/B %": r"$A/{=}/B$ \%"}
    body = [latex.row_of([titles.get(head, latex.escape(head)) for head in heads]), r"\midrule"]
    for line in _lines(found):
        name = latex.escape(line.name)
        means = [latex.number_or_dash(line.a), latex.number_or_dash(line.b)]
        p, adjusted, effect, *sizes = _rest(found, line)
        body.append(
            latex.row_of(
                [
                    f"\\quad {name}" if line.segment else name,
                    *means,
                    _latex_difference(found, line),
                    *map(_latex_p, (p, adjusted)),
                    f"${effect}$" if effect else latex.MISSING,
                    *(size or latex.MISSING for size in sizes),
                ]
            )
        )
    preliminary = " Preliminary: reduced budget." if found.preliminary else ""
    comments = [*(t.verdict for t in found.tests), *legend(found, RICH), *found.notes]
    tables = latex.table(
        f"l{'r' * (len(heads) - 1)}",
        body,
        caption=f"$A$: {latex.escape(found.a)}, $B$: {latex.escape(found.b)}.{preliminary}",
        label=f"{found.suite}-{found.a}-{found.b}",
        comments=comments,
        notes=_latex_notes(found),
    )
    return f"% needs \\usepackage{{booktabs}}\n{tables}"


def _latex_notes(found: Compared) -> Sequence[str]:
    name, n = CORRECTIONS[found.correction], counted(found.n_tests, "comparison")
    return [
        r"$\pm$: half the 95\,\% interval over units, the same for both;",
        f"\\textbf{{bold}}: $p<{SURE:.2g}$ after {latex.escape(name)} over {n};",
        r"$p$: two-sided sign-flip test; $d$: mean over standard deviation of the differences;",
        r"$A/{=}/B$: share of units for which $A$ is better, both are equal, $B$ is better;",
        r"shows: the difference that these units show with 80\,\% probability.",
    ]


def _latex_difference(found: Compared, line: Line) -> str:
    if line.paired is None:
        return latex.MISSING
    shown = f"{line.paired.difference:+.4f}"
    sign, digits = shown[0], shown[1:]
    number = f"$\\mathbf{{{sign}{digits}}}$" if _sure(found, line) else f"${sign}{digits}$"
    half = figures.half(line.paired.low, line.paired.high)
    return f"{number} {{\\scriptsize $\\pm$ {half}}}" if half else number


def _latex_p(value: str) -> str:
    if not value:
        return latex.MISSING
    return f"${value}$" if value.startswith("<") else value
