"""QuestionSpec: which questions are asked about the users of a dataset, and how."""

from __future__ import annotations

import math
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["df", "mf", "ip", "ap", "li", "si", "it"]
Part = Literal["train", "valid", "test"]
Language = Literal["en", "zh"]

KINDS: tuple[Kind, ...] = ("df", "mf", "ip", "ap", "li", "si", "it")
"""Direct feature, match feature, item and attribute prediction, long-term and short-term interest,
interest trace: the sub-tasks of UQABench, in its order."""

PARTS: tuple[Part, ...] = ("train", "valid", "test")

PUBLISHED: dict[Kind, float] = {
    "df": 1506,
    "mf": 128,
    "ip": 1165,
    "ap": 1459,
    "li": 796,
    "si": 1372,
    "it": 766,
}
"""How many questions of each kind UQABench asks."""


def language_of(said: str) -> Language:
    """The language of questions about items in a language: their own where there are templates.

    >>> language_of("zh"), language_of("fr")
    ('zh', 'en')
    """
    known: dict[str, Language] = {one: one for one in get_args(Language)}
    return known.get(said.lower()[:2], "en")


class QuestionSpec(BaseModel):
    """How questions about users are made from what they did.

    A user's sequence is x_1 .. x_n, oldest first; x_(n+1), the last event, is what `ip` and `ap`
    ask about, and stands in no history.

    `df`: an attribute of one of the first or last items, or of the last few. `mf`: how long the
    sequence is, or how many of its items have a value. `ip`, `ap`: the title, or another attribute,
    of x_(n+1). `li`: the three most frequent values of all, in order. `si`: the most frequent value
    of the last `recent` events. `it`: the most frequent value of each third. Of values that are
    equally frequent the more recent one comes first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: Language = "en"
    questions: int = Field(2000, ge=1, description="about the users of test")
    train_questions: int = Field(8000, ge=0)
    valid_questions: int = Field(1000, ge=0)
    proportions: dict[Kind, float] = Field(
        default_factory=lambda: dict(PUBLISHED),
        description="of the kinds; a kind that is left out is not asked",
    )
    keep_proportions: bool = Field(
        False,
        description="fewer questions of all kinds, rather than other proportions, where a kind has "
        "too few",
    )
    options: Literal[2, 4] = 4
    attributes: tuple[str, ...] | None = Field(
        None,
        description="NAME, NAME=COLUMN or NAME=COLUMN:how with how one of whole, last, each, head; "
        "None is all that the dataset is known to have. Titles are always read",
    )
    min_length: int = Field(10, ge=3, description="events before the last one, at least")
    max_length: int | None = Field(512, ge=3, description="events before the last one, at most")
    too_long: Literal["drop", "cut"] = Field(
        "drop", description="leave longer users out, or keep their latest events"
    )
    recent: int = Field(10, ge=1, description="latest events that `si` is about")
    direct_within: int = Field(5, ge=1, le=10, description="how far from an end `df` asks")
    title_characters: int = Field(100, ge=8, description="longer texts are cut between words")
    ratios: tuple[float, float, float] = Field(
        (0.8, 0.1, 0.1), description="of the users, by a seeded hash of their ids"
    )
    seed: int = Field(101, ge=0)

    @model_validator(mode="after")
    def _can_be_meant(self) -> QuestionSpec:
        shares = self.proportions.values()
        if not all(math.isfinite(share) and share >= 0 for share in shares) or not sum(shares) > 0:
            raise ValueError(f"proportions {self.proportions} are no shares of questions")
        if min(self.ratios) < 0 or abs(sum(self.ratios) - 1) > 1e-6 or self.ratios[2] == 0:
            raise ValueError(
                f"ratios {self.ratios} are not shares that sum to 1, with some of test"
            )
        if self.ratios[0] == 0:
            raise ValueError("without train users nothing says what other options are likely")
        if self.max_length is not None and self.max_length < self.min_length:
            raise ValueError("max_length is less than min_length")
        if self.recent > self.min_length or self.direct_within > self.min_length:
            raise ValueError("recent and direct_within may not be more than min_length")
        if self.max_length is None and self.too_long == "cut":
            raise ValueError("too_long says nothing where there is no max_length")
        return self

    def wanted(self, part: Part) -> dict[Kind, int]:
        """Questions of each kind in a part: whole numbers in the proportions, by largest remainder.

        >>> QuestionSpec(questions=7192).wanted("test")["mf"]
        128
        """
        total = {
            "train": self.train_questions,
            "valid": self.valid_questions,
            "test": self.questions,
        }[part]
        asked = [kind for kind in KINDS if self.proportions.get(kind, 0) > 0]
        shares = [self.proportions[kind] for kind in asked]
        exact = [total * share / sum(shares) for share in shares]
        counts = [math.floor(share) for share in exact]
        left = sorted(range(len(asked)), key=lambda i: counts[i] - exact[i])
        for i in left[: total - sum(counts)]:
            counts[i] += 1
        return dict(zip(asked, counts, strict=True))
