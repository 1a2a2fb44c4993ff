"""One user of a run in the terminal: history, what was true, and the lists of several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from rich.text import Text

from tastebench.board.render import symbols_for
from tastebench.errors import counted

if TYPE_CHECKING:
    from rich.console import Console

    from tastebench.board.look.asked import Item
    from tastebench.board.look.beside import Model
    from tastebench.board.look.calls import Calls
    from tastebench.board.look.quiz import Question
    from tastebench.board.look.user import Asked, Look, Slot

NUMBER = 10
"""Items of a list, of a history and of right answers that are shown."""

OTHERS = 3
"""Other models that are shown beside."""

_QUESTIONS, _CALLS = 3, 2
_NARROW, _WIDEST = 22, 44
"""Characters of a list of titles beside others."""

_NAME = 40
"""Characters of a model's name at most; longer ones go on in further lines."""


def report(look: Look) -> dict[str, Any]:
    """What `print_user` shows, and all of it, as JSON values."""
    return {
        "unit": look.what,
        "id": look.unit.id,
        "segments": look.unit.labels,
        "models": [
            {**_identity(model), "values": values}
            for model, values in zip(look.models, look.values, strict=True)
        ],
        "asked": [asdict(one) for one in look.asked],
        "history": None if look.history is None else [asdict(item) for item in look.history],
        "questions": [asdict(one) for one in look.questions],
        "calls": None if look.calls is None else asdict(look.calls),
        "notes": list(look.notes),
    }


def _identity(model: Model) -> dict[str, Any]:
    record = model.entry.record
    return {"name": model.name, "seed": record.spec.seed, "spec_hash": record.spec_hash}


def print_user(look: Look, console: Console, number: int = NUMBER) -> None:
    """Prints one unit: who it is, what every model got, and question by question the lists."""
    record = look.models[0].entry.record
    labels = ", ".join(f"{name} {label}" for name, label in look.unit.labels.items())
    console.print(
        Text.assemble(
            (f"{look.what} {look.unit.id}", "bold"),
            f"  {record.spec.task} on {record.spec.dataset}",
            (f"  {labels}", "dim"),
        )
    )
    _print_models(look, console)
    for one in look.asked[:_QUESTIONS]:
        _print_asked(one, look, console, number)
    if len(look.asked) > _QUESTIONS:
        _dim(console, f"... and {len(look.asked) - _QUESTIONS} more: --question {_QUESTIONS + 1}")
    if look.history is not None:
        _print_history(look.history, console, number)
    for question in look.questions[:number]:
        _print_question(question, len(look.models), console)
    if len(look.questions) > number:
        _dim(console, f"... and {len(look.questions) - number} more: --number, --kind, --question")
    if look.calls is not None:
        _print_calls(look.calls, console)
    if look.notes:
        console.print()
    for note in look.notes:
        _dim(console, note)


def _dim(console: Console, text: str) -> None:
    console.print(Text(text, style="dim"), highlight=False)


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else str(i + 1)


def _print_models(look: Look, console: Console) -> None:
    """A line a model: its name, its mean over all, and what the unit got from it."""
    record = look.models[0].entry.record
    metrics = [name for name in record.metrics if name in look.unit.values]
    metrics = list(dict.fromkeys([m for m in (record.headline,) if m in metrics] + metrics))
    heads = ["", "model", f"{record.headline} of all", *metrics]
    name_width = min(max(map(len, map(_called, look.models))), _NAME)
    used = np.cumsum([5 + name_width, *(max(len(head), 6) + 2 for head in heads[2:])])
    room = max(int((used < console.width).sum()) - 2, 1)
    table = Table(box=symbols_for(console).box, padding=(0, 1, 0, 0))
    for head in heads[: 3 + room]:
        name = head == "model"
        table.add_column(
            head,
            justify="right" if head not in ("", "model") else "left",
            no_wrap=not name,
            overflow="fold",
            width=name_width if name else None,
        )
    for i, (model, values) in enumerate(zip(look.models, look.values, strict=True)):
        table.add_row(
            _letter(i),
            Text(_called(model), style="bold" if i == 0 else ""),
            "-" if model.mean is None else f"{model.mean:.4f}",
            *(_value(values, metric) for metric in metrics[:room]),
        )
    console.print(table)
    if len(metrics) > room:
        _dim(console, f"{len(metrics) - room} more metrics: --json")
    if look.more:
        more = f"{look.more} more model{'s' * (look.more > 1)}"
        _dim(console, f"{more}: --others {len(look.models) - 1 + look.more}")


