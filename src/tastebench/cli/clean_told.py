"""`tastebench doctor --clean`: what is held, what would go, and that it went."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from tastebench.runs.clean import Choice, chosen, delete
from tastebench.runs.holdings import KINDS, Holding, holdings, total
from tastebench.runs.missing import in_bytes

_SHOWN = 8


def clean(results: Path | None, choice: Choice, *, yes: bool, as_json: bool) -> None:
    """Shows what is held and deletes what is chosen, asking before unless told not to."""
    found = holdings(results)
    choice.check(found)
    going = chosen(found, choice)
    gone: list[Holding] | None = None
    if not as_json:
        _show(found, going)
    if going and (yes or (not as_json and _asked(going))):
        gone = delete(going, results)
    if as_json:
        typer.echo(json.dumps(_described(found, going, gone), indent=2))
    elif gone is not None:
        typer.echo(f"deleted {len(gone)} of {len(going)}, {in_bytes(total(gone))}")
    elif going:
        typer.echo("nothing was deleted")


def _asked(going: Sequence[Holding]) -> bool:
    """Whether somebody says yes; nobody is there where input is no terminal."""
    if not sys.stdin.isatty():
        typer.echo("nobody to ask here: --yes deletes it", err=True)
        return False
    return typer.confirm(f"delete {len(going)} things, {in_bytes(total(going))}?", default=False)


def _show(found: Sequence[Holding], going: Sequence[Holding]) -> None:
    marked = {one.path for one in going}
    for kind, (sort, what) in KINDS.items():
        own = [one for one in found if one.kind == kind]
        if not own:
            continue
        typer.echo(f"{kind}: {len(own)}, {in_bytes(total(own))} ({sort}: {what})")
        for one in own[:_SHOWN]:
            days = (time.time() - one.used) / 86_400
            note = f", stays: {one.busy}" if one.busy else ""
            note = ", would go" if one.path in marked else note
            typer.echo(f"  {in_bytes(one.bytes):>8}  {one.name} ({days:,.0f} days old{note})")
        if len(own) > _SHOWN:
            typer.echo(f"  and {len(own) - _SHOWN} more: --json shows all")
    if not found:
        typer.echo("nothing is held here")
    elif not going:
        typer.echo("nothing would go; --kind KIND and --drop NAME choose what costs to get again")
    else:
        typer.echo(f"would go: {len(going)}, {in_bytes(total(going))}")


def _described(
    found: Sequence[Holding], going: Sequence[Holding], gone: Sequence[Holding] | None
) -> dict[str, Any]:
    marked = {one.path for one in going}
    rows = [
        {
            "kind": one.kind,
            "sort": one.sort,
            "name": one.name,
            "path": str(one.path),
            "bytes": one.bytes,
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.used)),
            "busy": one.busy,
            "goes": one.path in marked,
        }
        for one in found
    ]
    deleted = None if gone is None else [str(one.path) for one in gone]
    return {"held": rows, "bytes": total(found), "deleted": deleted}
