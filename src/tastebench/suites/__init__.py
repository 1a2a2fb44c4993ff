"""Suites: published plans that ship with the package."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from tastebench.errors import UsageError, did_you_mean
from tastebench.runs.plan import Plan, load_plan, make_plan
from tastebench.runs.yaml_lines import parse_yaml


def names() -> list[str]:
    """The suites there are."""
    return sorted(entry.name[:-5] for entry in files(__name__).iterdir() if _is_plan(entry.name))


def get_suite(name: str, settings: Sequence[str] = ()) -> Plan:
    """The plan of a suite.

    Args:
        name: One of `names()`.
        settings: Overrides as `key=value`.

    Raises:
        UsageError: No such suite.
    """
    if name not in names():
        raise UsageError(
            f"no suite {name!r}: {did_you_mean(name, names())}",
            fix="tastebench list suites; a plan of your own is named by its path, plan.yaml",
        )
    text = (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    value, lines = parse_yaml(text, f"suite {name}")
    return make_plan(value, where=f"suite {name}", lines=lines, settings=settings)


def presets(name: str) -> list[str]:
    """The presets of a suite: `paper` is one of `blair` if there is a suite `blair-paper`."""
    return [other.removeprefix(f"{name}-") for other in names() if other.startswith(f"{name}-")]


def find_plan(what: str | Path, settings: Sequence[str] = (), *, preset: str | None = None) -> Plan:
    """The plan in a file, or of a suite: a path has a slash or ends in `.yaml` or `.yml`.

    Args:
        what: A path, or one of `names()`.
        settings: Overrides as `key=value`.
        preset: One of a suite's `presets`.

    Raises:
        UsageError: No such suite or preset, or the plan cannot be meant.
    """
    path = Path(what).expanduser()
    if isinstance(what, Path) or _is_plan(path.name) or "/" in what or path.is_file():
        if preset is not None:
            raise UsageError("a preset belongs to a suite, and this is a file", where=str(path))
        return load_plan(path, settings)
    if preset is None:
        return get_suite(what, settings)
    known = presets(what)
    if what in names() and preset not in known:
        hint = did_you_mean(preset, known) if known else "it has none"
        raise UsageError(f"the suite {what} has no preset {preset!r}: {hint}")
    return get_suite(f"{what}-{preset}", settings)


def _is_plan(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))
