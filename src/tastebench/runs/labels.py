"""What runs are called where people read them, and what tells those of one label apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tastebench.runs.spec import RunSpec

if TYPE_CHECKING:
    from tastebench.runs.expand import Run


def settings_of_run(spec: RunSpec, given: Mapping[str, Any], protocol_id: str) -> dict[str, Any]:
    """What was asked for beside the label, in the order in which it tells runs apart.

    Args:
        spec: Of the run.
        given: The run as its plan states it.
        protocol_id: Fingerprint of its protocol.
    """
    return {
        **given.get("params", {}),
        **{f"{key} grid": values for key, values in given.get("grid", {}).items()},
        "text_recipe": spec.text_recipe,
        **_of_codes(spec),
        "threads": spec.threads,
        "protocol": protocol_id,
    }


def _of_codes(spec: RunSpec) -> dict[str, Any]:
    if spec.codes is None:
        return {}
    recipe = spec.codes.model_dump(mode="json")
    settings = {f"codes {key}": value for key, value in recipe.pop("settings").items()}
    return {f"codes {key}": value for key, value in recipe.items()} | settings


def telling(mine: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings that tell a run from others of the same label, as `key=value`.

    >>> telling({"lr": 0.1, "layers": 2}, [{"lr": 0.1, "layers": 2}, {"lr": 0.1}])
    ['layers=2']
    """
    keys = dict.fromkeys(key for settings in rivals for key in settings)
    told = [key for key in keys if len({repr(other.get(key)) for other in rivals}) > 1]
    return [f"{key}={mine[key]}" for key in told if key in mine]


def told_apart(runs: Sequence[Run]) -> dict[str, list[str]]:
    """By spec hash, what tells each run from those of the same label beside it, as `telling`."""
    settings = {
        run.spec_hash: settings_of_run(run.spec, run.given, run.protocol_id) for run in runs
    }
    beside: dict[tuple[Any, ...], list[str]] = {}
    for run in runs:
        beside.setdefault(_place(run), []).append(run.spec_hash)
    return {
        run.spec_hash: telling(
            settings[run.spec_hash], [settings[other] for other in beside[_place(run)]]
        )
        for run in runs
    }


def _place(run: Run) -> tuple[Any, ...]:
    return run.spec.task, run.spec.dataset, run.spec.label, run.spec.seed
