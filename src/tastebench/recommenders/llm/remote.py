"""The recommender that asks a model behind an address, one user and one item at a time."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from tastebench.contracts import (
    Account,
    Candidates,
    CtrProblem,
    FitReport,
    Items,
    Pairs,
    Preview,
    Trainer,
)
from tastebench.errors import UsageError
from tastebench.lm.asking import REFUSED, Conversation, tokens_of
from tastebench.lm.calls import Call
from tastebench.lm.spending import Budget
from tastebench.lm.transcript import Transcript
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.answers import log_odds, said
from tastebench.recommenders.llm.models import prompt_of
from tastebench.recommenders.llm.remote_model import RemoteModel, cost
from tastebench.recommenders.llm.texts import texts_of
from tastebench.recommenders.llm.words import Words

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm import LLMConfig

SHOWN = 3
"""Users whose prompts are shown."""
COUNTS = ("answered", "bounded", "unparsed", "refused", "no_logprobs", "cut", "left_out")
USUAL_TOKENS = 2
"""Of an answer that is one word."""
_SAMPLED = 512


class RemotePairwise:
    """A language model behind an address that says how likely a click is.

    Where the server tells log-probabilities, a score is log P(yes) - log P(no). Where it does not,
    answers are read strictly: 1 for yes, -1 for no, and 0, which is between the two, for what is
    neither; these only order. An answer that cannot be read has the score 0 and is counted.

    Args:
        config: Which model and how it is asked; nothing is tuned.

    Attributes:
        log_odds: The server tells log-probabilities; known once `fit` was called.
        budget: What may be spent; None before `fit` has the caps of the environment.
        transcript: What was asked about candidates, and what was said.
    """

    def __init__(self, config: LLMConfig) -> None:
        self.config = config
        self.log_odds = False
        self.budget: Budget | None = None
        self.transcript = Transcript()
        self._asking: _Asking | None = None
        self._logprobs: int | None = None
        self._counts: Counter[str] = Counter()
        self._asked = 0

    def fit(self, problem: CtrProblem, items: Items, trainer: Trainer) -> FitReport:
        """Finds out whether the server tells log-probabilities, by one question.

        Raises:
            UsageError: Somebody else's server and no cap, or a prompt that leaves no room.
            RemoteError: The server cannot be asked.
        """
        began = time.perf_counter()
        asking = _Asking(self.config, items, problem.history_length, self.budget)
        self._asking, self.budget = asking, asking.model.budget
        self.transcript = Transcript(asking.model.endpoint.known_key())
        read, n = asking.size(problem)
        most = n * self.config.asked.answer_tokens
        asking.model.check_cap(read + most, cost(asking.model.price, read, most))
        if self.config.asked.probabilities == "auto":
            self._logprobs = asking.model.offered(asking.sample(), self.config.asked.answer_tokens)
        self.log_odds = self._logprobs is not None
        endpoint, prompt = asking.model.endpoint, asking.words.prompt
        how = (
            f"by the {self._logprobs} likeliest tokens it tells"
            if self.log_odds
            else "by the word it writes, as it tells no log-probabilities"
        )
        notes = (
            f"{endpoint.model} at {endpoint.address}, asked by {prompt.title} ({prompt.hash}), "
            f"scored {how}",
        )
        return FitReport(parameters=0, seconds=time.perf_counter() - began, notes=notes)

    def score(self, candidates: Candidates) -> np.ndarray:
        """Log-odds of a yes, or 1, 0 or -1, float64 `[n]`.

        Raises:
            UsageError: `fit` was not called.
            BudgetError: The cap is reached; what was answered is kept.
            RemoteError: The server cannot be asked; what was answered is kept.
        """
        if self._asking is None:
            raise UsageError("llm is not fitted", fix="call fit first")
        conversations, shortened = self._asking.conversations(
            candidates.history, candidates.items.rows, candidates.items.values
        )
        self._counts.update(shortened)
        calls = self._asking.model.ask(
            conversations,
            max_tokens=self.config.asked.answer_tokens,
            logprobs=self._logprobs,
        )
        self._asked += len(calls)
        read = [self._read(call) for call in calls]
        askers = candidates.user[candidates.items.rows].tolist()
        rows = zip(askers, candidates.items.values.tolist(), conversations, calls, strict=True)
        for (user, item, conversation, call), (_, kind) in zip(rows, read, strict=True):
            self.transcript.add(user, [item], conversation, call, kind)
        return np.array([score for score, _ in read], dtype=np.float64)

    def account(self) -> Account:
        """What was asked since the last call, and what came of it.

        Counts are of candidates: `answered`, of which `bounded` lack one of the two words among the
        likeliest tokens; `unparsed`, `refused`, `no_logprobs` (a server that tells
        log-probabilities at other times) have the score 0. `cut` are texts that were shortened,
        `left_out` items of histories that had no room.
        """
        if self._asking is None:
            raise UsageError("llm is not fitted", fix="call fit first")
        counts, self._counts = self._counts, Counter()
        asked, self._asked = self._asked, 0
        return self._asking.model.account({**dict.fromkeys(COUNTS, 0), **counts}, asked=asked)

    def _read(self, call: Call) -> tuple[float, str]:
        """The score of an answer, and what it is counted as."""
        assert self._asking is not None
        prompt = self._asking.words.prompt
        kind, score = "answered", 0.0
        if call.finish_reason in {REFUSED, "content_filter"} or call.refusal:
            kind = "refused"
        elif self.log_odds and call.tokens is None:
            kind = "no_logprobs"
        elif self.log_odds:
            odds = log_odds(call.tokens or (), prompt.yes, prompt.no)
            if odds is None:
                kind = "unparsed"
            else:
                score = odds.score
                self._counts["bounded"] += odds.bounded
        else:
            answer = said(call.text, prompt.yes, prompt.no)
            kind = "unparsed" if answer is None else kind
            score = 0.0 if answer is None else (1.0 if answer else -1.0)
        self._counts[kind] += 1
        return score, kind


class _Asking:
    """Model, prompt and catalogue of a run."""

    def __init__(
        self,
        config: LLMConfig,
        items: Items,
        history_length: int,
        budget: Budget | None = None,
    ) -> None:
        texts, prompt = texts_of(items), prompt_of(config, chat=True)
        self.history_length = history_length
        self.answer_tokens = config.asked.answer_tokens
        self.model = RemoteModel(config.model, prompt.hash, texts, config.asked.temperature, budget)
        self.words = Words(
            prompt, texts, history_length, config.max_length, answer=self.answer_tokens
        )

    def sample(self) -> Conversation:
        """A question about the first item and a user without a history."""
        none = Ragged.from_lists([[]])
        return self.conversations(none, np.zeros(1, np.int64), np.zeros(1, np.int64))[0][0]

    def conversations(
        self, history: Ragged, asker: np.ndarray, item: np.ndarray
    ) -> tuple[list[Conversation], Counter[str]]:
        """The question about each candidate, and how many texts were cut or left out."""
        history = history.tail(self.history_length)
        before, prefixes = self.words.prefixes(history)
        room = prefixes.room[asker]
        behind = self.words.suffixes(item, room)
        made = [
            self.words.conversation(before[who] + text)
            for who, text in zip(asker.tolist(), behind, strict=True)
        ]
        asked = np.unique(asker)
        cut = self.words.pieces.shortened(item, room).sum() + prefixes.shortened[asked].sum()
        left = (history.lengths - prefixes.kept)[asked].sum()
        return made, Counter({"cut": int(cut), "left_out": int(left)})

    def of_pairs(self, problem: CtrProblem, pairs: Pairs) -> list[Conversation]:
        """The question of each labelled row."""
        contexts, asker = np.unique(pairs.context, return_inverse=True)
        return self.conversations(problem.history[contexts], asker, pairs.item)[0]

    def size(self, problem: CtrProblem) -> tuple[int, int]:
        """About how many tokens the prompts of both measured parts have, and their number."""
        n = len(problem.test) + len(problem.valid)
        some = [_spread(part) for part in (problem.test, problem.valid)]
        told = [tokens_of(one) for part in some for one in self.of_pairs(problem, part)]
        return round(float(np.mean(told)) * n) if told else 0, n


def preview(config: LLMConfig, problem: CtrProblem, items: Items) -> Preview:
    """Prompts of a few users of the test part, and what both measured parts will take.

    Nobody is asked. What is kept from before is not counted, as far as it is known how it was
    asked.
    """
    asking = _Asking(config, items, problem.history_length)
    model, answer_tokens = asking.model, config.asked.answer_tokens
    read, requests = asking.size(problem)
    parts = [part for part in (problem.test, problem.valid) if len(part)]
    shown: tuple[str, ...] = ()
    if parts:
        rows = np.unique(parts[0].user, return_index=True)[1][:SHOWN]
        shown = tuple(map(in_words, asking.of_pairs(problem, parts[0][rows])))
    if model.known:
        logprobs = None
        if config.asked.probabilities == "auto":
            logprobs = model.known_offer(asking.sample(), answer_tokens)
        asked = [one for part in parts for one in asking.of_pairs(problem, part)]
        keys = {model.key(one, max_tokens=answer_tokens, logprobs=logprobs): one for one in asked}
        left = [one for key, one in keys.items() if key not in model.known]
        read, requests = sum(map(tokens_of, left)), len(left)
    written = requests * min(USUAL_TOKENS, answer_tokens)
    return Preview(
        prompts=shown,
        requests=requests,
        prompt_tokens=read,
        completion_tokens=written,
        seconds=model.seconds(requests),
        usd=cost(model.price, read, written),
    )


def in_words(conversation: Conversation) -> str:
    """A conversation as one text, to be shown."""
    return "\n\n".join(f"{one['role']}: {one['content']}" for one in conversation)


def _spread(pairs: Pairs) -> Pairs:
    """Some rows, evenly over all."""
    n = min(_SAMPLED, len(pairs))
    return pairs[np.arange(n) * len(pairs) // max(n, 1)]
