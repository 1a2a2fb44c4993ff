"""Codes in a folder: the same again, and nothing that is damaged, foreign or of other items."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError
from tastebench.files import hash_file
from tastebench.items.semantic_ids.about import (
    About,
    Catalogue,
    Learned,
    Source,
    damaged,
    made_by,
)
from tastebench.items.semantic_ids.artefact import (
    Artefact,
    copy,
    free_for,
    load,
    order_hash,
    save,
)
from tastebench.items.semantic_ids.ids import SemanticIds, add_items, make_ids
from tastebench.items.semantic_ids.recipe import CodeRecipe

N, DIM = 40, 6
RECIPE = CodeRecipe(method="rk-means", levels=2, size=4, seed=3)


def vectors(n: int = N) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, DIM)).astype(np.float32)


def shop(ids: list[str], name: str = "shop") -> Dataset:
    items = pl.DataFrame({"item_id": ids, "title": [f"thing {i}" for i in ids]})
    events = pl.DataFrame({"user_id": ["u"], "item_id": ids[:1], "time": [1000]})
    card = DatasetCard(name=name, title="Shop", text_columns=("title",))
    return Dataset.create(card, Tables(items=items, interactions=events))


@pytest.fixture
def dataset() -> Dataset:
    return shop([f"i{i}" for i in range(N)])


def about_of(ids: SemanticIds, dataset: Dataset, **more: Any) -> About:
    known: dict[str, Any] = {
        "hash": "ab" * 16,
        "recipe": ids.recipe,
        "dataset": Catalogue(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            items=dataset.n_items,
            order=order_hash(dataset.item_ids),
        ),
        "vectors": Source(encoder="minilm", revision="r1", key="k1"),
        "learned_from": None,
        "sizes": ids.sizes,
        "levels": ids.levels,
        "quality": {"collision_rate": 0.5},
        "made": ids.about,
        "seconds": 0.1,
        "threads": 1,
        "tastebench": "0",
        "created": "2026-01-01T00:00:00Z",
    }
    return About(**{**known, **more})


@pytest.fixture
def saved(dataset: Dataset, tmp_path: Path) -> Artefact:
    ids = make_ids(RECIPE, vectors(), N)
    folder = tmp_path / "codes"
    save(folder, ids, dataset.item_ids, about_of(ids, dataset))
    return Artefact(folder, ids, dataset.item_ids, {})


def test_what_is_read_is_what_was_written(saved: Artefact, dataset: Dataset) -> None:
    found = load(saved.folder, dataset)
    assert found.hash == "ab" * 16
    assert found.ids.values.dtype == np.int64
    np.testing.assert_array_equal(found.ids.values, saved.ids.values)
    assert (found.ids.sizes, found.ids.levels) == (saved.ids.sizes, saved.ids.levels)
    assert found.ids.recipe == RECIPE
    assert found.item_ids.to_list() == dataset.item_ids.to_list()
    assert found.about["quality"] == {"collision_rate": 0.5}
    assert sorted(path.name for path in saved.folder.iterdir()) == [
        *("codes.json", "codes.safetensors", "items.parquet")
    ]


def test_codebooks_give_new_items_the_codes_they_gave_before(saved: Artefact) -> None:
    new = np.random.default_rng(1).normal(size=(7, DIM)).astype(np.float32)
    found = load(saved.folder)
    assert saved.ids.quantiser is not None and found.ids.quantiser is not None
    np.testing.assert_array_equal(found.ids.quantiser.assign(new), saved.ids.quantiser.assign(new))
    np.testing.assert_array_equal(
        add_items(found.ids, new).values, add_items(saved.ids, new).values
    )


def test_drawn_codes_have_no_codebooks(dataset: Dataset, tmp_path: Path) -> None:
    ids = make_ids(CodeRecipe(method="random", levels=3, size=8), None, N)
    save(tmp_path / "r", ids, dataset.item_ids, about_of(ids, dataset, vectors=None, threads=None))
    found = load(tmp_path / "r", dataset)
    assert found.ids.quantiser is None
    np.testing.assert_array_equal(found.ids.values, ids.values)


@pytest.mark.parametrize(
    "others",
    [
        [f"i{i}" for i in reversed(range(N))],  # the same items in another order
        [f"i{i}" for i in range(N - 1)],
        [f"j{i}" for i in range(N)],
    ],
)
def test_codes_of_another_catalogue_are_refused(saved: Artefact, others: list[str]) -> None:
    with pytest.raises(
        DataError, match="not of the items of other in their order, but of shop"
    ) as e:
        load(saved.folder, shop(others, "other"))
    assert "(40 items, fingerprint " in e.value.what
    assert e.value.fix is not None
    assert e.value.fix.startswith("tastebench build codes --dataset other --encoder minilm ")
    assert e.value.fix.endswith("--method rk-means --levels 2 --size 4 --seed 3")


def test_the_command_that_makes_codes_again_says_all_that_they_depend_on(
    dataset: Dataset,
) -> None:
    changed = {"hidden": (64, 32), "lr": 2e-3, "beta": 0.25}
    ids = make_ids(CodeRecipe(method="random", levels=2, size=4), None, N)
    about = about_of(
        ids,
        dataset,
        recipe=CodeRecipe(method="rq-vae", levels=2, size=4, ties="always", settings=changed),
        vectors=Source(encoder="minilm", revision=None, key="k1", text_recipe="all-text"),
        threads=2,
    )
    assert made_by(about) == (
        "tastebench build codes --dataset shop --encoder minilm --text-recipe all-text "
        "--method rq-vae --levels 2 --size 4 --ties always --set 'hidden=[64, 32]' "
        "--set lr=0.002 --threads 2"
    )
    fix = str(damaged(Path("codes"), "cut", about).fix)
    assert fix == f"delete the folder and make the codes again: {made_by(about)}"
    some = about.model_copy(update={"learned_from": Learned(items=3, rows="0" * 64)})
    assert "the command of the plan again" in str(damaged(Path("codes"), "cut", some).fix)


def test_other_texts_of_the_same_items_are_the_same_catalogue(saved: Artefact) -> None:
    renamed = shop([f"i{i}" for i in range(N)], "renamed")
    changed = replace(renamed, fingerprint="0" * 64)
    assert load(saved.folder, changed).hash == "ab" * 16


def test_ids_are_told_apart_by_where_they_end() -> None:
    assert order_hash(pl.Series(["ab", "c"])) != order_hash(pl.Series(["a", "bc"]))


@pytest.mark.parametrize("place", ["absent", "empty", "a file"])
def test_what_is_no_artefact(place: str, tmp_path: Path) -> None:
    path = tmp_path / place
    if place == "empty":
        path.mkdir()
    if place == "a file":
        path.write_text("x")
    with pytest.raises(DataError, match="there are no semantic ids here") as error:
        load(path)
    assert error.value.where == str(path)
    assert "tastebench build codes" in str(error.value.fix)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes `codes.json`, checksums made to fit."""
    path = folder / "codes.json"
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about))


