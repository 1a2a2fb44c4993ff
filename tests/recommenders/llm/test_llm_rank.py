"""Lists put in order: what answers say becomes places, and where a candidate stands is measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import Candidates
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.agreement import agreement, place_correlation
from tastebench.recommenders.llm.list_ranking import ListRanking, shown_lists
from tastebench.recommenders.llm.llm_rank import CARD, RankConfig
from tastebench.tasks import TASKS
from tastebench.tasks.shown import score_all
from tastebench.testing.language_models import add_head, tiny_language_model
from tastebench.testing.server import RemoteServer
from tastebench.testing.tiny import TEXTS, Tiny
from tastebench.training.fit import FabricTrainer

ROW = {"": 11} | {text: i for i, text in enumerate(TEXTS) if text}


def shown_in(body: dict[str, Any]) -> list[int]:
    """The items that a request lists, as shown."""
    content = body["messages"][-1]["content"]
    return [ROW[text.strip()] for text in re.findall(r"^\[\d+\](.*)$", content, re.MULTILINE)]


def by_row(body: dict[str, Any]) -> str:
    """Ranks items by their rows, the highest first, wherever they are shown."""
    shown = shown_in(body)
    best_first = sorted(range(len(shown)), key=lambda place: -shown[place])
    return " > ".join(f"[{place + 1}]" for place in best_first)


def as_shown(body: dict[str, Any]) -> str:
    return " > ".join(f"[{n}]" for n in range(1, len(shown_in(body)) + 1))


def fitted(server: RemoteServer, shop: Tiny, seed: int = 0, **changes: Any) -> ListRanking:
    made = CARD.build(RankConfig(model=f"openai:small@{server.url}", **changes))
    assert isinstance(made, ListRanking)
    made.fit(shop.problem, shop.items, FabricTrainer(seed=seed))
    return made


def candidates(shop: Tiny) -> Candidates:
    shown: Any = TASKS.get("ctr").ask(shop.problem, shop.protocol, "test", shop.forms)
    found: Candidates = shown.candidates
    return found


def test_a_model_that_knows_its_order_is_understood_in_any_order_shown(shop: Tiny) -> None:
    with RemoteServer(chat=by_row) as server:
        recommender = fitted(server, shop, orders=4)
        got = recommender.score(candidates(shop))
        assert len(server.requests) == 2 * 4
        orders = {tuple(shown_in(request.body)) for request in server.requests}
    # User 6 is shown items 0, 4, 8, 9 and user 7 items 8, 11, 5, 10.
    third = 1 / 3
    np.testing.assert_allclose(got, [0, third, 2 * third, 1, third, 1, 0, 2 * third])
    assert len(orders) > 2
    account = recommender.account()
    assert account.counts["answered"] == sum(account.counts.values()) == 8
    assert account.probes["order_agreement"] == 1.0
    assert account.probes["shown_first_is_best_by_chance"] == 0.25
    assert (account.requests, account.kept) == (8, 0)
    # Eight requests about eight candidates, each in four lists.
    assert account.seconds is not None
    assert account.probes["seconds_per_thousand"] == 1000 * account.seconds.sum() / 8
    assert account.probes["prompt_tokens_per_thousand"] == 1000 * account.prompt_tokens / 8
    assert not recommender.log_odds


def test_a_model_that_copies_the_order_shown_is_found_out(shop: Tiny) -> None:
    with RemoteServer(chat=as_shown) as server:
        recommender = fitted(server, shop, orders=6)
        recommender.score(candidates(shop))
        probes = recommender.account().probes
    assert probes["place_correlation"] == 1.0
    assert probes["answered_as_shown"] == probes["shown_first_is_best"] == 1.0
    assert abs(probes["order_agreement"]) < 0.5


@pytest.mark.parametrize(
    ("answer", "partial", "places", "kind"),
    [
        ("[2] > [1] > [4] > [3]", False, [2 / 3, 1, 0, 1 / 3], "answered"),
        ("[2] > [1] > [4]", False, [0.5] * 4, "invalid"),
        ("[2] > [1] > [4]", True, [2 / 3, 1, 0, 1 / 3], "invalid"),
        ("[3] only", True, [1 / 3, 1 / 3, 1, 1 / 3], "invalid"),
        ("[2] > [2] > [9]", True, [1 / 3, 1, 1 / 3, 1 / 3], "invalid"),
        ("I cannot say.", True, [0.5] * 4, "invalid"),
        ("", False, [0.5] * 4, "invalid"),
    ],
)
def test_what_is_no_permutation_is_counted_and_used_only_if_wished(
    shop: Tiny, answer: str, partial: bool, places: list[float], kind: str
) -> None:
    with RemoteServer(chat=lambda body: answer) as server:
        recommender = fitted(server, shop, orders=1, partial=partial)
        asked = candidates(shop)
        got = recommender.score(asked)
        shown = list(shown_lists(asked, recommender.config, 0))
        for one in shown:
            np.testing.assert_allclose(got[one.rows], places)
        assert recommender.account().counts[kind] == 2


def test_refusals_are_counted(shop: Tiny) -> None:
    def chat(body: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": None, "refusal": "I will not rank."}
        return {"message": message, "finish_reason": "stop"}

    with RemoteServer(chat=chat) as server:
        recommender = fitted(server, shop, orders=2)
        assert (recommender.score(candidates(shop)) == 0.5).all()
        account = recommender.account()
    assert account.counts["refused"] == 4
    assert "place_correlation" not in account.probes


def many(n: int, rng: np.random.Generator) -> Candidates:
    lengths = rng.integers(0, 9, n)
    items = Ragged.from_lengths(rng.integers(0, 12, lengths.sum()).astype(np.int32), lengths)
    history = Ragged.from_lists([[0, 1]] * n)
    return Candidates(history, np.arange(n), items)


def test_every_candidate_is_shown_once_an_order_and_never_in_too_long_a_list() -> None:
    asked = many(20, np.random.default_rng(0))
    config = RankConfig(list_size=3, orders=4)
    shown = list(shown_lists(asked, config, 7))
    assert max(len(one.rows) for one in shown) == 3
    lengths = asked.items.lengths[asked.items.rows]
    for turn in range(4):
        rows = np.concatenate([one.rows for one in shown if one.turn == turn])
        assert len(rows) == len(set(rows.tolist()))
        # Who is alone, in all or in what is left of a list, is not asked about.
        assert (lengths[rows] > 1).all()
        assert set(np.flatnonzero(lengths > 1)) == set(rows.tolist())
    together = {turn: str([o.rows.tolist() for o in shown if o.turn == turn]) for turn in range(4)}
    assert len(set(together.values())) == 4


def test_what_an_asker_is_shown_follows_from_the_seed_and_from_nobody_else() -> None:
    asked = many(20, np.random.default_rng(0))
    config = RankConfig(list_size=4)
    whole = list(shown_lists(asked, config, 7))
    part = list(shown_lists(asked[5:9], config, 7))
    moved = asked.items.offsets[5]
    expected = [o.rows.tolist() for o in whole if 5 <= o.asker < 9]
    assert [(o.rows + moved).tolist() for o in part] == expected
    assert [o.rows.tolist() for o in shown_lists(asked, config, 8)] != [
        o.rows.tolist() for o in whole
    ]


def test_a_second_run_of_the_same_seed_asks_nothing(shop: Tiny) -> None:
    with RemoteServer(chat=by_row) as server:
        first = fitted(server, shop).score(candidates(shop))
        n = len(server.requests)
        again = fitted(server, shop)
        np.testing.assert_array_equal(again.score(candidates(shop)), first)
        assert len(server.requests) == n
        account = again.account()
        assert (account.requests, account.kept) == (0, n)
        other = fitted(server, shop, seed=1)
        np.testing.assert_allclose(other.score(candidates(shop)), first)
        assert len(server.requests) > n


def test_a_preview_asks_nobody(shop: Tiny) -> None:
    with RemoteServer(chat=by_row) as server:
        assert CARD.preview is not None
        config = RankConfig(model=f"openai:small@{server.url}", list_size=3)
        told = CARD.preview(config, shop.problem, shop.items)
        assert not server.requests
    # Two parts of two users, whose four candidates take two lists, three times.
    assert told.requests == 2 * 2 * 2 * 3
    assert told.completion_tokens > 0 and told.prompt_tokens > 100 * told.requests
    assert "Candidate items:" in told.prompts[0]


def test_a_preview_loads_no_model(shop: Tiny) -> None:
    assert CARD.preview is not None
    told = CARD.preview(RankConfig(model="./not-here-yet"), shop.problem, shop.items)
    assert told.requests == 2 * 2 * 3 and told.usd == 0.0 and told.prompts


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"model": ""}, "which language model"), ({"prompt": "yes-no-v1"}, "wants one of lists")],
)
def test_what_cannot_be_meant_is_refused_before(changes: dict[str, Any], what: str) -> None:
    assert CARD.check is not None
    with pytest.raises(UsageError, match=what):
        CARD.check(RankConfig(**{"model": "openai:m", **changes}), "text")


def test_lists_without_room_are_refused(shop: Tiny) -> None:
    with RemoteServer(chat=by_row) as server, pytest.raises(UsageError, match="have no room"):
        fitted(server, shop, list_size=200, max_length=600, answer_tokens=8)


# ------------------------------------------------------------------------------- on this machine


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("models")
    changes: dict[str, dict[str, Any]] = {
        "llama": {"max_position_embeddings": 4096},
        "t5": {"decoder_start_token_id": 0},
        "bert": {"max_position_embeddings": 512},
    }

    def get(architecture: str) -> Path:
        folder = root / architecture
        if not folder.exists():
            add_head(tiny_language_model(folder, architecture, **changes[architecture]))
        return folder

    return get


def local(folder: Path, shop: Tiny, **changes: Any) -> ListRanking:
    small = {"list_size": 4, "max_length": 2000, "answer_tokens": 12, "orders": 2}
    made = CARD.build(RankConfig(model=str(folder), **{**small, **changes}))
    assert isinstance(made, ListRanking)
    made.fit(shop.problem, shop.items, FabricTrainer(seed=0))
    return made


@pytest.mark.parametrize("architecture", ["llama", "t5"])
def test_a_local_model_writes_what_it_would_alone(
    shop: Tiny, models: Callable[[str], Path], architecture: str
) -> None:
    """Batches of padded prompts against one prompt at a time, by transformers' own loop."""
    import torch
    import transformers

    from tastebench.recommenders.llm.local_model import LocalModel

    recommender = local(models(architecture), shop)
    asking, ours = recommender._asking, recommender._model
    assert asking is not None and isinstance(ours, LocalModel)
    asked = candidates(shop)
    conversations, _ = asking.conversations(asked, list(shown_lists(asked, recommender.config, 0)))
    conversations[0][-1]["content"] = "the red wool"  # one that is much shorter
    calls = ours.ask(conversations, max_tokens=12)
    load: Any = transformers
    kind = "AutoModelForCausalLM" if architecture == "llama" else "AutoModelForSeq2SeqLM"
    model = getattr(load, kind).from_pretrained(models(architecture)).eval()
    tokenizer = load.AutoTokenizer.from_pretrained(models(architecture))
    system = asking.words.prompt.system
    for call, conversation in zip(calls, conversations, strict=True):
        # The pieces of a prompt are read behind something else, the same way as in batches.
        ids = ours.spelling.piece(f"{system}\n{conversation[-1]['content']}")
        with torch.inference_mode():
            made = model.generate(
                torch.from_numpy(ids.astype(np.int64))[None], max_new_tokens=12, do_sample=False
            )[0]
        own = made[len(ids) :] if architecture == "llama" else made[1:]
        assert call.text == tokenizer.decode(own, skip_special_tokens=True)
    if architecture == "llama":
        assert len({call.text for call in calls}) > 1
    account = recommender.account()
    assert account.seconds is None and account.usd is None and account.requests == 0
    assert account.prompt_tokens == sum(call.prompt_tokens for call in calls)
    assert "seconds_per_thousand" not in account.probes  # no candidate was scored


