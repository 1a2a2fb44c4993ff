"""Codes are made once, found again by what they depend on, and made by one process at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench.alone import alone
from tastebench.build import codes
from tastebench.build.codes import codes_folder, find_codes, make_codes
from tastebench.build.progress import now_and_then
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError
from tastebench.items.semantic_ids import ids as ids_module
from tastebench.items.semantic_ids import rq_vae_training
from tastebench.items.semantic_ids.ids import make_ids
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.items.semantic_ids.settings import KMeansSettings
from tastebench.runs import limits

N, DIM = 60, 6
RECIPE = CodeRecipe(method="rk-means", levels=2, size=4, seed=3)


def vectors(n: int = N) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, DIM)).astype(np.float32)


def shop(n: int = N, name: str = "shop") -> Dataset:
    ids = [f"i{i}" for i in range(n)]
    items = pl.DataFrame({"item_id": ids, "title": [f"thing {i}" for i in ids]})
    events = pl.DataFrame({"user_id": ["u"], "item_id": ids[:1], "time": [1000]})
    card = DatasetCard(name=name, title="Shop", text_columns=("title",))
    return Dataset.create(card, Tables(items=items, interactions=events))


def make(recipe: CodeRecipe = RECIPE, dataset: Dataset | None = None, **more: Any) -> Any:
    dataset = dataset or shop()
    known: dict[str, Any] = {"encoder": "minilm", "revision": "r1", "key": "k1"}
    given = {**known, **more}
    drawn = not recipe.reads_vectors
    made_of = given.pop("vectors", None if drawn else vectors(dataset.n_items))
    return make_codes(recipe, dataset, made_of, **given)


@pytest.fixture
def counted_makes(monkeypatch: pytest.MonkeyPatch) -> list[CodeRecipe]:
    """Every time codes are made, their recipe."""
    made: list[CodeRecipe] = []

    def counting(recipe: CodeRecipe, *args: Any, **more: Any) -> Any:
        made.append(recipe)
        return make_ids(recipe, *args, **more)

    monkeypatch.setattr(ids_module, "make_ids", counting)
    return made


def test_codes_are_those_of_the_method_and_say_what_they_are_of(home: Path) -> None:
    dataset = shop()
    made = make(dataset=dataset)
    np.testing.assert_array_equal(made.ids.values, make_ids(RECIPE, vectors(), N).values)
    assert made.folder == home / "artefacts" / "codes" / made.hash
    about = made.about
    assert about["dataset"]["fingerprint"] == dataset.fingerprint
    assert about["vectors"] == {
        "encoder": "minilm",
        "revision": "r1",
        "key": "k1",
        "text_recipe": None,
    }
    assert about["recipe"]["settings"] == KMeansSettings().model_dump()  # defaults are said too
    assert about["quality"] and about["made"]["curve"]
    assert about["seconds"] >= 0 and about["threads"] >= 1
    assert not list(codes_folder().glob(".*"))  # nor a lock, nor anything half done


def test_what_is_made_is_found_again(counted_makes: list[CodeRecipe]) -> None:
    first = make()
    assert find_codes(RECIPE, shop(), "k1") == first.folder
    # The vectors are not even looked at.
    second = make(vectors=np.full((N, DIM), np.nan, dtype=np.float32))
    assert second.hash == first.hash
    assert len(counted_makes) == 1
    # A setting that is named and is the default is no other.
    make(RECIPE.model_copy(update={"settings": {"iterations": KMeansSettings().iterations}}))
    assert len(counted_makes) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": RECIPE.model_copy(update={"seed": 4})},
        {"recipe": RECIPE.model_copy(update={"ties": "always"})},
        {"recipe": RECIPE.model_copy(update={"settings": {"iterations": 3}})},
        {"key": "k2"},
        {"dataset": shop(N - 1)},
        {
            "recipe": RECIPE.model_copy(update={"learned_from": "train"}),
            "learn_rows": np.arange(40),
        },
    ],
    ids=["seed", "ties", "settings", "vectors", "items", "learned from"],
)
def test_what_codes_depend_on_makes_others(change: dict[str, Any]) -> None:
    assert make(**change).hash != make().hash


def test_where_codes_are_learned_is_said_and_makes_no_others(
    counted_makes: list[CodeRecipe],
) -> None:
    small = {"hidden": [4], "latent": 2, "warmup": 0, "epochs": 1}
    recipe = CodeRecipe(method="rq-vae", levels=2, size=4, settings=small)
    here = recipe.model_copy(update={"settings": {**small, "device": "cpu"}})
    made = make(here)
    assert made.about["made"]["settings"]["device"] == made.about["made"]["device"] == "cpu"
    assert make(recipe).folder == made.folder == find_codes(here, shop(), "k1")
    assert counted_makes == [here]


def test_the_items_that_are_learned_from_are_a_set() -> None:
    recipe = RECIPE.model_copy(update={"learned_from": "train"})
    few = make(recipe, learn_rows=np.array([5, 3, 3, 9, *range(20, 40)]))
    same = make(recipe, learn_rows=np.array([3, 5, 9, *range(20, 40)], dtype=np.int32))
    assert few.hash == same.hash
    assert few.hash != make(recipe, learn_rows=np.arange(30)).hash
    assert few.about["learned_from"]["items"] == 23
    expected = make_ids(recipe, vectors(), N, learn_rows=np.array([3, 5, 9, *range(20, 40)]))
    np.testing.assert_array_equal(few.ids.values, expected.values)


def test_names_and_revisions_change_nothing_that_the_key_does_not(
    counted_makes: list[CodeRecipe],
) -> None:
    assert make(encoder="other", revision=None).hash == make().hash
    assert len(counted_makes) == 1


def test_threads_are_part_of_what_codes_depend_on() -> None:
    with limits.threads(1):
        one = make().hash
    with limits.threads(2):
        two = make().hash
    assert one != two


def test_drawn_codes_depend_on_no_vectors_and_no_threads() -> None:
    recipe = CodeRecipe(method="random", levels=2, size=16)
    with limits.threads(1):
        one = make(recipe, encoder=None, revision=None, key=None)
    with limits.threads(2):
        assert make(recipe, encoder="minilm", key="k").hash == one.hash
    assert one.about["vectors"] is None
    assert find_codes(recipe, shop(), None) == one.folder


def test_other_rows_than_the_recipe_says_are_a_defect() -> None:
    with pytest.raises(ValueError, match="learned from all items, and other rows given"):
        make(learn_rows=np.arange(3))
    with pytest.raises(ValueError, match="learned from train items"):
        make(RECIPE.model_copy(update={"learned_from": "train"}))
    with pytest.raises(ValueError, match="need an encoder and the key"):
        make(key=None)


def test_vectors_that_are_no_numbers_leave_nothing_behind() -> None:
    wrong = vectors()
    wrong[7, 2] = np.nan
    with pytest.raises(DataError, match="the vector of an item holds NaN") as error:
        make(vectors=wrong)
    assert error.value.where == "row 7 of 60"
    assert not list(codes_folder().iterdir())


def test_vectors_of_another_catalogue_are_refused() -> None:
    with pytest.raises(DataError, match="there are 59 vectors and 60 items"):
        make(vectors=vectors(59))


def test_settings_of_another_method_are_refused() -> None:
    with pytest.raises(UsageError, match="codes by rk-means have no setting 'iteration'") as error:
        make(RECIPE.model_copy(update={"settings": {"iteration": 1}}))
    assert error.value.fix == "did you mean iterations?"


def test_more_items_than_paths_is_said_and_told_apart() -> None:
    said: list[str] = []
    made = make(CodeRecipe(method="rk-means", levels=1, size=4), progress=said.append)
    assert "60 items share 4 paths: a code more tells them apart" in said
    assert len(np.unique(made.ids.values, axis=0)) == N


def test_an_interrupted_training_goes_on_to_the_same_codes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {
        "hidden": [8],
        "latent": 3,
        "epochs": 4,
        "warmup": 2,
        "batch_size": 32,
    }
    recipe = CodeRecipe(method="rq-vae", levels=2, size=4, settings=settings)
    at_once = make_ids(recipe, vectors(), N).values
    epoch, done = rq_vae_training._epoch, list[int]()

    def cut_off(training: Any) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return epoch(training)

    monkeypatch.setattr(rq_vae_training, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(rq_vae_training, "_epoch", cut_off)
    with pytest.raises(KeyboardInterrupt):
        make(recipe)
    left = list(codes_folder().glob("*.fit.safetensors"))
    assert len(left) == 1

    def counted(training: Any) -> Any:
        done.append(1)
        return epoch(training)

    monkeypatch.setattr(rq_vae_training, "_epoch", counted)
    made = make(recipe)
    assert len(done) == settings["epochs"] + settings["warmup"]  # none was done twice
    np.testing.assert_array_equal(made.ids.values, at_once)
    assert not left[0].exists()


def test_damaged_codes_are_made_again_and_it_is_said() -> None:
    first = make()
    path = first.folder / "codes.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    said: list[str] = []
    again = make(progress=said.append)
    np.testing.assert_array_equal(again.ids.values, first.ids.values)
    assert said[0].startswith("kept codes are made again: the codes are damaged: codes.safetensors")


# ------------------------------------------------------------------------------- several processes


_ASK = """
import sys, time
import numpy as np, polars as pl
from tastebench.build.codes import make_codes
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.items.semantic_ids import ids
from tastebench.items.semantic_ids.recipe import CodeRecipe

