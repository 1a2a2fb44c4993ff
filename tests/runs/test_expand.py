from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tastebench.contracts import EncoderCard
from tastebench.data.dataset import Dataset
from tastebench.errors import DataError, UsageError
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.recommenders import as_recommender, get_recommender
from tastebench.recommenders.baselines.popularity import Popularity
from tastebench.runs.expand import Expansion, expand
from tastebench.runs.hyperparameters import grid_left_behind
from tastebench.runs.plan import make_plan
from tastebench.runs.resources import Resources
from tastebench.testing.language_models import tiny_language_model

CARDS = {
    "good": EncoderCard("good", revision="1"),
    "noise": EncoderCard("noise", revision="1", control="nothing read"),
    "loose": EncoderCard("loose"),
    "nested": EncoderCard("nested", revision="1", nested=True),
}


def expanded(tiny: Dataset, limit: int | None = None, **plan: Any) -> Expansion:
    made = make_plan({"name": "s", "datasets": ["tiny"], **plan})
    return expand(made, Resources({"tiny": tiny}, CARDS), limit)


def labels(expansion: Expansion) -> list[str]:
    return [f"{run.spec.task} {run.spec.label} {run.spec.seed}" for run in expansion.runs]


def test_only_what_reads_vectors_is_multiplied_by_encoders(tiny: Dataset) -> None:
    found = expanded(
        tiny, tasks=["cf"], encoders=["good", "noise"], recommenders=["alpharec", "random"]
    )
    assert labels(found) == [
        "cf alpharec(vector, good) 0",
        "cf alpharec(vector, noise) 0",
        "cf random 0",
    ]
    assert [run.kind for run in found.runs] == ["model", "control", "control"]


def test_without_recommenders_a_task_brings_its_own_and_its_controls(tiny: Dataset) -> None:
    found = expanded(tiny, tasks=["cf"], encoders=["good"])
    assert [run.spec.recommender for run in found.runs] == [
        "alpharec",
        "random",
        "popularity",
        "item-knn",
        "ease",
    ]


def test_controls_that_can_do_without_vectors_do(tiny: Dataset) -> None:
    """The walk knows what followed what: a row of its own, whatever encoders are compared."""
    found = expanded(
        tiny, tasks=["seqrec"], encoders=["good", "noise"], representations=["vector", "id"]
    )
    assert [run.spec.label for run in found.runs] == [
        "unisrec(vector, good)",
        "unisrec(vector, noise)",
        "random",
        "popularity",
        "item-knn",
        "graph-walk",
    ]


def test_codes_are_multiplied_by_what_they_are_made_of(tiny: Dataset) -> None:
    """Drawn codes need no encoder and are a control, as are codes of vectors without meaning."""
    found = expanded(
        tiny,
        tasks=["ctr"],
        encoders=["good", "noise"],
        codes=["rk-means", {"method": "rq-vae", "levels": 3, "size": 64}, "random-2x8"],
        recommenders=["uist"],
    )
    assert labels(found) == [
        "ctr uist(code, good, rk-means-4x256) 0",
        "ctr uist(code, noise, rk-means-4x256) 0",
        "ctr uist(code, good, rq-vae-3x64) 0",
        "ctr uist(code, noise, rq-vae-3x64) 0",
        "ctr uist(code, random-2x8) 0",
    ]
    assert [run.kind for run in found.runs] == ["model", "control", "model", "control", "control"]
    assert len({run.spec_hash for run in found.runs}) == 5
    assert [run.spec.text_recipe for run in found.runs] == ["title"] * 4 + [None]


def test_without_codes_the_default_ones_are_read(tiny: Dataset) -> None:
    (run,) = expanded(tiny, tasks=["ctr"], encoders=["good"], recommenders=["uist"]).runs
    assert run.spec.codes == CodeRecipe()
    assert run.spec.folder == "uist-code-good-rk-means-4x256"


def test_a_later_field_can_be_searched_over_its_default(tiny: Dataset) -> None:
    """Its default is not written, so that what came before keeps its identity."""
    (run,) = expanded(
        tiny,
        tasks=["cf"],
        encoders=["good"],
        recommenders=[{"name": "alpharec", "grid": {"validate_every": [1, 5]}}],
    ).runs
    assert run.spec.grid == {"validate_every": [1, 5]}


