"""Numbers and names as they are printed, the same in every form of a board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tastebench.board.beside import beside
from tastebench.board.correlate import FEW, Correlation
from tastebench.board.model import Board, Column, Mark, Row, Score
from tastebench.board.published import PublishedRow
from tastebench.board.thousand import has_asked
from tastebench.metrics.grammar import parse
from tastebench.runs.estimate import in_dollars

MISSING = "-"

_COEFFICIENTS = {"spearman": "Spearman rho", "kendall": "Kendall tau-b", "pearson": "Pearson r"}


def mean(score: Score | None, digits: int = 4) -> str:
    """A mean, `-` where there is none."""
    return MISSING if score is None or score.mean is None else f"{score.mean:.{digits}f}"


def half_width(score: Score | None, digits: int = 4) -> str | None:
    """Half the interval, without the 0 before the point; None where there is none."""
    return None if score is None else half(score.low, score.high, digits)


def half(low: float | None, high: float | None, digits: int = 4) -> str | None:
    """Half of what lies between two ends, likewise.

    >>> half(0.1, 0.3), half(None, 0.3)
    ('.1000', None)
    """
    if low is None or high is None:
        return None
    return f"{(high - low) / 2:.{digits}f}".removeprefix("0")


def spread(score: Score | None, digits: int = 4) -> str | None:
    """Standard deviation over seeds, without the 0 before the point.

    None where there is none, or where the seed changes nothing.
    """
    if score is None or not score.spread:
        return None
    return f"{score.spread:.{digits}f}".removeprefix("0")


def number(value: float | None, digits: int = 4) -> str:
    """An average, `-` where there is none."""
    return MISSING if value is None else f"{value:.{digits}f}"


def rank(row: Row) -> str:
    """A rank with its interval where that says more: `2 (1-3)`; empty for a ceiling."""
    if row.rank is None:
        return ""
    if row.rank_low is None or row.rank_high is None or row.rank_low == row.rank_high == row.rank:
        return str(row.rank)
    return f"{row.rank} ({row.rank_low}-{row.rank_high})"


def seconds(value: float | None) -> str:
    """A duration.

    >>> seconds(3.14159), seconds(125), seconds(7300), seconds(None)
    ('3.1s', '2m05s', '2h01m', '-')
    """
    if value is None:
        return MISSING
    if value < 59.95:
        return f"{value:.1f}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def row_seconds(row: Row) -> float | None:
    """Encoding, training and measuring together."""
    wall: float = row.cost.get("wall_seconds") or 0.0
    encode: float = row.cost.get("encode_seconds") or 0.0
    return wall + encode or None


def row_latency(row: Row) -> str:
    """The slowest task's median milliseconds a request."""
    found = [one["p50"] for one in row.cost.get("latency_ms", {}).values()]
    return milliseconds(max(found, default=None))


def milliseconds(value: float | None) -> str:
    """A time of one request, to the hundredth where it is short.

    >>> milliseconds(0.4349), milliseconds(38.01), milliseconds(6350), milliseconds(None)
    ('0.43', '38.0', '6,350', '-')
    """
    if value is None:
        return MISSING
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def row_per_million(row: Row) -> str:
    """What a million items cost to encode: time, and money where some was paid."""
    cost = row.cost.get("per_million", {})
    hours, usd = cost.get("hours"), cost.get("usd")
    time = seconds(None if hours is None else 3600 * hours)
    return time if usd is None else f"{time} ${usd:,.2f}"


def thousands(board: Board) -> dict[str, list[str]]:
    """The column of what a thousand recommendations cost, by its head; none without a model asked.

    Of several tasks the dearest is shown.
    """
    if not has_asked(board.rows):
        return {}
    return {"per\n1,000": [_dearest(row.cost.get("per_thousand", {})) for row in board.rows]}


def _dearest(places: Mapping[str, Mapping[str, Any]]) -> str:
    """Money where any is known, else seconds, and the tokens of a model that is asked."""
    one = max(places.values(), key=lambda o: (o["usd"] or 0.0, o["seconds"] or 0.0), default=None)
    if one is None:
        return MISSING
    if one["usd"] is not None:
        return in_dollars(one["usd"])
    read, written = one["prompt_tokens"], one["completion_tokens"]
    if read is None and written is None:
        return brief(one["seconds"])
    return f"{brief(one['seconds'])} {thousands_of_tokens((read or 0) + (written or 0))}"


def brief(value: float | None) -> str:
    """A duration, short ones to the hundredth of a second.

    >>> brief(0.0312), brief(5.25), brief(75.0)
    ('0.03s', '5.2s', '1m15s')
    """
    return f"{value:.2f}s" if value is not None and value < 1 else seconds(value)


