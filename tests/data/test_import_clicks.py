"""A user's own impressions, histories, labels and ratings: what is understood, dropped, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench.data.card import SplitSpec
from tastebench.data.cells import ImportOptions
from tastebench.data.dataset import Dataset
from tastebench.data.importer import import_dataset
from tastebench.data.labelled import default_rows, default_split, label_rows
from tastebench.errors import DataError, TastebenchError, UsageError
from tastebench.tasks import TASKS

ITEMS = "nid,headline\na,One\nb,Two\nc,Three\nd,Four\n"
SHOWN = """list,uid,nid,at,clicked,slot,part
7,u,a,1600000000,1,0,train
7,u,b,1600000000,0,1,train
8,u,c,1600000100,yes,0,Valid
8,u,a,1600000100,no,1,valid
9,v,d,1600000200,0.0,0, test
9,v,a,1600000200,true,1,test
"""
MAP = {"item": "nid", "user": "uid", "time": "at", "label": "clicked", "impression": "list"}


class News:
    """Files of a news site, and their import."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        return path

    def read(
        self,
        shown: str = SHOWN,
        mapping: dict[str, str] | None = None,
        *,
        histories: Path | None = None,
        interactions: Path | None = None,
        **options: Any,
    ) -> Dataset:
        return import_dataset(
            "my-news",
            self.file("news.csv", ITEMS),
            interactions,
            MAP if mapping is None else mapping,
            ["headline"],
            impressions=self.file("shown.csv", shown),
            histories=histories,
            options=ImportOptions(**options),
        )


@pytest.fixture
def news(tmp_path: Path) -> News:
    return News(tmp_path)


def notes(dataset: Dataset) -> str:
    return "\n".join(dataset.manifest["import"]["notes"])


def shown(dataset: Dataset) -> pl.DataFrame:
    assert dataset.tables.impressions is not None
    return dataset.tables.impressions


def without(column: str) -> dict[str, str]:
    return {meaning: name for meaning, name in MAP.items() if meaning != column}


# ------------------------------------------------------------------------------------- impressions


def test_impressions_by_hand(news: News) -> None:
    data = news.read(mapping={**MAP, "position": "slot"})
    assert shown(data).rows() == [
        ("7", "u", "a", 1_600_000_000_000, 0, 1, "train"),
        ("7", "u", "b", 1_600_000_000_000, 1, 0, "train"),
        ("8", "u", "c", 1_600_000_100_000, 0, 1, "valid"),
        ("8", "u", "a", 1_600_000_100_000, 1, 0, "valid"),
        ("9", "v", "d", 1_600_000_200_000, 0, 0, "test"),
        ("9", "v", "a", 1_600_000_200_000, 1, 1, "test"),
    ]
    assert shown(data).columns[:3] == ["impression_id", "user_id", "item_id"]
    assert data.card.tasks == ("seqrec", "cf", "ctr")
    found = data.manifest["import"]
    assert found["time_unit"] == "s"
    assert found["dropped"] == {}
    assert "ctr: 6 impressions in 3 lists, 50.0% clicked" in notes(data)
    assert "nobody has a history" not in notes(data)
    rows = default_rows(data)
    assert (rows.source, default_split(data, rows).kind) == ("impressions", "given")
    labelled, history = label_rows(data, rows, default_split(data, rows), 20)
    assert labelled.part.tolist() == [0, 0, 1, 1, 2, 2]
    # What was clicked in a list is in no history of that list.
    assert [history[context].tolist() for context in labelled.context] == [[], [], [0], [0], [], []]


def test_clicks_are_the_interactions_where_none_are_given(news: News) -> None:
    data = news.read()
    clicks = data.tables.interactions
    assert clicks is not None
    assert clicks.select("user_id", "item_id", "time").rows() == [
        ("u", "a", 1_600_000_000_000),
        ("u", "c", 1_600_000_100_000),
        ("v", "a", 1_600_000_200_000),
    ]
    assert "interactions are the 3 clicks of the impressions" in notes(data)
    at = 1_600_000_100_000
    by_time = SplitSpec(kind="time", valid_from=at, test_from=at)
    for task, expected in (("seqrec", [2, 0]), ("cf", [[2], [0]])):
        problem = TASKS.get(task).problem(data, TASKS.get(task).protocol(data, split=by_time))
        test = problem.test.item.tolist() if task == "seqrec" else problem.test.to_lists()
        assert test == expected


