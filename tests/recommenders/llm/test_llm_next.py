"""A language model over ids and semantic ids: no answer is seen, decoding is exact, all is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tastebench.contracts import (
    Account,
    Items,
    KeepsAccount,
    Queries,
    ScoresItems,
    SeqProblem,
    Targets,
)
from tastebench.encoders.catalog import minilm_folder
from tastebench.errors import DependencyError, UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.llm_next import CARD
from tastebench.recommenders.llm.next_decoding import cached, uncached
from tastebench.recommenders.llm.next_network import NextNetwork
from tastebench.recommenders.llm.next_recommender import NextRecommender
from tastebench.recommenders.seqrec.generative import as_asking
from tastebench.testing.language_models import tiny_language_model
from tastebench.training.adam import adam
from tastebench.training.fit import FabricTrainer

# Paths of two lengths; items 2 and 9 share one. The tree is dense, so that every level is asked.
CODES = np.array(
    [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, -1], [1, 1, 2], [1, 1, 0], [2, 0, 0],
     [2, 0, 2], [0, 1, 0], [2, 1, 1], [2, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]
)  # fmt: skip
N_ITEMS = len(CODES)
LENGTH = 6
PROMPT = """
name: short
version: 1
kind: next
history: "a:"
entry: "({n}) {item};"
empty: "of none"
answer: "for: "
"""
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "qwen2": ("qwen2", {"use_sliding_window": False}),
    "gpt2": ("gpt2", {}),
    "bert": ("bert", {}),
}
every_case = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Settings of a model of a kind."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "short.yaml").write_text(PROMPT, encoding="utf-8")
    made: dict[str, Path] = {}

    def settings(case: str) -> dict[str, Any]:
        kind, changes = CASES[case]
        if case not in made:
            made[case] = tiny_language_model(
                folder / case, kind, max_position_embeddings=96, num_hidden_layers=2, **changes
            )
        return {
            "model": str(made[case]),
            "prompt": str(folder / "short.yaml"),
            "device": "cpu",
            "epochs": 2,
            "lora_rank": 4,
            "lora_alpha": 8,
            "lr": 3e-3,
            "table_lr": 3e-3,
            "batch_size": 32,
        }

    return settings


Small = Callable[[str], dict[str, Any]]


def problem(train: list[list[int]]) -> SeqProblem:
    none = np.empty(0, np.int64)
    targets = Targets(none, Ragged.from_lists([]), none.astype(np.int32), none)
    return SeqProblem(N_ITEMS, len(train), LENGTH, Ragged.from_lists(train), targets, targets)


def walks(n: int, seed: int = 0, longest: int = 9) -> list[list[int]]:
    """Everyone walks round the catalogue, item after item, from anywhere."""
    rng = np.random.default_rng(seed)
    return [
        ((rng.integers(N_ITEMS) + np.arange(rng.integers(0, longest + 1))) % N_ITEMS).tolist()
        for _ in range(n)
    ]


def of(representation: str = "code", codes: np.ndarray = CODES) -> Items:
    texts = [f"a red lamp {n}" if n % 3 else "" for n in range(N_ITEMS)]
    forms: Any = tuple(representation.split("+"))
    return Items(
        n=N_ITEMS,
        code=codes if "code" in forms else None,
        text=texts if "text" in forms else None,
        columns={"title": [f"lamp {n}" for n in range(N_ITEMS)]} if "text" in forms else None,
        forms=forms,
    )


def unfitted(small: dict[str, Any], **config: Any) -> NextRecommender:
    made = CARD.build(CARD.config(**{**small, **config}))
    assert isinstance(made, NextRecommender)
    return made


def fitted(
    small: dict[str, Any], train: list[list[int]] | None = None, items: Items | None = None,
    **config: Any,
) -> NextRecommender:  # fmt: skip
    made = unfitted(small, **config)
    made.fit(problem(train or walks(12)), items or of(), FabricTrainer(seed=0))
    return made


def untrained(small: dict[str, Any], items: Items | None = None, **config: Any) -> NextNetwork:
    """The network as it is before its first epoch."""

    class Stop(Exception):  # noqa: N818
        pass

    class Stopping(FabricTrainer):
        def fit(self, *arguments: Any) -> Any:
            raise Stop

    made = unfitted(small, **config)
    with pytest.raises(Stop):
        made.fit(problem(walks(12)), items or of(), Stopping(seed=0))
    network = made.network
    assert isinstance(network, NextNetwork)
    return network


def asking(*histories: list[int]) -> Queries:
    users = np.arange(len(histories))
    return Queries(len(histories), history=Ragged.from_lists(histories), user=users)


def spelt(network: Any, history: list[int], item: int) -> list[torch.Tensor]:
    """Logits of each level where `item` is written after `history`, as in training: no cache."""
    before = torch.tensor([history], dtype=torch.int64).view(1, -1)
    with torch.no_grad():
        written = network.layout.write(
            network.code_tokens(before),
            torch.tensor([len(history)]),
            network.code_tokens(torch.tensor([item])),
        )
        states = network.body(network.embed(written.tokens, None))[0]
        first = int(written.length) - 1
        width = network.tokens.width
        return [network.heads(states[first + level], level) for level in range(width)]


def scored(network: Any, history: list[int], item: int, over: str) -> float:
    """The log-probability of an item's path, one code after the other, by its definition."""
    logits, path = spelt(network, history, item), CODES[item][CODES[item] >= 0].tolist()
    total = 0.0
    for level, code in enumerate(path):
        alike = CODES[(CODES[:, :level] == path[:level]).all(axis=1), level]
        codes = sorted(set(alike.tolist())) if over == "children" else range(len(logits[level]))
        total += logits[level][list(codes)].log_softmax(0)[list(codes).index(code)].item()
    return total


