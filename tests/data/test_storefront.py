"""The storefront: frozen, integer, truthful about its truth, and worded as a shop would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tastebench.contracts import Queries, Truth
from tastebench.data import storefront
from tastebench.data.dataset import Dataset
from tastebench.data.fingerprint import fingerprint
from tastebench.data.schema import Tables, validate
from tastebench.data.storefront.calendar import DAY, PERIOD_DAYS, START, VISIT
from tastebench.data.storefront.catalogue import SLOTS
from tastebench.data.storefront.draws import Draws
from tastebench.data.storefront.phrasing import sentence
from tastebench.data.storefront.vocabulary import vocabulary
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged

# Published numbers refer to this shop: version 1.0, seed 7. If this changes, either a platform
# computes differently, which is a defect, or the generator changed, which needs a new version.
FINGERPRINT = "6fdb355b1b1a573512f4ee17e1509e48d973334a72bdc7101622491850bf2e1c"

ALL = slice(None)


@pytest.fixture(scope="module")
def tables() -> Tables:
    return storefront.generate()


@pytest.fixture(scope="module")
def dataset(tables: Tables) -> Dataset:
    return Dataset.create(storefront.CARD, tables)


@pytest.fixture(scope="module")
def truth(dataset: Dataset) -> Truth:
    return storefront.truth(dataset)


# ------------------------------------------------------------------------------ frozen, everywhere


def test_version_1_0_of_seed_7_is_frozen(dataset: Dataset) -> None:
    assert storefront.CARD.generator == "1.0"
    assert dataset.fingerprint == FINGERPRINT


def test_the_seed_is_all_that_counts() -> None:
    again = storefront.generate(7)
    assert fingerprint(validate(again, "again")) == FINGERPRINT
    other = storefront.generate(8)
    assert fingerprint(validate(other, "other")) != FINGERPRINT


def test_a_process_with_another_hash_seed_makes_the_same_shop() -> None:
    code = (
        "from tastebench.data import storefront\n"
        "from tastebench.data.fingerprint import fingerprint\n"
        "from tastebench.data.schema import validate\n"
        "print(fingerprint(validate(storefront.generate(), 'storefront')))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == FINGERPRINT


def test_splitmix_equals_its_reference() -> None:
    """The published C code, in Python integers: state += gamma, then the finaliser."""
    mask = (1 << 64) - 1
    draws = Draws(7)
    state = draws._key("die")
    for drawn in draws.bits("die", 5).tolist():
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        assert drawn == z ^ (z >> 31)


def test_every_array_of_the_truth_is_an_integer_array(tables: Tables) -> None:
    assert set(tables.arrays) == {
        "item_traits",
        "item_popularity",
        "item_launch",
        "user_taste",
        "query_need",
    }
    assert {array.dtype.kind for array in tables.arrays.values()} == {"i"}
    assert tables.interactions is not None
    assert not [kind for kind in tables.interactions.dtypes if kind.is_float()]


def test_the_examples_in_the_documentation_are_real(tables: Tables) -> None:
    page = (Path(__file__).parents[2] / "docs" / "storefront.md").read_text(encoding="utf-8")
    assert tables.queries is not None
    items = dict(tables.items.select("title", "description").rows())
    queries = set(tables.queries["text"])
    shown = re.findall(r"^> \*\*(.+?)\*\* \(.*\)\n> (.+)$", page, flags=re.M)
    assert len(shown) == 6
    for title, description in shown:
        assert (items[title] or "*no description*") == description
    asked = re.findall(r"^> “(.+)”", page, flags=re.M)
    assert len(asked) == 4
    assert set(asked) <= queries


# ------------------------------------------------------------------------------------- what it is


def test_sizes(dataset: Dataset) -> None:
    known = storefront.CARD.known
    assert (known.users, known.items) == (dataset.n_users, dataset.n_items) == (1500, 2000)
    assert known.interactions == len(dataset.events().row)
    frame = dataset.tables.queries
    assert frame is not None
    assert frame["group"].value_counts().sort("group").rows() == [("complex", 150), ("short", 150)]


def test_departments_are_of_similar_size(tables: Tables) -> None:
    counts = tables.items["department"].value_counts()["count"]
    assert len(counts) == 12
    assert 100 < counts.min() <= counts.max() < 250
    kinds = np.bincount(_column(tables, "kind") - _ids("kind")[0])
    assert len(kinds) == 84
    assert kinds.min() >= 8


def test_shoppers_buy_between_5_and_95_items_and_none_twice(tables: Tables) -> None:
    assert tables.interactions is not None
    lengths = tables.interactions["user_id"].value_counts()["count"]
    assert (lengths.min(), lengths.max()) == (5, 95)
    assert 20 < lengths.mean() < 25
    assert lengths.median() < lengths.mean(), "skewed: a few shoppers buy a lot"
    assert not tables.interactions.select("user_id", "item_id").is_duplicated().any()


def test_nothing_is_bought_or_shown_before_its_launch(tables: Tables) -> None:
    launch = pl.DataFrame(
        {"item_id": tables.items["item_id"], "launch": tables.arrays["item_launch"]}
    )
    for frame in (tables.interactions, tables.impressions):
        assert frame is not None
        assert (frame.join(launch, on="item_id").select(pl.col("time") >= pl.col("launch")))[
            "time"
        ].all()
    late = (tables.arrays["item_launch"] > START).mean()
    assert 0.2 < late < 0.3


def test_the_log_is_in_order_of_time(tables: Tables) -> None:
    assert tables.interactions is not None
    assert tables.interactions["time"].is_sorted()
    assert tables.interactions["row"].to_list() == list(range(len(tables.interactions)))


def test_tastes_drift_from_period_to_period(tables: Tables) -> None:
    taste = tables.arrays["user_taste"].astype(np.int64)
    scene = taste[:, :, _ids("scene")]
    overlap = [
        np.minimum(scene[:, 0], scene[:, later]).sum() / scene[:, 0].sum() for later in range(6)
    ]
    assert overlap[0] == 1
    assert (np.diff(overlap) < 0).all(), "further away in time, less in common"
    assert 0.05 < overlap[5] < 0.5
    assert (taste[:, 0][:, _ids("audience")] == taste[:, 5][:, _ids("audience")]).all()


def test_clicks_fall_with_position_at_equal_truth(tables: Tables) -> None:
    """Places differ by how often they are looked at, not by how well their items suit."""
    frame = tables.impressions
    assert frame is not None
    user = frame["user_id"].str.slice(1).cast(pl.Int64).to_numpy() - 1
    item = frame["item_id"].str.slice(1).cast(pl.Int64).to_numpy() - 1
    period = (frame["time"].to_numpy() - START) // (PERIOD_DAYS * DAY)
    taste = np.pad(tables.arrays["user_taste"], ((0, 0), (0, 0), (0, 1)))
    suits = taste[user[:, None], period[:, None], tables.arrays["item_traits"][item]].sum(axis=1)
    position, label = frame["position"].to_numpy(), frame["label"].to_numpy()
    for low, high in ((26, 36), (36, 80)):
        here = (suits >= low) & (suits < high)
        rates = [label[here & (position == p)].mean() for p in (1, 4, 10)]
        assert rates[0] > rates[1] > rates[2] > 0
    means = [suits[position == p].mean() for p in range(1, 11)]
    assert max(means) - min(means) < 4 * suits.std() / np.sqrt((position == 1).sum())


def test_pages_hold_ten_different_items(tables: Tables) -> None:
    frame = tables.impressions
    assert frame is not None
    pages = frame.group_by("impression_id").agg(
        pl.col("item_id").n_unique(), pl.col("position").sort(), pl.col("user_id").n_unique()
    )
    assert pages["item_id"].unique().to_list() == [10]
    assert pages["user_id"].unique().to_list() == [1]
    assert pages["position"].list.eval(pl.element().cast(pl.String)).list.join(
        " "
    ).unique().to_list() == ["1 2 3 4 5 6 7 8 9 10"]


# --------------------------------------------------------------------------------------- wording


def test_agreement_with_the_noun() -> None:
    phrase = (
        "{it} {is} dry, {does} not fuss and {has} {its} charm; dr{ies} fast, go{es} with {them}"
    )
    assert sentence(phrase, plural=False) == (
        "It is dry, does not fuss and has its charm; dries fast, goes with it."
    )
    assert sentence(phrase, plural=True) == (
        "They are dry, do not fuss and have their charm; dry fast, go with them."
    )
    assert sentence("{it} shine{s}", plural=True, subject="these socks") == "These socks shine."


def test_titles_are_short_unique_and_clean(tables: Tables) -> None:
    titles = tables.items["title"]
    assert titles.n_unique() == len(titles)
    assert titles.str.len_chars().max() <= 120
    for column in (titles, tables.items["description"].drop_nulls()):
        bad = column.filter(column.str.contains(r"[{}]|  |\s$|^\s| [,.;]|\bNone\b"))
        assert bad.to_list() == []


def test_eight_percent_have_no_description_and_the_others_one_to_four_sentences(
    tables: Tables,
) -> None:
    described = tables.items["description"].drop_nulls()
    assert 0.06 < 1 - len(described) / 2000 < 0.10
    sentences = described.str.replace_all(r"No\. 9|4\.7", "").str.count_matches(r"[.!?](?: |$)")
    assert sentences.min() >= 1
    assert sentences.max() <= 4


def test_whatever_a_query_may_ask_for_is_said(tables: Tables) -> None:
    words = vocabulary()
    kinds = {kind.name: kind for kind in words.kinds}
    names = {number: name for (_, name), number in words.traits.items()}
    silent = []
    rows = zip(
        tables.items["title"],
        tables.items["description"].fill_null(""),
        tables.arrays["item_traits"].tolist(),
        strict=True,
    )
    for title, description, traits in rows:
        text = f"{title} {description}".replace("&amp;", "&").lower()
        kind = kinds[names[traits[SLOTS.index("kind")]]]
        for facet, trait in zip(SLOTS, traits, strict=True):
            if trait < 0 or facet not in ("scene", "virtue", "material", "audience"):
                continue
            if (facet == "audience" and len(set(kind.audiences)) == 1) or names[trait] == "anyone":
                continue
            phrases = getattr(words, f"{facet}s")[names[trait]]
            if not any(_said(phrase, text) for phrase in _shop_phrases(phrases)):
                silent.append((title, facet, names[trait]))
    assert silent == []


def test_no_trait_is_always_said_in_the_same_word() -> None:
    words = vocabulary()
    for facet in ("scenes", "virtues", "materials", "styles"):
        for name, phrases in getattr(words, facet).items():
            texts = [set(_tokens(text)) for text in _shop_phrases(phrases)]
            assert not set.intersection(*texts), (facet, name)
    for kind in words.kinds:
        assert len(kind.titles) >= 3
        assert len(kind.openers) >= 3


# --------------------------------------------------------------------------------------- queries


def test_relevance_is_what_the_need_says(tables: Tables) -> None:
    assert tables.queries is not None
    assert tables.relevance is not None
    graded = tables.relevance.group_by("query_id", maintain_order=True).agg("item_id")
    found = dict(graded.rows())
    traits = [set(row) - {-1} for row in tables.arrays["item_traits"].tolist()]
    for query, need in zip(
        tables.queries["query_id"], tables.arrays["query_need"].tolist(), strict=True
    ):
        wanted = {trait for trait, flag in need if flag == 1}
        unwanted = {trait for trait, flag in need if flag == 0}
        expected = [
            item
            for item, has in zip(tables.items["item_id"], traits, strict=True)
            if wanted <= has and not unwanted & has
        ]
        assert found[query] == expected
        assert 1 <= len(expected) <= 15
    assert tables.relevance["grade"].unique().to_list() == [1.0]


def test_queries_say_it_in_other_words_than_the_titles(tables: Tables) -> None:
    """At most two words in common with a relevant title, and none at all for 19 pairs in 20."""
    assert tables.queries is not None
    assert tables.relevance is not None
    pairs = (
        tables.relevance.join(tables.queries, on="query_id")
        .join(tables.items, on="item_id")
        .select("text", "title")
        .rows()
    )
    shared = [len(set(_tokens(text)) & set(_tokens(title))) for text, title in pairs]
    assert max(shared) <= 2
    assert np.mean([n > 0 for n in shared]) < 0.05


def test_short_queries_have_2_to_4_words_and_complex_ones_1_to_3_sentences(tables: Tables) -> None:
    assert tables.queries is not None
    assert tables.queries["text"].n_unique() == 300
    for text, group in tables.queries.select("text", "group").rows():
        if group == "short":
            assert 2 <= len(text.split()) <= 4
        else:
            assert 1 <= len(re.findall(r"[.?!](?: |$)", text)) <= 4
            assert text[0].isupper()


def test_some_complex_queries_say_what_is_unwanted(tables: Tables) -> None:
    assert (tables.arrays["query_need"][:, :, 1] == 0).any(axis=1).sum() >= 10


# ----------------------------------------------------------------------------------------- truth


def test_next_item_chances_equal_the_definition(dataset: Dataset, truth: Truth) -> None:
    """Recomputed in plain Python from the arrays and the log, for a few purchases."""
    arrays = dataset.tables.arrays
    log = dataset.tables.interactions
    assert log is not None
    rows = [0, 1, 1777, 20_000, 34_000]
    scores = truth.scores("seqrec", Queries(len(rows), row=np.array(rows)), ALL)
    errands = 0
    for row, scored in zip(rows, scores, strict=True):
        user, time = log["user_id"][row], log["time"][row]
        mine = log.filter(pl.col("user_id") == user).sort("time")
        before = mine.filter(pl.col("time") < time)
        owned = {int(name[1:]) - 1 for name in before["item_id"]}
        last = int(before["item_id"][-1][1:]) - 1 if len(before) else None
        if last is not None and time - before["time"][-1] > VISIT:
            last = None
        errands += last is not None
        period = (time - START) // (PERIOD_DAYS * DAY)
        taste = arrays["user_taste"][int(user[1:]) - 1, period].tolist()
        weights = []
        for item, traits in enumerate(arrays["item_traits"].tolist()):
            points = sum(taste[trait] for trait in traits if trait >= 0)
            steps = min(max(points, -15), 60) + 15
            weight = (16, 20, 25)[steps % 3] * 2 ** (steps // 3)
            weight *= int(arrays["item_popularity"][period, item])
            if last is not None and _scenes(traits) & _scenes(arrays["item_traits"][last].tolist()):
                weight *= 4
            open_ = item not in owned and arrays["item_launch"][item] <= time
            weights.append(weight if open_ else 0)
        free = sum(weight > 0 for weight in weights)
        expected = [
            0.9 * weight / sum(weights) + 0.1 / free if weight else 0.0 for weight in weights
        ]
        np.testing.assert_allclose(scored, expected, rtol=1e-12)
    assert 0 < errands < len(rows), "both kinds of purchase are among the examples"


@pytest.mark.parametrize("part", ["first", "later", "errand"])
def test_purchases_come_from_the_chances(dataset: Dataset, truth: Truth, part: str) -> None:
    """What the true chances promise for nDCG@10 and log-likelihood is what the log shows."""
    events = dataset.events()
    first = np.append(True, np.diff(events.user) > 0)
    assert events.time is not None
    errand = ~first & np.append(False, np.diff(events.time) <= VISIT)
    chosen = {"first": first, "later": ~first & ~errand, "errand": errand}[part]
    events_of = np.flatnonzero(chosen)[:: max(1, chosen.sum() // 1500)]
    chances = truth.scores("seqrec", Queries(len(events_of), row=events.row[events_of]), ALL)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    own = chances[np.arange(len(events_of)), events.item[events_of]]
    assert own.min() > 0, "nothing happens that the truth holds impossible"

    gain = _gain(chances)
    observed = gain[np.arange(len(events_of)), events.item[events_of]]
    _within_four_sigma(observed, chances, gain)
    surprise = np.log(np.where(chances > 0, chances, 1))
    _within_four_sigma(np.log(own), chances, surprise)


def test_no_other_ranking_promises_more(dataset: Dataset, truth: Truth) -> None:
    """Expected nDCG@10 under the true chances, of the truth and of scorers that know less."""
    events = dataset.events()
    rows = events.row[::60]
    chances = truth.scores("seqrec", Queries(len(rows), row=rows), ALL)
    rng = np.random.default_rng(0)
    popular = np.bincount(events.item, minlength=dataset.n_items).astype(np.float64)
    arrays = dict(dataset.tables.arrays)
    arrays["user_taste"] = np.repeat(arrays["user_taste"][:, :1], 6, axis=1)
    undrifted = storefront.truth(replace(dataset, tables=replace(dataset.tables, arrays=arrays)))
    lesser = {
        "noise": chances * rng.uniform(0.5, 2, chances.shape),
        "popularity": np.broadcast_to(popular, chances.shape),
        "the taste of the first period": undrifted.scores(
            "seqrec", Queries(len(rows), row=rows), ALL
        ),
        "another shopper's": np.roll(chances, 1, axis=0),
    }
    best = (_gain(chances) * chances).sum(axis=1)
    for name, scores in lesser.items():
        promised = (_gain(scores) * chances).sum(axis=1)
        assert (promised <= best + 1e-12).all(), name
        assert promised.mean() < 0.97 * best.mean(), name


def test_remaining_purchases(dataset: Dataset, truth: Truth) -> None:
    events = dataset.events()
    users = np.array([3, 900])
    lists = [events.item[events.user == user] for user in users]
    known = Ragged.from_lists([np.sort(items[::2]).tolist() for items in lists])
    queries = Queries(2, history=known, user=users)
    scores = truth.scores("cf", queries, ALL)
    # Every purchase that is not in the history is one item for certain.
    np.testing.assert_allclose(scores.sum(axis=1), [len(items[1::2]) for items in lists])
    for row, history in enumerate(known):
        assert (scores[row, history] == 0).all()
    # With nothing left to buy there is nothing to expect.
    everything = Ragged.from_lists([np.sort(items).tolist() for items in lists])
    assert not truth.scores("cf", Queries(2, history=everything, user=users), ALL).any()


def test_remaining_purchases_with_one_left_are_its_chances(dataset: Dataset, truth: Truth) -> None:
    """The last purchase of a shopper, all others known: the same question as the next item."""
    events = dataset.events()
    user = np.array([11, 700])
    own = [np.flatnonzero(events.user == one) for one in user]
    known = Ragged.from_lists([np.sort(events.item[rows[:-1]]).tolist() for rows in own])
    left = truth.scores("cf", Queries(2, history=known, user=user), ALL)
    last = truth.scores("seqrec", Queries(2, row=events.row[[rows[-1] for rows in own]]), ALL)
    np.testing.assert_allclose(left, last)


def test_the_truth_finds_held_out_purchases(dataset: Dataset, truth: Truth) -> None:
    events = dataset.events()
    held_out = np.arange(len(events.row)) % 5 == 0
    users = np.arange(0, 1500, 5)
    train = Ragged.from_rows(events.user[~held_out], events.item[~held_out], 1500)[users]
    test = Ragged.from_rows(events.user[held_out], events.item[held_out], 1500)[users]
    scores = truth.scores("cf", Queries(len(users), history=train, user=users), ALL)
    popular = np.broadcast_to(
        np.bincount(events.item[~held_out], minlength=2000).astype(np.float64), scores.shape
    )
    found, by_popularity = (
        _gain(matrix)[test.rows, test.values].mean() for matrix in (scores, popular)
    )
    assert found > 3 * by_popularity > 0


def test_search_truth_is_the_relevance(dataset: Dataset, truth: Truth) -> None:
    frame, relevance = dataset.tables.queries, dataset.tables.relevance
    assert frame is not None
    assert relevance is not None
    rows = np.array([0, 299, 42])
    by_row = truth.scores("search", Queries(3, row=rows), ALL)
    by_text = truth.scores("search", Queries(3, text=[frame["text"][int(r)] for r in rows]), ALL)
    np.testing.assert_array_equal(by_row, by_text)
    for row, scored in zip(rows.tolist(), by_row, strict=True):
        relevant = relevance.filter(pl.col("query_id") == frame["query_id"][row])["item_id"]
        assert dataset.item_ids.filter(scored == 1).to_list() == relevant.to_list()
        assert scored.sum() == len(relevant)


def test_a_slice_of_items_is_a_slice_of_scores(truth: Truth) -> None:
    queries = Queries(2, row=np.array([5, 6]))
    for task in ("seqrec", "search"):
        whole = truth.scores(task, queries, ALL)
        np.testing.assert_array_equal(truth.scores(task, queries, slice(10, 13)), whole[:, 10:13])


def test_what_the_truth_refuses(dataset: Dataset, truth: Truth) -> None:
    with pytest.raises(UsageError, match="did you mean seqrec"):
        truth.scores("seqreq", Queries(1), ALL)
    with pytest.raises(UsageError, match="seqrec needs queries with a row"):
        truth.scores("seqrec", Queries(1), ALL)
    with pytest.raises(UsageError, match="cf needs queries with a user"):
        truth.scores("cf", Queries(1), ALL)
    with pytest.raises(UsageError, match="cf needs queries with a history"):
        truth.scores("cf", Queries(1, user=np.array([0])), ALL)
    with pytest.raises(UsageError, match="search needs queries with a row or a text"):
        truth.scores("search", Queries(1), ALL)
    with pytest.raises(UsageError, match="not a query of this storefront: 'left-handed scissors'"):
        truth.scores("search", Queries(1, text=["left-handed scissors"]), ALL)
    old = replace(dataset, card=dataset.card.model_copy(update={"generator": "0.9"}))
    with pytest.raises(DataError, match=r"not made by storefront 1\.0"):
        storefront.truth(old)


def test_the_truth_survives_saving(dataset: Dataset, truth: Truth, tmp_path: Path) -> None:
    dataset.save(tmp_path / "shop")
    loaded = storefront.truth(Dataset.load(tmp_path / "shop", verify=True))
    queries = Queries(3, row=np.array([10, 20_000, 30_000]))
    np.testing.assert_array_equal(
        loaded.scores("seqrec", queries, ALL), truth.scores("seqrec", queries, ALL)
    )


# --------------------------------------------------------------------------------------- helpers

_STOP = set(
    "a an and any are as at be but by can do for from get go have i if in is it its just like me "
    "my need no not of off on one or our out so that the there they this to up us we what when "
    "with want who will would you your something".split()
)


def _tokens(text: str) -> list[str]:
    words = re.findall(r"[^\W\d_]{2,}", re.sub(r"{\w+}", " ", text).lower())
    return [word for word in words if word not in _STOP]


def _shop_phrases(phrases: dict[str, list[str]]) -> list[str]:
    """The phrases that a shop uses; those of shoppers are left out."""
    return [
        text
        for key, texts in phrases.items()
        if key not in ("short", "ask", "avoid")
        for text in texts
    ]


def _said(phrase: str, text: str) -> bool:
    """Whether a phrase stands in a lower-case text, whatever its pronouns and endings became."""
    pattern = re.escape(phrase.lower().removeprefix("{it} ").removeprefix("for "))
    return re.search(re.sub(r"\\{\w+\\}", r"[\\w' \\-]*", pattern), text) is not None


def _ids(facet: str) -> list[int]:
    return list(vocabulary().ids(facet))


def _column(tables: Tables, facet: str) -> np.ndarray:
    return tables.arrays["item_traits"][:, SLOTS.index(facet)]


def _scenes(traits: list[int]) -> set[int]:
    return {t for facet, t in zip(SLOTS, traits, strict=True) if facet == "scene" and t >= 0}


def _gain(scores: np.ndarray) -> np.ndarray:
    """nDCG@10 of each item if it were the one relevant item."""
    top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    gain = np.zeros(scores.shape)
    np.put_along_axis(gain, top, 1 / np.log2(np.arange(10) + 2)[None], axis=1)
    return gain


def _within_four_sigma(observed: np.ndarray, chances: np.ndarray, values: np.ndarray) -> None:
    expected = (chances * values).sum(axis=1)
    variance = (chances * values**2).sum(axis=1) - expected**2
    assert abs(observed.sum() - expected.sum()) < 4 * np.sqrt(variance.sum())
