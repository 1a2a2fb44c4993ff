"""Preparing and splitting on a Spark of two threads: everything equal to Polars, row for row.

One session for the module, opened and stopped as users' are.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tastebench import cli
from tastebench.data import spark as spark_module
from tastebench.data import spark_files
from tastebench.data.card import DatasetCard, SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.data.importer import save_imported
from tastebench.data.parquet_folder import prepare_folder
from tastebench.data.prepare import (
    PLACE,
    Filters,
    carry_out,
    dedup,
    k_core,
    min_count,
    min_rating,
    prepare,
    sample_users,
)
from tastebench.data.provenance import Provenance
from tastebench.data.schema import Tables
from tastebench.data.spark import MEANING, plain_failures, session
from tastebench.data.spark_files import Scratch, one_file, read
from tastebench.data.spark_prepare import at_rest, folder_at_rest, prepare_on_spark
from tastebench.data.split_frames import split_frame
from tastebench.errors import DataError, DependencyError, UsageError

# One of its kind for all tests: side by side they would start two.
pytestmark = pytest.mark.xdist_group("spark")

# The first compiler and no generated code: both pay off after minutes that no test here takes.
SETTINGS = {
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
    "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote",
}


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("the extra tastebench[spark] is not installed")
    given = " ".join(f"--conf '{key}={value}'" for key, value in SETTINGS.items())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYSPARK_SUBMIT_ARGS", f"--master local[2] --driver-memory 1g {given} pyspark-shell"
        )
        patch.setenv("SPARK_LOCAL_DIRS", str(tmp_path_factory.mktemp("spark")))
        with session() as opened:
            assert opened.conf.get("spark.master") == "local[2]"
            yield opened
    assert SparkSession.getActiveSession() is None  # what was opened is stopped


SCHEMA = {
    "user_id": pl.String,
    "item_id": pl.String,
    "time": pl.Int64,
    "rating": pl.Float64,
    "row": pl.Int64,
    PLACE: pl.Int64,
}
TYPES = "user_id string, item_id string, time long, rating double, row long, _place long"
LOW, HIGH = -(2**63), 2**63 - 1


def clicks(rows: list[tuple[str, str, int | None, float | None]], order: Any = None) -> Any:
    """Interactions of (user, item, time, rating); `order` is what `row` says."""
    order = range(len(rows)) if order is None else order
    whole = [(*row, n, place) for place, (row, n) in enumerate(zip(rows, order, strict=True))]
    return pl.DataFrame(whole, schema=SCHEMA, orient="row")


def on_spark(spark: Any, frame: pl.DataFrame) -> Any:
    return spark.createDataFrame(frame.rows(), TYPES)


def rows_of(frame: Any) -> list[tuple[Any, ...]]:
    """In one order, whatever a frame's own is."""
    rows = frame.rows() if isinstance(frame, pl.DataFrame) else [tuple(r) for r in frame.collect()]
    return sorted(rows, key=lambda row: row[5])


def brute_force_core(rows: list[tuple[Any, ...]], k: int) -> list[tuple[Any, ...]]:
    """One user or item at a time."""
    while True:
        counts = [Counter(row[side] for row in rows) for side in (0, 1)]
        weak = [(s, x) for s in (0, 1) for x, n in counts[s].items() if n < k]
        if not weak:
            return rows
        side, one = weak[0]
        rows = [row for row in rows if row[side] != one]


_rng = np.random.default_rng(8)
NASTY = clicks(
    [
        (
            ["u", "U", "é", "e\u0301", "𝄞", "\uffee", " u", "0"][u],
            ["a", "ä", "中", "", "b"][i],
            t,
            r,
        )
        for u, i, t, r in zip(
            (_rng.random(60) ** 2 * 8).astype(int),
            (_rng.random(60) ** 2 * 5).astype(int),
            [[LOW, -1, 0, 0, 5, 5, HIGH, None][t] for t in _rng.integers(0, 8, 60)],
            [[1.0, 2.5, 4.0, None, -0.0][r] for r in _rng.integers(0, 5, 60)],
            strict=True,
        )
    ],
    [int(row) for row in _rng.permutation([*range(50), *[LOW] * 5, *[HIGH] * 5])],
)
"""Ties and gaps in time, rows twice, ids that look alike or sort beyond two bytes, extremes."""

