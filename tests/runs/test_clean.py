"""What the home and a results folder hold, and what of it may go."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench import cli
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.encoders import get_encoder
from tastebench.encoders.vectors import encode_items
from tastebench.errors import UsageError
from tastebench.runs.clean import Choice, chosen, delete, parse_age
from tastebench.runs.holdings import Holding, holdings, total

OLD = time.time() - 100 * 86_400


def aged(path: Path, when: float = OLD) -> Path:
    """The file or folder, last written long ago."""
    for one in (*path.rglob("*"), path) if path.is_dir() else (path,):
        os.utime(one, (when, when))
    return path


def written(path: Path, content: bytes = b"x" * 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def by_name(results: Path | None = None) -> dict[str, Holding]:
    return {one.name: one for one in holdings(results)}


@pytest.fixture
def vectors(home: Path) -> Path:
    """The folder of the vectors of a small catalogue."""
    encode_items(get_encoder("random"), ["a", "b", "c"], recipe="title")
    (folder,) = (home / "vectors").iterdir()
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with the record of one run."""
    folder = tmp_path / "results"
    written(
        folder / "s" / "tiny" / "cf" / "popularity-id-none" / "fedcba9876543210" / "record.json"
    )
    (folder / ".work").mkdir()
    return folder


def test_what_a_kill_left_goes_and_what_is_being_written_stays(vectors: Path, home: Path) -> None:
    old = aged(written(vectors / "shards" / ".tmp-abc.safetensors"))
    folder = written(home / "datasets" / ".tmp-def" / "items.parquet").parent
    aged(folder)
    fresh = written(vectors / ".tmp-new.npy")
    lock = aged(written(home / "artefacts" / "codes" / ".0123.lock", b""))
    going = {one.path for one in chosen(holdings(), Choice())}
    assert going == {old, folder, lock}
    assert by_name()[str(fresh.relative_to(home))].busy == "written within the hour"
    assert {one.path for one in delete(chosen(holdings(), Choice()))} == going
    assert not any(path.exists() for path in going) and fresh.exists()


def test_a_matrix_that_nothing_names_and_what_cannot_be_read_goes(vectors: Path) -> None:
    before = encode_items(get_encoder("random"), ["a", "b", "c"], recipe="title").vectors
    replaced = written(vectors / f"{'0' * 32}-00000000.npy")
    broken = written(vectors / f"{'1' * 32}.json", b"{")
    points_nowhere = written(vectors / f"{'2' * 32}.json", b'{"file": "gone.npy"}')
    climbs = written(vectors / f"{'3' * 32}.json", b'{"file": "../../x"}')
    (shard,) = vectors.glob("shards/*.safetensors")
    cut = written(shard.with_name("cut.safetensors"), shard.read_bytes()[:-1])
    going = {one.path: one.kind for one in chosen(holdings(), Choice())}
    assert going == {
        replaced: "superseded",
        broken: "damaged",
        points_nowhere: "damaged",
        climbs: "damaged",
        cut: "damaged",
    }
    delete(chosen(holdings(), Choice()))
    again = encode_items(get_encoder("random"), ["a", "b", "c"], recipe="title")
    assert again.cost.cached and np.array_equal(again.vectors, before)


def test_a_damaged_file_of_codes_is_damage_and_a_whole_one_costs(home: Path) -> None:
    whole = written(home / "artefacts" / "codes" / "aa" / "codes.json", b"{}").parent
    broken = written(home / "artefacts" / "codes" / "bb" / "codes.json", b"{").parent
    found = by_name()
    assert (found["codes/aa"].kind, found["codes/aa"].path) == ("codes", whole)
    assert (found["codes/bb"].kind, found["codes/bb"].path) == ("damaged", broken)


def test_what_costs_goes_by_its_kind_and_only_when_it_is_old(vectors: Path) -> None:
    def names(choice: Choice) -> list[str]:
        return [one.name for one in chosen(holdings(), choice)]

    assert names(Choice()) == []
    assert names(Choice(kinds=("vectors",))) == [vectors.name]
    month = Choice(kinds=("vectors",), older_than=parse_age("30d"))
    assert names(month) == []
    aged(vectors)
    assert names(month) == [vectors.name]
    assert names(Choice(kinds=("states",))) == []
    delete(chosen(holdings(), month))
    assert not vectors.exists()


def test_an_imported_dataset_goes_by_its_name_alone(tiny: Dataset, home: Path) -> None:
    aged(datasets_folder() / "tiny")
    assert by_name()["tiny"].kind == "imported"
    assert chosen(holdings(), Choice(kinds=("datasets", "raw"))) == []
    with pytest.raises(UsageError, match="imported: datasets made of your own files"):
        Choice(kinds=("imported",)).check(holdings())
    going = chosen(holdings(), Choice(names=("tiny",)))
    assert [one.path for one in going] == [datasets_folder() / "tiny"]


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [
        ({"raw": {"how": "downloaded from files.grouplens.org"}}, "datasets"),
        ({"raw": {"how": "read from /home/me/ml-100k"}}, "imported"),
        ({"raw": 3}, "datasets"),
    ],
)
def test_a_public_dataset_of_the_users_own_files_counts_as_imported(
    tiny: Dataset, home: Path, manifest: dict[str, Any], kind: str
) -> None:
    folder = datasets_folder() / "movielens-100k"
    Dataset(tiny.card, tiny.tables, tiny.fingerprint, manifest).save(folder)
    assert by_name()["movielens-100k"].kind == kind
    (folder / "dataset.json").write_text("{")
    assert by_name()["movielens-100k"].kind == "imported"  # nobody can tell any more


