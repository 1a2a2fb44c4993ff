"""Options scored by their own words: numbers against transformers alone, room, learning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tastebench.contracts import Preview
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.pieces import concatenated, repeated
from tastebench.recommenders.userqa.embedded import UserEmbedding
from tastebench.recommenders.userqa.layout import item_lines
from tastebench.recommenders.userqa.preview import preview_embedding
from tastebench.recommenders.userqa.prompt import get_qa_prompt
from tastebench.recommenders.userqa.reading import QaReader
from tastebench.recommenders.userqa.settings import ReaderSettings, weights_of
from tastebench.recommenders.userqa.text_history import TextHistoryConfig
from tastebench.recommenders.userqa.told import TextHistory
from tastebench.recommenders.userqa.user_embedding import UserEmbeddingConfig
from tastebench.testing.user_questions import accuracy, favourites, problem, shop, shuffled
from tastebench.training.fit import FabricTrainer

WORDS = """
name: tiny-words
version: 1
system: a free kettle
history: "of the:"
entry: "{n} {item};"
empty: "for none;"
vectors: "with:"
question: "a {question}"
answer: " the "
"""


@pytest.fixture(scope="session")
def without(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A prompt that shows no options."""
    file = tmp_path_factory.mktemp("prompts") / "words.yaml"
    file.write_text(WORDS, encoding="utf-8")
    return str(file)


def reader(folder: Path, prompt: str, **more: Any) -> QaReader:
    limits = {"max_length": 200, "question_length": 64} | more
    made = QaReader(
        ReaderSettings(model=str(folder), prompt=prompt, device="cpu", scoring="words", **limits),
        "none",
        "en",
    )
    made.use()
    return made


def likelihood(model: Any, soft: torch.Tensor, prompt: list[int], answer: list[int]) -> float:
    """Of an answer behind soft tokens and a prompt, token by token."""
    tokens = torch.tensor([prompt + answer])
    given = torch.cat([soft[None], model.get_input_embeddings()(tokens)], dim=1)
    with torch.no_grad():
        logits = model(inputs_embeds=given).logits[0].log_softmax(dim=-1)
    first = len(soft) + len(prompt)
    return sum(float(logits[first + i - 1, token]) for i, token in enumerate(answer))


OPTIONS = ("red", "grey kettle of oak", "blue chair", "black black black black black")


