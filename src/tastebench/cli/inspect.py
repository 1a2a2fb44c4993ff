"""`tastebench inspect`: what lies in an artefact, item by item or question by question."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tastebench.errors import UsageError

if TYPE_CHECKING:
    from tastebench.build.codes_view import CodesView

EXAMPLES = """Examples:

  tastebench inspect ~/.cache/tastebench/artefacts/codes/0a1b2c3d4e5f60718293a4b5c6d7e8f9

  tastebench inspect my-codes --item "castor oil"

  tastebench inspect my-codes --prefix 12,7

  tastebench inspect my-codes --dataset ./my-shop --page codes.html

  tastebench inspect my-questions --kind li --number 3

  tastebench inspect my-questions --question test-17
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("inspect", epilog=EXAMPLES)(inspect)


def inspect(  # noqa: PLR0913, PLR0917 - an option each
    folder: Annotated[
        Path,
        typer.Argument(metavar="ARTEFACT", help="Folder that build codes or build questions made."),
    ],
    item: Annotated[
        str | None,
        typer.Option(help="Codes: its path, and who shares it: id or title."),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Codes: the items whose paths begin with these: 12,7.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", help="Name or folder of the dataset, for titles."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Codes: also write a page to browse them, as .html."),
    ] = None,
    question: Annotated[str | None, typer.Option(help="Questions: one by its id.")] = None,
    user: Annotated[str | None, typer.Option(help="Questions: those about a user.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Questions: df, mf, ip, ap, li, si or it.")
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Questions: at most so many a kind.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on stdout.")
    ] = False,
) -> None:
    """Look into an artefact: codes by item and prefix, questions like an exam.

    Of codes: how good they are, an item's path and neighbours, a prefix's items. Of questions: how
    many of what, and some with their options, the right one, and what the user did. Titles and what
    users did come from the dataset, if it is here.
    """
    from tastebench.data.questions.artefact import is_artefact

    of_codes = {"--item": item, "--prefix": prefix, "--page": page}
    of_questions = {"--question": question, "--user": user, "--kind": kind}
    if is_artefact(folder):
        _refuse(of_codes, "codes", folder)
        _exam(folder, dataset, question, user, kind, number, as_json)
        return
    _refuse(of_questions, "questions", folder)
    _codes(folder, item, prefix, dataset, page, as_json)


def _refuse(options: Mapping[str, object], what: str, folder: Path) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(
            f"{', '.join(given)} looks into {what}, and these are none", where=str(folder)
        )


def _exam(
    folder: Path,
    dataset: str | None,
    question: str | None,
    user: str | None,
    kind: str | None,
    number: int,
    as_json: bool,
) -> None:
    from tastebench.build.questions_view import view_of
    from tastebench.cli import questions_told
    from tastebench.cli.build_questions import say
    from tastebench.cli.data import console

    view = view_of(folder, dataset, say)
    exams = [view.exam(row) for row in view.select(question, user, kind, number)]
    if as_json:
        told = {
            **questions_told.report(view),
            "questions": [questions_told.exam_report(exam) for exam in exams],
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    if question is None and user is None and kind is None:
        questions_told.print_report(view, console())
    for exam in exams:
        questions_told.print_exam(exam, console())


def _codes(
    folder: Path,
    item: str | None,
    prefix: str | None,
    dataset: str | None,
    page: Path | None,
    as_json: bool,
) -> None:
    from tastebench.build.codes_view import parse_prefix, view_of
    from tastebench.cli import codes_told
    from tastebench.cli.build_codes import say, write_page
    from tastebench.cli.data import console

    view = view_of(folder, dataset, say)
    wanted = None if prefix is None else parse_prefix(prefix, view.artefact.ids.sizes)
    row = None if item is None else view.find(item)
    if page is not None:
        write_page(view, page)
    if as_json:
        typer.echo(json.dumps(_told(view, row, wanted), ensure_ascii=False))
        return
    if row is None and wanted is None:
        codes_told.print_report(view, console())
    if row is not None:
        codes_told.print_item(view, row, console())
    if wanted is not None:
        codes_told.print_prefix(view, wanted, console())


def _told(view: CodesView, row: int | None, prefix: tuple[int, ...] | None) -> dict[str, Any]:
    from tastebench.cli import codes_told

    if row is None and prefix is None:
        return codes_told.report(view)
    told = {} if row is None else codes_told.item_report(view, row)
    return told if prefix is None else {**told, "prefix": codes_told.prefix_report(view, prefix)}
