"""Real language models behind real servers: one of ours, and `transformers serve`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.recommenders.llm.llm import CARD, LLMConfig
from tastebench.recommenders.llm.llm_rank import CARD as RANK
from tastebench.recommenders.llm.llm_rank import RankConfig
from tastebench.tasks import TASKS
from tastebench.tasks.shown import score_all
from tastebench.testing.language_models import add_head, tiny_language_model
from tastebench.testing.server import RemoteServer
from tastebench.testing.serving import ModelChat
from tastebench.testing.tiny import Tiny
from tastebench.training.fit import FabricTrainer

TEMPLATE = (
    "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}Answer: {% endif %}"
)
PROMPT = """
name: letters
version: 1
kind: pairwise
history: "Once there was\\n"
entry: "- {item}\\n"
empty: "nothing\\n"
candidate: "and then {item}\\n"
answer: "He said "
yes: "%s"
no: "%s"
"""


def candidates(shop: Tiny) -> Any:
    asked: Any = TASKS.get("ctr").ask(shop.problem, shop.protocol, "test", shop.forms)
    return asked.candidates


def test_scores_over_http_are_those_of_the_model(
    shop: Tiny, asset: Callable[[str], Path], tmp_path: Path
) -> None:
    """A trained model; expected values by a forward pass of its own."""
    import torch

    model = ModelChat(asset("models/stories260k"))
    with RemoteServer(chat=model) as server:
        path = tmp_path / "letters.yaml"
        # Words of one token each that a teller of stories is likely to begin with.
        path.write_text(PROMPT % ("I", "the"))
        config = LLMConfig(model=f"openai:stories@{server.url}", prompt=str(path))
        recommender: Any = CARD.build(config)
        recommender.fit(shop.problem, shop.items, FabricTrainer(seed=0))
        assert recommender.log_odds
        got = score_all(recommender, candidates(shop))
        counts = recommender.account().counts
    expected = []
    for conversation in recommender._asking.conversations(
        candidates(shop).history, candidates(shop).items.rows, candidates(shop).items.values
    )[0]:
        ids = model.tokenizer(model.prompt(conversation), return_tensors="pt")["input_ids"]
        for _ in range(8):
            with torch.inference_mode():
                logs = model.model(ids).logits[0, -1].log_softmax(-1)
            best = int(logs.argmax())
            text = model.tokenizer.convert_ids_to_tokens(best).replace("▁", " ").strip(' .,!?"')
            if text:
                break
            ids = torch.cat([ids, torch.tensor([[best]])], dim=1)
        top = logs.topk(20)
        names = model.tokenizer.convert_ids_to_tokens(top.indices.tolist())
        plain = [name.replace("▁", " ").strip(' .,!?"').casefold() for name in names]
        p = top.values.double().exp().numpy()
        mass = [
            p[[bool(one) and word.startswith(one) for one in plain]].sum() or p.min()
            for word in ("i", "the")
        ]
        expected.append(np.log(mass[0] / mass[1]))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert len(set(np.round(got, 6))) > 4  # it does read the items
    assert counts["answered"] == len(got)


def test_a_model_that_knows_stories_alone_says_neither_yes_nor_no(
    shop: Tiny, asset: Callable[[str], Path]
) -> None:
    with RemoteServer(chat=ModelChat(asset("models/stories260k"))) as server:
        recommender: Any = CARD.build(LLMConfig(model=f"openai:stories@{server.url}"))
        recommender.fit(shop.problem, shop.items, FabricTrainer(seed=0))
        got = score_all(recommender, candidates(shop))
        counts = recommender.account().counts
    assert counts["unparsed"] + counts["answered"] == len(got)
    assert (got[got != 0] != 0).sum() == counts["answered"]


# --------------------------------------------------------------------------- transformers serve


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A tiny model with random weights behind `transformers serve`."""
    pytest.importorskip("fastapi", reason="transformers serve needs transformers[serving]")
    root = tmp_path_factory.mktemp("serve")
    folder = add_head(tiny_language_model(root / "tiny", "llama", max_position_embeddings=2048))
    settings = folder / "tokenizer_config.json"
    values = {**json.loads(settings.read_text()), "chat_template": TEMPLATE}
    settings.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("transformers")
    if not command.exists():
        found = shutil.which("transformers")
        assert found is not None
        command = Path(found)
    place = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            [command, "serve", *place],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            cwd=root,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process, root / "log")
            yield folder, f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    pytest.fail(f"transformers serve did not start: {log.read_text()[-2000:]}")


def test_transformers_serve_is_asked_and_says_the_words_that_are_read(
    shop: Tiny, served: tuple[Path, str], tmp_path: Path
) -> None:
    """It ignores the wish for log-probabilities, so words are read; a random model says none."""
    folder, url = served
    config = LLMConfig(model=f"openai:{folder}@{url}", prompt="yes-no-chat-terse-v1")
    recommender: Any = CARD.build(config)
    recommender.fit(shop.problem, shop.items, FabricTrainer(seed=0))
    assert not recommender.log_odds
    got = score_all(recommender, candidates(shop))
    account = recommender.account()
    assert account.counts["unparsed"] + account.counts["answered"] == len(got) == 8
    assert account.prompt_tokens > 8 * 20  # as the server counts them
    assert account.seconds is not None and (account.seconds > 0).all()
    # The same model here says the same.
    chat = ModelChat(folder)
    known = recommender._asking.model.known
    for conversation in recommender._asking.conversations(
        candidates(shop).history, candidates(shop).items.rows, candidates(shop).items.values
    )[0]:
        key = recommender._asking.model.key(conversation, max_tokens=8)
        alone = chat({"messages": conversation, "max_tokens": 8})
        assert known[key].text == alone["message"]["content"].replace("</s>", "")


def test_transformers_serve_ranks_lists(shop: Tiny, served: tuple[Path, str]) -> None:
    folder, url = served
    config = RankConfig(model=f"openai:{folder}@{url}", answer_tokens=8, orders=2)
    recommender: Any = RANK.build(config)
    recommender.fit(shop.problem, shop.items, FabricTrainer(seed=0))
    got = recommender.score(candidates(shop))
    counts = recommender.account().counts
    assert np.isfinite(got).all()
    assert counts["answered"] + counts["invalid"] == 4
