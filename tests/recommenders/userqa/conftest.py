"""Tiny language models that can be asked about users, and a prompt in their words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tastebench.testing.language_models import add_head, tiny_language_model

PROMPT = """
name: tiny
version: 1
system: a free kettle
history: "of the:"
entry: "{n} {item};"
empty: "for none;"
vectors: "with:"
question: "a {question}"
option: " {label} {option};"
answer: " the "
labels: [kettle, lamp, chair, pan]
"""


@pytest.fixture(scope="session")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("prompts") / "tiny.yaml"
    file.write_text(PROMPT, encoding="utf-8")
    return str(file)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of tiny models with heads."""
    root = tmp_path_factory.mktemp("models")
    room: dict[str, dict[str, Any]] = {"gpt2": {"n_positions": 256}}

    def get(architecture: str) -> Path:
        folder = root / architecture
        if not folder.exists():
            changes = room.get(architecture, {"max_position_embeddings": 256})
            if architecture == "qwen2":
                changes |= {"use_sliding_window": False}
            add_head(tiny_language_model(folder, architecture, **changes))
        return folder

    return get
