"""DatasetCard: what is known of a dataset before a row of it is read."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tastebench.later import WithLaterFields

SplitKind = Literal["last_out", "time", "ratio", "random", "user", "given"]


class SplitSpec(WithLaterFields):
    """How interactions are cut into train, valid and test.

    `last_out`: each user's last interaction is test, the one before valid. `time`: by the absolute
    cut-offs, or, where they are None, at the times that give `ratios` over all interactions.
    `ratio`: each user's interactions in order, by `ratios`. `random`: the pairs shuffled with
    `seed`, by `ratios`, per user or over all (`by`). `user`: whole users, shuffled with `seed`, by
    `ratios` or, where `users` is given, so many of them, in these proportions if there are fewer.
    `given`: the dataset's own split.

    With `drop_cold` valid and test lose the interactions whose user or item is not in train. With
    `cold_items` that share of the items that test asks about, drawn with `seed`, is new there: all
    their other interactions are in no part.
    """

    LATER: ClassVar[tuple[str, ...]] = ("users", "cold_items")

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: SplitKind
    valid_from: int | None = Field(None, description="`time`: first millisecond of valid")
    test_from: int | None = Field(None, description="`time`: first millisecond of test")
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    by: Literal["user", "all"] = "user"
    users: tuple[int, int, int] | None = Field(None, description="`user`: users in each part")
    seed: int = 101
    drop_cold: bool = False
    cold_items: float | None = Field(None, gt=0, le=1, description="of the items in test")

    @model_validator(mode="after")
    def _can_be_meant(self) -> SplitSpec:
        if min(self.ratios) < 0 or abs(sum(self.ratios) - 1) > 1e-6:
            raise ValueError(f"ratios {self.ratios} are not shares that sum to 1")
        if self.users is not None and (self.kind != "user" or min(self.users) < 0):
            raise ValueError("users says how many of them (0 or more) are in each part of `user`")
        if self.cold_items is not None and self.drop_cold:
            raise ValueError("drop_cold would leave out what cold_items makes cold")
        if self.kind == "user" and self.drop_cold:
            raise ValueError("the split user tests on people that training does not know")
        if (self.valid_from is None) != (self.test_from is None):
            raise ValueError("valid_from and test_from go together")
        if self.valid_from is not None and self.test_from is not None:
            if self.kind != "time":
                raise ValueError(f"cut-offs are for the split time, not {self.kind}")
            if self.valid_from > self.test_from:
                raise ValueError("valid_from is later than test_from")
        return self


class RowsSpec(BaseModel):
    """How labelled rows (who was shown what, and clicked or not) are got from a dataset.

    `impressions`: its impressions table. `labels`: its interactions, labelled, or rated: above
    `threshold` is a click, below is none, and equal is left out. `sampled`: every interaction is a
    click, and `negatives` items that its user never takes are drawn to it with `seed`, each once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["impressions", "labels", "sampled"]
    threshold: float = 3.0
    negatives: int = Field(4, ge=1)
    seed: int = 101

    @model_validator(mode="after")
    def _can_be_meant(self) -> RowsSpec:
        # What is set and not read would change the fingerprint of a protocol, and no number.
        read = {"labels": ["threshold"], "sampled": ["negatives", "seed"]}.get(self.source, [])
        for name, field in type(self).model_fields.items():
            if name not in {"source", *read} and getattr(self, name) != field.default:
                raise ValueError(f"{name} changes nothing where rows come from {self.source}")
        return self


class RawFile(BaseModel):
    """One file of the original release.

    Attributes:
        path: Path below the raw folder.
        also: Other names under which a user may have it, tried in order after `path`.
        url: Official address; None where only the user can bring it.
        mirrors: Further addresses of the same bytes, tried in order after `url`.
        sha256: Of the downloaded file; None where it is not known, which is then said.
        bytes: Size of the downloaded file, where it is known.
        unpack: The download is an archive that holds `path`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    also: tuple[str, ...] = ()
    url: str | None = None
    mirrors: tuple[str, ...] = ()
    sha256: str | None = None
    bytes: int | None = None
    unpack: bool = False
    required: bool = True


class Counts(BaseModel):
    """Sizes of a dataset; None where nothing is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: int | None = None
    items: int | None = None
    interactions: int | None = None


class DatasetCard(BaseModel):
    """Where a dataset comes from, what may be done with it, and how the field uses it.

    Attributes:
        name: Public name, e.g. `movielens-100k`; `blair/yelp` is Yelp by the rules of a benchmark.
        tasks: Tasks it supports.
        text_columns: Item columns that hold text, in order.
        text_recipe: Default recipe of `tastebench.data.text`.
        splits: Task to the split the literature uses, where there is one.
        history_length: Latest items a model may see.
        min_grade: Judgements graded below it are not relevant; None takes all above 0 (search).
        seen_on: Whether the reader was tried on the real files or on format fixtures only.
        known: What its makers count in it; a difference is said after reading.
        about: Roughly what to expect where nothing is known, for saying the cost beforehand.
        generator: Version of the generator, for generated data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)?$")
    title: str
    summary: str = ""
    source: str | None = None
    licence: str | None = None
    redistributable: bool = False
    citation: str | None = None
    language: str = "en"
    tasks: tuple[str, ...] = ("seqrec", "cf")
    text_columns: tuple[str, ...] = ("title",)
    text_recipe: str = "title"
    splits: dict[str, SplitSpec] = {}
    history_length: int = 50
    min_grade: float | None = None
    files: tuple[RawFile, ...] = ()
    known: Counts = Counts()
    about: Counts = Counts()
    seen_on: Literal["real", "format", "generated", "user"] = "user"
    generator: str | None = None
    notes: tuple[str, ...] = ()
