"""A language model of one shop: of the train part alone, and it says what it saw."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional

from tastebench.build import lm as lm_module
from tastebench.build.lm import Order, lm_folder, make_lm, parameters_of, untrained, word_loss
from tastebench.build.lm_about import (
    ABOUT,
    LMRecipe,
    LMSettings,
    is_trained_here,
    part_of,
    provenance_of,
    read_about,
)
from tastebench.build.lm_corpus import asked_in, corpus_of
from tastebench.build.lm_tokens import END, documents_of, fitted, learn_tokenizer
from tastebench.data.card import DatasetCard, SplitSpec
from tastebench.data.catalog import load_dataset
from tastebench.data.dataset import Dataset
from tastebench.data.questions.people import rows_of_test
from tastebench.data.schema import Tables
from tastebench.data.split import TEST, TRAIN, split
from tastebench.errors import DataError, ProtocolError, UsageError
from tastebench.lm.load import find_model
from tastebench.ragged import Ragged
from tastebench.runs.guard import check_models
from tastebench.tasks import TASKS, TaskProtocol

RECIPE = LMRecipe(
    vocabulary=320, layers=2, hidden_size=16, heads=2, inner_size=24, context=64
)  # fmt: skip
SETTINGS = LMSettings(epochs=3, batch_size=2, device="cpu")
WORDS = ("red", "lamp", "steel", "kettle", "wool", "socks", "tent", "chair")


def shop(**more: Any) -> Dataset:
    """Twenty items; u0 .. u9 take five each, the last two of them new to everybody."""
    ids = [f"i{i:02}" for i in range(20)]
    titles = [f"{WORDS[i % 8]} {WORDS[(3 * i + 1) % 8]} number{i:02}" for i in range(20)]
    titles[4] = "  "
    events = [
        {"user_id": f"u{u}", "item_id": ids[item], "time": 1000 * (place + 1) + u}
        for u in range(10)
        for place, item in enumerate([u % 6, (u + 1) % 6, (u + 3) % 6, 8 + u % 2, 10 + u])
    ]
    items = pl.DataFrame({"item_id": ids, "title": titles})
    card = DatasetCard(name="shop", title="Shop", text_columns=("title",))
    tables = Tables(items=items, interactions=pl.DataFrame(events), **more)
    return Dataset.create(card, tables)


def protocol(dataset: Dataset, task: Any = "seqrec", **more: Any) -> TaskProtocol:
    made: TaskProtocol = TASKS.get(task).protocol(
        dataset, split=SplitSpec(kind="last_out"), history_length=5, **more
    )
    return made


def order(dataset: Dataset | None = None, **more: Any) -> Order:
    dataset = dataset or shop()
    given = {
        "recipe": RECIPE,
        "settings": SETTINGS,
        "dataset": dataset,
        "protocol": protocol(dataset),
        "text_recipe": None,
        "seed": 0,
        "threads": 1,
    }
    return Order(**{**given, **more})


# ------------------------------------------------------------------------------------ the corpus


def test_only_the_train_part_is_read() -> None:
    dataset = shop()
    corpus = corpus_of(dataset, protocol(dataset), None)
    # The last two of each user's five are valid and test.
    assert corpus.items.tolist() == [0, 1, 2, 3, 5]
    assert corpus.silent == 1  # item 4 has blanks for a title
    assert corpus.histories.to_lists() == [[u % 6, (u + 1) % 6, (u + 3) % 6] for u in range(10)]
    events = dataset.events()
    parts = split(dataset, SplitSpec(kind="last_out"))
    assert corpus.rows is not None
    np.testing.assert_array_equal(corpus.rows, np.sort(events.row[parts == TRAIN]))
    assert corpus.cutoff == 3009 + 1


def test_users_of_one_item_have_no_history() -> None:
    dataset = shop()
    frame = dataset.tables.interactions
    assert frame is not None
    short = frame.filter((pl.col("user_id") != "u3") | (pl.col("time") >= 3000))
    dataset = Dataset.create(dataset.card, replace(dataset.tables, interactions=short))
    corpus = corpus_of(dataset, protocol(dataset), None)
    assert corpus.single == 1 and len(corpus.histories) == 9


def test_clicks_of_the_train_part_are_histories() -> None:
    """The longest history of each train user and what was clicked after it, nothing of others."""
    shown = pl.DataFrame(
        [
            {"impression_id": f"{user}-{n}", "user_id": user, "item_id": item, "label": label,
             "time": 9000 + n, "part": part}
            for user, part in (("u0", "train"), ("u1", "train"), ("u2", "test"))
            for n, item, label in ((0, "i14", 1), (0, "i15", 0), (1, "i16", 1), (1, "i17", 0))
        ]
    ).with_columns(pl.col("label").cast(pl.Int8))  # fmt: skip
    dataset = shop(impressions=shown)
    made = TASKS.get("ctr").protocol(
        dataset, rows="impressions", split=SplitSpec(kind="given"), history_length=9
    )
    corpus = corpus_of(dataset, made, None)
    # u0 took 0 1 3 8 10, was shown 14 and 15, clicked 14, then 16 and 17, and clicked 16.
    assert corpus.histories.to_lists() == [[0, 1, 3, 8, 10, 14, 16], [1, 2, 4, 9, 11, 14, 16]]
    assert 12 not in corpus.items and 17 not in corpus.items
    assert corpus.rows is None


def test_long_histories_are_cut_where_there_is_no_room() -> None:
    cost = np.array([1, 2, 3, 10])
    lists = Ragged.from_lists([[0, 0, 0, 1, 2], [], [3, 3], [2]])
    assert sorted(fitted(lists, cost, 10).to_lists()) == sorted(
        [[0, 0, 0, 1, 2], [3], [3], [2]]
    )  # fmt: skip
    assert sorted(fitted(lists[:1], cost, 6).to_lists()) == [[0, 0], [0, 1, 2]]
    assert [len(row) for row in fitted(Ragged.from_lists([[0] * 45]), cost, 99)] == [20, 20, 5]


def test_tokens_are_the_documents_and_nothing_else(tmp_path: Path) -> None:
    dataset = shop()
    corpus = corpus_of(dataset, protocol(dataset), None)
    learn_tokenizer(corpus, 320, tmp_path)
    documents = documents_of(corpus, tmp_path, 64)
    import transformers

    load: Any = transformers.AutoTokenizer
    tokenizer = load.from_pretrained(tmp_path)
    texts = [tokenizer.decode(row) for row in documents.tokens]
    assert all(text.endswith(END) for text in texts)
    words = [text.removesuffix(END) for text in texts]
    assert words[:5] == [f" {corpus.texts[item]}" for item in corpus.items]
    assert len(words) == 5 + documents.histories and documents.histories >= 10
    assert max(documents.tokens.lengths) <= 64
    for text in words[5:]:
        first, *entries = text.splitlines()
        assert first == "User behavior sequence:"
        for n, entry in enumerate(entries, start=1):
            assert entry.startswith(f"({n})")
    # Of 10 histories every item is there: nothing is left out where room is short.
    assert sum(len(text.splitlines()) - 1 for text in words[5:]) == 30
    everything = "".join(words)
    unseen = [corpus.texts[item] for item in range(6, 20)]
    assert not any(text in everything for text in unseen)
    rows = documents.stretches(np.arange(len(words)), 64)
    stream = documents.tokens.values
    assert rows.shape == (-(-len(stream) // 64), 64)
    np.testing.assert_array_equal(rows.ravel()[: len(stream)], stream)
    np.testing.assert_array_equal(rows.ravel()[len(stream) :], stream[: rows.size - len(stream)])


# ------------------------------------------------------------------------------------- the model


@pytest.mark.parametrize("heads", [2, 4, 1])
def test_parameters_by_formula(heads: int) -> None:
    recipe = RECIPE.model_copy(update={"heads": heads})
    model = untrained(recipe, 300, 0)
    assert sum(p.numel() for p in model.parameters()) == parameters_of(recipe, 300)


def test_the_loss_is_that_of_transformers() -> None:
    torch.manual_seed(0)
    model = untrained(RECIPE, 300, 0).eval()
    rows = np.random.default_rng(0).integers(300, size=(3, 12)).astype(np.int32)
    ids = torch.from_numpy(rows.astype(np.int64))
    logits = model(input_ids=ids).logits[:, :-1].flatten(0, 1)
    want = functional.cross_entropy(logits, ids[:, 1:].flatten())
    torch.testing.assert_close(word_loss(model, rows), want)


def test_it_is_made_once_and_says_what_it_saw(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = order()
    told: list[str] = []
    folder, about = make_lm(wanted, told.append)
    assert folder == home / "artefacts" / "lm" / wanted.hash == lm_folder() / about.hash
    assert any("1 item without text" in line for line in told)
    assert about.source.rows == 30 and about.source.silent == 1 and about.source.items == 5
    assert about.source.fingerprint == wanted.dataset.fingerprint
    assert 256 < about.vocabulary <= 320
    assert about.parameters == parameters_of(RECIPE, about.vocabulary)
    losses = [row["loss"] for row in about.curve]
    assert losses[-1] < losses[0]
    made = provenance_of(folder)
    assert made.rows is not None and len(made.rows) == 30 and made.cutoff == 3010
    monkeypatch.setattr(lm_module, "_make", lambda *given: pytest.fail("made again"))
    assert make_lm(order()) == (folder, about)
    assert sorted(path.name for path in lm_folder().iterdir()) == [wanted.hash]


def test_transformers_alone_loads_it(home: Path) -> None:
    folder, about = make_lm(order())
    code = (
        "import sys, json; from transformers import AutoModelForCausalLM, AutoTokenizer;"
        "m = AutoModelForCausalLM.from_pretrained(sys.argv[1]);"
        "t = AutoTokenizer.from_pretrained(sys.argv[1]);"
        "out = m(**t('red lamp', return_tensors='pt')).logits;"
        "assert 'tastebench' not in sys.modules;"
        "print(json.dumps([m.config.model_type, sum(p.numel() for p in m.parameters()),"
        " len(t), bool(out.isfinite().all())]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["qwen2", about.parameters, about.vocabulary, True]


def test_equal_orders_give_equal_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = make_lm(order())
    monkeypatch.setenv("TASTEBENCH_HOME", str(home / "other"))
    second, _ = make_lm(order())
    assert first != second
    assert find_model(str(first)).revision == find_model(str(second)).revision
    other, _ = make_lm(order(seed=1))
    assert find_model(str(other)).revision != find_model(str(first)).revision


def test_a_killed_training_goes_on_to_the_same_model(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = make_lm(order())
    revision = find_model(str(whole)).revision
    monkeypatch.setenv("TASTEBENCH_HOME", str(home / "other"))
    monkeypatch.setattr("tastebench.training.fit.FabricTrainer.__init__", saving_always())
    epochs: list[str] = []

    def stop(line: str) -> None:
        if line.startswith("epoch"):
            epochs.append(line)
            if len(epochs) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_lm(order(), stop)
    work = lm_folder() / f".{order().hash}.work"
    assert (work / "fit-1.safetensors").is_file()
    told: list[str] = []
    folder, _ = make_lm(order(), told.append)
    # What was going on when it was stopped is done again, what was before it is not.
    assert [line.partition(":")[0] for line in told if line.startswith("epoch")] == [
        "epoch 2", "epoch 3",
    ]  # fmt: skip
    assert "learning the vocabulary" not in told
    assert find_model(str(folder)).revision == revision
    assert not work.exists()


def saving_always() -> Any:
    """A trainer's `__init__` that saves after every epoch."""
    from tastebench.training.fit import FabricTrainer

    init = FabricTrainer.__init__

    def saving(self: Any, *given: Any, **more: Any) -> None:
        init(self, *given, **more)
        self.save_every = 0.0

    return saving