def test_what_was_paid_for_and_what_was_trained_is_kept(home: Path) -> None:
    for room in ("answers", "queries", "lm"):
        written(home / "artefacts" / room / "x" / "file")
    found = by_name()
    assert [found[f"{room}/x"].sort for room in ("answers", "queries", "lm")] == ["kept"] * 3
    assert chosen(holdings(), Choice(kinds=("codes", "vectors", "encoders"))) == []


def test_work_of_a_run_with_its_record_goes_and_that_of_others_costs(results: Path) -> None:
    (record,) = results.glob("s/**/record.json")
    done = written(results / ".work" / record.parent.name / "state.safetensors").parent
    open_ = written(results / ".work" / "0123456789abcdef" / "state.safetensors").parent
    found = {one.path: one for one in holdings(results)}
    assert (found[done].kind, found[open_].kind) == ("superseded", "work")
    assert [one.path for one in chosen(holdings(results), Choice())] == [done]
    assert record.is_file()
    delete(chosen(holdings(results), Choice(kinds=("work",))), results)
    assert not done.exists() and not open_.exists() and record.is_file()


@pytest.fixture
def holding_it(results: Path) -> Iterator[Path]:
    """Work whose lock somebody holds."""
    work = written(results / ".work" / "0123456789abcdef" / "state.safetensors").parent
    aged(work)
    with work.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield work


def test_what_a_lock_is_held_for_stays(holding_it: Path, results: Path) -> None:
    found = {one.path: one for one in holdings(results)}
    assert found[holding_it].busy == "a process works on it"
    lock = holding_it.with_suffix(".lock")
    aged(lock)
    assert {one.path: one for one in holdings(results)}[lock].busy == "a process works on it"
    assert chosen(holdings(results), Choice(kinds=("work",))) == []


def test_what_another_process_has_open_or_mapped_stays(vectors: Path) -> None:
    (matrix,) = vectors.glob("*.npy")
    code = (
        "import sys, numpy as np; a = np.load(sys.argv[1], mmap_mode='r'); "
        "print(a.sum(), flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(matrix)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdin is not None
    process.stdout.readline()
    try:
        assert by_name()[vectors.name].busy == "a process has it open"
        assert chosen(holdings(), Choice(names=(vectors.name,))) == []
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()
    assert by_name()[vectors.name].busy is None


def test_what_is_taken_up_between_looking_and_deleting_stays(vectors: Path) -> None:
    aged(vectors)
    going = chosen(holdings(), Choice(kinds=("vectors",)))
    written(vectors / "new.json")
    assert delete(going) == [] and vectors.exists()


def test_a_link_is_deleted_and_not_what_it_leads_to(home: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "elsewhere" / "precious").parent
    room = home / "raw"
    room.mkdir(parents=True)
    link = room / ".tmp-link"
    link.symlink_to(other)
    os.utime(link, (OLD, OLD), follow_symlinks=False)
    assert by_name()["raw/.tmp-link"].bytes < 1000
    delete(chosen(holdings(), Choice()))
    assert not link.is_symlink() and (other / "precious").is_file()


def test_files_of_others_in_the_same_folder_are_not_looked_at(home: Path) -> None:
    aged(written(home / ".tmp-mine"))
    aged(written(home / "notes" / "x.lock", b""))
    assert holdings() == []


def test_what_lies_in_another_counts_once(vectors: Path) -> None:
    inner = aged(written(vectors / ".tmp-abc", b"y" * 5000))
    found = holdings()
    assert {one.path for one in found} == {vectors, inner}
    assert total(found) == next(one.bytes for one in found if one.path == vectors)


@pytest.mark.parametrize("text", ["90", "d", "1.5d", "-3d", "3y", "9999999d"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no age"):
        parse_age(text)


# ------------------------------------------------------------------------------- the verb


def test_the_verb_shows_and_without_a_yes_deletes_nothing(vectors: Path, capsys: Any) -> None:
    left = aged(written(vectors / ".tmp-abc"))
    assert cli.main(["doctor", "--clean"]) == 0
    captured = capsys.readouterr()
    assert "temporary: 1" in captured.out and "would go: 1, 10 B" in captured.out
    assert "nothing was deleted" in captured.out and "--yes deletes it" in captured.err
    assert left.exists()
    assert cli.main(["doctor", "--clean", "--yes"]) == 0
    assert "deleted 1 of 1, 10 B" in capsys.readouterr().out
    assert not left.exists()


def test_as_json_it_says_what_is_held_goes_and_went(vectors: Path, capsys: Any) -> None:
    left = aged(written(vectors / ".tmp-abc"))
    assert cli.main(["doctor", "--clean", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["deleted"] is None and left.exists()
    assert {(row["kind"], row["goes"]) for row in shown["held"]} == {
        ("temporary", True),
        ("vectors", False),
    }
    assert cli.main(["doctor", "--clean", "--json", "--yes"]) == 0
    assert json.loads(capsys.readouterr().out)["deleted"] == [str(left)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--yes"], "say what to clean"),
        (["--clean", "--kind", "vektors"], "did you mean vectors"),
        (["--clean", "--kind", "imported"], "goes by its name only"),
        (["--clean", "--drop", "nothing"], "nothing is called 'nothing'"),
        (["--clean", "--older-than", "soon"], "is no age"),
        (["--clean", "--results", "."], "is no results folder"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    home: Path, capsys: Any, arguments: list[str], message: str
) -> None:
    assert cli.main(["doctor", *arguments]) == UsageError.exit_code
    assert message in capsys.readouterr().err
