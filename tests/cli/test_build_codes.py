"""`tastebench build codes` and `tastebench inspect` as a person meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench import cli
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import dataset_folder, load_dataset
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.encoders import encode_items, get_encoder
from tastebench.encoders.controls import RandomEncoder
from tastebench.items.semantic_ids.artefact import load
from tastebench.items.semantic_ids.ids import make_ids
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.runs import limits
from tastebench.runs.material import item_words

N = 60
SMALL = ("--levels", "2", "--size", "4")


def save_shop(name: str, n: int = N, **more: Any) -> Dataset:
    """Titles, one of which moves the cursor."""
    ids = [f"s{i}" for i in range(n)]
    nouns = ["shirt", "lamp", "book", "cup"]
    titles = [f"{nouns[i % 4]} number {i}" for i in range(n)]
    titles[0] = "\x1b[2Jshirt number 0"
    items = pl.DataFrame({"item_id": ids, "title": titles})
    events = pl.DataFrame({"user_id": ["u"] * 3, "item_id": ids[:3], "time": [1, 2, 3]})
    card = DatasetCard(name=name, title="Shop", text_columns=("title",), **more)
    dataset = Dataset.create(card, Tables(items=items, interactions=events))
    dataset.save(dataset_folder(name))
    return dataset


@pytest.fixture
def shop(home: Path) -> Dataset:
    return save_shop("my-shop")


class Call:
    """A command and what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = cli.main(arguments)
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


def build(capsys: pytest.CaptureFixture[str], *arguments: str) -> Call:
    return Call(capsys, "build", "codes", "-d", "my-shop", *arguments)


