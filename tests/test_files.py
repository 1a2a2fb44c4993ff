"""Atomic writes and hashes: what is read is the old content or the new, never a half."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors import SafetensorError

from tastebench import files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.txt"
    with files.atomic_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    with pytest.raises(RuntimeError), files.atomic_file(path) as temporary:
        temporary.write_text("other")
        raise RuntimeError
    assert path.read_text() == "half"
    assert names(path.parent) == ["x.txt"]


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x"
    for content in ("old", "new"):
        with files.atomic_folder(path) as temporary:
            (temporary / content).touch()
        assert names(path) == [content]
    with pytest.raises(RuntimeError), files.atomic_folder(path) as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert names(path) == ["new"]
    assert names(path.parent) == ["x"]


def test_a_file_in_the_way_of_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(NotADirectoryError), files.atomic_folder(tmp_path / "x"):
        pass
    assert (tmp_path / "x").read_text() == "mine"
    assert names(tmp_path) == ["x"]


def test_many_may_publish_one_folder_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x"
    ready = threading.Barrier(6)
    failures: list[BaseException] = []

    def publish(number: int) -> None:
        try:
            ready.wait()
            for _ in range(5):
                with files.atomic_folder(path) as temporary:
                    for name in ("a", "b"):
                        (temporary / name).write_text(str(number))
        except BaseException as error:  # shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (path / "a").read_text() == (path / "b").read_text()
    assert names(tmp_path) == ["x"]


def test_what_is_published_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "x.txt", "x")
        with files.atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


def test_json_round_trip_and_no_nan(tmp_path: Path) -> None:
    value = {"é": [1, 2.5, None, True]}
    files.write_json(tmp_path / "x.json", value)
    assert files.read_json(tmp_path / "x.json") == value
    assert "é" in (tmp_path / "x.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "x.json", float("nan"))
    assert files.read_json(tmp_path / "x.json") == value


def test_equal_values_have_equal_canonical_json() -> None:
    assert files.canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"\\u00e9"],"b":1}'
    assert files.hash_json({"a": 1, "b": 2}) == files.hash_json({"b": 2, "a": 1})
    assert files.hash_json({"a": 1}) != files.hash_json({"a": "1"})
    assert len(files.hash_json({}, length=12)) == 12
    with pytest.raises(ValueError, match="JSON compliant"):
        files.canonical_json(float("inf"))


def test_hash_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert files.hash_file(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_hash_of_arrays_is_of_values_dtype_and_shape() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    same = files.hash_arrays(array)
    assert files.hash_arrays(array.astype(">i4")) == same
    assert files.hash_arrays(np.asfortranarray(array)) == same
    assert files.hash_arrays(np.vstack([array, array])[::2][:2]) != same
    assert files.hash_arrays(array.astype(np.int64)) != same
    assert files.hash_arrays(array.ravel()) != same
    assert files.hash_arrays(array, array) != same
    assert files.hash_arrays(array[:, :2]) != files.hash_arrays(array[:, 1:])


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASTEBENCH_HOME", "~/tb")
    assert files.home() == Path("~/tb").expanduser()
    monkeypatch.delenv("TASTEBENCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.home() == tmp_path / "tastebench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert files.home() == Path.home() / ".cache" / "tastebench"


FULL = "No space left on device (os error 28)"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (pl.exceptions.ComputeError(f"parquet: underlying IO error: {FULL}"), errno.ENOSPC),
        (pl.exceptions.ComputeError("parquet: Invalid thrift: transport error"), errno.ENOSPC),
        (SafetensorError(f"Error while serializing: I/O error: {FULL}"), errno.ENOSPC),
        (SafetensorError("I/O error: Permission denied (os error 13)"), errno.EACCES),
        (OSError("2817000 requested and 442240 written"), errno.ENOSPC),
    ],
)
def test_a_full_disk_is_the_same_error_whoever_met_it(
    tmp_path: Path, error: Exception, code: int
) -> None:
    path = tmp_path / "x"
    for making in (files.atomic_file, files.atomic_folder):
        with pytest.raises(OSError, match=os.strerror(code)) as caught, making(path):
            raise error
        assert (caught.value.errno, caught.value.filename) == (code, str(path))
        assert files.no_room(caught.value) == (code == errno.ENOSPC)
        assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        ValueError(FULL),
        pl.exceptions.ComputeError("no such column"),
        OSError(errno.EROFS, "Read-only file system", "y"),
    ],
)
def test_other_errors_stay_what_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, files.atomic_file(tmp_path / "x"):
        raise error
    assert caught.value is error
    assert not files.no_room(error)
