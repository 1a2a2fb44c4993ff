"""The BLaIR benchmark's views: each rule by hand, and its row-wise procedure written again."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tastebench.contracts import CfProblem, SeqProblem, Targets
from tastebench.data.catalog import load_dataset
from tastebench.data.dataset import Dataset
from tastebench.data.sources import SOURCES
from tastebench.data.split import split
from tastebench.errors import DataError
from tastebench.tasks import cf, seqrec

T1, T2 = 1_628_643_414_042, 1_658_002_729_837
Review = tuple[str, str, int]  # user, item, time
Row = tuple[str, tuple[str, ...], str]  # user, history, target


def put(folder: Path, name: str, lines: list[str]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def seq(dataset: Dataset) -> SeqProblem:
    return seqrec.problem(dataset, seqrec.default_protocol(dataset))


def pairs(dataset: Dataset) -> CfProblem:
    return cf.problem(dataset, cf.default_protocol(dataset))


# ------------------------------------------------------------------------------- Amazon: the toy


def reviews(seed: int) -> list[Review]:
    """Reviews in no order: repeats, equal times, times of 12 digits and before 1970."""
    rng = random.Random(seed)
    times = [T1 - 1, T1, T2 - 1, T2, -3, 915_148_800_000, 1_500_000_000_000, T1 + 5, T2 + 5]
    some = [
        (f"u{rng.randrange(12)}", f"P{rng.randrange(25)}", rng.choice(times)) for _ in range(150)
    ]
    long = [("long", f"P{n:03d}", 1_400_000_000_000 + n) for n in range(100, 160)]
    alone = [("alone", "P1", T2 + 9), ("bare", "P1", 5), ("bare", "P99", 6)]
    everything = [*some, *long, ("long", "P1", T1), ("long", "P2", T2), *alone]
    rng.shuffle(everything)
    return everything


def described(seed: int) -> set[str]:
    """A quarter of the products have no record; P99, P110 and P159 never have."""
    rng = random.Random(seed + 100)
    named = {f"P{n}" for n in range(25)} | {f"P{n:03d}" for n in range(100, 160)}
    lacking = set(rng.sample(sorted(f"P{n}" for n in range(25)), 6)) | {"P110", "P159"}
    return named - lacking | {"P1", "P2", "PX"}


# ---------------------------------------------------- Amazon: the procedure of the benchmark, again


def rows_of(taken: list[Review]) -> dict[str, list[tuple[Row, int]]]:
    """The benchmark's files with histories: part to its rows, each with its time."""
    users: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for user, item, time in taken:
        users[user].append((item, time))
    parts: dict[str, list[tuple[Row, int]]] = {"train": [], "valid": [], "test": []}
    for user, their in users.items():
        before: list[str] = []
        for item, time in sorted(their, key=lambda pair: pair[1]):  # stable
            if item in before:
                continue
            part = "train" if time < T1 else "valid" if time < T2 else "test"
            parts[part].append(((user, tuple(before), item), time))
            before.append(item)
    return parts


def filtered(rows: list[Row], records: set[str], cap: int = 50) -> list[Row]:
    """Histories without undescribed products, nothing where the target is one, the last 50."""
    left = []
    for user, history, target in rows:
        kept = tuple(item for item in history if item in records) if target in records else ()
        if kept:
            left.append((user, kept[-cap:], target))
    return left


def asked(targets: Targets, dataset: Dataset) -> Counter[Row]:
    users, items = dataset.user_ids, dataset.item_ids
    return Counter(
        (users[int(u)], tuple(items[int(i)] for i in targets.history[at]), items[int(item)])
        for at, (u, item) in enumerate(zip(targets.user, targets.item, strict=True))
        if len(targets.history[at])  # the protocol asks no target without history
    )


def trained(problem: SeqProblem, dataset: Dataset) -> Counter[Row]:
    users, items = dataset.user_ids, dataset.item_ids
    found: Counter[Row] = Counter()
    for user in range(problem.n_users):
        taken = [items[int(i)] for i in problem.train[user]]
        for at in range(1, len(taken)):
            found[users[user], tuple(taken[max(0, at - 50) : at]), taken[at]] += 1
    return found