@pytest.mark.parametrize("m", [2, 120], ids=["questions read once", "users read once"])
@pytest.mark.parametrize("shows_options", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_scores_are_log_probabilities_of_the_words_and_their_end(
    models: Callable[[str], Path],
    prompt: str,
    without: str,
    architecture: str,
    shows_options: bool,
    m: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Options of different length, users who share their beginning, in any order."""
    from transformers import AutoModelForCausalLM

    folder, users = models(architecture), 3
    made = reader(folder, prompt if shows_options else without)
    questions = favourites(users, 0, per_user=3)
    order = np.random.default_rng(0).permutation(len(questions))
    questions = replace(
        questions,
        user=questions.user[order],
        options=[OPTIONS[i % 4 :] + OPTIONS[: i % 4] for i in range(len(order))],
        text=["red " * (i + 1) for i in range(len(order))],
    )
    torch.manual_seed(1)
    soft = torch.randn(users, m, made.headed.width)
    made.headed.soft.table = soft.flatten(0, 1)
    own = np.arange(users * m, dtype=np.int32) + made.headed.vocabulary
    heads = repeated(made.layout.head(), users)
    prefixes = concatenated(Ragged.from_lengths(own, np.full(users, m)), heads)
    shared: list[Any] = []
    read_all = made.reader.log_probabilities

    def log_probabilities(prompts: Any, said: np.ndarray) -> torch.Tensor:
        shared.append(prompts)
        return read_all(prompts, said)

    monkeypatch.setattr(made.reader, "log_probabilities", log_probabilities)
    answers = made.answer(prefixes, questions, 0, m)
    assert made.reader.shares is True
    assert len(shared[0].prefixes) == (len(questions) if m == 2 else users)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    suffixes, spelling = made.layout.suffixes(questions), made.layout.spelling
    end = spelling.tokenizer.eos_token_id
    for row, options in enumerate(questions.options):
        asked = [*made.layout.head().tolist(), *suffixes.tokens[row].tolist()]
        said = [[*spelling.piece(f" {option}").tolist(), end] for option in options]
        wanted = [likelihood(model, soft[questions.user[row]], asked, one) for one in said]
        np.testing.assert_allclose(answers.scores[row], wanted, rtol=1e-4, atol=1e-3)
        # The user and the question once, then every option.
        read = len(made.layout.head()) + len(suffixes.tokens[row]) + sum(map(len, said))
        assert (answers.soft[row], answers.tokens[row]) == (m, read)
    assert set(answers.status) == {"answered"}


def test_the_loss_is_that_of_the_right_words_and_their_end(
    models: Callable[[str], Path], without: str
) -> None:
    """T19 with words: every token of an answer counts alike, and nothing else does."""
    from transformers import AutoModelForCausalLM

    folder, m = models("qwen2"), 3
    made, questions = reader(folder, without), favourites(4, 0)
    questions = replace(questions, options=[OPTIONS] * 4, gold=np.array([0, 1, 2, 3]))
    lessons = made.lessons(repeated(made.layout.head(), 4), questions)
    rows = np.array([3, 0, 1])
    torch.manual_seed(1)
    soft = torch.randn(3, m, made.headed.width)
    found = made.loss(lessons, rows, soft).item()
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    spelling, total, n = made.layout.spelling, 0.0, 0
    suffixes = made.layout.suffixes(questions)
    for own, row in zip(soft, rows.tolist(), strict=True):
        answer = [*spelling.piece(f" {OPTIONS[row]}").tolist(), spelling.tokenizer.eos_token_id]
        asked = [*made.layout.head().tolist(), *suffixes.tokens[row].tolist()]
        total -= likelihood(model, own, asked, answer)
        n += len(answer)
    assert found == pytest.approx(total / n, abs=1e-4)


def test_what_is_shown_is_the_question_and_where_asked_for_the_options(
    models: Callable[[str], Path], prompt: str, without: str
) -> None:
    questions = replace(favourites(1, 0), text=["oak for chair"])

    def asked(file: str) -> str:
        made = reader(models("llama"), file)
        tokens = made.layout.suffixes(questions).tokens[0]
        return str(made.layout.spelling.tokenizer.decode(tokens.tolist()))

    assert asked(without) == "a oak for chair the"
    assert asked(prompt) == "a oak for chair kettle red; lamp grey; chair blue; pan black; the"


@pytest.mark.parametrize("shows_options", [True, False])
@pytest.mark.parametrize("room", [40, 60])
def test_question_and_words_together_have_room(
    models: Callable[[str], Path], prompt: str, without: str, shows_options: bool, room: int
) -> None:
    """T26: the longest answer ends with its end, and nothing is longer than it may be."""
    made = reader(models("llama"), prompt if shows_options else without, question_length=room)
    options = ("blue " * 50, "red", "pan " * 3, "a")
    questions = replace(favourites(1, 0), text=["red " * 90], options=[options])
    found = made.layout.suffixes(questions)
    assert found.cut.tolist() == [True]
    ends = [answer[-1] for answer in found.answers]
    assert ends == [made.layout.end[0]] * 4
    longest = found.answers.lengths.max() - 1
    assert longest > 1
    assert found.tokens.lengths[0] + longest == room
    text = made.layout.spelling.tokenizer.decode(found.tokens[0].tolist())
    assert text.startswith("a red red") and text.endswith("the")


def test_a_model_without_an_end_is_refused(models: Callable[[str], Path], without: str) -> None:
    from tastebench.lm.headed import load_headed
    from tastebench.lm.load import find_model
    from tastebench.recommenders.userqa.layout import make_layout

    headed = load_headed(find_model(str(models("llama"))))
    headed.tokenizer.eos_token = None
    with pytest.raises(UsageError, match="no token that ends a text"):
        make_layout(get_qa_prompt(without, by_words=True), headed, 60, chat=False, by_words=True)


# ------------------------------------------------------------------------------------- prompts


def test_the_prompt_follows_the_scoring(without: str) -> None:
    for language in ("en", "zh"):
        found = get_qa_prompt("auto", language, by_words=True)
        assert (found.title, found.labels) == (f"user-{language}-words-v1", ())
        assert found.language == language
    with pytest.raises(UsageError, match=r"shows no options, and so no labels to answer with"):
        get_qa_prompt(without)


def test_a_prompt_with_labels_and_no_place_for_them_is_refused(
    tmp_path: Path, without: str
) -> None:
    from tastebench.errors import DataError

    file = tmp_path / "mine.yaml"
    file.write_text(Path(without).read_text("utf-8") + "labels: [A, B]\n", encoding="utf-8")
    with pytest.raises(DataError, match="labels are shown by option, and that is empty"):
        get_qa_prompt(str(file), by_words=True)


def test_a_new_prompt_for_words_renames_no_run_by_labels(models: Callable[[str], Path]) -> None:
    """What identifies a run are the prompts that it can meet."""
    model = str(models("llama"))
    labels = weights_of(ReaderSettings(model=model), fetch=False)
    words = weights_of(ReaderSettings(model=model, scoring="words"), fetch=False)
    assert labels is not None and words is not None

    def hashes(*names: str) -> str:
        return " ".join(get_qa_prompt(name, by_words=True).hash for name in names)

    assert labels.endswith(f"prompt {hashes('user-en-v1', 'user-zh-v1')}")
    assert words.endswith(f"prompt {hashes('user-en-words-v1', 'user-zh-words-v1')}")


# ----------------------------------------------------------------------------------- learning

TRAINED = {"lr": 3e-3, "warmup": 10, "epochs": 4, "device": "cpu", "scoring": "words"}


def test_it_learns_what_users_like_in_words(models: Callable[[str], Path], without: str) -> None:
    """Options in any order, which a model as small as this cannot tell by their labels."""
    config = UserEmbeddingConfig(
        model=str(models("qwen2")),
        prompt=without,
        strategy="full",
        reader_lr=3e-3,
        max_length=200,
        question_length=64,
        pretrain={"epochs": 8, "batch_size": 256, "lr": 3e-3},
        **TRAINED,
    )
    case = problem(turned=True)
    made = UserEmbedding(config)
    made.fit(case, shop(("id", "side")), FabricTrainer(seed=0))
    assert accuracy(made.answer(case.test).scores, case.test) > 0.85
    # A quarter by chance; two standard deviations of 200 questions are 0.06.
    others = shuffled(case.test)
    assert accuracy(made.answer(others).scores, others) == pytest.approx(0.25, abs=0.07)


def test_history_in_words_is_scored_in_words(models: Callable[[str], Path], without: str) -> None:
    """Through transformers alone: one text, one forward, every option."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, case = models("llama"), problem(4, 4)
    made = TextHistory(
        TextHistoryConfig(
            model=str(folder),
            prompt=without,
            events=2,
            max_length=250,
            question_length=64,
            device="cpu",
            scoring="words",
        )
    )
    made.fit(case, shop(("text",)), FabricTrainer(seed=0))
    found = made.answer(case.test)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer, lines = AutoTokenizer.from_pretrained(folder), item_lines(shop())
    for row in range(len(case.test)):
        events = case.test.history[int(case.test.user[row])][-2:]
        told = "".join(f"{n} {lines[item]};" for n, item in enumerate(events, start=1))
        text = f"a free kettle\nof the:{told}a {case.test.text[row]} the"
        prompt = tokenizer(text)["input_ids"]
        whole = [tokenizer(f"{text} {o}")["input_ids"] for o in case.test.options[row]]
        answers = [[*one[len(prompt) :], tokenizer.eos_token_id] for one in whole]
        nothing = torch.empty(0, model.config.hidden_size)
        wanted = [likelihood(model, nothing, prompt, answer) for answer in answers]
        np.testing.assert_allclose(found.scores[row], wanted, rtol=1e-4, atol=1e-3)


def test_a_preview_counts_user_and_question_once(
    models: Callable[[str], Path], without: str
) -> None:
    config = UserEmbeddingConfig(
        model=str(models("llama")), prompt=without, device="cpu", scoring="words"
    )
    case = problem(6, 6)
    found = preview_embedding(config, case, shop(("id",)))
    assert isinstance(found, Preview)
    made = reader(models("llama"), without, max_length=2048, question_length=384)
    total = 0
    for part in (case.test, case.valid):
        suffixes = made.layout.suffixes(part)
        total += int(suffixes.tokens.lengths.sum() + suffixes.answers.lengths.sum())
        total += len(part) * (len(made.layout.head()) + 1)  # and the soft token
    assert found.prompt_tokens == pytest.approx(total, rel=0.02)
    assert all(text.endswith("the") for text in found.prompts)
