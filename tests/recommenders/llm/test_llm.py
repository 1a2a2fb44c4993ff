"""The language model as a click model: right scores, nothing leaks, nothing is lost on the way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

import tastebench as tb
from tastebench.contracts import Candidates, CtrProblem, Items
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, DependencyError, UsageError
from tastebench.lm.padded import Padded
from tastebench.lm.partly import PartlyTrained
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.llm import CARD, LLMConfig
from tastebench.recommenders.llm.pairwise import PairwiseLM
from tastebench.recommenders.llm.prompt import get_prompt
from tastebench.testing.language_models import add_head, tiny_language_model
from tastebench.testing.tiny import TEXTS, tiny
from tastebench.training.fit import FabricTrainer

ROOM = {"max_position_embeddings": 512}
CHANGES: dict[str, dict[str, Any]] = {
    "llama": ROOM,
    "qwen2": ROOM,
    "bert": {**ROOM, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "gpt2": {"n_positions": 512},
    "t5": {"decoder_start_token_id": 0, "dropout_rate": 0.0},
}
TUNED = {"tune": "lora", "lora_rank": 2, "lora_alpha": 4, "lr": 0.01, "epochs": 2, "batch_size": 5}
WORDS = """
name: words
version: 1
kind: pairwise
history: "a:"
entry: "({n}) {item};"
empty: "of none"
candidate: "for {item}"
answer: " the: "
yes: red
no: blue
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of tiny models with heads."""
    root = tmp_path_factory.mktemp("models")

    def get(architecture: str) -> Path:
        folder = root / architecture
        if not folder.exists():
            add_head(tiny_language_model(folder, architecture, **CHANGES[architecture]))
        return folder

    return get


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A prompt whose answers are one token each."""
    file = tmp_path_factory.mktemp("prompts") / "words.yaml"
    file.write_text(WORDS, encoding="utf-8")
    return str(file)


def items(form: str = "text") -> Items:
    forms: Any = (form,)
    return replace(tiny("ctr").items, forms=forms)


def settings(model: Path | str, **more: Any) -> LLMConfig:
    return LLMConfig(model=str(model), device="cpu", **more)


def fitted(
    model: Path | str, trainer: FabricTrainer | None = None, **more: Any
) -> tuple[PairwiseLM, Candidates]:
    config = settings(model, **more)
    assert CARD.check is not None
    CARD.check(config, "text")
    made = CARD.build(config)
    assert isinstance(made, PairwiseLM)
    case = tiny("ctr")
    made.fit(case.problem, items(), trainer or FabricTrainer(seed=0))
    return made, asked(case.problem)


def asked(problem: Any) -> Candidates:
    """Every item to some users, one of them new."""
    history = Ragged.from_lists([[], *problem.history[np.arange(4)].to_lists()])
    n = len(history)
    every = Ragged.from_lists([np.roll(np.arange(len(TEXTS)), q).tolist() for q in range(n)])
    return Candidates(history, np.arange(n), every)


def text_of(prompt: str, candidates: Candidates, q: int, item: int) -> str:
    return (
        get_prompt(prompt).user([TEXTS[i] for i in candidates.history[q]], [TEXTS[item]]).rstrip()
    )


# ------------------------------------------------------------------------------ right numbers