def test_a_run_without_codes_keeps_its_identity(tiny: Dataset) -> None:
    """Codes came later than records: where there are none, nothing of them is in the hash."""
    (run,) = expanded(tiny, tasks=["cf"], recommenders=["random"]).runs
    assert "codes" not in run.spec.model_dump(mode="json")
    assert "codes" not in run.spec.axes


def test_where_codebooks_are_learned_is_no_part_of_a_runs_identity(tiny: Dataset) -> None:
    def identity(settings: dict[str, Any]) -> str:
        codes = {"method": "rq-vae", "settings": settings}
        (run,) = expanded(
            tiny, tasks=["seqrec"], encoders=["good"], codes=codes, recommenders=["sid-sasrec"]
        ).runs
        return run.spec_hash

    assert identity({"device": "cpu"}) == identity({})
    assert identity({"latent": 16}) != identity({})


def test_codes_with_a_setting_that_their_method_lacks_are_refused(tiny: Dataset) -> None:
    codes = {"method": "rk-means", "settings": {"hiden": [4]}}
    with pytest.raises(UsageError, match="codes by rk-means have no setting 'hiden'"):
        expanded(tiny, tasks=["ctr"], encoders=["good"], codes=codes, recommenders=["uist"])


def test_codes_that_nobody_reads_are_said(tiny: Dataset) -> None:
    found = expanded(tiny, tasks=["cf"], recommenders=["random"], codes="rq-vae")
    assert found.notes == ("codes are not used: no recommender here reads them",)