# ------------------------------------------------------------------------------------- decoding


@every_case
@pytest.mark.parametrize("over", ["children", "level"])
def test_wide_beams_rank_as_scoring_every_item_does(small: Small, case: str, over: str) -> None:
    """T9, L5: sums of log-probabilities over children, for every item there is."""
    recommender = fitted(small(case), walks(30), beams=64, renormalise=over)
    histories = [[3, 4, 5], [], [9], [1, 2, 3, 4, 5, 6]]
    found = recommender.generate(asking(*histories), N_ITEMS)
    for row, history in enumerate(histories):
        wanted = [scored(recommender.network, history, item, over) for item in range(N_ITEMS)]
        assert sorted(found.items[row]) == list(range(N_ITEMS))
        np.testing.assert_allclose(
            found.scores[row], np.array(wanted)[found.items[row]], rtol=1e-4, atol=1e-4
        )
        assert (np.diff(found.scores[row]) <= 0).all()


@every_case
def test_cached_decoding_is_reading_everything_again(small: Small, case: str) -> None:
    """Beams that branch and end, rows of different lengths: equal to 1e-4 at every step."""
    network: Any = fitted(small(case)).network
    assert network.body.offset is not None
    histories = Ragged.from_lists([[], [4, 7], [5, 6, 7]])
    written = network.write(as_asking(histories, None, torch.device("cpu")))
    first = torch.tensor([[0, 2, 1], [2, 0, 1], [2, 2, 0]])
    second = torch.tensor([[1, 0, 1, 2], [1, 1, 0, 0], [0, 1, 1, 1]])
    parents = torch.tensor([[0, 1, 0, 2], [1, 0, 2, 2], [1, 0, 2, 0]])
    with torch.inference_mode():
        embedded = network.embed(written.tokens, None)
        steps = [make(network, embedded, written.length) for make in (cached, uncached)]
        for arguments in (
            (0, None, None),
            (1, first, torch.zeros_like(first)),
            (2, second, parents),
        ):
            one, other = (step(*arguments) for step in steps)
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@every_case
def test_what_cannot_be_cached_ranks_alike(small: Small, case: str) -> None:
    recommender = fitted(small(case))
    histories = asking([3, 4], [], [1, 2, 3, 4, 5])
    one = recommender.generate(histories, 8)
    network: Any = recommender.network
    network.body.offset = None
    other = recommender.generate(histories, 8)
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4, atol=1e-4)


