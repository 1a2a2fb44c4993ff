"""What all charts of a page share: their form, what is in none of them, and how they are named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STEP = 26
"""Pixels of a row of names."""


@dataclass(frozen=True)
class Picture:
    """A chart that can be chosen.

    Attributes:
        label: What it is called in the list of its section.
        spec: As Vega-Lite has it.
        told: What it shows, in a sentence that also stands for it where nothing can be seen.
    """

    label: str
    spec: dict[str, Any]
    told: str


def picture(label: str, chart: Any, told: str) -> Picture:
    """A chart of Altair as data, with what it shows as its description."""
    spec: dict[str, Any] = chart.properties(description=told).to_dict()
    spec.pop("$schema", None)  # an address; nothing is fetched, and a reader need not wonder
    spec.pop("config", None)  # of the page: light or dark
    return Picture(label, spec, told)


def inline(values: list[dict[str, Any]]) -> Any:
    """Rows of a chart that stand in it."""
    import altair as alt

    data: Any = alt.Data  # untyped
    return data(values=values)


def kinds() -> dict[str, Any]:
    """Colour and form by what a row is."""
    import altair as alt

    domain = ["model", "control"]
    return {
        "color": alt.Color("kind:N").scale(domain=domain).title(None),
        "shape": alt.Shape("kind:N")
        .scale(domain=domain, range=["circle", "triangle-up"])
        .title(None),
    }
