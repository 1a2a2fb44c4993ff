"""A record in the terminal, as a card; and the users it served worst and best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tastebench.board.look import card
from tastebench.board.look.whom import Extremes, Unit
from tastebench.board.render import symbols_for
from tastebench.build.printable import printed
from tastebench.errors import counted

if TYPE_CHECKING:
    from rich.console import Console

    from tastebench.board.load import Entry
    from tastebench.runs.record import MetricValue, Record

_EPOCHS, _TRIALS = 8, 8
"""Rows of a curve, and of a grid's settings, that are shown."""

SOME = 3
"""Users at either end that a card names."""

_METRICS = 4
"""Metrics of a unit that are shown."""


def report(entry: Entry, units: dict[str, Any] | None) -> dict[str, Any]:
    """What `print_card` shows, and the whole record, as JSON values."""
    curve = card.curve_of(entry)
    return {
        **entry.record.model_dump(mode="json"),
        "folder": str(entry.folder),
        "files": sorted(path.name for path in entry.folder.iterdir()) if entry.folder else [],
        "command": card.command(entry),
        "curve": None if curve is None else curve.to_dicts(),
        "units": units,
    }


def units_report(found: Extremes) -> dict[str, Any]:
    """The users at both ends as JSON values."""
    return {
        "unit": found.unit,
        "metric": found.metric,
        "n": found.n,
        "worst": [vars(one) for one in found.worst],
        "best": [vars(one) for one in found.best],
        "equal_worst": found.equal_worst,
        "equal_best": found.equal_best,
    }


def print_card(entry: Entry, found: Extremes | None, console: Console) -> None:
    """What was run, how it was measured, what came of it, what it took, and whom to look at."""
    record = entry.record
    _print_head(record, console)
    _whole("folder", str(entry.folder), console)
    _whole("again", card.command(entry) or "its plan is gone", console)
    facts = []
    told = ", ".join(f"{key}={value}" for key, value in card.settings(record).items())
    facts += [("settings", told)] if told else []
    facts += [("protocol", f"{record.protocol_id}: {card.protocol_line(record)}")]
    facts += [("leaks", line) for line in record.split[1:]]
    facts += [("budget", card.budget_line(record))]
    _facts(facts, console)
    if record.error is not None:
        _print_error(record, console)
    _print_metrics(record, console)
    _print_training(entry, console)
    counts = ", ".join(f"{name} {n:,}" for name, n in record.counts.items())
    probes = ", ".join(f"{name} {value:.4g}" for name, value in record.probes.items())
    data = record.fingerprints.get("dataset")
    rest = [("counts", counts), ("probes", probes), *card.cost_facts(record)]
    rest += [("ran on", card.environment_line(record)), ("data", (data or "")[:12])]
    console.print()
    _facts([(name, value) for name, value in rest if value], console)
    if found is not None:
        print_units(found, console, entry)


def _print_head(record: Record, console: Console) -> None:
    spec = record.spec
    marks = [
        f"seed {spec.seed}",
        *([record.kind] if record.kind != "model" else []),
        *(["--limit: for trying out, never on a board"] if record.partial else []),
        *(["preliminary: reduced budget"] if record.preliminary else []),
        *(["FAILED"] if record.status == "failed" else []),
    ]
    console.print(
        Text.assemble(
            (printed(spec.label), "bold"),
            "  ",
            printed(f"{spec.task} on {spec.dataset}, {', '.join(marks)}"),
        )
    )
    text = f"{record.suite}, {record.spec_hash}, ended {record.created}"
    console.print(Text(printed(text), style="dim"), highlight=False)


