"""Question sets in the terminal: what there is, and an exam to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from tastebench.build.printable import printed
from tastebench.build.questions_view import KIND_NAMES, Event, Exam, QuestionsView
from tastebench.data.questions.spec import KINDS, PARTS
from tastebench.errors import counted

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN = 24
"""Events of a user that are shown at most, those that an answer rests on first."""

_LANGUAGES = {"en": "English", "zh": "Chinese"}
_HOW = {
    "whole": "the column {column}",
    "last": "the last entry of the path {column}",
    "each": "every entry of {column}",
    "head": "the first word of {column}, where several items share it",
}


def report(view: QuestionsView) -> dict[str, Any]:
    """What `print_report` shows, as JSON values."""
    return {
        **view.artefact.about.model_dump(mode="json"),
        "folder": str(view.artefact.folder),
        "asked": {part: _asked(view, part) for part in PARTS},
    }


def _asked(view: QuestionsView, part: str) -> dict[str, int]:
    table = view.artefact.table
    counts = dict(table.filter(table["part"] == part)["subtask"].value_counts().iter_rows())
    return {kind: counts.get(kind, 0) for kind in KINDS}


def print_report(view: QuestionsView, console: Console) -> None:
    """How many questions of what, about whom, and what could not be asked."""
    about = view.artefact.about
    spec, users = about.spec, about.counts.get("users", {})
    console.print(
        Text.assemble(
            (f"Questions about users of {printed(about.dataset.name)}", "bold"),
            f"  {about.hash[:12]}",
        )
    )
    console.print(
        Text(
            f"{_LANGUAGES[spec.language]}, {spec.options} options; "
            f"{counted(about.checked, 'answer')} worked out a second time"
        )
    )
    told = {rule.name: _HOW[rule.how].format(column=rule.column) for rule in about.attributes}
    width = max(map(len, told))
    for name, how in told.items():
        console.print(Text.assemble((f"{printed(name):<{width}}  ", "dim"), printed(how)))
    console.print(_kinds(view))
    for part in PARTS:
        asked = users.get(f"{part}_asked", 0)
        console.print(
            Text.assemble(
                (f"{part:<5}  ", "dim"), f"{asked:,} of {counted(users.get(part, 0), 'user')}"
            )
        )
    for reason in ("users_too_short", "users_too_long", "users_cut"):
        if users.get(reason):
            what = reason.replace("_", " ")
            console.print(Text.assemble(("       ", "dim"), f"{what}: {users[reason]:,}"))
    for name, n in about.counts.get("attributes_with_too_few_values", {}).items():
        console.print(Text(f"nothing is asked about {printed(name)}: it has {n:,} values"))


def _kinds(view: QuestionsView) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("kind")
    for part in PARTS:
        table.add_column(part, justify="right")
    table.add_column("chance", justify="right")
    table.add_column("test lacks", justify="right")
    counts = view.artefact.about.counts
    asked = {part: _asked(view, part) for part in PARTS}
    for kind in KINDS:
        chance = view.artefact.about.chance.get(kind)
        if chance is None:
            continue
        lacking = counts.get(f"test_{kind}", {}).get("lacking", 0)
        cells = [f"{asked[part][kind]:,}" for part in PARTS]
        table.add_row(
            f"{kind}  {KIND_NAMES[kind]}",
            *cells,
            f"{chance:.1%}",
            f"{lacking:,}" if lacking else "",
        )
    totals = [f"{sum(asked[part].values()):,}" for part in PARTS]
    table.add_row("all", *totals, "", "", style="bold")
    return table


# ----------------------------------------------------------------------------------------- an exam


def exam_report(exam: Exam) -> dict[str, Any]:
    """What `print_exam` shows, as JSON values; all events."""
    events = None if exam.events is None else [vars(event) for event in exam.events]
    return {**exam.row, "events": events}


def print_exam(exam: Exam, console: Console) -> None:
    """A question with its options, the right one marked, and what the user did."""
    row = exam.row
    about = KIND_NAMES[row["subtask"]] + (f", {row['attribute']}" if row["attribute"] else "")
    console.print()
    console.print(
        Text.assemble(
            (row["qid"], "bold"), f"  {row['subtask']}  {about}", f"  ({row['template']})"
        )
    )
    console.print(Text(row["question"]))
    for label, option in zip("ABCD", row["options"], strict=False):
        right = label == row["gold_label"]
        mark = " * " if right else "   "
        console.print(Text(f"{mark}{label}  {option}", style="bold" if right else ""))
    if exam.events is None:
        places = ", ".join(map(str, row["evidence"]))
        console.print(Text(f"user {row['user_id']}, events {places}", style="dim"))
        return
    console.print(Text(f"what {row['user_id']} did; * is what the answer rests on", style="dim"))
    console.print(_events(exam.events))


def _events(events: Sequence[Event]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(justify="right", no_wrap=True, min_width=6)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=60)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=30)
    shown, left_out = _chosen(events), 0
    for event in events:
        if event.place not in shown:
            left_out += 1
            continue
        if left_out:
            table.add_row("", f"... {counted(left_out, 'event')}", "", style="dim")
            left_out = 0
        coming = event.place == len(events)
        place = f"{'* ' if event.evidence else ''}{'next' if coming else event.place}"
        table.add_row(
            place,
            Text(event.title or event.item_id),
            Text(event.value or ""),
            style="bold" if event.evidence else "",
        )
    return table


def _chosen(events: Sequence[Event]) -> set[int]:
    """Places of the events that are shown: what comes next, evidence, then the latest."""
    order = sorted(events, key=lambda e: (e.place != len(events), not e.evidence, -e.place))
    return {event.place for event in order[:_SHOWN]}
