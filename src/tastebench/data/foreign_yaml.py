"""YAML that may come from anybody: bounded before a value is made of it, and one kind of error.

Nine lines of aliases of aliases stand for a billion values, an alias may hold itself, and numbers
and dates may be none. What a text comes to with its aliases written out is counted first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

MOST_BYTES = 1 << 20
MOST_NODES = 100_000
"""Keys and values, aliases written out."""


def read_yaml(
    text: str,
    loader: type[yaml.SafeLoader],
    look: Callable[[yaml.Node], None] = lambda node: None,
) -> Any:
    """The value of a text; None where it says nothing.

    Args:
        text: One document.
        loader: Of the safe ones, which make no objects but those of YAML.
        look: Shown the nodes as they were written: making a value of them writes out what is merged
            (`<<`), after which a key that was set anew stands there twice.

    Raises:
        YAMLError: It is not YAML, is too large or nested too deep, or has a value that cannot be.
    """
    if not issubclass(loader, yaml.SafeLoader):
        raise TypeError(f"{loader.__name__} makes objects of any kind")
    if len(text) > MOST_BYTES:
        raise yaml.YAMLError(f"it has more than {MOST_BYTES:,} characters")
    reading: yaml.SafeLoader | None = None
    try:
        reading = loader(text)
        node = reading.get_single_node()
        if node is None:
            return None
        _Size().count(node)
        look(node)
        return reading.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deep") from None
    except (ValueError, OverflowError, TypeError, AttributeError, KeyError) as error:
        # Of the constructors: a 13th month, a number of 5,000 digits, a base64 that is none.
        raise yaml.YAMLError(f"a value cannot be: {error}") from error
    finally:
        if reading is not None:
            reading.dispose()


class _Size:
    """Counts what a node comes to; every node once, however often it is meant."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._open: set[int] = set()

    def count(self, node: yaml.Node) -> int:
        """Nodes in it, aliases written out.

        Raises:
            YAMLError: It holds itself, or there are too many.
        """
        key = id(node)
        if key in self._open:
            raise yaml.YAMLError("an alias stands within what it names")
        if key not in self._known:
            self._open.add(key)
            self._known[key] = 1 + sum(self.count(child) for child in _children(node))
            self._open.remove(key)
        if self._known[key] > MOST_NODES:
            raise yaml.YAMLError(f"with its aliases it has more than {MOST_NODES:,} values")
        return self._known[key]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