def test_everything_that_matters_is_in_the_hash() -> None:
    dataset = shop()
    hashes = {
        order().hash,
        order(seed=1).hash,
        order(threads=2).hash,
        order(recipe=RECIPE.model_copy(update={"layers": 1})).hash,
        order(settings=SETTINGS.model_copy(update={"lr": 1e-2})).hash,
        order(text_recipe="all-text").hash,
        order(protocol=protocol(dataset).model_copy(update={"history_length": 3})).hash,
    }
    assert len(hashes) == 7
    assert order().hash == order().hash


# ------------------------------------------------------------------------------------- the guard


def test_a_run_of_the_same_cut_may_use_it(home: Path) -> None:
    dataset = shop()
    folder, _ = make_lm(order(dataset))
    check_models(dataset, protocol(dataset), {"model": str(folder)})
    check_models(dataset, protocol(dataset), {"item": {"model": str(folder)}})
    check_models(dataset, protocol(dataset), {"model": "me/some-model", "lr": 0.1})


def test_a_run_is_refused_where_the_model_saw_its_test_rows(home: Path) -> None:
    dataset = shop()
    folder, _ = make_lm(order(dataset))
    earlier = protocol(dataset).model_copy(
        update={"split": SplitSpec(kind="time", valid_from=2500, test_from=3000)}
    )
    events = dataset.events()
    assert earlier.split is not None
    seen = split(dataset, SplitSpec(kind="last_out")) == TRAIN
    both = int((seen & (split(dataset, earlier.split) == TEST)).sum())
    assert both == 10
    with pytest.raises(ProtocolError, match=f"include {both} of the {len(events.row) - 20} test"):
        check_models(dataset, earlier, {"grid": {"model": str(folder)}})
    later = earlier.model_copy(
        update={"split": SplitSpec(kind="time", valid_from=3500, test_from=4500)}
    )
    check_models(dataset, later, {"model": str(folder)})


