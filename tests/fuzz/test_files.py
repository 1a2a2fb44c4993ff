"""Files and folders that are read back: plans, records, tables, codes, questions, vectors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import strategies as st

from tastebench.board.agreement import read_ranking
from tastebench.board.load import Entry
from tastebench.build.codes import make_codes
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.provenance import Provenance
from tastebench.data.questions import artefact as questions
from tastebench.data.schema import Tables
from tastebench.encoders import get_encoder
from tastebench.encoders.cost import ShardCost
from tastebench.encoders.matrix import read_matrix
from tastebench.encoders.shards import DiskShards
from tastebench.encoders.vectors import encode_items
from tastebench.files import hash_file
from tastebench.items.semantic_ids import artefact as codes
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.lm.answers import Answer, Token
from tastebench.lm.calls import Call, Calls, read_calls
from tastebench.lm.spending import Usage
from tastebench.lm.transcript import Transcript, read_transcript, write_transcript
from tastebench.runs.lock import Lock
from tastebench.runs.plan import load_plan
from tastebench.runs.record import Record
from tastebench.training.kept import keep, read_kept

Fuzz = Callable[..., None]
Survives = Callable[..., Any]
Bent = Callable[[bytes], st.SearchStrategy[bytes]]


@pytest.fixture
def bend(fuzz: Fuzz, survives: Survives, bent: Bent) -> Callable[..., None]:
    """`bend(path, read)` reads a file that is bent again and again, and puts it back."""

    def run(
        path: Path,
        read: Callable[[], Any],
        after: Callable[[], None] | None = None,
        few: int = 20,
    ) -> None:
        good = path.read_bytes()

        def check(content: bytes) -> None:
            path.write_bytes(content)
            if after is not None:
                after()
            survives(read)

        kept = {other: other.read_bytes() for other in path.parent.glob("*.json")}
        try:
            assert survives(read) is not None, "the file is not valid to begin with"
            fuzz(bent(good), check, few)
        finally:
            path.write_bytes(good)
            for other, content in kept.items():
                other.write_bytes(content)

    return run


@pytest.fixture
def shop() -> Dataset:
    n = 12
    tables = Tables(
        items=pl.DataFrame(
            {"item_id": [f"i{i}" for i in range(n)], "title": [f"lamp {i % 5}" for i in range(n)]}
        ),
        interactions=pl.DataFrame(
            {
                "user_id": [f"u{i % 4}" for i in range(40)],
                "item_id": [f"i{i * 7 % n}" for i in range(40)],
                "time": np.arange(40) * 1000,
                "row": np.arange(40),
            }
        ),
        arrays={"graph": np.arange(12, dtype=np.float32)},
    )
    made = Provenance("summary", ("title",), "a model", "0" * 64, rows=np.arange(5))
    dataset = Dataset.create(DatasetCard(name="shop", title="Shop"), tables, {"notes": ["ü"]})
    return Dataset(dataset.card, dataset.tables, dataset.fingerprint, dataset.manifest, (made,))


# ---------------------------------------------------------------------------------------- plans

PLAN = b"""name: study
datasets: [storefront, {name: ./shop, raw: ./raw}]
tasks: [seqrec, cf]
encoders: [minilm, random]
recommenders:
  - popularity
  - {name: unisrec, params: {lr: 1e-3}, representations: [vector]}
