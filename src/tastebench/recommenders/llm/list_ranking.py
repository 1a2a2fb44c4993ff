"""The recommender that asks a model for the order of a list."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from tastebench.contracts import (
    Account,
    Candidates,
    CtrProblem,
    FitReport,
    Items,
    Preview,
    Trainer,
)
from tastebench.errors import UsageError
from tastebench.files import hash_json
from tastebench.lm.asking import REFUSED, Conversation, tokens_of
from tastebench.lm.calls import Call
from tastebench.lm.spending import BYTES_PER_TOKEN
from tastebench.lm.transcript import Transcript
from tastebench.recommenders.llm.agreement import agreement, place_correlation
from tastebench.recommenders.llm.answers import order_of
from tastebench.recommenders.llm.askers import candidates_of
from tastebench.recommenders.llm.outlook import Work
from tastebench.recommenders.llm.prompt import ITEM, filled, get_prompt
from tastebench.recommenders.llm.remote import SHOWN, in_words
from tastebench.recommenders.llm.remote_model import RemoteModel, cost
from tastebench.recommenders.llm.texts import texts_of
from tastebench.recommenders.llm.words import Words, cut_to
from tastebench.training.seeds import generator

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm_rank import RankConfig
    from tastebench.recommenders.llm.local_model import LocalModel

_CANDIDATES_SHARE = 2
"""The candidates' texts together have one part in so many of the longest prompt."""
_NUMBER = 3
"""Digits of a candidate's number."""
_SAMPLED = 256
COUNTS = ("answered", "invalid", "refused", "alone", "cut", "left_out")
NOTHING = 0.5
"""The score of what nothing is known of: the mean of all places."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Candidates in one prompt.

    Attributes:
        asker: Whose.
        turn: Which of the orders it belongs to.
        rows: Rows of the candidates, in the order in which they are shown, int64.
    """

    asker: int
    turn: int
    rows: np.ndarray


@dataclass
class _Bias:
    """What answers that are whole tell of where candidates were shown."""

    correlation: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    expected: list[float] = field(default_factory=list)
    copied: list[float] = field(default_factory=list)
    agreement: list[float] = field(default_factory=list)

    def add(self, places: np.ndarray) -> None:
        """Takes up an answer: shown places, best first."""
        self.correlation.append(place_correlation(places))
        self.first.append(float(places[0] == 0))
        self.expected.append(1 / len(places))
        self.copied.append(float((places == np.arange(len(places))).all()))

    def probes(self) -> dict[str, float]:
        """Their means, by name."""
        names = {
            "place_correlation": self.correlation,
            "shown_first_is_best": self.first,
            "shown_first_is_best_by_chance": self.expected,
            "answered_as_shown": self.copied,
            "order_agreement": self.agreement,
        }
        return {name: float(np.mean(values)) for name, values in names.items() if values}


