"""Question sets as artefacts: made once of a dataset and a spec, checked, kept by their hash."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tastebench import __version__
from tastebench.data.dataset import Dataset
from tastebench.data.questions import QuestionSpec, generate
from tastebench.data.questions.artefact import Artefact, about_of, is_artefact, load, save
from tastebench.data.questions.check import check
from tastebench.data.questions.generate import GENERATOR
from tastebench.data.questions.templates import get_templates
from tastebench.errors import counted
from tastebench.files import hash_json, home


def question_hash(dataset: Dataset, spec: QuestionSpec) -> str:
    """Identifies questions by all that they depend on, 32 hex digits."""
    return hash_json(
        {
            "generator": GENERATOR,
            "dataset": dataset.fingerprint,
            # Which column is the title is the card's matter where none is called so.
            "text_columns": dataset.card.text_columns,
            "spec": spec.model_dump(mode="json"),
            "templates": get_templates(spec.language).hash,
        },
        length=32,
    )


def kept_at(dataset: Dataset, spec: QuestionSpec) -> Path:
    """Where the questions lie or will lie."""
    return home() / "artefacts" / "questions" / question_hash(dataset, spec)


def make_questions(
    dataset: Dataset, spec: QuestionSpec, progress: Callable[[str], None]
) -> Artefact:
    """The questions of a spec, made if they are not there, every answer worked out twice.

    Raises:
        DataError: What is kept is damaged, or nothing can be asked of such data.
        UsageError: The spec does not go with the dataset.
        RuntimeError: The two ways to work out an answer differ: a defect of ours.
    """
    folder = kept_at(dataset, spec)
    if is_artefact(folder):
        progress("these questions are there already")
        return load(folder)
    start = time.perf_counter()
    made = generate(dataset, spec)
    took = time.perf_counter() - start
    progress(f"made {counted(len(made.table), 'question')} in {took:.1f} s; checking the answers")
    faults = check(dataset, made.table, spec, made.attributes)
    if faults:
        raise RuntimeError(f"{counted(len(faults), 'question')} are wrong, the first: {faults[0]}")
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    about = about_of(made, folder.name, len(made.table), __version__, created)
    return save(folder, about, made.table)