def test_a_form_that_no_run_makes_is_refused(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastebench.runs.expand.MADE", frozenset({"id", "text"}))
    card = as_recommender(Popularity, "mine", tasks=["cf"], representations=["side"])
    made = make_plan({"name": "s", "datasets": ["tiny"], "tasks": "cf", "recommenders": ["mine"]})
    with pytest.raises(UsageError, match="mine would read items by their side, which is not in"):
        expand(made, Resources({"tiny": tiny}, CARDS, {"mine": card}))


@pytest.mark.parametrize("where", ["params", "grid"])
def test_vectors_are_cut_only_where_that_means_something(tiny: Dataset, where: str) -> None:
    """T9: refused before anything is encoded."""
    mrl = {"params": {"adaptor": "mrl"}, "grid": {"adaptor": ["pca", "mrl"]}}[where]
    plan: dict[str, Any] = {
        "tasks": ["cf"],
        "recommenders": [{"name": "alpharec", where: mrl}, "random"],
    }
    assert len(expanded(tiny, encoders=["nested"], **plan).runs) == 2
    with pytest.raises(UsageError, match=r"good was not trained with nested(.|\n)*alpharec"):
        expanded(tiny, encoders=["nested", "good"], **plan)


def test_a_recommender_runs_only_where_it_can(tiny: Dataset) -> None:
    found = expanded(tiny, encoders=["good"], recommenders=["unisrec", "alpharec"])
    assert labels(found) == ["seqrec unisrec(vector, good) 0", "cf alpharec(vector, good) 0"]


def test_what_the_dataset_cannot_do_is_said(tiny: Dataset) -> None:
    found = expanded(
        tiny, tasks=["cf", "search"], recommenders=[{"name": "popularity"}, {"name": "oracle"}]
    )
    assert labels(found) == ["cf popularity 0"]
    assert any("tiny has no search" in note for note in found.notes)
    assert any("oracle needs a generated dataset" in note for note in found.notes)
    assert not any("oracle runs nowhere" in note for note in found.notes)


def test_what_no_run_uses_is_said(tiny: Dataset) -> None:
    found = expanded(
        tiny,
        tasks=["cf"],
        encoders=["good"],
        recommenders=["ease", "dot"],
        representations=["id", "text"],
    )
    assert labels(found) == ["cf ease 0"]
    assert found.notes == (
        "dot runs nowhere in this plan: it can search",
        "encoder good is not used: no recommender here reads vectors",
        "representation text is not used: no recommender here takes it",
    )
    assert expanded(tiny, encoders=["good"]).notes == ()


def test_a_recommender_of_the_callers_must_name_tasks_that_exist(tiny: Dataset) -> None:
    card = replace(get_recommender("ease"), name="mine", tasks=("seqrecs",))
    plan = make_plan({"name": "s", "datasets": ["tiny"], "recommenders": ["mine"]})
    with pytest.raises(UsageError, match="unknown task 'seqrecs': did you mean seqrec"):
        expand(plan, Resources({"tiny": tiny}, CARDS, {"mine": card}))


def test_a_grid_belongs_to_those_who_have_the_parameter_and_to_the_first_seed(
    tiny: Dataset,
) -> None:
    found = expanded(
        tiny,
        tasks=["seqrec"],
        encoders=["good"],
        recommenders=["unisrec", "popularity"],
        grid={"lr": ["1e-3", 0.01]},
        seeds=[4, 5],
    )
    first, second, popular = found.runs[0], found.runs[1], found.runs[2]
    assert first.spec.grid == {"lr": [0.001, 0.01]}
    assert "lr" not in first.spec.params
    assert (first.searches, second.searches) == (True, False)
    assert second.winner_hash == first.spec_hash
    assert first.budget.trials == 2
    assert popular.spec.grid == {}
    assert popular.winner_hash is None


def test_a_recommender_may_have_seeds_of_its_own(tiny: Dataset) -> None:
    found = expanded(
        tiny,
        tasks=["seqrec"],
        encoders=["good"],
        recommenders=[
            {"name": "unisrec", "seeds": [7, 8], "grid": {"lr": [0.1, 0.2]}},
            {"name": "popularity", "seeds": 0},
            "random",
        ],
        seeds=[4, 5, 6],
    )
    assert [(run.spec.recommender, run.spec.seed) for run in found.runs] == [
        ("unisrec", 7), ("unisrec", 8), ("popularity", 0),
        ("random", 4), ("random", 5), ("random", 6),
    ]  # fmt: skip
    assert [run.searches for run in found.runs[:2]] == [True, False]
    assert found.runs[1].spec.tuned_on == 7
    assert found.runs[1].winner_hash == found.runs[0].spec_hash
    assert [run.budget.seeds for run in found.runs[1:4]] == [(7, 8), (0,), (4, 5, 6)]


def test_what_other_recommenders_cannot_search_is_known() -> None:
    plan = {"name": "s", "datasets": ["d"], "grid": {"lr": [1], "epochs": [1], "lrr": [1]}}
    before = make_plan({**plan, "recommenders": ["unisrec", "my-own"]})
    after = make_plan({**plan, "recommenders": ["bm25"]})
    assert grid_left_behind(before, after) == ("lr", "epochs")  # lrr is a mistake, and stays one


def test_a_recommenders_own_grid_and_parameters_win(tiny: Dataset) -> None:
    found = expanded(
        tiny,
        tasks=["seqrec"],
        encoders=["good"],
        recommenders=[
            {"name": "unisrec", "params": {"lr": 0.5}},
            {"name": "unisrec", "grid": {"epochs": [1, 2]}},
        ],
        grid={"lr": [0.1, 0.2]},
    )
    assert found.runs[0].spec.grid == {}
    assert found.runs[0].spec.params["lr"] == 0.5
    assert found.runs[1].spec.grid == {"epochs": [1, 2]}


def test_protocol_fields_and_limit_change_the_protocol_id(tiny: Dataset) -> None:
    plain = expanded(tiny, tasks=["cf"], recommenders=["ease"]).runs[0]
    last = expanded(
        tiny, tasks=["cf"], recommenders=["ease"], protocol={"cf": {"split": "last_out"}}
    ).runs[0]
    some = expanded(tiny, limit=5, tasks=["cf"], recommenders=["ease"]).runs[0]
    assert last.protocol.split is not None and last.protocol.split.kind == "last_out"
    assert len({plain.protocol_id, last.protocol_id, some.protocol_id}) == 3
    assert (plain.partial, some.partial) == (False, True)


def test_equal_runs_have_equal_identities_and_any_difference_changes_it(tiny: Dataset) -> None:
    base: dict[str, Any] = {"tasks": ["cf"], "encoders": ["good"], "recommenders": ["alpharec"]}
    one = expanded(tiny, **base).runs[0].spec_hash
    assert expanded(tiny, **base).runs[0].spec_hash == one
    other = [
        {"seeds": [1]},
        {"threads": 2},
        {"text_recipe": "title-raw"},
        {"encoders": ["noise"]},
        {"protocol": {"cf": {"mask_seen": False}}},
        {"recommenders": [{"name": "alpharec", "params": {"lr": 0.5}}]},
    ]
    hashes = {expanded(tiny, **{**base, **change}).runs[0].spec_hash for change in other}
    assert len(hashes) == len(other)
    assert one not in hashes
    # What only costs time is no part of it.
    assert expanded(tiny, **base, latency_seconds=1).runs[0].spec_hash == one


def test_a_run_with_an_unknown_revision_is_always_done_again(tiny: Dataset) -> None:
    found = expanded(tiny, tasks=["cf"], encoders=["good", "loose"], recommenders=["alpharec"])
    assert [run.volatile for run in found.runs] == [False, True]


@pytest.mark.parametrize(
    ("choice", "plans", "found"),
    [
        ({"item": "cnn", "predictor": "dot"}, None, ["text"]),
        ({"user": "flatten-transformer", "predictor": "dot"}, None, ["text"]),
        ({"item": "vector"}, None, ["vector"]),
        ({"item": "id"}, None, ["id"]),
        ({"predictor": "dot"}, None, ["id"]),
        ({"item": "cnn"}, ["id", "text", "id+text"], ["text", "id+text"]),
        ({"predictor": "dot"}, ["id", "text"], ["id", "text"]),
        ({"name": "naml", "params": {"item": "attention"}}, ["id", "text"], ["text"]),
        ({"name": "naml"}, ["id", "text"], ["id", "text"]),
    ],
)
def test_bricks_are_fed_with_what_they_read(
    tiny: Dataset, choice: dict[str, Any], plans: list[str] | None, found: list[str]
) -> None:
    """An operator of words need not be told to read words."""
    plan = {"tasks": ["ctr"], "encoders": ["good"], "recommenders": [choice]}
    runs = expanded(tiny, **plan, **({"representations": plans} if plans else {})).runs
    assert [run.spec.representation for run in runs] == found


@pytest.mark.parametrize(
    ("choice", "plan", "message"),
    [
        (
            {"item": "cnn", "representations": ["id"]},
            {},
            "the item operator cnn reads text, and items are represented by id",
        ),
        (
            {"item": "cnn"},
            {"representations": ["id"]},
            "the item operator cnn reads text, and items are represented by id",
        ),
        (
            {"name": "nrms", "grid": {"hidden_size": [64, 100]}},
            {},
            "attention: heads=16 does not divide the width 100",
        ),
        (
            {
                "name": "bricks",
                "grid": {"user": ["pooling", {"operator": "attention", "heads": 7}]},
            },
            {},
            "attention: heads=7 does not divide the width 64",
        ),
        (
            {"name": "bricks", "grid": {"negatives": [0, 4], "predictor": ["dot", "din"]}},
            {},
            "the predictor din reads a user as sequence",
        ),
        ("uist", {}, "uist reads codes made of item vectors and the plan names no encoder"),
        (
            {"name": "dnn", "representations": ["id", "vector"]},
            {},
            "dnn reads item vectors and the plan names no encoder",
        ),
    ],
)
def test_what_no_model_can_be_is_refused_with_the_reason(
    tiny: Dataset, choice: Any, plan: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        expanded(tiny, tasks=["ctr"], recommenders=[choice], **plan)
    assert message in caught.value.what


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"recommenders": ["alpharc"]}, "unknown recommender 'alpharc': did you mean alpharec"),
        ({"tasks": ["sequences"]}, "unknown task 'sequences'"),
        ({"tasks": ["search"]}, "the plan has no runs: tiny has no search"),
        ({"recommenders": ["alpharec"]}, "alpharec reads item vectors and the plan names no enc"),
        (
            {"recommenders": ["ease"], "grid": {"l2x": [1]}},
            "no recommender of the plan has a hyper-parameter 'l2x'",
        ),
        (
            {"recommenders": [{"name": "ease", "params": {"regg": 1}}]},
            "unknown key 'regg'",
        ),
        (
            {"recommenders": [{"name": "ease", "grid": {"regg": [1]}}]},
            "unknown key 'regg'",
        ),
        (
            {"encoders": ["good"], "recommenders": ["alpharec"], "grid": {"lr": ["fast"]}},
            "lr: Input should be a valid number",
        ),
        (
            {"recommenders": [{"name": "ease", "representations": ["vectr"]}]},
            "ease does not take 'vectr'",
        ),
        (
            {"recommenders": [{"name": "alpharec", "tasks": ["search"]}], "encoders": ["good"]},
            "alpharec cannot do search",
        ),
        (
            {"recommenders": ["ease"], "protocol": {"cf": {"historylength": 3}}},
            "unknown key 'historylength': did you mean history_length",
        ),
        (
            {
                "recommenders": ["ease"],
                "protocol": {"cf": {"split": {"kind": "random", "cold_item": 1}}},
            },
            "unknown key 'cold_item': did you mean cold_items",
        ),
        (
            {
                "recommenders": [{"name": "walk-blend", "params": {"walk": {"recensy": 1}}}],
                "tasks": ["seqrec"],
                "encoders": ["good"],
            },
            "unknown key 'recensy': did you mean recency",
        ),
        ({"recommenders": ["ease"], "protocol": {"fc": {}}}, "unknown task 'fc'"),
        (
            {"recommenders": ["ease"], "representations": ["id+vectr"]},
            "no form 'vectr' in representation 'id+vectr': did you mean vector",
        ),
        ({"recommenders": ["ease"], "text_recipe": "titel"}, "unknown text recipe 'titel'"),
        (
            {"recommenders": ["random"], "grid": {"lr": [1]}},
            "no recommender of the plan has a hyper-parameter 'lr': there are none",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tiny: Dataset, plan: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        expanded(tiny, **plan)
    assert message in caught.value.what


def test_the_text_columns_a_dataset_chose_are_part_of_what_is_read(tiny: Dataset) -> None:
    def hashes(recipe: str, *columns: str) -> list[str]:
        card = tiny.card.model_copy(update={"text_columns": columns})
        runs = expanded(
            replace(tiny, card=card),
            tasks=["cf"],
            text_recipe=recipe,
            encoders=["good"],
            recommenders=["alpharec", "ease"],
        ).runs
        return [run.spec_hash for run in runs]

    read, unread = hashes("all-text", "title")
    assert hashes("all-text", "title", "item_id") != [read, unread]
    assert hashes("all-text", "title", "item_id")[1] == unread  # ids alone read no text
    assert hashes("title", "title") == hashes("title", "title", "item_id")


def test_every_language_model_that_a_grid_names_is_part_of_the_identity(
    tiny: Dataset, tmp_path: Path
) -> None:
    """And a model that lies in a folder is known by what is in it."""
    one, two = (tiny_language_model(tmp_path / kind, kind) for kind in ("bert", "gpt2"))

    def identity(*folders: Path, **how: bool) -> str:
        models = [{"operator": "language-model", "model": str(folder)} for folder in folders]
        found = [{"name": "plm-nr", "grid": {"item": models}}]
        plan = make_plan(
            {"name": "s", "datasets": ["tiny"], "tasks": ["ctr"], "recommenders": found}
        )
        [run] = expand(plan, Resources({"tiny": tiny}, CARDS, **how)).runs
        return run.spec_hash

    before = identity(one, two)
    assert identity(one, two, fetch=False) == before
    tiny_language_model(two, "gpt2", seed=1)
    assert identity(one, two) != before


def test_a_dry_run_downloads_no_model(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*given: Any, **more: Any) -> Any:
        raise AssertionError("a model was asked for")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    item = {"operator": "language-model", "model": "nobody/has-this"}
    chosen = {"name": "plm-nr", "params": {"item": item}}
    plan = make_plan(
        {"name": "s", "datasets": ["tiny"], "tasks": ["ctr"], "recommenders": [chosen]}
    )
    [run] = expand(plan, Resources({"tiny": tiny}, CARDS, fetch=False)).runs
    assert run.spec.recommender == "plm-nr"
    with pytest.raises(AssertionError, match="a model was asked for"):
        expand(plan, Resources({"tiny": tiny}, CARDS))


def test_the_tokenizer_that_words_are_read_by_is_part_of_the_identity(
    tiny: Dataset, tmp_path: Path
) -> None:
    folder = tiny_language_model(tmp_path / "bert", "bert")

    def identity(representation: str) -> str:
        chosen = {
            "name": "naml",
            "params": {"text": {"tokenizer": str(folder)}},
            "representations": [representation],
        }
        found = expanded(tiny, tasks=["ctr"], recommenders=[chosen])
        return found.runs[0].spec_hash

    words, ids = identity("text"), identity("id")
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert identity("text") != words and identity("id") == ids
    tokenizer.unlink()
    (folder / "vocab.txt").write_text("red", encoding="utf-8")
    before = identity("text")
    (folder / "vocab.txt").write_text("red blue", encoding="utf-8")
    assert identity("text") != before
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="no tokenizer folder 'bert'"):
        identity("text")
