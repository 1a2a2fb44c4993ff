from __future__ import annotations

from pathlib import Path

import pytest

from tastebench.errors import DataError, UsageError
from tastebench.recommenders.llm.prompt import Prompt, filled, get_prompt, prompt_names

BASE = {
    "name": "mine",
    "version": 1,
    "kind": "pairwise",
    "entry": "({n}) {item}\n",
    "candidate": "Candidate: {item}\n",
    "answer": "Answer: ",
}


def test_every_prompt_that_is_shipped_is_called_as_its_file() -> None:
    assert prompt_names() == [get_prompt(name).title for name in prompt_names()]
    kinds = {get_prompt(name).kind for name in prompt_names()}
    assert kinds == {"pairwise", "matching", "list", "next", "title"}


def test_the_short_prompt_reads_as_a_text() -> None:
    assert get_prompt("yes-no-v1").user(["wool socks", "a {n} {item}"], ["kettle"]) == (
        "You recommend items. Say Yes if the user will like the candidate item, and No if not.\n"
        "User behavior sequence:\n"
        "(1) wool socks\n"
        "(2) a {n} {item}\n"
        "Candidate item: kettle\n"
        "Answer (Yes/No): "
    )


def test_a_history_without_items_is_said_to_be_empty() -> None:
    text = get_prompt("yes-no-v1").user([], ["kettle"])
    assert "User behavior sequence:\n(none yet)\nCandidate item: kettle\n" in text


def test_several_candidates_are_numbered() -> None:
    text = get_prompt("list-v1").user(["socks"], ["kettle", "lamp"])
    assert "(1) socks\nCandidate items:\n[1] kettle\n[2] lamp\n" in text


def test_a_conversation_has_a_system_message_where_the_prompt_has_one() -> None:
    chat = get_prompt("yes-no-chat-v1").conversation(["socks"], ["kettle"])
    assert [message["role"] for message in chat] == ["system", "user"]
    assert chat[1]["content"].endswith("Answer (Yes/No):")
    short = get_prompt("yes-no-v1").conversation(["socks"], ["kettle"])
    assert [message["role"] for message in short] == ["user"]


def test_a_text_of_an_item_is_one_line() -> None:
    assert filled("({n}) {item}\n", 3, " two\nlines \t here ") == "(3) two lines here\n"


def test_every_word_is_part_of_the_identity() -> None:
    prompt = Prompt.model_validate(BASE)
    assert prompt.hash == Prompt.model_validate(BASE).hash
    for change in ({"answer": "Answer:"}, {"yes": "yes"}, {"version": 2}, {"system": "Judge."}):
        assert Prompt.model_validate({**BASE, **change}).hash != prompt.hash


def test_a_file_of_ones_own_is_a_prompt_and_yes_and_no_are_words_in_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "name: mine\nversion: 3\nkind: pairwise\nentry: '- {item}'\ncandidate: 'New: {item}'\n"
        "answer: 'Gut? '\nyes: Yes\nno: No\n"
    )
    prompt = get_prompt(str(file))
    assert (prompt.title, prompt.yes, prompt.no) == ("mine-v3", "Yes", "No")


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no prompt 'yes-no-v2': did you mean .*yes-no-v1"):
        get_prompt("yes-no-v2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entry": "({n}) item"}, "entry needs {item} once"),
        ({"entry": "{item} {n}"}, "entry needs {item} once, and {n} only before it"),
        ({"entry": "({n}){item}"}, "entry needs a blank before {item}"),
        ({"candidate": "({n}) {item}"}, "candidate has no {n}"),
        ({"kind": "list"}, "candidate needs {n}"),
        ({"kind": "next"}, "a prompt for the next item has no candidate"),
        ({"no": " Yes"}, "yes and no must be two different words"),
        ({"no": " "}, "yes and no must be two different words"),
        ({"sistem": "x"}, "sistem: Extra inputs are not permitted"),
    ],
)
def test_what_is_no_prompt_is_refused_with_the_reason(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    import json

    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({**BASE, **change}))
    with pytest.raises(DataError) as error:
        get_prompt(str(file))
    assert message in error.value.what
    assert error.value.where == str(file)


def test_broken_yaml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: [")
    with pytest.raises(DataError, match="this is no prompt"):
        get_prompt(str(file))
