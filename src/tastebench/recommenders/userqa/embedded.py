"""The recommender that gives a language model the user as vectors."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tastebench.contracts import (
    Account,
    Answers,
    FitReport,
    Items,
    QaProblem,
    Questions,
    Trainer,
)
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.pieces import concatenated, repeated
from tastebench.recommenders.userqa.adapters import KMeansTokens, MeanPool, QFormer
from tastebench.recommenders.userqa.answering import Answering, check_problem, learn
from tastebench.recommenders.userqa.item_features import Bags, Input, make_bags
from tastebench.recommenders.userqa.kept import pretrained
from tastebench.recommenders.userqa.narrow import asked_only, no_answers
from tastebench.recommenders.userqa.reading import QaReader, Tune
from tastebench.recommenders.userqa.user_embedding import SIZE_PROBE, UserEmbeddingConfig
from tastebench.recommenders.userqa.user_network import UserNetwork
from tastebench.recommenders.userqa.user_vectors import UserVectors
from tastebench.training.seeds import torch_seeded

_USERS = 1024
"""Users whose soft tokens are held at once."""

_TUNE: dict[str, Tune] = {"adapter": "none", "lora": "lora", "full": "full"}


@dataclass(frozen=True, eq=False)
class _Fitted:
    """All that answers."""

    reader: QaReader
    network: UserNetwork
    adapter: Any
    module: Answering


class UserEmbedding:
    """A frozen encoder, an adapter, and a reader before whose prompts stand soft tokens.

    Args:
        config: Which, and how they are trained.
    """

    def __init__(self, config: UserEmbeddingConfig) -> None:
        self.config = config
        self._fitted: _Fitted | None = None
        self._events = 0
        self._asked: tuple[Ragged, np.ndarray, UserVectors] | None = None

    @property
    def fitted(self) -> _Fitted:
        """What answers, as far as `fit` has come.

        Raises:
            UsageError: `fit` was not called.
        """
        if self._fitted is None:
            raise UsageError("user-embedding is not fitted", fix="call fit first")
        return self._fitted

    def fit(self, problem: QaProblem, items: Items, trainer: Trainer) -> FitReport:
        """Pre-trains the encoder, freezes it, and trains on the training questions.

        Raises:
            UsageError: Settings that do not go together, or nothing to train on.
            DataError: No such reader.
        """
        began = time.perf_counter()
        config, train, length = self.config, problem.train, problem.history_length
        language = check_problem(problem)
        self._events, self._asked = min(config.events or length, length), None
        with torch_seeded(trainer.rng("weights")):
            reader = QaReader(config, _TUNE[config.strategy], language)
            self._check_room(reader)
            bags = self._bags(reader, items)
            widths = config.shape.id_width, config.shape.feature_width
            network = UserNetwork(config.encoder_settings, bags, self._events, *widths)
        encoder_began = time.perf_counter()
        first = pretrained(
            network,
            config.encoder_settings,
            bags,
            config.pretrain.model_copy(update={"device": config.device}),
            train.history,
            problem.valid.history,
            self._events,
            trainer,
        )
        # What training took is told, whether it was now or in an earlier run.
        began += time.perf_counter() - encoder_began - first.seconds
        with torch_seeded(trainer.rng("adapter")):
            adapter = make_adapter(config, network.width, reader.headed.width)
            asked = asked_only(train)
            lessons = reader.lessons(self._heads(len(asked.history), reader), asked)
            tuned = config.strategy != "adapter"
            partly = reader.choose(lessons) if tuned else reader.freeze()
        module = Answering(partly, adapter, tuned=tuned, reader_lr=config.rate_of_reader)
        self._fitted = _Fitted(reader, network, adapter, module)
        users = UserVectors(network, adapter, asked.history, self._events)

        def soft(rows: np.ndarray) -> Tensor:
            return self._soft(users, rows)

        prepared = time.perf_counter() - began
        report = learn(module, reader, lessons, config, trainer, soft)
        reader.account()
        return _joined(report, first, network, prepared)

    def answer(self, questions: Questions) -> Answers:
        """Log-probabilities of the options' labels or words; a user's vectors are read once.

        Raises:
            UsageError: `fit` was not called.
        """
        known = self.fitted
        if not len(questions):
            return no_answers(questions)
        if known.module.training:
            known.module.eval()
        with known.reader.timed():
            users = self._users(questions)
            asked = asked_only(questions)
            parts = [
                self._answer(asked, users, begin, min(begin + _USERS, len(users)))
                for begin in range(0, len(users), _USERS)
            ]
        rows = np.concatenate([rows for rows, _ in parts])
        back = np.argsort(rows)
        status = [one for _, answers in parts for one in answers.status]
        return Answers(
            scores=np.concatenate([answers.scores for _, answers in parts])[back],
            status=[status[place] for place in back],
            soft=np.concatenate([answers.soft for _, answers in parts])[back],
            tokens=np.concatenate([answers.tokens for _, answers in parts])[back],
        )

    def account(self) -> Account:
        """What was read since the last call, and how large the user encoder is."""
        found = self.fitted.reader.account()
        return replace(found, probes={SIZE_PROBE: float(self.fitted.network.dense), **found.probes})

    # ---------------------------------------------------------------------------------- inside

    def _answer(
        self, questions: Questions, users: UserVectors, begin: int, end: int
    ) -> tuple[np.ndarray, Answers]:
        """Answers about users `begin .. end - 1`, and to which questions."""
        known, m, n = self.fitted, self.config.n_tokens, end - begin
        rows = np.flatnonzero((questions.user >= begin) & (questions.user < end))
        about = questions[rows]
        about = replace(about, user=about.user - begin)
        reader = known.reader
        with torch.no_grad():
            reader.headed.soft.table = self._soft(users, np.arange(begin, end)).flatten(0, 1)
        beyond = reader.headed.vocabulary + np.arange(n * m)
        own = Ragged.from_lengths(beyond.astype(np.int32), np.full(n, m))
        prefixes = concatenated(own, self._heads(n, reader))
        return rows, reader.answer(prefixes, about, 0, m)

    def _soft(self, users: UserVectors, rows: np.ndarray) -> Tensor:
        """Soft tokens of some users, `[b, m, d]`."""
        known = self.fitted
        device = next(known.adapter.parameters()).device
        vectors, real = users.take(rows)
        tokens: Tensor = known.adapter(vectors.to(device), real.to(device))
        return tokens

    def _users(self, questions: Questions) -> UserVectors:
        """Those who are asked about, ascending; kept for the next time the same are.

        Validation asks about the same users after every epoch, and the encoder is frozen.
        """
        histories, asked = questions.history, np.unique(questions.user)
        if self._asked is not None:
            before, whom, kept = self._asked
            if before is histories and np.array_equal(whom, asked):
                return kept
        known = self.fitted
        users = UserVectors(known.network, known.adapter, histories[asked], self._events)
        self._asked = histories, asked, users
        known.reader.worked(known.network.dense, users.events)
        return users

    def _heads(self, n: int, reader: QaReader) -> Ragged:
        return repeated(reader.layout.head(), n)

    def _bags(self, reader: QaReader, items: Items) -> Bags:
        """What is read of items, texts in the reader's tokens."""
        forms: Any = items.forms or ("id",)
        inputs: tuple[Input, ...] = self.config.inputs or tuple(
            form for form in forms if form in ("id", "side", "text")
        )
        spelling = reader.layout.spelling

        def tokens(texts: list[str]) -> Ragged:
            lines = [" ".join(text.split()) for text in texts]
            return spelling.texts(lines, lambda row: f"the text of item {row}")

        return make_bags(items, inputs, tokens)

    def _check_room(self, reader: QaReader) -> None:
        layout = reader.layout
        wanted = self.config.n_tokens + len(layout.head()) + layout.room + layout.beyond
        if wanted > reader.max_length:
            raise UsageError(
                f"{self.config.n_tokens} soft tokens, a prompt and a question of at most "
                f"{layout.room} tokens are {wanted:,}, and {reader.max_length:,} are all that may "
                "be read",
                fix="a smaller question_length, fewer tokens, or a larger max_length",
            )


def make_adapter(config: UserEmbeddingConfig, width: int, model_width: int) -> nn.Module:
    """The untrained adapter, from states `width` wide to the reader's embeddings."""
    if config.adapter == "mean":
        return MeanPool(width, model_width)
    if config.adapter == "kmeans":
        return KMeansTokens(width, model_width, config.n_tokens)
    return QFormer(
        width,
        model_width,
        config.n_tokens,
        blocks=config.q_former_blocks,
        heads=config.q_former_heads,
    )


def _joined(
    report: FitReport, first: FitReport, network: UserNetwork, prepared: float
) -> FitReport:
    """The report of the questions, with what is to be said of the encoder before them."""
    embedded = sum(p.numel() for p in network.parameters()) - network.dense
    notes = (
        f"user encoder: {network.dense:,} dense parameters and {embedded:,} around them, frozen",
        f"user encoder: {len(first.curve)} epochs",
        *first.notes,
        *report.notes,
    )
    return replace(report, seconds=report.seconds + prepared, notes=notes)