def test_a_score_is_the_difference_of_two_logits_behind_the_whole_prompt(
    models: Callable[[str], Path], words: str
) -> None:
    """T5, through transformers alone: one text, one forward."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made, candidates = fitted(models("llama"), prompt=words)
    scores = made.score(candidates)
    tokenizer = AutoTokenizer.from_pretrained(models("llama"))
    model = AutoModelForCausalLM.from_pretrained(models("llama")).eval()
    yes, no = (tokenizer(word)["input_ids"] for word in (" red", " blue"))
    assert len(yes) == len(no) == 1
    for row in (0, 1, 13, len(scores) - 1):
        q, item = int(candidates.items.rows[row]), int(candidates.items.values[row])
        ids = tokenizer(text_of(words, candidates, q, item), return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, -1]
        assert scores[row] == pytest.approx(float(logits[yes[0]] - logits[no[0]]), abs=1e-4)
        both = torch.stack([logits[yes[0]], logits[no[0]]]).softmax(0)
        assert 1 / (1 + np.exp(-scores[row])) == pytest.approx(float(both[0]), abs=1e-5)


def log_likelihood(model: Any, ids: Tensor, word: list[int]) -> float:
    """log P(word | ids), a token at a time."""
    total = 0.0
    for token in word:
        with torch.no_grad():
            total += float(model(input_ids=ids).logits[0, -1].log_softmax(0)[token])
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return total


def test_answers_of_several_tokens_score_by_their_whole_log_probability(
    models: Callable[[str], Path],
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made, candidates = fitted(models("llama"))  # Yes and No are spelt by this tokenizer
    scores = made.score(candidates)
    tokenizer = AutoTokenizer.from_pretrained(models("llama"))
    model = AutoModelForCausalLM.from_pretrained(models("llama")).eval()
    yes, no = (tokenizer(word)["input_ids"] for word in (" Yes", " No"))
    assert len(yes) > len(no) > 1
    for row in (0, 17):
        q, item = int(candidates.items.rows[row]), int(candidates.items.values[row])
        text = text_of("yes-no-v1", candidates, q, item)
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        wanted = log_likelihood(model, ids, yes) - log_likelihood(model, ids, no)
        assert scores[row] == pytest.approx(wanted, abs=1e-4)


def test_an_encoder_is_asked_at_a_masked_place(models: Callable[[str], Path], words: str) -> None:
    """P3 of RecBench's code: the mask is there whenever a prompt is read."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    made, candidates = fitted(models("bert"), prompt=words)
    scores = made.score(candidates)
    tokenizer = AutoTokenizer.from_pretrained(models("bert"))
    model = AutoModelForMaskedLM.from_pretrained(models("bert")).eval()
    yes, no = (tokenizer(word)["input_ids"][0] for word in (" red", " blue"))
    for row in (0, 17):
        q, item = int(candidates.items.rows[row]), int(candidates.items.values[row])
        ids = tokenizer(text_of(words, candidates, q, item) + "<mask>", return_tensors="pt")
        assert int(ids["input_ids"][0, -1]) == tokenizer.mask_token_id
        with torch.no_grad():
            logits = model(input_ids=ids["input_ids"]).logits[0, -1]
        assert scores[row] == pytest.approx(float(logits[yes] - logits[no]), abs=1e-4)


