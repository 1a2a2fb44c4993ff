"""Complex queries from reviews, the way Amazon-C4 was made (Hou et al. 2024, arXiv:2403.03952).

A model reads what somebody was happy with and says what they must have needed before. What it says
is checked; an answer that gives the item away or is no request goes back once with what is wrong,
and is dropped if that does not help. Where a draft stands follows from the calls that are kept and
from nothing else, so it can be interrupted anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tastebench import files
from tastebench.build.form import Fault, form_faults, is_first_person, tidy_query
from tastebench.build.leaks import Identity, identities, leaks
from tastebench.build.prompt import Prompt
from tastebench.build.reviews import ReviewFilters, Reviews, draw, select, title_column
from tastebench.build.words import words
from tastebench.data.dataset import Dataset, positions
from tastebench.data.text import clean
from tastebench.files import hash_json
from tastebench.lm.asking import USUAL_SECONDS, Chat, Conversation, ask, tokens_of
from tastebench.lm.calls import Call, Calls, usage
from tastebench.lm.spending import BudgetError, Price, estimate_tokens

_SHORT = 3
"""Letters of a word that says little."""


@dataclass(frozen=True, eq=False)
class Draft:
    """Queries to be written: from which reviews, by which prompt and model.

    Attributes:
        reviews: Those that passed the filters.
        drawn: Those of them that are asked about, with their texts cleaned for reading in `plain`.
        row: Items row of each.
        model: What is asked, as identities name it.
        settings: Everything that decides the answers, as JSON.
    """

    dataset: Dataset
    reviews: Reviews
    drawn: pl.DataFrame
    row: np.ndarray
    prompt: Prompt
    model: str
    settings: dict[str, Any]

    @property
    def hash(self) -> str:
        """Identifies the artefact; how many reviews are drawn is no part of it."""
        return hash_json(self.settings)

    @property
    def folder(self) -> Path:
        """Where its calls and its result are kept."""
        return files.home() / "artefacts" / "queries" / self.hash

    @property
    def kept(self) -> Path:
        """The file of its calls."""
        return self.folder / "calls.jsonl"

    @cached_property
    def identities(self) -> list[Identity]:
        """What gives each review's item away."""
        rows, place = np.unique(self.row, return_inverse=True)
        found = identities(self.dataset.tables.items, rows, title_column(self.dataset))
        return [found[at] for at in place]

    @cached_property
    def review_words(self) -> list[tuple[str, ...]]:
        """The words of each review."""
        return [tuple(found) for found in words(self.drawn["text"]).to_list()]


def draft_queries(
    dataset: Dataset,
    reviews: Reviews,
    prompt: Prompt,
    model: str,
    *,
    n: int,
    seed: int = 0,
    filters: ReviewFilters | None = None,
) -> Draft:
    """Filters and draws; nothing is asked.

    Args:
        dataset: Whose items the reviews are about.
        reviews: Of any items.
        prompt: What the model is told.
        model: What is asked, as far as it decides the answers.
        n: Reviews to draw at most.
        seed: Of the draw.
        filters: Which reviews may become queries.

    Raises:
        DataError: No review passes the filters.
    """
    filters = filters or ReviewFilters()
    passed = select(reviews, dataset, filters)
    drawn = draw(passed, n, seed)
    settings = {
        "dataset": dataset.fingerprint,
        "reviews": passed.fingerprint(),
        "filters": filters.model_dump(mode="json"),
        "seed": seed,
        "prompt": prompt.hash,
        "model": model,
    }
    return Draft(
        dataset=dataset,
        reviews=passed,
        drawn=drawn.with_columns(clean(drawn["text"]).alias("plain")),
        row=positions(drawn["item_id"], dataset.item_ids),
        prompt=prompt,
        model=model,
        settings=settings,
    )


# --------------------------------------------------------------------------------- what is decided


@dataclass(frozen=True)
class Decision:
    """Where a review stands.

    Attributes:
        ask: What is to be asked next; None where it is decided.
        query: The query; None where there is none, yet or for good.
        faults: What is wrong with the latest answer.
        tries: Answers so far.
    """

    ask: Conversation | None = None
    query: str | None = None
    faults: tuple[Fault, ...] = ()
    tries: int = 0


def decide(draft: Draft, calls: Mapping[str, Call]) -> list[Decision]:
    """Where every drawn review stands after the calls that are kept."""
    prompt, reviews = draft.prompt, draft.drawn["plain"].to_list()
    decisions = [Decision(ask=prompt.ask(review)) for review in reviews]
    first = _judge(draft, _answered(decisions, calls))
    for at, (call, decision) in first.items():
        told = [fault.what for fault in decision.faults if fault.kind != "refused"]
        again = prompt.ask_again(reviews[at], call.text, told) if told else None
        decisions[at] = replace(decision, ask=again, tries=1)
    second = _judge(draft, _answered([d if d.tries else Decision() for d in decisions], calls))
    for at, (_, decision) in second.items():
        decisions[at] = replace(decision, tries=2)
    return decisions


def _answered(decisions: list[Decision], calls: Mapping[str, Call]) -> dict[int, Call]:
    """The answers to what is open, by place."""
    asked = {at: hash_json(d.ask) for at, d in enumerate(decisions) if d.ask is not None}
    return {at: calls[key] for at, key in asked.items() if key in calls}


