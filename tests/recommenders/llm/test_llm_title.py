"""Titles in a model's own words: asked for, grounded, counted; a model tuned to write them."""

from __future__ import annotations

import atexit
import re
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.nn import functional

from tastebench.contracts import Queries
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.llm_title import CARD, TitleConfig
from tastebench.recommenders.llm.prompt import get_prompt
from tastebench.recommenders.llm.title_recommender import TitleRecommender
from tastebench.recommenders.llm.title_training import TitlePairs, title_loss
from tastebench.recommenders.llm.title_writers import LocalWriter
from tastebench.testing import RecommenderTests
from tastebench.testing.language_models import add_head, tiny_language_model
from tastebench.testing.server import RemoteServer
from tastebench.testing.tiny import TEXTS, Tiny, tiny
from tastebench.training.fit import FabricTrainer


@pytest.fixture
def shop() -> Tiny:
    return tiny("seqrec")


def asking(*histories: list[int]) -> Queries:
    return Queries(len(histories), Ragged.from_lists(list(histories)), np.arange(len(histories)))


def remote(server: RemoteServer, shop: Tiny, **changes: Any) -> TitleRecommender:
    config = TitleConfig(model=f"openai:small@{server.url}", titles=3, **changes)
    made = CARD.build(config)
    assert isinstance(made, TitleRecommender)
    made.fit(shop.problem, shop.items, FabricTrainer(seed=0))
    return made


class Scripted:
    """Says one thing after the other to each different question."""

    def __init__(self, *said: str | dict[str, Any]) -> None:
        self.said, self.times = said, dict[str, int]()

    def __call__(self, body: dict[str, Any]) -> Any:
        content = body["messages"][-1]["content"]
        n = self.times.get(content, 0)
        self.times[content] = n + 1
        return self.said[n % len(self.said)]


# ------------------------------------------------------------------------------ behind an address


def test_titles_become_items_without_repeats_and_misses_are_counted(shop: Tiny) -> None:
    chat = Scripted(
        f"  {TEXTS[3].upper()}!\nbecause it is nice", f"<think>hm</think>{TEXTS[3]}s", "🙂"
    )
    with RemoteServer(chat=chat) as server:
        made = remote(server, shop)
        found = made.generate(asking([0, 3], [1]), 5)
        # Three draws of the same question are three requests.
        assert len(server.requests) == 6
        assert {request.body["temperature"] for request in server.requests} == {0.8}
        prompt = get_prompt("title-v1")
        sent = [request.body["messages"] for request in server.requests]
        assert prompt.conversation([TEXTS[0], TEXTS[3]]) in sent
        account = made.account()
    assert found.items.tolist() == [[3, -1, -1, -1, -1]] * 2
    assert account.counts == {
        "answered": 2, "exact": 2, "nearest": 2, "no_item": 2, "refused": 0, "repeated": 2,
        "cut": 0, "left_out": 0,
    }  # fmt: skip
    assert account.probes["title_miss_rate"] == pytest.approx(4 / 6)
    assert account.probes["title_repeat_rate"] == pytest.approx(2 / 6)
    # The first asker has item 3, written word for word and nearly so.
    assert account.probes["title_in_history_rate"] == pytest.approx(2 / 6)
    assert 0.5 < account.probes["title_likeness"] < 1
    assert account.requests == 6
    assert account.probes["prompt_tokens_per_thousand"] == 1000 * account.prompt_tokens / 2


def test_the_transcript_says_what_each_title_was_taken_for(shop: Tiny) -> None:
    refusal = {
        "message": {"role": "assistant", "content": None, "refusal": "No."},
        "finish_reason": "stop",
    }
    with RemoteServer(chat=Scripted(TEXTS[5], "🙂", refusal)) as server:
        made = remote(server, shop)
        made.generate(asking([0]), 3)
        again = remote(server, shop)
        again.generate(asking([0]), 3)
        assert len(server.requests) == 3  # nothing is asked twice, draw by draw
    lines = made.transcript.lines
    assert sorted((line.status, line.items, line.answer) for line in lines) == sorted(
        [("exact", (5,), TEXTS[5]), ("no_item", (), "🙂"), ("refused", (), "")]
    )
    assert {line.user for line in lines} == {0}
    account = again.account()
    assert (account.requests, account.kept, account.counts["refused"]) == (0, 3, 1)


def test_fewer_titles_are_written_where_fewer_are_asked_for(shop: Tiny) -> None:
    with RemoteServer(chat=Scripted(TEXTS[5])) as server:
        found = remote(server, shop).generate(asking([0]), 1)
        assert len(server.requests) == 1
    assert found.items.tolist() == [[5]]


