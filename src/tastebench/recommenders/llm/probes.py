"""How much words and order matter to a model: measured on the validation part, beside the scores.

A run reports them with its numbers; they choose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.contracts import (
    Account,
    Candidates,
    CtrProblem,
    FitReport,
    Items,
    KeepsAccount,
    Trainer,
)
from tastebench.lm.transcript import Transcript, transcript_of
from tastebench.metrics.rows import LabelledRows, measure_rows
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.agreement import agreement
from tastebench.recommenders.llm.askers import candidates_of, of_some_users

if TYPE_CHECKING:
    from tastebench.contracts import Pairs
    from tastebench.lm.spending import Budget
    from tastebench.recommenders.llm.llm import LLMConfig

METRIC = "gauc"


class Probed:
    """A recommender that asks a model, and what its answers depend on besides.

    Args:
        config: Of the recommender; `probes` says what is measured.
        build: Config to an unfitted recommender.
    """

    def __init__(self, config: LLMConfig, build: Callable[[LLMConfig], Any]) -> None:
        self.config, self._build = config, build
        self._inner = build(config)
        self._probes: dict[str, float] = {}
        self._spent: list[Account] = []

    @property
    def log_odds(self) -> bool:
        """Those of the recommender."""
        return bool(self._inner.log_odds)

    @property
    def transcript(self) -> Transcript | None:
        """That of the recommender; what probes ask besides is not in it."""
        return transcript_of(self._inner)

    @property
    def module(self) -> Any:
        """What is trained."""
        return self._inner.module

    def fit(self, problem: CtrProblem, items: Items, trainer: Trainer) -> FitReport:
        """Fits it, then measures."""
        report: FitReport = self._inner.fit(problem, items, trainer)
        probes = self.config.probes
        if probes.users and len(problem.valid):
            self._probes |= self._sensitivity(problem, items, trainer)
        if probes.titles:
            self._probes |= self._memory(problem, items, trainer)
        return report

    def score(self, candidates: Candidates) -> np.ndarray:
        """Those of the recommender."""
        scores: np.ndarray = self._inner.score(candidates)
        return scores

    def account(self) -> Account:
        """That of the recommender, with all probes; what they took is in the first."""
        own: Account = self._inner.account()
        spent, self._spent = self._spent, []
        return replace(added([own, *spent]), probes={**own.probes, **self._probes})

    def _sensitivity(self, problem: CtrProblem, items: Items, trainer: Trainer) -> dict[str, float]:
        probes = self.config.probes
        candidates, rows = candidates_of(problem, of_some_users(problem.valid, probes.users))
        own = self._inner.score(candidates)
        shuffled = (
            reordered(candidates.history, trainer.rng(f"order {i}"))
            for i in range(1, probes.orders)
        )
        orders = [self._inner.score(replace(candidates, history=one)) for one in shuffled]
        found = spread("order", [own, *orders], candidates, rows)
        if self.config.tune == "none" and self.config.scoring == "generative":
            wordings = [
                self._reworded(one, problem, items, trainer, candidates) for one in probes.wordings
            ]
            found |= spread("wording", [own, *wordings], candidates, rows)
        return found

    def _reworded(
        self,
        wording: str,
        problem: CtrProblem,
        items: Items,
        trainer: Trainer,
        candidates: Candidates,
    ) -> np.ndarray:
        other = self._build(self.config.model_copy(update={"prompt": wording}))
        if self.config.remote:
            other.budget = self._inner.budget  # a cap is on all that the run asks
        other.fit(problem, items, trainer)
        scores: np.ndarray = other.score(candidates)
        if isinstance(other, KeepsAccount):
            # The counts of a record are of its own prompt.
            self._spent.append(replace(other.account(), counts={}))
        return scores

    def _memory(self, problem: CtrProblem, items: Items, trainer: Trainer) -> dict[str, float]:
        from tastebench.recommenders.llm.memorisation import memorised

        model = _writer(self.config, items, self._inner.budget if self.config.remote else None)
        found = memorised(
            model, problem, items, self.config.probes.titles, trainer.rng("memorisation")
        )
        self._spent.append(model.account({}))
        return found


def _writer(config: LLMConfig, items: Items, budget: Budget | None) -> Any:
    """The model as one that writes."""
    from tastebench.recommenders.llm.memorisation import get_memory_words
    from tastebench.recommenders.llm.prompt import Prompt
    from tastebench.recommenders.llm.texts import texts_of

    words = get_memory_words()
    if config.remote:
        from tastebench.recommenders.llm.remote_model import RemoteModel

        return RemoteModel(
            config.model, words.hash, texts_of(items), config.asked.temperature, budget
        )
    from tastebench.recommenders.llm.local_model import LocalModel

    frame = Prompt(name=words.name, version=1, kind="next", system=words.system, entry=" {item}")
    return LocalModel(
        config.model,
        frame,
        chat=config.chat == "auto",
        device=config.device,
        trust_remote_code=config.trust_remote_code,
    )


def spread(
    name: str, scores: Sequence[np.ndarray], candidates: Candidates, rows: Pairs
) -> dict[str, float]:
    """How far results lie apart between ways to ask, the first of which is that of the run.

    Args:
        name: What differs between them.
        scores: Of each way, `[n]`.
        candidates: Who is asked about what.
        rows: The labelled row of each candidate, in the same order.

    Returns:
        `NAME_gauc_mean`, `_worst` and `_best`, where anybody clicked and passed over something; and
        `NAME_agreement`, the mean of Kendall's tau-a of each other way with the first.
    """
    values = [_gauc(each, rows) for each in scores]
    found = {
        f"{name}_{METRIC}_mean": float(np.mean(values)),
        f"{name}_{METRIC}_worst": float(np.min(values)),
        f"{name}_{METRIC}_best": float(np.max(values)),
    }
    lengths = candidates.items.lengths
    alike = [agreement(scores[0], each, lengths) for each in scores[1:]]
    if alike:
        found[f"{name}_agreement"] = float(np.mean(alike))
    return {key: value for key, value in found.items() if not np.isnan(value)}


def _gauc(scores: np.ndarray, rows: Pairs) -> float:
    labelled = LabelledRows(
        label=rows.label,
        score=np.asarray(scores, dtype=np.float64),
        group=rows.group,
        unit=rows.user,
    )
    values, weights = measure_rows([METRIC], labelled)
    known = ~np.isnan(values[METRIC])
    if not known.any():
        return float("nan")
    weight = weights[METRIC][known] if METRIC in weights else None
    return float(np.average(values[METRIC][known], weights=weight))


def reordered(history: Ragged, rng: np.random.Generator) -> Ragged:
    """Every list in a random order."""
    order = np.lexsort((rng.random(len(history.values)), history.rows))
    return Ragged(history.values[order], history.offsets)


def added(accounts: Sequence[Account]) -> Account:
    """Several accounts as one; counts of a name add up, probes are left out."""
    counts: dict[str, int] = {}
    for account in accounts:
        for name, count in account.counts.items():
            counts[name] = counts.get(name, 0) + count
    usd = [account.usd for account in accounts if account.usd is not None]
    seconds = [account.seconds for account in accounts if account.seconds is not None]
    return Account(
        counts=counts,
        prompt_tokens=sum(account.prompt_tokens for account in accounts),
        completion_tokens=sum(account.completion_tokens for account in accounts),
        requests=sum(account.requests for account in accounts),
        kept=sum(account.kept for account in accounts),
        usd=sum(usd) if usd else None,
        seconds=np.concatenate(seconds) if seconds else None,
    )
