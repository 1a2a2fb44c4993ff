"""`tastebench serve`: a results folder in a browser."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from tastebench.cli.options import ResultsFolder
from tastebench.errors import DependencyError, UsageError

HOST = "127.0.0.1"

EXAMPLES = """Examples:

  tastebench serve results

  tastebench serve results/my-plan --port 8080
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("serve", epilog=EXAMPLES)(serve)


def serve(
    folder: ResultsFolder = Path("results"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of this machine; 0 takes a free one.")
    ] = 8777,
) -> None:
    """Shows the runs under DIR in a browser, and what each showed single users.

    Runs appear as they end. Nothing is written, no script runs but those of the report, and only
    this machine is answered. Ctrl-C ends it.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}", fix="tastebench quickstart writes one")
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise DependencyError(
                f"serving needs {package}, which is not installed",
                fix="pip install 'tastebench[serve]'",
            )
    from uvicorn import Config, Server

    from tastebench.board.browse.app import make_app

    with bound(port) as listening:
        address = f"http://{HOST}:{listening.getsockname()[1]}"
        typer.echo(f"{address}  (Ctrl-C ends it)")
        server = Server(Config(make_app(folder), log_level="warning", access_log=False))
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:  # the server has ended in order and tells of the signal
            typer.echo("ended", err=True)


def bound(port: int) -> socket.socket:
    """A socket that listens on this machine alone.

    Raises:
        UsageError: The port is taken or not allowed.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
    except OSError as error:
        made.close()
        raise UsageError(
            f"cannot listen on port {port}: {error.strerror}", fix="--port 0 takes a free one"
        ) from error
    return made
