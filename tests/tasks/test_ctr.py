"""Click prediction as a task: what is asked, how it is compared, what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench.contracts import Candidates
from tastebench.data.card import DatasetCard, RowsSpec, SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, ProtocolError, UsageError
from tastebench.ragged import Ragged
from tastebench.tasks import TASKS
from tastebench.tasks.shown import Shown, score_all

CARD = DatasetCard(name="shop", title="Shop", history_length=3)
CTR = TASKS.get("ctr")
BY_TIME = SplitSpec(kind="time", valid_from=30, test_from=40)


class Scores:
    """Scores candidates by a table of items, and remembers how it was asked."""

    log_odds = True

    def __init__(self, table: list[float]) -> None:
        self.table = np.array(table)
        self.asked: list[int] = []

    def score(self, candidates: Candidates) -> np.ndarray:
        self.asked.append(len(candidates.items.values))
        scores: np.ndarray = self.table[candidates.items.values]
        return scores


def shop() -> Dataset:
    """Two lists of u and one of v are test; u's first list has one class alone."""
    shown = pl.DataFrame(
        [
            ("p0", "u", "a", 10, 1),
            ("p0", "u", "b", 10, 0),
            ("p1", "v", "b", 30, 1),
            ("p1", "v", "c", 30, 0),
            ("p2", "u", "c", 40, 0),
            ("p2", "u", "d", 40, 0),
            ("p3", "u", "a", 50, 1),
            ("p3", "u", "b", 50, 0),
            ("p3", "u", "c", 50, 1),
            ("p4", "v", "a", 60, 0),
            ("p4", "v", "d", 60, 1),
        ],
        schema=["impression_id", "user_id", "item_id", "time", "label"],
        orient="row",
    )
    clicks = shown.filter(pl.col("label") == 1).select("user_id", "item_id", "time")
    items = pl.DataFrame({"item_id": list("abcd"), "title": ["one", "two", "three", "four"]})
    return Dataset.create(CARD, Tables(items, clicks, impressions=shown))


def evaluated(table: list[float], **protocol: Any) -> Any:
    made = CTR.protocol(shop(), split=BY_TIME, **protocol)
    return CTR.evaluate(Scores(table), CTR.problem(shop(), made), made, "test")


def test_what_is_asked() -> None:
    protocol = CTR.protocol(shop(), split=BY_TIME)
    shown = CTR.ask(CTR.problem(shop(), protocol), protocol, "test", None)  # type: ignore[arg-type]
    assert isinstance(shown, Shown)
    assert shown.candidates.items.to_lists() == [[2, 3], [0, 1, 2], [0, 3]]
    assert shown.candidates.history.to_lists() == [[0], [0], [1]]
    assert shown.label.tolist() == [0, 0, 1, 0, 1, 0, 1]
    assert shown.user.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert shown.segments["history"].tolist() == ["1-4", "1-4"]


def test_scores_are_compared_within_users_or_within_lists() -> None:
    """By hand. Scores a .9, b .5, c .3, d .4.

    User u: clicks {.9, .3} against {.3, .4, .5}: 3 of 6 pairs and half of one tie: 3.5 / 6. In the
    list p3 alone: {.9, .3} against {.5}: 1 of 2. User v: d .4 against a .9: 0.
    """
    table = [0.9, 0.5, 0.3, 0.4]
    by_user = evaluated(table, metrics=["gauc", "auc"], group="user")
    assert by_user.values["gauc"].tolist() == [pytest.approx(3.5 / 6), 0.0]
    by_list = evaluated(table, metrics=["gauc"], group="impression")
    assert by_list.values["gauc"].tolist() == [0.5, 0.0]
    assert by_list.counts["groups"] == 3 and by_list.counts["excluded_one_class"] == 1
    # Clicks {.9, .3, .4} against {.3, .4, .5, .9} over all rows.
    assert by_user.means()["auc"] == pytest.approx((3.5 + 0.5 + 1.5) / 12)


def test_every_user_counts_once_or_by_lists() -> None:
    shown = shop().tables.impressions
    assert shown is not None
    more = pl.concat(
        [shown, shown.filter(impression_id="p3").with_columns(impression_id=pl.lit("p5"))]
    )
    data = Dataset.create(
        CARD, Tables(shop().tables.items, shop().tables.interactions, impressions=more)
    )
    for average, mean in (("row", (0.5 + 0.5 + 0.0) / 3), ("user", (0.5 + 0.0) / 2)):
        protocol = CTR.protocol(
            data, split=BY_TIME, metrics=["gauc", "logloss"], group="impression", average=average
        )
        problem = CTR.problem(data, protocol)
        found = CTR.evaluate(Scores([0.9, 0.5, 0.3, 0.4]), problem, protocol)
        assert found.means()["gauc"] == pytest.approx(mean)
        assert "logloss" in found.weights  # of rows, whatever the average


