"""A lock of what a plan reads: written once, then held against what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.errors import DataError, ProtocolError, UsageError
from tastebench.files import hash_file, read_sealed, write_sealed
from tastebench.runs.execute import Options, Todo, carry_out, look
from tastebench.runs.lock import Lock, hold, locked
from tastebench.runs.plan import make_plan

WORDS = ["[UNK]", "shirt", "lamp", "book", "cup", "number"]
Lines = list[str]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A folder with a static model of six words."""
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "model2vec", "normalize": false}')
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    weigh(folder, 0)
    return folder


def weigh(folder: Path, seed: int) -> None:
    table = np.random.default_rng(seed).normal(size=(len(WORDS), 4)).astype(np.float32)
    save_file({"embeddings": table}, folder / "model.safetensors")


def todo(tmp_path: Path, encoder: Path | str = "random", **changes: Any) -> Todo:
    plan = make_plan(
        {
            "name": "study",
            "datasets": ["tiny"],
            "tasks": ["cf"],
            "encoders": [str(encoder)],
            "recommenders": ["popularity"],
            "latency_seconds": 0,
            **changes,
        }
    )
    return look(plan, Options(out=tmp_path / "results", workers=1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.lock.json"


def test_a_lock_is_written_and_then_held(
    tiny: Dataset, words: Path, tmp_path: Path, path: Path
) -> None:
    said: Lines = []
    hold(path, todo(tmp_path, words), said.append)
    found = json.loads(path.read_text())
    assert found["datasets"]["tiny"]["fingerprint"] == tiny.fingerprint
    assert found["models"]["words"]["files"] == {
        name: hash_file(words / name)
        for name in ("config.json", "model.safetensors", "tokenizer.json")
    }
    before = path.stat().st_mtime_ns
    hold(path, todo(tmp_path, words), said.append)
    assert path.stat().st_mtime_ns == before  # nothing new, nothing written
    assert said == [f"wrote the lock {path}", f"all is as locked in {path}"]
    assert not [other for other in tmp_path.iterdir() if other.name.startswith(".study")]


def test_changed_weights_are_named_with_both_hashes(
    tiny: Dataset, words: Path, tmp_path: Path, path: Path
) -> None:
    hold(path, todo(tmp_path, words), print)
    then = hash_file(words / "model.safetensors")
    weigh(words, 1)
    with pytest.raises(ProtocolError) as refused:
        hold(path, todo(tmp_path, words), print)
    now = hash_file(words / "model.safetensors")
    assert then != now
    assert f"model words, model.safetensors is {now}, locked is {then}" in refused.value.what
    assert refused.value.where == str(path)


def test_a_file_more_in_a_model_is_a_difference(
    tiny: Dataset, words: Path, tmp_path: Path, path: Path
) -> None:
    hold(path, todo(tmp_path, words), print)
    (words / "modeling_own.py").write_text("print('code')\n")
    with pytest.raises(ProtocolError, match=r"modeling_own.py is [0-9a-f]{64}, locked is none"):
        hold(path, todo(tmp_path, words), print)


def test_values_changed_in_place_are_found_though_the_dataset_still_says_its_fingerprint(
    tiny: Dataset, tmp_path: Path, path: Path
) -> None:
    hold(path, todo(tmp_path), print)
    table = datasets_folder() / "tiny" / "items.parquet"
    changed = pl.read_parquet(table).with_columns(title=pl.lit("other"))
    changed.write_parquet(table)
    about = table.with_name("dataset.json")
    said = read_sealed(about)
    said["files"][table.name] = hash_file(table)
    write_sealed(about, said)
    again = todo(tmp_path)
    assert again.gathered.resources.datasets["tiny"].fingerprint == tiny.fingerprint
    with pytest.raises(ProtocolError, match=f"dataset tiny is .*, locked is {tiny.fingerprint}"):
        hold(path, again, print)


def test_a_plan_may_be_run_in_parts_and_what_is_new_is_added(
    tiny: Dataset, words: Path, tmp_path: Path, path: Path
) -> None:
    hold(path, todo(tmp_path, words), print)
    hold(path, todo(tmp_path, "random"), print)
    assert set(Lock.read(path).models) == {"words", "random"}
    weigh(words, 1)
    with pytest.raises(ProtocolError, match="model words"):
        hold(path, todo(tmp_path, words), print)


def test_codes_are_locked_by_what_is_in_their_files(
    tiny: Dataset, tmp_path: Path, path: Path, home: Path
) -> None:
    plan = todo(
        tmp_path,
        tasks=["ctr"],
        recommenders=[{"name": "dnn", "representations": ["code"], "params": {"epochs": 1}}],
        codes=[{"method": "random", "levels": 2, "size": 16}],
        encoders=[],
    )
    with locked(path, plan, print):
        carry_out(plan)
    ((key, files),) = Lock.read(path).codes.items()
    folder = home / "artefacts" / "codes" / key
    assert files == {name: hash_file(folder / name) for name in files} and len(files) == 2
    value = json.loads(path.read_text())
    value["codes"][key]["codes.safetensors"] = "0" * 64
    path.write_text(json.dumps(value))
    with (
        pytest.raises(ProtocolError, match=f"codes {key}, codes.safetensors is .* is {'0' * 64}"),
        locked(path, todo(tmp_path, **plan.plan.model_dump(exclude_unset=True)), print),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the lock cannot be read"),
        ("[" * 100_000, "nested too deep"),
        ("[]", "this is no lock"),
        ('{"format": 2}', "this is no lock"),
        ('{"datasets": {"a": {"fingerprint": "x"}}}', "this is no lock"),
        ('{"moddels": {}}', "this is no lock: Extra inputs"),
    ],
)
def test_what_is_no_lock_is_refused(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError, match=message) as refused:
        Lock.read(path)
    assert refused.value.fix and str(path) in str(refused.value.where)


def test_a_folder_is_no_lock(tiny: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a lock is a file"):
        hold(tmp_path, todo(tmp_path), print)


def test_a_mismatch_stops_the_run_before_anything_is_done(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from tastebench import cli

    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(
        "name: study\ndatasets: [tiny]\ntasks: [cf]\nrecommenders: [popularity]\nencoders: []\n"
    )
    value = Lock(datasets={"tiny": {"fingerprint": "0" * 64}})  # type: ignore[dict-item]
    Path("lock.json").write_text(value.model_dump_json())
    code = cli.main(["run", "plan.yaml", "--lock", "lock.json"])
    assert code == ProtocolError.exit_code
    assert f"dataset tiny is {tiny.fingerprint}, locked is {'0' * 64}" in capsys.readouterr().err
    assert not list(tmp_path.rglob("record.json"))
