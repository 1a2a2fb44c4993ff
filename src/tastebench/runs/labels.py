"""What runs are called where people read them, and what tells those of one label apart."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tastebench.items.semantic_ids.recipe import CodeRecipe
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
        **flat(given.get("params", {})),
        **{f"{key} grid": values for key, values in given.get("grid", {}).items()},
        "text_recipe": spec.text_recipe,
        **_of_codes(spec),
        "threads": spec.threads,
        "protocol": protocol_id,
    }


def flat(params: Mapping[str, Any], above: str = "", between: str = ".") -> dict[str, Any]:
    """Settings within settings by their dotted names, as `--set` takes them.

    Args:
        params: By name, some of them settings again.
        above: What stands before every name.
        between: Stands between an outer name and an inner one.

    >>> flat({"lr": 0.1, "pretrain": {"by": "none"}})
    {'lr': 0.1, 'pretrain.by': 'none'}
    """
    told: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            told |= flat(value, f"{above}{key}{between}", between)
        else:
            told[f"{above}{key}"] = value
    return told


def settings_of_codes(recipe: CodeRecipe) -> dict[str, Any]:
    """What a recipe of codes says, the settings of its method behind the rest."""
    told: dict[str, Any] = recipe.model_dump(mode="json")
    return told | dict(told.pop("settings"))


def _of_codes(spec: RunSpec) -> dict[str, Any]:
    if spec.codes is None:
        return {}
    return {f"codes {key}": value for key, value in settings_of_codes(spec.codes).items()}


def telling(mine: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings that tell a run from others of the same label, as `key=value`.

    >>> telling({"lr": 0.1, "layers": 2}, [{"lr": 0.1, "layers": 2}, {"lr": 0.1}])
    ['layers=2']
    """
    keys = dict.fromkeys(key for settings in rivals for key in settings)
    told = [key for key in keys if len({repr(other.get(key)) for other in rivals}) > 1]
    return [f"{key}={mine[key]}" for key in told if key in mine]


def tell_apart(
    labels: Sequence[Hashable], settings: Sequence[Mapping[str, Any]]
) -> list[list[str]]:
    """What tells each of several things from those of the same label, as `telling`."""
    beside: dict[Hashable, list[Mapping[str, Any]]] = {}
    for label, mine in zip(labels, settings, strict=True):
        beside.setdefault(label, []).append(mine)
    return [telling(mine, beside[label]) for label, mine in zip(labels, settings, strict=True)]


def told_apart(runs: Sequence[Run]) -> dict[str, list[str]]:
    """By spec hash, what tells each run from those of the same label beside it."""
    labels = [(run.spec.task, run.spec.dataset, run.spec.label, run.spec.seed) for run in runs]
    settings = [settings_of_run(run.spec, run.given, run.protocol_id) for run in runs]
    told = tell_apart(labels, settings)
    return {run.spec_hash: one for run, one in zip(runs, told, strict=True)}
