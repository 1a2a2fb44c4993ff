"""A run as a card: what was run and how, what came of it, and what it took."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tastebench.board import figures
from tastebench.board.load import Entry
from tastebench.board.tables import CURVE
from tastebench.errors import TastebenchError, counted
from tastebench.runs.record import Cost, Record
from tastebench.tasks.protocol import TaskProtocol

if TYPE_CHECKING:
    import polars as pl

Facts = list[tuple[str, str]]
"""Names with what is said of them."""

_BARS = "▁▂▃▄▅▆▇█"


def command(entry: Entry) -> str | None:
    """What runs it again; None where its plan is gone."""
    if entry.folder is None or not (entry.folder / "config.yaml").is_file():
        return None
    return f"tastebench run {shlex.quote(str(entry.folder / 'config.yaml'))}"


def protocol_line(record: Record) -> str:
    """How it was measured, in words; as JSON where this version does not know the words."""
    try:
        return TaskProtocol.model_validate(record.protocol).describe()
    except (ValidationError, TastebenchError):
        return ", ".join(f"{key} {value}" for key, value in record.protocol.items())


def budget_line(record: Record) -> str:
    """How it was tuned.

    Said of every run: a number from one setting does not stand beside one from fifty unsaid.
    """
    budget = record.budget
    parts = [counted(budget.trials, "trial"), counted(len(budget.seeds), "seed")]
    parts += [f"at most {counted(budget.epochs, 'epoch')}"] if budget.epochs is not None else []
    parts += [f"patience {budget.patience}"] if budget.patience is not None else []
    return ", ".join(parts)


def settings(record: Record) -> dict[str, Any]:
    """The hyper-parameters that the plan gave, and those that a search chose."""
    given = record.given.get("params", {})
    names = [*given, *(name for name in record.spec.grid if name not in given)]
    return {name: record.spec.params.get(name, given.get(name)) for name in names}


def curve_of(entry: Entry) -> pl.DataFrame | None:
    """The training curve, a row an epoch; None where nothing was trained by epochs."""
    table = entry.table(CURVE)
    return table if table is not None and len(table) and "epoch" in table.columns else None


def sparkline(values: Sequence[float | None]) -> str:
    """A curve in one line, its lowest value as the lowest bar; a blank where there is none.

    >>> sparkline([1.0, 2.0, None, 8.0])
    '▁▂ █'
    >>> sparkline([3.0, 3.0])
    '▁▁'
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    step = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join(
        _BARS[round((value - low) / step)] if value is not None and math.isfinite(value) else " "
        for value in values
    )


def some_rows(n: int, most: int, always: Sequence[int] = ()) -> list[int]:
    """At most `most` of `n` rows spread evenly, the first and last, and those of `always`.

    >>> some_rows(10, 4, [4])
    [0, 3, 4, 6, 9]
    """
    most = min(most, n)
    spread = {round(i * (n - 1) / max(most - 1, 1)) for i in range(most)}
    return sorted(spread | {row for row in always if 0 <= row < n})


def cost_facts(record: Record) -> Facts:
    """What it took: time, memory, requests, money, energy."""
    cost = record.cost
    return [] if cost is None else [*_times(cost), *_sizes(cost), *_asked(cost)]


def _times(cost: Cost) -> Iterator[tuple[str, str]]:
    parts = [("fitting", cost.fit_seconds), ("evaluation", cost.evaluate_seconds)]
    told = ", ".join(f"{name} {figures.seconds(s)}" for name, s in parts if s is not None)
    yield "time", f"{figures.seconds(cost.wall_seconds)}{f' ({told})' if told else ''}"
    for name, step in (("encoding", cost.encode), ("codes", cost.codes)):
        if step is not None:
            yield name, f"{figures.seconds(step.seconds)}, shared by all runs that use them"
    if cost.latency is not None:
        cached, cold = cost.latency.cached, cost.latency.cold
        first = f", with encoding {figures.milliseconds(cold.p50)}" if cold else ""
        yield (
            "a request",
            f"{figures.milliseconds(cached.p50)} ms at the median, "
            f"{figures.milliseconds(cached.p95)} in 95 %{first} ({cached.n:,} timed)",
        )


def _sizes(cost: Cost) -> Iterator[tuple[str, str]]:
    counts = {"recommender": cost.parameters.recommender, "encoder": cost.parameters.encoder}
    told = [f"{n:,} in the {name}" for name, n in counts.items() if n]
    if told:
        yield "parameters", ", ".join(told)
    memory = {"memory": cost.peak_memory_bytes, "GPU memory": cost.peak_gpu_memory_bytes}
    for name, size in memory.items():
        if size is not None:
            yield name, f"{size / 2**20:,.0f} MiB at most"
    threads = f"{cost.threads} thread{'s' * (cost.threads != 1)}"
    yield "machine", f"{threads}{'' if cost.isolated else ', in a process that it shared'}"


def _asked(cost: Cost) -> Iterator[tuple[str, str]]:
    asked = cost.prompting
    if asked is not None:
        parts = [f"{asked.prompt_tokens:,} tokens read, {asked.completion_tokens:,} written"]
        parts += [f"{asked.requests:,} requests"] if asked.requests is not None else []
        parts += [f"{asked.kept:,} answers kept from before"] if asked.kept else []
        parts += [f"${asked.usd:,.4f}"] if asked.usd is not None else []
        yield "asking", ", ".join(parts)
    if cost.energy is not None:
        grams = f", {cost.energy.grams:.3g} g CO2e" if cost.energy.grams is not None else ""
        yield "energy", f"{cost.energy.kwh:.3g} kWh{grams}"


def fit_line(record: Record) -> str | None:
    """How training ended; None where nothing was iterated."""
    fit = record.fit
    if fit is None or fit.epochs is None:
        return None
    best = f", the best was {fit.best_epoch}" if fit.best_epoch is not None else ""
    ended = {True: ", stopped early", False: ", the epochs ran out", None: ""}[fit.converged]
    return f"{fit.epochs} epoch{'s' * (fit.epochs != 1)}{best}{ended}"


def environment_line(record: Record) -> str:
    """Where it ran: versions, platform, processor, accelerators, git revision."""
    found = record.environment
    packages, processor = found.get("packages") or {}, found.get("processor") or {}
    names = ("tastebench", "torch", "transformers")
    parts = [f"{name} {packages[name]}" for name in names if packages.get(name)]
    parts += [f"Python {found['python']}"] if found.get("python") else []
    parts += [str(found["platform"])] if found.get("platform") else []
    parts += [f"{processor['model']}"] if processor.get("model") else []
    parts += [f"{found['cores']} cores"] if found.get("cores") else []
    parts += [
        str(gpu.get("name", gpu)) if isinstance(gpu, dict) else str(gpu)
        for gpu in found.get("gpus") or ()
    ]
    parts += [f"git {found['git']}"] if found.get("git") else []
    return ", ".join(parts)