class ListRanking:
    """Asks for the order of each asker's candidates, several times, and takes the mean place.

    The score of a candidate depends on the others it is shown with: that is how such a model ranks.
    Places run from 1 (best) to 0 (last); candidates that an answer says nothing of have a half.

    Args:
        config: Which model and how it is asked.

    Attributes:
        transcript: What was asked about lists, and what was said.
    """

    log_odds = False

    def __init__(self, config: RankConfig) -> None:
        self.config = config
        self._model: RemoteModel | LocalModel | None = None
        self._asking: _Asking | None = None
        self._seed = 0
        self._counts: Counter[str] = Counter()
        self._bias = _Bias()
        self._asked = 0
        self.transcript = Transcript()

    def fit(self, problem: CtrProblem, items: Items, trainer: Trainer) -> FitReport:
        """Opens the model; it learns nothing.

        Raises:
            UsageError: Somebody else's server and no cap, or a prompt that leaves no room.
            DataError: No such model.
        """
        began = time.perf_counter()
        model = self._model = _open(self.config, items)
        asking = self._asking = _Asking(self.config, items, problem.history_length, model)
        self._seed = trainer.seed
        if isinstance(model, RemoteModel):
            read, n, _ = _size(self.config, asking, problem)
            most = n * self.config.longest_answer
            model.check_cap(read + most, cost(model.price, read, most))
            who = f"{model.endpoint.model} at {model.endpoint.address}"
            self.transcript = Transcript(model.endpoint.known_key())
        else:
            who = model.folder.name
            self.transcript = Transcript()
        prompt = asking.words.prompt
        times = f"{self.config.orders} orders of at most {self.config.list_size} candidates"
        notes = (f"{who}, asked by {prompt.title} ({prompt.hash}), {times}",)
        return FitReport(parameters=0, seconds=time.perf_counter() - began, notes=notes)

    def score(self, candidates: Candidates) -> np.ndarray:
        """Mean places, 1 for the best and 0 for the last, float64 `[n]`.

        Raises:
            UsageError: `fit` was not called.
            BudgetError: The cap is reached; what was answered is kept.
            RemoteError: The server cannot be asked; what was answered is kept.
        """
        if self._asking is None or self._model is None:
            raise UsageError("llm-rank is not fitted", fix="call fit first")
        shown = list(shown_lists(candidates, self.config, self._seed))
        conversations, left = self._asking.conversations(candidates, shown)
        self._counts.update(left)
        calls = self._model.ask(conversations, max_tokens=self.config.longest_answer)
        turns = np.full((self.config.orders, len(candidates.items.values)), NOTHING)
        for one, conversation, call in zip(shown, conversations, calls, strict=True):
            places, kind = self._places(call, len(one.rows))
            turns[one.turn, one.rows] = places
            user, items = int(candidates.user[one.asker]), candidates.items.values[one.rows]
            self.transcript.add(user, items.tolist(), conversation, call, kind)
        self._counts["alone"] += int((candidates.items.lengths == 1).sum())
        self._asked += len(candidates.items.values)
        for a, b in combinations(turns, 2):
            alike = agreement(a, b, candidates.items.lengths)
            self._bias.agreement += [] if np.isnan(alike) else [alike]
        scores: np.ndarray = turns.mean(axis=0)
        return scores

    def account(self) -> Account:
        """What was asked since the last call, and what came of it.

        Counts are of lists: `answered` by a permutation, `invalid`, `refused`; `alone` are
        candidates without others, which nobody is asked about. `cut` are candidates whose text was
        shortened, each time they were shown, `left_out` items of histories that had no room. Probes
        tell how much it matters where a candidate is shown.
        """
        if self._model is None:
            raise UsageError("llm-rank is not fitted", fix="call fit first")
        counts, self._counts = self._counts, Counter()
        bias, self._bias = self._bias, _Bias()
        asked, self._asked = self._asked, 0
        whole = {**dict.fromkeys(COUNTS, 0), **counts}
        return self._model.account(whole, bias.probes(), asked=asked)

    def _places(self, call: Call, n: int) -> tuple[np.ndarray, str]:
        """The place of each shown candidate, float64 `[n]`, and what the answer is counted as."""
        places = np.full(n, NOTHING)
        if call.finish_reason in {REFUSED, "content_filter"} or call.refusal:
            self._counts["refused"] += 1
            return places, "refused"
        order = order_of(call.text, n)
        kind = "answered" if order.whole else "invalid"
        self._counts[kind] += 1
        named = np.array(order.places, dtype=np.int64)
        if order.whole:
            self._bias.add(named)
        elif not self.config.partial:
            return places, kind
        if len(named) < n:
            places[:] = 1 - (len(named) + n - 1) / 2 / (n - 1)
        places[named] = 1 - np.arange(len(named)) / (n - 1)
        return places, kind


