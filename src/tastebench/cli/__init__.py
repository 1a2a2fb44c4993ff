"""The command line: one file a verb, no logic; help in well under 0.3 s.

Only Typer and small modules of ours are imported here; a verb imports what it needs when it is
called. Standard output carries the result and nothing else. Exit codes: 0 all good, 1 some runs
failed, 2 usage, 3 a defect of ours, 4 data, model or licence needed, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from tastebench.cli import (
    board,
    build,
    compare,
    data,
    data_import,
    doctor,
    export,
    inspect,
    list,
    quickstart,
    report,
    run,
    serve,
    show,
)
from tastebench.data.offline import obey
from tastebench.errors import DataError, TastebenchError

INTERNAL = 3
INTERRUPTED = 130


def make_app() -> typer.Typer:
    """The application with all verbs."""
    app = typer.Typer(
        name="tastebench",
        help="What is a foundation model worth to your recommender, in which role, at what cost?",
        epilog="Every verb says more with --help. Results go to stdout, all else to stderr.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=app.info.help)(_options)
    for verb in (quickstart, run, board, report, serve, compare, export):
        verb.register(app)
    about_data = typer.Typer(help="Datasets: list, show, get, import, prepare, check.")
    data.register(about_data)
    data_import.register(about_data)
    app.add_typer(about_data, name="data", no_args_is_help=True)
    build.register(app)
    for verb in (inspect, list, show, doctor):
        verb.register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from tastebench import __version__

        typer.echo(__version__)
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """What stands before a verb."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code.

    `-v` or `--verbose` anywhere, or TASTEBENCH_DEBUG=1, shows tracebacks.
    """
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    plain = [argument for argument in given if argument not in ("-v", "--verbose")]
    verbose = len(plain) < len(given) or bool(os.environ.get("TASTEBENCH_DEBUG"))
    try:
        obey()
        make_app()(plain, prog_name="tastebench")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except TastebenchError as error:
        return _report(f"error: {error}", error.exit_code, verbose)
    except OSError as error:
        return _report(f"error: {_explain(error)}", _code(error), verbose)
    except Exception as error:  # the last line of defence: short for users, whole with -v
        return _report(
            f"internal error: {type(error).__name__}: {error}\n"
            "  fix:   this is a defect; repeat with -v and report what it prints",
            INTERNAL,
            verbose,
        )
    return 0


def _report(message: str, code: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    # Messages quote files that may come from anybody: nothing of them moves the cursor.
    shown = "".join(c if c.isprintable() or c == "\n" else " " for c in message)
    typer.echo(shown, err=True)
    return code


def _explain(error: OSError) -> str:
    from tastebench.files import no_room

    where = f"\n  where: {error.filename}" if error.filename else ""
    fix = "\n  fix:   free some space and give the same command again" if no_room(error) else ""
    return f"{error.strerror or error}{where}{fix}"


def _code(error: OSError) -> int:
    from tastebench.files import no_room

    return DataError.exit_code if no_room(error) else INTERNAL
