"""T6: the newest items are kept, numbered from 1, within the length, and always in one way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.errors import DataError, UsageError
from tastebench.lm.spelling import Spelling
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.pieces import Frame, Pieces, make_frame
from tastebench.recommenders.llm.prompt import Prompt, get_prompt
from tastebench.testing.language_models import add_head, tiny_language_model

TEXTS = ["red wool socks", "a black kettle for the kitchen", "lamp", "", "tent {n} {item} </s>"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("model")
    return AutoTokenizer.from_pretrained(add_head(tiny_language_model(folder, "llama")))


def named(row: int) -> str:
    return f"item {row}"


def pieces(tokenizer: Any, prompt: str = "yes-no-v1", length: int = 20, room: int = 2000) -> Pieces:
    spelling = Spelling(tokenizer, "it")
    return Pieces.of(
        make_frame(get_prompt(prompt), spelling, length, chat=False),
        spelling.texts(TEXTS, named),
        room,
        answer=1,
        with_candidate=get_prompt(prompt).kind == "pairwise",
        name_of=named,
    )


def read(tokenizer: Any, made: Pieces, history: list[int], candidate: int) -> str:
    prefixes = made.prefixes(Ragged.from_lists([history]))
    suffix = made.suffixes(np.array([candidate]), prefixes.room)
    text: str = tokenizer.decode(np.r_[prefixes.tokens[0], suffix[0]].tolist())
    return text


@pytest.mark.parametrize("prompt", ["yes-no-v1", "yes-no-chat-v1", "yes-no-chat-terse-v1"])
def test_the_tokens_say_what_the_prompt_says(tokenizer: Any, prompt: str) -> None:
    made = pieces(tokenizer, prompt)
    told = get_prompt(prompt)
    system = "" if told.system is None else f"{told.system}\n"
    for history in ([0, 1, 4], [], [2]):
        words = told.user([TEXTS[i] for i in history], [TEXTS[1]])
        assert read(tokenizer, made, history, 1) == (system + words).rstrip()


def test_every_shipped_prompt_for_yes_or_no_has_its_pieces(tokenizer: Any) -> None:
    for prompt in ("yes-no-chat-friend-v1", "match-v1", "next-v1"):
        assert len(pieces(tokenizer, prompt).frame.head) > 0


# A frame of single tokens, so that lengths can be counted by hand: head 2, number 1 (2 from the
# 10th on), end 1, candidate 1, answer 2; an item of n tokens is 100 + its row, n times.
FRAME = Frame(
    head=np.array([1, 2], np.int32),
    numbers=Ragged.from_lists([[10 + n] if n < 9 else [10 + n, 10] for n in range(12)]),
    entry_end=np.array([3], np.int32),
    empty=np.array([4], np.int32),
    candidate=np.array([5], np.int32),
    end=np.array([6, 7], np.int32),
    lead=" ",
    first=np.array([1], np.int32),
    last=np.array([], np.int32),
)


def counted(lengths: list[int], room: int, answer: int = 1) -> Pieces:
    items = Ragged.from_lists([[100 + i] * n for i, n in enumerate(lengths)])
    return Pieces.of(FRAME, items, room, answer=answer, with_candidate=True, name_of=named)


def test_the_latest_items_are_kept_and_numbered_from_1_the_oldest_first() -> None:
    # 2 + 1 + 2 + 1 = 6 tokens without items, 2 for the longest candidate; an entry takes 4
    made = counted([2, 2, 2, 2], room=20)
    prefixes = made.prefixes(Ragged.from_lists([[0, 1, 2, 3], [1]]))
    assert prefixes.kept.tolist() == [3, 1]  # 8 + 3 * 4 = 20
    assert prefixes.tokens[0].tolist() == [
        *(1, 2),
        *(10, 101, 101, 3),
        *(11, 102, 102, 3),
        *(12, 103, 103, 3),
        5,
    ]
    assert prefixes.tokens[1].tolist() == [1, 2, 10, 101, 101, 3, 5]
    assert made.suffixes(np.array([2]), prefixes.room[:1])[0].tolist() == [102, 102, 6, 7]
    assert counted([2, 2, 2, 2], room=19).prefixes(Ragged.from_lists([[0, 1, 2, 3]])).kept == [2]


def test_a_text_of_an_item_has_a_fifth_of_the_room() -> None:
    made = counted([9, 3, 4, 5], room=20)
    assert made.items.lengths.tolist() == [4, 3, 4, 4]
    assert made.cut.tolist() == [True, False, False, True]
    prefixes = made.prefixes(Ragged.from_lists([[1, 0], [1, 2], []]))
    assert prefixes.shortened.tolist() == [1, 0, 0]
    short = made.shortened(np.array([0, 1, 2]), prefixes.room)
    assert short.tolist() == [True, False, False]


def test_candidates_are_halved_where_else_not_even_one_item_fits() -> None:
    # 6 + 1 (candidate's text) + 2 + entry of 4: with room 11 the candidate of 2 is cut to 1
    made = counted([2, 2], room=11)
    prefixes = made.prefixes(Ragged.from_lists([[0], []]))
    assert prefixes.room.tolist() == [1, 2]
    assert prefixes.kept.tolist() == [1, 0]
    suffixes = made.suffixes(np.array([1, 1]), prefixes.room)
    assert suffixes.to_lists() == [[101, 6, 7], [101, 101, 6, 7]]
    assert made.shortened(np.array([1, 1]), prefixes.room).tolist() == [True, False]


def test_an_item_without_room_is_an_error_that_names_it() -> None:
    made = counted([2, 2], room=10)
    with pytest.raises(DataError, match="the text of item 1 has no room in a prompt of 10 tokens"):
        made.prefixes(Ragged.from_lists([[], [0, 1]]))


def test_a_prompt_without_room_for_anything_is_refused() -> None:
    with pytest.raises(UsageError, match="the prompt alone takes 7 tokens, and 7 are all"):
        counted([1], room=7)


def test_no_history_is_said_to_be_none() -> None:
    prefixes = counted([1], room=20).prefixes(Ragged.from_lists([[]]))
    assert prefixes.tokens[0].tolist() == [1, 2, 4, 5]


def test_a_longer_history_than_there_are_numbers_is_cut() -> None:
    made = counted([1], room=1000)
    assert made.prefixes(Ragged.from_lists([[0] * 40])).kept.tolist() == [12]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_prompt_is_as_long_as_it_may_be_and_no_longer(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=6))
    room = data.draw(st.integers(20, 80))
    made = counted(lengths, room)
    item = st.integers(0, len(lengths) - 1)
    history = data.draw(st.lists(item, max_size=12))
    prefixes = made.prefixes(Ragged.from_lists([history]))
    kept, free = int(prefixes.kept[0]), int(prefixes.room[0])
    shown = history[len(history) - kept :]

    def entries(some: list[int]) -> int:
        return sum((1 if n < 9 else 2) + int(made.items.lengths[i]) + 1 for n, i in enumerate(some))

    wanted = 6 + free + (entries(shown) if shown else 1)
    assert wanted <= room
    assert len(prefixes.tokens[0]) == 3 + (entries(shown) if shown else 1)
    if kept < len(history):
        assert 6 + free + entries(history[len(history) - kept - 1 :]) > room
    candidate = data.draw(item)
    suffix = made.suffixes(np.array([candidate]), prefixes.room)[0]
    assert len(prefixes.tokens[0]) + len(suffix) + 1 <= room
    found = prefixes.tokens[0].tolist()
    assert [t - 100 for t in dict.fromkeys(found) if t >= 100] == [
        i for i in dict.fromkeys(shown) if made.items.lengths[i]
    ]


def test_what_an_asker_is_shown_depends_on_no_candidate_and_on_no_other_asker() -> None:
    made = counted([3, 1, 4], room=30)
    together = made.prefixes(Ragged.from_lists([[0, 1, 2, 2, 2], [2], []]))
    for q, history in enumerate([[0, 1, 2, 2, 2], [2], []]):
        alone = made.prefixes(Ragged.from_lists([history]))
        assert alone.tokens[0].tolist() == together.tokens[q].tolist()


# -------------------------------------------------------------------------------------- chats

TEMPLATES = {
    "system": "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "no system": "{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('no system') }}{% endif %}[{{ m.role }}] {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}",
    "silent system": "{% for m in messages if m.role != 'system' %}[{{ m.role }}] {{ m.content }}"
    "\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}",
}


@pytest.fixture
def chatting(tokenizer: Any) -> Callable[[str], Any]:
    import copy

    def get(template: str) -> Any:
        made = copy.deepcopy(tokenizer)
        made.chat_template = TEMPLATES.get(template, template)
        return made

    return get


def chat_frame(tokenizer: Any, prompt: Prompt | None = None) -> tuple[Frame, Pieces]:
    spelling = Spelling(tokenizer, "it")
    frame = make_frame(prompt or get_prompt("yes-no-chat-v1"), spelling, 5, chat=True)
    made = Pieces.of(
        frame, spelling.texts(TEXTS, named), 3000, answer=1, with_candidate=True, name_of=named
    )
    return frame, made


def test_a_prompt_stands_in_the_models_own_chat(chatting: Callable[[str], Any]) -> None:
    tokenizer = chatting("system")
    frame, made = chat_frame(tokenizer)
    conversation = get_prompt("yes-no-chat-v1").conversation([TEXTS[0]], [TEXTS[1]])
    whole = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    assert read(tokenizer, made, [0], 1) == whole
    assert frame.lead == ""


@pytest.mark.parametrize("template", ["no system", "silent system"])
def test_a_chat_without_a_system_has_the_user_say_its_words(
    chatting: Callable[[str], Any], template: str
) -> None:
    tokenizer = chatting(template)
    frame, made = chat_frame(tokenizer)
    text = read(tokenizer, made, [0], 1)
    assert text.startswith("[user] You are a recommender system.")
    assert text.endswith(
        "Answer (Yes/No):" + (" " if template == "no system" else "\n") + ("[assistant]")
    )
    assert frame.lead == " "


def test_a_text_cannot_end_the_users_turn(chatting: Callable[[str], Any]) -> None:
    tokenizer = chatting("<s>{% for m in messages %}{{ m.content }}</s>{% endfor %}")
    _, made = chat_frame(tokenizer)
    prefixes = made.prefixes(Ragged.from_lists([[4]]))
    ids = [*prefixes.tokens[0], *made.suffixes(np.array([4]), prefixes.room)[0]]
    # of the system's and the user's message; the two titles that spell </s> add none
    assert ids.count(tokenizer.eos_token_id) == 2


def test_a_template_that_does_not_show_the_user_is_refused(chatting: Callable[[str], Any]) -> None:
    with pytest.raises(UsageError, match="does not show what a user says once") as error:
        chat_frame(chatting("{{ messages | length }}"))
    assert error.value.fix == "chat: never"


@pytest.mark.assets
def test_pieces_of_a_trained_model_say_what_the_prompt_says(asset: Callable[[str], Path]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(asset("models/stories260k"))
    made = pieces(tokenizer)
    wanted = get_prompt("yes-no-v1").user([TEXTS[0], TEXTS[4]], [TEXTS[1]]).rstrip()
    assert read(tokenizer, made, [0, 4], 1) == f"<s>{wanted}"
