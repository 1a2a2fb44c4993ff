"""Bad files are told apart and named by file and row."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.sources.reading import (
    catalogue,
    read_bytes,
    read_delimited,
    read_json,
    read_json_lines,
    read_text,
)
from tastebench.errors import DataError

COLUMNS = {"user": pl.String(), "rating": pl.Float64(), "time": pl.Int64()}


def put(folder: Path, name: str, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path = folder / name
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    return path


def table(path: Path, **options: object) -> pl.DataFrame:
    return read_delimited(path, COLUMNS, path=path, needed=tuple(COLUMNS), **options)  # type: ignore[arg-type]


HEAD = "user,rating,time\n"


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_good_table(name: str, tmp_path: Path) -> None:
    path = put(tmp_path, name, HEAD + "u,3,10\nv,4.5,11\n")
    assert table(path).rows() == [("u", 3.0, 10), ("v", 4.5, 11)]


def test_columns_are_taken_by_name(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", "time,more,user,rating\n10,x,u,3\n")
    assert table(path).rows() == [("u", 3.0, 10)]


@pytest.mark.parametrize(
    ("content", "what", "rows"),
    [
        ("u,3,10\nv,good,11\n", "rating is not a number ('good') in 1 row", "row 3"),
        ("u,3,10\nv,4,11.5\nw,1,x\n", "time is not a whole number ('11.5') in 2 rows", "rows 3, 4"),
        ("u,3,10\nv,4\n", "time is missing in 1 row", "row 3"),
        (",3,10\n", "user is missing in 1 row", "row 2"),
        ("u,3,10\nv,4,11,12\n", "more than 3 fields in 1 row", "row 3"),
        ("u,3,1\n" + ",1,1\n" * 7, "user is missing in 7 rows", "rows 3, 4, 5, 6, 7 and 2 more"),
    ],
)
def test_bad_rows_are_named(content: str, what: str, rows: str, tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", HEAD + content)
    with pytest.raises(DataError) as caught:
        table(path)
    assert (caught.value.what, caught.value.where) == (what, f"{path}, {rows}")


def test_without_a_header_rows_count_from_one(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", "u,3,10\nv,good,11\n")
    with pytest.raises(DataError, match="rating is not a number") as caught:
        table(path, header=False)
    assert caught.value.where == f"{path}, row 2"


def test_a_table_with_too_few_columns(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", "u 3 10\nv 4 11\n")
    with pytest.raises(DataError, match=r"rating is missing|columns where 3 belong"):
        table(path, header=False)


def test_a_missing_column_shows_those_there(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", "user,stars,time\nu,3,10\n")
    with pytest.raises(DataError) as caught:
        table(path)
    assert caught.value.what == "there is no column rating (found: user, stars, time)"


def test_a_table_of_another_encoding_names_the_line(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", HEAD.encode() + b"u,3,10\nJos\xe9,4,11\n")
    with pytest.raises(DataError, match=r"the text is not utf-8 \(byte 0xe9\)") as caught:
        table(path)
    assert caught.value.where == f"{path}, row 3"


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_table(content: str, tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", content)
    with pytest.raises(DataError, match="the file is empty"):
        table(path)


LINES = (
    '{"user": "u", "rating": 3, "time": 10, "more": {"a": [1]}}\n{"user": "v", "rating": null}\n'
)


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_good_json_lines(name: str, tmp_path: Path) -> None:
    frame = read_json_lines(put(tmp_path, name, LINES), COLUMNS)
    assert frame.rows() == [("u", 3.0, 10), ("v", None, None)]


@pytest.mark.parametrize(
    ("content", "what", "rows"),
    [
        ('{"user": "u"}\n{"user": "v"\n', "no JSON object in 1 row", "row 2"),
        ('{"user": "u"}\n[1]\nnonsense\n', "no JSON object in 2 rows", "rows 2, 3"),
        ('{"user": "u", "rating": "good"}\n', "rating is not a number in 1 row", "row 1"),
        ('{"user": "u", "time": 1.5}\n', "time is not a whole number in 1 row", "row 1"),
        ('{"user": "u"}\n\n{"rating": 2}\n', "user is missing in 1 row", "row 3"),
    ],
)
def test_bad_json_lines_are_named(content: str, what: str, rows: str, tmp_path: Path) -> None:
    path = put(tmp_path, "a.json", content)
    with pytest.raises(DataError) as caught:
        read_json_lines(path, COLUMNS, needed=("user",))
    assert (caught.value.what, caught.value.where) == (what, f"{path}, {rows}")


def test_texts_and_lists_of_one_key_are_made_alike(tmp_path: Path) -> None:
    content = '{"a": ["x"], "b": "5"}\n{"a": "y", "b": {"k": [1]}}\n{"b": 1.5}\n'
    columns = {"a": pl.List(pl.String()), "b": pl.String()}
    frame = read_json_lines(put(tmp_path, "a.json", content), columns)
    assert frame.rows() == [(["x"], "5"), (["y"], '{"k": [1]}'), (None, "1.5")]


@pytest.mark.parametrize("reader", [lambda path: read_json_lines(path, COLUMNS), read_bytes])
def test_an_archive_that_is_cut_off(reader: object, tmp_path: Path) -> None:
    path = put(tmp_path, "a.json.gz", LINES * 1000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cut off or damaged"):
        reader(path)  # type: ignore[operator]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_empty_json_lines(content: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the file is empty"):
        read_json_lines(put(tmp_path, "a.json", content), COLUMNS)


def test_json_that_is_cut_off_names_its_line(tmp_path: Path) -> None:
    path = put(tmp_path, "a.json", '{\n"a": 1,\n"b": ')
    with pytest.raises(DataError, match="this is not JSON") as caught:
        read_json(path)
    assert caught.value.where == f"{path}, row 3"


def test_text_has_plain_line_feeds(tmp_path: Path) -> None:
    assert read_text(put(tmp_path, "a", b"caf\xe9\r\nb"), "latin-1") == "café\nb"


def test_the_catalogue_is_what_was_interacted_with() -> None:
    interactions = pl.DataFrame({"item_id": ["c", "x", "a", "c", "y"]})
    items = pl.DataFrame({"item_id": ["a", "b", "c", "a"], "title": ["A", "B", "C", "A again"]})
    assert catalogue(interactions, items).rows() == [
        ("a", "A"),
        ("c", "C"),
        ("a", "A again"),
        ("x", None),
        ("y", None),
    ]
