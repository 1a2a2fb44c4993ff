"""RecBench's views: what each is made of, by hand and of real files, beside the published sizes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tastebench.data import click_account
from tastebench.data.catalog import load_dataset
from tastebench.data.comparison import Counted, compare
from tastebench.data.dataset import Dataset
from tastebench.data.sources import SOURCES, recbench, recbench_counts
from tastebench.data.text import item_texts
from tastebench.errors import DataError

PUBLISHED = ("hm", "mind", "microlens", "goodreads", "cds")


def lines(folder: Path, name: str, rows: list[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / name).write_text("".join(f"{row}\n" for row in text), encoding="utf-8")


# --------------------------------------------------------------------------------------- the table


def test_every_view_is_named_and_stands_on_a_dataset() -> None:
    names = [name for name in SOURCES if name.startswith("recbench/")]
    assert names == [f"recbench/{name}" for name in recbench.VIEWS]
    assert len(names) == 18 + 3
    assert set(recbench_counts.TABLE_2) == set(PUBLISHED)
    for name, view in recbench.VIEWS.items():
        source = SOURCES.get(f"recbench/{name}")
        assert view.base in SOURCES
        assert source.downloads == view.base
        card = source.card
        assert (card.tasks, card.history_length) == (("ctr", "seqrec"), 20)
        assert card.splits["ctr"].kind == "given"
        assert card.splits["seqrec"].users == (36_000, 4_000, 5_000)
        assert (card.text_columns, card.text_recipe) == (view.text, "all-text")
        assert view.ours == (name in ("beauty", "games", "toys"))
        assert any("no dataset of RecBench's" in note for note in card.notes) == view.ours


def test_every_view_is_there_as_the_published_code_makes_it_too() -> None:
    names = [name for name in SOURCES if name.startswith("recbench-reference/")]
    assert names == [f"recbench-reference/{name}" for name in recbench.VIEWS]
    for name, view in recbench.VIEWS.items():
        card = SOURCES.get(f"recbench-reference/{name}").card
        assert (card.name, view.reference.rows.behaviour) == (view.reference.dataset, "reference")
        assert card.name == f"recbench-reference/{name}"
        assert "As in RecBench's code" in " ".join(card.notes)
        fixed = SOURCES.get(f"recbench/{name}").card
        assert f"recbench-reference/{name} does as" in " ".join(fixed.notes)
        assert (card.splits, card.files) == (fixed.splits, fixed.files)


def test_the_numbers_of_each_family() -> None:
    of = {name: view.rows for name, view in recbench.VIEWS.items()}
    given = {name for name, rows in of.items() if rows.family == "given"}
    sampled = {name for name, rows in of.items() if rows.family == "sampled"}
    assert given == {"mind", "pens", "ebnerd"}
    assert sampled == {"hm", "microlens", "steam", "lastfm", "pog", "beauty", "games", "toys"}
    own = {"digital-music": (1, 2, 20), "lastfm": (10, 100, 200), "pog": (1, 100, 20)}
    own["hotelrec"] = (2, 2, 50)
    for name, rows in of.items():
        assert (rows.positives, rows.negatives, rows.cap) == own.get(name, (2, 2, 20)), name
        assert rows.negatives_per == "user"
        assert (rows.test_rows, rows.finetune_rows) == (20_000, 100_000)
        assert rows.threshold == (None if name == "goodreads" else 3.0)
        assert rows.behaviour == "fixed"


def test_who_is_tested_does_not_depend_on_what_is_drawn_for_finetuning() -> None:
    """Where RecBench draws a test part alone, this is its test part."""
    ratings = [
        {"user_id": f"{u}", "item_id": f"{i}", "rating": 1.0 + 4 * (i % 2), "time": i}
        for u in range(200)
        for i in range(u % 7, u % 7 + 9)
    ]
    items = pl.DataFrame({"item_id": [str(n) for n in range(20)]})
    from tastebench.data.click_rows import ClickRows, click_rows
    from tastebench.data.schema import Tables, coerce

    tables = coerce(Tables(items, pl.DataFrame(ratings)), "toy")
    parts = []
    for finetune in (0, 300):
        spec = ClickRows(family="explicit", test_rows=100, finetune_rows=finetune)
        made, _ = click_rows(tables, spec)
        assert made.impressions is not None
        test = made.impressions.filter(pl.col("part") == "test")
        parts.append(set(test["user_id"]))
    assert parts[0] == parts[1]


# ------------------------------------------------------------------------------------- small files


def movies(folder: Path, n_users: int = 30) -> None:
    titles = [f"{n},The {n} (1999),Drama" for n in range(12)]
    lines(folder, "movies.csv", ["movieId,title,genres", *titles, "12,,Drama"])
    lines(folder, "tags.csv", ["userId,movieId,tag,timestamp", "1,1,slow,1"])
    rated = ["userId,movieId,rating,timestamp"]
    for user in range(n_users):
        liked = [f"{user},{n},{3.5 + n % 2},{100 + n}" for n in range(6)]
        disliked = [f"{user},{n},2.5,{200 + n}" for n in range(6, 9)]
        rated += [*liked, *disliked, f"{user},9,3.0,300", f"{user},12,5.0,999"]
    lines(folder, "ratings.csv", rated)


def test_movies_by_hand(tmp_path: Path) -> None:
    movies(tmp_path)
    said: list[str] = []
    dataset = load_dataset("recbench/movielens", raw=tmp_path, progress=said.append)
    rows, past = dataset.tables.impressions, dataset.tables.histories
    assert rows is not None and past is not None and dataset.tables.interactions is not None
    # Movie 12 has no title and does not exist, or it would be a candidate.
    expected = {("4", 1), ("5", 1), ("6", 0), ("7", 0), ("8", 0)}
    for (user,), mine in rows.group_by(["user_id"]):
        assert set(mine.select("item_id", "label").iter_rows()) == expected
        assert past.filter(pl.col("user_id") == user)["item_ids"].to_list() == [
            ["0", "1", "2", "3"]
        ]
    # 150 rows of the 120,000 wanted: a sixth for test, a tenth of the other users validates.
    users = rows.group_by("part").agg(pl.col("user_id").n_unique())
    assert dict(users.iter_rows()) == {"test": 5, "valid": 2, "train": 23}
    assert Counter(dataset.tables.interactions["user_id"]) == {f"{u}": 6 for u in range(30)}
    assert rows.filter(pl.col("item_id") == "4")["time"].unique().to_list() == [104_000]
    told = dataset.manifest["derived"]
    assert told["dropped"] == {
        "rows of items without a record": 30,
        "rows without a label": 30,
    }
    assert told["base"] == {"items": 11, "users": 30, "interactions": 330}
    assert "recbench/movielens: test: 25 rows of 5 users, 10 positive, 9 items" in said
    assert load_dataset("recbench/movielens").fingerprint == dataset.fingerprint
    again = load_dataset("recbench/movielens", raw=tmp_path, refresh=True)
    assert again.fingerprint == dataset.fingerprint


def test_texts_say_what_is_there_and_nothing_for_what_is_not(tmp_path: Path) -> None:
    """No item is called nan, or None."""
    movies(tmp_path)
    dataset = load_dataset("recbench/movielens", raw=tmp_path)
    card = dataset.card
    texts = item_texts(dataset.tables.items, card.text_recipe, card.text_columns)
    assert sorted(texts) == sorted(f"The {n} (1999)" for n in range(9))


def test_too_few_people_are_said(tmp_path: Path) -> None:
    movies(tmp_path, 5)
    with pytest.raises(DataError, match="no user is left for validation") as caught:
        load_dataset("recbench/movielens", raw=tmp_path)
    assert caught.value.where == "recbench/movielens"


def disc(user: int, item: int, rating: float, at: int) -> dict[str, Any]:
    return {"reviewerID": f"A{user}", "asin": f"B{item}", "overall": rating, "unixReviewTime": at}


def discs(folder: Path, name: str, n_items: int = 4) -> None:
    """People like all but the last disc; B0 has no record, B1 no title that is one."""
    reviews = [
        disc(user, item, 1.0 if item == n_items - 1 else 5.0, 86_400 * 9 + (n_items - item))
        for user in range(30)
        for item in range(n_items)
    ]
    lines(folder, name, reviews)
    about = [{"asin": f"B{n}", "title": f"Disc &amp; {n}"} for n in range(2, n_items)]
    lines(folder, "meta_CDs_and_Vinyl.json", [*about, {"asin": "B1", "title": "<span id='x'"}])


def test_discs_are_all_reviews_in_the_order_of_their_times(tmp_path: Path) -> None:
    """Within a day the second counts: the later items were reviewed first."""
    discs(tmp_path, "CDs_and_Vinyl.json", 9)
    discs(tmp_path / "core", "CDs_and_Vinyl_5.json", 6)
    (tmp_path / "core" / "CDs_and_Vinyl_5.json").rename(tmp_path / "CDs_and_Vinyl_5.json")
    dataset = load_dataset("recbench/cds", raw=tmp_path)
    assert set(dataset.manifest["raw"]["files"]) == {
        "CDs_and_Vinyl.json",
        "meta_CDs_and_Vinyl.json",
    }
    rows, past = dataset.tables.impressions, dataset.tables.histories
    assert rows is not None and past is not None
    assert past["item_ids"].unique().to_list() == [["B7", "B6", "B5", "B4"]]
    assert set(rows.select("item_id", "label").iter_rows()) == {("B3", 1), ("B2", 1), ("B8", 0)}
    assert dataset.manifest["derived"]["dropped"] == {"rows of items without a record": 60}
    assert dataset.card.title == "Amazon 2018 CDs and Vinyl (RecBench)"
    texts = item_texts(dataset.tables.items, "all-text", dataset.card.text_columns)
    assert "Disc & 3" in texts
    found = compare(dataset)
    assert found is not None
    assert not any("5-core" in reason for reason in found.reasons)
    (tmp_path / "CDs_and_Vinyl.json").unlink()
    core = compare(load_dataset("recbench/cds", raw=tmp_path))
    assert core is not None
    assert "CDs_and_Vinyl_5.json is the 5-core; RecBench reads all reviews." in core.reasons


def test_shelves_have_labels_of_their_own(tmp_path: Path) -> None:
    works = [
        {
            "work_id": f"{n}",
            "best_book_id": f"b{n}",
            "original_title": "" if n == 7 else f"Book {n}",
        }
        for n in range(9)
    ]
    lines(tmp_path, "goodreads_book_works.json", works)
    day = "Thu May 10 {:02d}:29:19 -0700 2012"
    shelved = [
        {
            "user_id": f"u{user}",
            "book_id": f"b{n}",
            "is_read": n != 5,
            "rating": 1,
            "date_added": day.format(20 - n),
        }
        for user in range(30)
        for n in range(8)
    ]
    lines(tmp_path, "goodreads_interactions_dedup.json", shelved)
    dataset = load_dataset("recbench/goodreads", raw=tmp_path)
    rows, past = dataset.tables.impressions, dataset.tables.histories
    assert rows is not None and past is not None
    # The latest is the lowest number; book 7 has no title; a rating of 1 is no dislike.
    assert set(rows.select("item_id", "label").iter_rows()) == {("b1", 1), ("b0", 1), ("b5", 0)}
    assert past["item_ids"].unique().to_list() == [["b6", "b4", "b3", "b2"]]


def test_outfits_are_called_by_their_english_title_or_else_the_chinese(tmp_path: Path) -> None:
    clicks = [f"u{n},{';'.join(f'i{i}' for i in range(4))},outfit" for n in range(30)]
    more = ";".join(f"i{i}" for i in range(150))
    lines(tmp_path, "user_data.txt", [*clicks, f"all,{more},outfit"])
    described = [f"i{n},7,http://picture,衣{n}" for n in range(150)]
    lines(tmp_path, "item_data.txt", described)
    titles = [f"i{n},衣{n},Coat {n}" for n in range(149)]
    lines(tmp_path, "pog_translated_titles.csv", ["id,title_zh,title_en", *titles])
    dataset = load_dataset("recbench/pog", raw=tmp_path)
    names = dict(dataset.tables.items.select("item_id", "title").iter_rows())
    assert (names["i3"], names["i149"]) == ("Coat 3", "衣149")
    rows = dataset.tables.impressions
    assert rows is not None
    # One positive, and ten of a hundred negatives; who clicked nearly all has none to draw.
    each = rows.group_by("user_id").agg(pl.len(), pl.col("label").sum())
    assert set(each.select("len", "label").iter_rows()) == {(11, 1)}
    assert "all" not in set(rows["user_id"])


def test_news_of_the_train_lists_alone(tmp_path: Path) -> None:
    news = [f"N{n}\tnews\tus\tNews {n}\t\thttp://x\t[]\t[]" for n in range(6)]
    at = "11/9/2019 12:05:00 AM"
    train = [f"{n}\tU{n}\t{at}\tN0 N1\tN2-0 N3-1 N9-0" for n in range(30)]
    late = [f"{n}\tU{n}\t11/15/2019 8:00:00 AM\tN0 N1\tN4-1 N5-0" for n in range(40)]
    for part, behaviours in (("train", train), ("dev", late)):
        lines(tmp_path / f"MINDsmall_{part}", "behaviors.tsv", behaviours)
        lines(tmp_path / f"MINDsmall_{part}", "news.tsv", news)
    dataset = load_dataset("recbench/mind", raw=tmp_path)
    rows = dataset.tables.impressions
    assert rows is not None
    assert set(rows.select("item_id", "label").iter_rows()) == {("N2", 0), ("N3", 1)}
    assert rows["impression_id"].str.starts_with("train-").all()
    assert rows["impression_id"].n_unique() == 30
    assert dataset.n_users == 30
    assert dataset.item_ids.to_list() == ["N0", "N1", "N2", "N3"]


def track(n: int) -> str:
    return f"{n:08d}-0000-0000-0000-000000000000"


def test_listeners_have_ten_positives_and_a_hundred_negatives(tmp_path: Path) -> None:
    plays = []
    for user in range(24):
        # The latest play stands first; track 0 is played again last, and is one candidate.
        for minute, n in reversed(list(enumerate([*range(14), 0]))):
            name = f"Artist\t{track((n * 7 + user) % 150)}\tSong {(n * 7 + user) % 150}"
            plays.append(f"user_{user:06d}\t2009-05-04T23:{minute:02d}:00Z\t\t{name}")
    more = [f"user_x\t2009-05-04T23:00:00Z\t\tArtist\t{track(n)}\tSong {n}" for n in range(150)]
    lines(tmp_path, "userid-timestamp-artid-artname-traid-traname.tsv", [*plays, *more])
    dataset = load_dataset("recbench/lastfm", raw=tmp_path)
    rows, past = dataset.tables.impressions, dataset.tables.histories
    assert rows is not None and past is not None
    each = rows.group_by("user_id").agg(
        pl.len(), pl.col("label").sum(), pl.col("item_id").n_unique().alias("items")
    )
    assert set(each.select("len", "label", "items").iter_rows()) == {(110, 10, 110)}
    assert len(each) == 24  # user_x played nearly everything
    first = past.filter(pl.col("user_id") == "user_000000")["item_ids"].to_list()
    assert first == [[track(n * 7) for n in range(5)]]
    assert dataset.manifest["derived"]["repeats"] == {"rows": 24, "positives": 24, "users": 24}


def test_visits_of_both_files_are_candidates(tmp_path: Path) -> None:
    header = "News ID\tCategory\tTopic\tHeadline\tNews body\tTitle entity\tEntity content"
    news = [f"N{n}\tnews\tt\tNews {n}\tBody\t{{}}\t{{}}" for n in range(5)]
    lines(tmp_path, "news.tsv", [header, *news])
    columns = "UserID\tClicknewsID\tdwelltime\texposure_time\tpos\tneg\tstart\tend\tdwelltime_pos"
    at, seen = "7/3/2019 6:43:49 AM", "6/19/2019 5:10:01 AM"
    visits = [f"U{n}\tN0\t9\t{seen}\tN1\tN2 N3\t{at}\t{at}\t9" for n in range(30)]
    lines(tmp_path, "train.tsv", [columns, *visits])
    lines(tmp_path, "valid.tsv", [columns, f"V\tN0\t9\t{seen}\tN1\tN4\t{at}\t{at}\t9"])
    dataset = load_dataset("recbench/pens", raw=tmp_path)
    rows = dataset.tables.impressions
    assert rows is not None
    assert len(rows) == 30 * 3 + 2
    mine = rows.filter(pl.col("user_id") == "V")
    assert set(mine.select("item_id", "label").iter_rows()) == {("N1", 1), ("N4", 0)}
    # The parts are not those of the files: users are drawn anew, for 15 of the 92 rows in test.
    users = dict(rows.group_by("part").agg(pl.col("user_id").n_unique()).iter_rows())
    assert users == {"test": 5, "valid": 2, "train": 24}
    assert dataset.tables.interactions is not None
    assert dataset.tables.interactions.is_empty()  # one item is no sequence


# --------------------------------------------------------------------------------- published sizes


def test_published_counts_stand_beside_ours(tmp_path: Path) -> None:
    articles = ["article_id,detail_desc," + ",".join(ARTICLE)]
    articles += [f"{n:010d},Article {n},{',' * 9}" for n in range(40)]
    lines(tmp_path, "articles.csv", articles)
    bought = ["t_dat,customer_id,article_id,price,sales_channel_id"]
    bought += [
        f"2018-09-2{n % 9},c{u},{(n * u) % 40:010d},0.1,1" for u in range(40) for n in range(9)
    ]
    lines(tmp_path, "transactions_train.csv", bought)
    dataset = load_dataset("recbench/hm", raw=tmp_path)
    found = compare(dataset)
    assert found is not None
    assert found.source == "RecBench, table 2"
    counts = {count.what: count for count in found.counts}
    assert list(counts)[:3] == [f"pair-wise test {what}" for what in ("rows", "items", "users")]
    assert counts["pair-wise test items"].published == 26_270
    assert counts["list-wise finetune items"].published == 35_344
    rows = dataset.manifest["derived"]["parts"]["test"]["rows"]
    assert counts["pair-wise test rows"] == Counted("pair-wise test rows", 20_000, rows)
    assert counts["pair-wise test rows"].difference == rows - 20_000
    for reason in (
        "There are too few users for the 20,000 rows of test.",
        "There are 40 sequences, fewer than the 45,000 drawn.",
        "RecBench reads the first 10,000,001 purchases, the early months; all are read here.",
    ):
        assert reason in found.reasons
    assert any("interactions, the release 31,788,324" in reason for reason in found.reasons)
    told = json.loads(json.dumps(found.to_dict()))
    assert told["counts"][0] == {
        "what": "pair-wise test rows",
        "published": 20_000,
        "ours": rows,
        "difference": rows - 20_000,
    }


ARTICLE = (
    "prod_name,product_code,product_type_name,product_group_name,graphical_appearance_name,"
    "colour_group_name,department_name,index_name,section_name,garment_group_name"
).split(",")


def test_where_nothing_is_published_that_is_said(tmp_path: Path) -> None:
    movies(tmp_path)
    found = compare(load_dataset("recbench/movielens", raw=tmp_path))
    assert found is not None
    assert {count.published for count in found.counts} == {None}
    assert {count.difference for count in found.counts} == {None}
    assert found.reasons == ("RecBench's table 2 does not have this dataset.",)
    assert compare(load_dataset("movielens-latest", raw=tmp_path)) is None


# -------------------------------------------------------------------------------------- real files


def made(name: str, folder: Path) -> tuple[Dataset, pl.DataFrame, dict[str, list[str]]]:
    """The dataset, its rows, and its histories."""
    dataset = load_dataset(f"recbench/{name}", raw=folder)
    rows, past = dataset.tables.impressions, dataset.tables.histories
    assert rows is not None and past is not None
    assert set(rows["user_id"]) == set(past["user_id"])
    assert rows.select("user_id", "part").unique()["user_id"].is_unique().all()
    return dataset, rows, dict(past.iter_rows())


def numbered(folder: Path) -> dict[str, list[str]]:
    """Sequences of the layout with a file a part, `user item item ...` a line."""
    taken: dict[str, list[str]] = defaultdict(list)
    for part in ("train", "valid", "test"):
        for line in (folder / f"sequential_{part}.txt").read_text().splitlines():
            user, *items = line.split()
            taken[user] += items
    return taken


@pytest.mark.assets
def test_real_microlens_has_the_published_sizes(asset: Callable[[str], Path]) -> None:
    folder = asset("data/microlens-50k")
    dataset, rows, past = made("microlens", folder)
    found = compare(dataset)
    assert found is not None
    # The files lack 113 people and 660 comments of the release.
    for count in found.counts:
        assert count.published is not None
        exact = count.what.endswith(("rows", "users", "sequences"))
        assert abs(count.ours - count.published) <= (0 if exact else count.published * 0.005)
    assert "What was read has 49,887 users, the release 50,000." in found.reasons
    names = {
        kind: {
            str(n): raw for raw, n in json.loads((folder / f"{kind}_map.json").read_text()).items()
        }
        for kind in ("user", "item")
    }
    shift = {kind: {str(int(n) + 1): raw for n, raw in its.items()} for kind, its in names.items()}
    taken = {
        shift["user"][user]: [shift["item"][item] for item in items]
        for user, items in numbered(folder).items()
    }
    by_user = rows.group_by("user_id").agg("item_id", "label")
    for user, items, labels in by_user.iter_rows():
        sequence = taken[user]
        liked = {item for item, label in zip(items, labels, strict=True) if label}
        assert liked == set(sequence[-2:])
        assert past[user] == sequence[:-2][-100:]
        assert len(items) == 4
        assert not (set(items) - liked) & set(sequence)


@pytest.mark.assets
def test_real_beauty_is_shared_by_both_parts(asset: Callable[[str], Path]) -> None:
    dataset, rows, _ = made("beauty", asset("data/amazon-2014-beauty-toys-titles/beauty"))
    told = dataset.manifest["derived"]
    # All 22,363 people have five events or more, so four rows each: 89,452 of 120,000 wanted.
    assert told["pool"]["users"] == 22_363
    assert len(rows) == 4 * 22_363
    assert told["targets"]["test"] == {"asked": 20_000, "aimed": 14_908, "reached": False}
    assert told["parts"]["test"]["rows"] == 14_908
    assert told["parts"]["valid"]["users"] == (22_363 - 3_727) // 10
    assert dataset.tables.interactions is not None
    assert len(dataset.tables.interactions) == 198_502


@pytest.mark.assets
def test_real_news_keeps_its_lists(asset: Callable[[str], Path]) -> None:
    folder = asset("data/mind-small-sample")
    dataset, rows, past = made("mind", folder)
    known = {line.split("\t")[0] for line in (folder / "news.tsv").read_text().splitlines()}
    label: dict[tuple[str, str], int] = {}
    history: dict[str, list[str]] = {}
    for line in (folder / "behaviors.tsv").read_text().splitlines():
        _, user, _, clicked, shown = line.split("\t")
        history.setdefault(user, [item for item in clicked.split() if item in known])
        for item, clicks in (one.rsplit("-", 1) for one in shown.split()):
            if item in known:
                label[user, item] = max(label.get((user, item), 0), int(clicks))
    able = {user for user, _ in label if history[user]}
    assert set(past) == able
    assert past == {user: history[user][-100:] for user in able}
    ours = {(user, item): n for user, item, n in rows.select("user_id", "item_id", "label").rows()}
    size: Counter[tuple[str, int]] = Counter((user, n) for (user, _), n in label.items())
    assert all(label[pair] == n for pair, n in ours.items())
    assert Counter((user, n) for (user, _), n in ours.items()) == {
        key: min(n, 10) for key, n in size.items() if key[0] in able
    }
    assert dataset.item_ids.is_in(list(known)).all()


@pytest.mark.assets
def test_real_movies_are_those_of_a_loop_over_users(asset: Callable[[str], Path]) -> None:
    folder = asset("data/ml-latest-small")
    dataset, rows, past = made("movielens", folder)
    rated: dict[str, list[tuple[int, int, str, float]]] = defaultdict(list)
    for n, line in enumerate((folder / "ratings.csv").read_text().splitlines()[1:]):
        user, item, rating, at = line.split(",")
        rated[user].append((int(at), n, item, float(rating)))
    users = 0
    ours = defaultdict(set)
    for user, item, label in rows.select("user_id", "item_id", "label").rows():
        ours[user].add((item, label))
    for user, their in rated.items():
        their.sort()
        liked = [item for *_, item, rating in their if rating > 3]
        disliked = {item for *_, item, rating in their if rating < 3}
        if len(liked) < 3 or not disliked:
            assert user not in past
            continue
        users += 1
        assert past[user] == liked[:-2][-100:]
        assert {item for item, label in ours[user] if label} == set(liked[-2:])
        negatives = {item for item, label in ours[user] if not label}
        assert negatives <= disliked
        assert len(negatives) == min(10, len(disliked))
    assert dataset.manifest["derived"]["pool"]["users"] == users
    assert click_account.count_rows(dataset.tables, "test")["users"] > users // 10


@pytest.mark.assets
def test_real_purchases_need_a_description(asset: Callable[[str], Path]) -> None:
    dataset, rows, past = made("hm", asset("data/hm-sample"))
    assert dataset.tables.items["description"].null_count() == 0
    told = dataset.manifest["derived"]
    assert told["dropped"]["rows of items without a record"] > 0
    again = sum(
        item in past[user]
        for user, item in rows.filter(pl.col("label") == 1).select("user_id", "item_id").rows()
    )
    assert told["repeats"]["positives"] == again > 0
