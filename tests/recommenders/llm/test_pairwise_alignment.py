"""Codes learned from texts and back before the clicks: no answer is seen, only items are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tastebench.contracts import Items
from tastebench.errors import UsageError
from tastebench.recommenders.llm.alignment_words import get_alignment_words
from tastebench.recommenders.llm.ask_settings import BOTH_WAYS, AlignmentTask
from tastebench.recommenders.llm.code_pairwise import CodeScorer
from tastebench.recommenders.llm.llm import CARD, LLMConfig
from tastebench.recommenders.llm.next_alignment import AlignmentBatch
from tastebench.recommenders.llm.pairwise import PairwiseLM, _Rows
from tastebench.testing.language_models import add_head, tiny_language_model
from tastebench.testing.tiny import tiny
from tastebench.training.fit import FabricTrainer

CODES = np.array([[0, 0, 0], [0, 1, -1], [1, 0, 2], [1, 1, 1]])
TEXTS = ["red wool socks", "", "a large steel kettle, {item} <s> new " + 40 * "red ", "lamp"]
TITLES = ["socks", "tent", "kettle", ""]
LIMIT = 160
TASKS: tuple[AlignmentTask, ...] = get_args(AlignmentTask)


def items(*forms: Any) -> Items:
    columns = {"title": TITLES, "more": TEXTS}
    return Items(
        n=4, code=CODES if "code" in forms else None, text=TEXTS, columns=columns, forms=forms
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LLMConfig]:
    root = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {}

    def settings(kind: str = "llama", **config: Any) -> LLMConfig:
        if kind not in made:
            folder = tiny_language_model(root / kind, kind, max_position_embeddings=LIMIT)
            made[kind] = add_head(folder)
        given = {
            "model": str(made[kind]),
            "tune": "lora",
            "lora_rank": 2,
            "device": "cpu",
            "epochs": 1,
        }
        return LLMConfig(**{**given, "alignment": TASKS, "batch_size": 3, **config})

    return settings


Small = Callable[..., LLMConfig]


def scorer(config: LLMConfig, *forms: Any) -> CodeScorer:
    torch.manual_seed(0)
    return CodeScorer(config, items(*(forms or ("text", "code"))), 2)


def one_by_one(made: CodeScorer, task: str, item: int) -> list[float]:
    """Minus the log-probability of each code or word, by the model's own logits of one text."""
    words = get_alignment_words().tasks[task]
    tokenizer: Any = made.headed.tokenizer
    model: Any = made.headed.model
    text = (TEXTS if "text" in task else TITLES)[item]

    def ids(text: str) -> list[int]:
        options = {"add_special_tokens": False, "split_special_tokens": True}
        found: list[int] = tokenizer(text, **options)["input_ids"]
        return found

    said = ids(f" {' '.join(text.split())}")[: LIMIT // 5]
    codes = (made.model.code_tokens(torch.tensor(item)) + made.model.first).tolist()
    begin = [*tokenizer("a")["input_ids"][: -len(ids("a")) or None], *ids(words.before.rstrip())]
    with torch.no_grad():
        if task.endswith("to-code"):
            assert made.model.heads is not None
            whole = torch.tensor([[*begin, *said, *ids(words.between), *codes]])
            states = model(input_ids=whole, output_hidden_states=True).hidden_states[-1][0]
            first = whole.shape[1] - len(codes) - 1
            rows = [made.model.heads(states[first + level], level) for level in range(len(codes))]
            kept = [(row, c) for row, c in zip(rows, CODES[item].tolist(), strict=True) if c >= 0]
            return [-row.log_softmax(0)[c].item() for row, c in kept]
        whole = torch.tensor([[*begin, *codes, *ids(words.between), *said]])
        logits = model(input_ids=whole).logits[0]
        first = whole.shape[1] - len(said) - 1
        return [-logits[first + i].log_softmax(0)[word].item() for i, word in enumerate(said)]


@pytest.mark.parametrize("task", TASKS)
def test_the_loss_is_that_of_every_code_or_word_by_itself(small: Small, task: str) -> None:
    made = scorer(small())
    made.model.eval()
    named = [i for i in range(4) if (TEXTS if "text" in task else TITLES)[i]]
    expected = [x for item in named for x in one_by_one(made, task, item)]
    found = made.loss_of_texts(AlignmentBatch(task, np.array(named)))  # type: ignore[arg-type]
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-4)


