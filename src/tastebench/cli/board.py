"""`tastebench board`: the table of a results folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tastebench.cli.options import (
    AsJson,
    AsLatex,
    AsMarkdown,
    Metric,
    OneTask,
    ResultsFolder,
    RowBy,
)

if TYPE_CHECKING:
    from tastebench.board.ablation import Ablation
    from tastebench.board.load import Loaded
    from tastebench.board.model import Board

EXAMPLES = """Examples:

  tastebench board results

  tastebench board results --task seqrec --metric recall@10

  tastebench board results --watch

  tastebench board results --latex > table.tex

  tastebench board results --markdown --baseline item-knn
"""


def board(  # noqa: PLR0913, PLR0917 - one argument an option
    folder: ResultsFolder,
    json: AsJson = False,
    csv: Annotated[bool, typer.Option("--csv", help="One line a row and column.")] = False,
    markdown: AsMarkdown = False,
    latex: AsLatex = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="ROW",
            help="--latex, --markdown: mark what differs surely from this row, from the best of "
            "each column (best; so does --latex), or nothing (none).",
        ),
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(
            "--interval", metavar="WHAT", help="--latex: half of it (default), ends, or none."
        ),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Also draw it, as SVG.")
    ] = None,
    scaling: Annotated[
        Path | None,
        typer.Option(
            "--scaling",
            metavar="FILE",
            help="Also draw scores over sizes of encoders, of items or users, as .svg or .html.",
        ),
    ] = None,
    reliability: Annotated[
        Path | None,
        typer.Option(
            "--reliability",
            metavar="FILE",
            help="Also draw observed over predicted rates of clicks, as .svg or .html.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew as records come, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="--watch: between two looks (2)."),
    ] = None,
    metric: Metric = None,
    task: OneTask = None,
    row_by: RowBy = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Let protocols differ within a column, marked.")
    ] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="SETTING",
            help="Show what a setting changes instead, e.g. adaptor, text_recipe, representation.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="FILE",
            help="Correlate the order with a CSV of model,rank or model,score.",
        ),
    ] = None,
    correlate: Annotated[
        tuple[str, str] | None,
        typer.Option("--correlate", metavar="COLUMN COLUMN", help="Correlate two columns."),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            "--published",
            metavar="NAME",
            help="Show a printed board beneath: blair, recbench, recbench-...",
        ),
    ] = None,
) -> None:
    """Shows the board of the records under DIR.

    Numbers come from records only. Two protocols in one column are refused unless --mixed is given.
    """
    from tastebench.board import export, make_board
    from tastebench.board.agreement import against as agreement
    from tastebench.board.agreement import correlate as correlation
    from tastebench.board.load import load
    from tastebench.board.model import row_by_of
    from tastebench.board.published import get_published
    from tastebench.errors import UsageError

    forms = {"--json": json, "--csv": csv, "--markdown": markdown, "--latex": latex}
    options = {"--baseline": baseline, "--interval": interval, "--published": published}
    _check([name for name, given in forms.items() if given], options)
    if compare is not None:
        from tastebench.board.ablation import read_ablation

        if any(
            (
                svg,
                scaling,
                reliability,
                row_by,
                against,
                correlate,
                published,
                latex,
                baseline,
                watch,
            )
        ):
            raise UsageError(
                "--compare shows a table of its own, to which other pictures, rows and lists do "
                "not belong",
                fix="--compare SETTING, with --task, --metric, --mixed and the forms only",
            )
        found = read_ablation(folder, compare, metric=metric, task=task, mixed=mixed)
        _show_ablation(found, json=json, csv=csv, markdown=markdown)
        return
    wanted = row_by if row_by is None else row_by_of(row_by)
    make = partial(make_board, metric=metric, task=task, mixed=mixed, row_by=wanted)
    if watch or every is not None:
        others = (json, csv, markdown, latex, svg, scaling, reliability, against, correlate)
        _check_watch(watch, any(others))
        _watch(folder, make, metric, published, every)
        return
    loaded = load(folder)
    made = make(loaded)
    made = replace(
        made,
        against=None if against is None else agreement(made, against),
        correlated=None if correlate is None else correlation(made, *correlate),
        published=None if published is None else get_published(published),
    )
    if svg is not None:
        _draw(made, svg)
    if scaling is not None:
        _draw_scaling(loaded, made, scaling)
    if reliability is not None:
        _draw_reliability(loaded, made, reliability)
    if json or csv:
        sys.stdout.write(export.to_json(made) if json else export.to_csv(made))
        return
    if markdown or latex:
        sys.stdout.write(_marked(made, loaded, latex, baseline, interval))
        return
    from tastebench.board.render import output_console, print_board

    print_board(made, output_console())


def _check(forms: Sequence[str], options: Mapping[str, str | None]) -> None:
    """Refuses forms and options that do not go together."""
    from tastebench.errors import UsageError

    if len(forms) > 1:
        raise UsageError(
            "--json, --csv, --markdown and --latex exclude each other", fix="choose one"
        )
    if options["--baseline"] is not None and not {"--latex", "--markdown"} & {*forms}:
        raise UsageError("--baseline marks a table of --latex or --markdown", fix="add one of them")
    if options["--interval"] is not None and "--latex" not in forms:
        raise UsageError("--interval is of a table of --latex", fix="add --latex")
    if options["--published"] is not None and "--latex" in forms:
        raise UsageError(
            "--latex is of what was measured here, and printed numbers are of others",
            fix="leave --published out, and cite them",
        )


def _check_watch(watch: bool, others: bool) -> None:
    from tastebench.errors import UsageError

    if not watch:
        raise UsageError("--every is of --watch", fix="add --watch")
    if others:
        raise UsageError(
            "--watch shows the board itself, and no other form or picture of it",
            fix="--watch, with --task, --metric, --row-by, --mixed and --published only",
        )


def _watch(
    folder: Path,
    make: Callable[[Loaded], Board],
    metric: str | None,
    published: str | None,
    every: float | None,
) -> None:
    """Follows the folder; what can never be meant is refused before."""
    from tastebench.board.published import get_published
    from tastebench.board.render import output_console
    from tastebench.board.watch import EVERY, watch
    from tastebench.metrics.grammar import parse

    if metric is not None:
        parse(metric)
    printed = None if published is None else get_published(published)
    watch(
        folder,
        lambda loaded: replace(make(loaded), published=printed),
        output_console(),
        every or EVERY,
        say=lambda line: typer.echo(line, err=True),
    )


def _marked(
    made: Board, loaded: Loaded, latex: bool, baseline: str | None, interval: str | None
) -> str:
    """A table whose sure differences are marked, if that is wanted."""
    from tastebench.board import export
    from tastebench.board.latex import interval_of, to_latex
    from tastebench.board.tested import BEST, NONE, differences

    against = baseline or (BEST if latex else NONE)
    tested = None
    if against != NONE:
        tested = differences(made, loaded, None if against == BEST else against)
    if latex:
        return to_latex(made, tested, interval_of(interval or "half"))
    return export.to_markdown(made, tested)


def _show_ablation(found: Ablation, *, json: bool, csv: bool, markdown: bool) -> None:
    from tastebench.board import ablation_forms as forms
    from tastebench.board.render import output_console

    if json or csv or markdown:
        form = forms.to_json if json else forms.to_csv if csv else forms.to_markdown
        sys.stdout.write(form(found))
        return
    forms.print_ablation(found, output_console())


def _draw(made: Board, path: Path) -> None:
    from tastebench.board.picture import to_svg
    from tastebench.files import write_text

    _written(path, lambda: write_text(path, to_svg(made)), "--svg FILE")


def _draw_scaling(loaded: Loaded, made: Board, path: Path) -> None:
    from tastebench.board.scaling import draw

    _written(path, lambda: draw(made, path, loaded), "--scaling FILE")


def _draw_reliability(loaded: Loaded, made: Board, path: Path) -> None:
    from tastebench.board.reliability import draw

    _written(path, lambda: draw(loaded, made, path), "--reliability FILE")


def _written(path: Path, write: Callable[[], None], fix: str) -> None:
    from tastebench.errors import UsageError

    try:
        write()
    except OSError as error:
        raise UsageError(
            f"cannot write the picture: {error.strerror}", where=str(path), fix=fix
        ) from error


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("board", epilog=EXAMPLES)(board)
