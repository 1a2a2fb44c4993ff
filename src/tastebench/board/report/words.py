"""Values of settings as words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def said(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as words.

    >>> said({"a": None, "b": True, "c": [1, 2], "d": 0.00012345678, "e": 12345678})
    {'a': 'none', 'b': 'yes', 'c': '1, 2', 'd': '0.000123457', 'e': '12,345,678'}
    """
    return {name: _word(value) for name, value in values.items()}


def _word(value: Any) -> str:
    if value is None or value in ({}, [], ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_word(one) for one in value)
    return str(value)
