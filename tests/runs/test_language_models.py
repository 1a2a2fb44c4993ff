"""Language models that a plan or a command line names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tastebench.cli.run import override
from tastebench.data.dataset import Dataset
from tastebench.errors import UsageError
from tastebench.runs.expand import Resources, expand
from tastebench.runs.plan import Plan, make_plan
from tastebench.runs.spec import RunSpec
from tastebench.testing.language_models import tiny_language_model

ASKED = {"name": "s", "datasets": ["tiny"], "tasks": ["ctr"], "recommenders": ["llm", "random"]}


def plan(**more: Any) -> Plan:
    return make_plan({**ASKED, **more})


def labels(made: Plan, tiny: Dataset) -> tuple[list[str], tuple[str, ...]]:
    found = expand(made, Resources({"tiny": tiny}, {}))
    return [run.spec.label for run in found.runs], found.notes


def test_each_model_of_a_plan_makes_runs_of_its_own(tiny: Dataset, tmp_path: Path) -> None:
    one, other = (str(tiny_language_model(tmp_path / name, "llama")) for name in ("one", "other"))
    assert labels(plan(models=[one, other]), tiny)[0] == [
        "llm(text, one)",
        "llm(text, other)",
        "random",
    ]


def test_a_recommender_may_name_its_own(tiny: Dataset, tmp_path: Path) -> None:
    own = str(tiny_language_model(tmp_path / "own", "llama"))
    named = [{"name": "llm", "params": {"model": own}}]
    assert labels(plan(recommenders=named, models=[]), tiny)[0] == ["llm(text, own)"]


def test_no_model_is_an_error_where_the_plan_does_not_foresee_it(tiny: Dataset) -> None:
    with pytest.raises(UsageError, match=r"llm: which language model\?\n[\s\S]*--model ./folder"):
        labels(plan(), tiny)
    left, notes = labels(plan(models=[]), tiny)
    assert left == ["random"]
    assert notes[0].startswith("llm is left out, it needs a language model: --model")


def test_runs_do_not_depend_on_where_a_model_lies(tiny: Dataset, tmp_path: Path) -> None:
    here = tiny_language_model(tmp_path / "a" / "model", "llama")
    there = tmp_path / "b" / "model"
    there.parent.mkdir()
    here.rename(tmp_path / "moved")
    hashes = []
    for place in (here, there):
        (tmp_path / "moved").rename(place)
        found = expand(plan(models=[str(place)]), Resources({"tiny": tiny}, {}))
        hashes.append(found.runs[0].spec_hash)
        place.rename(tmp_path / "moved")
    assert hashes[0] == hashes[1]


def test_labels_hold_names_and_no_addresses() -> None:
    spec = RunSpec(task="ctr", dataset="d", recommender="llm", representation="text")
    remote = spec.model_copy(update={"params": {"model": "openai:org/m:8b@https://x.example/v1"}})
    assert remote.label == "llm(text, org/m:8b)"
    assert "x.example" not in remote.folder


def test_the_command_line_names_models_and_recommenders_alike(tmp_path: Path) -> None:
    folder = tiny_language_model(tmp_path / "model", "llama")
    found = override(plan(), None, None, ["llm", f"{folder},openai:small"], "http://h:1/v1", "lora")
    assert found.models == (str(folder), "openai:small@http://h:1/v1")
    assert [choice.name for choice in found.recommenders or ()] == ["llm"]
    assert [choice.params for choice in found.recommenders or ()] == [{"tune": "lora"}]


@pytest.mark.parametrize(
    ("models", "url", "tune", "what"),
    [
        (["./model"], "http://h/v1", None, "--base-url says where a remote model is"),
        (["popularity"], None, "lora", "--tune is for language models"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    models: list[str], url: str | None, tune: str | None, what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        override(plan(), None, None, models, url, tune)