def test_codes_are_made_and_told(shop: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    done = build(capsys, "-e", "random", *SMALL)
    assert done.code == 0, done.err
    for line in (
        "Semantic ids of my-shop",
        "60 items; rk-means, 2 levels of 4 codes, and up to ",
        "distinct paths",
        "collision rate",
        "Largest groups with one path, told apart by a code more",
        "Items by how their paths begin",
    ):
        assert line in done.out
    assert "perplexity" in done.out and "4 of 4" in done.out
    assert "\x1b" not in done.out  # titles of a shop move no cursor
    assert max(map(len, done.out.splitlines())) <= 100
    assert "60 items share 16 paths: a code more tells them apart" in done.err
    assert "next:  tastebench inspect " in done.err


def test_json_is_one_object_with_the_numbers(
    shop: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    found = build(capsys, "-e", "random", *SMALL, "--set", "iterations=3", "--json").json
    artefact = load(Path(found["folder"]), shop)
    assert artefact.hash == found["hash"]
    assert found["recipe"]["settings"]["iterations"] == 3
    paths = len(np.unique(artefact.ids.values[:, :2], axis=0))
    assert found["quality"]["collision_rate"] == pytest.approx(1 - paths / N)
    largest = found["collisions"][0]
    assert largest["n"] == found["quality"]["largest_group"]
    assert all(item["path"][:2] == largest["prefix"] for item in largest["items"])
    assert found["prefixes"][0]["items"][0]["title"].startswith(("shirt", "lamp", "book", "cup"))


def test_the_codes_are_those_of_the_vectors_that_a_run_would_have(
    shop: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    found = build(capsys, "-e", "random", *SMALL, "--seed", "5", "--json").json
    recipe = CodeRecipe(method="rk-means", levels=2, size=4, seed=5)
    words = item_words(shop, None)
    encoded = encode_items(get_encoder("random"), words, recipe=shop.card.text_recipe)
    with limits.threads(1):
        expected = make_ids(recipe, encoded.vectors, N)
    np.testing.assert_array_equal(load(Path(found["folder"])).ids.values, expected.values)
    assert found["vectors"]["key"] == encoded.key


def test_the_same_again_is_found(
    shop: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(capsys, "-e", "random", *SMALL, "--json").json
    monkeypatch.setattr(RandomEncoder, "encode", None)
    monkeypatch.setattr("tastebench.items.semantic_ids.ids.make_ids", None)
    assert build(capsys, "-e", "random", *SMALL, "--json").json == first


@pytest.mark.parametrize("method", ["product", "random"])
def test_other_methods(method: str, shop: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    done = build(capsys, "-e", "random", "--method", method, *SMALL, "--json")
    assert done.json["recipe"]["method"] == method
    said = "random codes are drawn: random is not read"
    assert (said in done.err) == (method == "random")


def test_ties_always_and_the_output_folder(
    shop: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "codes"
    arguments = ["-e", "random", *SMALL, "--ties", "always", "-o", str(out), "--json"]
    found = build(capsys, *arguments).json
    assert found["folder"] == str(out)
    assert (load(out, shop).ids.values >= 0).all()
    assert build(capsys, *arguments).json == found
    done = build(capsys, "-e", "random", "--levels", "3", "--size", "4", "-o", str(out))
    assert done.code == 2
    assert "other codes are here, and they stay" in done.err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    done = build(capsys, "-e", "random", "-o", str(tmp_path / "mine"))
    assert done.code == 2
    assert "there is something else here, and it stays" in done.err


def test_a_dry_run_makes_nothing(
    shop: Dataset, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    before = sorted(home.rglob("*"))
    done = build(capsys, "-e", "random", *SMALL, "--dry-run")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "codes rk-means-2x4 of my-shop: 60 items",
        "vectors by random: 60 texts to encode",
        "codes: to make",
    ]
    assert sorted(home.rglob("*")) == before
    made = build(capsys, "-e", "random", *SMALL, "--json").json
    again = build(capsys, "-e", "random", *SMALL, "--dry-run", "--json").json
    assert again == {"encoder": "random", "absent": None, "to_encode": 0, "folder": made["folder"]}
    # With other codes the vectors are there.
    other = build(capsys, "-e", "random", "--levels", "3", "--size", "4", "--dry-run")
    assert other.out.splitlines()[1:] == ["vectors by random: encoded", "codes: to make"]
    drawn = build(capsys, "--method", "random", "--dry-run", "--json").json
    assert drawn == {"encoder": None, "absent": None, "to_encode": 0, "folder": None}
    learnt = build(capsys, "-e", "tfidf-svd", "--dry-run", "--json").json
    assert learnt["to_encode"] == 60
    shuffled = build(capsys, "-e", "shuffled:tfidf-svd", "--dry-run", "--json").json
    assert shuffled["to_encode"] == 60


def test_a_dry_run_fetches_no_encoder(shop: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    done = build(capsys, "-e", "sentence-transformers/never-heard-of", "--dry-run")
    assert done.code == 0, done.err
    assert "never-heard-of is not here, and would be fetched: " in done.out


def test_a_dry_run_says_what_is_paid(
    shop: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    done = build(capsys, "-e", "openai:text-embedding-3-small", "--dry-run")
    assert done.code == 0, done.err
    assert "to ask of openai:text-embedding-3-small: about " in done.out
    assert "in 60 texts" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-e", "minlm"], "unknown encoder 'minlm': did you mean minilm"),
        ([], "codes by rk-means are made of item vectors, and no encoder is named"),
        (["-e", "random", "--method", "rq"], "--method"),
        (["-e", "random", "--levels", "0"], "--levels"),
        (["-e", "random", "--set", "iterations"], "cannot read 'iterations'"),
        (["-e", "random", "--set", "iteration=3"], "no setting 'iteration' fix: did you mean iter"),
        (["-e", "random", "--set", "iterations=many"], "iterations of codes by rk-means cannot be"),
        (["-e", "random", "--set", "iterations=[1"], "not valid YAML"),
        (
            ["-e", "random", "--text-recipe", "titel"],
            "unknown text recipe 'titel': did you mean ti",
        ),
        (["-e", "random", "-d", "my-shp"], "unknown dataset 'my-shp': did you mean my-shop"),
        (["-e", "random", "--page", "/dev/null/x.html"], "cannot write the page"),
    ],
)
def test_what_cannot_be_meant(
    arguments: list[str], message: str, shop: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    done = build(capsys, *arguments)
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert done.out == ""


def test_a_dataset_without_text_has_no_vectors(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = pl.DataFrame({"item_id": ["a", "b"]})
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "time": [1000]})
    bare = Dataset.create(
        DatasetCard(name="bare", title="B"), Tables(items=items, interactions=events)
    )
    bare.save(dataset_folder("bare"))
    for more in ([], ["--dry-run"]):
        done = Call(capsys, "build", "codes", "-d", "bare", "-e", "random", *more)
        assert done.code == 2
        assert "the items have no column title to make text of" in done.err
        assert "where: dataset bare, text recipe " in done.err
        assert "another --text-recipe, or --method random, which reads no text" in done.err
    drawn = Call(capsys, "build", "codes", "-d", "bare", "--method", "random", "--json")
    assert drawn.json["prefixes"] == []


def test_help_needs_no_numpy() -> None:
    code = (
        "import sys, tastebench.cli as cli; cli.main(sys.argv[1:]); print(*sys.modules, sep='\\n')"
    )
    for verb in (["build", "codes"], ["inspect"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *verb, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = set(done.stdout.splitlines())
        assert "tastebench.cli.build_codes" in loaded
        assert done.stdout[done.stdout.index("Examples:") :].count("\n  tastebench ") >= 3
        assert not loaded & {"numpy", "torch", "polars", "jinja2", "rich.table"}


def test_ctrl_c_says_how_to_go_on(shop: Dataset, home: Path) -> None:
    code = """
import sys, time
from tastebench.build import codes
from tastebench.cli import main

def slow(*args, **more):
    print("making", flush=True)
    time.sleep(60)

codes._make = slow
sys.exit(main(sys.argv[1:]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, "build", "codes", "-d", "my-shop", "-e", "random", *SMALL],
        env={**os.environ, "TASTEBENCH_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "making\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; vectors and epochs done are kept. To go on:\n  tastebench " in err
    assert "build codes -d my-shop -e random" in err
    assert "Traceback" not in err
    assert list(home.glob("vectors/random-*"))
    assert not list((home / "artefacts" / "codes").iterdir())


# ----------------------------------------------------------------------------------------- inspect


@pytest.fixture
def made(shop: Dataset, capsys: pytest.CaptureFixture[str]) -> Path:
    """Codes of the shop."""
    return Path(build(capsys, "-e", "random", *SMALL, "--json").json["folder"])


def test_an_item_with_its_path_and_neighbours(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = load(made).ids.values
    path = "-".join(str(code) for code in values[1] if code >= 0)
    for name in ("s1", "lamp number 1"):
        done = Call(capsys, "inspect", str(made), "--item", name)
        assert done.code == 0, done.err
        lines = done.out.splitlines()
        assert lines[:2] == ["lamp number 1  s1", f"path  {path}"]
        same = int((values[:, :2] == values[1, :2]).all(axis=1).sum()) - 1
        assert f"{values[1, 0]}-{values[1, 1]}  {same} others share the whole path" in lines
        alike = int((values[:, 0] == values[1, 0]).sum()) - 1 - same
        assert f"{values[1, 0]}  {alike} others share the first code and no more" in lines
    found = Call(capsys, "inspect", str(made), "--item", "s1", "--json").json
    assert found["item"] == {
        "item_id": "s1",
        "path": [int(code) for code in values[1] if code >= 0],
        "title": "lamp number 1",
    }
    assert [group["n"] for group in found["neighbours"]] == [same, alike]


def test_a_prefix_with_its_items(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = load(made).ids.values
    n = int((values[:, 0] == 2).sum())
    done = Call(capsys, "inspect", str(made), "--prefix", "2")
    assert done.out.splitlines()[0] == f"2  {n} items"
    found = Call(capsys, "inspect", str(made), "--prefix", "2", "--json").json["prefix"]
    assert found["n"] == n == sum(child["n"] for child in found["children"])
    both = Call(capsys, "inspect", str(made), "--prefix", "2", "--item", "s1", "--json").json
    assert set(both) == {"item", "neighbours", "prefix"}


def test_without_either_it_tells_how_good_they_are(
    made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "codes.html"
    done = Call(capsys, "inspect", str(made), "--page", str(page))
    assert "collision rate" in done.out
    assert "lamp number 1" in page.read_text(encoding="utf-8")
    assert Call(capsys, "inspect", str(made), "--json").json["hash"] == made.name


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--item", "lamp number 11x"], 2, "no item 'lamp number 11x': did you mean lamp number "),
        (["--item", "lamp"], 2, "the titles of 15 items hold 'lamp': s1 lamp number 1; "),
        (["--prefix", "9"], 2, "level 1 has no code 9"),
        (["--prefix", "x"], 2, "'x' is no prefix of a path"),
        (["-d", "other"], 4, "these codes are not of the items of other in their order, but of my"),
        (["-d", "my-shp"], 2, "did you mean my-shop"),
    ],
)
def test_what_cannot_be_shown(
    arguments: list[str],
    code: int,
    message: str,
    made: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_shop("other", N - 1)
    done = Call(capsys, "inspect", str(made), *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in " ".join(done.err.split())


def test_no_artefact_and_a_damaged_one(
    made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = Call(capsys, "inspect", str(tmp_path))
    assert done.code == 4
    assert "there are no semantic ids here" in done.err
    path = made / "codes.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    done = Call(capsys, "inspect", str(made))
    assert done.code == 4
    assert "the codes are damaged: codes.safetensors: its checksum is not" in done.err
    assert "make the codes again: tastebench build codes --dataset my-shop" in done.err
    # And doing so is enough.
    assert build(capsys, "-e", "random", *SMALL).code == 0
    assert Call(capsys, "inspect", str(made)).code == 0


def test_a_folder_of_something_else_is_left_alone(
    shop: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "codes.json").write_text('{"folder": "x"}')
    done = Call(capsys, "inspect", str(tmp_path))
    assert done.code == 4 and "of something else than semantic ids" in done.err
    assert "delete" not in done.err
    done = build(capsys, "--method", "random", *SMALL, "-o", str(tmp_path))
    assert done.code == 2 and "there is something else here, and it stays" in done.err
    assert (tmp_path / "codes.json").read_text() == '{"folder": "x"}'


def test_the_file_that_says_what_it_is_stands_for_its_folder(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Call(capsys, "inspect", str(made / "codes.json"), "--json").json["hash"] == made.name


def test_codes_whose_dataset_is_elsewhere(
    made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = dataset_folder("my-shop").rename(tmp_path / "elsewhere")
    done = Call(capsys, "inspect", str(made), "--item", "s1")
    assert done.out.splitlines()[0] == "s1  s1"
    assert "no titles: the dataset my-shop is not here" in done.err
    done = Call(capsys, "inspect", str(made), "--item", "s1", "-d", str(folder))
    assert done.out.splitlines()[0] == "lamp number 1  s1"
    assert load_dataset(folder).name == "my-shop"
