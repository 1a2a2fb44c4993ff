"""A dry run shows what language models will read, also where items are tokens of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tastebench.data.dataset import Dataset
from tastebench.runs.execute import Options, look
from tastebench.runs.plan import make_plan
from tastebench.runs.preview import previews
from tastebench.testing.language_models import add_head, tiny_language_model


def test_prompts_of_codes_and_ids_are_shown_before_codes_are_made(
    tiny: Dataset, tmp_path: Path
) -> None:
    folder = tiny_language_model(tmp_path / "small", "llama", max_position_embeddings=2048)
    params = {"model": str(add_head(folder))}
    plan: dict[str, Any] = {
        "name": "s",
        "datasets": ["tiny"],
        "tasks": ["seqrec"],
        "recommenders": [
            {"name": "llm-next", "params": params, "representations": ["id", "code"]},
            {"name": "llm-title", "params": {**params, "titles": 2}},
        ],
        "codes": ["random-3x16"],
        "seeds": [0, 1],
    }
    todo = look(make_plan(plan), Options(out=tmp_path / "out"), fetch=False)
    told = {one.label: one for one in previews(todo)}  # seeds ask alike
    assert len(told) == 3
    ids, codes, titles = told.values()
    assert ", code 1>" in ids.preview.prompts[0] and ", code 2>" not in ids.preview.prompts[0]
    assert ", code 3>" in codes.preview.prompts[0] and ", code 4>" not in codes.preview.prompts[0]
    assert "number" in titles.preview.prompts[0]
    assert codes.preview.prompt_tokens > ids.preview.prompt_tokens
    for one in told.values():
        assert one.preview.seconds is not None
        assert "about" in str(one) and ("min" in str(one) or " s" in str(one))


def test_questions_about_users_are_shown_with_the_attributes_they_are_about(tmp_path: Path) -> None:
    folder = tiny_language_model(tmp_path / "small", "llama", max_position_embeddings=2048)
    params = {"model": str(add_head(folder))}
    questions = {"questions": 30, "train_questions": 60, "valid_questions": 10}
    plan: dict[str, Any] = {
        "name": "s",
        "datasets": ["storefront"],
        "tasks": ["userqa"],
        "recommenders": [
            {"name": "user-embedding", "params": params},
            {"name": "text-history", "params": {**params, "events": 5}},
            "majority",
        ],
        "protocol": {"userqa": {"questions": questions}},
        "row_by": "run",
    }
    todo = look(make_plan(plan), Options(out=tmp_path / "out"), fetch=False)
    embedded, told = (one.preview for one in previews(todo))
    assert embedded.requests == told.requests == 40
    assert all(text.startswith("<user vector> ") for text in embedded.prompts)
    assert len(told.prompts) == 3
    assert embedded.seconds is not None and told.seconds is not None
    assert told.prompt_tokens > embedded.prompt_tokens