def write(folder: Path, layout: str, taken: list[Review], records: set[str]) -> None:
    """The toy in one of the published layouts."""
    about = [{"parent_asin": item, "title": f"The {item}", "features": []} for item in records]
    about.append({**about[0], "title": "A second record of the first"})
    put(folder, "raw/meta_categories/meta_All_Beauty.jsonl", [json.dumps(x) for x in about])
    if layout == "raw":
        lines = [
            json.dumps({"user_id": u, "asin": "V", "parent_asin": i, "rating": 5, "timestamp": t})
            for u, i, t in taken
        ]
        put(folder, "raw/review_categories/All_Beauty.jsonl", lines)
        return
    parts = rows_of(taken)
    by_user: dict[str, list[tuple[Row, int]]] = defaultdict(list)
    for part in ("train", "valid", "test"):
        for row in parts[part]:
            by_user[row[0][0]].append(row)
    if layout == "rating_only":
        rows = [row for their in by_user.values() for row in their]
        lines = [f"{u},{i},5.0,{t}" for (u, _, i), t in rows]
        header = "user_id,parent_asin,rating,timestamp"
        put(folder, "benchmark/0core/rating_only/All_Beauty.csv", [header, *lines])
        return
    if layout == "last_out_w_his":
        parts = {"train": [], "valid": [], "test": []}
        for their in by_user.values():
            for part, some in zip(parts, (their[:-2], their[-2:-1], their[-1:]), strict=True):
                parts[part] += some
    for part, its in parts.items():
        lines = [f"{u},{i},5.0,{t},{' '.join(h)}" for (u, h, i), t in its]
        put(folder, f"benchmark/0core/{layout}/All_Beauty.{part}.csv", lines)


LAYOUTS = ("raw", "rating_only", "timestamp_w_his", "last_out_w_his")


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_amazon_is_the_row_wise_procedure(layout: str, seed: int, tmp_path: Path) -> None:
    """T4 and T7: cut-offs as numbers, histories of all earlier items, the latest 50 of them."""
    taken, records = reviews(seed), described(seed)
    write(tmp_path, layout, taken, records)
    dataset = load_dataset("blair/all-beauty", raw=tmp_path)
    problem = seq(dataset)
    expected = {
        part: filtered([row for row, _ in rows], records) for part, rows in rows_of(taken).items()
    }
    assert trained(problem, dataset) == Counter(expected["train"])
    assert asked(problem.valid, dataset) == Counter(expected["valid"])
    assert asked(problem.test, dataset) == Counter(expected["test"])
    rows = [row for part in expected.values() for row in part]
    assert max(len(history) for _, history, _ in rows) == 50
    # The benchmark's catalogue and its pairs: all that the rows left name, as history or target.
    named = {(user, item) for user, history, target in rows for item in (*history, target)}
    assert set(dataset.item_ids) == {item for _, item in named}
    assert set(dataset.user_ids) == {user for user, _ in named}
    sets = pairs(dataset)
    users, items = dataset.user_ids, dataset.item_ids
    found = [
        {(users[int(u)], items[int(i)]) for u, i in zip(part.rows, part.values, strict=True)}
        for part in (sets.train, sets.valid, sets.test)
    ]
    assert found[0] | found[1] | found[2] == named
    floor = len(named) * 3 // 10
    assert [len(part) for part in found] == [len(named) - 2 * floor, floor, floor]


def test_every_layout_gives_the_same_parts_of_cf(tmp_path: Path) -> None:
    found = set()
    for layout in LAYOUTS:
        write(tmp_path / layout, layout, reviews(3), described(3))
        dataset = load_dataset("blair/all-beauty", raw=tmp_path / layout, refresh=True)
        times = dataset.events().time
        assert times is not None
        found.add((dataset.n_users, dataset.n_items, len(times), int(times.sum())))
    assert len(found) == 1


def test_amazon_needs_metadata_and_the_0_core(tmp_path: Path) -> None:
    write(tmp_path, "rating_only", reviews(0), described(0))
    meta = tmp_path / "raw/meta_categories/meta_All_Beauty.jsonl"
    kept = meta.read_text()
    meta.unlink()
    with pytest.raises(DataError, match="needs 1 file that is not there"):
        load_dataset("blair/all-beauty", raw=tmp_path)
    put(tmp_path, "raw/meta_categories/meta_All_Beauty.jsonl", ['{"parent_asin": "X"}'])
    with pytest.raises(DataError, match="no interaction is left after described"):
        load_dataset("blair/all-beauty", raw=tmp_path)
    meta.write_text(kept)
    core = tmp_path / "benchmark" / "0core"
    core.rename(core.parent / "5core")
    assert load_dataset("amazon-2023-all-beauty", raw=tmp_path).n_items > 0
    with pytest.raises(DataError, match="needs 1 file that is not there"):
        load_dataset("blair/all-beauty", raw=tmp_path)


