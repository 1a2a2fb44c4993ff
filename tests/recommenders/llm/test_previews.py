"""What is said before anything is asked: the very prompts, their tokens, about the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tastebench.contracts import Items, Queries
from tastebench.recommenders import get_recommender
from tastebench.recommenders.llm.llm import LLMConfig
from tastebench.recommenders.llm.llm_next import NextConfig
from tastebench.recommenders.llm.llm_rank import RankConfig
from tastebench.recommenders.llm.llm_title import TitleConfig
from tastebench.recommenders.llm.outlook import Work
from tastebench.recommenders.llm.prompt import get_prompt
from tastebench.testing.language_models import add_head, tiny_language_model
from tastebench.testing.server import RemoteServer
from tastebench.testing.tiny import TEXTS, Tiny, tiny
from tastebench.training.fit import FabricTrainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny_language_model(
        tmp_path_factory.mktemp("model") / "small", "llama", max_position_embeddings=1024
    )
    return add_head(made)


@pytest.fixture
def sequences() -> Tiny:
    return tiny("seqrec")


def of(name: str) -> Callable[[Any, Any, Items], Any]:
    preview = get_recommender(name).preview
    assert preview is not None
    return preview


def only(items: Items, *forms: Any) -> Items:
    return replace(
        items,
        forms=forms,
        code=items.code if "code" in forms else None,
        text=items.text if "text" in forms else None,
    )


def test_llm_next_says_the_prompts_that_it_will_read(folder: Path, sequences: Tiny) -> None:
    config = NextConfig(model=str(folder), epochs=1, lora_rank=2, beams=4)
    told = of("llm-next")(config, sequences.problem, only(sequences.items, "code"))
    n = len(sequences.problem.test.history) + len(sequences.problem.valid.history)
    assert (told.requests, told.completion_tokens, told.usd) == (n, 2 * n, 0.0)
    history = sequences.problem.test.history[0].tolist()[-5:]
    shown = get_prompt("next-v1").user([f"<item {i}, code 1><item {i}, code 2>" for i in history])
    assert "".join(told.prompts[0].split()) == "".join(shown.split())
    # The network itself, asked about both parts, reads as many.
    recommender: Any = get_recommender("llm-next").build(config)
    recommender.fit(sequences.problem, only(sequences.items, "code"), FabricTrainer(seed=0))
    read = 0
    for part in (sequences.problem.test, sequences.problem.valid):
        recommender.generate(Queries(len(part.history), part.history, part.user), 2)
        read += recommender.account().prompt_tokens
    assert told.prompt_tokens == read
    assert told.seconds is not None and told.seconds > 0


def test_llm_next_over_ids_has_a_token_an_item(folder: Path, sequences: Tiny) -> None:
    config = NextConfig(model=str(folder))
    told = of("llm-next")(config, sequences.problem, only(sequences.items, "id"))
    assert told.completion_tokens == told.requests
    assert "code 1>" in told.prompts[0] and "code 2>" not in told.prompts[0]


def test_what_does_not_fit_is_not_shown(folder: Path, sequences: Tiny) -> None:
    config = NextConfig(model=str(folder))
    whole = of("llm-next")(config, sequences.problem, only(sequences.items, "code"))
    config = NextConfig(model=str(folder), max_length=whole.prompt_tokens // whole.requests)
    cut = of("llm-next")(config, sequences.problem, only(sequences.items, "code"))
    assert cut.prompt_tokens < whole.prompt_tokens
    newest = sequences.problem.test.history[0].tolist()[-1]
    assert f"<item {newest}, code 1>" in cut.prompts[0]
    assert len(cut.prompts[0]) < len(whole.prompts[0])


def test_a_model_that_is_not_here_is_guessed_and_takes_nobody_knows_how_long(
    sequences: Tiny,
) -> None:
    told = of("llm-next")(
        NextConfig(model="nobody/has-this"), sequences.problem, only(sequences.items, "code")
    )
    assert told.seconds is None and told.prompt_tokens > 10 * told.requests
    assert "<item " in told.prompts[0]


def test_items_that_are_tokens_are_named_in_prompts_of_llm(folder: Path) -> None:
    shop = tiny("ctr")
    config = LLMConfig(model=str(folder), tune="lora", epochs=2)
    told = of("llm")(config, shop.problem, only(shop.items, "code"))
    history = shop.problem.history[int(shop.problem.test.context[0])].tolist()[-5:]
    item = int(shop.problem.test.item[0])
    names = [f"<item {i}, code 1><item {i}, code 2>" for i in (*history, item)]
    shown = get_prompt("yes-no-v1").user(names[:-1], names[-1:])
    assert "".join(told.prompts[0].split()) == "".join(shown.split())
    assert told.requests == len(shop.problem.test) + len(shop.problem.valid)


def test_time_counts_what_is_shared_once_and_training(folder: Path) -> None:
    shop = tiny("ctr")
    preview = of("llm")
    asked = preview(LLMConfig(model=str(folder)), shop.problem, only(shop.items, "text"))
    tuned = {
        epochs: preview(
            LLMConfig(model=str(folder), tune="lora", epochs=epochs),
            shop.problem,
            only(shop.items, "text"),
        ).seconds
        for epochs in (1, 2)
    }
    assert 0 < asked.seconds < tuned[1] < tuned[2]
    assert tuned[2] - tuned[1] == pytest.approx(tuned[1] - asked.seconds)
    # Four candidates share a prefix: less than for whole prompts.
    whole = Work(asked=asked.prompt_tokens).seconds(str(folder), "auto", trust_remote_code=False)
    assert whole is not None and asked.seconds < 0.6 * whole


def test_llm_rank_and_llm_title_say_about_how_long(folder: Path, sequences: Tiny) -> None:
    shop = tiny("ctr")
    told = of("llm-rank")(RankConfig(model=str(folder)), shop.problem, only(shop.items, "text"))
    assert told.seconds is not None and told.seconds > 0
    config = TitleConfig(model=str(folder), titles=4)
    told = of("llm-title")(config, sequences.problem, only(sequences.items, "text"))
    n = len(sequences.problem.test.history) + len(sequences.problem.valid.history)
    assert told.requests == n and told.completion_tokens == 4 * 12 * n
    assert TEXTS[sequences.problem.test.history[0][-1]] in told.prompts[0]
    tuned = of("llm-title")(
        config.model_copy(update={"tune": "lora"}), sequences.problem, only(sequences.items, "text")
    )
    assert 0 < told.seconds < tuned.seconds


def test_titles_of_a_server_cost_a_request_each_and_nobody_is_asked(sequences: Tiny) -> None:
    with RemoteServer(chat=lambda body: "Yes") as server:
        config = TitleConfig(model=f"openai:m@{server.url}", titles=3)
        told = of("llm-title")(config, sequences.problem, only(sequences.items, "text"))
        assert not server.requests
    n = len(sequences.problem.test.history) + len(sequences.problem.valid.history)
    assert told.requests == 3 * n and told.prompt_tokens > 20 * told.requests
    assert told.usd is None and told.seconds is not None
