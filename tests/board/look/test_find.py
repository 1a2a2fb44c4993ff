from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tastebench.board.look import find_entry
from tastebench.errors import DataError, UsageError

Ran = Callable[..., Path]
LAST_OUT = {"split": {"kind": "last_out"}}


def test_by_folder_by_file_and_by_the_beginning_of_its_hash(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    ran("seqrec", "second", "0123456", protocol=LAST_OUT)
    monkeypatch.chdir(tmp_path)
    for given in (folder, folder / "record.json", Path(folder.name[:6]), folder.parent):
        assert find_entry(given).record.spec.recommender == "first"


def test_a_hash_that_several_have_is_no_name(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    (folder.parent / f"{folder.name[:4]}ffff").mkdir()
    twin = folder.parent / f"{folder.name[:4]}ffff" / "record.json"
    twin.write_bytes((folder / "record.json").read_bytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="2 records have a hash that begins with") as found:
        find_entry(Path(folder.name[:4]))
    assert str(folder.relative_to(tmp_path)) in str(found.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("abcd1234", "no record has a hash that begins with abcd1234"),
        ("nowhere/at/all", "nowhere/at/all is no folder of a record, and no beginning of a hash"),
        ("results", "2 records below this folder, of which one is to be named"),
    ],
)
def test_what_is_no_record(
    given: str, message: str, ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    ran("seqrec", "second", "0123456", protocol=LAST_OUT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        find_entry(Path(given))


def test_an_empty_folder_and_a_broken_record(ran: Ran, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no record here"):
        find_entry(tmp_path)
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    (folder / "record.json").write_text("{")
    with pytest.raises(DataError, match="unreadable record"):
        find_entry(folder)
