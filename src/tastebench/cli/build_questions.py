"""`tastebench build questions`: questions about users, with their answers."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tastebench.cli.options import AsJson
from tastebench.errors import UsageError

if TYPE_CHECKING:
    from tastebench.data.questions import QuestionSpec

EXAMPLES = """Examples:

  tastebench build questions -d my-shop

  tastebench build questions -d my-shop --language zh --questions 7192 -o questions

  tastebench build questions -d beauty --attributes category,first\\ word --set min_length=5
  --set recent=5

  tastebench inspect questions --kind li
"""


class LanguageChoice(StrEnum):
    """Of the questions."""

    en = "en"
    zh = "zh"


def questions(  # noqa: PLR0913, PLR0917 - an option each
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Whose users are asked about.")],
    language: Annotated[
        LanguageChoice | None,
        typer.Option(help="Of the questions; the dataset's own if not given, or English."),
    ] = None,
    n: Annotated[int, typer.Option("--questions", min=1, help="About users of test.")] = 2000,
    train: Annotated[
        int, typer.Option("--train-questions", min=0, help="About users of train.")
    ] = 8000,
    valid: Annotated[
        int, typer.Option("--valid-questions", min=0, help="About users of valid.")
    ] = 1000,
    attributes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[=COLUMN[:HOW]],...",
            help="What of items is asked about; all that is known if not given.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of users' parts and of all draws.")] = 101,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value: min_length, max_length, recent, options, ..."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Also copy the questions there."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make multiple-choice questions about users: what they did, do next, and like.

    Answers follow from the data alone, and each is worked out twice. No user is in two parts, and
    nothing is asked of an event that a history shows. What is made is kept: the same command again
    only shows it.
    """
    from tastebench.build.questions import make_questions
    from tastebench.build.questions_view import QuestionsView
    from tastebench.cli.data import console
    from tastebench.cli.questions_told import print_report, report
    from tastebench.data.catalog import load_dataset
    from tastebench.data.questions.artefact import copy, free_for
    from tastebench.data.questions.spec import language_of

    given = {
        "language": language.value if language else "en",
        "questions": n,
        "train_questions": train,
        "valid_questions": valid,
        "attributes": _names(attributes),
        "seed": seed,
    }
    spec = _spec(given, settings or [])
    if out is not None:
        free_for(out)
    data = load_dataset(dataset, progress=say)
    if language is None:
        spec = spec.model_copy(update={"language": language_of(data.card.language)})
    artefact = make_questions(data, spec, say)
    if out is not None:
        artefact = copy(artefact, out)
    view = QuestionsView(artefact, data)
    if as_json:
        typer.echo(json.dumps(report(view), ensure_ascii=False))
        return
    print_report(view, console())
    say(f"questions: {artefact.folder}")
    say(f"next:  {shlex.join(['tastebench', 'inspect', str(artefact.folder), '--kind', 'li'])}")


def _names(attributes: str | None) -> list[str] | None:
    if attributes is None:
        return None
    return [name.strip() for name in attributes.split(",") if name.strip()]


def _spec(given: dict[str, Any], settings: list[str]) -> QuestionSpec:
    """The spec, checked before anything is loaded."""
    from pydantic import ValidationError

    from tastebench.data.questions import QuestionSpec
    from tastebench.errors import did_you_mean
    from tastebench.runs.yaml_lines import read_settings

    more = read_settings(settings)
    for key in more:
        if key not in QuestionSpec.model_fields:
            hint = did_you_mean(key, QuestionSpec.model_fields)
            raise UsageError(f"no setting {key!r}: {hint}", where="--set")
        if key in given:
            option = "--questions" if key == "questions" else f"--{key.replace('_', '-')}"
            raise UsageError(f"{key} has an option of its own", where="--set", fix=option)
    try:
        return QuestionSpec.model_validate({**given, **more})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{place}: {message}" if place else message, where="--set") from error


def say(line: str) -> None:
    """A line on stderr."""
    typer.echo(line, err=True)
