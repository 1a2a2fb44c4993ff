from __future__ import annotations

import pytest
from pydantic import ValidationError

from tastebench.build.prompt import Prompt, get_prompt


def test_the_prompt_of_the_package_asks_for_what_amazon_c4_asks_for(prompt: Prompt) -> None:
    """T15: not bought yet, review only, one to three sentences, nothing that names the item."""
    system, user = prompt.ask("A {review} with {braces}.")
    for phrase in ("has not bought", "one to three sentences", "brand", "language of the review"):
        assert phrase in system["content"]
    assert "A {review} with {braces}." in user["content"]


def test_a_second_question_holds_the_answer_and_its_faults(prompt: Prompt) -> None:
    asked = prompt.ask_again("R", "A", ["too long", "it says {faults}"])
    assert [m["role"] for m in asked] == ["system", "user", "assistant", "user"]
    assert asked[:2] == prompt.ask("R")
    assert asked[2]["content"] == "A"
    assert "too long; it says {faults}" in asked[3]["content"]


def test_every_word_and_setting_is_in_the_hash(prompt: Prompt) -> None:
    for field in ("system", "user", "retry"):
        changed = prompt.model_copy(update={field: getattr(prompt, field) + " "})
        assert changed.hash != prompt.hash
    assert prompt.model_copy(update={"max_tokens": 5}).hash != prompt.hash
    assert get_prompt("complex-query-v1").hash == prompt.hash


def test_a_prompt_without_its_place_is_refused(prompt: Prompt) -> None:
    with pytest.raises(ValidationError, match="review"):
        Prompt(**{**prompt.model_dump(), "user": "nothing"})
