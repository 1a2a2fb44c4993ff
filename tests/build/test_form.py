from __future__ import annotations

import pytest

from tastebench.build.form import form_faults, is_first_person, sentences, tidy_query


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I need a lamp", 1),
        ("I need a lamp. It must be warm! Do you have one?", 3),
        ("I need a lamp. It must be warm. And small. And cheap.", 4),
        ("I need one, e.g. a 3.5 mm jack, for my son.", 1),
        ('He said "use wool." I want wool.', 2),
        ("\u6211\u8981\u706f\u3002\u8981\u4eae\u3002", 2),
        ("I need a lamp... ... .", 1),
        ("", 0),
    ],
)
def test_sentences(text: str, expected: int) -> None:
    assert sentences(text) == expected


def kinds(text: str, finish_reason: str = "stop", refusal: str | None = None) -> list[str]:
    return [fault.kind for fault in form_faults(text, finish_reason, refusal)]


def test_what_cannot_be_used_is_named() -> None:
    good = "I need a warm lamp for reading."
    assert kinds(good) == []
    assert kinds(good, "length") == ["cut off"]
    assert kinds("A. b. C d. E f.") == ["sentences"]
    assert kinds(" ... ") == ["empty"]
    assert kinds("", "content_filter") == ["refused"]
    assert kinds("", "stop", "I cannot help with that") == ["refused"]
    assert kinds("I just bought one.") == ["bought"]
    assert kinds("I\u2019ve ordered one before.") == ["bought"]
    assert kinds("I want to be bought one.") == []


def test_the_first_person() -> None:
    assert is_first_person("Something for my son")
    assert is_first_person("I'm looking for socks")
    assert not is_first_person("A lamp that does not flicker, version i.5")
    assert not is_first_person("Mice eat wires")


def test_an_answer_is_tidied() -> None:
    assert tidy_query("\u201cI need\n\n  socks.\u201d ") == "I need socks."
    assert tidy_query('I need "wool" socks') == 'I need "wool" socks'