make_ids, calls, said = ids.make_ids, [], []

def slow(*args, **more):
    calls.append(args)
    time.sleep(1.5)
    return make_ids(*args, **more)

ids.make_ids = slow
items = pl.DataFrame({"item_id": list("abcdefgh")})
events = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "time": [1000]})
card = DatasetCard(name="shop", title="Shop")
shop = Dataset.create(card, Tables(items=items, interactions=events))
print("ready", flush=True)
sys.stdin.readline()
recipe = CodeRecipe(method="random", levels=2, size=4)
made = make_codes(recipe, shop, None, encoder=None, revision=None, key=None, progress=said.append)
print(made.hash, len(calls), *said, sep="|")
"""


def test_processes_that_ask_for_the_same_codes_make_them_once(home: Path) -> None:
    workers = [start(_ASK) for _ in range(3)]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    found = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        out, _ = worker.communicate(timeout=100)
        assert worker.returncode == 0
        found.append(out.strip().split("|"))
    assert len({hash_ for hash_, *_ in found}) == 1
    assert sorted(calls for _, calls, *_ in found) == ["0", "0", "1"]
    for _, calls, *said in found:
        if calls == "0":
            assert said == ["another process makes the same: waiting for it"]
    assert not list(codes_folder().glob(".*"))


_HOLD = """
import sys
from pathlib import Path
from tastebench.alone import alone

