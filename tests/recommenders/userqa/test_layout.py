"""Prompts: what is said, in which tokens, and that the answer always has room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import Items, Questions
from tastebench.errors import DataError, UsageError
from tastebench.lm.headed import Headed, load_headed
from tastebench.lm.load import find_model
from tastebench.ragged import Ragged
from tastebench.recommenders.userqa.layout import Layout, item_lines, make_layout
from tastebench.recommenders.userqa.prompt import QaPrompt, get_qa_prompt, qa_prompt_names
from tastebench.recommenders.userqa.reading import QaReader
from tastebench.recommenders.userqa.settings import ReaderSettings
from tastebench.testing.user_questions import COLOURS, favourites, shop

CHAT = (
    "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


@pytest.fixture
def headed(models: Callable[[str], Path]) -> Headed:
    return load_headed(find_model(str(models("llama"))))


@pytest.fixture
def layout(headed: Headed, prompt: str) -> Layout:
    return make_layout(get_qa_prompt(prompt), headed, 200, chat=False)


def words(layout: Layout, tokens: np.ndarray) -> str:
    text: str = layout.spelling.tokenizer.decode(tokens.tolist())
    return text


def one(text: str = "oak for chair", options: tuple[str, ...] = COLOURS) -> Questions:
    return replace(favourites(1, 0), text=[text], options=[options])


# ------------------------------------------------------------------------------------- prompts


def test_shipped_prompts_are_of_each_language() -> None:
    assert qa_prompt_names() == [
        *("user-en-v1", "user-en-words-v1"),
        *("user-zh-v1", "user-zh-words-v1"),
    ]
    for language in ("en", "zh"):
        prompt = get_qa_prompt("auto", language)
        assert prompt.language == language
        assert prompt.labels[:4] == ("A", "B", "C", "D")
        assert prompt.title == f"user-{language}-v1"


def test_languages_without_a_prompt_are_told_so() -> None:
    with pytest.raises(UsageError, match=r"no prompt asks in the language 'de': user-en-v1"):
        get_qa_prompt("auto", "de")


def test_unknown_names_are_told_their_neighbours() -> None:
    with pytest.raises(UsageError, match="no prompt 'user-en': did you mean user-en-v1"):
        get_qa_prompt("user-en")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": "{question}"}, "question needs {question} once, with a blank before it"),
        ({"option": "{option} {label}"}, "option needs {option} once"),
        ({"option": " {option} {label}"}, "option needs {label} once, before"),
        ({"entry": " {item} {n}"}, "entry has {n} only before"),
        ({"labels": ("A", "A")}, "labels must be different"),
    ],
)
def test_a_prompt_that_is_none_is_refused(changes: dict[str, Any], message: str) -> None:
    good = get_qa_prompt("user-en-v1").model_dump()
    with pytest.raises(ValueError, match=message):
        QaPrompt.model_validate({**good, **changes})


def test_a_file_that_is_no_prompt_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nversion: 1\nentry: ' {item}'\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"question: Field required(.|\n)*mine\.yaml"):
        get_qa_prompt(str(file))


# ------------------------------------------------------------------------------------- tokens


def test_a_question_reads_as_it_is_written(layout: Layout) -> None:
    found = layout.suffixes(one())
    assert not found.cut.any()
    assert words(layout, found.tokens[0]) == (
        "a oak for chair kettle red; lamp grey; chair blue; pan black; the"
    )
    assert words(layout, layout.head()) == "a free kettle\nwith:"
    assert words(layout, layout.labels) == " kettle lamp chair pan"


def test_events_read_as_they_are_written_oldest_first(layout: Layout) -> None:
    pieces = layout.events(shop(), 3, 400)
    found = pieces.prefixes(Ragged.from_lists([[4, 1], []]))
    # Vectors are not spoken of.
    assert words(layout, found.tokens[0]) == "a free kettle\nof the:1 set 4 | red;2 set 1 | grey;"
    assert words(layout, found.tokens[1]).endswith("of the:for none;")


def test_pieces_of_texts_are_never_places(layout: Layout) -> None:
    found = layout.suffixes(one("a {option} for {label}", ("{question}", "red", "blue", "a")))
    assert "a a {option} for {label} kettle {question}; lamp red;" in words(layout, found.tokens[0])


def test_items_are_shown_by_their_columns() -> None:
    assert item_lines(shop())[5] == "set 5 | grey"
    columns = {"title": ["a\nb", "", "c"], "brand": ["", "", "d"]}
    assert item_lines(Items(n=3, text=["x"] * 3, columns=columns)) == ["a b", "", "c | d"]
    assert item_lines(Items(n=1, text=["x  y"])) == ["x y"]
    with pytest.raises(UsageError, match="these items have none"):
        item_lines(Items(n=1))


def test_a_chat_frames_the_question_and_its_turn_ends_the_answer(
    headed: Headed, prompt: str
) -> None:
    headed.tokenizer.chat_template = CHAT
    layout = make_layout(get_qa_prompt(prompt), headed, 200, chat=True)
    asked = np.concatenate([layout.head(), layout.suffixes(one()).tokens[0]])
    assert words(layout, asked) == (
        "<s>system\na free kettle</s>\n<s>user\nwith:"
        "a oak for chair kettle red; lamp grey; chair blue; pan black; the</s>\n<s>assistant\n"
    )
    assert layout.end.tolist() == [headed.tokenizer.convert_tokens_to_ids("</s>")]
    assert words(layout, layout.labels[:1]) == "kettle"


def test_labels_that_need_a_blank_of_their_own_get_it(
    asset: Callable[[str], Path],
) -> None:
    """The stories model reads B with its blank as one token and A as two."""
    headed = load_headed(find_model(str(asset("models/stories260k"))))
    layout = make_layout(get_qa_prompt("user-en-v1"), headed, 200, chat=False)
    letters = [layout.spelling.tokenizer.convert_ids_to_tokens(int(t)) for t in layout.labels]
    assert letters == list("ABCDEFGH")
    assert words(layout, layout.after).endswith("Answer: ")


def test_labels_that_are_no_tokens_are_refused(headed: Headed) -> None:
    with pytest.raises(UsageError, match=r"reads the labels unheard of, B as several tokens"):
        make_layout(
            get_qa_prompt("user-en-v1").model_copy(update={"labels": ("unheard of", "B")}),
            headed,
            200,
            chat=False,
        )


# ----------------------------------------------------------------------------- room (T26)


@pytest.mark.parametrize("room", [34, 40, 60])
def test_what_is_too_long_is_cut_and_never_what_asks_for_the_answer(
    headed: Headed, prompt: str, room: int
) -> None:
    layout = make_layout(get_qa_prompt(prompt), headed, room, chat=False)
    long = one("red " * 90, ("blue " * 50, "red", "pan " * 3, "a"))
    found = layout.suffixes(long)
    assert found.tokens.lengths.tolist() == [room]
    assert found.cut.tolist() == [True] and found.alike.tolist() == [False]
    text = words(layout, found.tokens[0])
    assert text.startswith("a red red") and text.endswith("; the")
    assert " lamp red;" in text and " pan a;" in text


def test_options_that_differ_only_where_they_are_cut_are_told_of(
    headed: Headed, prompt: str
) -> None:
    layout = make_layout(get_qa_prompt(prompt), headed, 60, chat=False)
    lists = "blue " * 50
    assert layout.suffixes(one("red", (f"{lists}red", f"{lists}pan", "red", "a"))).alike.all()
    assert not layout.suffixes(one("red", (f"red {lists}", f"pan {lists}", "red", "a"))).alike.any()
    assert not layout.suffixes(one("red", ("red", "red pan", "pan", "a"))).alike.any()


def test_no_room_at_all_is_said(headed: Headed, prompt: str) -> None:
    layout = make_layout(get_qa_prompt(prompt), headed, 16, chat=False)
    with pytest.raises(UsageError, match=r"tiny-v1 takes \d+ of the 16 tokens(.|\n)*question_len"):
        layout.suffixes(one())


@pytest.mark.parametrize("max_length", [64, 120, 250])
def test_every_lesson_ends_with_its_answer(
    models: Callable[[str], Path], prompt: str, max_length: int
) -> None:
    """T26: whatever else is left out, and the prompt is no longer than it may be."""
    config = ReaderSettings(
        model=str(models("llama")), prompt=prompt, max_length=max_length, question_length=60
    )
    reader = QaReader(config, "none", "en")
    questions = favourites(30, 0)
    questions = replace(questions, text=["red " * (3 * i) for i in range(30)])
    pieces = reader.layout.events(shop(), 12, reader.max_length)
    prefixes = pieces.prefixes(questions.history)
    lessons = reader.lessons(prefixes.tokens, questions)
    texts = Ragged(lessons.texts.values, lessons.texts.offsets)
    assert texts.lengths.max() <= max_length
    labels = reader.layout.labels[questions.gold]
    end = int(reader.layout.end[0])
    assert [text[-2:].tolist() for text in texts] == [[int(one), end] for one in labels]
    left_out = questions.history.lengths - prefixes.kept
    assert (left_out > 0).any() == (max_length < 250)
    assert lessons.cut > 0
    if left_out[0]:
        shown = words(reader.layout, prefixes.tokens[0])
        assert shown.rstrip(";").endswith(item_lines(shop())[questions.history[0][-1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([("a", "b"), ("a", "b", "c")], r"questions have \[2, 3\] options: all need as many"),
        ([tuple("abcde")] * 2, "questions have 5 options, and the prompt tiny-v1 has 4 labels"),
    ],
)
def test_options_that_do_not_go_with_the_labels_are_refused(
    layout: Layout, options: list[tuple[str, ...]], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        layout.suffixes(replace(favourites(2, 0), options=options))


def test_a_model_that_does_not_continue_texts_is_refused(models: Callable[[str], Path]) -> None:
    config = ReaderSettings(model=str(models("bert")))
    with pytest.raises(UsageError, match=r"'bert' is an encoder, and answers are what continues"):
        QaReader(config, "none", "en")