def _facts(facts: Iterable[tuple[str, str]], console: Console) -> None:
    """A line each, what is too long on indented lines; nothing of it moves the cursor."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=10)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, Text(printed(value)))
    console.print(table)


def _whole(name: str, text: str, console: Console) -> None:
    """A line that is to be copied, so that it is not broken."""
    line = Text.assemble((f"{name:<12}", "dim"), printed(text))
    console.print(line, soft_wrap=True, highlight=False)


def _print_error(record: Record, console: Console) -> None:
    assert record.error is not None
    console.print()
    error = record.error
    console.print(Text(printed(f"{error.kind}: {error.what}"), style="bold"))
    _facts([(n, v) for n, v in (("where", error.where), ("fix", error.fix)) if v], console)
    for line in error.trace:
        console.print(Text(f"  {printed(line)}", style="dim"), highlight=False)


# ------------------------------------------------------------------------------------- numbers


def _print_metrics(record: Record, console: Console) -> None:
    """A line a metric, of all units and of each group."""
    if not record.metrics:
        return
    table = Table(box=symbols_for(console).box, padding=(0, 1, 0, 0))
    for head in ("", "mean", "95 % interval", "n", "undefined", "valid"):
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    for group, metrics in (("", record.metrics), *record.groups.items()):
        for name, value in metrics.items():
            style = "bold" if name == record.headline else ""
            label = f"{printed(group)} {name}" if group else name
            valid = record.valid.get(name) if not group else None
            table.add_row(Text(label, style=style), *_numbers(value, valid))
    console.print(table)


def _numbers(value: MetricValue, valid: float | None) -> Sequence[str]:
    known = value.low is not None and value.high is not None
    return (
        "-" if value.mean is None else f"{value.mean:.4f}",
        f"{value.low:.4f} to {value.high:.4f}" if known else "-",
        f"{value.n:,}",
        f"{value.undefined:,}" if value.undefined else "",
        "" if valid is None else f"{valid:.4f}",
    )


def _print_training(entry: Entry, console: Console) -> None:
    """How training went: its end, the curve, and the settings that were tried."""
    record = entry.record
    line, curve = card.fit_line(record), card.curve_of(entry)
    notes = [("fit", note) for note in (record.fit.notes if record.fit else ())]
    _facts([*([("training", line)] if line else []), *notes], console)
    if curve is not None:
        best = record.fit.best_epoch if record.fit else None
        epochs = curve["epoch"].to_list()
        names = [name for name in curve.columns if name not in ("epoch", "seconds")]
        if symbols_for(console).best == "":  # a terminal that shows bars
            for name in names:
                _facts([(name, card.sparkline(curve[name].to_list()))], console)
        table = Table(box=symbols_for(console).box, padding=(0, 1, 0, 0))
        for name in ("epoch", *names):
            table.add_column(name, justify="right", no_wrap=True)
        at = [epochs.index(best)] if best in epochs else []
        for i in card.some_rows(len(curve), _EPOCHS, at):
            mark = " *" if epochs[i] == best else "  "
            cells = [curve[name][i] for name in names]
            table.add_row(f"{epochs[i]}{mark}", *("" if c is None else f"{c:.4f}" for c in cells))
        console.print(table)
    if len(record.trials) > 1:
        _print_trials(record, console)


def _print_trials(record: Record, console: Console) -> None:
    """The settings of the grid, the best on the validation part first."""
    from tastebench.metrics.grammar import parse

    table = Table(box=symbols_for(console).box, padding=(0, 1, 0, 0))
    table.add_column("tried", overflow="fold")
    table.add_column(f"valid {record.headline}", justify="right", no_wrap=True)
    sign = 1 if parse(record.headline).higher_is_better else -1
    order = sorted(record.trials, key=lambda t: (t.valid is None, -sign * (t.valid or 0.0)))
    for trial in order[:_TRIALS]:
        told = ", ".join(f"{key}={value}" for key, value in trial.params.items())
        mark = " *" if trial.chosen else "  "
        valid = "-" if trial.valid is None else f"{trial.valid:.4f}"
        why = f" ({trial.error})" if trial.error else ""
        table.add_row(Text(printed(told + why)), valid + mark)
    console.print(table)
    if len(order) > _TRIALS:
        console.print(Text(f"{counted(len(order), 'setting')} were tried", style="dim"))


# --------------------------------------------------------------------------------------- units


def print_units(found: Extremes, console: Console, entry: Entry) -> None:
    """The users at both ends, and how to look at one."""
    plural = {"query": "queries"}.get(found.unit, f"{found.unit}s")
    for units, which, equal in (
        (found.worst, "worst", found.equal_worst),
        (found.best, "best", found.equal_best),
    ):
        if not units:
            continue
        console.print()
        same = f"; {equal:,} of {found.n:,} have the same" if equal > 1 else ""
        value = units[0].values[found.metric]
        said = f"{plural} served {which} by {found.metric}, from {value:.4f}{same}"
        console.print(Text(said, style="italic"), highlight=False)
        console.print(_units(units, found, console))
    some = (*found.worst, *found.best)
    if some:
        line = f"tastebench inspect {entry.folder} --user {some[-1].id}"
        console.print(Text(line, style="dim"), highlight=False, soft_wrap=True)


def _units(units: Sequence[Unit], found: Extremes, console: Console) -> Table:
    metrics = [found.metric, *(name for name in units[0].values if name != found.metric)]
    table = Table(box=symbols_for(console).box, padding=(0, 1, 0, 0))
    table.add_column(found.unit, no_wrap=True)
    for name in metrics[:_METRICS]:
        table.add_column(name, justify="right", no_wrap=True)
    labels = list(dict.fromkeys(name for one in units for name in one.labels))
    for name in labels:
        table.add_column(name)
    for one in units:
        cells = [one.values.get(name) for name in metrics[:_METRICS]]
        table.add_row(
            one.id,
            *("-" if cell is None else f"{cell:.4f}" for cell in cells),
            *(one.labels.get(name, "") for name in labels),
        )
    return table
