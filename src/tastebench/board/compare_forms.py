"""A comparison in the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from io import StringIO

from rich.console import Console
from rich.text import Text

from tastebench.board import figures
from tastebench.board.compare_model import CORRECTIONS, Compared, Line, Outcome
from tastebench.board.compare_verdict import SURE, p_value
from tastebench.board.layout import Block, Symbols, TextColumn, flow
from tastebench.board.render import FILE_WIDTH, print_block, symbols_for
from tastebench.board.significance import Paired

_TITLE_WIDTH = 40


def to_json(found: Compared) -> str:
    """One JSON object."""
    return json.dumps(asdict(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def print_comparison(found: Compared, console: Console) -> None:
    """Prints the tests, what they say, segments, and whom the difference is largest for."""
    symbols = symbols_for(console)
    warning = ", preliminary: reduced budget" if found.preliminary else ""
    console.print(Text(f"{found.suite}, A against B{warning}", style="bold italic"))
    for letter, name in (("A", found.a), ("B", found.b)):
        console.print(Text(f"{letter} = {name}"), highlight=False)
    lines = [
        Line(
            name=f"{t.place} {t.column.metric}",
            a=t.mean_a,
            b=t.mean_b,
            paired=t.paired,
            adjusted=t.adjusted,
            seeds=f"{t.seeds_a}/{t.seeds_b}",
        )
        for t in found.tests
    ]
    _print(found, lines, symbols, console)
    for test in found.tests:
        console.print(Text(test.verdict, style="bold"), highlight=False)
    for test in found.tests:
        _print_segments(found, test, symbols, console)
        _print_people(test, console)
    console.print()
    for note in (*legend(found, symbols), *found.notes):
        console.print(Text(note, style="dim"), highlight=False)


def as_text(found: Compared) -> str:
    """What `print_comparison` prints, as a string without styles."""
    file = StringIO()
    print_comparison(found, Console(file=file, width=FILE_WIDTH))
    return file.getvalue().rstrip()


def _print(found: Compared, lines: Sequence[Line], symbols: Symbols, console: Console) -> None:
    names = TextColumn(("",), tuple(Text(line.name) for line in lines), left=True)
    for block in flow([names], names, _columns(found, lines, symbols), console.width):
        print_block(block, console, [""] * len(lines))


def _columns(found: Compared, lines: Sequence[Line], symbols: Symbols) -> Iterator[Block]:
    """The scores with their difference, the p-values, and sizes."""
    both = [line.paired for line in lines]
    yield [
        _texts("A", [figures.number(line.a) for line in lines]),
        _texts("B", [figures.number(line.b) for line in lines]),
        TextColumn(("A - B",), tuple(_difference(found, line, symbols) for line in lines)),
    ]
    if any(p is not None and p.low_seeds is not None for p in both):
        over = [_half(p.low_seeds, p.high_seeds, symbols) if p else "" for p in both]
        yield [_texts("over seeds", over)]
    adjusted = [line.adjusted for line in lines]
    yield [
        _texts("p", [_p(a.p if a else None) for a in adjusted]),
        _texts(
            CORRECTIONS[found.correction],
            [_p(a.by(found.correction) if a else None) for a in adjusted],
        ),
        _texts("Wilcoxon", [_p(p.p_wilcoxon if p else None) for p in both]),
    ]
    yield [
        _texts("d", [_effect(p.effect if p else None) for p in both]),
        _texts("A/=/B %", [_shares(p) for p in both]),
        _texts("shows", [figures.number(p.detectable) if p else "" for p in both]),
        _texts("n", [f"{p.n:,}" if p else "" for p in both]),
        *([_texts("seeds", [line.seeds for line in lines])] if lines[0].seeds else []),
    ]


def _texts(head: str, cells: Sequence[str]) -> TextColumn:
    return TextColumn((head,), tuple(map(Text, cells)))


def _p(value: float | None) -> str:
    return "" if value is None else p_value(value)


def _effect(value: float | None) -> str:
    return "" if value is None else f"{round(value, 2) + 0.0:+.2f}"  # no minus before a zero


def _half(low: float | None, high: float | None, symbols: Symbols) -> str:
    half = figures.half(low, high)
    return f"{symbols.pm}{half}" if half else ""


def _difference(found: Compared, line: Line, symbols: Symbols) -> Text:
    """With half its interval; bold, or marked, where it is sure."""
    if line.paired is None:
        return Text(figures.MISSING)
    sure = line.adjusted is not None and line.adjusted.by(found.correction) < SURE
    mark = symbols.best if sure else ""
    text = Text(f"{mark}{line.paired.difference:+.4f}", "bold" if sure else "")
    half = _half(line.paired.low, line.paired.high, symbols)
    return text.append(f" {half}" if half else "", style="not bold")


def _shares(both: Paired | None) -> str:
    """Percent of the units for which A is better, equal, worse."""
    if both is None or both.wins is None or both.ties is None or both.losses is None:
        return ""
    return "/".join(f"{100 * n / both.n:.0f}" for n in (both.wins, both.ties, both.losses))


def _print_segments(found: Compared, test: Outcome, symbols: Symbols, console: Console) -> None:
    if not test.segments:
        return
    console.print()
    console.print(Text(f"{test.place} {test.column.metric} by segment", style="italic"))
    lines = [
        Line(
            name=f"{one.by} {one.label}",
            a=one.paired.mean_a,
            b=one.paired.mean_b,
            paired=one.paired,
            adjusted=one.adjusted,
        )
        for one in test.segments
    ]
    _print(found, lines, symbols, console)


def _print_people(test: Outcome, console: Console) -> None:
    for people, whom in ((test.ahead, "A"), (test.behind, "B")):
        if not people:
            continue
        console.print(Text(f"{test.place}: where {whom} does better by most", style="italic"))
        for one in people:
            console.print(Text(f"  {one.id}: A {one.a:.4f}, B {one.b:.4f}"), highlight=False)
            for letter, shown in (("A", one.shown_a), ("B", one.shown_b)):
                if shown:
                    items = " | ".join(map(_cut, shown))
                    console.print(Text(f"    {letter}: {items}"), highlight=False)


def _cut(title: str) -> str:
    return title if len(title) <= _TITLE_WIDTH else f"{title[: _TITLE_WIDTH - 3].rstrip()}..."


def legend(found: Compared, symbols: Symbols) -> Iterator[str]:
    """What the columns of a table are, and what was left out."""
    sure = symbols.best or "bold"
    yield (
        f"{symbols.pm} half the 95 % interval over units, the same for both; {sure}: sure, p after "
        f"{CORRECTIONS[found.correction]} over {found.n_tests} below {SURE:.2f}"
    )
    if any(t.paired is not None and t.paired.low_seeds is not None for t in found.tests):
        yield "over seeds: the same, where seeds are drawn as well as units"
    yield (
        "p: signs of the differences flipped at random; d: mean over standard deviation of the "
        "differences; A/=/B: units where A is better, equal, worse; shows: the difference that "
        "these units show with 80 % probability"
    )
    yield f"{found.resamples:,} resamples, seed {found.seed}"
    for test in found.tests:
        if test.left_out:
            yield f"{test.place}: {test.left_out:,} units without a value from both left out"
        if test.paired is not None and test.paired.wins is None:
            yield (
                f"{test.place}: {test.column.metric} is of all rows together, so there is none of "
                "a user or a segment"
            )
        if test.questions is not None:
            q = test.questions
            tied = f", {q.tied:,} tied left out" if q.tied else ""
            yield (
                f"{test.place}, question by question (first seeds): both right {q.both:,}, A alone "
                f"{q.only_a:,}, B alone {q.only_b:,}, neither {q.neither:,}{tied}; McNemar's exact "
                f"p {p_value(q.p)}"
            )
