"""An ablation in the terminal, as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.text import Text

from tastebench.board import figures
from tastebench.board.ablation import Ablation, Comparison, Difference
from tastebench.board.export import plain
from tastebench.board.layout import Block, TextColumn, flow
from tastebench.board.model import Score
from tastebench.board.render import print_block, symbols_for
from tastebench.board.short import last_parts

CSV_HEAD = (
    "name",
    "task",
    "datasets",
    "setting",
    "value",
    "mean",
    "low",
    "high",
    "n",
    "seeds",
    "spread",
    "difference",
    "difference_low",
    "difference_high",
    "preliminary",
)


@dataclass(frozen=True)
class _Signs:
    """How a table says what.

    Attributes:
        pm: Plus or minus.
        before, after: Around a difference that is sure.
    """

    pm: str
    before: str = ""
    after: str = ""


def print_ablation(found: Ablation, console: Console) -> None:
    """Prints the table, what it says, and what to know about it."""
    symbols = symbols_for(console)
    console.print(Text(_title(found), style="bold italic"))
    short = last_parts(found.rows)
    names = TextColumn(("",), tuple(Text(short[name]) for name in found.rows), left=True)
    signs = _Signs(symbols.pm, before=symbols.best)
    for block in flow([names], names, _groups(found, signs), console.width):
        print_block(block, console, [""] * len(found.rows))
    notes = [
        f"{symbols.pm} half the 95 % interval over units, of a difference over the same units; "
        f"{symbols.best or 'bold'}: it does not hold 0",
        *_notes(found),
    ]
    for line in (*says(found), "", *notes):
        console.print(Text(line), highlight=False)


def to_json(found: Ablation) -> str:
    """One JSON object."""
    return json.dumps(asdict(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(found: Ablation) -> str:
    """One line an encoder, task and value, numbers unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for name, part, one in _every(found):
        for value, score in one.scores.items():
            apart = one.differences.get(value)
            writer.writerow(
                [
                    *(name, part, " ".join(one.datasets), found.setting, value),
                    *(score.mean, score.low, score.high, score.n, score.seeds, score.spread),
                    *((apart.mean, apart.low, apart.high) if apart else (None, None, None)),
                    found.preliminary,
                ]
            )
    return out.getvalue()


def to_markdown(found: Ablation) -> str:
    """A table and what it says; differences whose interval does not hold 0 are bold."""
    columns = [column for group in _groups(found, _Signs("±", "**", "**")) for column in group]
    rows = [["", *("<br>".join(map(plain, column.head)) for column in columns)]]
    rows.append([":--", *["--:"] * len(columns)])
    rows += [
        [plain(name), *(column.cells[i].plain for column in columns)]
        for i, name in enumerate(found.rows)
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    notes = [f"- {plain(note)}" for note in (*says(found), *_notes(found))]
    return "\n".join([*lines, "", *notes]) + "\n"


def says(found: Ablation) -> list[str]:
    """By task, for how many encoders each value is higher and lower than the first."""
    told = []
    for part in found.parts:
        for value in found.values[1:]:
            known = [
                parts[part].differences[value]
                for parts in found.rows.values()
                if part in parts and value in parts[part].differences
            ]
            if known:
                up, down = ([d for d in known if sign * d.mean > 0] for sign in (1, -1))
                told.append(
                    f"{part}: {found.setting}={value} is higher than {found.values[0]} for "
                    f"{len(up)} of {len(known)} ({sum(map(_sure, up))} surely) and lower for "
                    f"{len(down)} ({sum(map(_sure, down))} surely)."
                )
    return told


def _groups(found: Ablation, signs: _Signs) -> Iterator[Block]:
    """Per task: a column a value, and one of each difference from the first."""
    first = found.values[0]
    for part in found.parts:
        ones = [parts.get(part) for parts in found.rows.values()]
        group = []
        for value in found.values:
            scores = [None if one is None else one.scores.get(value) for one in ones]
            cells = tuple(_mean(score, signs) for score in scores)
            group.append(TextColumn((part, f"{found.setting}={value}"), cells))
        for value in found.values[1:]:
            apart = [None if one is None else one.differences.get(value) for one in ones]
            cells = tuple(_difference(one, signs) for one in apart)
            group.append(TextColumn((part, f"{value} - {first}"), cells))
        yield group


def _mean(score: Score | None, signs: _Signs) -> Text:
    half = figures.half_width(score)
    return Text(figures.mean(score) + (f" {signs.pm}{half}" if half else ""))


def _difference(one: Difference | None, signs: _Signs) -> Text:
    if one is None:
        return Text(figures.MISSING)
    sure, half = _sure(one), figures.half(one.low, one.high)
    shown = f"{signs.before}{one.mean:+.4f}{signs.after}" if sure else f"{one.mean:+.4f}"
    text = Text(shown, style="bold" if sure else "")
    return text.append(f" {signs.pm}{half}" if half else "", style="not bold")


def _sure(one: Difference) -> bool:
    """Whether the interval is known and does not hold 0."""
    return one.low is not None and one.high is not None and (one.low > 0 or one.high < 0)


def _every(found: Ablation) -> Iterator[tuple[str, str, Comparison]]:
    for name, parts in found.rows.items():
        for part, one in parts.items():
            yield name, part, one


def _title(found: Ablation) -> str:
    warning = ", preliminary: reduced budget" if found.preliminary else ""
    return f"{found.suite}, what {found.setting} changes{warning}"


def _notes(found: Ablation) -> list[str]:
    """Over which datasets each number is a mean, and who is not here."""
    datasets: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, part, one in _every(found):
        datasets.setdefault((part, one.datasets), []).append(name)
    over = []
    for (part, names), rows in datasets.items():
        whose = "" if len(rows) == len(found.rows) else f" for {', '.join(rows)}"
        over.append(f"{part}: mean of {', '.join(names)}{whose}")
    out = (
        [f"with one value only, so not here: {', '.join(found.left_out)}"] if found.left_out else []
    )
    warning = ["preliminary: reduced budget"] if found.preliminary else []
    return [*over, *out, *warning]