def thousands_of_tokens(n: float) -> str:
    """A number of tokens in a narrow column.

    >>> thousands_of_tokens(431_250), thousands_of_tokens(1_250_000), thousands_of_tokens(80)
    ('431k tok', '1.2M tok', '80 tok')
    """
    if n < 1000:
        return f"{n:.0f} tok"
    return f"{n / 1e3:.0f}k tok" if n < 1e6 else f"{n / 1e6:.1f}M tok"


def energies(board: Board) -> dict[str, list[str]]:
    """Columns of energy, carbon and accuracy per carbon by their heads; none without a value.

    Lines of a head are parted by line breaks.
    """
    found = [row.cost.get("energy") or {} for row in board.rows]
    places = dict.fromkeys(place for one in found for place in one.get("apc", {}))
    columns = {
        "kWh": [one.get("kwh") for one in found],
        "kWh of\nencoding": [one.get("encode_kwh") for one in found],
        "g CO2e": [one.get("grams") for one in found],
        **{
            "\n".join(["ApC", *([place] if len(places) > 1 else [])]): [
                one.get("apc", {}).get(place, {}).get("value") for one in found
            ]
            for place in places
        },
    }
    return {
        head: [MISSING if value is None else f"{value:.3g}" for value in values]
        for head, values in columns.items()
        if any(value is not None for value in values)
    }


def points(row: Row) -> str:
    """Borda points: halves only where scores tie."""
    return MISSING if row.borda is None else f"{row.borda:g}"


def averages(board: Board) -> dict[str, list[float | None]]:
    """Name of each average to its value for each row, printed rows of others last.

    Over all columns and over tasks; one where they are the same, and none of a single column.
    """
    printed = board.published.rows if board.published else ()
    lines: tuple[Row | PublishedRow, ...] = (*board.rows, *printed)
    overall = [line.average_overall for line in lines]
    if len(board.columns) < 2:
        return {}
    same = len(board.parts) in (1, len(board.columns))
    if same and all(line.average_task is None for line in printed):
        return {"Avg": overall}
    return {"Avg(Overall)": overall, "Avg(Task)": [line.average_task for line in lines]}


def printed_place(board: Board, columns: Sequence[Column]) -> str | None:
    """Where the printed table has what these columns measure; None for nowhere.

    Args:
        board: The board.
        columns: All of a task (and group), or one of them.
    """
    printed, first = board.published, columns[0]
    if printed is None or any(column.metric not in printed.metrics for column in columns):
        return None
    places = [first.part] if len(columns) == len(board.parts[first.part]) else []
    places += [f"{first.part}/{first.dataset}"] if len(columns) == 1 else []
    return next((place for place in places if place in printed.places), None)


def printed_apart(board: Board) -> list[str]:
    """Places of the printed table that no column of the board shows.

    The kinds of questions stand in a table of their own.
    """
    if board.published is None:
        return []
    shown: set[str | None] = set()
    if any(column.task == "userqa" for column in board.columns):
        shown |= {place for place in board.published.places if place.startswith("userqa:")}
    shown |= {printed_place(board, columns) for columns in board.parts.values()}
    shown |= {printed_place(board, [column]) for column in board.columns}
    return [place for place in board.published.places if place not in shown]


def best_two(values: Mapping[str, float | None], sign: int = 1) -> tuple[set[str], set[str]]:
    """Names with the best and with the second-best value; equals stand together.

    >>> best_two({"a": 0.2, "b": 0.3, "c": 0.2, "d": None})[1] == {"a", "c"}
    True
    """
    signed = {name: sign * value for name, value in values.items() if value is not None}
    steps = sorted(set(signed.values()), reverse=True)[:2]
    sets = [{name for name, value in signed.items() if value == step} for step in steps]
    sets += [set()] * (2 - len(sets))
    return sets[0], sets[1]


def footnotes(board: Board) -> dict[Mark, int]:
    """Each different mark with its number, in the order of the rows."""
    marks = dict.fromkeys(mark for row in board.rows for mark in row.marks)
    return {mark: number for number, mark in enumerate(marks, start=1)}


def column_line(board: Board, column: Column) -> str:
    """What a column's numbers are means of: units, seeds, recommenders, protocol."""
    scores = [s for row in board.rows if (s := row.scores.get(column.key)) is not None]
    scores = [score for score in scores if score.mean is not None] or scores
    seeds = _span([score.seeds for score in scores])
    by = dict.fromkeys(
        row.recommender[column.task]
        for row in board.rows
        if row.encoder is not None and column.task in row.recommender and board.row_by == "encoder"
    )
    units = _units(board, column, _span([score.n for score in scores]))
    parts = [
        f"{column.key}: {units}, {seeds} seed{'s' * (seeds != '1')}",
        f"through {', '.join(by)}" if by else "",
        f"protocol {column.protocol}",
    ]
    return ", ".join(part for part in parts if part)