def _called(model: Model) -> str:
    kind = model.entry.record.kind
    return model.name if kind == "model" else f"{model.name} ({kind})"


def _value(values: dict[str, float] | None, metric: str) -> str:
    return "-" if values is None or metric not in values else f"{values[metric]:.4f}"


# ------------------------------------------------------------------------------- lists of items


def _print_asked(one: Asked, look: Look, console: Console, number: int) -> None:
    """One question: what was known, what was true, and the lists side by side."""
    console.print()
    several = f"question {one.number} of {len(look.asked)}" if len(look.asked) > 1 else ""
    if several:
        console.print(Text(several, style="bold italic"))
    if one.case.query is not None:
        console.print(Text.assemble(("query: ", "italic"), one.case.query))
    if one.case.history is not None:
        set_ = look.models[0].entry.record.spec.task == "cf"
        _print_history(one.case.history, console, number, "in no order" * set_)
    if one.targets is not None:
        _print_targets(one, look, console, number)
    shown = [i for i, slots in enumerate(one.lists) if slots]
    for begin in range(0, len(shown), _beside(console)):
        _print_lists(one, shown[begin : begin + _beside(console)], console, number)
    if shown:
        _print_legend(one, shown, console, number)


def _print_history(history: Sequence[Item], console: Console, number: int, order: str = "") -> None:
    """What the user had before, the newest at the end; in cf that is a set."""
    n = counted(len(history), "item")
    console.print(Text(f"history, {order or 'the newest last'}: {n}", style="italic"))
    left = max(len(history) - number, 0)
    if left:
        _dim(console, f"      ... and {left:,} {'others' if order else 'earlier'}")
    for place, item in enumerate(history[left:], start=left + 1):
        _print_item(f"{place:>5}  ", item, console)


def _print_item(begin: str, item: Item, console: Console) -> None:
    room = max(console.width - len(begin) - len(item.id) - 2, 10)
    title = Text(item.title)
    title.truncate(room, overflow="ellipsis")
    gap = "  " if item.title else ""
    console.print(Text.assemble(begin, title, gap, (item.id, "dim")), soft_wrap=True)


def _print_targets(one: Asked, look: Look, console: Console, number: int) -> None:
    """What was true with its rank in every list, that of the first model first."""
    assert one.targets is not None
    clicked = look.models[0].entry.record.spec.task == "ctr"
    what = "clicked" if clicked else "what was true"
    if not one.targets:
        console.print(Text(f"{what}: nothing", style="italic"))
        return
    heads = [_letter(i) for i in range(len(look.models))]
    console.print(Text(f"{what}, and its rank for {', '.join(heads)}", style="italic"))
    order = sorted(one.targets, key=lambda t: (t.ranks[0] is None, t.ranks[0] or 0))
    for target in order[:number]:
        ranks = " ".join(f"{'-' if rank is None else rank:>5}" for rank in target.ranks)
        _print_item(f"{ranks}  ", target.item, console)
    if len(order) > number:
        _dim(console, f"      ... and {len(order) - number:,} more")