def test_a_run_is_refused_where_nobody_knows_what_the_model_saw(home: Path) -> None:
    dataset = shop()
    folder, _ = make_lm(order(dataset))
    frame = dataset.tables.interactions
    assert frame is not None
    untimed = frame.with_columns(pl.lit(None, pl.Int64).alias("time"))
    other = Dataset.create(dataset.card, replace(dataset.tables, interactions=untimed))
    with pytest.raises(ProtocolError, match="not known whether test rows are among what it read"):
        check_models(other, protocol(other), {"model": str(folder)})


def about_users(dataset: Dataset, **more: Any) -> TaskProtocol:
    questions = {
        "questions": 10, "train_questions": 10, "valid_questions": 2, "min_length": 3, "recent": 3,
        "direct_within": 3, "ratios": (0.5, 0.1, 0.4), **more,
    }  # fmt: skip
    return TASKS.get("userqa").protocol(dataset, questions=questions)


def test_who_answers_questions_about_users_learns_of_train_users_alone(home: Path) -> None:
    dataset = shop()
    asked = about_users(dataset)
    assert asked.questions is not None
    test = rows_of_test(dataset, asked.questions)
    assert 0 < len(test) < 50 and len(test) % 5 == 0  # all five events of some of the ten
    corpus = corpus_of(dataset, asked, None)
    problem = TASKS.get("userqa").problem(dataset, asked)
    assert corpus.histories.values.tolist() == problem.train.history.values.tolist()
    assert corpus.rows is None
    folder, _ = make_lm(order(dataset, protocol=asked))
    check_models(dataset, asked, {"model": str(folder)})
    check_models(dataset, about_users(dataset, questions=3, language="zh"), {"model": str(folder)})
    with pytest.raises(ProtocolError, match=r"not known whether(.|\n)*--task userqa"):
        check_models(dataset, about_users(dataset, seed=7), {"model": str(folder)})