# ---------------------------------------------------------------------------------- on this machine


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("models")
    changes: dict[str, dict[str, Any]] = {
        "llama": {"max_position_embeddings": 1024},
        "t5": {"decoder_start_token_id": 0},
    }

    def get(architecture: str) -> Path:
        folder = root / architecture
        if not folder.exists():
            add_head(tiny_language_model(folder, architecture, **changes.get(architecture, {})))
        return folder

    return get


def local(folder: Path, shop: Tiny, **changes: Any) -> TitleRecommender:
    small = {"titles": 3, "title_tokens": 6}
    made = CARD.build(TitleConfig(model=str(folder), **{**small, **changes}))
    assert isinstance(made, TitleRecommender)
    made.fit(shop.problem, shop.items, FabricTrainer(seed=0))
    return made


@pytest.mark.parametrize("architecture", ["llama", "t5"])
def test_beams_are_those_of_each_prompt_alone(
    shop: Tiny, models: Callable[[str], Path], architecture: str
) -> None:
    """Batches of padded prompts against one prompt at a time, by transformers' own loop."""
    import transformers

    writer = local(models(architecture), shop)._writer
    assert isinstance(writer, LocalWriter)
    history = Ragged.from_lists([[0, 1, 2, 3], [4], []])
    _, calls = writer.write(history, 3)
    load: Any = transformers
    kind = "AutoModelForCausalLM" if architecture == "llama" else "AutoModelForSeq2SeqLM"
    model = getattr(load, kind).from_pretrained(models(architecture)).eval()
    tokenizer = load.AutoTokenizer.from_pretrained(models(architecture))
    lines = [t for t in range(len(tokenizer)) if tokenizer.decode([t]).lstrip(" ")[:1] == "\n"]
    assert writer.model.line_ends == lines != []
    ends = [tokenizer.eos_token_id, *lines]
    for ids, row in zip(writer.prompts(history), calls, strict=True):
        with torch.inference_mode():
            made = model.generate(
                torch.from_numpy(ids.astype(np.int64))[None], max_new_tokens=6, num_beams=3,
                num_return_sequences=3, do_sample=False, eos_token_id=ends, pad_token_id=0,
            )  # fmt: skip
        own = made[:, len(ids) :] if architecture == "llama" else made[:, 1:]
        for call, tokens in zip(row, own.tolist(), strict=True):
            said = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
            assert call.text == tokenizer.decode(tokens[:said], skip_special_tokens=True)
        assert [call.prompt_tokens for call in row] == [len(ids), 0, 0]


def test_the_prompt_is_that_of_the_file(shop: Tiny, models: Callable[[str], Path]) -> None:
    writer = local(models("llama"), shop)._writer
    assert isinstance(writer, LocalWriter)
    (ids,) = writer.prompts(Ragged.from_lists([[0, 3]]))
    prompt = get_prompt("title-v1")
    text = f"{prompt.system}\n{prompt.user([TEXTS[0], TEXTS[3]]).rstrip()}"
    decoded = writer.model.headed.tokenizer.decode(ids)
    assert re.sub(r"\s+", " ", decoded) == re.sub(r"\s+", " ", text)


def test_drawn_titles_follow_from_the_seed(shop: Tiny, models: Callable[[str], Path]) -> None:
    def texts(seed: int) -> list[str]:
        made = CARD.build(
            TitleConfig(model=str(models("llama")), titles=4, title_tokens=6, search="sample")
        )
        made.fit(shop.problem, shop.items, FabricTrainer(seed=seed))
        before = torch.get_rng_state()
        made.generate(asking([0, 1], [2]), 4)  # type: ignore[attr-defined]
        assert torch.equal(before, torch.get_rng_state())
        return [line.answer for line in made.transcript.lines]  # type: ignore[attr-defined]

    assert texts(0) == texts(0)
    assert texts(0) != texts(1)
    assert len(set(texts(0))) > 2


# -------------------------------------------------------------------------------------------- tuned