def shown_lists(candidates: Candidates, config: RankConfig, seed: int) -> Iterator[Shown]:
    """What is shown in each prompt: every asker's candidates once for each of the orders.

    The orders follow from the seed and from who is asked about what, not from who else is.
    """
    offsets = candidates.items.offsets
    for asker, (items, history) in enumerate(
        zip(candidates.items, candidates.history, strict=True)
    ):
        n = len(items)
        if n < 2:
            continue
        who = hash_json([history.tolist(), int(candidates.user[asker]), items.tolist()])
        for turn in range(config.orders):
            order = generator(seed, f"{who} {turn}").permutation(n)
            for part in np.array_split(order, -(-n // config.list_size)):
                if len(part) > 1:
                    yield Shown(asker, turn, offsets[asker] + part)


def _open(config: RankConfig, items: Items) -> RemoteModel | LocalModel:
    """The model of a run."""
    prompt = get_prompt(config.prompt)
    if config.remote:
        return RemoteModel(config.model, prompt.hash, texts_of(items), config.temperature)
    from tastebench.recommenders.llm.local_model import LocalModel

    return LocalModel(
        config.model,
        prompt,
        chat=config.chat == "auto",
        device=config.device,
        trust_remote_code=config.trust_remote_code,
    )


class _Asking:
    """Prompt and catalogue of a run; lengths are the model's, or estimates where it is not here."""

    def __init__(
        self,
        config: RankConfig,
        items: Items,
        history_length: int,
        model: RemoteModel | LocalModel | None = None,
    ) -> None:
        texts, prompt = texts_of(items), get_prompt(config.prompt)
        self.history_length = history_length
        max_length, bytes_per_token = config.max_length, float(BYTES_PER_TOKEN)
        if model is not None and not isinstance(model, RemoteModel):
            max_length = model.longest(max_length)
            bytes_per_token = min(bytes_per_token, model.bytes_per_token(texts))
        room = int(max_length * bytes_per_token) // _CANDIDATES_SHARE // config.list_size
        before, _, after = prompt.candidate.partition(ITEM)
        frame = len((before + after).encode()) + _NUMBER
        if room <= 2 * frame:
            raise UsageError(
                f"lists of {config.list_size} candidates have no room in {max_length} tokens",
                fix="a lower list_size, or a larger max_length, as far as the model goes",
            )
        self._cut = [cut_to(text, room - frame) for text in texts]
        self._shorter = np.array([a != b for a, b in zip(self._cut, texts, strict=True)])
        self.words = Words(
            prompt,
            texts,
            history_length,
            max_length,
            answer=config.longest_answer,
            bytes_per_token=bytes_per_token,
            listed=_CANDIDATES_SHARE,
        )

    def conversations(
        self, candidates: Candidates, shown: list[Shown]
    ) -> tuple[list[Conversation], Counter[str]]:
        """The question about each list, and how many texts were cut or left out."""
        prompt = self.words.prompt
        history = candidates.history.tail(self.history_length)
        before, prefixes = self.words.prefixes(history)
        made = []
        cut = 0
        for one in shown:
            items = candidates.items.values[one.rows]
            cut += int(self._shorter[items].sum())
            listed = [
                filled(prompt.candidate, n, self._cut[item])
                for n, item in enumerate(items.tolist(), start=1)
            ]
            content = "".join([before[one.asker], prompt.candidates, *listed, prompt.answer])
            made.append(self.words.conversation(content))
        asked = sorted({one.asker for one in shown})
        left = (history.lengths - prefixes.kept)[asked].sum()
        return made, Counter({"cut": cut, "left_out": int(left)})


def _size(
    config: RankConfig, asking: _Asking, problem: CtrProblem
) -> tuple[int, int, list[Conversation]]:
    """About how many tokens all prompts have, their number, and some of them."""
    read = n = 0
    some: list[Conversation] = []
    for part in (problem.test, problem.valid):
        if not len(part):
            continue
        candidates = candidates_of(problem, part)[0]
        own = candidates.items.lengths
        lists = int((-(-own // config.list_size) * config.orders)[own > 1].sum())
        at = np.flatnonzero(own > 1)
        at = at[np.arange(min(_SAMPLED, len(at))) * len(at) // max(1, min(_SAMPLED, len(at)))]
        sample = Candidates(candidates.history[at], candidates.user[at], candidates.items[at])
        once = config.model_copy(update={"orders": 1})
        made, _ = asking.conversations(sample, list(shown_lists(sample, once, seed=0)))
        some = some or made
        n += lists
        read += round(float(np.mean([tokens_of(one) for one in made])) * lists) if made else 0
    return read, n, some


def preview(config: RankConfig, problem: CtrProblem, items: Items) -> Preview:
    """Prompts of a few users, and what both measured parts will take.

    Nobody is asked and no model of this machine is loaded.
    """
    asking = _Asking(config, items, problem.history_length)
    read, requests, some = _size(config, asking, problem)
    written = requests * min(4 * config.list_size, config.longest_answer)
    remote, work = None, Work(asked=read + written)
    if config.remote:
        prompt = asking.words.prompt.hash
        remote = RemoteModel(config.model, prompt, texts_of(items), config.temperature)
    return Preview(
        prompts=tuple(map(in_words, some[:SHOWN])),
        requests=requests,
        prompt_tokens=read,
        completion_tokens=written,
        seconds=remote.seconds(requests)
        if remote
        else work.seconds(config.model, config.device, trust_remote_code=config.trust_remote_code),
        usd=cost(remote.price, read, written) if remote else 0.0,
    )
