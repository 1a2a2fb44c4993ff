"""Lines of text files that are no tables."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tastebench.data.sources.text_lines import collect_lines, refuse, scan_lines
from tastebench.errors import DataError


def put(folder: Path, content: bytes) -> Path:
    path = folder / "lines.txt"
    path.write_bytes(content)
    return path


def test_lines_keep_their_numbers_and_whatever_they_hold(tmp_path: Path) -> None:
    path = put(tmp_path, 'a,"b\r\n\r\n\n\tc\x01\x1f\n#é;'.encode())
    assert collect_lines(scan_lines(path), path).rows() == [
        (1, 'a,"b'),
        (2, None),
        (3, None),
        (4, "\tc\x01\x1f"),
        (5, "#é;"),
    ]


def test_bad_rows_are_named(tmp_path: Path) -> None:
    path = put(tmp_path, b"x\n\ny\nx\n")
    frame = collect_lines(scan_lines(path), path)
    with pytest.raises(DataError, match="an x in 2 rows") as caught:
        refuse(frame, pl.col("line") == "x", path, "an x")
    assert caught.value.where == f"{path}, rows 1, 4"
    refuse(frame, pl.col("line") == "z", path, "a z")


@pytest.mark.parametrize(
    ("content", "what", "where"),
    [
        (b"", "the file is empty", ""),
        (b"good\n\ncaf\xe9\n", "the text is not UTF-8 in 1 row", ", row 3"),
        (b"good\nzero\x00zero\n", "the file is cut off or damaged", ""),
    ],
)
def test_what_is_no_text_is_refused(content: bytes, what: str, where: str, tmp_path: Path) -> None:
    path = put(tmp_path, content)
    with pytest.raises(DataError, match=what) as caught:
        collect_lines(scan_lines(path), path)
    assert caught.value.where == f"{path}{where}"
