"""Codes learned from texts and texts from codes: no answer is seen, and only items are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch

from tastebench.contracts import Items, SeqProblem, Targets
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.alignment_words import get_alignment_words
from tastebench.recommenders.llm.ask_settings import AlignmentTask
from tastebench.recommenders.llm.llm_next import CARD
from tastebench.recommenders.llm.next_alignment import Alignment, AlignmentBatch
from tastebench.recommenders.llm.next_network import NextNetwork, next_network
from tastebench.testing.language_models import tiny_language_model

TASKS: tuple[AlignmentTask, ...] = (
    "text-to-code", "title-to-code", "code-to-text", "code-to-title",
)  # fmt: skip
CODES = np.array([[0, 0, 0], [0, 1, -1], [1, 0, 2], [1, 1, 1]])
TEXTS = ["red wool socks", "", "a large steel kettle, {item} <s> new " + 40 * "red ", "lamp"]
ITEMS = Items(
    n=4,
    code=CODES,
    text=TEXTS,
    columns={"title": ["socks", "tent", "kettle", ""], "more": TEXTS},
    forms=("text", "code"),
)
LIMIT = 160


def problem() -> SeqProblem:
    none = np.empty(0, np.int64)
    targets = Targets(none, Ragged.from_lists([]), none.astype(np.int32), none)
    return SeqProblem(4, 2, 2, Ragged.from_lists([[0, 1, 2], [3, 1]]), targets, targets)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., NextNetwork]:
    folder = tmp_path_factory.mktemp("models")
    model = tiny_language_model(
        folder / "llama", "llama", max_position_embeddings=LIMIT, tie_word_embeddings=True
    )

    def network(*tasks: str, items: Items = ITEMS, **config: Any) -> NextNetwork:
        torch.manual_seed(0)
        given = {"model": str(model), "lora_rank": 2, "alignment": tasks, "batch_size": 3}
        return next_network(cast(Any, CARD.config(**{**given, **config})), problem(), items)

    return network


def alignment(network: NextNetwork) -> Alignment:
    assert network.alignment is not None
    return network.alignment


def test_every_item_with_a_text_is_read_once_a_task_before_the_sequences(
    make: Callable[..., NextNetwork],
) -> None:
    network = make(*TASKS)
    batches = list(network.batches(problem(), 100)(np.random.default_rng(0)))
    read: dict[str, list[int]] = {}
    kinds = [isinstance(batch, AlignmentBatch) for batch in batches]
    assert kinds == sorted(kinds, reverse=True) and not all(kinds)
    for batch in batches:
        if isinstance(batch, AlignmentBatch):
            read.setdefault(batch.task, []).extend(batch.items.tolist())
    assert {task: sorted(items) for task, items in read.items()} == {
        "text-to-code": [0, 2, 3],
        "title-to-code": [0, 1, 2],
        "code-to-text": [0, 2, 3],
        "code-to-title": [0, 1, 2],
    }
    again = list(network.batches(problem(), 100)(np.random.default_rng(0)))
    for one, other in zip(batches, again, strict=True):
        assert type(one) is type(other)
        if isinstance(one, AlignmentBatch) and isinstance(other, AlignmentBatch):
            np.testing.assert_array_equal(one.items, other.items)


def one_by_one(network: Any, task: str, item: int) -> list[float]:
    """Minus the log-probability of each code or word to be said, each from its own reading."""
    words = get_alignment_words().tasks[task]
    tokenizer = network.body.tokenizer
    text = TEXTS[item] if "text" in task else ITEMS.columns["title"][item]  # type: ignore[index]

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]
        return found

    said = ids(f" {' '.join(text.split())}")[: LIMIT // 5]
    codes = (-1 - network.code_tokens(torch.tensor([item]))[0]).tolist()
    begin = [*tokenizer("a")["input_ids"][: -len(ids("a")) or None], *ids(words.before.rstrip())]
    losses = []

    def state(tokens: list[int]) -> torch.Tensor:
        with torch.no_grad():
            state: torch.Tensor = network.body(network.embed_tokens(torch.tensor([tokens])))[0, -1]
        return state

    if task.endswith("to-code"):
        prompt = [*begin, *said, *ids(words.between)]
        for level, code in enumerate(CODES[item]):
            if code >= 0:
                logits = network.heads(state([*prompt, *codes[:level]]), level)
                losses.append(-logits.log_softmax(0)[code].item())
        return losses
    prompt = [*begin, *codes, *ids(words.between)]
    for place, word in enumerate(said):
        logits = network.body.head(state([*prompt, *said[:place]]))
        losses.append(-logits.log_softmax(0)[word].item())
    return losses


@pytest.mark.parametrize("task", TASKS)
def test_the_loss_is_that_of_every_code_or_word_by_itself(
    make: Callable[..., NextNetwork], task: AlignmentTask
) -> None:
    """What is to be said is not seen, texts are cut to a fifth, and padding counts for nothing."""
    network = make(task).eval()
    items = [item for item in range(4) if len(one_by_one(network, task, item)) and (
        TEXTS[item] if "text" in task else ITEMS.columns["title"][item])]  # type: ignore[index]  # fmt: skip
    assert len(items) == 3
    with torch.no_grad():
        got = network.loss(AlignmentBatch(task, np.array(items))).item()
    want = [loss for item in items for loss in one_by_one(network, task, item)]
    assert got == pytest.approx(float(np.mean(want)), rel=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_it_reaches_the_table_and_the_adapters(
    make: Callable[..., NextNetwork], task: AlignmentTask
) -> None:
    network = make(task).train()
    network.loss(AlignmentBatch(task, np.array([0, 2]))).backward()
    read = network.tokens.table.grad
    assert read is not None and bool((read != 0).any())
    adapters = [p.grad for name, p in network.named_parameters() if "lora_B" in name]
    assert adapters and all(grad is not None and bool((grad != 0).any()) for grad in adapters)
    written = network.heads.table.grad
    assert (written is not None and bool((written != 0).any())) == task.endswith("to-code")
    head = network.body.head
    assert head is None or not any(p.requires_grad for p in head.parameters())


def test_without_any_text_there_is_nothing_to_align(make: Callable[..., NextNetwork]) -> None:
    bare = Items(n=4, code=CODES, text=[""] * 4, columns={}, forms=("text", "code"))
    with pytest.raises(UsageError, match="no item has a text"):
        make("text-to-code", items=bare)


def test_the_head_is_no_part_of_what_is_kept(make: Callable[..., NextNetwork]) -> None:
    assert not any("head." in name for name in make(*TASKS).body.state_dict())


def test_the_words_are_of_every_task() -> None:
    words = get_alignment_words()
    assert set(words.tasks) == set(TASKS)
    assert words.hash == get_alignment_words().hash