def test_what_is_learned_is_the_title_behind_the_prompt_of_testing(
    shop: Tiny, models: Callable[[str], Path]
) -> None:
    config = TitleConfig(
        model=str(models("llama")), titles=3, title_tokens=6, targets_per_sequence=5
    )
    writer = LocalWriter(config, list(TEXTS), 5, 0)
    pairs = TitlePairs(writer, config, shop.problem, TEXTS)
    batches = list(pairs.epoch(np.random.default_rng(0)))
    spelling, model = writer.model.spelling, writer.model.headed.model
    seen = {}
    for items in shop.problem.train:
        for at in range(1, len(items)):
            if not TEXTS[items[at]]:
                continue
            (prompt,) = writer.prompts(Ragged.from_lists([items[max(0, at - 5) : at].tolist()]))
            title = spelling.texts([TEXTS[items[at]]], str)[0][:5]
            seen[(*prompt.tolist(), *title.tolist(), writer.model.ends[0])] = len(title) + 1
    assert batches
    total, n = 0.0, 0
    for batch in batches:
        for tokens, answer in zip(batch.texts.to_lists(), batch.answer.tolist(), strict=True):
            assert seen[tuple(tokens)] == answer
            # The same by the whole logits of one text.
            logits: Any = model(torch.tensor([tokens])).logits[0, -answer - 1 : -1]  # type: ignore[operator]
            wanted = torch.tensor(tokens[-answer:])
            total += functional.cross_entropy(logits, wanted, reduction="sum").item()
            n += answer
        assert title_loss(writer, batch).item() == pytest.approx(total / n, rel=1e-5)
        total, n = 0.0, 0


def test_a_tuned_model_writes_what_came_next(models: Callable[[str], Path]) -> None:
    """Everybody takes item 5 after whatever: a model that was taught knows, another does not."""
    case = tiny("seqrec")
    always = Ragged.from_lists([[i % 4, 5, 5] for i in range(40)])
    problem = case.problem.__class__(**{**vars(case.problem), "train": always, "n_users": 40})
    shop = Tiny(problem, case.protocol, case.items, case.forms)
    changes: Any = {"tune": "full", "epochs": 30, "lr": 3e-3, "batch_size": 8, "title_tokens": 24}
    made = local(models("llama"), shop, **changes)
    assert made.generate(asking([1], [0]), 3).items[:, 0].tolist() == [5, 5]
    assert made.account().counts["exact"] >= 2
    plain = local(models("llama"), shop, title_tokens=24)
    plain.generate(asking([1], [0]), 3)
    assert plain.account().probes["title_miss_rate"] == 1


def test_adapters_alone_are_trained_and_saved(shop: Tiny, models: Callable[[str], Path]) -> None:
    made = CARD.build(
        TitleConfig(
            model=str(models("llama")), titles=2, title_tokens=4, tune="lora", epochs=1, lora_rank=2
        )
    )
    report = made.fit(shop.problem, shop.items, FabricTrainer(seed=0))
    assert report.parameters > 0
    writer = made._writer  # type: ignore[attr-defined]
    names = set(writer.model.headed.model.state_dict())
    assert names and all("lora" in name for name in names)


# -------------------------------------------------------------------------------------- conformance

WRITER = add_head(
    tiny_language_model(Path(mkdtemp()), "llama", max_position_embeddings=512, num_hidden_layers=2)
)
atexit.register(rmtree, WRITER, ignore_errors=True)
BRIEF: dict[str, Any] = {"model": str(WRITER), "titles": 3, "title_tokens": 6, "max_length": 500}


class TestLLMTitle(RecommenderTests):
    card = CARD
    config: ClassVar = BRIEF


class TestLLMTitleDrawn(RecommenderTests):
    card = CARD
    config: ClassVar = {**BRIEF, "search": "sample", "nearest": "tfidf-svd"}


class TestLLMTitleTuned(RecommenderTests):
    card = CARD
    config: ClassVar = {**BRIEF, "tune": "lora", "epochs": 1, "lora_rank": 2}


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model": ""}, "which language model"),
        ({"prompt": "next-v1"}, "wants one of titles"),
        ({"tune": "lora"}, "cannot be tuned"),
        ({"nearest": "no-such-encoder"}, "no-such-encoder"),
    ],
)
def test_what_cannot_be_meant_is_refused_before(changes: dict[str, Any], what: str) -> None:
    assert CARD.check is not None
    with pytest.raises(UsageError, match=what):
        CARD.check(TitleConfig(**{"model": "openai:m", **changes}), "text")


def test_an_encoder_decoder_is_not_tuned(shop: Tiny, models: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match="titles are learned by models that continue a text"):
        local(models("t5"), shop, tune="lora", epochs=1)


def test_identity_is_model_prompt_and_what_says_which_is_near(
    models: Callable[[str], Path],
) -> None:
    assert CARD.weights is not None
    config = TitleConfig(model=str(models("llama")))
    plain = CARD.weights(config, "text", False)
    near = CARD.weights(config.model_copy(update={"nearest": "tfidf-svd"}), "text", False)
    assert plain is not None and get_prompt("title-v1").hash in plain
    assert near is not None and near.startswith(plain) and "tfidf-svd" in near


def test_who_was_not_fitted_says_so() -> None:
    made = CARD.build(TitleConfig(model="openai:m"))
    with pytest.raises(UsageError, match="not fitted"):
        made.generate(asking([0]), 1)  # type: ignore[attr-defined]
