"""Both ends of the scale: who knows no user, who counts, and who reads everything."""
# ruff: noqa: RUF001 - some questions are in Chinese

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import (
    Answers,
    AnswersQuestions,
    Items,
    QaProblem,
    Questions,
    Values,
)
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import build_recommender, get_recommender
from tastebench.testing.user_questions import accuracy, favourites, problem, shop, shuffled
from tastebench.training.fit import FabricTrainer

TITLES = ["ball", "bat", "cap", "net", "pen", "ink", "pad", "gum"]
KIND = ["toy", "toy", "hat", "toy", "desk, blue", "desk, red", "desk, blue", ""]
"""Items of one kind, of two, and one of which nobody knows."""
KINDS = Values(
    Ragged.from_lists([[0], [0], [1], [0], [2, 3], [2, 4], [2, 3], []]),
    np.array(["toy", "hat", "desk", "blue", "red"], dtype=object),
)
ITEMS = Items(
    n=8, text=TITLES, columns={"title": TITLES, "category": KIND}, values={"category": KINDS}
)

SEQUENCE = [0, 4, 2, 1, 5, 4, 7, 3, 2, 2, 6, 4]
"""ball pen cap bat ink pen gum net cap cap pad pen: desk 5 times, blue 4, toy and hat 3, red 1; of
toy and hat, hat is the later."""


def asked(text: str, *options: str, history: list[int] | None = None, **more: Any) -> Questions:
    return Questions(
        history=Ragged.from_lists([SEQUENCE if history is None else history]),
        user=np.array([0]),
        text=[text],
        options=[options],
        gold=np.array([0]),
        kind=np.array([0]),
        kinds=("df",),
        **more,
    )


def case(train: Questions | None = None, shown: int = 12) -> QaProblem:
    one = asked("?", "a", "b") if train is None else train
    return QaProblem(8, shown, one, one, one)


def answers(
    name: str, questions: Questions, train: Questions | None = None, shown: int = 12
) -> Answers:
    card = get_recommender(name)
    made: Any = build_recommender(card, card.config())
    assert isinstance(made, AnswersQuestions)
    assert made.fit(case(train, shown), ITEMS, FabricTrainer(seed=0)).curve == ()
    found: Answers = made.answer(questions)
    assert len(found.status) == len(found.soft) == len(found.tokens) == len(questions)
    return found


def answered(name: str, questions: Questions) -> str:
    found = answers(name, questions)
    assert found.status == ["answered"]
    best = found.scores[0]
    assert (best == best.max()).sum() == 1
    return questions.options[0][int(best.argmax())]


# ------------------------------------------------------------------------------------ majority


def test_majority_counts_the_question_first_and_then_its_kind() -> None:
    """Three of `which?` and one of `what?`; what none of both had shares the rest."""
    train = Questions(
        history=Ragged.from_lists([[0]]),
        user=np.zeros(4, np.int64),
        text=["which?", "which?", "which?", "what?"],
        options=[("x", "y"), ("y", "x"), ("x", "y"), ("y", "z")],
        gold=np.array([0, 0, 0, 1]),
        kind=np.zeros(4, np.int64),
        kinds=("df",),
    )
    found = answers("majority", asked("which?", "x", "y", "z"), train)
    prior = 1 / 5  # of (n + 1) answers of the kind
    shares = np.array([2 + prior * 3, 1 + prior * 2, 0 + prior * 2])
    np.testing.assert_allclose(np.exp(found.scores[0]), shares / shares.sum(), rtol=1e-5)
    new = answers("majority", asked("never asked?", "z", "x", "w"), train)
    np.testing.assert_allclose(np.exp(new.scores[0]), np.array([2, 3, 1]) / 6, rtol=1e-5)
    other = replace(asked("never asked?", "z", "x"), kinds=("mf",))
    np.testing.assert_allclose(np.exp(answers("majority", other, train).scores[0]), 0.5)


def test_majority_knows_no_user() -> None:
    shops = problem()
    card = get_recommender("majority")
    made: Any = build_recommender(card, card.config())
    made.fit(shops, shop(), FabricTrainer(seed=0))
    test = favourites(100, 7)
    np.testing.assert_array_equal(made.answer(test).scores, made.answer(shuffled(test)).scores)
    assert accuracy(made.answer(shops.test).scores, shops.test) == pytest.approx(0.25, abs=0.1)