def _beside(console: Console) -> int:
    """Lists that fit side by side."""
    return max((console.width - 5) // (_NARROW + 2), 1)


def _print_lists(one: Asked, shown: Sequence[int], console: Console, number: int) -> None:
    width = min((console.width - 5) // len(shown) - 2, _WIDEST if len(shown) > 1 else console.width)
    table = Table(box=symbols_for(console).box, padding=(0, 1, 0, 0))
    table.add_column("#", justify="right", no_wrap=True)
    for i in shown:
        table.add_column(_letter(i), no_wrap=True, overflow="ellipsis", width=width)
    for place in range(min(number, max(len(one.lists[i]) for i in shown))):
        table.add_row(str(place + 1), *(_slot(one, i, place, len(shown) == 1) for i in shown))
    console.print(table)


def _print_legend(one: Asked, shown: Sequence[int], console: Console, number: int) -> None:
    """What the marks of the lists mean, and how to see more of them."""
    longest = max(len(one.lists[i]) for i in shown)
    marked = any(slot.right for i in shown for slot in one.lists[i][:number])
    tied = any(
        _tied(one.lists[i], at) for i in shown for at in range(min(number, len(one.lists[i])))
    )
    said = [f"* {'was clicked' if one.case.right is None else 'was true'}"] if marked else []
    said += ["= of one score with its neighbour"] if tied else []
    said += [f"{longest - number} more: --number {longest}"] if longest > number else []
    if said:
        _dim(console, "; ".join(said))


def _tied(slots: Sequence[Slot], place: int) -> bool:
    """Whether a neighbour in the list has the same score: most models mean no order by it then."""
    near = [*slots[max(place - 1, 0) : place], *slots[place + 1 : place + 2]]
    return any(other.score == slots[place].score for other in near)


def _slot(one: Asked, model: int, place: int, whole: bool) -> Text:
    """One item of a list: its title, or its id where there is none; both where there is room."""
    if place >= len(one.lists[model]):
        return Text("")
    slot = one.lists[model][place]
    item = slot.item
    mark = f"{'*' if slot.right else ' '}{'=' if _tied(one.lists[model], place) else ' '}"
    text = Text(f"{mark}{item.title or item.id}", style="bold" if slot.right else "")
    return text.append(f"  {item.id}", style="dim") if whole and item.title else text


# ----------------------------------------------------------------------------------- questions


def _print_question(question: Question, models: int, console: Console) -> None:
    """A question with its options: the right one marked, and which models chose which."""
    console.print()
    console.print(
        Text.assemble(
            (f"{question.number}  ", "bold"), (f"{question.kind}  ", "dim"), question.text
        )
    )
    for place, option in enumerate(question.options):
        who = [_letter(i) for i in range(models) if question.answers[i] == place]
        right = place == question.gold
        chosen = f"  <- {', '.join(who)}" if who else ""
        console.print(
            Text.assemble(
                (f"  {'*' if right else ' '} {option}", "bold" if right else ""), (chosen, "dim")
            )
        )
    silent = [
        f"{_letter(i)} {status}"
        for i, (answer, status) in enumerate(zip(question.answers, question.status, strict=True))
        if answer is None
    ]
    if silent:
        _dim(console, f"    no answer: {', '.join(silent)}")


# --------------------------------------------------------------------------------------- calls


def _print_calls(calls: Calls, console: Console) -> None:
    """The first things that a language model was asked about the unit, word by word."""
    console.print()
    n = len(calls.lines)
    shown = f", the first {_CALLS}" if n > _CALLS else ""
    said = f"asked of the language model about this user: {counted(n, 'time')}{shown}"
    console.print(Text(said, style="italic"))
    for call in calls.lines[:_CALLS]:
        if call.prompt is None:
            _dim(console, "(there was no more room for the prompt)")
        for role, words in call.prompt or ():
            console.print(Text.assemble((f"{role}: ", "bold dim"), words), highlight=False)
        console.print(Text.assemble(("answer: ", "bold"), call.answer or "(nothing)"))
        if call.refusal:
            console.print(Text.assemble(("refusal: ", "bold"), call.refusal))
        tokens = f"{call.prompt_tokens:,} tokens read, {call.completion_tokens:,} written"
        _dim(console, f"{call.status}; {tokens}; {call.seconds:.2f} s")
    if n > _CALLS:
        _dim(console, "--json has all")
    if calls.left_out:
        _dim(console, f"{counted(calls.left_out, 'question')} of this run had no more room")