def _units(board: Board, column: Column, n: str) -> str:
    """How many units of what a column's numbers are means of, and what was left out of them."""
    asked = next((p for p in board.protocols if p["id"] == column.protocol), {})
    protocol, counts = asked.get("protocol") or {}, asked.get("counts") or {}
    if column.task == "search":
        return f"{n} queries"
    rows = protocol.get("average") == "row"
    group = protocol.get("group")
    if group is None:
        # A user may have many rows, and is one unit all the same.
        return f"{n} users{' by their rows' * rows}"
    metric = parse(column.metric)
    if metric.info.needs != "ranks" and not metric.name.startswith("gauc"):
        return f"{counts['asked']:,} rows of {n} users" if "asked" in counts else f"{n} users"
    whom = f"{n} users{' by their impressions' * (rows and group == 'impression')}"
    alone, what = counts.get("excluded_one_class", 0), "more" if group == "user" else "impressions"
    return whom + (f", {alone:,} {what} with one label alone left out" if alone else "")


def data_lines(board: Board) -> list[str]:
    """Which data: fingerprints, how each was cut, what that leaks, and what gives answers away."""
    prints = {
        f"{one['dataset']}: data {(one['dataset_fingerprint'] or 'unknown')[:12]}": None
        for one in board.protocols
    }
    splits = {
        f"{one['task']}/{one['dataset']}: {'; '.join(one['split'])}": None
        for one in board.protocols
        if one["split"]
    }
    shortcuts = {
        f"{one['task']}/{one['dataset']}: {found['sentence']}": None
        for one in board.protocols
        if (found := one.get("shortcuts"))
    }
    return [*prints, *splits, *shortcuts]


def agreement_lines(board: Board) -> list[str]:
    """How the board agrees with another order, and two of its columns with each other."""
    lines = []
    if (other := board.against) is not None:
        what = "ranks" if other.by == "rank" else "scores"
        lines.append(
            f"against the {what} of {other.source}, {_models(other.n)} in both: "
            f"{coefficient(other.spearman)}; {coefficient(other.kendall)}{_few(other.n)}"
        )
        lines += [
            f"only {where}: {', '.join(names)}"
            for where, names in (("here", other.only_here), ("there", other.only_there))
            if names
        ]
    if (pair := board.correlated) is not None:
        n = pair.pearson.n
        lines.append(
            f"{' and '.join(pair.columns)} over {_models(n)}: {coefficient(pair.pearson)}; "
            f"{coefficient(pair.spearman)}{_few(n)}"
        )
    return lines


def coefficient(found: Correlation) -> str:
    """A coefficient with every p it has.

    >>> from tastebench.board.correlate import Correlation
    >>> coefficient(Correlation("spearman", -0.47619, 8, 0.23294, 0.2431))
    'Spearman rho -0.476 (p 0.233, exact 0.243)'
    """
    if found.value is None:
        return f"{_COEFFICIENTS[found.name]} undefined"
    known = [("p ", found.p), ("exact " if found.p is not None else "exact p ", found.p_exact)]
    told = ", ".join(f"{name}{_probability(p)}" for name, p in known if p is not None)
    return f"{_COEFFICIENTS[found.name]} {found.value:.3f}{f' ({told})' if told else ''}"


def published_lines(board: Board) -> list[str]:
    """Whose the printed rows are, and why they are not ranked with the others."""
    printed = board.published
    if printed is None:
        return []
    return [
        f"printed: numbers of others, from {printed.source}; measured under another protocol, so "
        f"never ranked with the rows above ({printed.protocol})",
        *([f"printed: {printed.note}"] if printed.note else []),
        *beside(board, printed),
    ]


def failure_line(failure: dict[str, object]) -> str:
    """One failed run."""
    error = failure.get("error")
    why = error.get("what") if isinstance(error, dict) else "no reason recorded"
    place = f"{failure['task']}/{failure['dataset']}"
    return f"{failure['name']} on {place}, seed {failure['seed']}: {why}"


def _models(n: int) -> str:
    return f"{n} model{'s' * (n != 1)}"


def _few(n: int) -> str:
    return f"; {_models(n)} say next to nothing about a correlation" if n < FEW else ""


def _probability(p: float) -> str:
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"


def _span(values: Sequence[int]) -> str:
    if not values:
        return "0"
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"
