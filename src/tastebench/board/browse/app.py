"""The pages of `tastebench serve`: HTML without a script, from records and their tables alone.

Requests only read. They are taken from this machine alone: a page of somebody else that a browser
has open may send some, but not in the name of this host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tastebench.board.browse.shelf import Shelf
from tastebench.board.load import Entry
from tastebench.board.look import Wanted, card, extremes, look_at
from tastebench.board.report import Options
from tastebench.board.report.model import make_report
from tastebench.board.report.page import own_text, templates, to_html
from tastebench.board.report.read import read_records
from tastebench.errors import TastebenchError, UsageError
from tastebench.runs.labels import flat
from tastebench.runs.record import Record

HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Names under which this machine calls itself."""

PAGE = 200
"""Runs of a page of the index."""

SOME, OTHERS, LONGEST = 10, 3, 20
"""Users at either end; other models beside; items of a list."""

_STYLE = "small.settings { white-space: normal; }"

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def make_app(root: Path, hosts: Sequence[str] = HOSTS) -> Starlette:
    """The pages of a results folder.

    Args:
        root: Results folder, or a folder below it.
        hosts: Names under which requests may come; others are refused.
    """
    pages = _Pages(Shelf(root))
    routes = [
        Route("/", pages.index, methods=["GET"]),
        Route("/report", pages.report, methods=["GET"]),
        Route("/run/{key:path}/user", pages.user, methods=["GET"]),
        Route("/run/{key:path}", pages.run, methods=["GET"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={TastebenchError: pages.error, HTTPStatus.NOT_FOUND: pages.missing},
    )


class _Pages:
    """Each page as a function of a request."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.environment = templates("tastebench.board.browse")
        style = own_text("style.css") + _STYLE
        self.environment.globals |= {"style": style, "address": address, "settings": settings}
        self._report: tuple[Any, bytes] | None = None

    def index(self, request: Request) -> Response:
        """The runs, those whose words hold what is looked for, a page of them."""
        entries, broken = self.shelf.look()
        wanted = request.query_params.get("q", "").strip()
        words = wanted.lower().split()
        rows = [
            (key, entry.record)
            for key, entry in entries.items()
            if all(word in described(key, entry) for word in words)
        ]
        page = max(number_of(request, "page", 1), 1)
        last = max(-(-len(rows) // PAGE), 1)
        return self._page(
            "index.html",
            title=self.shelf.root.name or "results",
            rows=rows[(page - 1) * PAGE : page * PAGE],
            n=len(rows),
            wanted=wanted,
            page=min(page, last),
            last=last,
            broken=broken,
        )

    def report(self, request: Request) -> Response:
        """The whole page of `tastebench report`; made again where a run was added."""
        self.shelf.look()
        stamp = self.shelf.stamp()
        if self._report is None or self._report[0] != stamp:
            page = to_html(make_report(read_records(self.shelf.root), Options()))
            self._report = stamp, page.encode("utf-8")
        # Its own policy stands in the page: it has scripts, which it names by their hashes.
        kept = {name: value for name, value in _HEADERS.items() if name[0] != "C"}
        return HTMLResponse(self._report[1], headers=kept)

    def run(self, request: Request) -> Response:
        """A run as a card, and whom it served worst and best."""
        key, entry = self._entry(request)
        record = entry.record
        ends = None if record.status == "failed" else extremes(entry, SOME, SOME)
        facts = [
            ("again", card.command(entry) or "its plan is gone"),
            ("settings", settings(record)),
            ("protocol", f"{record.protocol_id}: {card.protocol_line(record)}"),
            *(("leaks", line) for line in record.split[1:]),
            ("budget", card.budget_line(record)),
            ("training", card.fit_line(record) or ""),
            *_curves(entry),
            ("counts", ", ".join(f"{name} {n:,}" for name, n in record.counts.items())),
            *card.cost_facts(record),
            ("ran on", card.environment_line(record)),
        ]
        shown = [(name, value) for name, value in facts if value]
        return self._page("run.html", key=key, record=record, facts=shown, ends=ends)

    def user(self, request: Request) -> Response:
        """One user or query as this run and others served it."""
        key, entry = self._entry(request)
        unit = request.query_params.get("id", "")
        if not unit:
            raise UsageError("which user? Give an id", fix="choose one of the run's page")
        others = number_of(request, "others", OTHERS)
        seen = look_at(entry, Wanted(unit=unit, others=max(others, 0)))
        return self._page("user.html", key=key, seen=seen, longest=LONGEST, record=entry.record)

    async def error(self, request: Request, error: Exception) -> Response:
        """What a reader asked for and cannot have, in the words of the command line."""
        return self._page("error.html", HTTPStatus.NOT_FOUND, error=error)

    async def missing(self, request: Request, error: Exception) -> Response:
        """A page that is not there."""
        return self._page("error.html", HTTPStatus.NOT_FOUND, error=UsageError("no such page"))

    # ------------------------------------------------------------------------------------ inside

    def _entry(self, request: Request) -> tuple[str, Entry]:
        key = request.path_params["key"]
        entries, _ = self.shelf.look()
        if key not in entries:
            raise UsageError(f"no run {key!r} here", fix="choose one of the list")
        return key, entries[key]

    def _page(self, name: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
        text = self.environment.get_template(name).render(**values)
        return HTMLResponse(text.encode("utf-8", "replace"), status, headers=_HEADERS)


def _curves(entry: Entry) -> Iterator[tuple[str, str]]:
    curve = card.curve_of(entry)
    if curve is not None:
        for name in curve.columns:
            if name not in ("epoch", "seconds"):
                yield f"curve of {name}", card.sparkline(curve[name].to_list())


def described(key: str, entry: Entry) -> str:
    """What a search in the index looks into, in lower case."""
    spec = entry.record.spec
    told = f"{key} {spec.label} {entry.record.status} seed {spec.seed} {settings(entry.record)}"
    return told.lower()


def settings(record: Record) -> str:
    """The hyper-parameters that tell a run from others, nested ones by dotted names."""
    return ", ".join(f"{name}={value}" for name, value in flat(card.settings(record)).items())


def address(key: str, unit: str | None = None) -> str:
    """Where a run, or a user of it, has its page."""
    run = f"/run/{quote(key)}"
    return run if unit is None else f"{run}/user?id={quote(unit, safe='')}"


def number_of(request: Request, name: str, otherwise: int) -> int:
    """A number of the request's query; what is none counts as not given."""
    given = request.query_params.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 9 else otherwise