def test_what_the_rules_leave_out_is_counted(tmp_path: Path) -> None:
    records = '{"parent_asin": "A", "title": "a"}', '{"parent_asin": "B", "title": "b"}'
    put(tmp_path, "meta_All_Beauty.jsonl", [*records, records[0]])
    rows = ["u,A,5,3", "u,B,5,1", "u,A,1,2", "u,C,5,9", f"v,A,5,{T2}", f"u,Z,5,{T2}"]
    put(tmp_path, "All_Beauty.csv", [*rows, f"w,A,5,{T1}", f"w,B,5,{T2}"])
    said: list[str] = []
    dataset = load_dataset("blair/all-beauty", raw=tmp_path, progress=said.append)
    assert dataset.manifest["steps"] == [
        {"step": "described", "rows_before": 8, "rows_after": 6},
        {"step": "first_of_pair", "rows_before": 6, "rows_after": 5},
        {"step": "with_history", "rows_before": 5, "rows_after": 4},
    ]
    assert "blair/all-beauty: described: 6 of 8 rows left" in said
    assert dataset.manifest["repairs"] == {"repeated items dropped": 1}
    assert dataset.tables.interactions is not None
    # Of u's two reviews of A the earlier counts.
    assert dataset.tables.interactions.select("user_id", "item_id", "time").rows() == [
        ("u", "B", 1),
        ("u", "A", 2),
        ("w", "A", T1),
        ("w", "B", T2),
    ]


# ---------------------------------------------------------------------------- MovieLens and books


def twenty() -> tuple[list[tuple[str, str]], set[tuple[str, str]]]:
    """Pairs, and those that are left: users of 20, then items of 20, once.

    u0 to u24 have all of i0 to i18 and one of their own, so 20. u0 to u18 have i19 too, which with
    `few` would reach 20; but `few`, with 19 items, goes before.
    """
    users, items = [f"u{n}" for n in range(25)], [f"i{n}" for n in range(19)]
    core = {(user, item) for user in users for item in items}
    near = {(user, "i19") for user in users[:19]}
    own = {(user, f"own-{user}") for user in users}  # brings everyone to 20
    few = {("few", item) for item in [*items[:18], "i19"]}
    return sorted(core | near | own | few), core


def test_movielens_is_filtered_once_and_loses_what_is_cold(tmp_path: Path) -> None:
    rated, left = twenty()
    lines = [f"{u}::{i}::{1 + n % 5}::{n}" for n, (u, i) in enumerate(rated)]
    put(tmp_path, "ratings.dat", lines)
    movies = sorted({item for _, item in rated})
    put(tmp_path, "movies.dat", [f"{item}::The {item} (1999)::Drama" for item in movies])
    put(tmp_path, "users.dat", [f"{user}::F::1::10::48067" for user in {u for u, _ in rated}])
    dataset = load_dataset("blair/movielens-1m", raw=tmp_path)
    assert dataset.tables.interactions is not None
    # Users who fall to 19 stay: the filter is not repeated.
    assert set(dataset.tables.interactions.select("user_id", "item_id").rows()) == left
    assert len(dataset.tables.interactions) == len(left)
    assert dataset.tables.users is not None
    assert len(dataset.tables.users) == 25
    assert dataset.card.history_length == 200
    assert dataset.tables.items["title"][0].endswith("(1999)")
    problem = seq(dataset)
    assert (len(problem.valid.item), len(problem.test.item)) == (25, 25)
    assert set(problem.test.history.lengths) == {18}
    sets = pairs(dataset)
    # 19 of each: floor(5.7) valid and test, 9 train.
    assert set(sets.train.lengths) == {9}
    for held_out in (sets.valid, sets.test):
        assert set(held_out.values) <= set(sets.train.values)


def test_books_need_a_description_and_every_row_counts(tmp_path: Path) -> None:
    rated, left = twenty()
    bare = {(user, "bare") for user, _ in left}  # rated by 25, in no book file
    header = '"User-ID";"ISBN";"Book-Rating"'
    lines = [f'"{u}";"{i}";"{n % 3}"' for n, (u, i) in enumerate(rated + sorted(bare))]
    put(tmp_path, "BX-Book-Ratings.csv", [header, *lines])
    names = "ISBN Book-Title Book-Author Year-Of-Publication Publisher Image-URL-S Image-URL-M"
    columns = ";".join(f'"{name}"' for name in f"{names} Image-URL-L".split())
    books = [f'"{i}";"Book {i}";"A";"1999";"P";"s";"m";"l"' for i in sorted({i for _, i in rated})]
    put(tmp_path, "BX-Books.csv", [columns, *books])
    dataset = load_dataset("blair/book-crossing", raw=tmp_path)
    assert dataset.tables.interactions is not None
    assert set(dataset.tables.interactions.select("user_id", "item_id").rows()) == left
    assert dataset.card.tasks == ("cf",)
    assert dataset.tables.items["title"].null_count() == 0


