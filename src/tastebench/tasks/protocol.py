"""TaskProtocol: what is asked and how the answer is measured, and its fingerprint.

Two numbers may stand in one column only if they answer the same question. Everything that changes
the question is a field here; everything that belongs to the answer (model, text recipe, widths,
seeds, training budget) is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tastebench.data.card import RowsSpec, SplitSpec
from tastebench.data.questions.spec import QuestionSpec
from tastebench.errors import UsageError
from tastebench.files import hash_json
from tastebench.later import WithLaterFields
from tastebench.metrics.grammar import parse_all, parse_rows

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

TaskName = Literal["search", "seqrec", "cf", "ctr", "userqa"]

DEFINITIONS = 1
"""Raised when a metric, the tie rule or an exclusion comes to mean something else: old numbers then
carry another fingerprint."""

Count = Annotated[int, Field(ge=1)]

_ONLY: dict[str, tuple[TaskName, ...]] = {
    "split": ("seqrec", "cf", "ctr"),
    "mask_seen": ("seqrec", "cf"),
    "history_length": ("seqrec", "ctr", "userqa"),
    "min_grade": ("search",),
    "rows": ("ctr",),
    "group": ("ctr",),
    "questions": ("userqa",),
}
"""Fields that not every task reads. One that is set and not read would change the fingerprint and
the words of a protocol, and no number."""


class TaskProtocol(WithLaterFields):
    """One question put to every recommender alike.

    Attributes:
        task: Which task.
        split: How interactions are cut; None where there is nothing to cut (search).
        history_length: Latest items a model sees; None where histories are sets (cf) or absent.
        min_history: Targets with fewer earlier items are not asked, but counted.
        min_grade: Judgements graded below it are not relevant; None takes all above 0 (search).
        candidates: What is ranked: the whole catalogue, only what was shown (ctr), or the options
            of a question (userqa).
        mask_seen: Items that the asker had before leave the ranking, also those beyond the history
            length, in the test phase of cf those of valid too; a target among them is not asked,
            but counted. Searching masks nothing.
        ties: Metrics take their expected value over a uniformly random order of equal scores.
        average: Mean over users of each user's mean, or over single rows (targets, queries; in ctr
            the groups).
        metrics: Metric names with cut-offs, the headline first.
        rows: How labelled rows are got (ctr).
        group: What labelled rows are compared within: all of a user, or one impression (ctr).
        questions: Which questions are asked about users, and how users are cut (userqa).
        behaviour: `fixed` measures as documented here.
        limit: At most this many users or queries are asked; a limited result is never on a board.
    """

    LATER: ClassVar[tuple[str, ...]] = ("rows", "group", "questions")

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskName
    split: SplitSpec | None = None
    history_length: Count | None = None
    min_history: Annotated[int, Field(ge=0)] = 1
    min_grade: Annotated[float, Field(gt=0)] | None = None
    candidates: Literal["all", "shown", "options"] = "all"
    mask_seen: bool = False
    ties: Literal["expected"] = "expected"
    average: Literal["user", "row"] = "user"
    metrics: tuple[str, ...]
    behaviour: Literal["fixed"] = "fixed"
    limit: Count | None = None
    rows: RowsSpec | None = None
    group: Literal["user", "impression"] | None = None
    questions: QuestionSpec | None = None

    @field_validator("metrics")
    @classmethod
    def _canonical(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not names:
            raise UsageError("a protocol needs at least one metric", fix="metrics: [ndcg@10]")
        match info.data.get("task"):
            case "ctr":
                metrics = parse_rows(names)
            case "userqa":
                metrics = parse_all(names, needs="answers")
            case _:
                metrics = parse_all(names, needs="ranks")
        return tuple(str(metric) for metric in metrics)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.task not in ("search", "userqa") and self.split is None:
            raise UsageError(f"{self.task} needs a split", fix="split: {kind: last_out}")
        if self.task in ("seqrec", "ctr", "userqa") and self.history_length is None:
            raise UsageError(f"{self.task} needs a history length", fix="history_length: 50")
        ranked = {"ctr": "shown", "userqa": "options"}.get(self.task, "all")
        if self.candidates != ranked:
            raise UsageError(
                "ctr ranks what was shown, userqa the options of a question, and every other task "
                "the whole catalogue",
                fix="leave candidates out of the protocol",
            )
        if self.task == "ctr" and self.split is not None and self.split.cold_items is not None:
            raise UsageError(
                "cold_items holds events out, and ctr asks about labelled rows",
                fix="leave cold_items out of the split",
            )
        if self.task == "ctr" and (self.rows is None or self.group is None):
            raise UsageError("ctr needs rows and a group", fix="leave both to the dataset")
        if self.task == "userqa" and self.questions is None:
            raise UsageError("userqa needs questions", fix="questions: {language: en}")
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
        """12 hex digits that change with the data, the words of questions or any field above."""
        asked = {}
        if self.questions is not None:
            from tastebench.data.questions.attributes import TITLE, title_of
            from tastebench.data.questions.generate import GENERATOR
            from tastebench.data.questions.templates import get_templates

            asked = {
                "templates": get_templates(self.questions.language).hash,
                "generator": GENERATOR,
            }
            # Without a title column the card says what names an item, and the data do not hold it.
            if (title := title_of(dataset)) != TITLE:
                asked["title"] = str(title)
        return hash_json(
            {
                "definitions": DEFINITIONS,
                "dataset": dataset.fingerprint,
                "protocol": self.model_dump(mode="json"),
                **asked,
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
        if self.rows is not None:
            parts.append(f"{describe_rows(self.rows)}, compared within {self.group}s")
        elif self.questions is not None:
            parts.append(describe_questions(self.questions))
        else:
            parts.append("all items ranked" + (", seen ones left out" if self.mask_seen else ""))
        parts.append("expected value over ties")
        by_task = {"search": "queries", "ctr": f"{self.group}s", "userqa": "questions"}
        rows = by_task.get(self.task, "rows")
        parts.append(f"mean over {'users' if self.average == 'user' else rows}")
        if self.limit is not None:
            parts.append(f"only {self.limit:,} asked")
        return "; ".join(parts)


def describe_split(split: SplitSpec) -> str:
    """A split in a few words.

    >>> describe_split(SplitSpec(kind="random", by="all", ratios=(0.4, 0.3, 0.3)))
    'random 40/30/30 over all, seed 101'
    """
    cold = f", {split.cold_items:.4g} of test's items in no other part" if split.cold_items else ""
    return _words(split) + (", cold rows left out" if split.drop_cold else "") + cold


def describe_rows(rows: RowsSpec) -> str:
    """Where labelled rows come from in a few words.

    >>> describe_rows(RowsSpec(source="sampled", negatives=2))
    'interactions with 2 drawn negatives each'
    """
    match rows.source:
        case "impressions":
            return "impressions"
        case "labels":
            return f"labels, or ratings above and below {rows.threshold:g}"
        case _:
            return f"interactions with {rows.negatives} drawn negatives each"


def describe_questions(spec: QuestionSpec) -> str:
    """Which questions are asked, in a few words.

    >>> describe_questions(QuestionSpec(questions=100))
    'at most 100 questions in en of 4 options, users 80/10/10, seed 101'
    """
    shares = "/".join(f"{100 * ratio:.4g}" for ratio in spec.ratios)
    return (
        f"at most {spec.questions:,} questions in {spec.language} of {spec.options} options, "
        f"users {shares}, seed {spec.seed}"
    )


def _words(split: SplitSpec) -> str:
    shares = "/".join(f"{100 * ratio:.4g}" for ratio in split.ratios)
    words = {
        "last_out": "last item out",
        "time": f"by time {shares}",
        "ratio": f"each user's last by ratio {shares}",
        "random": f"random {shares} {'over all' if split.by == 'all' else 'per user'}, "
        f"seed {split.seed}",
        "user": f"whole users {shares}, seed {split.seed}",
        "given": "given split",
    }
    if split.test_from is not None:
        return f"by time, valid from {split.valid_from} ms, test from {split.test_from} ms"
    if split.users is not None:
        counts = "/".join(f"{n:,}" for n in split.users)
        return f"whole users, {counts} of them, seed {split.seed}"
    return words[split.kind]
