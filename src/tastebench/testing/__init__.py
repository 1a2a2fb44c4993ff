"""Conformance tests that anyone's encoder or recommender can inherit, and a server to test against.

    from tastebench.testing import RecommenderTests

    class TestMine(RecommenderTests):
        card = MY_CARD

The tests need pytest, the server needs nothing; importing this package imports nothing else until a
class is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tastebench.testing.encoders import EncoderTests
    from tastebench.testing.recommenders import RecommenderTests
    from tastebench.testing.server import Fault, RemoteServer

__all__ = ["EncoderTests", "Fault", "RecommenderTests", "RemoteServer"]

_HOMES = {
    "EncoderTests": "encoders",
    "Fault": "server",
    "RecommenderTests": "recommenders",
    "RemoteServer": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
