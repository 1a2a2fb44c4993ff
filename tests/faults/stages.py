"""The stages of a study, small, each to be carried out in a process that may be killed.

A stage works below a folder of its own and returns what has to come out the same, whatever happened
before. `prepare` makes what a stage needs to begin with, undisturbed.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import altair  # noqa: F401 - what stages load late is loaded once for all children
import jinja2  # noqa: F401
import numpy as np
import polars as pl
import scipy.stats  # noqa: F401
import tokenizers  # noqa: F401
import torch
import transformers.models.qwen2.modeling_qwen2  # noqa: F401

import tastebench as tb
import tastebench.api
import tastebench.board.report
import tastebench.build.lm
import tastebench.build.lm_tokens
import tastebench.runs.warm
from kills import Killer
from tastebench import files
from tastebench.board.report import bundles
from tastebench.contracts import Role
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder, load_dataset
from tastebench.data.dataset import Dataset
from tastebench.data.download import fetch
from tastebench.data.importer import import_dataset, save_imported
from tastebench.data.prepare import Filters, prepare
from tastebench.data.schema import Tables
from tastebench.encoders import vectors as vectors_module
from tastebench.items.semantic_ids import rq_vae_training
from tastebench.recommenders import get_recommender
from tastebench.runs import processes
from tastebench.runs.job import Surroundings
from tastebench.training.fit import FabricTrainer

Stage = Callable[[Path, Killer, dict[str, Any]], Any]

N_ITEMS, N_USERS, N_EVENTS = 40, 30, 8
WORDS = ("red", "lamp", "steel", "kettle", "wool", "socks", "tent", "chair")


def carry_out(order: dict[str, Any]) -> None:
    """One order: prepare a stage, or carry it out and perhaps die in it.

    What came out and the events are left beside the root, in `ROOT.json`.
    """
    root = Path(order["root"])
    os.environ["TASTEBENCH_HOME"] = str(root / "home")
    torch.set_num_threads(1)
    killer = Killer(root, order.get("at"), half=order.get("half", False))
    if order["do"] == "prepare":
        root.mkdir(parents=True)
        PREPARED.get(order["stage"], lambda root: None)(root)
        return
    _every_state(killer)
    killer.install()
    outcome = STAGES[order["stage"]](root, killer, order)
    killer.end()
    told = json.dumps({"outcome": outcome, "events": killer.events}, sort_keys=True)
    root.with_name(f"{root.name}.json").write_text(told)


def _every_state(killer: Killer) -> None:
    """State is saved after every epoch, not every five seconds, and epochs are counted.

    Shards are small, so that a catalogue of 40 items has some.
    """
    vectors_module.CAPACITY = 16
    before = FabricTrainer.__init__

    @functools.wraps(before)
    def always(self: FabricTrainer, *args: Any, **options: Any) -> None:
        before(self, *args, **{**options, "save_every": 0.0})

    FabricTrainer.__init__ = always  # type: ignore[method-assign]
    epoch = FabricTrainer._epoch

    def counted(self: FabricTrainer, *args: Any) -> None:
        killer.unit("epochs")
        epoch(self, *args)

    FabricTrainer._epoch = counted  # type: ignore[method-assign]


# ------------------------------------------------------------------------------------- the shop


def shop(name: str = "shop", n_items: int = N_ITEMS) -> Dataset:
    """A few items of four kinds and users who favour one kind each."""
    rng = np.random.default_rng(0)
    titles = [f"{WORDS[i % 8]} {WORDS[(3 * i + 1) % 8]} number {i}" for i in range(n_items)]
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(n_items)], "title": titles})
    user = np.repeat(np.arange(N_USERS), N_EVENTS)
    own = rng.integers(n_items // 4, size=len(user)) * 4 + user % 4
    item = np.where(rng.random(len(user)) < 0.7, own, rng.integers(n_items, size=len(user)))
    interactions = pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in user],
            "item_id": [f"i{i}" for i in item],
            "time": 1_600_000_000_000 + rng.integers(10**9, size=len(user)) * 10,
            "row": np.arange(len(user)),
        }
    )
    card = DatasetCard(name=name, title="Shop", text_columns=("title",))
    return Dataset.create(card, Tables(items=items, interactions=interactions))


def _shop_there(root: Path) -> None:
    shop().save(datasets_folder() / "shop")


class Counting:
    """Vectors drawn by the text alone; every text that is encoded counts."""

    def __init__(self, killer: Killer) -> None:
        self.killer = killer

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """float32 `[n, 8]`."""
        self.killer.unit("texts", len(texts))
        seeds = [int.from_bytes(text.encode()[-4:], "big") for text in texts]
        drawn = [np.random.default_rng(seed).normal(size=8) for seed in seeds]
        return np.array(drawn, dtype=np.float32)


# -------------------------------------------------------------------------------------- stages


def download(root: Path, killer: Killer, order: dict[str, Any]) -> Any:
    """Two addresses: an archive to unpack and a plain file."""
    import requests

    chunks = requests.Response.iter_content

    def counted(self: requests.Response, size: int) -> Any:
        for chunk in chunks(self, size):
            killer.unit("chunks")
            yield chunk

    requests.Response.iter_content = counted  # type: ignore[method-assign, assignment]
    found = fetch(DatasetCard.model_validate(order["card"]), folder=root / "raw")
    return {"files": found.files, "how": found.how, "notes": found.notes}


def preparation(root: Path, killer: Killer, order: dict[str, Any]) -> Any:
    """A k-core of a dataset under a new name."""
    made = prepare(load_dataset("shop"), Filters(dedup=True, k_core=2), "cored")
    return _dataset(save_imported(made, replace=True))


def importing(root: Path, killer: Killer, order: dict[str, Any]) -> Any:
    """Files of the user's, over a dataset of that name that is there already."""
    made = import_dataset("mine", root / "items.csv", root / "events.csv")
    return _dataset(save_imported(made, replace=True))


