"""`tastebench inspect`: what lies in a record, user by user, or in an artefact."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tastebench.cli.options import AsJson
from tastebench.errors import UsageError

if TYPE_CHECKING:
    from tastebench.build.codes_view import CodesView

EXAMPLES = """Examples:

  tastebench inspect results/quickstart/storefront/cf/ease-id-none/0a1b2c3d4e5f6071

  tastebench inspect 0a1b2c --worst 10

  tastebench inspect 0a1b2c --user u0226 --others 2

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
        typer.Argument(
            metavar="RECORD|ARTEFACT",
            help="Folder of a record, its record.json, or how its hash begins (below results/); or "
            "a folder that build codes or build questions made.",
        ),
    ],
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            "--query",
            metavar="ID",
            help="Records: what this user (or query) was shown, and what was true. Questions: "
            "those about a user.",
        ),
    ] = None,
    others: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Records: lists of so many other models beside (3)."),
    ] = None,
    worst: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Records: the users served worst.")
    ] = None,
    best: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Records: the users served best.")
    ] = None,
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
    question: Annotated[
        str | None,
        typer.Option(help="Records: one of the user's questions by number. Questions: by id."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Questions and userqa: df, mf, ip, ap, li, si or it.")
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Records: at most so many items a list (10). Questions: so many a kind (1).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look into a record, user by user, or into an artefact: codes, questions.

    Of a record: what was run, what came of it and what it took; of a user, the history, what was
    true, and what this and other models recommended, with titles. Of codes: how good they are, an
    item's path and neighbours, a prefix's items. Of questions: how many of what, and some with
    their options, the right one, and what the user did. Titles, histories and what was true come
    from the dataset, if it is here.
    """
    from tastebench.board.look.find import is_codes
    from tastebench.data.questions.artefact import is_artefact

    of_codes = {"--item": item, "--prefix": prefix, "--page": page}
    of_questions = {"--question": question, "--user": user, "--kind": kind}
    of_records = {"--others": others, "--worst": worst, "--best": best}
    if is_artefact(folder):
        _refuse(of_codes, "codes", folder)
        _refuse(of_records, "records", folder)
        _exam(folder, dataset, question, user, kind, number or 1, as_json)
        return
    if is_codes(folder):
        _refuse(of_questions, "questions", folder)
        _refuse({**of_records, "--number": number}, "records", folder)
        _codes(folder, item, prefix, dataset, page, as_json)
        return
    _refuse(of_codes, "codes", folder)
    if user is None:
        of_user = {"--question": question, "--kind": kind, "--others": others, "--number": number}
        _require(of_user, "--user ID")
        _card(folder, worst, best, as_json)
        return
    if worst is not None or best is not None:
        raise UsageError(
            "--worst and --best choose users, and --user names one", fix="leave it out"
        )
    _user(folder, user, others, dataset, question, kind, number, as_json)


def _require(options: Mapping[str, object], other: str) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"{', '.join(given)} of a record needs {other}", fix=f"add {other}")


def _refuse(options: Mapping[str, object], what: str, folder: Path) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(
            f"{', '.join(given)} looks into {what}, and these are none", where=str(folder)
        )


def _card(folder: Path, worst: int | None, best: int | None, as_json: bool) -> None:
    from tastebench.board.look import extremes, find_entry
    from tastebench.board.render import output_console
    from tastebench.cli import record_told

    entry = find_entry(folder)
    alone = worst is not None or best is not None
    some = (worst or 0, best or 0) if alone else (record_told.SOME, record_told.SOME)
    found = extremes(entry, *some) if entry.record.status == "ok" else None
    if alone and found is None:
        raise UsageError("nothing is known of single users of this run", where=str(entry.folder))
    if as_json:
        units = None if found is None else record_told.units_report(found)
        typer.echo(_json(units if alone else record_told.report(entry, units)))
    elif alone and found is not None:
        record_told.print_units(found, output_console(), entry)
    else:
        record_told.print_card(entry, found, output_console())


def _user(
    folder: Path,
    user: str,
    others: int | None,
    dataset: str | None,
    question: str | None,
    kind: str | None,
    number: int | None,
    as_json: bool,
) -> None:
    from tastebench.board.look import Wanted, find_entry, look_at
    from tastebench.board.render import output_console
    from tastebench.cli import user_told

    if question is not None and not question.isdecimal():
        raise UsageError(f"--question {question} of a record is a number", fix="--question 1")
    wanted = Wanted(
        unit=user,
        others=user_told.OTHERS if others is None else others,
        question=None if question is None else int(question),
        kind=kind,
        dataset=dataset,
    )
    look = look_at(find_entry(folder), wanted)
    if as_json:
        typer.echo(_json(user_told.report(look)))
        return
    user_told.print_user(look, output_console(), number or user_told.NUMBER)


def _json(value: Any) -> str:
    return json.dumps(_finite(value), ensure_ascii=False, indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON values, what is no number as None: a loss may be, and so may the score of no item."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value


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