def test_company_and_padding_do_not_matter(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = fitted(small("llama"))
    histories = walks(14, seed=4, longest=LENGTH)
    together = recommender.generate(asking(*histories), 8)
    monkeypatch.setattr("tastebench.recommenders.seqrec.generative.ASKED_TOGETHER", 3)
    pieces = recommender.generate(asking(*histories), 8)
    np.testing.assert_array_equal(pieces.items, together.items)
    np.testing.assert_allclose(pieces.scores, together.scores, rtol=1e-4, atol=1e-4)


def test_free_beams_count_paths_of_no_item(small: Small) -> None:
    found = fitted(small("llama"), beams=64, decoding="free").generate(asking([3, 4]), 64)
    invalid = (found.items[0] < 0) & np.isfinite(found.scores[0])
    assert invalid.sum() == 27 - 3 + 1 - len({tuple(p[p >= 0].tolist()) for p in CODES})


# ------------------------------------------------------------------------------------- training


@every_case
def test_what_is_written_changes_nothing_that_it_is_predicted_from(small: Small, case: str) -> None:
    """T7, L3: in the answer and in the history, in decoders and in encoders."""
    network: Any = fitted(small(case)).network
    for one, other, level in ((0, 7, 0), (0, 2, 1), (0, 1, 2)):  # they differ from `level` on
        one_logits, other_logits = (spelt(network, [3, 4], item) for item in (one, other))
        for at in range(level + 1):
            torch.testing.assert_close(one_logits[at], other_logits[at], rtol=0, atol=0)
        if level < 2:
            assert not torch.allclose(one_logits[level + 1], other_logits[level + 1])
    states = []
    for third in (0, 7):  # nothing before the third item knows which it is
        items = torch.tensor([[3, 4, third]])
        written = network.layout.write(network.code_tokens(items), torch.tensor([3]))
        with torch.no_grad():
            states.append(network.body(network.embed(written.tokens, None))[0])
    at = int(written.slots[2, 0])
    torch.testing.assert_close(states[0][:at], states[1][:at], rtol=0, atol=0)
    assert not torch.allclose(states[0][at], states[1][at])


@every_case
def test_the_loss_is_that_of_every_code_by_itself(small: Small, case: str) -> None:
    """3.4, L4: all items of a history beside the answer; no label wraps round."""
    train = [[3, 4, 5, 6], [8, 9]]
    network: Any = untrained(small(case)).eval()
    batches = network.batches(problem(train), 10_000)(np.random.default_rng(0))
    [batch] = list(batches)
    with torch.no_grad():
        got = network.loss(batch).item()
    losses = []
    for sequence in train:
        for place, item in enumerate(sequence):
            if place == len(sequence) - 1:
                logits = spelt(network, sequence[:-1], item)
            else:
                # Within a history an item stands behind its number.
                rows = torch.tensor([sequence[: place + 1]])
                written = network.layout.write(network.code_tokens(rows), torch.tensor([place + 1]))
                with torch.no_grad():
                    states = network.body(network.embed(written.tokens, None))[0]
                first = int(written.slots[place, 0]) - 1
                logits = [network.heads(states[first + level], level) for level in range(3)]
            losses += [
                -logits[level].log_softmax(0)[code].item()
                for level, code in enumerate(CODES[item])
                if code >= 0
            ]
    assert got == pytest.approx(float(np.mean(losses)), rel=1e-5)


@every_case
@pytest.mark.parametrize("output", ["tied", "separate"])
@pytest.mark.parametrize("tune", ["none", "lora", "full"])
def test_tables_heads_and_what_is_tuned_are_trained(
    small: Small, case: str, output: str, tune: str
) -> None:
    """P1, L1, T7: one step of the optimiser moves all of them, and nothing else."""
    network: Any = untrained(small(case), output=output, tune=tune, user_tokens=2)
    frozen = {name: b.clone() for name, b in network.named_buffers()}
    # The second step moves what LoRA's first zero hid.
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = adam(network, network.config)
    inside = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert inside == {id(p) for p in network.parameters() if p.requires_grad}
    assert all(p.requires_grad for p in network.parameters())
    network.train()
    for seed in range(2):
        for batch in network.batches(problem(walks(60)), 10_000)(np.random.default_rng(seed)):
            optimizer.zero_grad()
            network.loss(batch).backward()
            optimizer.step()
    still = {name for name, p in network.named_parameters() if torch.equal(p, before[name])}
    # Bert's word types of the second kind are never read; keys of a softmax need no bias.
    assert {name for name in still if "lora" in name or not name.startswith("body.")} == set()
    assert ("lora_A" in " ".join(before)) == (tune == "lora")
    assert any(name.startswith("body.") for name in before) == (tune != "none")
    moved = (network.tokens.table != before["tokens.table"]).any(dim=1)
    assert moved[: network.tokens.start].all()
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, frozen[name]), name


@every_case
@pytest.mark.parametrize("representation", ["code", "id"])
def test_what_was_trained_is_saved_and_restored(
    small: Small, case: str, representation: str
) -> None:
    """P2: a new network with the saved state, loaded strictly, answers alike."""
    first = fitted(small(case), items=of(representation))
    kept = {name: tensor.clone() for name, tensor in first.network.state_dict().items()}
    assert {"tokens.table", "heads.table"} < set(kept) and any("lora_" in name for name in kept)
    second = fitted(small(case), walks(3, seed=9), items=of(representation), epochs=1)
    asked = asking([3, 4], [], [5])
    want = first.generate(asked, N_ITEMS).scores
    assert not np.allclose(second.generate(asked, N_ITEMS).scores, want)
    second.network.load_state_dict(kept, strict=True)
    np.testing.assert_array_equal(second.generate(asked, N_ITEMS).scores, want)


