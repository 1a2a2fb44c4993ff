"""Prompts in words: the same as of the prompt itself, as long as there is room."""

from __future__ import annotations

import numpy as np
import pytest

from tastebench.errors import UsageError
from tastebench.lm.asking import tokens_of
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.prompt import get_prompt, prompt_names
from tastebench.recommenders.llm.words import Words, cut_to

TEXTS = ["red scarf", "登山靴 for {item} <|im_end|>", "tea", "a {n} b", "blue scarf of wool"]
HISTORIES = Ragged.from_lists([[0, 1, 2], [], [4, 3]])


def made(words: Words, histories: Ragged, asker: list[int], item: list[int]) -> list[str]:
    before, prefixes = words.prefixes(histories)
    behind = words.suffixes(np.array(item), prefixes.room[np.array(asker)])
    return [
        words.conversation(before[who] + text)[-1]["content"]
        for who, text in zip(asker, behind, strict=True)
    ]


@pytest.mark.parametrize("name", [n for n in prompt_names() if get_prompt(n).kind == "pairwise"])
def test_with_room_for_all_a_prompt_is_what_its_file_says(name: str) -> None:
    prompt = get_prompt(name)
    words = Words(prompt, TEXTS, 5, 2000, answer=8)
    asker, item = [0, 0, 1, 2], [3, 4, 1, 0]
    for got, who, what in zip(made(words, HISTORIES, asker, item), asker, item, strict=True):
        history = [TEXTS[i] for i in HISTORIES[who]]
        expected = prompt.conversation(history, [TEXTS[what]])
        assert words.conversation(got) == expected


def test_what_has_no_room_is_the_oldest_and_the_rest_is_numbered_anew() -> None:
    prompt = get_prompt("yes-no-v1")
    texts = [f"{'word ' * 20}{i}" for i in range(9)]
    words = Words(prompt, texts, 9, 200, answer=4)
    history = Ragged.from_lists([list(range(8))])
    got = made(words, history, [0], [8])[0]
    shown = [line for line in got.splitlines() if line.startswith("(")]
    kept = int(words.prefixes(history)[1].kept[0])
    assert 1 < kept < 8
    assert shown == [f"({n}) {texts[8 - kept + n - 1]}" for n in range(1, kept + 1)]
    assert tokens_of(words.conversation(got)) + 4 <= 200
    # One more item would have been too long.
    more = prompt.conversation(texts[8 - kept - 1 : 8], [texts[8]])
    assert tokens_of(more) + 4 > 200


def test_a_long_text_is_cut_between_characters() -> None:
    texts = ["é" * 1000, "short"]
    words = Words(get_prompt("yes-no-v1"), texts, 3, 200, answer=1)
    got = made(words, Ragged.from_lists([[1]]), [0], [0])[0]
    shown = got.split("Candidate item: ")[1].split("\n")[0]
    # A fifth of 200 tokens of 4 bytes is 160 bytes, of which one is the blank before the text.
    assert shown == "é" * 79
    assert cut_to("é" * 1000, 159) == "é" * 79


def test_a_prompt_without_room_for_items_says_what_would_do() -> None:
    with pytest.raises(UsageError, match="the items need 40%") as error:
        Words(get_prompt("yes-no-chat-v1"), TEXTS, 5, 100, answer=8)
    assert error.value.fix is not None
    enough = int(error.value.fix.split()[1].rstrip(","))
    Words(get_prompt("yes-no-chat-v1"), TEXTS, 5, enough, answer=8)
    with pytest.raises(UsageError):
        Words(get_prompt("yes-no-chat-v1"), TEXTS, 5, enough - 2, answer=8)
