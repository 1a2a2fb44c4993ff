"""Names to things, imported on first use.

A registry is a table from a public name to `"module:attribute"`, so that listing names costs no
import. Other people's packages add entries through an entry-point group of the same name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from tastebench.errors import UsageError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """A lazy table of named things of one kind.

    Args:
        kind: What the things are called in messages, e.g. `"recommender"`.
        builtin: Name to `"module:attribute"`, or to the thing itself where making it costs nothing.
        group: Entry-point group through which installed packages add names; a name of ours wins.
        listed: What `tastebench list` calls them; None is the plural of `kind`.
    """

    def __init__(
        self, kind: str, builtin: Mapping[str, str | T], group: str, listed: str | None = None
    ) -> None:
        self.kind = kind
        self.group = group
        self.listed = listed or f"{kind}s"
        self._builtin = dict(builtin)
        self._foreign: dict[str, str] | None = None

    def names(self) -> list[str]:
        """All known names, ours in table order, then those of installed packages, sorted."""
        foreign = self._entry_points()
        return [*self._builtin, *sorted(set(foreign) - set(self._builtin))]

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._entry_points()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def get(self, name: str) -> T:
        """The thing called `name`.

        Raises:
            UsageError: No such name; the message holds the nearest known ones.
        """
        target = self._builtin.get(name) or self._entry_points().get(name)
        if target is None:
            raise UsageError(
                f"unknown {self.kind} {name!r}: {did_you_mean(name, self.names())}",
                fix=f"tastebench list {self.listed}",
            )
        if not isinstance(target, str):
            return target
        module, _, attribute = target.partition(":")
        thing: T = getattr(import_module(module), attribute)
        return thing

    def _entry_points(self) -> dict[str, str]:
        if self._foreign is None:
            self._foreign = {point.name: point.value for point in entry_points(group=self.group)}
        return self._foreign
