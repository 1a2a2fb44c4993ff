"""Yes or no over tokens of items: nothing is seen that is predicted, and all tables are trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tastebench.contracts import Candidates, CtrProblem, Items, Pairs
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.code_pairwise import CodeEmbedding, CodeScorer
from tastebench.recommenders.llm.llm import CARD, LLMConfig
from tastebench.recommenders.seqrec.code_tokens import CodeTokens
from tastebench.testing.language_models import tiny_language_model
from tastebench.training.adam import adam
from tastebench.training.fit import FabricTrainer

CODES = np.array([[0, 0, 0], [0, 1, -1], [1, 0, 2], [1, 1, 1], [2, 0, 0], [2, 1, 0]])
N_ITEMS = len(CODES)
LENGTH = 4
PROMPT = """
name: short
version: 1
kind: pairwise
history: "a:"
entry: "({n}) {item};"
empty: "of none"
candidate: "for {item}"
answer: " the: "
yes: "%s"
no: "%s"
"""
HISTORY = [[0, 1, 2], [], [3], [5, 4, 3, 2], [1, 0]]
ROWS = [(0, 3, 1), (0, 4, 0), (1, 0, 1), (2, 5, 0), (2, 1, 1), (3, 0, 0), (3, 1, 1), (4, 2, 0)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LLMConfig]:
    """Settings of a model of a kind, with a head, asked by two words or by several tokens."""
    folder = tmp_path_factory.mktemp("models")
    for name, words in (("one", ("red", "blue")), ("several", ("Yes", "Nope"))):
        (folder / f"{name}.yaml").write_text(PROMPT % words, encoding="utf-8")
    made: dict[str, Path] = {}

    def settings(kind: str = "llama", answer: str = "one", **config: Any) -> LLMConfig:
        if kind not in made:
            changes = {"max_position_embeddings": 128, "num_hidden_layers": 2}
            made[kind] = tiny_language_model(folder / kind, kind, **changes)
            _add_head(made[kind])
        given = {
            "model": str(made[kind]),
            "prompt": str(folder / f"{answer}.yaml"),
            "device": "cpu",
            "epochs": 2,
            "tune": "lora",
            "lora_rank": 2,
            "lora_alpha": 4,
            "lr": 1e-3,
            "batch_size": 4,
        }
        return LLMConfig(**{**given, **config})

    return settings


def _add_head(folder: Path) -> None:
    """Puts a model with a head, and a token for masked places, where one without is."""
    import transformers

    load: Any = transformers
    tokenizer = load.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    tokenizer.save_pretrained(folder)
    config = load.AutoConfig.from_pretrained(folder)
    config.vocab_size = len(tokenizer)
    encoder = config.model_type == "bert"
    make = load.AutoModelForMaskedLM if encoder else load.AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        make.from_config(config).save_pretrained(folder)


Small = Callable[..., LLMConfig]


def of(representation: str) -> Items:
    codes = CODES if representation == "code" else None
    return Items(n=N_ITEMS, code=codes, forms=(representation,))  # type: ignore[arg-type]


def problem(rows: list[tuple[int, int, int]] = ROWS) -> CtrProblem:
    context, item, label = (np.array(column) for column in zip(*rows, strict=True))
    pairs = Pairs(context, context, item.astype(np.int32), label.astype(np.int8), context)
    history = Ragged.from_lists(HISTORY)
    return CtrProblem(N_ITEMS, len(HISTORY), LENGTH, history, pairs, pairs, pairs)


def candidates(*lists: list[int]) -> Candidates:
    n = len(lists)
    return Candidates(Ragged.from_lists(HISTORY[:n]), np.arange(n), Ragged.from_lists(list(lists)))


EVERYONE = candidates([0, 1, 2], [3], [4, 5], [1], [2, 0])


def prepared(config: LLMConfig, representation: str = "code") -> CodeScorer:
    torch.manual_seed(0)
    scorer = CodeScorer(config, of(representation), LENGTH)
    train = problem().train
    order = np.argsort(train.context, kind="stable")
    scorer.prepare(problem().history, train.context[order], train.item[order].astype(np.int64))
    return scorer


def fitted(config: LLMConfig, representation: str = "code", **rows: Any) -> Any:
    made = CARD.build(config)
    made.fit(problem(**rows), of(representation), FabricTrainer(seed=0))
    return made


# ------------------------------------------------------------------------------------- the model


def test_codes_follow_the_words() -> None:
    words, codes = nn.Embedding(5, 3), CodeTokens(np.array([[0, 1], [1, -1]]), 3, 1.0)
    both = CodeEmbedding(words, codes)
    ids = torch.tensor([[0, 4, 5], [9, 7, 2]])
    want = torch.cat([words.weight, codes.table])[ids]
    torch.testing.assert_close(both(ids), want)
    both(ids).sum().backward()
    assert words.weight.grad is not None and codes.table.grad is not None
    assert words.weight.grad[:, 0].tolist() == [1, 0, 1, 0, 1]
    assert codes.table.grad[:, 0].tolist() == [1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("representation", ["code", "id"])
def test_a_prompt_by_hand(small: Small, representation: str) -> None:
    """T6: the tokens that are trained on are those that are asked."""
    scorer = prepared(small("llama"), representation)
    first, tokenizer = scorer.model.first, scorer.headed.tokenizer
    assert first == len(tokenizer)

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def item(n: int) -> list[int]:
        if representation == "id":
            return [first + n]
        offsets, stand_in = (0, 3, 5), 9
        return [
            first + (stand_in if code < 0 else offset + code)
            for offset, code in zip(offsets, CODES[n].tolist(), strict=True)
        ]

    begin = tokenizer("a")["input_ids"][: -len(ids("a"))]
    history = [token for k, n in enumerate([0, 1, 2]) for token in
               [*ids(f"({k + 1})"), *item(n), *ids(";")]]  # fmt: skip
    want = [*begin, *ids("a:"), *history, *ids("for"), *item(3), *ids(" the:")]
    texts = scorer._train[0]
    assert texts.values[: texts.offsets[1]].tolist() == want
    seen: list[list[int]] = []
    read = scorer.reader.read

    def spy(prompts: Any, *arguments: Any) -> Any:
        seen.extend(prompts.whole(np.arange(len(prompts.asker))).to_lists())
        return read(prompts, *arguments)

    scorer.reader.read = spy  # type: ignore[method-assign]
    scorer.score(Ragged.from_lists([HISTORY[0]]), np.array([0]), np.array([3]))
    assert seen == [want]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_no_code_is_seen_by_what_predicts_it(small: Small, kind: str) -> None:
    """T7: of the candidate and of the history."""
    scorer = prepared(small(kind)).module.eval()
    model: Any = scorer
    texts = prepared(small(kind))._train[0]
    ids = torch.from_numpy(texts.values[: texts.offsets[1]].astype(np.int64))[None]
    places = torch.nonzero(ids[0] >= model.first)[:, 0].tolist()
    body = model.partly.model.base_model
    with torch.no_grad():
        before = body(input_ids=ids).last_hidden_state[0]
        for place in places:
            other = ids.clone()
            other[0, place] += 1 if other[0, place] == model.first else -1
            after = body(input_ids=other).last_hidden_state[0]
            torch.testing.assert_close(after[:place], before[:place], rtol=0, atol=0)
            assert not torch.allclose(after[place:], before[place:])


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("answer", ["one", "several"])
@pytest.mark.parametrize("representation", ["code", "id"])
def test_the_loss_by_its_definition(
    small: Small, kind: str, answer: str, representation: str
) -> None:
    """Yes and no by whole log-probabilities, and every code from what stands before it alone."""
    scorer = prepared(small(kind, answer), representation)
    model: Any = scorer.module.eval()
    label = np.array([row[2] for row in ROWS], np.float32)
    with torch.no_grad():
        got = scorer.loss(np.arange(len(ROWS)), label).item()
        scores, of_codes = [], []
        for row in range(len(ROWS)):
            texts = scorer._train[0]
            ids = torch.from_numpy(texts.values[texts.offsets[row] : texts.offsets[row + 1]])
            for place in torch.nonzero(ids >= model.first)[:, 0].tolist():
                token = int(ids[place]) - model.first
                level = int(np.searchsorted(model.tokens.offsets, token, side="right")) - 1
                if token >= model.tokens.start:
                    continue
                states = model.partly.model.base_model(input_ids=ids[None, :place].long())
                logits = model.heads(states.last_hidden_state[0, -1], level)
                code = token - model.tokens.offsets[level]
                of_codes.append(-logits.log_softmax(0)[code].item())
            scores.append(_score(scorer, row))
    wanted = functional.binary_cross_entropy_with_logits(
        torch.tensor(scores), torch.from_numpy(label)
    ).item()
    assert got == pytest.approx(wanted + float(np.mean(of_codes)), rel=1e-4)


def _score(scorer: CodeScorer, row: int) -> float:
    """Log P(yes) - log P(no) of a training row, each word token by token."""
    total = 0.0
    model: Any = scorer.headed.model
    for one, texts in zip(scorer.passes, scorer._train, strict=True):
        ids = torch.from_numpy(texts.values[texts.offsets[row] : texts.offsets[row + 1]].copy())
        logits = model(input_ids=ids[None].long()).logits[0, -one.asked.places :]
        total += one.sign * one.reduce(logits[None])[0].item()
    return total


def test_an_encoder_predicts_no_codes(small: Small) -> None:
    """It would see them; yes and no it fills in where a mask stands."""
    scorer = prepared(small("bert"))
    model: Any = scorer.module.eval()
    assert model.heads is None
    assert "codes are not predicted: bert would see them before it says them" in scorer.notes
    label = np.array([row[2] for row in ROWS], np.float32)
    texts, [one] = scorer._train[0], scorer.passes
    with torch.no_grad():
        got = scorer.loss(np.arange(len(ROWS)), label).item()
        scores = []
        for row in range(len(ROWS)):
            ids = torch.from_numpy(texts.values[texts.offsets[row] : texts.offsets[row + 1]].copy())
            masked = torch.nonzero(ids == scorer.headed.tokenizer.mask_token_id)[:, 0]
            assert len(masked) == 1
            logits = model.partly.model(input_ids=ids[None].long()).logits[0, masked]
            scores.append(one.reduce(logits[None])[0])
    want = functional.binary_cross_entropy_with_logits(torch.stack(scores), torch.from_numpy(label))
    assert got == pytest.approx(want.item(), rel=1e-4)


# -------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
@pytest.mark.parametrize("tune", ["lora", "full"])
@pytest.mark.parametrize("representation", ["code", "id"])
def test_table_classifier_and_model_are_trained(
    small: Small, kind: str, tune: str, representation: str
) -> None:
    """P1: all in the optimiser, all moved, and nothing else."""
    config = small(kind, tune=tune)
    scorer = prepared(config, representation)
    model: Any = scorer.module.train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    frozen = {name: b.clone() for name, b in model.named_buffers()}
    optimizer = adam(model, config)
    inside = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert inside == {id(p) for p in model.parameters()}
    label = np.array([row[2] for row in ROWS], np.float32)
    for _ in range(2):  # the second step moves what LoRA's first zero hid
        optimizer.zero_grad()
        scorer.loss(np.arange(len(ROWS)), label).backward()
        optimizer.step()
    still = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    named = {n for n in before if "lora" in n or "codes.table" in n or n.startswith("heads")}
    named |= {n for n in before if n.startswith("tokens.")}
    assert not still & named
    assert any("lora_A" in name for name in named) == (tune == "lora")
    moved = (model.tokens.table != before["tokens.table"]).any(dim=1)
    assert moved[: model.tokens.start].sum() >= model.tokens.start - 1
    assert all(torch.equal(b, frozen[name]) for name, b in model.named_buffers())
    assert len(still) <= 0.2 * len(before)


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_what_was_trained_is_saved_and_restored(small: Small, kind: str) -> None:
    """P2, strict: same scores."""
    first, second = fitted(small(kind)), fitted(small(kind, epochs=1))
    kept = {name: tensor.clone() for name, tensor in first.module.state_dict().items()}
    want = first.score(EVERYONE)
    assert not np.allclose(second.score(EVERYONE), want)
    second.module.load_state_dict(kept, strict=True)
    second.scorer.reader.forget()
    np.testing.assert_array_equal(second.score(EVERYONE), want)


def test_a_killed_fit_goes_on_to_the_same_scores(small: Small, tmp_path: Path) -> None:
    def fit(directory: Path | None, stop_at: int | None = None) -> np.ndarray:
        made: Any = CARD.build(small("llama", epochs=4))

        def validate() -> float:
            return float(made.score(EVERYONE)[0])

        def progress(row: dict[str, float]) -> None:
            if row["epoch"] == stop_at:
                raise KeyboardInterrupt

        trainer = FabricTrainer(0, directory, validate, progress, save_every=0)
        made.fit(problem(), of("code"), trainer)
        scores: np.ndarray = made.score(EVERYONE)
        return scores

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_at=3)
    np.testing.assert_array_equal(fit(tmp_path), fit(None))


@pytest.mark.parametrize("representation", ["code", "id"])
def test_learns_what_is_taken(small: Small, representation: str) -> None:
    rows = [(user, item, int(item in {2, 3})) for user in range(5) for item in range(N_ITEMS)]
    config = small("llama", tune="full", epochs=25, lr=3e-3, batch_size=10)
    made = fitted(config, representation, rows=rows)
    scores = made.score(candidates(*[list(range(N_ITEMS))] * 5))
    label = np.array([row[2] for row in rows])
    assert ((scores > 0) == label).mean() > 0.9


def test_lower_layers_stay_where_only_the_upper_are_tuned(small: Small) -> None:
    """Codes are learned through layers that are not."""
    for tune in ("lora", "full"):
        names = set(prepared(small("llama", tune=tune, tune_from=1)).module.state_dict())
        assert any("layers.1." in name for name in names)
        assert not any("layers.0." in name or "words" in name for name in names)
        assert {"tokens.table", "heads.table"} < names


def test_new_tables_learn_faster(small: Small) -> None:
    config = small("llama")
    model: Any = prepared(config).module
    rates = {p: g["lr"] for g in adam(model, config).param_groups for p in g["params"]}
    assert rates.pop(model.tokens.table) == rates.pop(model.heads.table) == pytest.approx(1e-2)
    assert set(rates.values()) == {1e-3}


# ---------------------------------------------------------------------------------------- asking


@pytest.mark.parametrize("answer", ["one", "several"])
def test_candidates_of_one_asker_share_their_beginning(small: Small, answer: str) -> None:
    made = fitted(small("llama", answer))
    shared = made.score(EVERYONE)
    assert made.scorer.reader.shares
    made.scorer.reader.share = False
    np.testing.assert_allclose(made.score(EVERYONE), shared, rtol=1e-4, atol=1e-4)


def test_what_is_left_out_is_counted(small: Small) -> None:
    made = fitted(small("llama", max_length=32))
    made.score(EVERYONE)
    counts = made.account().counts
    assert counts["answered"] == 9
    assert counts["left_out"] > 0
    assert made.account().counts == {}


# ---------------------------------------------------------------------------------------- errors


def test_untuned_tokens_of_items_are_refused(small: Small) -> None:
    with pytest.raises(UsageError, match="tokens that no model was taught"):
        CodeScorer(small("llama", tune="none"), of("code"), LENGTH)


def test_codes_are_never_cut(small: Small, tmp_path: Path) -> None:
    wide = Items(n=2, code=np.array([[0] * 9, [0] * 8 + [1]]), forms=("code",))
    with pytest.raises(UsageError, match="a prompt of 40 tokens has no room for the 9 codes"):
        CodeScorer(small("llama", max_length=40), wide, LENGTH)
    wordy = tmp_path / "wordy.yaml"
    wordy.write_text(
        (PROMPT % ("red", "blue")).replace('history: "', f'history: "{30 * " red"}'),
        encoding="utf-8",
    )
    scorer = CodeScorer(small("llama", prompt=str(wordy), max_length=44), of("code"), LENGTH)
    with pytest.raises(UsageError, match="a prompt of 44 tokens has no room for the 3 codes"):
        scorer.score(Ragged.from_lists([[1, 2]]), np.array([0]), np.array([0]))