def _judge(draft: Draft, answers: Mapping[int, Call]) -> dict[int, tuple[Call, Decision]]:
    """The answers, each with the query that it is or what is wrong with it."""
    texts = [tidy_query(call.text) for call in answers.values()]
    judged = {}
    for (at, call), text, said in zip(answers.items(), texts, words(texts).to_list(), strict=True):
        faults = form_faults(text, call.finish_reason, call.refusal)
        faults += leaks(tuple(said), draft.identities[at], draft.review_words[at])
        query = None if faults else text
        judged[at] = call, Decision(query=query, faults=tuple(faults))
    return judged


# -------------------------------------------------------------------------------------- asking


def write_queries(
    draft: Draft,
    calls: Calls,
    client: Chat,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Decision]:
    """Asks whatever is open, each answer kept before the next is paid for.

    Args:
        draft: What to write.
        calls: Those kept in `draft.kept`; they grow.
        client: What is asked.
        progress: Told the number of answers of this round, and how many it needs.

    Returns:
        The decision on each drawn review.

    Raises:
        BudgetError: The cap is reached; what was answered is kept.
        RemoteError: The server cannot be asked, or refuses every request; what was answered is
            kept. A request that it refuses among others has its review dropped.
    """
    while True:
        decisions = decide(draft, calls)
        open_ = {hash_json(d.ask): d.ask for d in decisions if d.ask is not None}
        if not open_:
            return decisions
        try:
            ask(
                open_,
                calls,
                client,
                prompt=draft.prompt.hash,
                max_tokens=draft.prompt.max_tokens,
                options={"temperature": draft.prompt.temperature},
                progress=progress,
            )
        except BudgetError as error:
            raise _stopped(error, decide(draft, calls)) from error


def _stopped(error: BudgetError, decisions: list[Decision]) -> BudgetError:
    """The error with what there is already."""
    decided = [d.ask is None for d in decisions]
    ready = decided.index(False) if False in decided else len(decided)
    fix = "raise the cap and give the same command again: what is paid for is kept"
    if ready:
        fix += f"; or make do with the {ready:,} reviews that are finished: --n {ready}"
    return BudgetError(error.what, where=error.where, fix=fix)


# ---------------------------------------------------------------------------------- before asking


@dataclass(frozen=True)
class Estimate:
    """What a draft will take, on top of what is kept.

    Attributes:
        requests: Open questions.
        tokens: Read and written if every answer can be used.
        most_tokens: If every answer is as long as it may be and none can be used the first time.
        usd: Of `tokens`; None where no price is known.
        most_usd: Of `most_tokens`.
        least_tokens: What the cheapest request may take.
        least_usd: The same in dollars.
        seconds: Of all requests, one after the other.
    """

    requests: int
    tokens: int
    most_tokens: int
    usd: float | None
    most_usd: float | None
    least_tokens: int
    least_usd: float | None
    seconds: float


def estimate(draft: Draft, calls: Mapping[str, Call], price: Price | None) -> Estimate:
    """What is still to be asked, in tokens, money and time, before it is."""
    prompt = draft.prompt
    decisions = decide(draft, calls)
    asks = [d.ask for d in decisions if d.ask is not None]
    retried = sum(d.ask is not None and d.tries == 0 for d in decisions)
    read = [tokens_of(open_) for open_ in asks]
    longer = prompt.max_tokens + estimate_tokens(prompt.retry) + prompt.usual_tokens
    # Whatever is asked first may be asked again, with the answer and its faults behind it.
    again = [tokens_of(d.ask) + longer for d in decisions if d.ask is not None and d.tries == 0]
    usual = sum(read), prompt.usual_tokens * len(asks)
    most = sum(read) + sum(again), prompt.max_tokens * (len(asks) + retried)
    used = usage(calls, price)
    each = used.seconds / used.requests if used.requests else USUAL_SECONDS
    return Estimate(
        requests=len(asks),
        tokens=sum(usual),
        most_tokens=sum(most),
        usd=price.of(*usual) if price else None,
        most_usd=price.of(*most) if price else None,
        least_tokens=min(read, default=0) + prompt.max_tokens,
        least_usd=price.of(min(read, default=0), prompt.max_tokens) if price else None,
        seconds=each * len(asks),
    )


# ----------------------------------------------------------------------------------- accounting


def account(draft: Draft, decisions: list[Decision]) -> dict[str, Any]:
    """What became of the reviews that were drawn.

    Amazon-C4 drew about 22,000 for 21,223 queries.
    """
    kept = [d for d in decisions if d.query is not None]
    dropped = [d for d in decisions if d.query is None and d.ask is None]
    found: dict[str, Any] = {
        "drawn": len(decisions),
        "kept": len(kept),
        "kept_first_time": sum(d.tries == 1 for d in kept),
        "dropped": len(dropped),
        "dropped_for": dict(
            sorted(Counter(k for d in dropped for k in {f.kind for f in d.faults}).items())
        ),
        "reviews_dropped": draft.reviews.dropped,
        "unrelated": _unrelated(draft, decisions),
    }
    # Signs of a weak model, no reason to drop a query.
    if draft.dataset.card.language == "en":
        found["not_first_person"] = sum(not is_first_person(d.query or "") for d in kept)
    return found


def _unrelated(draft: Draft, decisions: list[Decision]) -> int:
    """How many queries share no word with their review, short ones left aside: likely babble."""
    said = words([decision.query for decision in decisions]).to_list()
    shared = (
        {word for word in set(query) & set(review) if len(word) > _SHORT or not word.isascii()}
        for query, review in zip(said, draft.review_words, strict=True)
    )
    return sum(
        decision.query is not None and not common
        for decision, common in zip(decisions, shared, strict=True)
    )
