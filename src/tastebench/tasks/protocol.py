"""TaskProtocol: what is asked and how the answer is measured, and its fingerprint.

Two numbers may stand in one column only if they answer the same question. Everything that changes
the question is a field here; everything that belongs to the answer (model, text recipe, widths,
seeds, training budget) is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tastebench.data.card import SplitSpec
from tastebench.errors import UsageError
from tastebench.files import hash_json
from tastebench.metrics.grammar import parse_all

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

TaskName = Literal["search", "seqrec", "cf"]

DEFINITIONS = 1
"""Raised when a metric, the tie rule or an exclusion comes to mean something else: old numbers then
carry another fingerprint."""

Count = Annotated[int, Field(ge=1)]

_ONLY: dict[str, tuple[TaskName, ...]] = {
    "split": ("seqrec", "cf"),
    "mask_seen": ("seqrec", "cf"),
    "history_length": ("seqrec",),
    "min_grade": ("search",),
}
"""Fields that not every task reads. One that is set and not read would change the fingerprint and
the words of a protocol, and no number."""


class TaskProtocol(BaseModel):
    """One question put to every recommender alike.

    Attributes:
        task: Which task.
        split: How interactions are cut; None where there is nothing to cut (search).
        history_length: Latest items a model sees; None where histories are sets (cf) or absent.
        min_history: Targets with fewer earlier items are not asked, but counted.
        min_grade: Judgements graded below it are not relevant; None takes all above 0 (search).
        candidates: What is ranked: the whole catalogue.
        mask_seen: Items that the asker had before leave the ranking, also those beyond the history
            length, in the test phase of cf those of valid too; a target among them is not asked,
            but counted. Searching masks nothing.
        ties: Metrics take their expected value over a uniformly random order of equal scores.
        average: Mean over users of each user's mean, or over single rows (targets, queries).
        metrics: Metric names with cut-offs, the headline first.
        behaviour: `fixed` measures as documented here.
        limit: At most this many users or queries are asked; a limited result is never on a board.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskName
    split: SplitSpec | None = None
    history_length: Count | None = None
    min_history: Annotated[int, Field(ge=0)] = 1
    min_grade: Annotated[float, Field(gt=0)] | None = None
    candidates: Literal["all"] = "all"
    mask_seen: bool = False
    ties: Literal["expected"] = "expected"
    average: Literal["user", "row"] = "user"
    metrics: tuple[str, ...]
    behaviour: Literal["fixed"] = "fixed"
    limit: Count | None = None

    @field_validator("metrics")
    @classmethod
    def _canonical(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise UsageError("a protocol needs at least one metric", fix="metrics: [ndcg@10]")
        return tuple(str(metric) for metric in parse_all(names, needs="ranks"))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.task != "search" and self.split is None:
            raise UsageError(f"{self.task} needs a split", fix="split: {kind: last_out}")
        if self.task == "seqrec" and self.history_length is None:
            raise UsageError("seqrec needs a history length", fix="history_length: 50")
        for field, tasks in _ONLY.items():
            if self.task not in tasks and getattr(self, field) not in (None, False):
                raise UsageError(
                    f"{field} changes nothing in {self.task}: it belongs to {' and '.join(tasks)}",
                    fix=f"leave {field} out of the protocol of {self.task}",
                )
        return self

    @property
    def headline(self) -> str:
        """The metric that models are selected and ordered by."""
        return self.metrics[0]

    def fingerprint(self, dataset: Dataset) -> str:
        """12 hex digits that change with the data or with any field above."""
        return hash_json(
            {
                "definitions": DEFINITIONS,
                "dataset": dataset.fingerprint,
                "protocol": self.model_dump(mode="json"),
            },
            length=12,
        )

    def describe(self) -> str:
        """One line for the foot of a table."""
        parts: list[str] = [self.task]
        if self.split is not None:
            parts.append(describe_split(self.split))
        if self.history_length is not None:
            parts.append(f"latest {self.history_length} items")
        if self.min_grade is not None:
            parts.append(f"relevant from grade {self.min_grade:g}")
        parts.append("all items ranked" + (", seen ones left out" if self.mask_seen else ""))
        parts.append("expected value over ties")
        rows = "queries" if self.task == "search" else "rows"
        parts.append(f"mean over {'users' if self.average == 'user' else rows}")
        if self.limit is not None:
            parts.append(f"only {self.limit:,} asked")
        return "; ".join(parts)


def describe_split(split: SplitSpec) -> str:
    """A split in a few words.

    >>> describe_split(SplitSpec(kind="random", by="all", ratios=(0.4, 0.3, 0.3)))
    'random 40/30/30 over all, seed 101'
    """
    return _words(split) + (", cold rows left out" if split.drop_cold else "")


def _words(split: SplitSpec) -> str:
    shares = "/".join(f"{100 * ratio:.4g}" for ratio in split.ratios)
    match split.kind:
        case "last_out":
            return "last item out"
        case "time" if split.test_from is not None:
            return f"by time, valid from {split.valid_from} ms, test from {split.test_from} ms"
        case "time":
            return f"by time {shares}"
        case "ratio":
            return f"each user's last by ratio {shares}"
        case "random":
            over = "over all" if split.by == "all" else "per user"
            return f"random {shares} {over}, seed {split.seed}"
        case _:
            return "given split"
