"""What an answer says: worked out by hand."""

from __future__ import annotations

import math

import pytest

from tastebench.lm.answers import Token
from tastebench.recommenders.llm.answers import Order, log_odds, order_of, said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes", True),
        ("yes.", True),
        ("**NO**", False),
        ("No, this user reads novels.", False),
        ("Answer: Yes", True),
        ("They like wool, so the scarf fits.\nFinal answer: yes.", True),
        ("The answer is no", False),
        ("<think>No... or yes?</think>\nYes", True),
        ("<think>Yes, I am sure", None),  # cut off before it answered
        ("Yes and no", None),
        ("Yes or No?", None),
        ("I have no idea", None),
        ("Nothing to say", None),
        ("Yesterday", None),
        ("Да", None),
        ("はい", None),
        ("As a language model I cannot know.", None),
        ("", None),
        ("  \n ", None),
    ],
)
def test_only_what_is_said_counts(text: str, expected: bool | None) -> None:
    assert said(text, "Yes", "No") is expected


def test_words_of_any_language_and_length_may_be_asked_for() -> None:
    assert said("是。", "是", "否") is True
    assert said("I like it, yes", "I like it", "not for me") is True
    assert said("Not for me!", "I like it", "not for me") is False


def p(text: str, probability: float) -> tuple[str, float]:
    return text, math.log(probability)


def token(*top: tuple[str, float]) -> Token:
    return Token(top[0][0], top[0][1], top)


def test_all_spellings_of_an_answer_count_together() -> None:
    first = token(p(" Yes", 0.3), p("yes", 0.1), p("No", 0.2), p("YES.", 0.05), p("Maybe", 0.02))
    odds = log_odds([first, token(p(".", 1.0))], "Yes", "No")
    assert odds is not None
    assert odds.score == pytest.approx(math.log(0.45 / 0.2))
    assert not odds.bounded


def test_an_answer_that_is_not_among_the_likeliest_is_as_likely_as_the_last_of_them() -> None:
    odds = log_odds([token(p("No", 0.8), p("Well", 0.15), p("Hm", 0.01))], "Yes", "No")
    assert odds is not None and odds.bounded
    assert odds.score == pytest.approx(math.log(0.01 / 0.8))
    assert log_odds([token(p("Well", 0.9), p("Hm", 0.1))], "Yes", "No") is None
    assert log_odds([], "Yes", "No") is None


def test_a_word_of_several_tokens_is_known_by_its_beginning() -> None:
    odds = log_odds([token(p("Abs", 0.6), p("Nev", 0.3), p("A", 0.1))], "Absolutely", "Never")
    assert odds is not None
    assert odds.score == pytest.approx(math.log(0.7 / 0.3))
    # What both begin with says nothing.
    odds = log_odds([token(p("un", 0.5), p("unl", 0.3), p("unh", 0.2))], "unlike", "unhappy")
    assert odds is not None and odds.score == pytest.approx(math.log(0.3 / 0.2))


def test_a_preamble_is_waited_for() -> None:
    yes = token(p(" Yes", 0.75), p(" No", 0.25))
    said_before = [
        token(p("The", 0.9), p("No", 0.1)),
        token(p(" answer", 1.0)),
        token(p(" is", 1.0)),
    ]
    expected = pytest.approx(math.log(3))
    for before in ([], [token(p("\n", 1.0))], [token(p("**", 1.0))], said_before):
        odds = log_odds([*before, yes], "Yes", "No")
        assert odds is not None and odds.score == expected
    # The text is no answer, so its beginning is what is asked about.
    odds = log_odds(
        [token(p("There", 0.5), p("No", 0.3), p("Yes", 0.2)), token(p(" is", 1.0))], "Yes", "No"
    )
    assert odds is not None and odds.score == pytest.approx(math.log(0.2 / 0.3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[2] > [3] > [1]", Order((1, 2, 0), True)),
        ("2, 3, 1", Order((1, 2, 0), True)),
        ("Of the 3 candidates: [3] > [1] > [2]", Order((2, 0, 1), True)),
        ("<think>[1] > [2] > [3]</think>[3] > [2] > [1]", Order((2, 1, 0), True)),
        ("[2] > [3]", Order((1, 2), False)),
        ("[2] > [3] > [1] > [2]", Order((1, 2, 0), False)),
        ("[2] > [3] > [1] > [4]", Order((1, 2, 0), False)),
        ("[0] > [1] > [2]", Order((0, 1), False)),
        ("the best is the scarf", Order((), False)),
        ("", Order((), False)),
    ],
)
def test_an_order_is_whole_or_it_is_not(text: str, expected: Order) -> None:
    assert order_of(text, 3) == expected