def test_majority_without_questions_says_so() -> None:
    nothing = replace(asked("?", "a"), user=np.empty(0, np.int64), text=[], options=[])
    with pytest.raises(UsageError, match="there are no training questions"):
        answers("majority", asked("?", "a"), nothing)


# -------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("text", "options", "right"),
    [
        ("likes?", ("toy", "red", "desk", "sea"), "desk"),
        ("likes?", ("red", "toy", "sea"), "toy"),
        ("title?", ("bat", "pen", "cup"), "pen"),  # in whichever column it stands
        ("whole?", ("desk, red", "desk, blue"), "desk, blue"),
        ("order?", ("toy > desk > blue", "desk > blue > toy", "blue > desk > toy"), None),
        ("order?", ("toy > desk > blue", "desk > blue > hat", "blue > desk > hat"), None),
        ("how long?", ("11", "12", "24", "13"), "12"),
        ('how many "desk"?', ("12", "4", "10", "5"), "5"),
        ("有多少个“hat”？", ("3", "2", "6", "12"), "3"),
    ],
)
def test_counting_takes_what_the_user_had_most(
    text: str, options: tuple[str, ...], right: str | None
) -> None:
    found = answered("attribute-count", asked(text, *options))
    assert found == (right or options[1])


def test_counting_lists_weighs_their_places() -> None:
    """3 * 5 + 2 * 4 + 1 * 3 for the order of the counts."""
    found = answers("attribute-count", asked("?", "desk > blue > toy", "toy > blue > desk"))
    gap = found.scores[0, 0] - found.scores[0, 1]
    assert gap == pytest.approx((3 * 5 + 2 * 4 + 3) - (3 * 3 + 2 * 4 + 5))


def test_counting_learns_the_shop() -> None:
    """What users like is what they had most."""
    shops = problem()
    card = get_recommender("attribute-count")
    made: Any = build_recommender(card, card.config())
    made.fit(shops, shop(), FabricTrainer(seed=0))
    assert accuracy(made.answer(shops.test).scores, shops.test) > 0.97  # equal counts cost some
    others = shuffled(shops.test)
    assert accuracy(made.answer(others).scores, others) == pytest.approx(0.25, abs=0.1)


def test_counting_of_no_history_says_nothing() -> None:
    found = answers("attribute-count", asked("likes?", "toy", "hat", history=[]))
    np.testing.assert_allclose(np.exp(found.scores[0]), 0.5)


# ----------------------------------------------------------------------------------- reads all

LAST = "What is the {} of the {} item that the user interacted with?"
RULES = [
    (LAST.format("category", "last"), ("desk, red", "toy", "desk, blue"), "desk, blue"),
    (LAST.format("title", "third last"), ("pad", "cap", "gum", "pen"), "cap"),
    (LAST.format("title", "third")[:-1] + ", counting from the beginning?", ("bat", "cap"), "cap"),
    (
        "List the title of each of the user's last 3 items in order of time.",
        ("cap -> pen -> pad", "cap -> pad -> pen", "pen -> pad -> cap"),
        "cap -> pad -> pen",
    ),
    ("What is the length of the user's sequence of interactions?", ("11", "12", "24"), "12"),
    (
        'How many of the items that the user interacted with have the category "blue"?',
        ("5", "4", "12"),
        "4",
    ),
    (
        'Count the user\'s interactions with items whose category is "toy". How many are there?',
        ("2", "3", "6"),
        "3",
    ),
    (
        # desk 5, blue 4, then hat rather than toy: both 3, and hat is the later.
        "Which 3 category values is the user most interested in over the whole sequence, in order "
        "of interest? Interest is the number of items; of equal ones the more recent comes first.",
        ("desk > blue > toy", "blue > desk > hat", "desk > blue > hat", "desk > hat > blue"),
        "desk > blue > hat",
    ),
    (
        # Of net cap cap pad pen: hat, desk and blue twice; the last item names desk first.
        "Of the user's last 5 items, what is the most frequent category (of equals the more "
        "recent)?",
        ("hat", "blue", "desk", "toy"),
        "desk",
    ),
    (
        "Of the user's last 4 items, what is the most frequent category (of equals the more "
        "recent)?",
        ("toy", "hat", "red", "sea"),
        "hat",
    ),
    (
        # ball pen cap bat | ink pen gum net | cap cap pad pen
        "What path does the user's preferred category take from the first third of the sequence "
        "over the second to the last? Preferred is the most frequent, of equals the more recent.",
        ("toy -> desk -> hat", "desk -> toy -> hat", "toy -> desk -> desk", "hat -> desk -> desk"),
        "toy -> desk -> desk",
    ),
    (
        "The user is about to interact with another item. What will its category be?",
        ("toy", "desk"),
        "desk",
    ),
    (
        "从整个行为序列看，用户最感兴趣的3个类目依次是什么？（按商品数量从多到少，数量相同时最近出现的在前）",
        ("blue > desk > hat", "desk > blue > hat"),
        "desk > blue > hat",
    ),
    ("在用户的行为序列中，类目是“red”的商品有多少个？", ("2", "1"), "1"),
]


