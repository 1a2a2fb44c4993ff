"""What a model's answers depend on besides: known models, known answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench import files
from tastebench.contracts import Candidates, CtrProblem, Items, Pairs
from tastebench.lm.spending import BudgetError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.askers import candidates_of, of_some_users
from tastebench.recommenders.llm.llm import CARD, LLMConfig
from tastebench.recommenders.llm.memorisation import memorised
from tastebench.recommenders.llm.probes import Probed, added, reordered, spread
from tastebench.tasks import TASKS
from tastebench.testing.language_models import add_head, tiny_language_model
from tastebench.testing.server import RemoteServer
from tastebench.testing.tiny import TEXTS, Tiny
from tastebench.training.fit import FabricTrainer


def test_rows_become_candidates_as_the_task_asks_them(shop: Tiny) -> None:
    asked: Any = TASKS.get("ctr").ask(shop.problem, shop.protocol, "test", shop.forms)
    order = np.random.default_rng(0).permutation(len(shop.problem.test))
    shuffled = shop.problem.test[order]
    candidates, rows = candidates_of(shop.problem, shuffled)
    assert candidates.history.to_lists() == asked.candidates.history.to_lists()
    assert candidates.user.tolist() == asked.candidates.user.tolist()
    assert [sorted(row) for row in candidates.items.to_lists()] == [
        sorted(row) for row in asked.candidates.items.to_lists()
    ]
    assert len(of_some_users(rows, 1)) == 4 and len(of_some_users(rows, 9)) == 8


def test_the_spread_is_of_the_metric_and_agreement_of_the_order() -> None:
    rows = Pairs(
        context=np.array([0, 0, 0, 1, 1]),
        user=np.array([0, 0, 0, 1, 1]),
        item=np.arange(5, dtype=np.int32),
        label=np.array([1, 0, 0, 1, 0], dtype=np.int8),
        group=np.array([0, 0, 0, 1, 1]),
    )
    items = Ragged(rows.item, np.array([0, 3, 5]))
    candidates = Candidates(Ragged.from_lists([[], []]), np.array([0, 1]), items)
    right = np.array([3.0, 2, 1, 1, 0])  # AUC 1 and 1
    half = np.array([2.0, 3, 1, 0, 1])  # AUC 1/2 and 0
    found = spread("order", [right, half], candidates, rows)
    assert found["order_gauc_best"] == 1.0
    # Unweighted over groups, as the metric is.
    assert found["order_gauc_worst"] == 0.25
    assert found["order_gauc_mean"] == 0.625
    # Pairs: (0,1) turned round, (0,2) and (1,2) as before, (3,4) turned round.
    assert found["order_agreement"] == 0.0
    assert "order_agreement" not in spread("order", [right], candidates, rows)


def test_shuffling_a_history_keeps_its_items() -> None:
    history = Ragged.from_lists([[1, 2, 3, 4, 5, 6, 7], [], [8, 9]])
    other = reordered(history, np.random.default_rng(0))
    assert [sorted(row) for row in other.to_lists()] == history.to_lists()
    assert other.to_lists()[0] != history.to_lists()[0]


def likes(body: dict[str, Any]) -> str:
    """Yes to red and tea things; the terse prompt turns it round; blue first means no."""
    content = body["messages"][-1]["content"]
    text = re.split(r"Candidate item:|To be judged:|offer this today:", content)[-1].split("\n")[0]
    yes = "tea" in text or "red" in text or "steel" in text
    if "To be judged" in content:
        yes = not yes
    return "Yes" if yes else "No"


def test_wording_and_order_are_measured_on_the_validation_part_beside_the_scores(
    shop: Tiny,
) -> None:
    with RemoteServer(chat=likes) as server:
        plain = CARD.build(LLMConfig(model=f"openai:m@{server.url}"))
        plain.fit(shop.problem, shop.items, FabricTrainer(seed=0))
        config = LLMConfig(model=f"openai:m@{server.url}", probes={"users": 9, "orders": 3})
        probed = CARD.build(config)
        assert isinstance(probed, Probed)
        probed.fit(shop.problem, shop.items, FabricTrainer(seed=0))
        test = candidates_of(shop.problem, shop.problem.test)[0]
        first = probed.account()
        expected = plain.score(test)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(probed.score(test), expected)
        second = probed.account()
        own = plain.account()  # type: ignore[attr-defined]
    probes = first.probes
    of_its_own = {name for name in probes if name.endswith("_per_thousand")}
    assert {k: v for k, v in second.probes.items() if k not in of_its_own} == {
        k: v for k, v in probes.items() if k not in of_its_own
    }
    # What a thousand scores take is of the scores alone, whatever was asked besides.
    assert second.probes["prompt_tokens_per_thousand"] == 1000 * second.prompt_tokens / 8
    # Users 4 and 5 are shown 9, 8, 0, 1 and 2, 3, 6, 7, and took the first two of each. The model
    # likes 0 of the one and all but 3 of the other: an AUC of 1/4 each, turned round 3/4. Of the
    # pairs of each six, half are not tied.
    assert probes["order_gauc_mean"] == probes["order_gauc_worst"] == 0.25
    assert probes["order_agreement"] == 0.5
    assert probes["wording_gauc_worst"] == 0.25 and probes["wording_gauc_best"] == 0.75
    assert probes["wording_gauc_mean"] == pytest.approx((0.25 + 0.75 + 0.25) / 3)
    assert probes["wording_agreement"] == pytest.approx(0.0)
    # What they took is told; counts are of the run's own prompt.
    assert first.requests + second.requests + own.requests == len(server.requests)
    assert first.counts["answered"] == 3 * 8


def test_a_cap_is_on_all_that_a_run_asks(shop: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    with RemoteServer(chat=likes) as server:
        config = LLMConfig(model=f"openai:m@{server.url}", probes={"users": 9, "orders": 1})
        CARD.build(config).fit(shop.problem, shop.items, FabricTrainer(seed=0))
        whole = [len(str(request.body["messages"]).split()) for request in server.requests]
    monkeypatch.setenv("TASTEBENCH_HOME", str(files.home() / "other"))
    monkeypatch.setenv("TASTEBENCH_REMOTE_MAX_TOKENS", str(sum(whole) * 2 // 3))
    monkeypatch.setenv("TASTEBENCH_REMOTE_CONCURRENCY", "1")
    with RemoteServer(chat=likes) as server:
        config = LLMConfig(model=f"openai:m@{server.url}", probes={"users": 9, "orders": 1})
        with pytest.raises(BudgetError):
            CARD.build(config).fit(shop.problem, shop.items, FabricTrainer(seed=0))
        assert len(whole) / 3 < len(server.requests) < len(whole)


def test_a_local_model_is_probed_alike(shop: Tiny, tmp_path: Path) -> None:
    folder = add_head(tiny_language_model(tmp_path / "m", "llama", max_position_embeddings=1024))
    probes = {"users": 9, "orders": 2, "wordings": ["yes-no-v1"], "titles": 3}
    config = LLMConfig(model=str(folder), prompt="yes-no-chat-v1", probes=probes)
    probed: Any = CARD.build(config)
    probed.fit(shop.problem, shop.items, FabricTrainer(seed=0))
    account = probed.account()
    names = {"order_gauc_mean", "order_agreement", "wording_gauc_worst", "wording_agreement"}
    assert names <= set(account.probes)
    assert account.probes["memory_titles"] == 0.0
    assert account.requests == 0 and account.prompt_tokens > 0


# --------------------------------------------------------------------------------- memorisation

TITLES = [f"{a} {b} {c} of number {a}" for a in "ABCDE" for b in ("lamp", "tent") for c in "XYZ"]


def library() -> tuple[CtrProblem, Items]:
    rng = np.random.default_rng(3)
    n = len(TITLES)
    history = Ragged.from_lists([rng.permutation(n)[: rng.integers(3, 15)] for _ in range(20)])
    users = np.arange(20)
    label = np.ones(20, dtype=np.int8)
    train = Pairs(users, users, np.zeros(20, dtype=np.int32), label, users)
    none = train[np.zeros(20, dtype=bool)]
    problem = CtrProblem(n, 20, 20, history, train, none, none)
    return problem, Items(n=n, text=["x"] * n, columns={"title": TITLES})


class Knows:
    """A model that has seen some of it."""

    def __init__(self, titles: bool, next_of: dict[tuple[str, ...], str]) -> None:
        self.titles, self.next_of = titles, next_of
        self.asked: list[str] = []

    def ask(self, conversations: list[list[dict[str, str]]], *, max_tokens: int) -> list[Any]:
        from tastebench.lm.calls import Call

        return [
            Call("", "", self.say(one[-1]["content"]), "stop", None, 1, 1, 0.0)
            for one in conversations
        ]

    def say(self, content: str) -> str:
        self.asked.append(content)
        if "Title: " in content:
            begin = content.split("Title: ")[1]
            known = [title for title in TITLES if title.startswith(f"{begin} ")]
            # The rest alone, or the whole title, in capitals: both are right.
            return (
                (known[0][len(begin) :] if "lamp" in begin else known[0].upper())
                if (self.titles and known)
                else "no idea"
            )
        shown = tuple(re.findall(r"^\(\d+\) (.*)$", content, re.MULTILINE))
        return self.next_of.get(shown, "no idea")


def test_a_model_that_knows_everything_and_one_that_knows_nothing() -> None:
    problem, items = library()
    named = [[TITLES[i] for i in history[-11:]] for history in problem.history if len(history) > 4]
    known = Knows(True, {tuple(own[:-1]): f"{own[-1]}\nand more" for own in named})
    found = memorised(known, problem, items, 12, np.random.default_rng(0))
    assert found["memory_titles"] == found["memory_histories"] == 1.0
    # Shuffled words begin no title, and somebody else took something else.
    assert found["memory_titles_shuffled"] == 0.0
    assert found["memory_histories_of_others"] < 0.5
    assert len(known.asked) == 3 * 12
    ignorant = memorised(Knows(False, {}), problem, items, 12, np.random.default_rng(0))
    assert set(ignorant) == set(found) and not any(ignorant.values())
    again = memorised(Knows(False, {}), problem, items, 12, np.random.default_rng(0))
    assert again == ignorant


def test_an_empty_answer_completes_nothing_and_a_small_catalogue_has_nothing_to_ask(
    shop: Tiny,
) -> None:
    problem, items = library()
    silent = Knows(False, {})
    silent.say = lambda content: ""  # type: ignore[method-assign]
    assert not any(memorised(silent, problem, items, 5, np.random.default_rng(0)).values())
    short = Items(n=2, text=["a b", "c"])
    none = CtrProblem(2, 1, 5, Ragged.from_lists([[0]]), *[problem.valid] * 3)
    assert memorised(silent, none, short, 5, np.random.default_rng(0)) == {}


def test_accounts_add_up() -> None:
    from tastebench.contracts import Account

    one = Account({"a": 1}, 10, 2, 3, 4, 0.5, np.array([1.0]), {"p": 1.0})
    two = Account({"a": 2, "b": 1}, 1, 1, 1, 1, None, None, {})
    both = added([one, two])
    assert both.counts == {"a": 3, "b": 1} and both.usd == 0.5
    assert (both.prompt_tokens, both.completion_tokens, both.requests, both.kept) == (11, 3, 4, 5)
    assert both.seconds is not None and both.seconds.tolist() == [1.0]
    assert added([two]).seconds is None and added([two]).usd is None


def test_titles_are_texts_where_there_is_no_such_column(shop: Tiny) -> None:
    with RemoteServer(chat=lambda body: "x") as server:
        config = LLMConfig(model=f"openai:m@{server.url}", probes={"titles": 2})
        probed: Any = CARD.build(config)
        items = Items(n=len(TEXTS), text=TEXTS, forms=("text",))
        probed.fit(shop.problem, items, FabricTrainer(seed=0))
        asked = [r.body["messages"][-1]["content"] for r in server.requests]
        assert sum("Title: " in content for content in asked) == 4
        assert probed.account().requests == len(server.requests)
