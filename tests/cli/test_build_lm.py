"""`tastebench build lm` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tastebench as tb
from tastebench import cli
from tastebench.build import lm as lm_module
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import dataset_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables

SMALL = (
    "--layers", "1", "--hidden-size", "16", "--heads", "2", "--vocabulary", "320",
    "--set", "epochs=1", "--set", "device=cpu", "--threads", "1",
)  # fmt: skip


@pytest.fixture
def shop(home: Path) -> Dataset:
    ids = [f"i{i}" for i in range(12)]
    items = pl.DataFrame({"item_id": ids, "title": [f"thing number {i}" for i in ids]})
    events = pl.DataFrame(
        [
            {"user_id": f"u{u}", "item_id": ids[(u + k) % 12], "time": 1000 * k + u}
            for u in range(12)
            for k in range(5)
        ]
    )
    card = DatasetCard(name="my-shop", title="Shop", text_columns=("title",))
    dataset = Dataset.create(card, Tables(items=items, interactions=events))
    dataset.save(dataset_folder("my-shop"))
    return dataset


class Call:
    """A command and what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = cli.main(["build", "lm", "-d", "my-shop", *SMALL, *arguments])
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


def test_a_model_is_made_told_and_found_again(
    shop: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = Call(capsys, "-o", str(tmp_path / "mine"))
    assert done.code == 0, done.err
    assert done.out.startswith("language model of my-shop: ")
    assert "train part: 12 items in words, " in done.err
    assert "epoch 1: loss " in done.err
    assert (tmp_path / "mine" / "model.safetensors").is_file()
    again = Call(capsys, "--json")
    assert "epoch" not in again.err
    said = again.json
    assert said["kind"] == "language-model" and said["source"]["name"] == "my-shop"
    assert Path(said["folder"]).name == said["hash"]


def test_a_dry_run_trains_nothing(shop: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    said = Call(capsys, "--dry-run", "--json").json
    assert said["items"] == 12 and not said["kept"] and not Path(said["folder"]).exists()
    shown = Call(capsys, "--dry-run")
    assert "characters an epoch" in shown.out and "dry run: nothing was trained" in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "epoch=3"), "no setting 'epoch': did you mean epochs?"),
        (("--set", "epochs"), "cannot read 'epochs'"),
        (("--set", "lr=-1"), "lr: Input should be greater than 0"),
        (("--heads", "3"), "3 heads of a width of 16"),
    ],
)
def test_what_cannot_be_meant_is_said(
    shop: Dataset, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    done = Call(capsys, *arguments)
    assert done.code == 2
    assert message in done.err


def test_what_lies_there_stays(
    shop: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine", encoding="utf-8")
    done = Call(capsys, "-o", str(tmp_path / "mine"))
    assert done.code == 2 and "there is something else here, and it stays" in done.err


def test_an_interrupted_training_says_how_to_go_on(
    shop: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(lm_module, "_train", stop)
    done = Call(capsys)
    assert done.code == 130
    assert "To go on:\n  tastebench" in done.err


def test_a_plan_runs_with_it_and_refuses_it_where_it_saw_too_much(
    shop: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = str(Call(capsys, "--context", "256", "--json").json["folder"])
    params = {"model": folder, "epochs": 1, "lora_rank": 2, "device": "cpu"}
    plan: dict[str, Any] = {
        "name": "study",
        "datasets": ["my-shop"],
        "tasks": ["seqrec"],
        "latency_seconds": 0,
        "recommenders": [{"name": "llm-next", "representations": ["id"], "params": params}],
    }
    [record] = tb.run(plan, out=tmp_path / "out", workers=1, progress=False).records
    assert record.status == "ok", record.error
    late = {"seqrec": {"split": {"kind": "time", "valid_from": 500, "test_from": 1500}}}
    with pytest.raises(tb.TastebenchError, match="was trained on interactions that include"):
        tb.run({**plan, "protocol": late}, out=tmp_path / "late", workers=1, progress=False)


def test_a_model_is_made_of_what_a_plan_trains_on(
    shop: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    split = {"kind": "time", "valid_from": 2500, "test_from": 3500}
    plan: dict[str, Any] = {
        "name": "study",
        "datasets": ["my-shop"],
        "tasks": ["seqrec"],
        "latency_seconds": 0,
        "recommenders": ["popularity"],
        "protocol": {"seqrec": {"split": split}},
    }
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps(plan), encoding="utf-8")  # JSON is YAML
    own = Call(capsys, "--context", "256", "--dry-run", "--json").json
    made = Call(capsys, "--context", "256", "--plan", str(path), "--json").json
    assert Path(made["folder"]) != Path(own["folder"])
    params = {"model": made["folder"], "epochs": 1, "lora_rank": 2, "device": "cpu"}
    plan["recommenders"] = [{"name": "llm-next", "representations": ["id"], "params": params}]
    [record] = tb.run(plan, out=tmp_path / "out", workers=1, progress=False).records
    assert record.status == "ok", record.error
    refused = Call(capsys, "--plan", "no-such-suite")
    assert refused.code == 2 and "no-such-suite" in refused.err