@pytest.mark.parametrize(("text", "options", "right"), RULES)
@pytest.mark.parametrize("turn", [0, 1])
def test_what_is_written_is_read_without_fault(
    text: str, options: tuple[str, ...], right: str, turn: int
) -> None:
    language = "zh" if "的" in text else "en"
    turned = options[turn:] + options[:turn]
    assert answered("reads-all", asked(text, *turned, language=language)) == right


def test_the_next_item_is_guessed_by_what_stood_beside_the_user_s() -> None:
    """Train users had the pad beside the pen, and never the bat."""
    train = replace(asked("?", "a", "b"), history=Ragged.from_lists([[4, 6], [4, 6, 5], [1, 7]]))
    question = asked("Which item will the user interact with next?", "bat", "pad", history=[4, 5])
    found = answers("reads-all", question, train)
    assert found.scores[0].argmax() == 1


def test_questions_of_other_words_have_no_answer() -> None:
    found = answers("reads-all", asked("Who is it?", "a", "b"))
    assert found.status == ["unparsed"]
    assert np.isneginf(found.scores).all()


def test_options_that_fit_alike_share() -> None:
    text = LAST.format("category", "last")
    found = answers("reads-all", asked(text, "toy", "hat", history=[7]))  # nobody knows
    np.testing.assert_allclose(np.exp(found.scores[0]), 0.5, rtol=1e-5)


@pytest.mark.parametrize("name", ["attribute-count", "reads-all"])
def test_nobody_reads_what_models_are_not_shown(name: str) -> None:
    """Of the last three events two are desks and one a hat, of all of them three are toys."""
    text = 'How many of the items that the user interacted with have the category "toy"?'
    found = answers(name, asked(text, "3", "0"), shown=3)
    shown = answers(name, asked(text, "3", "0", history=SEQUENCE[-3:]))
    np.testing.assert_array_equal(found.scores, shown.scores)
    assert found.scores[0].argmax() == 1
    assert answers(name, asked(text, "3", "0")).scores[0].argmax() == 0


@pytest.mark.parametrize("name", ["attribute-count", "reads-all"])
def test_without_words_they_say_so(name: str) -> None:
    card = get_recommender(name)
    made: Any = build_recommender(card, card.config())
    with pytest.raises(UsageError, match=f"{name} is not fitted"):
        made.answer(asked("?", "a"))
    with pytest.raises(UsageError, match=f"{name} reads what items are in words"):
        made.fit(case(), Items(n=8), FabricTrainer(seed=0))


@pytest.mark.parametrize("name", ["majority", "attribute-count", "reads-all"])
def test_no_question_no_answer(name: str) -> None:
    assert len(answers(name, asked("?", "a")[np.empty(0, np.int64)]).scores) == 0


@pytest.mark.parametrize("name", ["attribute-count", "reads-all"])
def test_a_question_alone_is_answered_as_among_others(name: str) -> None:
    shops = problem()
    card = get_recommender(name)
    made: Any = build_recommender(card, card.config())
    made.fit(shops, shop(), FabricTrainer(seed=0))
    text = "What is the category of the last item that the user interacted with?"
    questions = replace(shops.test, text=[text] * len(shops.test))
    together = made.answer(questions).scores
    for row in (0, 5, 199):
        alone = made.answer(questions[np.array([row])]).scores
        np.testing.assert_array_equal(alone[0], together[row])
