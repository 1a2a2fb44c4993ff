from __future__ import annotations

from pathlib import Path

import pytest

from tastebench.errors import DataError, UsageError
from tastebench.runs import store
from tastebench.runs.spec import RunSpec

SPEC = RunSpec(
    task="cf", dataset="my/shop", recommender="alpharec", representation="vector", encoder="a/b"
)


def test_a_folder_is_named_by_what_it_holds_and_never_leaves_the_results() -> None:
    folder = store.record_folder(Path("out"), "study", SPEC, "cafe")
    assert folder == Path("out/study/my_shop/cf/alpharec-vector-a_b/cafe")


def test_publishing_replaces_what_was_there_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    for text in ("old", "new"):
        finished = tmp_path / ".work" / "record"
        finished.mkdir(parents=True)
        (finished / text).write_text(text)
        store.publish(finished, target)
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list((tmp_path / ".work").iterdir()) == []


def test_an_unfinished_run_has_no_record(tmp_path: Path) -> None:
    assert store.find_record(tmp_path / "absent") is None


def test_only_finished_records_are_read(tmp_path: Path) -> None:
    (tmp_path / ".work" / "x" / "record").mkdir(parents=True)
    (tmp_path / ".work" / "x" / "record" / "record.json").write_text("{}")
    with pytest.raises(DataError, match="no records here"):
        store.find_records(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        store.find_records(tmp_path / "absent")
