"""YAML as people mean it: `1e-3` is a number, a key named twice an error, lines are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from tastebench.data.foreign_yaml import read_yaml
from tastebench.errors import UsageError

Lines = dict[tuple[Any, ...], int]
"""Path of a key (`("recommenders", 0, "params")`) to its line, counted from 1."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads `1e-3` as text, for want of a dot; YAML 1.2 and everybody else do not."""


_Loader.yaml_implicit_resolvers = {
    first: list(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str, where: str) -> tuple[Any, Lines]:
    """The value of a YAML text, and the line of every key in it.

    Raises:
        UsageError: It is not YAML, is too large, or a mapping names a key twice.
    """
    lines: Lines = {}
    try:
        value = read_yaml(text, _Loader, lambda node: _walk(node, (), lines, where))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}, line {mark.line + 1}" if mark else where
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UsageError(f"not valid YAML: {problem}", where=place) from error
    return value, lines


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """What `--set key=value` says, repeated: values are YAML.

    Raises:
        UsageError: One is not of this form.
    """
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"cannot read {setting!r}", where="--set", fix="--set key=value")
        given[key.strip()], _ = parse_yaml(text, f"--set {key}")
    return given


def _walk(node: yaml.Node, path: tuple[Any, ...], lines: Lines, where: str) -> None:
    if path:
        lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, key.value)
            if inner in lines:
                raise UsageError(
                    f"key {key.value!r} stands twice",
                    where=f"{where}, lines {lines[inner]} and {key.start_mark.line + 1}",
                )
            lines[inner] = key.start_mark.line + 1
            _walk(value, inner, lines, where)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*path, index), lines, where)
