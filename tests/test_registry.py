"""Registries: lazy, ordered, open to other packages, helpful about typos."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from tastebench import registry
from tastebench.errors import UsageError
from tastebench.registry import Registry


@pytest.fixture
def things(monkeypatch: pytest.MonkeyPatch) -> Registry[Callable[..., object]]:
    points = {
        "tests.things": [
            EntryPoint("zeta", "json:loads", "tests.things"),
            EntryPoint("alpha", "json:dumps", "tests.things"),
            EntryPoint("ours", "json:JSONDecoder", "tests.things"),
        ]
    }
    monkeypatch.setattr(registry, "entry_points", lambda group: points.get(group, []))
    return Registry("thing", {"ours": "json:dumps", "broken": "no.such:thing"}, "tests.things")


def test_ours_come_first_and_those_of_packages_sorted(
    things: Registry[Callable[..., object]],
) -> None:
    assert things.names() == ["ours", "broken", "alpha", "zeta"]
    assert list(things) == things.names()
    assert "zeta" in things
    assert "none" not in things


def test_a_name_of_ours_wins(things: Registry[Callable[..., object]]) -> None:
    assert things.get("ours")([1]) == "[1]"
    assert things.get("zeta")("[1]") == [1]


def test_unknown_names_get_the_nearest(things: Registry[Callable[..., object]]) -> None:
    with pytest.raises(UsageError, match="unknown thing 'zetta': did you mean zeta") as caught:
        things.get("zetta")
    assert caught.value.fix == "tastebench list things"


def test_listing_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    assert Registry("poem", {"zen": "this:s"}, "tests.none").names() == ["zen"]
    assert "this" not in sys.modules


def test_a_defect_of_a_package_is_not_hidden(things: Registry[Callable[..., object]]) -> None:
    with pytest.raises(ModuleNotFoundError):
        things.get("broken")
