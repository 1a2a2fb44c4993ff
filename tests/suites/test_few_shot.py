"""Shipped plans of language models on published clicks, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tastebench as tb
from tastebench import suites
from tastebench.data.catalog import load_dataset
from tastebench.data.sources import SOURCES
from tastebench.recommenders import get_recommender
from tastebench.runs.execute import Options, look
from tastebench.testing.language_models import add_head, tiny_language_model

FOLDERS = {"tallrec": "data/tallrec-prompts", "collm": "data/ml-1m"}


def test_what_cannot_be_compared_says_so() -> None:
    plan = suites.get_suite("tallrec")
    assert "not comparable" in plan.description
    for choice in plan.datasets:
        assert SOURCES.get(choice.name).card.notes[0].startswith("Not comparable")


@pytest.mark.parametrize("suite", FOLDERS)
def test_every_setting_is_one_that_can_be_meant(suite: str) -> None:
    for choice in suites.get_suite(suite).recommenders or ():
        card = get_recommender(choice.name)
        params = {**choice.params, **({"model": "./m"} if choice.name == "llm" else {})}
        config = card.config(**params)
        for representation in choice.representations or card.representations[:1]:
            if card.check is not None:
                card.check(config, representation)


@pytest.mark.parametrize("suite", FOLDERS)
def test_a_plan_stands_with_and_without_a_model(
    suite: str, asset: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = asset(FOLDERS[suite])
    plan = suites.get_suite(suite)
    for choice in plan.datasets:
        load_dataset(choice.name, raw=folder)  # kept where plans find it
    without = look(plan, Options(out=tmp_path / "out"), fetch=False)
    assert without.open and "llm" not in {run.spec.recommender for run in without.open}
    assert any("llm is left out" in note for note in without.notes)
    small = add_head(tiny_language_model(tmp_path / "small", "llama", max_position_embeddings=1024))
    named = plan.model_copy(update={"models": (str(small),)})
    with_model = look(named, Options(out=tmp_path / "out"), fetch=False)
    assert {run.spec.recommender for run in with_model.open} >= {"llm", "popularity", "random"}


def test_few_shot_questions_run(asset: Callable[[str], Path], tmp_path: Path) -> None:
    """Of the films with 16 samples, as it is and tuned by them."""
    load_dataset("tallrec/movie-16", raw=asset(FOLDERS["tallrec"]))
    small = add_head(tiny_language_model(tmp_path / "small", "llama", max_position_embeddings=1024))
    plan = {
        "name": "few",
        "datasets": ["tallrec/movie-16"],
        "tasks": ["ctr"],
        "recommenders": [
            {"name": "llm", "params": {"model": str(small)}},
            {
                "name": "llm",
                "params": {"model": str(small), "tune": "lora", "epochs": 2, "lora_rank": 2},
            },
        ],
        "protocol": {
            "ctr": {
                "group": "user",
                "history_length": 10,
                "min_history": 0,
                "metrics": ["auc", "logloss"],
            }
        },
        "latency_seconds": 0,
    }
    results = tb.run(plan, out=tmp_path / "out", workers=1, progress=False, limit=40)
    for record in results.records:
        assert record.error is None
        assert record.counts["answered"] == record.counts["asked"] == 40
        assert record.metrics["auc"].mean is not None
    assert len(results.records) == 2
