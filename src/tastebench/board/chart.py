"""What charts of a board share: colours, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import override

from tastebench.errors import UsageError
from tastebench.files import write_text

INK, SOFT, MODEL, BASELINE = "#1f2933", "#66727f", "#1d5fa8", "#98a4b0"


class Chart(Protocol):
    """An Altair chart."""

    def to_dict(self) -> dict[str, Any]:
        """Its Vega-Lite specification."""
        ...

    def to_html(self, *, inline: bool, json_kwds: dict[str, Any]) -> str:
        """A page of it."""
        ...


def write_chart(make: Callable[[], Chart], path: Path, what: str) -> None:
    """Writes a chart, SVG or an HTML page that needs no network, by the ending of `path`.

    Args:
        make: Makes the chart; not called for a path that will not do.
        path: Where to.
        what: What it is, which is also its option: `scaling`.

    Raises:
        UsageError: Another ending.
        OSError: It cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in {".svg", ".html"}:
        raise UsageError(
            f"a {what} picture is .svg or .html, not {path.suffix or 'a name without an ending'}",
            where=str(path),
            fix=f"--{what} {path.with_suffix('.svg')}",
        )
    chart = make()
    if ending == ".html":
        write_text(path, chart.to_html(inline=True, json_kwds={"cls": _NoTags}))
        return
    import vl_convert

    write_text(path, vl_convert.vegalite_to_svg(chart.to_dict()))


class _NoTags(json.JSONEncoder):
    """JSON that may stand in a script of a page: names come from records, which may be anyone's."""

    @override
    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")


def heading(title: str, subtitle: list[str]) -> Any:
    """The title of a picture and what is beneath it."""
    import altair as alt

    return alt.TitleParams(
        title, subtitle=subtitle, anchor="start", offset=14, color=INK, subtitleColor=SOFT
    )
