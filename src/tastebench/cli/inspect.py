"""`tastebench inspect`: what lies in an artefact, item by item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tastebench.build.codes_view import CodesView

EXAMPLES = """Examples:

  tastebench inspect ~/.cache/tastebench/artefacts/codes/0a1b2c3d4e5f60718293a4b5c6d7e8f9

  tastebench inspect my-codes --item "castor oil"

  tastebench inspect my-codes --prefix 12,7

  tastebench inspect my-codes --dataset ./my-shop --page codes.html
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("inspect", epilog=EXAMPLES)(inspect)


def inspect(
    folder: Annotated[
        Path, typer.Argument(metavar="ARTEFACT", help="Folder of semantic ids (build codes).")
    ],
    item: Annotated[
        str | None, typer.Option(help="Its path, and who shares how much of it: id or title.")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="The items whose paths begin with these codes: 12,7.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", help="Name or folder of the dataset, for titles."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page to browse it, as .html.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on stdout.")
    ] = False,
) -> None:
    """Look into an artefact: how good codes are, an item's path and neighbours, a prefix's items.

    Titles come from the dataset, if it is here.
    """
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