FILTERS: dict[str, Any] = {
    "dedup": dedup,
    "k_core": lambda f: k_core(f, 6).frame,
    "min_count": lambda f: min_count(f, "item", 12),
    "min_rating": lambda f: min_rating(f, 2.5),
    "sample_users": lambda f: sample_users(f, 3, seed=3),
    "everyone": lambda f: sample_users(f, 8, seed=3),
}


def test_filters_give_the_same_rows(spark: Any) -> None:
    frame = on_spark(spark, NASTY).cache()
    for name, apply in FILTERS.items():
        expected = rows_of(apply(NASTY))
        assert rows_of(apply(frame)) == expected, name
        assert rows_of(apply(NASTY.lazy()).collect()) == expected, name
        assert (0 < len(expected) < len(NASTY)) is (name != "everyone")
    core, passes = k_core(frame, 8)
    assert passes == k_core(NASTY, 8).passes > 2
    assert rows_of(core) == brute_force_core(rows_of(NASTY), 8)
    frame.unpersist()


IDS = st.sampled_from(["u", "é", "𝄞"])
ROWS = st.lists(
    st.tuples(
        IDS,
        st.sampled_from(["a", "中"]),
        st.sampled_from([LOW, -1, 0, 0, HIGH]),
        st.none() | st.sampled_from([1.0, 4.0]),
    ),
    min_size=1,
    max_size=25,
)
SOME = st.builds(
    Filters,
    min_rating=st.none() | st.just(3.0),
    dedup=st.booleans(),
    sample_users=st.none() | st.integers(1, 2),
    seed=st.integers(0, 3),
    k_core=st.none() | st.integers(2, 3),
    min_length=st.none() | st.integers(2, 4),
)


def carried_out(frame: Any, filters: Filters, computed: Any) -> Any:
    try:
        left, steps = carry_out(frame, filters, "shop", computed)
    except DataError as error:
        return str(error)
    return rows_of(left), steps


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ROWS, SOME, st.booleans())
def test_any_filters_one_after_the_other(
    spark: Any, tmp_path_factory: Any, rows: Any, filters: Filters, ordered: bool
) -> None:
    """Steps, counts, rows and the error where none is left; also where rows have no order."""
    frame = clicks(rows, None if ordered else [0] * len(rows))
    scratch = Scratch(spark, tmp_path_factory.mktemp("scratch"))
    expected = carried_out(frame, filters, lambda f: (f, len(f)))
    assert carried_out(on_spark(spark, frame), filters, scratch.step) == expected


SPLITS = [
    SplitSpec(kind="last_out", drop_cold=True),
    SplitSpec(kind="time", ratios=(0.2, 0.4, 0.4)),
    SplitSpec(kind="time", valid_from=0, test_from=5),
    SplitSpec(kind="ratio", ratios=(0.4, 0.3, 0.3)),
    SplitSpec(kind="user", users=(2, 1, 3), seed=2),
]


def test_splits_give_the_same_parts(spark: Any) -> None:
    # A range of six moments is searched through at one look; test_split_frames has the extremes.
    timed = NASTY.filter(pl.col("time").is_between(-1, 5))
    frame = on_spark(spark, timed).cache()
    for spec in SPLITS:
        expected = split_frame(timed, spec, place=PLACE)
        assert rows_of(split_frame(frame, spec, place=PLACE)) == rows_of(expected), spec
        assert expected["part"].n_unique() >= 3
    frame.unpersist()


# -------------------------------------------------------------------------------- files and places


def parquet(frame: pl.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path, row_group_size=2)
    return path


