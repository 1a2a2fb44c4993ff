"""Whole plans on a small shop: what is skipped, what fails, what is equal."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from pydantic import BaseModel, ConfigDict
from typing_extensions import override

import tastebench as tb
from tastebench.contracts import FitReport, Items, Queries, Trainer
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.errors import DataError, DependencyError, UsageError
from tastebench.runs import store
from tastebench.runs.execute import Options, Redo, _Execution, look
from tastebench.runs.gather import Objects
from tastebench.runs.place import place_of
from tastebench.runs.plan import make_plan
from tastebench.runs.record import KILLED, Failure, Record
from tastebench.runs.watch import Watcher

CHEAP: dict[str, Any] = {
    "name": "study",
    "datasets": ["tiny"],
    "tasks": ["cf"],
    "latency_seconds": 0,
}
TRAINED: dict[str, Any] = {
    **CHEAP,
    "encoders": ["tfidf-svd"],
    "recommenders": [{"name": "alpharec", "params": {"epochs": 2}}, "popularity"],
    "grid": {"lr": [1e-3, 1e-1]},
    "seeds": [0, 1],
}


def run(plan: dict[str, Any], out: Path, **options: Any) -> tb.Results:
    return tb.run(plan, out=out, workers=options.pop("workers", 1), progress=False, **options)


def numbers(results: tb.Results) -> list[Any]:
    """Everything of the records but time, memory and the moment."""
    return [
        (r.spec, r.spec_hash, r.metrics, r.valid, r.counts, [(t.params, t.valid) for t in r.trials])
        for r in results.records
    ]


def test_a_run_leaves_a_complete_record(tiny: Dataset, tmp_path: Path) -> None:
    results = run({**TRAINED, "seeds": [0], "latency_seconds": 0.01}, tmp_path)
    record, popular = results.records
    assert record.status == "ok"
    assert record.spec.params["lr"] in (1e-3, 1e-1)
    assert record.given["grid"] == {"lr": [1e-3, 1e-1]}
    assert [trial.chosen for trial in record.trials].count(True) == 1
    assert record.fit is not None and record.fit.epochs == 2
    assert record.valid[record.headline] is not None
    assert record.metrics["ndcg@10"].n == record.counts["users"]
    assert record.fingerprints["dataset"] == tiny.fingerprint
    assert record.fingerprints["vectors"]
    assert len(record.split) == 2
    assert record.environment["packages"]["numpy"] == np.__version__
    cost = record.cost
    assert cost is not None and cost.latency is not None and cost.encode is not None
    assert cost.isolated
    assert cost.peak_memory_bytes and cost.baseline_memory_bytes
    assert cost.peak_memory_bytes >= cost.baseline_memory_bytes
    assert cost.encode.texts == tiny.n_items
    assert cost.latency.cold is not None
    assert popular.cost is not None and popular.cost.encode is None
    assert popular.cost.latency is not None and popular.cost.latency.cold is None


def test_the_files_beside_a_record_agree_with_it(tiny: Dataset, tmp_path: Path) -> None:
    results = run({**TRAINED, "seeds": [0]}, tmp_path)
    record = results.records[0]
    folder = store.folder_of(tmp_path, record)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml",
        "curves.parquet",
        "per_user.parquet",
        "predictions.parquet",
        "record.json",
        "trials.parquet",
    ]
    per_user = pl.read_parquet(folder / "per_user.parquet")
    assert per_user["ndcg@10"].mean() == pytest.approx(record.metrics["ndcg@10"].mean, abs=1e-12)
    assert set(per_user["user_id"]) <= set(tiny.user_ids)
    lists = pl.read_parquet(folder / "predictions.parquet")
    assert lists["rank"].min() == 1
    assert set(lists["item_id"]) <= set(tiny.item_ids)
    assert lists.group_by("question").len()["len"].max() == 20
    assert not any(
        path.name.startswith("encoded") is False for path in (tmp_path / ".work").glob("*/")
    )


def test_a_curve_that_is_validated_late_keeps_its_column(tiny: Dataset, tmp_path: Path) -> None:
    settings = {"epochs": 105, "patience": 200, "validate_every": 104}
    plan = {**TRAINED, "recommenders": [{"name": "alpharec", "params": settings}]}
    run({**plan, "grid": {}, "seeds": [0]}, tmp_path)
    curve = pl.read_parquet(next(tmp_path.rglob("curves.parquet")))
    assert np.flatnonzero(curve["valid"].is_not_null()).tolist() == [103, 104]


def test_a_mean_over_rows_keeps_users_and_their_weights(tiny: Dataset, tmp_path: Path) -> None:
    plan = {
        **CHEAP,
        "tasks": ["seqrec"],
        "recommenders": ["popularity"],
        "protocol": {
            "seqrec": {"average": "row", "split": {"kind": "ratio", "ratios": [0.5, 0.2, 0.3]}}
        },
    }
    (record,) = run(plan, tmp_path).records
    users = pl.read_parquet(store.folder_of(tmp_path, record) / "per_user.parquet")
    value = record.metrics["ndcg@10"]
    assert value.n == len(users) == record.counts["users"] < record.counts["targets"]
    assert users["weight:ndcg@10"].sum() == record.counts["targets"]
    mean = (users["ndcg@10"] * users["weight:ndcg@10"]).sum() / users["weight:ndcg@10"].sum()
    assert value.mean == pytest.approx(mean, abs=1e-12)
    assert value.low is not None and value.high is not None
    assert value.low < value.mean < value.high


def test_the_configuration_in_a_record_repeats_it(tiny: Dataset, tmp_path: Path) -> None:
    record = run({**TRAINED, "seeds": [1, 0]}, tmp_path / "a").records[0]
    config = store.folder_of(tmp_path / "a", record) / "config.yaml"
    plan = yaml.safe_load(config.read_text())
    assert plan["seeds"] == [1]
    again = tb.run(config, out=tmp_path / "b", workers=1, progress=False).records[0]
    assert again.spec.params == record.spec.params
    assert again.metrics == record.metrics
    assert again.protocol_id == record.protocol_id


def test_workers_change_no_number(tiny: Dataset, tmp_path: Path) -> None:
    one = run(TRAINED, tmp_path / "one", workers=1)
    two = run(TRAINED, tmp_path / "two", workers=2)
    assert len(one.records) == 4
    assert numbers(one) == numbers(two)


def test_the_other_seeds_reuse_the_winner_and_search_nothing(tiny: Dataset, tmp_path: Path) -> None:
    first, second = run(TRAINED, tmp_path, workers=2).records[:2]
    assert (first.spec.seed, second.spec.seed) == (0, 1)
    assert (len(first.trials), len(second.trials)) == (2, 0)
    assert second.spec.params["lr"] == first.spec.params["lr"]
    assert second.spec.tuned_on == 0
    assert second.metrics != first.metrics


def test_what_is_finished_stays_and_redo_says_what_does_not(tiny: Dataset, tmp_path: Path) -> None:
    plan = {**CHEAP, "recommenders": ["popularity", "ease"]}
    created = {r.spec_hash: mark(tmp_path, r) for r in run(plan, tmp_path).records}
    assert all(marked(tmp_path, r) for r in run(plan, tmp_path).records)
    assert all(marked(tmp_path, r) for r in run(plan, tmp_path, redo="failed").records)
    assert not any(marked(tmp_path, r) for r in run(plan, tmp_path, redo="all").records)
    assert len(created) == 2


def test_what_was_killed_goes_on_and_what_failed_begins_afresh(
    tiny: Dataset, tmp_path: Path
) -> None:
    plan = {**CHEAP, "recommenders": ["popularity", "ease", "random", "item-knn"]}
    fine, broken, killed, missing = run(plan, tmp_path).records
    for record, kind in ((broken, "DataError"), (killed, KILLED)):
        error = Failure(kind=kind, what="it ended")
        folder = store.folder_of(tmp_path, record)
        record.model_copy(update={"status": "failed", "error": error}).write(folder)
    shutil.rmtree(store.folder_of(tmp_path, missing))

    def looked(redo: Redo) -> tuple[set[str], set[str]]:
        todo = look(make_plan(plan), Options(out=tmp_path, redo=redo))
        return {run.spec_hash for run in todo.open}, set(todo.afresh)

    again = {record.spec_hash for record in (broken, killed, missing)}
    assert looked("missing") == ({missing.spec_hash}, set())
    assert looked("failed") == (again, {broken.spec_hash})
    assert looked("all") == (again | {fine.spec_hash},) * 2
    states = []
    for record in (broken, killed):
        states.append(store.work_folder(tmp_path, record.spec_hash) / "fit" / "state")
        states[-1].parent.mkdir(parents=True)
        states[-1].touch()
    todo = look(make_plan(plan), Options(out=tmp_path, redo="failed"))
    with place_of(None, 1, 1) as place:
        _Execution(todo, Objects(), Watcher(), place)
        assert [state.exists() for state in states] == [False, True]


def mark(root: Path, record: Record) -> Path:
    path = store.folder_of(root, record) / "mark"
    path.touch()
    return path


def marked(root: Path, record: Record) -> bool:
    return (store.folder_of(root, record) / "mark").exists()


def test_other_text_columns_are_encoded_and_measured_anew(tiny: Dataset, tmp_path: Path) -> None:
    plan = {
        **CHEAP,
        "text_recipe": "all-text",
        "encoders": ["tfidf-svd"],
        "recommenders": [{"name": "alpharec", "params": {"epochs": 1}}],
    }
    keys = []
    for columns in (("title",), ("title", "item_id")):
        card = tiny.card.model_copy(update={"text_columns": columns})
        replace(tiny, card=card).save(datasets_folder() / "tiny")
        [record] = run(plan, tmp_path).records
        keys.append(record.fingerprints["vectors"])
    assert keys[0] != keys[1]


def test_a_failed_run_is_a_record_and_the_plan_goes_on(tiny: Dataset, tmp_path: Path) -> None:
    plan = {
        **CHEAP,
        "tasks": ["seqrec"],
        "encoders": ["random"],
        "recommenders": [{"name": "unisrec", "params": {"lr": 1e30, "epochs": 3}}, "popularity"],
    }
    results = run(plan, tmp_path)
    failed, fine = results.records
    assert (failed.status, fine.status) == ("failed", "ok")
    assert results.failed == (failed,)
    assert failed.error is not None and "nan" in failed.error.what
    assert failed.metrics == {}
    assert not (store.folder_of(tmp_path, failed) / "per_user.parquet").exists()
    mark(tmp_path, failed), mark(tmp_path, fine)
    run(plan, tmp_path)
    assert marked(tmp_path, failed)
    run(plan, tmp_path, redo="failed")
    assert (marked(tmp_path, failed), marked(tmp_path, fine)) == (False, True)


class Letters:
    """An encoder of somebody's own: how often each letter occurs."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        codes = [np.frombuffer(text.lower().encode(), np.uint8) for text in texts]
        counts = [np.bincount(code, minlength=128)[:128] for code in codes]
        return np.array(counts, dtype=np.float32)