with alone(Path(sys.argv[1]), lambda: None):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_kill_lets_go(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    holder = start(_HOLD, str(lock))
    assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
    holder.kill()
    holder.communicate(timeout=30)
    with alone(lock, lambda: pytest.fail("nobody is there")) as waited:
        assert not waited
    assert not lock.exists()


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that runs this code."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_error_lets_go(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with pytest.raises(RuntimeError), alone(lock, lambda: None):
        raise RuntimeError
    with alone(lock, lambda: pytest.fail("nobody is there")):
        assert lock.exists()


# --------------------------------------------------------------------------------------- progress


def test_what_is_quick_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("tastebench.build.progress.time.monotonic", lambda: clock[0])
    said: list[str] = []
    tell: Callable[[str], None] = now_and_then(said.append, 2.0)
    for second, line in ((0.0, "a"), (1.9, "b"), (2.0, "c"), (3.0, "d"), (4.1, "e")):
        clock[0] = 100.0 + second
        tell(line)
    assert said == ["c", "e"]


def test_numbers_are_told_by_name() -> None:
    assert codes._told({"level": 2, "error": 0.123456}) == "level 2, error 0.1235"


def test_the_hash_is_that_of_what_is_written(home: Path) -> None:
    made = make()
    about = json.loads((made.folder / "codes.json").read_text(encoding="utf-8"))
    assert about["hash"] == made.folder.name == made.hash
