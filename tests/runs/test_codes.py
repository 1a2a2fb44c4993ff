"""Semantic ids in a plan: made once, read by whoever reads codes, said in every record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tastebench as tb
from tastebench.data.card import SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.files import write_json
from tastebench.items.semantic_ids.artefact import load
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.runs.codes import CodesJob, MadeCodes, taken_in
from tastebench.runs.record import CodesStep
from tastebench.tasks import TASKS
from tastebench.tasks.seqrec import default_protocol

SID: dict[str, Any] = {"epochs": 1, "hidden_size": 8, "layers": 1, "heads": 1, "beams": 20}
PLAN: dict[str, Any] = {
    "name": "codes",
    "datasets": ["tiny"],
    "tasks": ["seqrec"],
    "encoders": ["tfidf-svd"],
    "codes": ["rk-means-2x8", "random-2x8"],
    "recommenders": [
        {"name": "sid-sasrec", "params": SID},
        {"name": "sid-sasrec", "params": {**SID, "decoding": "free"}},
        "popularity",
    ],
    "row_by": "run",
    "latency_seconds": 0,
}


def run(plan: dict[str, Any], out: Path, workers: int = 1) -> tb.Results:
    return tb.run(plan, out=out, workers=workers, progress=False)


def test_codes_are_made_once_and_every_record_says_which(
    tiny: Dataset, home: Path, tmp_path: Path
) -> None:
    results = run(PLAN, tmp_path / "one")
    assert [record.status for record in results.records] == ["ok"] * 5
    spelt = [record for record in results.records if record.spec.codes is not None]
    made = {folder.name: load(folder, tiny) for folder in (home / "artefacts" / "codes").iterdir()}
    assert {record.fingerprints["codes"] for record in spelt} == set(made) and len(made) == 2
    for record in spelt:
        assert record.cost is not None and record.cost.codes is not None
        artefact = made[record.fingerprints["codes"] or ""]
        assert record.cost.codes.quality == artefact.about["quality"]
        assert artefact.about["recipe"]["method"] == record.spec.codes.method  # type: ignore[union-attr]
        assert record.kind == ("model" if record.spec.encoder else "control")
        assert ("invalid" in record.counts) and record.counts["duplicate"] == 0
    (popular,) = (record for record in results.records if record.spec.codes is None)
    assert popular.cost is not None and popular.cost.codes is None
    assert "codes" not in popular.fingerprints

    again = run(PLAN, tmp_path / "two", workers=2)
    assert [(r.spec_hash, r.metrics, r.counts) for r in again.records] == [
        (r.spec_hash, r.metrics, r.counts) for r in results.records
    ]


def test_free_search_names_paths_of_no_item_and_the_tree_does_not(
    tiny: Dataset, tmp_path: Path
) -> None:
    results = run(PLAN, tmp_path)
    invalid = {
        record.spec.params["decoding"]: record.counts["invalid"]
        for record in results.records
        if record.spec.encoder is not None
    }
    assert invalid["constrained"] == 0 < invalid["free"]


def test_codes_that_cannot_be_made_fail_the_runs_that_read_them(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors that are no numbers: the error stands in the records, and the others go on."""

    class Broken:
        def encode(self, texts: list[str]) -> np.ndarray:
            return np.full((len(texts), 4), np.nan, dtype=np.float32)

    encoder = tb.as_encoder(Broken(), "broken")
    plan = {**PLAN, "encoders": [encoder], "codes": ["rk-means-2x8"]}
    results = run(plan, tmp_path)
    assert [record.status for record in results.records] == ["failed", "failed", "ok"]


def test_what_an_earlier_plan_left_is_taken_where_it_can_be_read(tmp_path: Path) -> None:
    def job(**settings: Any) -> CodesJob:
        recipe = CodeRecipe(method="rq-vae", settings=settings)
        return CodesJob(tmp_path, "d", "f", recipe, "e", tmp_path / "v" / "v.json", None, 1, True)

    here = job(device="cpu")
    assert here.result == job().result == job(latent=32).result != job(latent=16).result
    assert not here.is_done()
    made = MadeCodes(folder=tmp_path, hash="h", step=CodesStep(seconds=1.0, threads=1, quality={}))
    write_json(here.result, made.model_dump(mode="json"))
    assert here.is_done()
    write_json(here.result, {"folder": str(tmp_path), "of": "another version"})
    assert not here.is_done()


def test_what_codebooks_learn_from_is_what_training_takes(tiny: Dataset) -> None:
    split = SplitSpec(kind="last_out", cold_items=0.2)
    protocol = default_protocol(tiny, split=split)
    problem = TASKS.get("seqrec").problem(tiny, protocol)
    taken = taken_in(tiny, protocol)
    assert taken.tolist() == sorted(set(problem.train.values.tolist()))
    asked = set(problem.test.item.tolist())
    assert asked - set(taken.tolist())  # held out: they get codes by codebooks that never saw them


def test_items_that_nobody_trained_on_are_recommended_by_their_codes(
    tiny: Dataset, tmp_path: Path
) -> None:
    plan = {
        **PLAN,
        "codes": [{"method": "rk-means", "levels": 2, "size": 8, "learned_from": "train"}],
        "recommenders": [{"name": "sid-sasrec", "params": {**SID, "beams": 60}}, "popularity"],
        "protocol": {
            "seqrec": {
                "split": {"kind": "last_out", "cold_items": 0.2},
                "metrics": ["ndcg@10", "recall@50"],
            }
        },
    }
    results = run(plan, tmp_path)
    spelt = results.records[0]
    assert spelt.status == "ok" and spelt.counts["cold_targets"] > 0
    users = results.per_user()
    own = users.filter(users["recommender"] == "sid-sasrec")
    cold = own.filter(own["popularity"] == "cold")
    assert cold["recall@50"].to_numpy().max(initial=0.0) > 0


def test_the_configuration_in_a_record_names_its_codes(tiny: Dataset, tmp_path: Path) -> None:
    first = run({**PLAN, "codes": ["rk-means-2x8"]}, tmp_path / "first").records[0]
    config = next((tmp_path / "first").rglob("sid-sasrec*/*/config.yaml"))
    again = tb.run(str(config), out=tmp_path / "again", progress=False, workers=1)
    assert [record.spec.codes for record in again.records] == [first.spec.codes]