def test_probabilities_of_log_odds_and_of_nothing() -> None:
    sure = evaluated([2.0, 0.0, -2.0, 0.0], metrics=["logloss", "ece", "f1"])
    p = 1 / (1 + np.exp(-np.array([2.0, 0.0, -2.0, 0.0])))
    label, item = np.array([0, 0, 1, 0, 1, 0, 1]), np.array([2, 3, 0, 1, 2, 0, 3])
    loss = -np.log(np.where(label == 1, p[item], 1 - p[item])).mean()
    assert sure.means()["logloss"] == pytest.approx(loss)

    class Order(Scores):
        log_odds = False

    protocol = CTR.protocol(shop(), split=BY_TIME, metrics=["gauc", "logloss"])
    found = CTR.evaluate(Order([1, 2, 3, 4]), CTR.problem(shop(), protocol), protocol)
    assert np.isnan(found.means()["logloss"]) and found.means()["gauc"] >= 0


def test_askers_are_asked_in_chunks_and_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    items = Ragged.from_lists([rng.integers(5, size=n) for n in (3, 0, 5, 1, 9, 2)])
    candidates = Candidates(Ragged.from_lists([[]] * 6), np.arange(6), items)
    whole = score_all(Scores([1, 2, 3, 4, 5]), candidates)
    monkeypatch.setattr("tastebench.tasks.shown.SCORED_TOGETHER", 4)
    one = Scores([1, 2, 3, 4, 5])
    np.testing.assert_array_equal(score_all(one, candidates), whole)
    assert one.asked == [8, 10, 2]


def test_a_request_is_one_candidate_with_its_own_history() -> None:
    protocol = CTR.protocol(shop(), split=BY_TIME)
    shown = CTR.ask(CTR.problem(shop(), protocol), protocol, "test", None)  # type: ignore[arg-type]
    assert isinstance(shown, Shown)
    seen: list[tuple[list[int], list[int], int]] = []

    class Remembers(Scores):
        def score(self, candidates: Candidates) -> np.ndarray:
            history, items = candidates.history[0].tolist(), candidates.items[0].tolist()
            seen.append((history, items, int(candidates.user[0])))
            return super().score(candidates)

    for row in range(len(shown)):
        shown.request(Remembers([1, 2, 3, 4]), row)
    assert seen[2:5] == [([0], [0], 0), ([0], [1], 0), ([0], [2], 0)]
    assert seen[6] == ([1], [3], 1)
    assert shown.brings(6, ["A", "B", "C", "D"]) == (["B", "D"], "item")


def test_a_limit_keeps_whole_users() -> None:
    found = evaluated([1, 2, 3, 4], metrics=["gauc"], limit=1)
    assert found.ids.tolist() == [0] and found.counts["excluded_by_limit"] == 1


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([np.nan, 1, 1, 1], "scored item 0 nan: a score is a finite number"),
        ([1, np.inf, 1, 1], "scored item 1 inf"),
    ],
)
def test_what_is_no_score_is_refused(scores: list[float], says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        evaluated(scores, metrics=["gauc"])


def test_something_that_scores_whole_catalogues_is_refused() -> None:
    class Whole:
        def scores(self, queries: Any, items: slice) -> np.ndarray:
            return np.zeros((len(queries), 4))

    protocol = CTR.protocol(shop(), split=BY_TIME)
    with pytest.raises(ProtocolError, match="Whole does not score candidates"):
        CTR.evaluate(Whole(), CTR.problem(shop(), protocol), protocol)


def test_lists_are_needed_to_compare_within_lists() -> None:
    rows = pl.DataFrame(
        [("u", "a", 10, 1), ("u", "b", 40, 0)],
        schema=["user_id", "item_id", "time", "label"],
        orient="row",
    )
    data = Dataset.create(CARD, Tables(shop().tables.items, rows))
    protocol = CTR.protocol(data, split=BY_TIME, group="impression")
    with pytest.raises(UsageError, match="knows of no impressions to compare within"):
        CTR.problem(data, protocol)


def test_the_protocol_says_what_is_asked() -> None:
    protocol = CTR.protocol(shop(), split=BY_TIME)
    said = protocol.describe()
    assert "impressions, compared within users" in said and "latest 3 items" in said
    again = CTR.protocol(shop(), split=BY_TIME, rows="sampled")
    assert "4 drawn negatives each" in again.describe()
    assert protocol.fingerprint(shop()) != again.fingerprint(shop())


def test_fingerprints_of_other_tasks_are_what_they_were_before_rows_and_groups() -> None:
    dumped = TASKS.get("seqrec").protocol(shop(), split=BY_TIME).model_dump(mode="json")
    assert "rows" not in dumped and "group" not in dumped and "users" not in dumped["split"]


def test_a_list_of_two_users_is_refused_before_anything_is_trained() -> None:
    shown = shop().tables.impressions
    assert shown is not None
    twice = shown.with_columns(impression_id=pl.col("impression_id").replace("p1", "p3"))
    data = Dataset.create(CARD, Tables(shop().tables.items, impressions=twice))
    protocol = CTR.protocol(data, split=BY_TIME, group="impression")
    with pytest.raises(DataError, match="impression 'p3' is of two users, 'u' and 'v'"):
        CTR.problem(data, protocol)


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ({"source": "impressions", "negatives": 2}, "negatives"),
        ({"source": "labels", "seed": 7}, "seed"),
        ({"source": "sampled", "threshold": 4.0}, "threshold"),
    ],
)
def test_what_rows_do_not_read_cannot_be_set(rows: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} changes nothing where rows come from"):
        RowsSpec.model_validate(rows)
    # As a record writes it down, with all that stands for nothing.
    assert RowsSpec.model_validate(RowsSpec(source=rows["source"]).model_dump())
