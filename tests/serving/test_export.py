"""An export is served without Tastebench, loaded with it, and never a half."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

import tastebench as tb
from tastebench.cli import main
from tastebench.errors import DataError, UsageError
from tastebench.files import hash_file
from tastebench.serving.export import export

RecordOf = Callable[[str, str], Path]
WITHOUT = "import sys; sys.modules['tastebench'] = None\n"


def examples(folder: Path) -> tuple[str, str]:
    """The two examples of the README: without and with Tastebench."""
    found = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    plain, ours = found
    return plain, ours


def ran(code: str, folder: Path) -> str:
    """What a program prints, run in a folder by a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ran_here(
    code: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What it prints in this process, where all is loaded already."""
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(code, {})
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "name"), [("seqrec", "unisrec"), ("seqrec", "sasrec-id"), ("cf", "alpharec-vector")]
)
def test_vectors_alone_give_the_scores_and_the_readme_says_how(
    record_of: RecordOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    task: str,
    name: str,
) -> None:
    loaded = tb.load(record_of(task, name))
    made = export(loaded, tmp_path / "out")
    items = pl.read_parquet(made.folder / "items.parquet")
    users = pl.read_parquet(made.folder / "users.parquet")
    vectors = load_file(made.folder / "vectors.safetensors")
    assert items["item_id"].to_list() == loaded.dataset.item_ids.to_list()
    events = loaded.dataset.tables.interactions
    assert events is not None
    user = users["user_id"][0]
    taken = events.filter(user_id=user).sort("time", "row", maintain_order=True)["item_id"]
    got = loaded.recommend([taken.to_list()], 60, exclude_seen=False)
    scores = vectors["item_vectors"] @ vectors["user_vectors"][0]
    ours = got.sort("item_id")["score"]
    np.testing.assert_allclose(scores, ours, atol=1e-6)
    plain, with_us = examples(made.folder)
    assert len(plain.strip().splitlines()) <= 10
    printed = ran(WITHOUT + plain, made.folder)
    assert got["item_id"][0] in printed
    assert str(loaded) in ran_here(with_us, made.folder, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("task", "name", "files"),
    [
        ("seqrec", "sid-sasrec", {"codes", "encoder_vectors", "model"}),
        ("seqrec", "item-knn", set()),
        ("ctr", "dnn-text", {"model"}),
        ("search", "dot", {"encoder_vectors"}),
    ],
)
def test_every_readme_runs(
    record_of: RecordOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    task: str,
    name: str,
    files: set[str],
) -> None:
    folder = export(tb.load(record_of(task, name)), tmp_path / "out").folder
    assert {path.stem for path in folder.glob("*.safetensors")} == files
    plain, with_us = examples(folder)
    assert "title" in ran(WITHOUT + plain, folder)
    assert "<Loaded: " in ran_here(with_us, folder, monkeypatch, capsys)


def test_an_export_is_loaded_without_its_record_or_its_encoders_texts(
    record_of: RecordOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also elsewhere, where no vector is in a cache: they are in the export."""
    loaded = tb.load(record_of("seqrec", "unisrec"))
    export(loaded, tmp_path / "out")
    there = shutil.copytree(tmp_path / "out", tmp_path / "there")
    monkeypatch.setenv("TASTEBENCH_HOME", str(tmp_path / "elsewhere"))

    def no(*_: object, **__: object) -> None:
        raise AssertionError("nothing is encoded")

    monkeypatch.setattr("tastebench.encoders.vectors.encode_items", no)
    again = tb.load(there, dataset=loaded.dataset)
    history = [["101", "105"]]
    assert again.recommend(history).equals(loaded.recommend(history))
    new = [{"item_id": "n", "title": "a lamp"}]
    assert again.recommend(history, new_items=new).equals(loaded.recommend(history, new_items=new))


def test_what_was_written_is_told_with_hashes(record_of: RecordOf, tmp_path: Path) -> None:
    loaded = tb.load(record_of("seqrec", "unisrec"))
    made = export(loaded, tmp_path / "out", users=False)
    assert set(made.files) == {path.name for path in made.folder.iterdir()}
    assert "users.parquet" not in made.files
    assert list(load_file(made.folder / "vectors.safetensors")) == ["item_vectors"]
    about = json.loads((made.folder / "export.json").read_text())
    assert set(about["files"]) == set(made.files) - {"README.md", "export.json"}
    assert all(hash_file(made.folder / n) == digest for n, digest in about["files"].items())
    assert about["record"]["spec_hash"] == loaded.record.spec_hash
    assert about["dataset"]["fingerprint"] == loaded.dataset.fingerprint
    assert str(tmp_path) not in json.dumps(about)
    ran(WITHOUT + examples(made.folder)[0], made.folder)


def test_a_changed_export_is_refused(record_of: RecordOf, tmp_path: Path) -> None:
    folder = export(tb.load(record_of("cf", "item-knn")), tmp_path / "out").folder
    (folder / "items.parquet").write_bytes(b"other")
    with pytest.raises(DataError, match=r"items\.parquet is missing or was changed"):
        tb.load(folder)
    about = json.loads((folder / "export.json").read_text())
    about["files"] = {"../out/README.md": hash_file(folder / "README.md")}
    (folder / "export.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match="names a file outside itself"):
        tb.load(folder)
    (folder / "export.json").write_text("{}")
    with pytest.raises(DataError, match="unreadable export"):
        tb.load(folder)


def test_what_lies_there_stays_unless_it_is_an_export(record_of: RecordOf, tmp_path: Path) -> None:
    loaded = tb.load(record_of("cf", "item-knn"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="something else here, and it stays"):
        export(loaded, tmp_path / "full")
    with pytest.raises(UsageError, match="something else here"):
        export(loaded, loaded.source.folder)
    export(loaded, tmp_path / "out")
    (tmp_path / "out" / "left.txt").write_text("of another export")
    assert "left.txt" not in export(loaded, tmp_path / "out").files
    with pytest.raises(UsageError, match="items were added"):
        other = tb.load(record_of("cf", "alpharec-vector"))
        export(other.with_items([{"item_id": "n", "title": "a cup"}]), tmp_path / "grown")


def test_a_failed_export_leaves_nothing(
    record_of: RecordOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tb.load(record_of("cf", "item-knn"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tastebench.files.write_json", full)
    with pytest.raises(DataError, match="cannot be written: No space left"):
        export(loaded, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".tmp-*"))


def test_the_command_writes_and_lists(
    record_of: RecordOf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, to = record_of("seqrec", "sasrec-id"), tmp_path / "out"
    assert main(["export", str(folder), "--to", str(to)]) == 0
    out, err = capsys.readouterr()
    assert "<Loaded: sasrec, seqrec on tiny" in out and "vectors.safetensors" in out
    assert "README.md" in err
    assert main(["export", str(to), "--to", str(tmp_path / "two"), "--no-users", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(tmp_path / "two")
    assert found["files"]["model.safetensors"] == (to / "model.safetensors").stat().st_size
    assert "users.parquet" not in found["files"]
    assert main(["export", str(tmp_path), "--to", str(tmp_path / "three")]) == DataError.exit_code
    assert "there is no record here" in capsys.readouterr().err