def test_interactions_that_are_given_stay_beside_impressions(news: News) -> None:
    taken = news.file("taken.csv", "uid,nid,at\nv,b,1500000000\n")
    data = news.read(interactions=taken, mapping={**MAP, "part": "part"})
    assert data.tables.interactions is not None
    assert data.tables.interactions.select("user_id", "item_id").rows() == [("v", "b")]
    assert "interactions are the" not in notes(data)
    rows = default_rows(data)
    labelled, history = label_rows(data, rows, default_split(data, rows), 20)
    assert [history[c].tolist() for c in labelled.context] == [[1], [1], [], [], [], []]
    undated = news.file("taken.csv", "uid,nid\nv,b\n")
    assert "the interactions have no times that say what came before" in notes(
        news.read(interactions=undated)
    )


def test_without_an_impression_what_is_shown_at_one_time_is_one_list(news: News) -> None:
    rows = SHOWN + "v,u,d,1600000000,0,2,train\nv,v,b,1600000000,0,2,train\n"
    data = news.read(rows, without("impression"))
    # By user and time, in order of the file: u at 0, u at 100, v at 200, u at 0 again, v at 0.
    assert shown(data)["impression_id"].to_list() == ["0", "0", "1", "1", "2", "2", "0", "3"]
    assert "shown at one time is taken for one list" in notes(data)


def test_without_impression_and_time_a_user_is_one_list(news: News) -> None:
    data = news.read(mapping={m: c for m, c in MAP.items() if m not in ("impression", "time")})
    assert shown(data)["impression_id"].to_list() == ["0", "0", "0", "0", "1", "1"]
    assert "all rows of a user are one list" in notes(data)
    assert "history in ctr is what they clicked in earlier lists" in notes(data)
    assert data.card.tasks == ("seqrec", "cf", "ctr")


def test_an_impression_of_several_users_is_a_list_of_each(news: News) -> None:
    data = news.read(SHOWN.replace("9,v", "7,v"))
    assert shown(data)["impression_id"].to_list() == ["0", "0", "1", "1", "2", "2"]
    assert "1 of 2 values of list stand with several users" in notes(data)


def test_a_counter_orders_impressions_and_is_no_time(news: News) -> None:
    late_first = SHOWN.replace("1600000000,", "9,").replace("1600000100", "2")
    data = news.read(late_first.replace("1600000200", "3"), without("impression"))
    assert shown(data)["item_id"].to_list() == ["c", "a", "d", "a", "a", "b"]
    assert shown(data)["impression_id"].to_list() == ["1", "1", "2", "2", "0", "0"]
    assert shown(data)["time"].null_count() == 6
    assert "at is a counter, not a time: it gives the order of impressions" in notes(data)
    assert data.item_ids.gather(data.events().item).to_list() == ["c", "a", "a"]


def test_unordered_impressions_are_for_cf_and_ctr(news: News) -> None:
    data = news.read(unordered=True)
    assert data.card.tasks == ("cf", "ctr")
    assert data.tables.interactions is not None
    assert data.tables.interactions["row"].unique().to_list() == [0]
    assert data.events().time is None
    assert "nobody has a history in ctr" in notes(data)


def test_impressions_that_cannot_be_used_are_dropped_counted_and_located(news: News) -> None:
    more = (
        "9,v,zz,1600000200,1,2,test\n,v,a,1600000200,1,2,test\n9,,a,1600000200,1,2,test\n"
        "9,v,b,1600000200,,2,test\n9,v,b,1600000200,NA,2,test\n9,v,b,1600000200,0,2,\n"
        "9,v,b,,0,2,test\n"
    )
    data = news.read(SHOWN + more * 1)
    assert data.manifest["import"]["dropped"] == {
        "impressions without uid or nid or clicked or list or part": {
            "rows": 5,
            "first": [9, 10, 11, 12, 13],
        },
        "impressions without a readable time": {"rows": 1, "first": [14]},
    }
    assert data.manifest["repairs"] == {"impressions of unknown items dropped": 1}
    assert len(shown(data)) == 6


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (",yes,", ",2,", r"clicked is neither 0 nor 1 in 1 row, e.g. '2'(.|\n)*shown.csv, row 4"),
        (",yes,", ",maybe,", r"clicked is not a number in 1 row, e.g. 'maybe'(.|\n)*row 4"),
        ("Valid", "dev", r"part is none of train, valid, test in 1 row, e.g. 'dev'(.|\n)*row 4"),
        ("yes,0,", "yes,first,", r"slot is not a number in 1 row, e.g. 'first'(.|\n)*row 4"),
        ("yes,0,", "yes,0.5,", r"slot is no whole number in 1 row, e.g. '0.5'(.|\n)*row 4"),
        ("1600000100,yes", "soon,yes", r"at is no time in 1 row, e.g. 'soon'(.|\n)*row 4"),
    ],
)
def test_bad_cells_are_refused_with_their_row(news: News, old: str, new: str, says: str) -> None:
    assert old in SHOWN
    with pytest.raises(DataError, match=says) as caught:
        news.read(SHOWN.replace(old, new), {**MAP, "position": "slot"})
    assert caught.value.fix
    # The label cannot be left out of what tells clicks.
    assert ("leave the column out" in caught.value.fix) is (
        "slot" in caught.value.what or "part" in caught.value.what
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("yes|1|true", "0", "nothing that was shown was clicked"),
        ("no|0.0|0", "1", "everything that was shown was clicked"),
    ],
)
def test_impressions_hold_both_kinds(news: News, old: str, new: str, says: str) -> None:
    frame = pl.read_csv(SHOWN.encode(), infer_schema=False)
    frame = frame.with_columns(
        clicked=pl.when(pl.col("clicked").is_in(old.split("|")))
        .then(pl.lit(new))
        .otherwise("clicked")
    )
    with pytest.raises(DataError, match=says) as caught:
        news.read(frame.write_csv())
    assert (caught.value.where or "").endswith("shown.csv")


