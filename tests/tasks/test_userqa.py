"""Questions about users as a task: what is asked, what is right, whom a mean counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import Answers, Questions
from tastebench.data.catalog import load_dataset
from tastebench.data.questions import generate
from tastebench.errors import ProtocolError, UsageError
from tastebench.ragged import Ragged
from tastebench.tasks import TASKS
from tastebench.tasks.quiz import Quiz, limited, measure_quiz

USERQA = TASKS.get("userqa")

# Two questions about user 7, three about user 2: the list of histories is not in their order.
QUESTIONS = Questions(
    history=Ragged.from_lists([[0, 1, 2], [3]]),
    user=np.array([0, 0, 1, 1, 1]),
    text=["a?", "b?", "c?", "d?", "e?"],
    options=[("w", "x", "y", "z")] * 5,
    gold=np.array([0, 1, 2, 3, 0]),
    kind=np.array([0, 1, 0, 2, 2]),
    kinds=("df", "mf", "ip"),
    asker=np.array([7, 2]),
)


class Says:
    """Answers as it is told."""

    def __init__(self, scores: list[list[float]], status: list[str] | None = None) -> None:
        self.scores, self.status = np.array(scores), status or ["answered"] * len(scores)

    def answer(self, questions: Questions) -> Answers:
        n = len(questions)
        return Answers(self.scores[:n], self.status[:n], np.full(n, 1), np.full(n, 30))


def protocol(**changes: Any) -> Any:
    return USERQA.protocol(load_dataset("storefront"), **changes)


def one_hot(*places: int) -> list[list[float]]:
    return [[float(place == option) for option in range(4)] for place in places]


def test_a_question_counts_once_and_a_user_by_their_questions() -> None:
    # Right, wrong | right, right, a tie of two of which one is right.
    scores = [*one_hot(0, 0, 2, 3), [1.0, 1.0, 0.0, 0.0]]
    found = measure_quiz(Says(scores), Quiz(QUESTIONS), protocol())
    assert found.ids.tolist() == [2, 7]
    assert found.values["accuracy"].tolist() == [pytest.approx(2.5 / 3), 0.5]
    assert found.weights["accuracy"].tolist() == [3, 2]
    means = found.means()
    assert means["accuracy"] == pytest.approx(3.5 / 5)
    assert means["accuracy_df"] == 1.0
    assert means["accuracy_mf"] == 0.0
    assert means["accuracy_sequence"] == pytest.approx(2 / 3)
    assert means["accuracy_ip"] == means["accuracy_action"] == pytest.approx(1.5 / 2)
    assert np.isnan(means["accuracy_li"]) and np.isnan(means["accuracy_interest"])
    assert found.counts["asked"] == 5 and found.counts["users"] == 2
    assert found.counts["tied"] == 1
    assert found.counts["soft_tokens"] == 5 and found.counts["text_tokens"] == 150


def test_no_answer_is_wrong_and_counted_and_no_guess() -> None:
    scores = [[-np.inf] * 4, *one_hot(1, 2, 3, 0)]
    status = ["unparsed", "answered", "answered", "answered", "refused"]
    found = measure_quiz(Says(scores, status), Quiz(QUESTIONS), protocol())
    assert found.means()["accuracy"] == pytest.approx(3 / 5)
    assert found.counts["unparsed"] == found.counts["refused"] == 1
    assert "tied" in found.counts and found.counts["tied"] == 0


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([[1.0, 0.0]] * 5, r"the shape \(5, 2\) for 5 questions of 4"),
        ([[np.nan, 0, 0, 0]] * 5, "question 0"),
        ([[np.inf, 0, 0, 0]] * 5, "a score is a number"),
        ([[-np.inf] * 4] * 5, "question 0"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(scores: list[list[float]], says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        measure_quiz(Says(scores), Quiz(QUESTIONS), protocol())


def test_who_cannot_answer_is_told_what_lacks() -> None:
    with pytest.raises(ProtocolError, match="does not answer questions"):
        measure_quiz(object(), Quiz(QUESTIONS), protocol())


def test_a_limit_keeps_whole_users() -> None:
    cut = limited(Quiz(QUESTIONS, {"history": np.array(["short", "long"])}), 1)
    assert cut.questions.user.tolist() == [1, 1, 1]
    assert cut.segments["history"].tolist() == ["short"]
    assert cut.counts["excluded_by_limit"] == 1
    assert limited(cut, 5) is cut


def test_the_shop_is_asked_as_its_questions_are_made() -> None:
    shop = load_dataset("storefront")
    asked = USERQA.protocol(
        shop, questions={"questions": 60, "train_questions": 40}, metrics=["accuracy"]
    )
    problem = USERQA.problem(shop, asked)
    made = generate(shop, asked.questions)
    assert problem.test.text == made.parts["test"].text
    assert problem.history_length == 512
    askers = {
        part: set(getattr(problem, part).asker[getattr(problem, part).user].tolist())
        for part in ("train", "valid", "test")
    }
    assert not askers["train"] & askers["test"] and not askers["valid"] & askers["test"]
    quiz = USERQA.ask(problem, asked, "test", forms=None)
    assert len(quiz.segments["history"]) == len(askers["test"])
    right = Says([[float(o == g) for o in range(4)] for g in problem.test.gold.tolist()])
    assert USERQA.evaluate(right, problem, asked).means() == {"accuracy": 1.0}


def test_every_word_of_the_questions_is_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, before = load_dataset("storefront"), protocol()
    other = [
        protocol(questions={"language": "zh"}),
        protocol(questions={"seed": 1}),
        protocol(history_length=20),
    ]
    prints = {one.fingerprint(shop) for one in (before, *other)}
    assert len(prints) == 4
    from tastebench.data.questions import templates

    changed = templates.get_templates("en").model_copy(update={"version": 99})
    monkeypatch.setattr(templates, "get_templates", lambda language: changed)
    assert before.fingerprint(shop) not in prints


def test_what_names_an_item_is_in_the_fingerprint_where_only_the_card_says_it() -> None:
    shop = load_dataset("storefront")
    renamed = shop.tables.items.rename({"title": "called"})

    def of(*columns: str) -> str:
        card = shop.card.model_copy(update={"text_columns": columns})
        dataset = replace(shop, card=card, tables=replace(shop.tables, items=renamed))
        return protocol().fingerprint(dataset)

    assert of("called", "description") != of("description", "called")
    assert of("called", "description") == of("called")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mask_seen": True}, "mask_seen changes nothing in userqa"),
        ({"candidates": "all"}, "userqa the options of a question"),
        ({"metrics": ["ndcg@10"]}, "computed from ranks, not from answers"),
        ({"metrics": ["accuracy_xy"]}, "unknown metric"),
    ],
)
def test_what_changes_nothing_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        protocol(**change)


def test_questions_belong_to_no_other_task() -> None:
    shop = load_dataset("storefront")
    with pytest.raises(UsageError, match="questions changes nothing in seqrec"):
        TASKS.get("seqrec").protocol(shop, questions={"questions": 5})
    assert "questions" not in TASKS.get("seqrec").protocol(shop).model_dump()


def test_the_questions_of_one_user_alone_are_those_of_all() -> None:
    part = QUESTIONS[np.array([4, 0])]
    assert part.text == ["e?", "a?"] and part.gold.tolist() == [0, 0]
    assert part.user.tolist() == [1, 0] and len(part.history) == 2
    assert replace(part, text=[]).options == part.options