def test_a_local_model_that_knows_nothing_gives_all_the_same_place(
    shop: Tiny, models: Callable[[str], Path]
) -> None:
    recommender = local(models("llama"), shop)
    assert (score_all(recommender, candidates(shop)) == 0.5).all()
    account = recommender.account()
    assert account.counts["invalid"] == 4
    assert account.probes["completion_tokens_per_thousand"] == 1000 * account.completion_tokens / 8
    assert account.probes["seconds_per_thousand"] > 0


def test_a_model_that_writes_nothing_is_refused(shop: Tiny, models: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match="writes none"):
        local(models("bert"), shop)


def test_a_prompt_longer_than_the_model_is_an_error(
    shop: Tiny, models: Callable[[str], Path]
) -> None:
    recommender = local(models("llama"), shop)
    assert recommender._model is not None
    long = [{"role": "user", "content": "kettle " * 4100}]
    with pytest.raises(DataError, match="more than the 4,096"):
        recommender._model.ask([long], max_tokens=12)


# ----------------------------------------------------------------------------------- agreement


def test_agreement_is_kendalls_tau_within_lists() -> None:
    from scipy.stats import kendalltau

    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 7, 30)
    a, b = rng.permutation(lengths.sum()), rng.permutation(lengths.sum())
    ends = np.cumsum(lengths)
    pairs = lengths * (lengths - 1) / 2
    taus = [
        kendalltau(a[e - n : e], b[e - n : e]).statistic for e, n in zip(ends, lengths, strict=True)
    ]
    assert agreement(a, b, lengths) == pytest.approx(np.average(taus, weights=pairs))
    assert np.isnan(agreement(a[:2], b[:2], np.array([1, 1])))
    assert agreement(np.array([1.0, 1, 0]), np.array([2.0, 1, 0]), np.array([3])) == 2 / 3


def test_place_correlation_is_spearmans() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(1)
    for n in (2, 3, 10):
        order = rng.permutation(n)
        assert place_correlation(order) == pytest.approx(spearmanr(np.arange(n), order).statistic)