def test_texts_come_before_the_rows_of_each_epoch(small: Small) -> None:
    problem = tiny("ctr").problem
    problem = replace(
        problem,
        n_items=4,
        history_length=2,
        train=replace(problem.train, item=problem.train.item % 4),
    )
    problem = replace(
        problem, history=type(problem.history)(problem.history.values % 4, problem.history.offsets)
    )
    made = scorer(small(alignment=True, max_length=LIMIT))
    rows = _Rows(problem, made, 3)
    batches = list(rows.epoch(np.random.default_rng(0)))
    kinds = [isinstance(batch, AlignmentBatch) for batch in batches]
    assert kinds == sorted(kinds, reverse=True) and any(kinds) and not all(kinds)
    read = [(b.task, i) for b in batches if isinstance(b, AlignmentBatch) for i in b.items.tolist()]
    assert sorted(read) == sorted((task, item) for task in BOTH_WAYS for item in (0, 2, 3))
    clicked = np.concatenate([b for b in batches if not isinstance(b, AlignmentBatch)])
    assert sorted(clicked.tolist()) == list(range(len(problem.train)))
    for batch in (batches[0], batches[-1]):
        loss = rows.loss(batch)
        assert torch.isfinite(loss) and loss.requires_grad


@pytest.mark.parametrize("forms", [("text", "code"), ("id", "text")])
def test_tables_move_by_texts_alone_and_the_models_words_do_not(small: Small, forms: Any) -> None:
    made = scorer(small(), *forms)
    made.model.train()
    for batch in made.texts(np.random.default_rng(0)):
        made.loss_of_texts(batch).backward()
    moved = {
        name for name, p in made.model.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert {"tokens.table", "heads.table"} <= moved
    assert any("lora" in name for name in moved)
    assert all("lora" in name or "table" in name for name in made.model.state_dict())


def test_what_is_learned_depends_on_texts_and_on_nothing_where_it_is_off(small: Small) -> None:
    shop = tiny("ctr")
    forms = ("text", "code")

    def scores(config: LLMConfig, forms: Any, texts: Any = shop.items.text) -> np.ndarray:
        made = CARD.build(config)
        assert isinstance(made, PairwiseLM)
        kept = replace(shop.items, forms=forms, text=texts)
        made.fit(shop.problem, kept, FabricTrainer(seed=0))
        from tastebench.recommenders.llm.askers import candidates_of

        return made.score(candidates_of(shop.problem, shop.problem.test)[0])

    with_texts = scores(small(alignment=True), forms)
    np.testing.assert_array_equal(scores(small(alignment=True), forms), with_texts)
    others = [*shop.items.text[1:], shop.items.text[0]]  # type: ignore[index]
    assert not np.array_equal(scores(small(alignment=True), forms, others), with_texts)
    plain = scores(small(alignment=False), ("code",))
    assert not np.array_equal(plain, with_texts)
    np.testing.assert_array_equal(scores(small(alignment=False), ("code",), others), plain)


# ----------------------------------------------------------------------------------------- settings


def test_true_is_both_ways_and_the_default_is_not_written() -> None:
    assert LLMConfig(alignment=True).alignment == BOTH_WAYS
    assert LLMConfig(alignment=False).alignment == ()
    assert "alignment" not in LLMConfig().model_dump()  # identities of earlier runs stay
    assert LLMConfig.model_validate_json(LLMConfig(alignment=True).model_dump_json()).alignment
    with pytest.raises(ValidationError):
        LLMConfig(alignment=("text-to-nothing",))


@pytest.mark.parametrize(
    ("representation", "changes", "what"),
    [
        ("text", {}, "items are shown in words here"),
        ("code", {}, "reads the text of items, and the representation is code"),
        ("text+code", {"alignment": ()}, "reads no text of items without alignment"),
        ("id+text", {"tune": "none"}, "nothing is tuned"),
    ],
)
def test_what_cannot_be_meant_is_refused_before(
    small: Small, representation: str, changes: dict[str, Any], what: str
) -> None:
    assert CARD.check is not None
    with pytest.raises(UsageError, match=what):
        CARD.check(small(**changes), representation)


@pytest.mark.parametrize("representation", ["text+code", "id+text"])
def test_what_can_be_meant_is_not(small: Small, representation: str) -> None:
    assert CARD.check is not None
    CARD.check(small(alignment=True), representation)
    assert representation in CARD.representations


def test_a_model_that_sees_both_ways_is_refused(small: Small) -> None:
    with pytest.raises(UsageError, match="it would see the codes and words"):
        scorer(small("bert"))


def test_the_words_around_are_part_of_the_identity(small: Small) -> None:
    assert CARD.weights is not None
    aligned = CARD.weights(small(alignment=True), "text+code", False)
    plain = CARD.weights(small(alignment=()), "code", False)
    assert plain is not None and aligned == f"{plain} alignment {get_alignment_words().hash}"
