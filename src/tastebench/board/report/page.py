"""The page: one file, nothing fetched, every text escaped, no script but those it names by hash."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench.board.report.bundles import bundles
from tastebench.board.report.model import Options, make_report
from tastebench.board.report.read import Found, read_records
from tastebench.errors import UsageError
from tastebench.files import write_text

if TYPE_CHECKING:
    from jinja2 import Environment

_HEX = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def write_report(root: Path, path: Path, options: Options | None = None) -> Found:
    """Writes the page of a results folder; a file that is there is replaced.

    Args:
        root: Results folder, or a folder below it.
        path: The page.
        options: What it shows.

    Returns:
        The records, with those that were skipped.

    Raises:
        UsageError: No such folder, metric, task or printed board, or the file cannot be written.
        DataError: No record can be read.
        DependencyError: A library of the page is not installed.
    """
    found = read_records(root)
    page = to_html(make_report(found, options))
    try:
        write_text(path, page)
    except OSError as error:
        raise UsageError(
            f"cannot write the page: {error.strerror}", where=str(path), fix="-o FILE.html"
        ) from error
    return found


def to_html(report: dict[str, Any]) -> str:
    """The page of what `make_report` made."""
    libraries = bundles()
    scripts = [libraries.tables, libraries.vega, own_text("glue.js")]
    page = (
        templates("tastebench.board.report")
        .get_template("page.html")
        .render(
            report=report,
            data=as_data(report["data"]),
            scripts=scripts,
            hashes=[_hash(script) for script in scripts],
            styles=[libraries.tables_style, own_text("style.css")],
        )
    )
    # Half a character, as JSON may hold it, is no text that a file can have.
    return page.encode("utf-8", "replace").decode("utf-8")


def as_data(value: Any) -> str:
    r"""JSON that may stand in a script element: nothing in it ends the element.

    >>> as_data({"title": "</script><!--"})
    '{"title":"\\u003c/script\\u003e\\u003c!--"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_HEX)


def templates(package: str) -> Environment:
    """The templates of a package; what they are given is escaped unless they say otherwise."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def own_text(name: str) -> str:
    """A file beside the templates of the report."""
    return (resources.files(__package__ or "") / "templates" / name).read_text("utf-8")


def _hash(script: str) -> str:
    """As a content security policy names a script."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