@pytest.mark.parametrize("case", ["llama", "bert"])
def test_a_killed_fit_goes_on_to_the_same_items(small: Small, case: str, tmp_path: Path) -> None:
    def fit(directory: Path | None, stop_at: int | None = None) -> np.ndarray:
        recommender = unfitted(small(case), epochs=4)

        def validate() -> float:
            return float(recommender.generate(asking([3, 4]), 5).scores[0, 2])

        def progress(row: dict[str, float]) -> None:
            if row["epoch"] == stop_at:
                raise KeyboardInterrupt

        trainer = FabricTrainer(0, directory, validate, progress, save_every=0)
        recommender.fit(problem(walks(12)), of(), trainer)
        return recommender.generate(asking([3, 4], []), 10).scores

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_at=3)
    np.testing.assert_array_equal(fit(tmp_path), fit(None))


@pytest.mark.parametrize("case", ["llama", "bert"])
def test_learns_what_popularity_cannot(small: Small, case: str) -> None:
    train = [walk for walk in walks(80) if walk]
    config = {"epochs": 20, "lr": 5e-3, "table_lr": 1e-2, "tune": "full"}
    recommender = fitted(small(case), train, **config)
    found = recommender.generate(asking(*[[i, (i + 1) % N_ITEMS] for i in range(N_ITEMS)]), 2)
    right = (np.arange(N_ITEMS) + 2) % N_ITEMS
    hits = (found.items[:, 0] == right) | ((found.items[:, 1] == right) & np.isin(right, (2, 9)))
    assert hits.mean() > 0.7  # the most popular item would be right once in fifteen


def test_drawn_beginnings_train_on_short_histories_too(small: Small) -> None:
    network: Any = untrained(small("llama"), targets_per_sequence=2)
    batches = list(network.batches(problem(walks(20)), 8)(np.random.default_rng(0)))
    assert min(int(batch.length.min()) for batch in batches) == 1
    assert all(batch.is_target is None for batch in batches)
    losses = [network.loss(batch) for batch in batches]
    assert all(torch.isfinite(loss) for loss in losses)


def test_tables_learn_at_a_rate_of_their_own(small: Small) -> None:
    network = untrained(small("llama"), lr=1e-4, table_lr=1e-2)
    rates = {p: g["lr"] for g in adam(network, network.config).param_groups for p in g["params"]}
    assert rates[network.tokens.table] == rates[network.heads.table] == 1e-2
    assert {r for p, r in rates.items() if p.shape != network.tokens.table.shape} >= {1e-4}
    alike = untrained(small("llama"), lr=1e-4, table_lr=None)
    assert {g["lr"] for g in adam(alike, alike.config).param_groups} == {1e-4}


# ------------------------------------------------------------------------------------------ ids


@every_case
def test_ids_are_ranked_exactly(small: Small, case: str) -> None:
    """3.8: a single step, no beam; the scores are the logits after a history."""
    recommender = fitted(small(case), items=of("id"))
    assert isinstance(recommender, ScoresItems)
    histories = [[3, 4, 5], [], [9]]
    scores = recommender.scores(asking(*histories), slice(0, N_ITEMS))
    for row, history in enumerate(histories):
        want = spelt(recommender.network, history, 0)[0]
        torch.testing.assert_close(scores[row], want, rtol=1e-4, atol=1e-5)
    part = recommender.scores(asking(*histories), slice(4, 9))
    torch.testing.assert_close(part, scores[:, 4:9])
    listed = recommender.generate(asking(*histories), 5)
    np.testing.assert_array_equal(listed.items, scores.argsort(1, descending=True)[:, :5])


def test_a_catalogue_in_slices_reads_who_asks_once(small: Small) -> None:
    recommender = fitted(small("llama"), items=of("id"))
    recommender.account()
    who = asking([3, 4, 5], [9])
    whole = torch.cat([recommender.scores(who, slice(i, i + 5)) for i in range(0, N_ITEMS, 5)], 1)
    assert recommender.account().counts["answered"] == 2
    torch.testing.assert_close(whole, recommender.scores(asking([3, 4, 5], [9]), slice(0, N_ITEMS)))
    before = recommender.scores(who, slice(0, 3))
    recommender.network.train()
    with torch.no_grad():
        recommender.network.heads.table.add_(1.0)
        recommender.network.tokens.table.mul_(-1.0)
    recommender.network.eval()
    after = recommender.scores(who, slice(0, 3))
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, recommender.scores(asking([3, 4, 5], [9]), slice(0, 3)))


