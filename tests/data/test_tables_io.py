"""Files as users have them: formats, encodings, and every way of being broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.tables_io import read_table
from tastebench.errors import DataError, UsageError


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", 'id,title\n007,"Mug, blue"\nb,\n'),
        ("x.csv", 'id;title\n007;"Mug, blue"\nb;\n'),
        ("x.csv", '\ufeffid,title\r\n007,"Mug, blue"\r\nb,\r\n\r\n'),
        ("x.csv", 'id , title\n007,"Mug, blue"\nb,\n'),
        ("x.CSV", 'id,title\n007,"Mug, blue"\nb,\n'),
        ("x.csv.gz", 'id,title\n007,"Mug, blue"\nb,\n'),
        ("x.tsv", "id\ttitle\n007\tMug, blue\nb\t\n"),
        ("x.tab.gz", "id\ttitle\n007\tMug, blue\nb\t\n"),
        ("x.jsonl", '{"id": "007", "title": "Mug, blue"}\n\n{"id": "b"}\n'),
        ("x.ndjson.gz", '{"id": "007", "title": "Mug, blue"}\n{"id": "b", "title": null}\n'),
        ("x.json", '[{"id": "007", "title": "Mug, blue"}, {"id": "b"}]'),
        ("x.json", '{"id": "007", "title": "Mug, blue"}\n{"id": "b"}\n'),
    ],
)
def test_every_format_gives_the_same_table(tmp_path: Path, name: str, content: str) -> None:
    table = read_table(write(tmp_path, name, content))
    assert table.frame.rows() == [("007", "Mug, blue"), ("b", None)]
    assert table.frame.columns == ["id", "title"]


def test_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [1, 2], "tags": [["a"], None]})
    frame.write_parquet(tmp_path / "x.parquet")
    table = read_table(tmp_path / "x.parquet")
    assert table.frame.equals(frame)
    assert table.rows.tolist() == [1, 2]


def test_rows_are_numbered_as_an_editor_shows_them(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "x.csv", "a,b\n1,2\n\n3,4\n")).rows.tolist() == [2, 4]
    lines = '{"a": 1}\n\n{"a": 2}\n'
    assert read_table(write(tmp_path, "x.jsonl", lines)).rows.tolist() == [1, 3]


def test_what_was_understood_is_kept(tmp_path: Path) -> None:
    how = read_table(write(tmp_path, "x.csv", "a|b\n1|2\n")).how
    assert how == {"format": "csv", "delimiter": "|", "encoding": "utf-8"}


def test_an_encoding_that_is_said_is_taken(tmp_path: Path) -> None:
    for encoding in ("latin-1", "cp1252", "utf-16"):
        path = write(tmp_path, "x.csv", "id,title\na,Café\n".encode(encoding))
        assert read_table(path, encoding=encoding).frame["title"].to_list() == ["Café"]


def test_json_values_of_mixed_types_become_text(tmp_path: Path) -> None:
    rows = [{"id": 1, "x": {"a": 1}}, {"id": "b", "x": [2]}, {"id": None, "x": "t"}]
    text = "\n".join(json.dumps(row) for row in rows)
    frame = read_table(write(tmp_path, "x.jsonl", text)).frame
    assert frame["id"].to_list() == ["1", "b", None]
    assert frame["x"].to_list() == ['{"a": 1}', "[2]", "t"]


CSV = "a,b\n1,2\n3,4,5\n6\n7,8,9\n"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", "", "the file is empty"),
        ("x.csv", " \n\n", "the file is empty"),
        ("x.csv", "a,b\n", "the file has no rows"),
        ("x.parquet", b"PAR1 and then nothing", "cut off or damaged"),
        ("x.csv.gz", b"", "the file is empty"),
        (
            "x.csv",
            CSV,
            r"2 rows cannot be read: more than 2 fields(.|\n)*row 3, 5(.|\n)*--bad-rows drop",
        ),
        ("x.csv", 'a,b\n1,"x\n2,y\n', r"opened and never closed(.|\n)*row 2"),
        ("x.csv", 'a,b\n1,"x"y\n2,z\n', r"1 row cannot be read(.|\n)*row 2"),
        ("x.csv", "a,a\n1,2,3\n", "names a column twice"),
        (
            "x.csv",
            "a,t\n1,é\n2,ü\n".encode("latin-1"),
            r"0xe9 at offset 6(.|\n)*row 2(.|\n)*latin-1",
        ),
        ("x.csv", "a,t\n1,“q”\n".encode("cp1252"), "--encoding cp1252"),
        ("x.csv", "a,t\n1,é\n".encode("utf-16"), "--encoding utf-16"),
        (
            "x.jsonl",
            '{"a": 1}\nnot json\n[1]\n',
            r"2 rows cannot be read: no JSON object(.|\n)*row 2, 3",
        ),
        ("x.json", '[{"a": 1},\n{"a": ', r"this is not JSON(.|\n)*row 2"),
        ("x.json", '[{"a": 1}, 5]', "1 row cannot be read: no JSON object"),
    ],
)
def test_broken_files_are_said(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(DataError, match=says) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    assert caught.value.fix


def test_a_cut_off_archive_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "x.csv.gz", "a,b\n" + "1,2\n" * 1000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cut off or damaged"):
        read_table(path)
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(DataError, match="cut off or damaged"):
        read_table(path)


def test_a_cut_off_parquet_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": range(1000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="cut off or damaged"):
        read_table(path)


def test_bad_rows_can_be_left_out(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "x.csv", CSV), bad_rows="drop")
    assert table.frame.rows() == [("1", "2"), ("6", None)]
    assert table.rows.tolist() == [2, 4]
    assert table.skipped == (3, 5)
    lines = write(tmp_path, "x.jsonl", '{"a": 1}\nnot json\n{"a": 2}\n')
    assert read_table(lines, bad_rows="drop").skipped == (2,)


def test_rows_after_a_text_of_several_lines_keep_their_numbers(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "x.csv", 'a,b\n1,"x\ny"\n2,3,4\n3,z\n'), bad_rows="drop")
    assert table.rows.tolist() == [2, 5]
    assert table.skipped == (4,)


def test_a_missing_file_and_an_unknown_format_are_said(tmp_path: Path) -> None:
    write(tmp_path, "items.csv", "a\n1\n")
    with pytest.raises(DataError, match=r"no such file(.|\n)*did you mean items.csv"):
        read_table(tmp_path / "item.csv")
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "nowhere" / "item.csv")
    with pytest.raises(UsageError, match="cannot tell the format"):
        read_table(tmp_path / "x.docx")
    with pytest.raises(UsageError, match=r"x.xlsx is a spreadsheet(.|\n)*save it as CSV"):
        read_table(tmp_path / "x.xlsx")
    with pytest.raises(DataError, match="this is a folder, not a file"):
        read_table(tmp_path)
    with pytest.raises(UsageError, match="no encoding 'klingon'"):
        read_table(tmp_path / "items.csv", encoding="klingon")
