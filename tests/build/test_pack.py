"""Written queries as a dataset: what is searched, what is right, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from tastebench.build import pack
from tastebench.build.pack import check_place, keep_artefact, pack_queries
from tastebench.build.prompt import Conversation, Prompt
from tastebench.build.queries import Decision, Draft, draft_queries, write_queries
from tastebench.build.reviews import find_reviews
from tastebench.data.dataset import Dataset
from tastebench.data.importer import save_imported
from tastebench.data.provenance import Provenance, check_query_artefacts
from tastebench.errors import DataError, ProtocolError, UsageError
from tastebench.lm.calls import Calls
from tastebench.tasks import TASKS

Reply = Callable[[Conversation], str]


@pytest.fixture
def decisions(draft: Draft, chat: Any, reply: Reply) -> list[Decision]:
    """Every third review dropped."""
    with Calls(draft.kept) as calls:
        found = write_queries(draft, calls, chat(reply))
    return [replace(d, query=None) if at % 3 == 0 else d for at, d in enumerate(found)]


def test_one_query_a_kept_review_whose_item_is_right(
    draft: Draft, decisions: list[Decision]
) -> None:
    made = pack_queries(draft, decisions, "my-shop-queries", "fake at nowhere")
    queries, relevance = made.tables.queries, made.tables.relevance
    assert queries is not None and relevance is not None
    kept = [at for at, d in enumerate(decisions) if d.query is not None]
    assert queries["query_id"].to_list() == [str(i) for i in range(20)]
    assert queries["text"].to_list() == [decisions[at].query for at in kept]
    assert set(queries["group"]) == {"complex"}
    assert relevance["item_id"].to_list() == draft.drawn["item_id"].gather(kept).to_list()
    assert made.card.tasks == ("search",)
    assert made.n_items == 40  # no larger than a pool of 51 a query would be
    task = TASKS.get("search")
    problem = task.problem(made, task.protocol(made))
    assert problem.relevance.lengths.tolist() == [1] * 20


def test_the_pool_holds_the_targets_and_items_of_their_category(
    draft: Draft, decisions: list[Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    """T15: targets all inside; size <= (k + 1) * Q; negatives of their target's category."""
    monkeypatch.setattr(pack, "PER_TARGET", 1)
    few = [d if at in {1, 2} else replace(d, query=None) for at, d in enumerate(decisions)]
    lamps_only = [
        d if kind == 0 else replace(d, query=None)
        for d, kind in zip(decisions, draft.row % 2, strict=True)
    ]
    for chosen in (few, lamps_only):
        made = pack_queries(draft, chosen, "q", "fake")
        assert made.tables.relevance is not None
        targets = set(made.tables.relevance["item_id"])
        assert targets <= set(made.item_ids)
        assert made.n_items <= 2 * len(targets)
        kind_of = dict(draft.dataset.tables.items.select("item_id", "category").iter_rows())
        kinds = {kind_of[item] for item in targets}
        assert set(made.tables.items["category"]) == kinds
        assert made.fingerprint == pack_queries(draft, chosen, "q", "fake").fingerprint
    everything = pack_queries(draft, few, "q", "fake", category="brand")
    assert everything.n_items <= 4


def test_without_a_category_everything_is_searched(
    shop: Dataset, prompt: Prompt, chat: Any, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "PER_TARGET", 1)
    bare = replace(shop.tables, items=shop.tables.items.drop("category"))
    dataset = Dataset.create(shop.card, bare)
    draft = draft_queries(dataset, find_reviews(dataset, None), prompt, "fake", n=2)
    with Calls(draft.kept) as calls:
        made = pack_queries(draft, write_queries(draft, calls, chat(reply)), "q", "fake")
    assert made.n_items == 40
    assert made.manifest["built"]["pool"] == "the whole catalogue: the items have no category"


def test_the_first_of_a_path_of_categories_counts(
    shop: Dataset, prompt: Prompt, chat: Any, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "PER_TARGET", 1)
    paths = pl.concat_list(pl.lit("Home"), "category").alias("categories")
    items = shop.tables.items.select("item_id", "title", paths)
    dataset = Dataset.create(shop.card, replace(shop.tables, items=items))
    draft = draft_queries(dataset, find_reviews(dataset, None), prompt, "fake", n=1)
    with Calls(draft.kept) as calls:
        made = pack_queries(draft, write_queries(draft, calls, chat(reply)), "q", "fake")
    assert made.manifest["built"]["pool"] == "1 items of its categories a query"
    assert made.n_items == 2


