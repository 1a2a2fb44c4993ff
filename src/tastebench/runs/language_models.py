"""Language models that a command line names for a plan, and how they are tuned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tastebench.errors import UsageError
from tastebench.lm.endpoint import PREFIX
from tastebench.recommenders import RECOMMENDERS, get_recommender
from tastebench.runs.plan import Plan


def is_language_model(name: str) -> bool:
    """Whether `--model` names a language model: a folder, `organisation/model` or an address.

    >>> is_language_model("openai:small"), is_language_model("me/model"), is_language_model("dnn")
    (True, True, False)
    """
    if name in RECOMMENDERS:
        return False
    return name.startswith(PREFIX) or "/" in name or Path(name).is_dir()


def at_address(models: Sequence[str], base_url: str | None) -> list[str]:
    """Remote models with the address that `--base-url` gives for those that have none.

    Raises:
        UsageError: There is an address and no remote model to ask there.
    """
    if base_url is None:
        return list(models)
    bare = [name for name in models if name.startswith(PREFIX) and "@http" not in name]
    if not bare:
        raise UsageError(
            "--base-url says where a remote model is, and none is named",
            fix=f"--model {PREFIX}NAME --base-url {base_url}",
        )
    return [f"{name}@{base_url}" if name in bare else name for name in models]


def tuned(recommenders: Sequence[Any], how: str, plan: Plan) -> list[Any]:
    """A plan's recommenders as YAML would have them, those that are language models tuned so.

    Raises:
        UsageError: None of them is one.
    """
    names = {_name(choice) for choice in recommenders}
    able = {name for name in names if "tune" in get_recommender(name).config.model_fields}
    if not able:
        raise UsageError(
            f"--tune is for language models, and none recommends in plan {plan.name!r}",
            fix="--groups E, or -m llm --model ./folder",
        )
    return [_tuned(choice, how) if _name(choice) in able else choice for choice in recommenders]


def _tuned(choice: Any, how: str) -> dict[str, Any]:
    whole = choice if isinstance(choice, dict) else {"name": choice}
    return {**whole, "params": {**whole.get("params", {}), "tune": how}}


def _name(choice: Any) -> str:
    return str(choice["name"] if isinstance(choice, dict) else choice)
