"""What is not here: said with its size and cost, and the rest of the plan goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import tastebench as tb
from tastebench.contracts import EncoderCard
from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.dataset import Dataset
from tastebench.errors import UsageError
from tastebench.runs.estimate import encoding_cost, work
from tastebench.runs.execute import Options, Todo, look
from tastebench.runs.gather import Objects, gather
from tastebench.runs.missing import in_bytes, missing_dataset
from tastebench.runs.plan import make_plan
from tastebench.runs.resources import Resources

SKIPPING: dict[str, Any] = {
    "name": "study",
    "datasets": ["tiny", "movielens-1m"],
    "encoders": ["tfidf-svd"],
    "encoder_controls": ["random", "shuffled"],
    "recommenders": ["alpharec", "popularity"],
    "grid": {"lr": [1e-3, 1e-2]},
    "seeds": [0, 1],
    "tasks": ["cf"],
    "missing": "skip",
    "latency_seconds": 0,
}


def model_folder(folder: Path) -> Path:
    """As much of a model as its card is read from."""
    folder.mkdir(parents=True)
    save_file({"weight": np.zeros(1, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (folder / "modules.json").write_text("[]", encoding="utf-8")
    return folder


def looked_at(tmp_path: Path, **changes: Any) -> Todo:
    return look(make_plan({**SKIPPING, **changes}), Options(out=tmp_path))


def test_a_plan_that_skips_fetches_nothing_and_runs_the_rest(tiny: Dataset, tmp_path: Path) -> None:
    todo = looked_at(tmp_path)
    assert {run.spec.dataset for run in todo.runs} == {"tiny"}
    (missing,) = todo.missing
    assert (missing.kind, missing.name) == ("dataset", "movielens-1m")
    assert "grouplens.org" in str(missing)
    assert "tastebench data get movielens-1m" in str(missing)


def test_what_the_whole_plan_comes_to_agrees_with_its_runs(tiny: Dataset, tmp_path: Path) -> None:
    todo = looked_at(tmp_path, datasets=["tiny"])
    assert todo.gathered.whole.runs == len(todo.runs) == (3 + 1) * 2
    fits = sum(run.budget.trials if run.searches else 1 for run in todo.runs)
    assert todo.gathered.whole.fits == fits == 3 * (2 + 1) + 2
    assert todo.gathered.whole.texts == tiny.n_items


def test_what_is_not_here_counts_in_the_whole(tiny: Dataset, tmp_path: Path) -> None:
    whole = looked_at(tmp_path).gathered.whole
    assert whole.runs == 2 * 8
    assert whole.texts == tiny.n_items + 3_706


def test_a_dataset_of_unknown_size_is_named() -> None:
    plan = make_plan({"name": "s", "datasets": ["d"], "recommenders": ["popularity"]})
    found = work(plan, Resources({}, {}), [DatasetCard(name="d", title="D", tasks=("cf",))], {})
    assert found.unknown == ("d",)
    assert (found.runs, found.fits, found.texts) == (1, 1, 0)


def test_controls_stand_beside_whatever_encoders_are_named(tiny: Dataset) -> None:
    plan = make_plan({**SKIPPING, "datasets": ["tiny"]})
    gathered = gather(plan, Objects(), lambda line: None)
    assert gathered.plan.encoders == ("tfidf-svd", "random", "shuffled:tfidf-svd")
    only_control = plan.model_copy(update={"encoders": ("random",)})
    assert gather(only_control, Objects(), lambda line: None).plan.encoders == ("random",)


def test_an_encoder_in_a_folder_is_called_by_the_folder(tiny: Dataset, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "models" / "mine")
    plan = make_plan({**SKIPPING, "datasets": ["tiny"], "encoders": [str(folder)]})
    gathered = gather(plan, Objects(), lambda line: None)
    assert gathered.plan.encoders == ("mine", "random", "shuffled:mine")
    assert gathered.encoders["mine"] == str(folder)
    assert gathered.encoders["shuffled:mine"] == f"shuffled:{folder}"
    again = model_folder(tmp_path / "other" / "mine")
    both = plan.model_copy(update={"encoders": (str(folder), str(again))})
    with pytest.raises(UsageError, match="two encoders of the plan are called 'mine'"):
        gather(both, Objects(), lambda line: None)


def test_texts_are_compared_side_by_side(tiny: Dataset, tmp_path: Path) -> None:
    todo = looked_at(tmp_path, datasets=["tiny"], text_recipe=["title", "all-text"], seeds=[0])
    recipes = [run.spec.text_recipe for run in todo.runs if run.spec.recommender == "alpharec"]
    assert recipes == ["title", "all-text"] * 3
    assert sum(run.spec.recommender == "popularity" for run in todo.runs) == 1


def test_a_preliminary_plan_says_so_in_its_records(tiny: Dataset, tmp_path: Path) -> None:
    plan = {"name": "s", "datasets": ["tiny"], "tasks": ["cf"], "recommenders": ["popularity"]}
    plan |= {"preliminary": True, "latency_seconds": 0}
    results = tb.run(plan, out=tmp_path, workers=1, progress=False)
    assert [record.preliminary for record in results.records] == [True]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        # 2 x 10^9 operations a token, 20 tokens a text, 10^14 a second.
        (EncoderCard("m", parameters=10**9), "6.7 minutes of one accelerator and 2 GB"),
        (EncoderCard("api", usd_per_million_tokens=0.13), "$2.60 for 20.0 million tokens"),
        (EncoderCard("unknown"), None),
    ],
)
def test_encoding_has_its_price_in_words(card: EncoderCard, said: str | None) -> None:
    found = encoding_cost(card, 1_000_000)
    assert found is None if said is None else said in str(found)
    assert encoding_cost(card, 0) is None


def test_sizes_are_those_of_the_downloads() -> None:
    def size(*files: RawFile) -> str | None:
        return missing_dataset(DatasetCard(name="d", title="D", files=files)).size

    url = "https://example.org/a.zip"
    assert size(RawFile(path="a", url=url, bytes=10**9, unpack=True)) == "1 file, 1 GB"
    both = RawFile(path="a", url=url, bytes=10**9), RawFile(path="b", url=url, bytes=10**9)
    assert size(*both) == "1 file, 1 GB"
    assert size(both[0], RawFile(path="c")) == "2 files, over 1 GB"
    assert size(RawFile(path="c")) == "1 file of unknown size"
    assert in_bytes(999_600) == "1 MB"


def test_files_that_nobody_hosts_have_to_be_brought() -> None:
    card = DatasetCard(name="d", title="D", files=(RawFile(path="c"),), known=Counts(items=3))
    missing = missing_dataset(card)
    assert missing.why == "its files have to be brought"
    assert missing.fix == "tastebench data get d --raw DIR"