def test_the_queries_say_which_interactions_they_were_made_from(
    draft: Draft, decisions: list[Decision]
) -> None:
    shop = draft.dataset
    made = pack_queries(draft, decisions, "q", "fake at nowhere")
    [known] = made.provenance
    assert (known.fields, known.made_by) == (("queries",), "fake at nowhere")
    assert (known.source, known.prompt) == (shop.fingerprint, draft.prompt.hash)
    used = sorted(
        int(item[1:])
        for item, d in zip(draft.drawn["item_id"], decisions, strict=True)
        if d.query is not None
    )
    assert known.rows is not None and known.rows.tolist() == used
    # The last review used is one second a row after the begin; the cut-off lies just behind it.
    assert known.cutoff == 1_600_000_000_000 + 1000 * used[-1] + 1
    assert known.created is not None


def test_reviews_whose_users_have_other_names_are_of_unknown_interactions(
    draft: Draft, decisions: list[Decision]
) -> None:
    """No row found is not the same as made from no row: item texts must not pass for that."""
    shop = draft.dataset
    title = Provenance("item text", ("items.title",), "m", shop.fingerprint, cutoff=2**41)
    renamed = draft.drawn.with_columns(user_id="x" + pl.col("user_id"))
    named = replace(draft, drawn=renamed, dataset=replace(shop, provenance=(title,)))
    made = pack_queries(named, decisions, "q", "fake at nowhere")
    assert made.provenance[1].rows is None
    with pytest.raises(ProtocolError, match="not known whether from the same"):
        check_query_artefacts(made, {"items.title", "queries"})


@pytest.mark.parametrize("before", [0, 40])
def test_item_texts_from_the_same_reviews_are_known_as_such(
    shop: Dataset, prompt: Prompt, chat: Any, reply: Reply, before: int
) -> None:
    cutoff = 1_600_000_000_000 + 1000 * before
    title = Provenance("item text", ("items.title",), "m", shop.fingerprint, cutoff=cutoff)
    dataset = replace(shop, provenance=(title,))
    draft = draft_queries(dataset, find_reviews(dataset, None), prompt, "fake", n=100)
    with Calls(draft.kept) as calls:
        made = pack_queries(draft, write_queries(draft, calls, chat(reply)), "q", "fake")
    if before:
        with pytest.raises(ProtocolError, match="30 of the 30 interactions"):
            check_query_artefacts(made, {"items.title", "queries"})
    else:
        check_query_artefacts(made, {"items.title", "queries"})


def test_the_artefact_is_kept_in_the_fields_of_amazon_c4(
    draft: Draft, decisions: list[Decision]
) -> None:
    """T15: qid contiguous from 0, query, item_id, user_id, ori_rating, ori_review."""
    made = pack_queries(draft, decisions, "q", "fake")
    keep_artefact(draft, decisions, made)
    lines = (draft.folder / "queries.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["qid"] for r in records] == list(range(20))
    assert list(records[0]) == ["qid", "query", "item_id", "user_id", "ori_rating", "ori_review"]
    assert all(r["ori_rating"] == 5 and r["user_id"] == "u" + r["item_id"][1:] for r in records)
    about = json.loads((draft.folder / "provenance.json").read_text())
    assert about["counts"]["kept"] == about["rows"] == 20
    assert about["settings"]["prompt"] == about["prompt"] == draft.prompt.hash


def test_nothing_kept_says_what_was_wrong(draft: Draft, chat: Any) -> None:
    with Calls(draft.kept) as calls:
        found = write_queries(draft, calls, chat(lambda conversation: "Zorbex!"))
    with pytest.raises(DataError, match=r"none of 30 reviews became a query.*30 brand"):
        pack_queries(draft, found, "q", "fake")


def test_what_cannot_be_packed_is_refused_before_it_is_paid_for(
    draft: Draft, decisions: list[Decision]
) -> None:
    check_place(draft, "q", None, replace=False)
    with pytest.raises(UsageError, match="categry"):
        check_place(draft, "q", "categry", replace=False)
    with pytest.raises(UsageError, match="cannot name a dataset"):
        check_place(draft, "My Queries", None, replace=False)
    with pytest.raises(UsageError, match="already a dataset my-shop"):
        check_place(draft, "my-shop", None, replace=False)
    check_place(draft, "my-shop", None, replace=True)
    save_imported(pack_queries(draft, decisions, "q", "fake"))
    check_place(draft, "q", None, replace=False)  # the same artefact again