def test_real_books_by_the_rules(asset: Callable[[str], Path]) -> None:
    folder = asset("data/book-crossing")
    dataset = load_dataset("blair/book-crossing", raw=folder)
    text = (folder / "book_crossing" / "book_history.dat").read_text().splitlines()[1:]
    taken = [tuple(line.split("\t")[:2]) for line in text]
    readers = Counter(user for user, _ in taken)
    taken = [pair for pair in taken if readers[pair[0]] >= 20]
    books = Counter(item for _, item in taken)
    taken = [pair for pair in taken if books[pair[1]] >= 20]
    assert dataset.tables.interactions is not None
    assert sorted(dataset.tables.interactions.select("user_id", "item_id").rows()) == sorted(taken)
    parts = split(dataset, dataset.card.splits["cf"])
    events = dataset.events()
    for side in (events.user, events.item):
        assert set(side[parts > 0]) <= set(side[parts == 0])


# -------------------------------------------------------------------------------------------- Yelp


def business(name: str, **more: object) -> str:
    return json.dumps({"business_id": name, "name": f"Café {name}", **more})


def reviewed(user: str, item: str, date: str, stars: float = 4.0) -> str:
    return json.dumps(
        {"review_id": "r", "user_id": user, "business_id": item, "stars": stars, "date": date}
    )


def test_yelp_is_2019_and_a_5_core_with_repeats(tmp_path: Path) -> None:
    core = [(f"u{u}", f"b{b}", f"2019-0{1 + b}-1{u} 12:00:00") for u in range(5) for b in range(4)]
    again = [(f"u{u}", "b0", "2019-12-31 00:00:00") for u in range(5)]  # the fifth of each
    dropped = [
        ("u0", "b4", "2018-12-31 23:59:59"),
        ("u0", "b4", "2019-12-31 00:00:01"),  # after the benchmark's bound
        ("u9", "b0", "2019-05-05 00:00:00"),  # not five
    ]
    first = [("u0", "b1", "2019-01-01 00:00:00")]
    lines = [reviewed(*row) for row in core + again + dropped + first]
    lines.append(reviewed("u1", "b1", "2019-02-02 02:02:02", stars=0.0))
    put(tmp_path, "yelp_dataset/yelp_academic_dataset_review.json", lines)
    names = [business(f"b{n}") for n in range(6)]
    put(tmp_path, "yelp_dataset/yelp_academic_dataset_business.json", names)
    dataset = load_dataset("blair/yelp", raw=tmp_path)
    assert dataset.tables.interactions is not None
    found = Counter(dataset.tables.interactions.select("user_id", "item_id").rows())
    assert found == Counter((user, item) for user, item, _ in core + again + first)
    assert dataset.tables.interactions["time"].min() == 1_546_300_800_000
    problem = seq(dataset)
    assert set(dataset.item_ids[i] for i in problem.test.item.tolist()) == {"b0"}
    spec = dataset.card.splits["cf"]
    assert (spec.kind, spec.by, spec.ratios, spec.drop_cold) == (
        "random",
        "all",
        (0.4, 0.3, 0.3),
        False,
    )


def test_yelp_dates_and_businesses_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    good = reviewed("u", "b0", "2019-05-05 00:00:00")
    path = tmp_path / "yelp_academic_dataset_review.json"
    put(tmp_path, path.name, [good, "", reviewed("u", "b0", "May 5")])
    put(tmp_path, "yelp_academic_dataset_business.json", [business("b0")])
    with pytest.raises(DataError, match="date is not") as caught:
        SOURCES.get("yelp").read(tmp_path)
    assert caught.value.where == f"{path}, row 3"
    put(tmp_path, path.name, [good])
    put(tmp_path, "yelp_academic_dataset_business.json", [business("b0"), '{"name": "x"}'])
    with pytest.raises(DataError, match="no JSON object of a business in 1 row"):
        SOURCES.get("yelp").read(tmp_path)


def test_views_name_their_base_and_keep_its_downloads() -> None:
    blair = [name for name in SOURCES if name.startswith("blair/")]
    views = [name for name in blair if SOURCES.get(name).rules]
    assert len(views) == 6
    for name in views:
        source = SOURCES.get(name)
        assert source.downloads is not None
        base = {file.url for file in SOURCES.get(source.downloads).card.files}
        assert {file.url for file in source.card.files} <= base


def test_items_without_a_record_are_told_by_their_columns() -> None:
    from tastebench.data.schema import Tables
    from tastebench.data.sources.blair import described as rule

    items = pl.DataFrame(
        {"item_id": ["a", "b"], "title": [None, None], "features": [[], None]},
        schema_overrides={"title": pl.String, "features": pl.List(pl.String)},
    )
    taken = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "row": [0, 1]})
    assert rule(Tables(items, taken))["item_id"].to_list() == ["a"]
