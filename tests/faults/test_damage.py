"""What lies on the disk is not what was written: a clear error or warning, or made again.

A line a case: what is damaged, how, and what becomes of it. Numbers are never silently others.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import tastebench as tb
from tastebench.board.board import read_board
from tastebench.board.load import load
from tastebench.build.codes import make_codes
from tastebench.contracts import Role
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder, load_dataset
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.encoders.shards import DamagedCacheWarning
from tastebench.encoders.vectors import encode_items
from tastebench.errors import DataError, TastebenchError
from tastebench.files import hash_arrays, read_json, read_sealed, write_sealed
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.runs.material import Vectors
from tastebench.runs.record import Record
from tastebench.runs.tune import tune
from tastebench.training.fit import FabricTrainer
from tastebench.training.settings import TrainSettings

Damage = Callable[[Path], None]

TEXTS = [f"thing number {i}" for i in range(30)]


def flipped(path: Path) -> None:
    """One bit in the middle of the file is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    """The second half is gone."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    """Nothing is left but the name."""
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    """There is a folder of that name."""
    path.unlink()
    path.mkdir()


def gone(path: Path) -> None:
    """It is not there any more."""
    path.unlink()


DAMAGES: tuple[Damage, ...] = (flipped, cut, emptied, a_folder, gone)
every_damage = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)


def shop(name: str = "shop") -> Dataset:
    rng = np.random.default_rng(0)
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(30)], "title": TEXTS})
    user = np.repeat(np.arange(20), 6)
    events = pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in user],
            "item_id": [f"i{i}" for i in rng.integers(30, size=len(user))],
            "time": 1_600_000_000_000 + rng.integers(10**9, size=len(user)),
        }
    )
    card = DatasetCard(name=name, title="Shop", text_columns=("title",))
    return Dataset.create(card, Tables(items=items, interactions=events))


def refused(call: Callable[[], Any], path: Path) -> TastebenchError:
    """The error, which names the file (or its folder) and says what to do."""
    with pytest.raises(TastebenchError) as caught:
        call()
    assert caught.value.where is not None and str(path.parent) in caught.value.where
    assert caught.value.fix
    return caught.value


# --------------------------------------------------------------------------------------- datasets


@every_damage
@pytest.mark.parametrize("name", ["interactions.parquet", "items.parquet", "dataset.json"])
def test_a_damaged_dataset_is_refused(name: str, damage: Damage) -> None:
    shop().save(datasets_folder() / "shop")
    path = datasets_folder() / "shop" / name
    damage(path)
    if (name, damage) in (("dataset.json", gone), ("dataset.json", a_folder)):
        with pytest.raises(TastebenchError, match="unknown dataset 'shop'"):
            load_dataset("shop")
    else:
        refused(lambda: load_dataset("shop"), path)


def test_no_bit_of_a_table_changes_unseen() -> None:
    """Read without checksums, most changed bits of a Parquet file give other values."""
    folder = datasets_folder() / "shop"
    shop().save(folder)
    path = folder / "interactions.parquet"
    whole = path.read_bytes()
    for at in np.random.default_rng(0).choice(len(whole), 60, replace=False):
        content = bytearray(whole)
        content[at] ^= 16
        path.write_bytes(content)
        with pytest.raises(DataError, match="checksum"):
            Dataset.load(folder)
    path.write_bytes(whole)
    assert Dataset.load(folder, verify=True).fingerprint == shop().fingerprint


def test_a_half_made_dataset_is_in_no_list(home: Path) -> None:
    from tastebench.data.catalog import list_datasets

    shop().save(datasets_folder() / "shop")
    shutil.copytree(datasets_folder() / "shop", datasets_folder() / ".tmp-abc")
    assert [row.name for row in list_datasets() if row.status == "ready"] == ["shop"]
    with pytest.raises(TastebenchError, match="unknown dataset"):
        load_dataset(".tmp-abc")


# ---------------------------------------------------------------------------------------- vectors


class Model:
    """Vectors that depend on the text alone."""

    def encode(self, texts: list[str], role: Role = "item") -> np.ndarray:
        """float32 `[n, 4]`."""
        seeds = [int.from_bytes(text.encode()[-4:], "big") for text in texts]
        drawn = [np.random.default_rng(seed).normal(size=4) for seed in seeds]
        return np.array(drawn, dtype=np.float32)


def vectors_of() -> np.ndarray:
    encoder = tb.as_encoder(Model(), "model", revision="1")
    return np.array(encode_items(encoder, TEXTS, recipe="title").vectors)


@every_damage
@pytest.mark.parametrize("what", ["*-*.npy", "[!i]*.json", "shards/*.safetensors"])
def test_damaged_vectors_are_made_again(what: str, damage: Damage, home: Path) -> None:
    whole = vectors_of()
    (folder,) = (home / "vectors").iterdir()
    (path,) = folder.glob(what)
    if what.startswith("shards"):  # read only where the matrix is not there
        next(folder.glob("*-*.npy")).unlink()
    damage(path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if damage is a_folder:
            assert refused(vectors_of, path).fix == "remove what is in the way"
        else:
            np.testing.assert_array_equal(vectors_of(), whole)
            np.testing.assert_array_equal(vectors_of(), whole)
    if damage in (cut, emptied) or (damage is flipped and not what.endswith(".json")):
        assert any(one.category is DamagedCacheWarning for one in told)
        assert all(str(folder) in str(one.message) for one in told)


def test_vectors_that_changed_after_encoding_are_not_computed_with(tmp_path: Path) -> None:
    from tastebench.runs.record import EncodeStep

    items = tmp_path / "items.npy"
    np.save(items, np.ones((3, 2), dtype=np.float32))
    left = tmp_path / "vectors.json"
    Vectors(
        items=items, queries=None, step=EncodeStep(seconds=1.0, texts=3, texts_encoded=3)
    ).write(left)
    Vectors.read(left).check()
    flipped(items)
    error = refused(lambda: Vectors.read(left).check(), items)
    assert str(items) == error.where and "--redo failed" in (error.fix or "")
    for damage in DAMAGES:
        Vectors(
            items=items, queries=None, step=EncodeStep(seconds=1.0, texts=3, texts_encoded=3)
        ).write(left)
        damage(left)
        refused(lambda: Vectors.read(left), left)
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


# ------------------------------------------------------------------------------ codes and training


@every_damage
@pytest.mark.parametrize("name", ["*.safetensors", "*.parquet", "*.json"])
def test_damaged_codes_are_made_again(name: str, damage: Damage, home: Path) -> None:
    def codes() -> Any:
        recipe = CodeRecipe(method="rk-means", levels=2, size=4)
        drawn = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
        told: list[str] = []
        made = make_codes(
            recipe, shop(), drawn, encoder="e", revision="1", key="k", progress=told.append
        )
        return made, told

    whole, _ = codes()
    (path,) = whole.folder.glob(name)
    damage(path)
    again, told = codes()
    np.testing.assert_array_equal(again.ids.values, whole.ids.values)
    # Without the JSON there is no artefact; of what it only tells a bit may change.
    if name != "*.json" or damage in (cut, emptied):
        assert f"({whole.folder})" in " ".join(told)


def fitted(folder: Path, epochs: int) -> dict[str, str]:
    torch.manual_seed(0)
    module = nn.Linear(64, 64)
    data = torch.from_numpy(np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32))
    trainer = FabricTrainer(seed=0, directory=folder, save_every=0.0)
    settings = TrainSettings(epochs=epochs, device="cpu")
    trainer.fit(module, settings, lambda rng: [data], lambda x: module(x).square().mean())
    return {name: hash_arrays(t.numpy()) for name, t in module.state_dict().items()}


@pytest.mark.parametrize("damage", [flipped, cut, emptied, a_folder])
def test_a_damaged_state_of_training_is_refused(damage: Damage, tmp_path: Path) -> None:
    fitted(tmp_path, 2)
    path = tmp_path / "fit-1.safetensors"
    damage(path)
    error = refused(lambda: fitted(tmp_path, 2), path)
    assert error.fix == f"delete {path} to train anew"


def test_no_bit_of_a_state_changes_unseen(tmp_path: Path) -> None:
    whole = fitted(tmp_path, 2)
    path = tmp_path / "fit-1.safetensors"
    content = path.read_bytes()
    for at in np.random.default_rng(0).choice(len(content), 60, replace=False):
        changed = bytearray(content)
        changed[at] ^= 16
        path.write_bytes(changed)
        try:
            again = fitted(tmp_path, 2)
        except TastebenchError as error:
            assert str(path) in (error.where or "")
        else:
            assert again == whole, at


@pytest.mark.parametrize("damage", [flipped, cut, emptied, gone])
def test_a_damaged_trial_is_made_again(damage: Damage, tmp_path: Path) -> None:
    asked: list[float] = []

    def fit(params: dict[str, Any], folder: Path) -> Any:
        asked.append(params["lr"])
        return params["lr"], tb.contracts.FitReport(parameters=1, seconds=0.0)

    settings = [{"lr": 0.1}, {"lr": 0.3}, {"lr": 0.2}]
    tuned = tune(settings, fit, lambda lr: lr, tmp_path, lambda text: None)
    assert tuned.params == {"lr": 0.3}
    asked.clear()
    damage(tmp_path / "trial-1.json")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        again = tune(settings, fit, lambda lr: lr, tmp_path, lambda text: None)
    assert (again.params, asked) == ({"lr": 0.3}, [0.3])
    assert again.trials == tuned.trials
    assert ["trial-1.json is damaged" in str(one.message) for one in told] == [True] * (
        damage is not gone
    )


# ---------------------------------------------------------------------------------------- records


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASTEBENCH_HOME", str(folder / "home"))
        shop().save(datasets_folder() / "shop")
        plan = {
            "name": "study",
            "datasets": ["shop"],
            "tasks": ["cf"],
            "recommenders": [tb.recommenders.get_recommender("popularity")],
            "latency_seconds": 0,
        }
        assert not tb.run(plan, out=folder / "results", progress=False).failed
    return folder / "results"


@every_damage
def test_a_damaged_record_is_named(damage: Damage, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "results")
    (path,) = tmp_path.rglob("record.json")
    damage(path)
    if damage is gone:
        with pytest.raises(DataError, match="no records here"):
            read_board(tmp_path / "results")
        return
    error = refused(lambda: read_board(tmp_path / "results"), path)
    assert "run the plan again" in (error.fix or "")


def test_a_changed_number_in_a_record_is_seen(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "results")
    (path,) = tmp_path.rglob("record.json")
    value = read_json(path)
    value["metrics"]["ndcg@10"]["mean"] += 0.1
    tb.files.write_json(path, value)
    with pytest.raises(DataError, match="it is not what was written"):
        Record.read(path)
    del value["sha256"]  # as records were before, and as whoever changes one on purpose leaves it
    tb.files.write_json(path, value)
    assert Record.read(path).metrics["ndcg@10"].mean == value["metrics"]["ndcg@10"]["mean"]


@pytest.mark.parametrize("damage", [flipped, cut, emptied])
def test_a_damaged_table_beside_a_record_is_named(
    damage: Damage, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "results")
    (path,) = tmp_path.rglob("per_user.parquet")
    damage(path)
    (entry,) = load(tmp_path / "results").entries
    error = refused(lambda: entry.units(["ndcg@10"]), path)
    assert error.where == str(path)


# ------------------------------------------------------------------------------------------ files


def test_a_sealed_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    value = {"a": [1, 2.5, None], "é": {"b": True}}
    write_sealed(path, value)
    assert read_sealed(path) == value
    assert len(read_json(path)["sha256"]) == 64
    for text in ("[1, 2]", '{"a": 1}'):
        path.write_text(text)
        assert read_sealed(path) == read_json(path)