grid: {lr: [1e-3, 3e-4]}
protocol: {seqrec: {history_length: 20, split: {kind: time, ratios: [0.8, 0.1, 0.1]}}}
codes: [{method: rq-vae, levels: 3, size: 64}]
seeds: [0, 1]
"""


def test_a_bent_plan(tmp_path: Path, bend: Callable[..., None]) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(PLAN)
    bend(path, lambda: load_plan(path), few=150)


SETTINGS = st.one_of(
    st.text(max_size=30), st.sampled_from(["seeds=[1", "a.b.c={x: y}", "seeds.0=1", "=", "name={}"])
)


def test_settings_of_any_text(tmp_path: Path, fuzz: Fuzz, survives: Survives) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(PLAN)
    fuzz(SETTINGS, lambda text: survives(lambda: load_plan(path, [text])), 60)


ALIASES = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
NASTY_YAML = {
    "aliases": f"name: x\n{ALIASES}",
    "aliases in a value": f"name: x\ngrid:\n  {ALIASES.replace(chr(10), chr(10) + '  ')}",
    "an alias of itself": "&a {name: x, grid: *a}",
    "a list of itself": "name: x\ngrid: {lr: &a [*a]}",
    "depth": "name: " + "[" * 5_000,
    "depth of maps": "{a: " * 5_000,
    "depth of lines": "".join(" " * i + "a:\n" for i in range(3000)),
    "a long number": "name: x\nseeds: [" + "9" * 100_000 + "]",
    "a sexagesimal number": "seeds: [" + ":".join(["1"] * 5_000) + "]",
    "a date that is none": "name: 2020-99-99",
    "keys that are lists": "? [a, b]\n: 1",
    "keys that are maps": "{{a: b}: c}",
    "a merge of a text": "<<: x",
    "merges": "a: &a {b: 1}\nc: {<<: [*a, *a]}",
    "python": "!!python/object/apply:os.system [ls]",
    "binary": "name: !!binary ////",
    "a set": "seeds: !!set {1, 2}",
    "two documents": "name: a\n---\nname: b",
    "NUL": "name: a\0b",
    "surrogates": 'name: "\\ud800"',
    "a timestamp": "seeds: [2001-12-14t21:59:43.10-05:00]",
    "an int in base 2": "seeds: [0b" + "1" * 70_000 + "]",
    "infinity": "name: x\nlatency_seconds: .inf",
    "not a number": "name: x\nlatency_seconds: .nan",
}


@pytest.mark.parametrize("text", NASTY_YAML.values(), ids=NASTY_YAML)
def test_plans_built_to_break(
    tmp_path: Path, survives: Survives, quick: Callable[..., Any], text: str
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    assert quick(lambda: survives(lambda: load_plan(path))) is None


def test_a_bent_lock(tmp_path: Path, bend: Callable[..., None]) -> None:
    path = tmp_path / "lock.json"
    lock = {
        "datasets": {"a": {"fingerprint": "0" * 64, "files": {"x.csv": "1" * 64}}},
        "models": {"m": {"revision": None, "files": {}}},
        "codes": {},
    }
    path.write_text(json.dumps(lock))
    bend(path, lambda: Lock.read(path), few=60)


def test_a_bent_prompt(tmp_path: Path, bend: Callable[..., None]) -> None:
    from tastebench.recommenders.llm import prompt

    shipped = Path(prompt.__file__).parent / "prompts" / "yes-no-v1.yaml"
    path = tmp_path / "own.yaml"
    path.write_bytes(shipped.read_bytes())
    bend(path, lambda: prompt.get_prompt(str(path)), few=100)


@pytest.mark.parametrize("text", NASTY_YAML.values(), ids=NASTY_YAML)
def test_prompts_built_to_break(
    tmp_path: Path, survives: Survives, quick: Callable[..., Any], text: str
) -> None:
    from tastebench.recommenders.llm.prompt import get_prompt

    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    assert quick(lambda: survives(lambda: get_prompt(str(path)))) is None


# ------------------------------------------------------------------------------------- datasets


def test_a_bent_dataset(tmp_path: Path, bend: Callable[..., None], shop: Dataset) -> None:
    folder = tmp_path / "shop"
    shop.save(folder)

    def read() -> Dataset:
        dataset = Dataset.load(folder, verify=True)
        dataset.events()
        return dataset

    names = sorted(path.name for path in folder.iterdir())
    assert {"dataset.json", "graph.npy", "items.parquet", "provenance-0.npy"} <= set(names)
    for name in names:
        bend(folder / name, read, few=60 if name == "dataset.json" else 25)


# -------------------------------------------------------------------------------------- records


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """The folder of a record of an older version, kept for reading, with tables beside it."""
    kept = Path(__file__).parents[1] / "board" / "old_records"
    source = sorted(kept.rglob("record.json"))[0].parent
    folder = tmp_path / "record"
    shutil.copytree(source, folder)
    n = 9
    pl.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(n)],
            "ndcg@10": np.linspace(0, 1, n),
            "group": ["a"] * n,
        }
    ).write_parquet(folder / "per_user.parquet")
    pl.DataFrame({"epoch": [0, 1], "loss": [2.0, None], "valid": [0.1, 0.2]}).write_parquet(
        folder / "curves.parquet"
    )
    return folder


def test_a_bent_record(record: Path, bend: Callable[..., None]) -> None:
    path = record / "record.json"
    bend(path, lambda: Record.read(path), few=100)


def test_bent_tables_beside_a_record(record: Path, bend: Callable[..., None]) -> None:
    entry = Entry(Record.read(record / "record.json"), record)
    bend(record / "per_user.parquet", lambda: entry.units(["ndcg@10"]), few=60)
    bend(record / "curves.parquet", lambda: entry.table("curves.parquet"), few=40)
    bend(record / "per_user.parquet", lambda: entry.table("per_user.parquet", ["u1"]), few=40)


def test_a_bent_ranking(tmp_path: Path, bend: Callable[..., None]) -> None:
    path = tmp_path / "ranks.csv"
    path.write_text('model,rank\n"minilm, small",1\nrandom,2.5\n')
    bend(path, lambda: read_ranking(path), few=80)


# ------------------------------------------------------------------------------- codes, questions


def rehashed(folder: Path, about: str, names: list[str]) -> Callable[[], None]:
    """Whoever bends a file can write its checksum too."""

    def run() -> None:
        value = json.loads((folder / about).read_text())
        value["files"] = {name: hash_file(folder / name) for name in names}
        (folder / about).write_text(json.dumps(value))

    return run


def test_bent_codes(tmp_path: Path, bend: Callable[..., None], shop: Dataset) -> None:
    recipe = CodeRecipe(method="rk-means", levels=2, size=4)
    vectors = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    folder = make_codes(recipe, shop, vectors, encoder="e", revision="1", key="k" * 32).folder
    names = [codes.TENSORS, codes.ITEMS]
    bend(folder / "codes.json", lambda: codes.load(folder, shop), few=80)
    for name in names:
        bend(folder / name, lambda: codes.load(folder, shop), few=10)
        again = rehashed(folder, "codes.json", names)
        bend(folder / name, lambda: codes.load(folder, shop), again, few=60)


def test_bent_questions(tmp_path: Path, bend: Callable[..., None], home: Path) -> None:
    from tastebench.build.questions import make_questions
    from tastebench.data.catalog import load_dataset
    from tastebench.data.questions import QuestionSpec

    folder = tmp_path / "questions"
    made = make_questions(load_dataset("storefront"), QuestionSpec(), lambda line: None)
    questions.copy(made, folder)
    path = folder / questions.TABLE
    table = pl.read_parquet(path).head(20)
    table.write_parquet(path)
    again = rehashed(folder, questions.ABOUT, [questions.TABLE])
    again()
    bend(folder / questions.ABOUT, lambda: questions.load(folder), few=80)
    bend(path, lambda: questions.load(folder), few=10)
    bend(path, lambda: questions.load(folder), again, few=60)


# -------------------------------------------------------------------------- vectors and weights


def test_bent_vectors(home: Path, bend: Callable[..., None]) -> None:
    encode_items(get_encoder("random"), ["a", "b", "c"], recipe="title")
    (folder,) = (home / "vectors").iterdir()
    single = np.dtype(np.float32)
    (path,) = folder.glob("*.npy")
    (about,) = (one for one in folder.glob("*.json") if one.name != "identity.json")

    def again() -> None:
        value = json.loads(about.read_text())
        about.write_text(json.dumps({**value, "sha256": hash_file(path)}))

    bend(about, lambda: read_matrix(folder, about.stem, 3, single), few=80)
    bend(path, lambda: read_matrix(folder, about.stem, 3, single), again, few=80)


def test_a_bent_shard(tmp_path: Path, bend: Callable[..., None]) -> None:
    store = DiskShards(tmp_path)
    store.write("key", np.ones((3, 4), np.float32), ShardCost(1.0, 3, 9, 10, "cpu", "float32"))
    bend(store.path("key"), lambda: store.read("key", 3), few=150)


def test_a_bent_model(tmp_path: Path, bend: Callable[..., None]) -> None:
    path = tmp_path / "model.safetensors"
    keep([torch.nn.Linear(3, 2)], path, {"name": "m"})
    bend(path, lambda: read_kept(path), few=150)


def test_bent_words_and_weights_of_an_encoder(tmp_path: Path, bend: Callable[..., None]) -> None:
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "model2vec", "normalize": true}')
    Tokenizer(WordLevel({"?": 0, "a": 1}, unk_token="?")).save(str(folder / "tokenizer.json"))
    weights = {"embeddings": np.ones((2, 3), np.float32), "weights": np.ones(2, np.float32)}
    save_file({**weights, "mapping": np.arange(2)}, folder / "model.safetensors")
    for name, few in (("config.json", 60), ("tokenizer.json", 80), ("model.safetensors", 80)):
        bend(folder / name, lambda: get_encoder(folder).encode(["a b", ""]), few=few)


# ------------------------------------------------------------------------------------- answers

CALL = Call.of(
    "k", "p", Answer("yes ü", "stop", Usage(1), None, (Token("yes", -0.1, (("yes", -0.1),)),))
)


def test_bent_calls(tmp_path: Path, bend: Callable[..., None]) -> None:
    path = tmp_path / "calls.jsonl"
    with Calls(path) as kept:
        kept.add(CALL)
    assert asdict(read_calls(path)["k"]) == asdict(CALL)
    bend(path, lambda: read_calls(path), few=120)


def test_a_bent_transcript(tmp_path: Path, bend: Callable[..., None]) -> None:
    path = tmp_path / "calls.jsonl.zst"
    transcript = Transcript()
    for i in range(3):
        transcript.add(i, (i,), [{"role": "user", "content": f"is it {i}?"}], CALL, "yes")
    write_transcript(path, transcript, lambda rows: rows, lambda rows: rows)
    bend(path, lambda: list(read_transcript(path)), few=120)