class Longest:
    """A recommender of somebody's own: the later an item in the catalogue, the better."""

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        self.n = items.n
        return FitReport(parameters=0, seconds=0.0)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        return np.tile(np.arange(self.n, dtype=np.float32)[items], (len(queries), 1))


class Placed(BaseModel):
    """Settings of which one is a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = "none"


class FromFolder(Longest):
    """Reads a file of the folder that it was set to."""

    def __init__(self, config: Placed) -> None:
        self.sign = float((Path(config.folder) / "sign").read_text())

    @override
    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        return self.sign * super().scores(queries, items)


def test_a_folder_in_a_grid_is_found_again_by_other_seeds_and_in_no_record(
    tiny: Dataset, tmp_path: Path
) -> None:
    for name, sign in (("up", "1"), ("down", "-1")):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "sign").write_text(sign)
    folders = [str(tmp_path / "models" / name) for name in ("up", "down")]
    card = tb.as_recommender(
        FromFolder, "from-folder", tasks=["cf"], representations=["id"], config=Placed
    )
    plan = {**CHEAP, "recommenders": [card], "grid": {"folder": folders}, "seeds": [0, 1]}
    first, second = run(plan, tmp_path / "out").records
    assert first.error is None and second.error is None
    assert first.spec.params == second.spec.params
    assert [trial.params for trial in first.trials] == [{"folder": "up"}, {"folder": "down"}]
    assert first.metrics["ndcg@10"].mean == second.metrics["ndcg@10"].mean
    for written in (tmp_path / "out" / "study").rglob("*"):
        if written.is_file():
            assert str(tmp_path).encode() not in written.read_bytes(), written


def test_objects_are_encoders_and_recommenders(tiny: Dataset, tmp_path: Path) -> None:
    plan = {
        **CHEAP,
        "encoders": [tb.as_encoder(Letters(), "letters")],
        "recommenders": [
            tb.as_recommender(Longest, "longest", tasks=["cf"], representations=["id"]),
            {"name": "alpharec", "params": {"epochs": 1}},
        ],
    }
    own, trained = run(plan, tmp_path).records
    assert (own.status, trained.status) == ("ok", "ok")
    assert own.cost is not None and not own.cost.isolated
    assert own.cost.peak_memory_bytes is None
    assert trained.cost is not None and trained.cost.isolated
    assert trained.spec.encoder == "letters"
    # Nobody can tell whether these objects have changed: their runs are never skipped.
    mark(tmp_path, own), mark(tmp_path, trained)
    again = run(plan, tmp_path)
    assert numbers(again)[0] == numbers(tb.Results(tmp_path, (own, trained)))[0]
    assert not any(marked(tmp_path, record) for record in (own, trained))


def test_a_failing_encoder_fails_the_runs_that_need_it(tiny: Dataset, tmp_path: Path) -> None:
    class Broken:
        def encode(self, texts: Sequence[str]) -> np.ndarray:
            return np.full((len(texts), 3), np.nan)

    plan = {
        **CHEAP,
        "encoders": [tb.as_encoder(Broken(), "broken"), "random"],
        "recommenders": [{"name": "alpharec", "params": {"epochs": 1}}, "popularity"],
    }
    results = run(plan, tmp_path)
    assert [record.status for record in results.records] == ["failed", "ok", "ok"]
    assert "NaN" in results.failed[0].error.what  # type: ignore[union-attr]


def test_frames_hold_every_number(tiny: Dataset, tmp_path: Path) -> None:
    results = run({**CHEAP, "recommenders": ["popularity", "ease"]}, tmp_path)
    frame = results.to_frame()
    found = frame.filter(recommender="ease", metric="ndcg@10")["mean"].item()
    assert found == results.records[1].metrics["ndcg@10"].mean
    users = results.per_user()
    assert users.filter(recommender="ease")["ndcg@10"].mean() == pytest.approx(found)
    assert results.board().suite == "study"
    assert f"{found:.4f}" in str(results.board())
    assert repr(results) == f"<Results: 2 runs, in {tmp_path / 'study'}>"


def test_a_limited_run_is_partial(tiny: Dataset, tmp_path: Path) -> None:
    (record,) = run({**CHEAP, "recommenders": ["popularity"]}, tmp_path, limit=5).records
    assert record.partial
    assert record.metrics["ndcg@10"].n == 5


def test_records_name_no_folder_of_the_user(tiny: Dataset, home: Path, tmp_path: Path) -> None:
    results = run({**CHEAP, "recommenders": ["popularity"]}, tmp_path)
    folder = store.folder_of(tmp_path, results.records[0])
    for name in ("record.json", "config.yaml"):
        text = (folder / name).read_text()
        assert str(tmp_path) not in text
        assert str(Path.home()) + "/" not in text


@pytest.mark.parametrize(
    ("plan", "error", "message"),
    [
        ({"datasets": ["tinny"]}, UsageError, "unknown dataset 'tinny'"),
        ({"encoders": ["minlm"]}, UsageError, "unknown encoder 'minlm'"),
        ({"encoders": [object()]}, UsageError, "object is no encoder"),
        ({"recommenders": [object()]}, UsageError, "object is no recommender"),
    ],
)
def test_what_cannot_be_had_is_said_before_anything_runs(
    tiny: Dataset, tmp_path: Path, plan: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run({**CHEAP, "encoders": ["random"], **plan}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_plan_is_a_mapping_a_path_or_a_suite() -> None:
    with pytest.raises(UsageError, match="int is no plan"):
        tb.run(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no suite 'quickstrat': did you mean quickstart"):
        tb.run("quickstrat")


def test_a_folder_that_cannot_be_written_is_named(tiny: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write records"):
        run({**CHEAP, "recommenders": ["popularity"]}, tmp_path / "file")


def test_a_full_disk_stops_the_plan_and_leaves_no_record(tiny: Dataset, tmp_path: Path) -> None:
    class Full(Longest):
        def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
            raise OSError(errno.ENOSPC, "No space left on device")

    card = tb.as_recommender(Full, "full", tasks=["cf"], representations=["id"])
    with pytest.raises(DataError, match="no room left to write"):
        run({**CHEAP, "recommenders": [card]}, tmp_path)
    assert list(tmp_path.glob("study/**/record.json")) == []


def test_a_missing_extra_stops_a_plan_but_can_be_tolerated(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tastebench.encoders
    from tastebench.runs.execute import Options, look
    from tastebench.runs.plan import make_plan

    real = tastebench.encoders.get_encoder

    def without_minilm(name: str, **options: Any) -> Any:
        if "minilm" in name:
            raise DependencyError("not installed", fix="pip install it")
        return real(name, **options)

    monkeypatch.setattr(tastebench.encoders, "get_encoder", without_minilm)
    plan = make_plan({**CHEAP, "encoders": ["minilm", "random"], "recommenders": ["alpharec"]})
    with pytest.raises(DependencyError):
        look(plan, Options(out=tmp_path))
    todo = look(plan, Options(out=tmp_path, tolerate=True))
    assert [run.spec.encoder for run in todo.runs] == ["random"]
    assert str(todo.missing[0]) == "encoder minilm: not installed (pip install it)"
    plan = make_plan({**CHEAP, "encoders": ["minilm"], "recommenders": ["alpharec"]})
    with pytest.raises(DependencyError):
        look(plan, Options(out=tmp_path), fetch=False)
