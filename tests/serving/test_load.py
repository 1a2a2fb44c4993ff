"""A loaded record answers as its run did, to the bit; what it cannot answer it says."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tastebench as tb
from tastebench.data.dataset import Dataset
from tastebench.errors import DataError, ProtocolError, UsageError
from tastebench.files import read_sealed, write_json
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.runs import store
from tastebench.runs.record import Record
from tastebench.serving.loaded import Loaded

RecordOf = Callable[[str, str], Path]
LISTED = ("query", "rank", "item_id", "score")


def lists_of(loaded: Loaded, rows: Ragged) -> list[list[str]]:
    ids = loaded.dataset.item_ids
    return [ids.gather(row.astype(np.int64)).to_list() for row in rows]


def test_every_record_measures_what_it_measured(results: Path) -> None:
    paths = store.find_records(results)
    assert len(paths) == 22
    for path in paths:
        loaded = tb.load(path)
        again = loaded.evaluate()
        assert set(again) == set(loaded.record.metrics)
        for name, value in loaded.record.metrics.items():
            mean = again[name]
            assert (value.mean is None and math.isnan(mean)) or mean == value.mean, path


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("seqrec", "unisrec"),
        ("seqrec", "sasrec-id"),
        ("seqrec", "sasrec-text"),
        ("seqrec", "walk-blend"),
        ("seqrec", "sid-sasrec"),
        ("seqrec", "tiger"),
        ("seqrec", "graph-walk-vector"),
        ("seqrec", "item-knn"),
        ("seqrec", "popularity"),
        ("cf", "alpharec-vector"),
        ("cf", "alpharec-original"),
        ("cf", "item-knn"),
        ("cf", "ease"),
    ],
)
def test_the_users_of_the_run_get_the_lists_of_the_run(
    record_of: RecordOf, task: str, name: str
) -> None:
    folder = record_of(task, name)
    loaded = tb.load(folder)
    ground = loaded.ground
    asked = ground.task.ask(ground.problem, ground.protocol, "test", ground.forms)
    users = loaded.dataset.everyone.gather(asked.ids).to_list()  # type: ignore[union-attr]
    history = lists_of(loaded, asked.queries.history)  # type: ignore[union-attr,arg-type]
    got = loaded.recommend(history, 20, users=users, exclude_seen=False)
    if task == "cf":  # there the run left out more than the history: what valid holds
        known = lists_of(loaded, asked.exclude)  # type: ignore[union-attr,arg-type]
        out = pl.DataFrame({"query": range(len(known)), "item_id": known}).explode("item_id")
        got = loaded.recommend(history, 60, users=users, exclude_seen=False)
        got = got.join(out, on=["query", "item_id"], how="anti", maintain_order="left")
        got = got.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("query"))
        got = got.filter(pl.col("rank") <= 20)
    stored = pl.read_parquet(folder / "predictions.parquet").rename({"question": "query"})
    assert got.select(LISTED).equals(stored.select(LISTED))


@pytest.mark.parametrize("name", ["dnn-id", "dnn-text", "dnn-vector", "dnn-code", "logistic"])
def test_candidates_get_the_scores_of_the_run(record_of: RecordOf, name: str) -> None:
    folder = record_of("ctr", name)
    loaded = tb.load(folder)
    ground = loaded.ground
    asked: Any = ground.task.ask(ground.problem, ground.protocol, "test", ground.forms)
    history = lists_of(loaded, asked.candidates.history)
    shown = lists_of(loaded, asked.candidates.items)
    users = loaded.dataset.everyone.gather(asked.candidates.user).to_list()
    got = loaded.score(history, shown, users=users)
    stored = pl.read_parquet(folder / "predictions.parquet")
    assert got["score"].to_list() == stored["score"].to_list()
    assert got["item_id"].to_list() == stored["item_id"].to_list()
    np.testing.assert_allclose(got["probability"], 1 / (1 + np.exp(-got["score"].to_numpy())))


def test_new_users_are_served_by_what_they_took(record_of: RecordOf) -> None:
    """Ids may be numbers; what was taken leaves the list, unless it is wanted."""
    loaded = tb.load(record_of("cf", "item-knn"))
    whole = loaded.recommend([[101, 105], ["101"]], k=60)
    assert set(whole.filter(query=0)["item_id"]) == {str(i) for i in range(100, 160)} - {
        "101",
        "105",
    }
    assert len(whole.filter(query=1)) == 59
    assert whole.filter(query=0)["rank"].to_list() == [*range(1, 59)]
    first = whole.row(0, named=True)
    titles = dict(loaded.dataset.tables.items.select("item_id", "title").iter_rows())
    assert first["title"] == titles[first["item_id"]]
    again = loaded.recommend([["105", "101", "101"]], k=60, exclude_seen=False)
    assert len(again) == 60  # a set: neither order nor repeats matter to cf
    assert again.join(whole.filter(query=0), on="item_id")["score"].equals(
        again.join(whole.filter(query=0), on="item_id")["score_right"]
    )


def test_alpharec_knows_a_user_by_the_mean_of_their_items(record_of: RecordOf) -> None:
    loaded = tb.load(record_of("cf", "alpharec-vector"))
    train = loaded.ground.problem.train
    users = loaded.dataset.everyone.to_list()
    history = lists_of(loaded, train)
    named = loaded.recommend(history, 10, users=users)
    assert loaded.recommend(history, 10).equals(named)


def test_unknown_ids_are_named_or_counted(record_of: RecordOf) -> None:
    loaded = tb.load(record_of("seqrec", "popularity"))
    with pytest.raises(UsageError, match=r"2 ids of histories nobody knows: '7', 'x'") as caught:
        loaded.recommend([["101", 7], ["x", "7", "102"]])
    assert "unknown='skip'" in str(caught.value)
    got = loaded.recommend([["101", 7], ["x", "7", "102"]], 2, unknown="skip")
    assert got["skipped"].to_list() == [1, 1, 2, 2]
    with pytest.raises(UsageError, match=r"histories\[1\] has 0 items, unknown ones left out"):
        loaded.recommend([["101"], ["x"]], unknown="skip")
    with pytest.raises(UsageError, match="1 id of users nobody knows: 'nobody'"):
        loaded.recommend([["101"]], users=["nobody"])


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ("101", "histories is one text"),
        (["101", "102"], r"histories\[0\] is '101', which is no list of ids"),
        ([], "histories is empty"),
        ([[]], r"histories\[0\] has 0 items .*asked from 1 on"),
    ],
)
def test_what_is_no_history_is_said(record_of: RecordOf, histories: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tb.load(record_of("seqrec", "popularity")).recommend(histories)


def test_each_task_is_asked_in_its_own_way(record_of: RecordOf) -> None:
    clicks, search = tb.load(record_of("ctr", "dnn-id")), tb.load(record_of("search", "dot"))
    with pytest.raises(UsageError, match=r"of ctr.*\n.*\n.*score\(histories, candidates\)"):
        clicks.recommend([["101"]])
    with pytest.raises(UsageError, match=r"of search[^$]*search\(texts\)"):
        search.recommend([["101"]])
    with pytest.raises(UsageError, match=r"recommend\(histories\)"):
        tb.load(record_of("seqrec", "popularity")).score([["101"]], [["102"]])
    with pytest.raises(UsageError, match="1 histories and 2 lists of candidates"):
        clicks.score([["101"]], [["102"], ["103"]])
    with pytest.raises(UsageError, match="random draws an order for each user"):
        tb.load(record_of("seqrec", "random")).recommend([["101"]])
    with pytest.raises(UsageError, match="knows users by their row"):
        tb.load(record_of("cf", "alpharec-original")).recommend([["101"]])


@pytest.mark.parametrize("name", ["dot", "bm25"])
def test_queries_in_words_find_items(record_of: RecordOf, name: str) -> None:
    loaded = tb.load(record_of("search", name))
    found = loaded.search(["a lamp", "book number 14"], 5)
    assert all(title.startswith("lamp") for title in found.filter(query=0)["title"])
    assert found.filter(query=1, rank=1)["title"].item() == "book number 14"


def test_vectors_of_users_and_items_make_the_scores(record_of: RecordOf) -> None:
    for task, name in (("seqrec", "unisrec"), ("seqrec", "sasrec-id"), ("cf", "alpharec-vector")):
        loaded = tb.load(record_of(task, name))
        histories = [["101", "105"], ["110"]]
        scores = loaded.user_vectors(histories) @ loaded.item_vectors().T
        got = loaded.recommend(histories, 60, exclude_seen=False).sort("query", "item_id")
        np.testing.assert_allclose(got["score"], scores.ravel(), atol=1e-6)
    with pytest.raises(UsageError, match="item-knn does not rank by inner products"):
        tb.load(record_of("cf", "item-knn")).item_vectors()


# ------------------------------------------------------------------------- what cannot be loaded


def test_a_record_may_be_moved_and_read_by_its_file(record_of: RecordOf, tmp_path: Path) -> None:
    moved = shutil.copytree(record_of("seqrec", "sasrec-id"), tmp_path / "moved")
    here, there = tb.load(moved / "record.json"), tb.load(record_of("seqrec", "sasrec-id"))
    assert here.recommend([["101"]]).equals(there.recommend([["101"]]))


def test_data_with_other_values_is_refused_with_both_fingerprints(record_of: RecordOf) -> None:
    folder = record_of("seqrec", "item-knn")
    dataset = tb.load(folder).dataset
    tables = dataset.tables
    assert tables.interactions is not None
    fewer = Dataset.create(
        dataset.card,
        type(tables)(items=tables.items, interactions=tables.interactions.head(500)),
    )
    with pytest.raises(DataError) as caught:
        tb.load(folder, dataset=fewer)
    assert fewer.fingerprint in str(caught.value) and dataset.fingerprint in str(caught.value)


def test_another_encoder_is_refused(record_of: RecordOf) -> None:
    with pytest.raises(DataError, match="makes other vectors than the record's"):
        tb.load(record_of("seqrec", "unisrec"), encoder="random")


def test_a_dataset_or_record_that_is_not_here_is_said(
    record_of: RecordOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="there is no record here"):
        tb.load(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        tb.load(tmp_path / "none")
    folder = record_of("seqrec", "item-knn")
    dataset = tb.load(folder).dataset
    monkeypatch.setenv("TASTEBENCH_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(UsageError, match=r"tiny[^$]*dataset=FOLDER"):
        tb.load(folder)
    assert tb.load(folder, dataset=dataset).evaluate()


def test_a_model_that_was_changed_lost_or_swapped_is_refused(
    record_of: RecordOf, tmp_path: Path
) -> None:
    folder = shutil.copytree(record_of("seqrec", "sasrec-id"), tmp_path / "copy")
    model = folder / "model.safetensors"
    other = record_of("seqrec", "unisrec") / "model.safetensors"
    model.write_bytes(other.read_bytes())
    with pytest.raises(DataError, match="the kept model was changed"):
        tb.load(folder)
    record = read_sealed(folder / "record.json")
    record["fingerprints"]["model"] = Record.read(other.parent / "record.json").fingerprints[
        "model"
    ]
    write_json(folder / "record.json", record)
    with pytest.raises(DataError, match="the kept model is of run"):
        tb.load(folder)
    model.unlink()
    with pytest.raises(DataError, match="the model that this run kept is not here"):
        tb.load(folder)


def test_a_record_of_another_version_says_so(record_of: RecordOf, tmp_path: Path) -> None:
    record = read_sealed(record_of("cf", "item-knn") / "record.json")
    write_json(tmp_path / "record.json", {**record, "protocol_id": "0123456789ab"})
    loaded = tb.load(tmp_path)
    assert loaded.recommend([["101"]]).height == 10
    with pytest.raises(ProtocolError, match=r"measures otherwise.*0123456789ab"):
        loaded.evaluate()
    write_json(
        tmp_path / "record.json", {**record, "protocol": {**record["protocol"], "moon": "full"}}
    )
    with pytest.raises(DataError, match="protocol is of another Tastebench"):
        tb.load(tmp_path)


def test_a_failed_run_has_nothing_to_load(record_of: RecordOf, tmp_path: Path) -> None:
    record = read_sealed(record_of("seqrec", "sasrec-id") / "record.json")
    failed = {"kind": "UsageError", "what": "it diverged"}
    write_json(tmp_path / "record.json", {**record, "status": "failed", "error": failed})
    with pytest.raises(UsageError, match=r"this run failed[^$]*it diverged"):
        tb.load(tmp_path)


# ----------------------------------------------------------------------------- what keeps models

TRAINED: dict[str, Any] = {
    "name": "trained",
    "datasets": ["tiny"],
    "tasks": ["cf"],
    "encoders": ["tfidf-svd"],
    "recommenders": [{"name": "alpharec", "params": {"epochs": 2}}, "popularity"],
    "grid": {"lr": [1e-3, 1e-1, 1e-2]},
    "latency_seconds": 0,
}


def folders(out: Path) -> dict[str, Path]:
    paths = store.find_records(out)
    return {path.parents[1].name.split("-")[0]: path.parent for path in paths}


def test_keeping_models_changes_no_number_and_no_identity(results: Path, tmp_path: Path) -> None:
    """Nor the other files; and what is kept of a search is its winner."""
    runs = {}
    for keeps in (False, True):
        out = tmp_path / str(keeps)
        runs[keeps] = tb.run({**TRAINED, "keep_models": keeps}, out=out, workers=1, progress=False)
    for bare, full in zip(runs[False].records, runs[True].records, strict=True):
        assert bare.spec_hash == full.spec_hash
        assert bare.metrics == full.metrics and bare.budget_id == full.budget_id
        assert "model" not in bare.fingerprints
    bare, full = folders(tmp_path / "False"), folders(tmp_path / "True")
    assert not list(bare["alpharec"].glob("*.safetensors"))
    assert not list(full["popularity"].glob("*.safetensors"))
    loaded = runs[True].load(recommender="alpharec")
    assert loaded.source.folder == full["alpharec"]
    assert loaded.evaluate()["ndcg@10"] == loaded.record.metrics["ndcg@10"].mean
    assert len({trial.valid for trial in loaded.record.trials}) == 3
    assert "keep_models: true" in (full["alpharec"] / "config.yaml").read_text()


def test_an_interrupted_search_keeps_the_winner_that_it_would_have_kept(
    results: Path, tmp_path: Path
) -> None:
    """Killed in the third trial: the winner of the first two is restored, and kept as it was."""
    alpharec, left = get_recommender("alpharec"), [2, 10]

    def build(config: Any) -> Any:
        if left[0] == 0:
            left.pop(0)
            raise KeyboardInterrupt
        left[0] -= 1
        return alpharec.build(config)

    card = replace(alpharec, name="mine", build=build)
    plan = {**TRAINED, "recommenders": [card], "keep_models": True}
    whole = {**plan, "recommenders": [replace(card, build=alpharec.build)]}
    tb.run(whole, out=tmp_path / "whole", progress=False)
    with pytest.raises(KeyboardInterrupt):
        tb.run(plan, out=tmp_path / "killed", progress=False)
    tb.run(plan, out=tmp_path / "killed", progress=False)
    kept = [
        tb.load(folders(tmp_path / out)["mine"], recommender=card) for out in ("whole", "killed")
    ]
    assert kept[0].record.fingerprints["model"] == kept[1].record.fingerprints["model"]
    assert [t.chosen for t in kept[0].record.trials] == [t.chosen for t in kept[1].record.trials]
    with pytest.raises(UsageError, match="mine"):
        tb.load(folders(tmp_path / "whole")["mine"])


def test_results_load_the_one_run_that_is_meant(results: Path) -> None:
    records = tuple(Record.read(path) for path in store.find_records(results))
    found = tb.Results(results / "kept", records)
    assert found.load(task="cf", recommender="ease").record.spec.label == "ease"
    with pytest.raises(UsageError, match=r"2 runs of kept match[^$]*task=cf[^$]*task=seqrec"):
        found.load(recommender="item-knn")
    with pytest.raises(UsageError, match=r"0 runs of kept match"):
        found.load(recommender="sasrek")
    with pytest.raises(UsageError, match=r"runs have no 'recomender': did you mean recommender"):
        found.load(recomender="ease")


def test_what_was_not_kept_is_trained_again_by_the_command_that_the_error_names(
    results: Path, tmp_path: Path
) -> None:
    from tastebench.cli import main

    tb.run(TRAINED, out=tmp_path / "bare", workers=1, progress=False)
    bare = folders(tmp_path / "bare")
    assert tb.load(bare["popularity"]).recommend([["101"]]).height == 10  # it only counts
    with pytest.raises(DataError, match="this run kept no model") as caught:
        tb.load(bare["alpharec"])
    assert caught.value.fix is not None
    command = caught.value.fix.split(",")[0].split()
    assert command[:2] == ["tastebench", "run"] and "--keep-models" in command
    command[command.index("DIR")] = str(tmp_path / "again")
    assert main(command[1:]) == 0
    again = tb.load(folders(tmp_path / "again")["alpharec"])
    assert again.record.metrics == Record.read(bare["alpharec"] / "record.json").metrics


def test_finished_runs_without_a_model_are_said_and_left(results: Path, tmp_path: Path) -> None:
    from tastebench.runs.execute import Options, look
    from tastebench.runs.plan import make_plan

    tb.run(TRAINED, out=tmp_path, workers=1, progress=False)
    todo = look(make_plan({**TRAINED, "keep_models": True}), Options(out=tmp_path))
    assert not todo.open
    assert "1 finished run kept no model: --redo all does them again" in todo.notes
    assert look(make_plan(TRAINED), Options(out=tmp_path)).notes == ()
