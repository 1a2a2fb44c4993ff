"""`tastebench quickstart`: the main job on the embedded shop."""

from __future__ import annotations

from pathlib import Path

import typer

from tastebench.cli.options import AsJson
from tastebench.cli.run import Out, Workers, carry_out, finish

EXAMPLES = """Examples:

  tastebench quickstart

  tastebench quickstart --out results --json > board.json

  tastebench quickstart --workers 1
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("quickstart", epilog=EXAMPLES)(quickstart)


def quickstart(
    out: Out = Path("results"), workers: Workers = None, as_json: AsJson = False
) -> None:
    """See which text encoder helps most, on the embedded shop.

    The shop's truth is known, so the board shows what could be reached at all. About a minute on
    two cores. What cannot be had here (an encoder whose package is not installed) is left out and
    named.
    """
    from tastebench.runs.execute import Options
    from tastebench.suites import get_suite

    todo = carry_out(get_suite("quickstart"), Options(out=out, workers=workers, tolerate=True))
    hint = "tastebench run quickstart -d movielens-100k -m unisrec,alpharec,popularity,item-knn"
    finish(todo, as_json, hint)