def _files_there(root: Path) -> None:
    dataset = shop()
    dataset.tables.items.write_csv(root / "items.csv")
    assert dataset.tables.interactions is not None
    events = dataset.tables.interactions.select("user_id", "item_id", "time")
    events.write_csv(root / "events.csv")
    shop("mine", 20).save(datasets_folder() / "mine")


def _dataset(folder: Path) -> Any:
    dataset = Dataset.load(folder, verify=True)
    return [dataset.fingerprint, dataset.card.model_dump(mode="json"), dataset.manifest]


def encoding(root: Path, killer: Killer, order: dict[str, Any]) -> Any:
    """A catalogue in several shards."""
    encoder = tb.as_encoder(Counting(killer), "counting", revision="1")
    texts = shop().tables.items["title"].to_list()
    made = vectors_module.encode_items(encoder, texts, recipe="title")
    return [made.key, files.hash_arrays(made.vectors), made.cost.texts]


def codes(root: Path, killer: Killer, order: dict[str, Any]) -> Any:
    """An RQ-VAE, its state saved at every check."""
    from tastebench.build.codes import make_codes
    from tastebench.items.semantic_ids.recipe import CodeRecipe

    rq_vae_training._SAVE_EVERY = 0.0
    epoch = rq_vae_training._epoch

    def counted(training: Any) -> dict[str, float]:
        killer.unit("epochs")
        return epoch(training)

    rq_vae_training._epoch = counted
    settings = {"hidden": [8], "latent": 4, "warmup": 1, "epochs": 4, "check_every": 2}
    recipe = CodeRecipe(method="rq-vae", levels=2, size=4, settings=settings)
    vectors = np.random.default_rng(1).normal(size=(N_ITEMS, 8)).astype(np.float32)
    made = make_codes(recipe, shop(), vectors, encoder="e", revision="1", key="k")
    assert made.ids.quantiser is not None
    learned = made.ids.quantiser.tensors()
    tensors = {name: files.hash_arrays(tensor) for name, tensor in sorted(learned.items())}
    return [made.hash, files.hash_arrays(made.ids.values), tensors, made.about["quality"]]


