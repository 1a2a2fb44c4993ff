"""Large JSON lines: what is kept, and which lines are to blame."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.sources.json_lines import refuse, select_json_lines
from tastebench.errors import DataError

COLUMNS = {
    "user": pl.String(),
    "read": pl.Boolean(),
    "stars": pl.Float64(),
    "votes": pl.Int64(),
}
GOOD = '{"user": "é", "text": "a, b", "read": true, "stars": 4, "votes": 2}\n'


def put(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    data = content.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    return path


def select(path: Path) -> pl.DataFrame:
    wanted = ("user", (pl.col("stars") * 2).alias("double"), "read", "votes")
    return select_json_lines(path, COLUMNS, wanted, needed=("user",))


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_what_is_wanted_of_each_line(name: str, tmp_path: Path) -> None:
    path = put(tmp_path, name, GOOD + "\n  \n" + '{"user": 7, "votes": null}\n')
    assert select(path).rows() == [("é", 8.0, True, 2), ("7", None, None, None)]


def test_rows_keep_the_order_of_the_file(tmp_path: Path) -> None:
    path = put(tmp_path, "a.json", "".join(f'{{"user": "{i}"}}\n' for i in range(50_000)))
    assert select(path)["user"].to_list() == [str(i) for i in range(50_000)]


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"user": "x"', "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"user": "x", "read": 1}', "read is not true or false"),
        ('{"user": "x", "stars": "good"}', "stars is not a number"),
        ('{"user": "x", "votes": 2.5}', "votes is not a whole number"),
        ('{"stars": 3}', "user is missing"),
    ],
)
def test_bad_lines_are_named(name: str, line: str, what: str, tmp_path: Path) -> None:
    # Blank lines are no records and still count as lines.
    path = put(tmp_path, name, GOOD + "\n" + line + "\n" + GOOD + line + "\n")
    with pytest.raises(DataError) as caught:
        select(path)
    assert caught.value.what == f"{what} in 2 rows"
    assert caught.value.where == f"{path}, rows 3, 5"


def test_records_are_refused_by_their_lines(tmp_path: Path) -> None:
    path = put(tmp_path, "a.json", "\n" + GOOD + "\n\n" + GOOD * 2)
    refuse(path, pl.Series([False, False, False]), "odd")
    with pytest.raises(DataError, match="odd in 2 rows") as caught:
        refuse(path, pl.Series([True, False, True]), "odd")
    assert caught.value.where == f"{path}, rows 2, 6"


def test_a_file_that_is_empty(tmp_path: Path) -> None:
    for content in ("", "\n\n"):
        with pytest.raises(DataError, match="the file is empty") as caught:
            select(put(tmp_path, "a.json", content))
        assert caught.value.where == str(tmp_path / "a.json")


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    path = put(tmp_path, "a.json.gz", GOOD * 5_000)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="cut off") as caught:
        select(path)
    assert caught.value.where == str(path)


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(GOOD.encode() + '{"user": "é"}\n'.encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8") as caught:
        select(path)
    assert caught.value.where == f"{path}, row 2"