def test_places_are_counted_through_the_files(spark: Any, tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": list(range(9))})
    cuts = [(0, 4), (4, 0), (4, 5)]
    files = [
        parquet(frame.slice(*cut), tmp_path / "in here" / f"part-{n}.parquet")
        for n, cut in enumerate(cuts)
    ]
    assert sorted(map(tuple, read(spark, files, "at").collect())) == [(n, n) for n in range(9)]
    one = parquet(frame, tmp_path / "a file é.parquet")
    assert sorted(map(tuple, read(spark, [one], "at").collect())) == [(n, n) for n in range(9)]
    with pytest.raises(UsageError, match=r"'a file é\.parquet' has more than letters"):
        read(spark, [files[0], one], "at")
    other = parquet(frame.with_columns(y=1), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"columns are not those of part-0\.parquet"):
        read(spark, [files[0], other], "at")
    other.write_bytes(other.read_bytes()[:40])
    with pytest.raises(DataError, match="cut off, damaged or no Parquet"):
        read(spark, [other], "at")


def test_sorted_files_become_one(spark: Any, tmp_path: Path, monkeypatch: Any) -> None:
    scratch = Scratch(spark, tmp_path / "work")
    numbers = spark.range(0, 50, 1, 4).selectExpr("49 - id as n", "cast(id as string) as text")
    files, rows = scratch.write(numbers, ("n",))
    assert rows == 50
    monkeypatch.setattr(spark_files, "_READ", 7)
    one_file(files, ["text", "n"], tmp_path / "one.parquet")
    expected = pl.DataFrame({"text": [str(49 - n) for n in range(50)], "n": range(50)})
    assert pl.read_parquet(tmp_path / "one.parquet").equals(expected)
    monkeypatch.setattr(spark_files, "_rows", lambda file, like=None: 0)
    with pytest.raises(DataError, match="wrote 50 rows and this machine sees 0") as error:
        scratch.write(numbers)
    assert "TASTEBENCH_HOME" in str(error.value.fix)


# ---------------------------------------------------------------------------- datasets and commands


def shop() -> Dataset:
    """A dataset with every table, further columns, an array and a text that a model wrote."""
    users = ["u", "é", "𝄞", "w", "x"]
    rng = np.random.default_rng(1)
    n = 80
    interactions = pl.DataFrame(
        {
            "user_id": [users[i] for i in rng.integers(0, 5, n)],
            "item_id": [f"i{i}" for i in (rng.random(n) ** 2 * 12).astype(int)],
            "time": rng.integers(-3, 20, n) * 10**12,
            "rating": rng.integers(1, 6, n).astype(float),
            "label": pl.Series(rng.choice([0, 1], n), dtype=pl.Int8),
            "row": rng.permutation(n),
            "review": [None if i % 7 == 0 else f"good € {i}" for i in range(n)],
            "gift": [i % 3 == 0 for i in range(n)],
        }
    )
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in reversed(range(16))],
            "title": [f"Item {i}" for i in range(16)],
            "tags": [["a", None], [], None, ["ü"]] * 4,
            "price": [0.5, -0.0, None, float("nan")] * 4,
        }
    )
    tables = Tables(
        items=items,
        interactions=interactions,
        users=pl.DataFrame({"user_id": [*users, "nobody"], "age": [1, 2, None, 4, 5, 6]}),
        impressions=pl.DataFrame(
            {
                "impression_id": ["1", "1", "2"],
                "user_id": ["u", "u", "w"],
                "item_id": ["i13", "i0", "i12"],
                "label": [0, 1, 0],
            }
        ),
        histories=pl.DataFrame(
            {"user_id": ["x", "u", "w"], "item_ids": [["i9", "i14", "i9", "i0"], [], ["i15"]]}
        ),
        queries=pl.DataFrame({"query_id": ["q", "p"], "text": ["x", "y"]}),
        relevance=pl.DataFrame({"query_id": ["q"], "item_id": ["i11"]}),
        split=interactions.select("user_id", "item_id").head(30).with_columns(part=pl.lit("train")),
        arrays={"truth": np.arange(6).reshape(2, 3)},
    )
    card = DatasetCard(name="shop", title="Shop", tasks=("seqrec",))
    made = Dataset.create(card, tables, {"raw": "hand"})
    texts = Provenance("item text", ("items.title",), "a model", made.fingerprint)
    return replace(
        made,
        provenance=(
            replace(texts, rows=np.array([0, 3, 20, 41, 77])),
            replace(texts, cutoff=5),
            replace(texts, rows=np.array([1]), source="another"),
        ),
    )


def assert_same(found: Dataset, expected: Dataset) -> None:
    """Tables with their types, fingerprint and all that is said of them, but for the name."""
    for (name, frame), (_, other) in zip(
        expected.tables.frames(), found.tables.frames(), strict=True
    ):
        assert frame.equals(other), name
        assert frame.schema == other.schema, name
    assert found.fingerprint == expected.fingerprint
    assert found.manifest == expected.manifest
    assert found.card.model_copy(update={"name": expected.name}) == expected.card
    assert [p.describe() for p in found.provenance] == [p.describe() for p in expected.provenance]
    for one, other in zip(found.provenance, expected.provenance, strict=True):
        assert np.array_equal(one.rows, other.rows) or one.rows is other.rows is None