def test_an_encoder_decoder_answers_with_its_first_token(
    models: Callable[[str], Path], words: str
) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    made, candidates = fitted(models("t5"), prompt=words)
    scores = made.score(candidates)
    tokenizer = AutoTokenizer.from_pretrained(models("t5"))
    model = AutoModelForSeq2SeqLM.from_pretrained(models("t5")).eval()
    yes, no = (tokenizer(word)["input_ids"][0] for word in (" red", " blue"))
    for row in (0, 17):
        q, item = int(candidates.items.rows[row]), int(candidates.items.values[row])
        ids = tokenizer(text_of(words, candidates, q, item), return_tensors="pt")["input_ids"]
        with torch.no_grad():
            answer = model(input_ids=ids, decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
        assert scores[row] == pytest.approx(float(answer[yes] - answer[no]), abs=1e-4)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_matching_compares_the_vectors_of_two_texts(
    models: Callable[[str], Path], pooling: str, similarity: str
) -> None:
    from transformers import AutoModel, AutoTokenizer

    made, candidates = fitted(
        models("llama"), scoring="matching", pooling=pooling, similarity=similarity
    )
    assert not made.log_odds
    scores = made.score(candidates)
    tokenizer = AutoTokenizer.from_pretrained(models("llama"))
    model = AutoModel.from_pretrained(models("llama")).eval()

    def vector(text: str) -> Tensor:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        return states[-1] if pooling == "last" else states.mean(0)

    prompt = get_prompt("match-v1")
    for row in (0, 17):
        q, item = int(candidates.items.rows[row]), int(candidates.items.values[row])
        user = vector(prompt.user([TEXTS[i] for i in candidates.history[q]]))
        candidate = vector(f"Candidate item: {TEXTS[item]}")
        wanted = user @ candidate
        if similarity == "cosine":
            wanted = wanted / user.norm() / candidate.norm()
        assert scores[row] == pytest.approx(float(wanted), abs=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bert", "t5"])
def test_a_candidate_alone_scores_as_in_company(
    models: Callable[[str], Path], architecture: str
) -> None:
    made, candidates = fitted(models(architecture))
    scores = made.score(candidates)
    alone = [
        made.score(
            Candidates(candidates.history[q : q + 1], np.array([0]), Ragged.from_lists([[i]]))
        )
        for q, i in zip(candidates.items.rows[:9], candidates.items.values[:9], strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(alone), scores[:9], atol=1e-4, rtol=0)


def test_no_candidates_are_no_scores(models: Callable[[str], Path]) -> None:
    made, candidates = fitted(models("llama"))
    assert len(made.score(candidates[0:0])) == 0


# ----------------------------------------------------------------------------------- training


def tokens_read(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Every prompt that goes into a model from now on, without its padding."""
    read: list[list[int]] = []
    forward = model.forward

    def told(**inputs: Any) -> Any:
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
            read.append(ids[mask.bool()].tolist())
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", told)
    return read


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_a_prompt_has_the_same_tokens_in_training_and_in_testing(
    models: Callable[[str], Path], words: str, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    """T6; P3 and P4 of RecBench's code."""
    made = PairwiseLM(settings(models(architecture), prompt=words, **TUNED))
    case = tiny("ctr")
    made.fit(case.problem, items(), FabricTrainer(seed=0))
    scorer: Any = made.scorer
    scorer.reader.share = False
    train = case.problem.train
    read = tokens_read(scorer.headed.model, monkeypatch)
    with torch.no_grad():
        scorer.loss(np.arange(len(train)), np.zeros(len(train), np.float32))
    trained, read[:] = sorted(read), []
    order = np.argsort(train.context, kind="stable")
    contexts, first = np.unique(train.context[order], return_index=True)
    made.score(
        Candidates(
            case.problem.history[contexts],
            contexts,
            Ragged(train.item[order], np.append(first, len(train))),
        )
    )
    assert sorted(read) == trained
    assert len(trained) == len(train)


class Stopped(Exception):  # noqa: N818 - a kill
    pass


def trainer(folder: Path | None = None, stop: int | None = None) -> FabricTrainer:
    def after(row: dict[str, float]) -> None:
        if stop is not None and row["epoch"] >= stop:
            raise Stopped

    return FabricTrainer(seed=3, directory=folder, progress=after, save_every=0.0)


WAYS: list[dict[str, Any]] = [
    {"tune": "lora"},
    {"tune": "lora", "tune_from": -2, "store": "float16"},
    {"tune": "full"},
    {"tune": "lora", "scoring": "matching"},
    {"tune": "full", "tune_from": 2, "scoring": "matching", "pooling": "mean"},
]


def told(way: dict[str, Any], words: str) -> dict[str, Any]:
    """The short prompt, where one is asked."""
    return {} if way.get("scoring") == "matching" else {"prompt": words}


@pytest.mark.parametrize("way", WAYS)
def test_killed_and_gone_on_with_it_scores_as_if_nothing_had_been(
    models: Callable[[str], Path], words: str, tmp_path: Path, way: dict[str, Any]
) -> None:
    given = {**TUNED, "epochs": 3, **way, **told(way, words)}
    whole, candidates = fitted(models("llama"), trainer(), **given)
    with pytest.raises(Stopped):
        fitted(models("llama"), trainer(tmp_path, stop=2), **given)
    assert (tmp_path / "fit-1.safetensors").exists()
    resumed, _ = fitted(models("llama"), trainer(tmp_path), **given)
    assert np.array_equal(resumed.score(candidates), whole.score(candidates))


@pytest.mark.parametrize("way", WAYS)
def test_what_was_trained_is_saved_and_read_into_another(
    models: Callable[[str], Path], words: str, tmp_path: Path, way: dict[str, Any]
) -> None:
    from safetensors.torch import load_file, save_file

    given = {**TUNED, **way, **told(way, words)}
    made, candidates = fitted(models("llama"), trainer(), **given)
    tensors = {k: v.clone() for k, v in made.module.state_dict().items()}
    assert set(tensors) == {name for name, _ in made.module.named_parameters()}
    if way["tune"] == "lora":
        assert all("lora_" in name for name in tensors)
    save_file(tensors, tmp_path / "trained.safetensors")
    other, _ = fitted(models("llama"), FabricTrainer(seed=9), **{**given, "epochs": 1})
    assert not np.allclose(other.score(candidates), made.score(candidates), atol=1e-4)
    other.module.load_state_dict(load_file(tmp_path / "trained.safetensors"))
    scorer: Any = other.scorer
    scorer.forget()
    assert np.array_equal(other.score(candidates), made.score(candidates))


def off(module: nn.Module) -> None:
    """Turns all adapters off, as peft does."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [layer for layer in module.modules() if isinstance(layer, BaseTunerLayer)]
    assert layers
    for layer in layers:
        layer.enable_adapters(False)


@pytest.mark.parametrize("scoring", ["generative", "matching"])
def test_without_its_adapters_it_is_the_model_that_it_was(
    models: Callable[[str], Path], scoring: str
) -> None:
    base, candidates = fitted(models("llama"), scoring=scoring)
    made, _ = fitted(models("llama"), trainer(), scoring=scoring, **TUNED)
    assert not np.allclose(made.score(candidates), base.score(candidates), atol=1e-4)
    off(made.module)
    scorer: Any = made.scorer
    scorer.forget()
    assert np.array_equal(made.score(candidates), base.score(candidates))


def test_states_of_frozen_layers_change_no_loss(models: Callable[[str], Path], words: str) -> None:
    given = {**TUNED, "lora_dropout": 0.0, "prompt": words}
    curves = []
    for kept in (True, False):
        made = PairwiseLM(settings(models("qwen2"), tune_from=2, **given))
        if not kept:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(
                    PartlyTrained,
                    "inputs",
                    lambda self, tokens, *given: Padded(tokens.values, tokens.offsets),
                )
                report = made.fit(tiny("ctr").problem, items(), FabricTrainer(seed=0))
        else:
            report = made.fit(tiny("ctr").problem, items(), FabricTrainer(seed=0))
        curves.append([row["loss"] for row in report.curve])
    assert curves[0] == pytest.approx(curves[1], abs=1e-5)


@pytest.mark.parametrize("scoring", ["generative", "matching"])
@pytest.mark.parametrize("architecture", ["llama", "bert", "t5"])
def test_a_taste_is_learned(
    models: Callable[[str], Path], words: str, architecture: str, scoring: str
) -> None:
    """Half of the catalogue is liked by everybody: the loss falls below that of a guess."""
    case = tiny("ctr").problem
    liked = case.train.item < len(TEXTS) // 2
    train = replace(case.train, label=liked.astype(np.int8))
    more = {"prompt": words} if scoring == "generative" else {"pooling": "mean"}
    given: dict[str, Any] = {**TUNED, "epochs": 25, "tune": "full", "lr": 1e-3}
    made = PairwiseLM(settings(models(architecture), scoring=scoring, **{**given, **more}))
    report = made.fit(replace(case, train=train), items(), FabricTrainer(seed=0))
    guess = np.log(2) if scoring == "generative" else 0.25
    assert report.curve[-1]["loss"] < 0.6 * guess, report.curve[-1]["loss"]


def test_dropout_is_off_when_it_is_asked(models: Callable[[str], Path], words: str) -> None:
    """P5 of RecBench's code."""
    made, candidates = fitted(models("llama"), prompt=words, **{**TUNED, "lora_dropout": 0.9})
    made.module.train()
    assert np.array_equal(made.score(candidates), made.score(candidates))
    assert not made.module.training


def test_nothing_of_the_test_part_is_learned(models: Callable[[str], Path], words: str) -> None:
    found = []
    for other in (False, True):
        made = PairwiseLM(settings(models("llama"), prompt=words, **TUNED))
        case = tiny("ctr", other_test=other)
        made.fit(case.problem, items(), FabricTrainer(seed=0))
        found.append(made.score(asked(case.problem)))
    assert np.array_equal(*found)


# ------------------------------------------------------------------------------------ account


def test_the_account_says_what_was_answered_cut_and_left_out(
    models: Callable[[str], Path], words: str
) -> None:
    made, candidates = fitted(models("llama"), prompt=words, max_length=60)
    scorer: Any = made.scorer
    made.account()
    long = np.flatnonzero(scorer.pieces.cut)
    assert 0 < len(long) < len(TEXTS)
    made.score(candidates)
    account = made.account()
    assert account.counts["answered"] == len(candidates.items.values)
    prefixes = scorer.pieces.prefixes(candidates.history)
    shown = [
        h[len(h) - k :] for h, k in zip(candidates.history.to_lists(), prefixes.kept, strict=True)
    ]
    in_history = sum(item in long for history in shown for item in history)
    assert account.counts["cut"] == np.isin(candidates.items.values, long).sum() + in_history
    left_out = candidates.history.lengths.sum() - prefixes.kept.sum()
    assert account.counts["left_out"] == left_out > 0
    assert account.prompt_tokens > 0
    n = len(candidates.items.values)
    assert account.probes["prompt_tokens_per_thousand"] == 1000 * account.prompt_tokens / n
    assert account.probes["seconds_per_thousand"] > 0
    assert "usd_per_thousand" not in account.probes  # nobody charges for this machine
    nothing = made.account()  # a new account has begun
    assert nothing.counts.get("answered", 0) == 0 and nothing.probes == {}


def test_a_fit_says_which_model_was_asked_how(models: Callable[[str], Path]) -> None:
    made = PairwiseLM(settings(models("llama")))
    report = made.fit(tiny("ctr").problem, items(), FabricTrainer(seed=0))
    assert report.parameters == 0
    assert (
        report.notes[0] == f"llama (decoder), asked by yes-no-v1 ({get_prompt('yes-no-v1').hash})"
    )


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("given", "representation", "message", "fix"),
    [
        ({}, "text", "which language model", "--model ./folder"),
        ({"model": "m", "prompt": "match-v1"}, "text", "is matching, and generative", None),
        ({"model": "m", "scoring": "matching", "prompt": "yes-no-v1"}, "text", "pairwise", None),
        ({"model": "openai:m", "tune": "lora"}, "text", "cannot be tuned", "tune: none"),
        ({"model": "openai:m", "scoring": "matching"}, "text", "cannot be read", "generative"),
        (
            {"model": "m", "scoring": "matching", "tune": "lora", "similarity": "dot"},
            "text",
            "a dot product is not",
            "similarity: cosine",
        ),
        ({"model": "m"}, "code", "tokens that no model was taught", "tune: lora"),
        (
            {"model": "m", "tune": "lora", "scoring": "matching"},
            "id",
            "by yes and no alone",
            "scoring: generative",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(
    given: dict[str, Any], representation: str, message: str, fix: str | None
) -> None:
    assert CARD.check is not None
    with pytest.raises(UsageError, match=message) as error:
        CARD.check(LLMConfig(**given), representation)
    assert fix is None or (error.value.fix is not None and fix in error.value.fix)


def test_a_model_without_a_head_is_not_asked_but_matched_or_tuned() -> None:
    try:
        with pytest.raises(UsageError, match="'minilm' has no trained head") as error:
            fitted("minilm")
    except DependencyError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    assert error.value.fix is not None
    assert "scoring: matching" in error.value.fix and "tune: lora" in error.value.fix
    matched, candidates = fitted("minilm", scoring="matching", pooling="mean")
    scores = matched.score(candidates)
    assert np.abs(scores).max() <= 1 + 1e-6 and scores.std() > 0.01
    tuned, _ = fitted("minilm", **{**TUNED, "epochs": 1})
    assert "model.cls.predictions.bias" in tuned.module.state_dict()
    assert np.isfinite(tuned.score(candidates)).all()


def test_a_model_without_a_token_for_padding_is_asked_like_any_other(
    models: Callable[[str], Path], tmp_path: Path
) -> None:
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(models("llama"), bare)
    for name in ("tokenizer_config.json", "config.json"):
        held = json.loads((bare / name).read_text())
        held.pop("pad_token", None)
        held.pop("pad_token_id", None)
        (bare / name).write_text(json.dumps(held))
    made, candidates = fitted(bare)
    scorer: Any = made.scorer
    assert scorer.headed.tokenizer.pad_token is None
    wanted, _ = fitted(models("llama"))
    np.testing.assert_allclose(made.score(candidates), wanted.score(candidates), atol=1e-5)


def test_a_model_with_a_chat_template_is_asked_in_a_chat(
    models: Callable[[str], Path], tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "chat"
    shutil.copytree(models("llama"), folder)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<s>assistant:{% endif %}"
    )
    made, candidates = fitted(folder, max_length=900)
    scorer: Any = made.scorer
    assert "yes-no-chat-v1" in scorer.notes[0] and "chat template" in scorer.notes[0]
    head = scorer.headed.tokenizer.decode(scorer.pieces.frame.head.tolist())
    assert head.startswith("<s>system: You are a recommender system.")
    assert np.isfinite(made.score(candidates)).all()
    plain, _ = fitted(folder, chat="never")
    assert plain.scorer.notes[0].count("yes-no-v1") == 1
    np.testing.assert_allclose(
        plain.score(candidates), fitted(models("llama"))[0].score(candidates), atol=1e-5
    )


def test_code_of_a_model_is_run_only_where_that_is_allowed(
    models: Callable[[str], Path], tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "own"
    shutil.copytree(models("llama"), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own-of-a-test",
        "auto_map": {"AutoConfig": "own_code.Own", "AutoModelForCausalLM": "own_code.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own_code.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class Own(LlamaConfig):\n    model_type = 'own-of-a-test'\n"
        "class OwnModel(LlamaForCausalLM):\n    config_class = Own\n"
    )
    with pytest.raises(DataError, match="brings code of its own") as error:
        fitted(folder)
    assert error.value.fix is not None and "trust_remote_code: true" in error.value.fix
    made, candidates = fitted(folder, trust_remote_code=True)
    wanted, _ = fitted(models("llama"))
    np.testing.assert_allclose(made.score(candidates), wanted.score(candidates), atol=1e-5)


def test_items_without_text_cannot_be_shown(models: Callable[[str], Path]) -> None:
    made = PairwiseLM(settings(models("llama")))
    with pytest.raises(UsageError, match="these have no text"):
        made.fit(tiny("ctr").problem, replace(items(), text=None), FabricTrainer(seed=0))


def test_asked_before_it_is_fitted_it_says_so() -> None:
    with pytest.raises(UsageError, match="llm is not fitted"):
        PairwiseLM(settings("m")).score(asked(tiny("ctr").problem))


def test_tuning_without_rows_is_refused(models: Callable[[str], Path]) -> None:
    case: CtrProblem = tiny("ctr").problem  # type: ignore[assignment]
    none = replace(case, train=case.train[np.zeros(0, np.int64)])
    with pytest.raises(UsageError, match="holds no labelled rows"):
        PairwiseLM(settings(models("llama"), **TUNED)).fit(none, items(), FabricTrainer(seed=0))


# -------------------------------------------------------------------- identity, preview, whole runs


def test_the_identity_holds_the_model_and_every_word_of_the_prompt(
    models: Callable[[str], Path], words: str
) -> None:
    weights = CARD.weights
    assert weights is not None
    one = weights(settings(models("llama")), "text", True)
    assert one is not None and get_prompt("yes-no-v1").hash in one
    assert weights(settings(models("llama"), prompt=words), "text", True) != one
    assert weights(settings(models("gpt2")), "text", True) != one
    assert weights(LLMConfig(), "text", True) is None
    named = weights(LLMConfig(model="nobody/has-this"), "text", False)
    assert named is not None and named.startswith("nobody/has-this prompt ")


def test_a_preview_shows_prompts_and_counts_their_tokens(models: Callable[[str], Path]) -> None:
    case = tiny("ctr")
    problem: Any = case.problem
    assert CARD.preview is not None
    shown = CARD.preview(settings(models("llama")), problem, items())
    assert shown.requests == len(problem.test) + len(problem.valid)
    assert shown.usd == 0.0 and shown.completion_tokens == 0
    user = int(np.unique(problem.test.user)[0])
    row = int(np.flatnonzero(problem.test.user == user)[0])
    history = [TEXTS[i] for i in problem.history[int(problem.test.context[row])]]
    wanted = get_prompt("yes-no-v1").user(history, [TEXTS[int(problem.test.item[row])]]).rstrip()
    assert shown.prompts[0] == wanted
    made, _ = fitted(models("llama"))
    made.account()
    everybody = np.unique(problem.test.user, return_index=True)[1]
    first = problem.test[everybody]
    made.score(
        Candidates(
            problem.history[first.context],
            first.user,
            Ragged(first.item, np.arange(len(first) + 1)),
        )
    )
    mean = made.account().prompt_tokens / len(first)
    assert shown.prompt_tokens == round(mean * shown.requests)


def test_a_preview_of_matching_counts_users_once(models: Callable[[str], Path]) -> None:
    problem: Any = tiny("ctr").problem
    assert CARD.preview is not None
    shown = CARD.preview(settings(models("llama"), scoring="matching"), problem, items())
    users = len(np.unique(problem.test.context)) + len(np.unique(problem.valid.context))
    assert shown.requests == users < len(problem.test) + len(problem.valid)
    assert shown.prompts[0].startswith("User behavior sequence:\n")


def test_a_preview_of_a_model_that_is_not_here_guesses() -> None:
    assert CARD.preview is not None
    shown = CARD.preview(LLMConfig(model="nobody/has-this"), tiny("ctr").problem, items())
    assert "Candidate item:" in shown.prompts[0]
    assert shown.prompt_tokens > shown.requests


@pytest.fixture
def shop(home: Path) -> None:
    """Twenty users who each like one of four kinds of things, and were shown ten things each."""
    rng = np.random.default_rng(0)
    nouns = ["shirt", "lamp", "book", "cup"]
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(40)],
            "title": [f"{nouns[i % 4]} number {i}" for i in range(40)],
        }
    )
    user = np.repeat(np.arange(20), 10)
    item = np.concatenate([rng.choice(40, 10, replace=False) for _ in range(20)])
    likes = (item % 4 == user % 4) == (rng.random(200) < 0.9)
    interactions = pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in user],
            "item_id": [f"i{i}" for i in item],
            "label": likes.astype(np.int8),
            "time": 1_600_000_000_000 + rng.integers(10**9, size=200),
            "row": np.arange(200),
        }
    )
    tables = Tables(items=items, interactions=interactions)
    card = DatasetCard(name="tiny-clicks", title="Tiny clicks")
    Dataset.create(card, tables).save(datasets_folder() / "tiny-clicks")


@pytest.mark.assets
@pytest.mark.usefixtures("shop")
def test_a_model_that_knows_only_stories_lands_near_chance(
    asset: Callable[[str], Path], tmp_path: Path
) -> None:
    model = {
        "model": str(asset("models/stories260k")),
        "epochs": 1,
        "lora_rank": 4,
        "max_length": 200,
    }
    plan = {
        "name": "stories",
        "datasets": ["tiny-clicks"],
        "tasks": ["ctr"],
        "recommenders": [
            {"name": "llm", "params": model},
            {"name": "llm", "params": {**model, "tune": "lora"}},
        ],
        "representations": ["text"],
        "latency_seconds": 0.2,
    }
    results = tb.run(plan, out=tmp_path / "out", workers=1, progress=False)
    assert not results.failed, [record.error for record in results.failed]
    zero_shot, tuned = results.records
    assert abs(zero_shot.metrics["auc"].mean - 0.5) < 0.2
    assert zero_shot.cost is not None and zero_shot.cost.prompting is not None
    assert zero_shot.cost.prompting.prompt_tokens > 0
    assert zero_shot.counts["answered"] == zero_shot.counts["asked"]
    assert tuned.metrics["auc"].mean != zero_shot.metrics["auc"].mean
    assert tuned.fit is not None and tuned.fit.epochs == 1
