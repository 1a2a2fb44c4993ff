"""What a language model will be asked about users, said before it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tastebench.contracts import Items, Preview, QaProblem, Questions
from tastebench.lm.load import would_download
from tastebench.lm.spending import estimate_tokens
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.outlook import Work, tokenized
from tastebench.recommenders.llm.pieces import concatenated, repeated
from tastebench.recommenders.userqa.layout import Layout, item_lines, make_layout
from tastebench.recommenders.userqa.narrow import asked_only
from tastebench.recommenders.userqa.prompt import (
    ITEM,
    LABEL,
    NUMBER,
    OPTION,
    QUESTION,
    QaPrompt,
    get_qa_prompt,
)
from tastebench.recommenders.userqa.settings import ReaderSettings, in_chat, length_of
from tastebench.recommenders.userqa.text_history import TextHistoryConfig
from tastebench.recommenders.userqa.user_embedding import UserEmbeddingConfig

SHOWN = 3
"""Users whose prompts are shown."""

_SAMPLED = 512
"""Questions whose tokens are counted, spread over all; the rest is taken to be like them."""

Prefixes = Callable[[Layout, int, Ragged], Ragged]
"""Layout, tokens that a prompt may have, and histories, to what stands before the questions."""


@dataclass(frozen=True, eq=False)
class _Told:
    """What a sample of prompts is like.

    Attributes:
        shown: A few of them in words.
        prefix, question: Tokens about a user and of a question, on average; vectors are tokens.
        answer: Tokens of an answer, on average.
        options: Whose words are scored; 0 by labels.
    """

    shown: tuple[str, ...]
    prefix: float
    question: float
    answer: float
    options: int

    @property
    def whole(self) -> float:
        """Tokens of a question with all that is told and scored."""
        return self.prefix + self.question + self.options * self.answer


def preview_history(config: TextHistoryConfig, problem: QaProblem, items: Items) -> Preview:
    """Prompts of a few users of the test part, and tokens of both parts that are measured.

    Time includes training, all epochs of it. What a user's questions share is read once.

    Raises:
        UsageError: Items have no words, or a prompt has no room.
        DataError: No such model here.
    """
    events = min(config.events, problem.history_length)

    def prefixes(layout: Layout, limit: int, histories: Ragged) -> Ragged:
        return layout.events(items, events, limit).prefixes(histories.tail(events)).tokens

    def in_words(prompt: QaPrompt, history: np.ndarray) -> str:
        lines = item_lines(items)
        told = [
            prompt.entry.replace(NUMBER, str(n)).replace(ITEM, lines[int(item)])
            for n, item in enumerate(history[-events:], start=1)
        ]
        return prompt.history + ("".join(told) or prompt.empty)

    return _preview(config, problem, 0, config.tune != "none", prefixes, in_words)


def preview_embedding(config: UserEmbeddingConfig, problem: QaProblem, items: Items) -> Preview:
    """Prompts of a few users of the test part, and tokens of both parts that are measured.

    A user's vectors stand there as `<16 user vectors>`, and count as tokens. Time is that of the
    language model, with training, all epochs of it; that of the user encoder comes on top.

    Raises:
        UsageError: A question has no room.
        DataError: No such model here.
    """

    def prefixes(layout: Layout, limit: int, histories: Ragged) -> Ragged:
        return repeated(layout.head(), len(histories))

    def in_words(prompt: QaPrompt, history: np.ndarray) -> str:
        return prompt.vectors

    return _preview(config, problem, config.n_tokens, True, prefixes, in_words)


def _preview(
    config: ReaderSettings,
    problem: QaProblem,
    soft: int,
    trained: bool,
    prefixes: Prefixes,
    in_words: Callable[[QaPrompt, np.ndarray], str],
) -> Preview:
    """What both ways share.

    Args:
        config: Of the reader.
        problem: Who is asked what.
        soft: Vectors before each prompt.
        trained: Something is trained on questions, so that these are read as well.
        prefixes: What stands before a question.
        in_words: The same of a history, where the tokenizer is not here.
    """
    parts = [problem.test, problem.valid]
    n = sum(map(len, parts))
    if not n:
        return Preview((), 0, 0, 0, usd=0.0)
    sample = _sampled(next(part for part in parts if len(part)))
    told = (
        _guessed(config, sample, in_words)
        if would_download(config.model)
        else _exact(config, sample, prefixes)
    )
    vectors = "" if not soft else "<user vector> " if soft == 1 else f"<{soft} user vectors> "
    told = replace(
        told, shown=tuple(vectors + text for text in told.shown), prefix=told.prefix + soft
    )
    lesson = told.prefix + told.question + told.answer
    work = Work(
        asked=sum(_read(told, part) for part in parts),
        validated=_read(told, problem.valid),
        learned=lesson * len(problem.train) if trained else 0.0,
        epochs=config.epochs,
    )
    return Preview(
        prompts=told.shown,
        requests=n,
        prompt_tokens=round(told.whole * n),
        completion_tokens=n if config.scoring == "greedy" else 0,
        seconds=work.seconds(
            config.model, config.device, trust_remote_code=config.trust_remote_code
        ),
        usd=0.0,
    )


def _sampled(questions: Questions) -> Questions:
    """Some questions, evenly over all of them: they may stand there by kind."""
    n = min(_SAMPLED, len(questions))
    return asked_only(questions[np.arange(n) * len(questions) // n])


def _read(told: _Told, questions: Questions) -> float:
    """Tokens that a model goes through for a part: users are read once, or questions are."""
    users, n = len(np.unique(questions.user)), len(questions)
    again = max(told.options, 1) * told.question + told.options * told.answer
    return min(told.prefix * users + again * n, told.whole * n)


def _shown(questions: Questions) -> np.ndarray:
    """A question about each of a few users."""
    rows: np.ndarray = np.unique(questions.user, return_index=True)[1][:SHOWN]
    return rows


def _exact(config: ReaderSettings, questions: Questions, prefixes: Prefixes) -> _Told:
    model = tokenized(config.model, trust_remote_code=config.trust_remote_code)
    limit = length_of(config, model.folder, model.config)
    layout = make_layout(
        get_qa_prompt(config.prompt, questions.language, by_words=config.by_words),
        model,
        min(config.question_length, limit // 2),
        chat=in_chat(config, model.folder),
        by_words=config.by_words,
    )
    before, made = prefixes(layout, limit, questions.history), layout.suffixes(questions)
    rows, behind = _shown(questions), made.tokens
    whole = concatenated(before[questions.user[rows]], behind[rows])
    return _Told(
        tuple(str(model.tokenizer.decode(tokens)) for tokens in whole),
        float(before.lengths.mean()),
        float(behind.lengths.mean()),
        float(made.answers.lengths.mean()),
        len(questions.options[0]) if config.by_words else 0,
    )


def _guessed(
    config: ReaderSettings, questions: Questions, in_words: Callable[[QaPrompt, np.ndarray], str]
) -> _Told:
    """As words, where the tokenizer is not here yet; tokens by their usual length."""
    prompt = get_qa_prompt(config.prompt, questions.language, by_words=config.by_words)
    rows = _shown(questions).tolist()
    system = "" if prompt.system is None else f"{prompt.system}\n"
    before = [system + in_words(prompt, questions.history[int(questions.user[r])]) for r in rows]
    behind = [_asked(prompt, questions.text[r], questions.options[r]) for r in rows]
    options = [one for row in rows for one in questions.options[row]] if config.by_words else ["A"]
    return _Told(
        tuple(a + b for a, b in zip(before, behind, strict=True)),
        float(np.mean([estimate_tokens(text) for text in before])),
        float(np.mean([estimate_tokens(text) for text in behind])),
        float(np.mean([estimate_tokens(text) for text in options])),
        len(questions.options[0]) if config.by_words else 0,
    )


def _asked(prompt: QaPrompt, question: str, options: Sequence[str]) -> str:
    """A question with its options, in words."""
    told = [
        prompt.option.replace(LABEL, label).replace(OPTION, option)
        for label, option in zip(prompt.labels, options, strict=False)
    ]
    return prompt.question.replace(QUESTION, question) + "".join(told) + prompt.answer.rstrip()
