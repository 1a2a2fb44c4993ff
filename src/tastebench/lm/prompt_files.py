"""Prompts as data: YAML files of a package by name, or anybody's by path."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from tastebench.data.foreign_yaml import read_yaml
from tastebench.errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

P = TypeVar("P", bound=BaseModel)


def shipped(package: str) -> list[str]:
    """The prompts in the folder `prompts` of a package, by the alphabet."""
    return sorted(file.name.removesuffix(".yaml") for file in _folder(package).iterdir())


def read_prompt(form: type[P], name: str, package: str, like: str) -> P:
    """The prompt called `name`, or the one in a YAML file of that path.

    Args:
        form: What is said in it.
        name: Of a shipped one, or a path.
        package: That ships some.
        like: The one that a message compares with.

    Raises:
        UsageError: No such prompt.
        DataError: The file is no prompt.
    """
    known = shipped(package)
    if name in known:
        return _parsed(form, name, (_folder(package) / f"{name}.yaml").read_text("utf-8"), like)
    path = Path(name).expanduser()
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"the prompt cannot be read: {error}", where=str(path), fix="save it as UTF-8"
            ) from error
        return _parsed(form, str(path), text, like)
    raise UsageError(
        f"no prompt {name!r}: {did_you_mean(name, known)}",
        fix="name one of them, or the path of a YAML file of yours",
    )


def _folder(package: str) -> Traversable:
    return files(package) / "prompts"


def _parsed(form: type[P], where: str, text: str, like: str) -> P:
    import yaml

    class SafeWords(yaml.SafeLoader):
        """YAML in which yes and no are words."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - the name and form are those of PyYAML
            first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:bool"]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        return form.model_validate(read_yaml(text, SafeWords))
    except (yaml.YAMLError, ValidationError) as error:
        raise DataError(
            f"this is no prompt: {_first(error)}",
            where=where,
            fix=f"compare with {like}, which is shipped",
        ) from error


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    fault = error.errors()[0]
    place = ".".join(map(str, fault["loc"]))
    return f"{place}: {fault['msg']}" if place else fault["msg"]