def test_codes_are_generated_and_ids_are_scored(small: Small) -> None:
    assert not isinstance(unfitted(small("llama")), ScoresItems)
    assert not isinstance(fitted(small("llama"), epochs=1), ScoresItems)


# ----------------------------------------------------------------------------------- the account


def test_what_does_not_fit_is_dropped_from_the_oldest_and_counted(small: Small) -> None:
    """L14: a prompt never exceeds what the model reads."""
    free: Any = fitted(small("llama"), epochs=1).network
    two = int(free.layout.start[2]) + int(free.layout.ending_length[0]) + 2
    recommender = fitted(small("llama"), epochs=1, max_length=two)
    network: Any = recommender.network
    assert network.layout.room == 2
    assert "prompts hold 2 items of histories of 6: no more fit" in network.notes
    longest = []
    read = network.body.forward
    network.body.forward = lambda x: longest.append(x.shape[1]) or read(x)
    for batch in network.batches(problem(walks(12)), 16)(np.random.default_rng(0)):
        network.loss(batch)
    assert max(longest) <= two
    assert isinstance(recommender, KeepsAccount)
    recommender.account()
    found = recommender.generate(asking([1, 2, 3, 4], [9, 9, 3, 4], [3, 4], [4]), 5)
    np.testing.assert_array_equal(found.items[0], found.items[1])
    np.testing.assert_array_equal(found.items[0], found.items[2])
    tokens = 3 * (two - 2) + int(free.layout.start[1]) + int(free.layout.ending_length[0])
    account = recommender.account()
    probes = account.probes
    assert account == Account({"answered": 4, "cut": 2}, prompt_tokens=tokens, probes=probes)
    assert probes["prompt_tokens_per_thousand"] == 1000 * tokens / 4
    assert probes["seconds_per_thousand"] > 0
    assert recommender.account().counts == {"answered": 0, "cut": 0}


# --------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("config", "representation", "message"),
    [
        ({}, "code", "llm-next: which language model"),
        ({"model": "openai:small"}, "code", "is behind an address"),
        ({"model": "x", "prompt": "yes-no-v1"}, "id", "is for pairwise, and llm-next asks for"),
        ({"model": "x", "alignment": ["text-to-code"]}, "code", "reads the text of items, and the"),
        ({"model": "x"}, "text+code", "reads no text of items without alignment"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_runs(
    config: dict[str, Any], representation: str, message: str
) -> None:
    assert CARD.check is not None
    with pytest.raises(UsageError, match=message):
        CARD.check(CARD.config(**config), representation)


def test_a_run_depends_on_the_model_and_the_words(small: Small, tmp_path: Path) -> None:
    def weights(**config: Any) -> str | None:
        assert CARD.weights is not None
        return CARD.weights(CARD.config(**{**small("llama"), **config}), "code", False)

    mine = tmp_path / "mine.yaml"
    mine.write_text(PROMPT.replace("for: ", "next: "), encoding="utf-8")
    found = {
        weights(),
        weights(prompt=str(mine)),
        weights(model=small("gpt2")["model"]),
        weights(alignment=["text-to-code"]),
    }
    assert len(found) == 4 and None not in found
    assert weights() == weights()
    assert weights(model="") is None
    assert weights(model="nobody/has-this").startswith("nobody/has-this ")  # type: ignore[union-attr]


# ------------------------------------------------------------------------------- trained models


@pytest.mark.assets
def test_a_trained_decoder_recommends(small: Small, asset: Callable[[str], Path]) -> None:
    folder = asset("models/stories260k")
    recommender = fitted({**small("llama"), "model": str(folder), "prompt": "next-v1"}, epochs=1)
    found = recommender.generate(asking([3, 4], []), N_ITEMS)
    for row, history in enumerate(([3, 4], [])):
        want = [scored(recommender.network, history, int(i), "children") for i in found.items[row]]
        np.testing.assert_allclose(found.scores[row], want, rtol=1e-4, atol=1e-4)


def test_minilm_is_a_backbone(small: Small) -> None:
    try:
        minilm_folder()
    except DependencyError as error:
        pytest.skip(str(error))
    recommender = fitted({**small("bert"), "model": "minilm", "prompt": "next-v1"}, epochs=1)
    network: Any = recommender.network
    assert "minilm is an encoder, run with a causal mask" in network.notes
    found = recommender.generate(asking([3, 4]), N_ITEMS)
    want = [scored(network, [3, 4], int(i), "children") for i in found.items[0]]
    np.testing.assert_allclose(found.scores[0], want, rtol=1e-4, atol=1e-4)
