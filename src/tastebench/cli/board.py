"""`tastebench board`: the table of a results folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tastebench.board.model import Board


def board(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="One line a row and column.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="A Markdown table.")] = False,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Also draw it, as SVG.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="NAME", help="Rank by this metric.")
    ] = None,
    row_by: Annotated[
        str | None,
        typer.Option("--row-by", metavar="WHAT", help="encoder, recommender or run."),
    ] = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Let protocols differ within a column, marked.")
    ] = False,
) -> None:
    """Shows the board of the records under DIR.

    Numbers come from records only. Two protocols in one column are refused unless --mixed is given.
    """
    from tastebench.board import export, read_board
    from tastebench.board.model import row_by_of
    from tastebench.errors import UsageError

    if json + csv + markdown > 1:
        raise UsageError("--json, --csv and --markdown exclude each other", fix="choose one")
    made = read_board(
        folder, metric=metric, mixed=mixed, row_by=None if row_by is None else row_by_of(row_by)
    )
    if svg is not None:
        _draw(made, svg)
    if json or csv or markdown:
        form = export.to_json if json else export.to_csv if csv else export.to_markdown
        sys.stdout.write(form(made))
        return
    from tastebench.board.render import output_console, print_board

    print_board(made, output_console())


def _draw(made: Board, path: Path) -> None:
    from tastebench.board.picture import to_svg
    from tastebench.errors import UsageError
    from tastebench.files import write_text

    try:
        write_text(path, to_svg(made))
    except OSError as error:
        raise UsageError(
            f"cannot write the picture: {error.strerror}", where=str(path), fix="--svg FILE"
        ) from error


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("board")(board)