def test_questions_about_users_refuse_a_model_that_read_these_users(home: Path) -> None:
    dataset = shop()
    folder, _ = make_lm(order(dataset))
    asked = about_users(dataset)
    assert asked.questions is not None
    rows = rows_of_test(dataset, asked.questions)
    with pytest.raises(
        ProtocolError, match=f"include {3 * len(rows) // 5} of the {len(rows)} test"
    ):
        check_models(dataset, asked, {"model": str(folder)})


# ----------------------------------------------------------------------------------------- errors


def test_shapes_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="3 heads of a width of 16"):
        make_lm(order(recipe=RECIPE.model_copy(update={"heads": 3})))


def test_items_without_words_are_nothing_to_learn_from() -> None:
    dataset = shop()
    silent = dataset.tables.items.with_columns(pl.lit("").alias("title"))
    dataset = Dataset.create(dataset.card, replace(dataset.tables, items=silent))
    with pytest.raises(DataError, match="no item of the train part has a text"):
        corpus_of(dataset, protocol(dataset), None)


def test_tasks_without_order_are_refused() -> None:
    dataset = shop()
    with pytest.raises(UsageError, match="histories of cf have no order"):
        corpus_of(dataset, TASKS.get("cf").protocol(dataset), None)


def test_damage_is_said_and_repaired(home: Path) -> None:
    folder, about = make_lm(order())
    (folder / ABOUT).write_text("{", encoding="utf-8")
    assert is_trained_here(folder)
    with pytest.raises(DataError, match="what is said of the language model cannot be read"):
        read_about(folder)
    told: list[str] = []
    assert make_lm(order(), told.append) == (folder, about)
    assert told[0].startswith("the kept model is made again")


def test_the_cut_is_told_by_what_cuts_it() -> None:
    dataset = shop()
    one = protocol(dataset)
    assert part_of(one) == part_of(one.model_copy(update={"history_length": 2}))
    assert part_of(one) != part_of(one.model_copy(update={"split": SplitSpec(kind="time")}))


def test_a_reader_spells_what_it_is_asked_in_words(tmp_path: Path) -> None:
    """Instructions and templates in whole words, though no title has them; digits one by one."""
    from tastebench.recommenders.userqa.prompt import get_qa_prompt

    dataset = load_dataset("storefront")
    asked = TASKS.get("userqa").protocol(dataset, questions={"train_questions": 50})
    corpus = corpus_of(dataset, asked, "title")
    learn_tokenizer(corpus, 8192, tmp_path)
    import transformers

    load: Any = transformers.AutoTokenizer
    tokenizer = load.from_pretrained(tmp_path)
    system = get_qa_prompt("auto", by_words=True).system
    question = " What is the brand of the sixth last item that the user interacted with?"
    for text in (system, question, " What will its department be?"):
        spelled = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
        assert [piece.removeprefix("Ġ") for piece in spelled] == re.findall(r"\w+|[^\w\s]", text)
    # It is of no user: the same whoever is asked about, and no word of a document.
    other = TASKS.get("userqa").protocol(dataset, questions={"seed": 7, "train_questions": 20})
    assert asked_in(dataset, other) == corpus.asked
    text = tokenizer.decode(documents_of(corpus, tmp_path, 512).tokens.values)
    assert "interacted" not in text and "questions" not in text


def test_other_tasks_have_the_vocabulary_of_their_documents() -> None:
    dataset = shop()
    assert corpus_of(dataset, protocol(dataset), None).asked == ()
