"""From reviews to queries: one second try, every answer kept, the same after any interruption."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tastebench.build.prompt import Conversation, Prompt
from tastebench.build.queries import Draft, account, decide, draft_queries, estimate, write_queries
from tastebench.build.reviews import ReviewFilters, find_reviews
from tastebench.data.dataset import Dataset
from tastebench.lm.calls import Calls
from tastebench.lm.spending import Price, estimate_tokens

Reply = Callable[[Conversation], str]
N_GOOD = 30  # of the 40 reviews, those rated 5


def write(draft: Draft, client: Any) -> list[Any]:
    with Calls(draft.kept) as calls:
        return write_queries(draft, calls, client)


def write_anew(draft: Draft, client: Any) -> list[Any]:
    draft.kept.unlink()
    return write(draft, client)


def test_good_answers_become_queries(draft: Draft, chat: Any, reply: Reply) -> None:
    """T15: every drawn review is asked about once, and nothing of the item is told."""
    model = chat(reply)
    decisions = write(draft, model)
    assert len(model.asked) == len(decisions) == N_GOOD
    for decision, question in zip(decisions, model.asked[::-1], strict=True):
        assert decision.query == reply(question)
        assert "Zorbex" not in str(question) and "ZX-" not in str(question)
    assert account(draft, decisions)["kept_first_time"] == N_GOOD


def test_an_answer_that_gives_the_item_away_goes_back_once(
    draft: Draft, chat: Any, reply: Reply
) -> None:
    def leaky(conversation: Conversation) -> str:
        if len(conversation) == 2:
            return "I need the Zorbex."
        assert 'it names the brand or shop: "zorbex"' in conversation[-1]["content"]
        return reply(conversation)

    model = chat(leaky)
    decisions = write(draft, model)
    assert len(model.asked) == 2 * N_GOOD
    assert all(d.query and d.tries == 2 and not d.faults for d in decisions)
    assert account(draft, decisions)["kept_first_time"] == 0


def test_what_stays_wrong_is_dropped_and_counted(draft: Draft, chat: Any) -> None:
    model = chat(lambda conversation: "The Zorbex is good. I bought it. A. B.")
    decisions = write(draft, model)
    assert len(model.asked) == 2 * N_GOOD  # never a third time
    found = account(draft, decisions)
    assert (found["kept"], found["dropped"]) == (0, N_GOOD)
    assert found["dropped_for"] == {"bought": N_GOOD, "brand": N_GOOD, "sentences": N_GOOD}


def test_who_does_not_speak_of_themselves_is_counted_and_kept(draft: Draft, chat: Any) -> None:
    decisions = write(draft, chat(lambda conversation: "Something warm to read by."))
    found = account(draft, decisions)
    assert (found["kept"], found["not_first_person"]) == (N_GOOD, N_GOOD)
    assert found["unrelated"] == N_GOOD  # "warms" is not "warm", and "by" is too short to count
    found = account(draft, write_anew(draft, chat(lambda conversation: "For hours of cats.")))
    assert (found["kept"], found["unrelated"]) == (N_GOOD, 0)


@pytest.mark.parametrize("stop_after", [0, 1, 17, N_GOOD, N_GOOD + 5])
def test_an_interrupted_draft_asks_nothing_twice_and_ends_the_same(
    draft: Draft, chat: Any, reply: Reply, stop_after: int
) -> None:
    def half_leaky(conversation: Conversation) -> str:
        place = conversation[1]["content"].split("cabin number ")[1][0]
        leaks = place == "f" or (place in "bdh" and len(conversation) == 2)
        return "I need the Zorbex." if leaks else reply(conversation)

    whole = chat(half_leaky)
    expected = write(draft, whole)
    draft.kept.unlink()
    first = chat(half_leaky, stop_after=stop_after)
    with pytest.raises(KeyboardInterrupt):
        write(draft, first)
    second = chat(half_leaky)
    assert write(draft, second) == expected
    asked = [*first.asked, *second.asked]
    assert len(asked) == len(whole.asked)
    assert sorted(map(str, asked)) == sorted(map(str, whole.asked))
    assert write(draft, chat(half_leaky, stop_after=0)) == expected  # nothing is open


def test_a_larger_draw_pays_for_the_new_reviews_only(
    shop: Dataset, prompt: Prompt, chat: Any, reply: Reply
) -> None:
    def drafted(n: int) -> Draft:
        return draft_queries(shop, find_reviews(shop, None), prompt, "fake", n=n)

    few, more = chat(reply), chat(reply)
    write(drafted(10), few)
    write(drafted(25), more)
    assert (len(few.asked), len(more.asked)) == (10, 15)


def test_the_artefact_is_named_by_all_that_decides_the_answers(
    shop: Dataset, prompt: Prompt, draft: Draft
) -> None:
    reviews = find_reviews(shop, None)
    longer = prompt.model_copy(update={"max_tokens": 999})
    others = [
        draft_queries(shop, reviews, prompt, "other", n=100),
        draft_queries(shop, reviews, longer, "fake", n=100),
        draft_queries(shop, reviews, prompt, "fake", n=100, seed=1),
        draft_queries(shop, reviews, prompt, "fake", n=100, filters=ReviewFilters(min_rating=3)),
        draft_queries(
            shop, reviews, prompt, "fake", n=100, filters=ReviewFilters(min_characters=1)
        ),
    ]
    assert len({draft.hash, *(other.hash for other in others)}) == 6
    assert draft_queries(shop, reviews, prompt, "fake", n=3).hash == draft.hash


def test_the_estimate_is_what_is_open(draft: Draft, chat: Any, reply: Reply) -> None:
    price = Price(1.0, 10.0)
    before = estimate(draft, {}, price)
    asks = [d.ask for d in decide(draft, {}) if d.ask is not None]
    read = sum(estimate_tokens(m["content"]) + 4 for ask in asks for m in ask)
    assert before.requests == N_GOOD
    assert before.tokens == read + 60 * N_GOOD
    assert before.usd == pytest.approx((read + 10 * 60 * N_GOOD) / 1e6)
    assert before.most_tokens > 2 * (read + 300 * N_GOOD)
    assert before.seconds == 2.0 * N_GOOD
    assert estimate(draft, {}, None).usd is None
    with pytest.raises(KeyboardInterrupt):
        write(draft, chat(reply, stop_after=10))
    with Calls(draft.kept) as calls:
        after = estimate(draft, calls, price)
    assert (after.requests, after.seconds) == (20, 0.5 * 20)  # as fast as the first ten


def test_the_estimate_bounds_what_a_bad_model_takes(draft: Draft, chat: Any) -> None:
    babble = "word " * 240  # as many tokens as an answer may have
    model = chat(lambda conversation: babble)
    most = estimate(draft, {}, None).most_tokens
    write(draft, model)
    read = sum(estimate_tokens(m["content"]) + 4 for ask in model.asked for m in ask)
    assert read + 300 * len(model.asked) <= most