def language_model(root: Path, killer: Killer, order: dict[str, Any]) -> Any:
    """A language model of two layers, three epochs."""
    from tastebench.build.lm import Order, make_lm
    from tastebench.build.lm_about import LMRecipe, LMSettings
    from tastebench.data.card import SplitSpec
    from tastebench.tasks import TASKS

    dataset = shop()
    split = SplitSpec(kind="last_out")
    recipe = LMRecipe(vocabulary=320, layers=2, hidden_size=16, heads=2, inner_size=24, context=64)
    folder, _ = make_lm(
        Order(
            recipe=recipe,
            settings=LMSettings(epochs=3, batch_size=32, device="cpu"),
            dataset=dataset,
            protocol=TASKS.get("seqrec").protocol(dataset, split=split, history_length=5),
            text_recipe=None,
            seed=0,
            threads=1,
        )
    )
    return {path.name: files.hash_file(path) for path in sorted(folder.iterdir())}


def study(root: Path, killer: Killer, order: dict[str, Any]) -> Any:
    """A plan: encoding, a grid of two trainings, evaluation and the record."""
    _in_this_process()
    shard = vectors_module._encode_shard

    def counted(encoder: Any, texts: Any, role: Any, rows: np.ndarray) -> Any:
        killer.unit("texts", len(rows))
        return shard(encoder, texts, role, rows)

    vectors_module._encode_shard = counted
    plan = {
        "name": "study",
        "datasets": ["shop"],
        "tasks": ["cf"],
        "encoders": ["tfidf-svd"],
        "encoder_controls": [],
        "recommenders": [{"name": "alpharec", "params": {"epochs": 3}}],
        "grid": {"lr": [1e-3, 1e-1]},
        "seeds": [0],
        "latency_seconds": 0,
        "keep_models": True,
    }
    results = tb.run(plan, out=root / "results", workers=1, progress=False)
    return [_recorded(root / "results", record) for record in results.records]


def _in_this_process() -> None:
    """What would be done in processes forked from here is done here, so that it can be killed."""

    def run_all(works: Any, workers: int, listener: Any) -> None:
        for work in works:
            listener.started(work.key)
            work.target(work.argument, Surroundings())
            listener.ended(work.key, None)

    processes.run_all = run_all


_OF_THE_MOMENT = ("cost", "created", "environment", "tables")


def _recorded(out: Path, record: Any) -> Any:
    """All of a record but what depends on the moment, and the tables beside it."""
    from tastebench.runs import store

    folder = store.folder_of(out, record)
    told = record.model_dump(mode="json")
    told = {key: value for key, value in told.items() if key not in _OF_THE_MOMENT}
    told["trials"] = [{**trial, "seconds": 0} for trial in told["trials"]]
    tables = {}
    for path in sorted(folder.glob("*.parquet")):
        frame = pl.read_parquet(path)
        tables[path.name] = frame.drop("seconds", strict=False).rows()
    return [told, tables, sorted(path.name for path in folder.iterdir())]


def _results_there(root: Path) -> None:
    _shop_there(root)
    names = ("popularity", "item-knn")
    plan = {
        "name": "study",
        "datasets": ["shop"],
        "tasks": ["cf"],
        "recommenders": [get_recommender(name) for name in names],
        "latency_seconds": 0,
    }
    assert not tb.run(plan, out=root / "results", progress=False).failed
    (root / "report.html").write_text("<p>an older one</p>")


def report(root: Path, killer: Killer, order: dict[str, Any]) -> Any:
    """The page of finished runs, over an older one."""
    from tastebench.board.report import Options, write_report

    # The bundles of charts take seconds to put together and are the same in every page.
    bundles._vega = lambda: ""
    page = root / "report.html"
    write_report(root / "results", page, Options())
    return files.hash_file(page)


STAGES: dict[str, Stage] = {
    "download": download,
    "preparation": preparation,
    "import": importing,
    "encoding": encoding,
    "codes": codes,
    "language model": language_model,
    "study": study,
    "report": report,
}

PREPARED: dict[str, Callable[[Path], None]] = {
    "preparation": _shop_there,
    "import": _files_there,
    "study": _shop_there,
    "report": _results_there,
}