def retensor(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Changes the tensors like somebody who knows the format."""
    path = folder / "codes.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    rewrite(folder, lambda about: about["files"].update({path.name: hash_file(path)}))


@pytest.mark.parametrize("name", ["codes.safetensors", "items.parquet"])
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_damage_is_seen_and_says_how_to_make_them_again(
    name: str, how: str, saved: Artefact
) -> None:
    path = saved.folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-9] if how == "cut" else bytes([content[0] ^ 1]) + content[1:])
    if how == "gone":
        path.unlink()
    why = "No such file" if how == "gone" else "its checksum is not the one that was saved"
    with pytest.raises(DataError, match=f"the codes are damaged: {name}: {why}") as error:
        load(saved.folder)
    assert str(error.value.fix).startswith(
        "delete the folder and make the codes again: tastebench build codes --dataset shop"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "codes.json: Expecting property name"),
        ("[]", "this codes.json is of something else than semantic ids"),
        ('{"kind": "queries"}', "this codes.json is of something else than semantic ids"),
        ('{"kind": "semantic-ids", "format": 99}', "saved in another format"),
        ('{"kind": "semantic-ids", "format": 1}', "it is wrong at hash: Field required"),
        ("[" * 100_000, "codes.json: "),
        ("\xff", "codes.json: "),
    ],
)
def test_what_is_said_must_be_what_can_be_meant(text: str, why: str, saved: Artefact) -> None:
    (saved.folder / "codes.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=why):
        load(saved.folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda a: a["dataset"].update(items=N + 1), "its 40 ids are not those of the catalogue"),
        (
            lambda a: a["dataset"].update(order="0" * 64),
            "its 40 ids are not those of the catalogue",
        ),
        (lambda a: a.update(sizes=[4, 4, 4, 4, 4]), "5 levels are not those of its recipe"),
        (lambda a: a.update(levels=1), "levels are not those of its recipe"),
        (lambda a: a["files"].pop("items.parquet"), "it has no checksum of items.parquet"),
        (lambda a: a["recipe"].update(method="magic"), "it is wrong at recipe.method"),
        (lambda a: a["recipe"]["settings"].update(magic=1), "not those of rk-means: .*magic"),
        (lambda a: a.update(extra=1), "it is wrong at extra"),
        (lambda a: a["quality"].update(error="bad"), "it is wrong at quality.error"),
        (lambda a: a["quality"].update(levels=[{}]), "its quality is not of as many levels"),
        (lambda a: a["quality"].update(levels=3), "its quality is not of as many levels"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    change: Callable[[dict[str, Any]], None], why: str, saved: Artefact
) -> None:
    rewrite(saved.folder, change)
    with pytest.raises(DataError, match=why):
        load(saved.folder)


def _renamed(tensors: dict[str, np.ndarray]) -> None:
    tensors["quantiser.centers"] = tensors.pop("quantiser.centres")


def _outside(tensors: dict[str, np.ndarray]) -> None:
    tensors["codes"][5, 1] = 4


def _ended(tensors: dict[str, np.ndarray]) -> None:
    tensors["codes"][6, 0] = -1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t.pop("codes"), "it holds no codes, not int32"),
        (lambda t: t.update(codes=t["codes"][:-1]), r"it holds codes int32 \[39, 3\], not int32"),
        (lambda t: t.update(codes=t["codes"].astype(np.float32)), "it holds codes float32"),
        (_outside, r"item 5 has codes that no level has: \[\d, 4"),
        (_ended, r"item 6 has codes that no level has: \[-1"),
        (_renamed, "its codebooks are not those of rk-means: .*centres"),
        (lambda t: t.update({"quantiser.centres": np.zeros((2, 4), np.float32)}), "its codebooks"),
        (
            lambda t: t.update({"quantiser.centres": np.zeros((3, 4, DIM), np.float32)}),
            "its codebooks",
        ),
        (lambda t: t.update(more=np.zeros(1)), "it holds more than codes and codebooks"),
    ],
)
def test_tensors_from_anybody_are_checked(
    change: Callable[[dict[str, np.ndarray]], None], why: str, saved: Artefact
) -> None:
    retensor(saved.folder, change)
    with pytest.raises(DataError, match=why):
        load(saved.folder)


def test_a_file_that_is_no_safetensors_is_refused(saved: Artefact) -> None:
    path = saved.folder / "codes.safetensors"
    path.write_bytes(b"\xff" * 64)
    rewrite(saved.folder, lambda about: about["files"].update({path.name: hash_file(path)}))
    with pytest.raises(DataError, match=r"the codes are damaged: codes\.safetensors: "):
        load(saved.folder)


def test_a_copy_is_whole_and_stays(saved: Artefact, dataset: Dataset, tmp_path: Path) -> None:
    artefact = load(saved.folder)
    target = tmp_path / "a" / "copy"
    made = copy(artefact, target)
    assert made.folder == target
    assert load(target, dataset).hash == artefact.hash
    before = (target / "codes.json").stat().st_mtime_ns
    assert copy(artefact, target).hash == artefact.hash
    assert (target / "codes.json").stat().st_mtime_ns == before
    rewrite(target, lambda about: about.update(hash="cd" * 16))
    with pytest.raises(UsageError, match="other codes are here, and they stay"):
        copy(artefact, target)


def test_a_copy_never_takes_the_place_of_something_else(saved: Artefact, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="there is something else here, and it stays"):
        copy(load(saved.folder), tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(UsageError, match="something else"):
        free_for(tmp_path / "mine" / "thesis.txt")
    (tmp_path / "free").mkdir()
    free_for(tmp_path / "free")
    free_for(tmp_path / "new")


def test_a_place_that_cannot_be_written(saved: Artefact, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="the codes cannot be written: "):
        save(tmp_path / "file" / "x", saved.ids, dataset.item_ids, about_of(saved.ids, dataset))


def test_a_catalogue_of_a_million_is_a_few_megabytes(tmp_path: Path) -> None:
    n = 1_000_000
    ids = SemanticIds(
        np.random.default_rng(0).integers(16, size=(n, 3)),
        (16, 16, 16),
        3,
        None,
        {"recipe": CodeRecipe(method="random", levels=3, size=16).model_dump()},
    )
    names = pl.Series([f"B{i:09d}" for i in range(n)])
    catalogue = Catalogue(name="big", fingerprint="f", items=n, order=order_hash(names))
    about = about_of(ids, shop(["i0"]), vectors=None, threads=None).model_copy(
        update={"dataset": catalogue}
    )
    save(tmp_path / "big", ids, names, about)
    assert sum(path.stat().st_size for path in (tmp_path / "big").iterdir()) < 20e6
    np.testing.assert_array_equal(load(tmp_path / "big").ids.values, ids.values)
