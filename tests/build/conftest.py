"""A shop with reviews, and a model that answers by a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest

from tastebench.build.prompt import Conversation, Prompt, get_prompt
from tastebench.build.queries import Draft, draft_queries
from tastebench.build.reviews import find_reviews
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.lm.answers import Answer
from tastebench.lm.spending import Usage

N = 40
KINDS = ["lamp", "kettle"]
BEGIN = 1_600_000_000_000


def review_of(i: int) -> str:
    return (
        f"Works great in our cabin number {'abcdefghij'[i % 10]}{'klmno'[i // 10]}, it warms the "
        "evening, never flickers and my daughter reads next to it for hours every day."
    )


def make_shop() -> Dataset:
    """40 items of two kinds; user ui took item i at second i and wrote about it."""
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N)],
            "title": [f"Zorbex {KINDS[i % 2]} model ZX-{100 + i}" for i in range(N)],
            "brand": ["Zorbex"] * N,
            "category": [KINDS[i % 2] for i in range(N)],
        }
    )
    interactions = pl.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(N)],
            "item_id": [f"i{i}" for i in range(N)],
            "time": [BEGIN + 1000 * i for i in range(N)],
            "rating": [5.0 if i % 4 else 3.0 for i in range(N)],
            "review_text": [review_of(i) for i in range(N)],
        }
    )
    card = DatasetCard(name="my-shop", title="My shop", text_columns=("title", "brand"))
    return Dataset.create(card, Tables(items=items, interactions=interactions))


@pytest.fixture
def shop(home: Path) -> Dataset:
    """The shop, also loadable by its name in this test's home."""
    dataset = make_shop()
    dataset.save(datasets_folder() / "my-shop")
    return dataset


@pytest.fixture
def prompt() -> Prompt:
    return get_prompt("complex-query-v1")


@pytest.fixture
def draft(shop: Dataset, prompt: Prompt) -> Draft:
    """All 30 reviews rated 5, in a drawn order."""
    return draft_queries(shop, find_reviews(shop, None), prompt, "fake", n=100)


class FakeChat:
    """Answers each conversation by a function; remembers what it was asked."""

    def __init__(self, reply: Callable[[Conversation], str], stop_after: int | None = None) -> None:
        self.reply, self.stop_after = reply, stop_after
        self.asked: list[Conversation] = []

    def answers(
        self,
        conversations: Sequence[Conversation],
        *,
        max_tokens: int,
        temperature: float | None,
        refused_too: bool,
    ) -> Iterator[tuple[int, Answer]]:
        # Backwards: nothing may rest on the order in which answers come.
        for index in reversed(range(len(conversations))):
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(conversations[index])
            text = self.reply(conversations[index])
            yield index, Answer(text, "stop", Usage(1, 0, 100, 20, 0.5))


def good(conversation: Conversation) -> str:
    """A query that gives nothing away and differs between reviews."""
    review = conversation[1]["content"]
    place = review.split("cabin number ")[1][:2]
    return f"I need something warm and steady to read by, for {place}."


@pytest.fixture
def chat() -> type[FakeChat]:
    """The model; made with a function from conversation to answer."""
    return FakeChat


@pytest.fixture
def reply() -> Callable[[Conversation], str]:
    """An answer that is always good."""
    return good
