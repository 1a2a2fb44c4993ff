"""The few SVG shapes that a picture needs, as strings with everything escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

Anchor = Literal["start", "middle", "end"]

_FONTS = "system-ui, Helvetica, Arial, DejaVu Sans, sans-serif"

# XML 1.0 knows no control characters, not even escaped ones.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(width: float, height: float, title: str, shapes: Iterable[str]) -> str:
    """A picture of that size; `title` is what a screen reader says."""
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label={_quoted(title)} '
        f'font-family="{_FONTS}">\n{body}\n</svg>\n'
    )


def rectangle(x: float, y: float, width: float, height: float, fill: str) -> str:
    """A filled rectangle."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'
    )


def line(ends: tuple[float, float, float, float], colour: str, width: float = 1.0) -> str:
    """A line from (x1, y1) to (x2, y2)."""
    x1, y1, x2, y2 = ends
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"/>'
    )


def dot(x: float, y: float, radius: float, fill: str) -> str:
    """A filled circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}"/>'


def text(
    at: tuple[float, float],
    words: str,
    fill: str,
    *,
    size: int = 12,
    bold: bool = False,
    italic: bool = False,
    anchor: Anchor = "start",
) -> str:
    """A line of text; `at` is its baseline."""
    weight = ' font-weight="600"' if bold else ""
    slope = ' font-style="italic"' if italic else ""
    return (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" font-size="{size}" fill="{fill}" '
        f'text-anchor="{anchor}"{weight}{slope}>{_escaped(words)}</text>'
    )


def tipped(words: str, shapes: Iterable[str]) -> str:
    """Shapes that say `words` when pointed at."""
    return f"<g><title>{_escaped(words)}</title>{''.join(shapes)}</g>"


def _escaped(words: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", words))


def _quoted(words: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", words))