def test_most_impressions_must_name_items(news: News) -> None:
    with pytest.raises(DataError, match="most rows of impressions name a item_id that items does"):
        news.read(SHOWN.replace(",a,", ",x,").replace(",b,", ",y,"))


def test_what_an_impression_needs_is_named(news: News) -> None:
    with pytest.raises(DataError, match="which column of impressions is the label") as caught:
        news.read(mapping=without("label"))
    assert caught.value.fix == "--map label=COLUMN"
    with pytest.raises(UsageError, match=r"unknown meaning 'lable'(.|\n)*did you mean label"):
        news.read(mapping={**MAP, "impressions.lable": "clicked"})


# --------------------------------------------------------------------------------------- histories


def given(dataset: Dataset) -> dict[str, list[str]]:
    assert dataset.tables.histories is not None
    return dict(dataset.tables.histories.rows())


def test_histories_are_ids_between_spaces_or_json(news: News) -> None:
    past = news.file(
        "past.csv",
        'uid,past\nu,b  a b\nv,"[""c"", ""d""]"\nw,\nx, [] \n',
    )
    data = news.read(mapping={**MAP, "history": "past"}, histories=past)
    assert given(data) == {"u": ["b", "a", "b"], "v": ["c", "d"], "w": [], "x": []}
    rows = default_rows(data)
    labelled, history = label_rows(data, rows, default_split(data, rows), 2)
    # In a later part the click of the earlier one stands behind what was given.
    expected = [[0, 1]] * 2 + [[1, 0]] * 2 + [[2, 3]] * 2
    assert [history[c].tolist() for c in labelled.context] == expected
    assert data.everyone.to_list() == ["u", "v", "w", "x"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_histories_are_lists_where_a_file_has_lists(news: News, kind: str) -> None:
    frame = pl.DataFrame({"user_id": [1, 2], "history": [[10, 20], None]})
    path = news.folder / f"past.{kind}"
    frame.write_parquet(path) if kind == "parquet" else frame.write_ndjson(path)
    items = news.file("items.csv", "item_id,title\n10,One\n20,Two\n")
    rows = news.file("rows.csv", "user_id,item_id,label\n1,20,1\n2,10,0\n")
    data = import_dataset("my-news", items, impressions=rows, histories=path)
    assert given(data) == {"1": ["10", "20"], "2": []}
    assert "nobody has a history" not in notes(data)


def test_items_of_histories_that_are_unknown_are_dropped_unless_they_are_most(news: News) -> None:
    past = news.file("past.csv", "user,history\nu,a zz b\n")
    data = news.read(histories=past)
    assert given(data) == {"u": ["a", "b"]}
    assert data.manifest["repairs"] == {"history items of unknown items dropped": 1}
    past = news.file("past.csv", 'user,history\nu,"a,b,c"\nv,a\nw,"b,c"\n')
    with pytest.raises(DataError, match="most of what history lists are no items") as caught:
        news.read(histories=past)
    assert "e.g. 'a,b,c', 'b,c'; items are e.g. 'a', 'b', 'c'" in caught.value.what
    assert "separate ids by spaces" in str(caught.value.fix)


@pytest.mark.parametrize("cell", ["['a', 'b']", '["a"', '[["a"]]', '["a", NaN]', '["a"] b'])
def test_a_history_that_is_no_list_is_refused_with_its_row(news: News, cell: str) -> None:
    quoted = cell.replace('"', '""')
    past = news.file("past.csv", f'user,history\nu,a\nv,"{quoted}"\nw,"[""a""]"\n')
    with pytest.raises(DataError, match="history is no list in 1 row") as caught:
        news.read(histories=past)
    assert str(caught.value.where).endswith("past.csv, row 3")


def test_a_number_is_no_history(news: News) -> None:
    path = news.folder / "past.parquet"
    pl.DataFrame({"user_id": ["u"], "history": [3]}).write_parquet(path)
    with pytest.raises(DataError, match="history is no list in 1 row"):
        news.read(histories=path)


def test_a_second_history_of_a_user_is_refused_unless_the_first_is_asked_for(news: News) -> None:
    past = news.file("past.csv", "user,history\nu,a\nu,b\n")
    with pytest.raises(
        DataError, match=r"1 row of histories with an id seen before: row 3 \('u'\)"
    ):
        news.read(histories=past)
    assert given(news.read(histories=past, duplicates="first")) == {"u": ["a"]}


def test_files_that_go_together(news: News) -> None:
    items, past = news.file("news.csv", ITEMS), news.file("past.csv", "user,history\nu,a\n")
    with pytest.raises(UsageError, match="histories are what users had taken before impressions"):
        import_dataset("my-news", items, past, MAP, ["headline"], histories=past)
    with pytest.raises(UsageError, match="neither interactions nor impressions nor relevance"):
        import_dataset("my-news", items, None, MAP, ["headline"], histories=past)


# ------------------------------------------------------------------------------ labels and ratings


def labelled_import(news: News, header: str, values: list[str]) -> Dataset:
    rows = [f"u{n},{'abcd'[n % 4]},{1_600_000_000 + n},{v}" for n, v in enumerate(values)]
    clicks = news.file("clicks.csv", "\n".join([f"uid,nid,at,{header}", *rows]))
    mapping = {**without("label"), "label": "clicked"} if header == "clicked" else without("label")
    mapping.pop("impression")
    return import_dataset("my-news", news.file("news.csv", ITEMS), clicks, mapping, ["headline"])


@pytest.mark.parametrize(
    ("header", "values", "ctr", "says"),
    [
        (
            "clicked",
            ["1", "0", "0", ""],
            True,
            "ctr: label 1 is a click, 0 is none, and without a label a row is left out: 1, 2 and 1 "
            "interactions",
        ),
        ("clicked", ["1", "1"], False, "not for ctr as it is: no label is 0"),
        ("clicked", ["0", "0", "0"], False, "not for ctr as it is: no label is 1"),
        (
            "rating",
            ["5", "3.5", "3", "2.5", "NA"],
            True,
            "ctr: a rating above 3 is a click, below 3 none, any other is left out: 2, 1 and 2 "
            "interactions; a plan may set another threshold: "
            "protocol: {ctr: {rows: {source: labels, threshold: ...}}}",
        ),
        ("rating", ["5", "4"], False, "not for ctr as it is: no rating is below 3"),
        ("rating", ["1", "3"], False, "not for ctr as it is: no rating is above 3"),
    ],
)
def test_labels_and_ratings_of_both_kinds_are_for_ctr_and_that_is_said(
    news: News, header: str, values: list[str], ctr: bool, says: str
) -> None:
    data = labelled_import(news, header, values)
    assert data.card.tasks == (("seqrec", "cf", "ctr") if ctr else ("seqrec", "cf"))
    assert says in notes(data)
    assert (default_rows(data).source == "labels") is ctr


def test_what_the_note_says_of_a_threshold_can_be_done(news: News) -> None:
    data = labelled_import(news, "rating", ["5", "4", "3.5", "2"] * 5)
    protocol = TASKS.get("ctr").protocol(
        data, rows={"source": "labels", "threshold": 4.5}, split={"kind": "user"}
    )
    problem = TASKS.get("ctr").problem(data, protocol)
    label = np.concatenate([part.label for part in (problem.train, problem.valid, problem.test)])
    assert (int(label.sum()), len(label)) == (5, 20)


def test_interactions_without_either_say_nothing_of_clicks(news: News) -> None:
    data = labelled_import(news, "page", ["1", "2"])
    assert data.card.tasks == ("seqrec", "cf")
    assert "ctr" not in notes(data)


def test_a_label_that_is_none_is_refused_with_its_row(news: News) -> None:
    with pytest.raises(TastebenchError, match=r"clicked is neither 0 nor 1(.|\n)*row 3") as caught:
        labelled_import(news, "clicked", ["1", "5", "0"])
    assert "leave the column out of --map" in str(caught.value.fix)