def test_the_command_says_and_makes_the_same_on_both(
    spark: Any, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_imported(shop())
    command = ["data", "prepare", "shop", "--dedup", "--k-core", "3", "--min-length", "2"]
    assert cli.main([*command, "--name", "here", "--json"]) == 0
    here = capsys.readouterr()
    assert cli.main([*command, "--name", "there", "--engine", "spark", "--json"]) == 0
    there = capsys.readouterr()
    found, expected = json.loads(there.out), json.loads(here.out)
    for key in expected.keys() - {"name", "folder"}:
        assert found[key] == expected[key], key
    made, other = (
        Dataset.load(home / "datasets" / name, verify=True) for name in ("there", "here")
    )
    assert_same(made, other)
    # The case is worth its name: something of everything goes.
    assert 0 < made.n_items < 16
    assert made.manifest["repairs"].keys() == {
        "history items of unknown items dropped",
        "interactions before 1970 kept",
    }
    assert made.manifest["steps"][1]["passes"] > 1
    assert "k_core: " in there.err

    # A name that is taken is refused before Spark is asked for anything.
    assert cli.main([*command, "--name", "there", "--engine", "spark"]) == 2
    assert "already a dataset there" in capsys.readouterr().err
    assert {p.name for p in (home / "datasets").iterdir()} == {"here", "shop", "there"}


def test_few_tables_and_all_items(spark: Any, tmp_path: Path) -> None:
    whole = shop()
    few = Tables(whole.tables.items, whole.tables.interactions)
    before = replace(Dataset.create(whole.card, few), provenance=whole.provenance[1:])
    before.save(tmp_path / "shop")
    filters = Filters(min_rating=2, sample_users=3, seed=1, keep_items=True)
    source = at_rest(tmp_path / "shop", before.card)
    made = prepare_on_spark(source, filters, "less", spark, tmp_path / "less")
    expected = prepare(before, filters, "less")
    assert_same(Dataset.load(tmp_path / "less", verify=True), expected)
    assert made == {"users": expected.n_users} == {"users": 3}


def test_what_cannot_be_filtered_leaves_nothing_behind(spark: Any, tmp_path: Path) -> None:
    before = shop()
    assert before.tables.interactions is not None
    before.save(tmp_path / "shop")
    source = at_rest(tmp_path / "shop", before.card)
    (tmp_path / "out").mkdir()

    def refused(source: Any, filters: Filters) -> Any:
        return prepare_on_spark(source, filters, "x", spark, tmp_path / "out" / "x")

    with pytest.raises(DataError, match="no interaction is left after k_core 99"):
        refused(source, Filters(k_core=99))
    with pytest.raises(DataError, match="no interactions to filter"):
        refused(replace(source, files={"items": source.files["items"]}), Filters())
    unrated = before.tables.interactions.with_columns(rating=pl.lit(None, dtype=pl.Float64))
    files = {**source.files, "interactions": [parquet(unrated, tmp_path / "unrated.parquet")]}
    with pytest.raises(UsageError, match="needs ratings, and shop has none"):
        refused(replace(source, files=files), Filters(min_rating=3))
    assert not list((tmp_path / "out").iterdir())


# -------------------------------------------------------------------------- a folder of Parquet


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Tables as another system writes them: numbers for ids, files, columns that are left out."""
    whole = shop().tables
    assert whole.interactions is not None and whole.users is not None
    number = pl.col("item_id").str.slice(1).cast(pl.Int32)
    parquet(whole.items.with_columns(number), tmp_path / "logs" / "items.parquet")
    clicks = whole.interactions.drop("row", "label").with_columns(
        number, pl.col("rating").cast(pl.Float32)
    )
    for n in range(3):
        place = tmp_path / "logs" / "interactions" / f"part-{n}.parquet"
        parquet(clicks.slice(n * 30, 30), place)
    parquet(whole.users, tmp_path / "logs" / "users.parquet")
    return tmp_path / "logs"


def test_a_folder_of_parquet_is_prepared_the_same(spark: Any, logs: Path, tmp_path: Path) -> None:
    filters = Filters(min_rating=2, dedup=True, k_core=3)
    expected = prepare_folder(logs, filters, "less")
    prepare_on_spark(folder_at_rest(logs), filters, "less", spark, tmp_path / "less")
    assert_same(Dataset.load(tmp_path / "less", verify=True), expected)
    assert 0 < expected.n_items < 12


BAD = {
    "rating": pl.Series("rating", [1.0, float("nan"), float("inf"), None]),
    "time": pl.Series("time", [1, None, None, 4]),
    "user_id": pl.Series("user_id", ["u", "", "v", None]),
    "item_id": pl.Series("item_id", ["x", "a", "b", "x"]),
}


def test_what_is_not_canonical_is_refused_in_the_same_words(spark: Any, tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": ["a", "b"]})
    good = pl.DataFrame({"user_id": list("uuvw"), "item_id": list("abab"), "time": [1, 2, 3, 4]})
    tables = {name: (items, good.with_columns(column)) for name, column in BAD.items()}
    tables["items"] = (pl.concat([items, items]), good)
    for name, (catalogue, clicks) in tables.items():
        folder = tmp_path / name
        parquet(catalogue, folder / "items.parquet")
        parquet(clicks, folder / "interactions.parquet")
        with pytest.raises(DataError) as expected:
            prepare_folder(folder, Filters(), "x")
        with pytest.raises(DataError) as found:
            prepare_on_spark(folder_at_rest(folder), Filters(), "x", spark, tmp_path / "x")
        assert found.value.what == expected.value.what
        assert found.value.fix == expected.value.fix
        assert not (tmp_path / "x").exists()


# ------------------------------------------------------------------------------------ the session


def test_a_session_that_was_there_is_used_and_left_as_it_was(spark: Any) -> None:
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        with session() as inner:
            assert inner is spark
            assert {key: inner.conf.get(key) for key in MEANING} == MEANING
        assert spark.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
        assert spark.range(3).count() == 3
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_without_pyspark_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(DependencyError) as error, session():
        pass
    assert error.value.fix == "pip install 'tastebench[spark]'"


def test_without_java_it_says_what_to_install(spark: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(spark_module, "_active", lambda sql: None)
    monkeypatch.setattr(spark_module.shutil, "which", lambda name: None)
    for name in (*spark_module.CONFIGURED, "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DependencyError, match="needs Java, and there is none") as error, session():
        pass
    assert "openjdk-17" in str(error.value.fix)


def test_a_java_that_does_not_start_is_said(spark: Any, monkeypatch: Any) -> None:
    from pyspark.errors import PySparkRuntimeError

    class Builder:
        def appName(self, name: str) -> Builder:  # noqa: N802 - Spark's name
            return self

        def getOrCreate(self) -> Any:  # noqa: N802 - Spark's name
            raise PySparkRuntimeError(errorClass="JAVA_GATEWAY_EXITED", messageParameters={})

    monkeypatch.setattr(spark_module, "_active", lambda sql: None)
    monkeypatch.setattr(type(spark), "builder", Builder())
    monkeypatch.setenv("SPARK_CONF_DIR", "elsewhere")
    with pytest.raises(DependencyError, match="Java did not start for Spark"), session():
        pass


def test_failures_of_spark_are_errors_of_ours(spark: Any) -> None:
    with pytest.raises(DataError, match=r"could not carry it out: .*spilt milk") as error:
        with plain_failures("here"):
            spark.sql("select raise_error('spilt milk')").collect()
    assert error.value.where == "here"
    with pytest.raises(OSError, match="here") as full, plain_failures("here"):
        spark.sql("select raise_error('x: No space left on device')").collect()
    assert full.value.errno == errno.ENOSPC


def test_a_core_is_checkpointed_where_spark_is_told_to(spark: Any, tmp_path: Path) -> None:
    """The last test of the file: a context keeps its folder for checkpoints."""
    spark.sparkContext.setCheckpointDir(str(tmp_path))
    assert rows_of(k_core(on_spark(spark, NASTY), 6).frame) == rows_of(k_core(NASTY, 6).frame)
    assert list(tmp_path.rglob("part-*"))
