"""The libraries of a page as text, each embedded once: Vega for charts, DataTables for tables."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from tastebench.errors import DependencyError

_INSTALL = "pip install 'tastebench[report]'"
_EXPORTS = re.compile(r"export\s*\{([^}]*)\};?")


class Bundles(NamedTuple):
    """Scripts and styles of others, as they stand in a page."""

    vega: str
    tables: str
    tables_style: str


def bundles() -> Bundles:
    """Reads them from the packages that carry them.

    Raises:
        DependencyError: One of these is not installed, or holds something else.
    """
    for package in ("altair", "jinja2", "itables", "vl_convert"):
        if find_spec(package) is None:
            raise DependencyError(
                f"a report needs {package.replace('_', '-')}, which is not installed",
                fix=_INSTALL,
            )
    script, style = _itables()
    return Bundles(_inline(_alone(_vega())), _inline(as_global(script)), style)


def _vega() -> str:
    """Vega, Vega-Lite and vega-embed, the newest that come without a network."""
    import vl_convert

    bundle: Any = vl_convert.javascript_bundle  # its stub asks for what it does not need
    script: str = bundle()
    return script


def _alone(script: str) -> str:
    """A script whose names are its own: scripts of a page share one scope."""
    return f"(()=>{{{script}\n}})();"


def as_global(module: str) -> str:
    """A module as a plain script that sets `window.DataTable`.

    A page without a server cannot import modules: a file is of no origin.

    Raises:
        DependencyError: It exports no jQuery, through which DataTables is reached.
    """
    every = list(_EXPORTS.finditer(module))
    found = every[-1] if every else None
    name = None if found is None else re.search(r"([\w$]+) as jQuery\b", found[1])
    if found is None or name is None:
        raise DependencyError(
            "the DataTables bundle of the installed itables has another form",
            fix=f"{_INSTALL} --upgrade",
        )
    body = module[: found.start()] + module[found.end() :]
    return _alone(f'"use strict";{body}\nwindow.DataTable={name[1]}.fn.dataTable;')


def _itables() -> tuple[str, str]:
    """Its bundle and styles, read as files: importing it would import pandas."""
    spec = find_spec("itables")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "html"
    files = [folder / "dt_bundle.js", folder / "dt_bundle.css"]
    lacking = next((file for file in files if not file.is_file()), None)
    if lacking is not None:
        raise DependencyError(
            "the installed itables has no DataTables bundle",
            where=str(lacking),
            fix=f"{_INSTALL} --upgrade",
        )
    script, style = (file.read_text(encoding="utf-8") for file in files)
    return script, style


def _inline(script: str) -> str:
    """A script that does not end the element it stands in."""
    script = script.replace("\r\n", "\n").replace("\r", "\n")  # as a browser reads and hashes it
    return re.sub(r"</(?=script)", r"<\\/", script, flags=re.IGNORECASE).replace("<!--", "<\\!--")
