"""A recommender out of a record, asked by item ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.contracts import Candidates, Part, Queries, RanksByVectors, ScoresItems
from tastebench.errors import ProtocolError, UsageError
from tastebench.ragged import Ragged
from tastebench.runs import limits
from tastebench.serving.ground import Ground
from tastebench.serving.ids import Unknown, as_rows, distinct, user_rows
from tastebench.serving.restore import Source, restore

if TYPE_CHECKING:
    import polars as pl

    from tastebench.contracts import RecommenderCard
    from tastebench.data.dataset import Dataset
    from tastebench.runs.record import Record
    from tastebench.serving.new_items import NewItems

_ASKS = {
    "search": "search(texts)",
    "ctr": "score(histories, candidates)",
    "userqa": "tastebench run: it answers questions about users, and ranks no items",
}


@dataclass(frozen=True, eq=False)
class Loaded:
    """What `tastebench.load` returns: a recommender as it was at the end of its run.

    Attributes:
        source: The record, and where it lies.
        ground: The data it stands on.
        card: Declares the recommender.
        recommender: Itself, fitted; for what has no method here.
        params, device: As it was loaded with.
        added: Items that are not the dataset's; None where there are none.
    """

    source: Source
    ground: Ground
    card: RecommenderCard
    recommender: Any
    params: dict[str, Any] = field(default_factory=dict)
    device: str | None = None
    added: NewItems | None = None

    @property
    def record(self) -> Record:
        """What was measured of it."""
        return self.source.record

    @property
    def dataset(self) -> Dataset:
        """The data it learnt from."""
        return self.ground.dataset

    @property
    def n_items(self) -> int:
        """Items it can recommend, added ones included."""
        return self.ground.items.n

    def recommend(
        self,
        histories: Iterable[Sequence[Any]],
        k: int = 10,
        *,
        users: Sequence[Any] | None = None,
        exclude_seen: bool = True,
        unknown: Unknown = "error",
        new_items: pl.DataFrame | Sequence[Mapping[str, Any]] | None = None,
    ) -> pl.DataFrame:
        """The best items for users by what they took before.

        Args:
            histories: Item ids, a list a user, oldest first, as in the dataset (numbers may be
                numbers). The model sees the latest ones, as many as in the run.
            k: Items a user.
            users: Their ids, one a history, for models that know their users: needed where items
                of a history do not say who it is.
            exclude_seen: Leave out all items of a history, also those too old for the model to see.
            unknown: `error` for ids that are not in the catalogue, or `skip` to leave them out.
            new_items: Items that are not in the dataset, as `with_items` takes them; whoever asks
                more than once calls that.

        Returns:
            A row a recommended item: `query` (place of the history), `rank` from 1, `item_id`,
            `score`, `title`; with `unknown="skip"` also `skipped`, the ids of the history that
            were left out. Fewer than `k` rows a query where there are no more items.

        Raises:
            UsageError: An unknown id, an empty history where the run asked about none, or a record
                whose task recommends by other means.
        """
        if new_items is not None:
            return self.with_items(new_items).recommend(
                histories, k, users=users, exclude_seen=exclude_seen, unknown=unknown
            )
        self._only("seqrec", "cf")
        if k < 1:
            raise UsageError(f"k={k} asks for no item", fix="k=10")
        taken, skipped = as_rows(histories, self._item_ids, unknown, "histories")
        queries = self._queries(taken, users, unknown)
        exclude = distinct(taken, self.n_items) if exclude_seen else None
        found = self._ranked(queries, k, exclude)
        return found if unknown == "error" else self._with_skipped(found, skipped)

    def score(
        self,
        histories: Iterable[Sequence[Any]],
        candidates: Iterable[Sequence[Any]],
        *,
        users: Sequence[Any] | None = None,
        unknown: Unknown = "error",
        new_items: pl.DataFrame | Sequence[Mapping[str, Any]] | None = None,
    ) -> pl.DataFrame:
        """How likely users click what they are shown, by a record of the task ctr.

        Args:
            histories: What each user clicked before, oldest first, item ids.
            candidates: What each is shown, a list a history.
            users: As in `recommend`.
            unknown: As in `recommend`; unknown candidates are left out too.
            new_items: As in `recommend`.

        Returns:
            A row a candidate, in the order given: `query`, `item_id`, `score`, `title`, and
            `probability` of a click where the model's scores mean that; with `unknown="skip"` also
            `skipped`, counted in history and candidates.

        Raises:
            UsageError: As `recommend`, or not as many lists of candidates as histories.
        """
        import polars as pl
        from scipy.special import expit

        from tastebench.tasks.shown import score_all

        if new_items is not None:
            return self.with_items(new_items).score(
                histories, candidates, users=users, unknown=unknown
            )
        self._only("ctr")
        taken, skipped = as_rows(histories, self._item_ids, unknown, "histories")
        shown, more = as_rows(candidates, self._item_ids, unknown, "candidates")
        if len(taken) != len(shown):
            raise UsageError(
                f"there are {len(taken):,} histories and {len(shown):,} lists of candidates",
                fix="give one list of candidates a history",
            )
        queries = self._queries(taken, users, unknown)
        assert queries.history is not None
        who = np.full(len(taken), -1) if queries.user is None else queries.user
        with limits.threads(self.record.spec.threads):
            scores = score_all(self.recommender, Candidates(queries.history, who, shown))
        found = self._named(pl.DataFrame({"query": shown.rows, "score": scores}), shown.values)
        if self.recommender.log_odds:
            found = found.with_columns(pl.Series("probability", expit(scores)))
        return found if unknown == "error" else self._with_skipped(found, skipped + more)

    def search(self, texts: Sequence[str], k: int = 10) -> pl.DataFrame:
        """The best items for queries in words, by a record of the task search.

        Returns:
            As `recommend`.

        Raises:
            UsageError: A record of another task, or of queries that cannot be encoded.
        """
        from tastebench.encoders.check import check_texts, check_vectors

        self._only("search")
        if isinstance(texts, str) or not len(texts):
            raise UsageError("search takes a list of texts", fix='search(["a warm hat"])')
        check_texts(texts)
        spec, vector = self.record.spec, None
        if "vector" in spec.forms:
            if self.ground.encoder is None:
                raise UsageError(
                    f"the encoder {spec.encoder} is not here to encode queries",
                    fix="load(record, encoder=FOLDER)",
                )
            # Asked now and not again: they need no place in the cache of a dataset's queries.
            encoder = self.ground.encoder
            vector = check_vectors(encoder.encode(list(texts), "query"), texts, encoder.card.name)
        words = None if vector is not None and "text" not in spec.forms else list(texts)
        return self._ranked(Queries(len(texts), text=words, vector=vector), k, None)

    def evaluate(self, part: Part = "test") -> dict[str, float]:
        """The mean of every metric, measured again as in the run; NaN where undefined.

        Where data, vectors and machine are those of the run it is what the record says.

        Raises:
            UsageError: Items were added since.
            ProtocolError: This Tastebench defines metrics otherwise than the record's did.
        """
        if self.added is not None:
            raise UsageError(
                "a catalogue with new items is another question than the record's",
                fix="evaluate what load returned",
            )
        ground = self.ground
        defined = ground.protocol.fingerprint(self.dataset)
        if defined != self.record.protocol_id:
            raise ProtocolError(
                f"this Tastebench measures otherwise than the record's did: protocol {defined}, "
                f"and the record's is {self.record.protocol_id}",
                fix="run it again to compare; recommend() does not measure and goes on",
            )
        with limits.threads(self.record.spec.threads):
            return ground.task.evaluate(
                self.recommender, ground.problem, ground.protocol, part, ground.forms
            ).means()

    def with_items(self, items: pl.DataFrame | Sequence[Mapping[str, Any]]) -> Loaded:
        """The same with items that are not in the dataset, recommendable at once.

        Their texts are put into words by the run's recipe, encoded by its encoder, adapted by what
        was learnt of the dataset's items (PCA is not learnt anew), and coded by the codebooks of
        the kept codes. Nothing is trained.

        Args:
            items: `item_id` and the dataset's text columns, a frame or a dict an item.

        Raises:
            UsageError: The recommender knows items by who took them, or an id is taken already.
            DataError: No text, or an encoder that cannot be had.
        """
        from tastebench.serving.new_items import add, read_items

        if self.added is not None:
            raise UsageError(
                "items were added already", fix="add all of them at once to what load returned"
            )
        new = read_items(items, self)
        with limits.threads(self.record.spec.threads):
            ground = add(new, self)
            grown = self.ground.items.n
            made = restore(self.source, ground, self.card, self.params, self.device, grown)
        return Loaded(self.source, ground, self.card, made, self.params, self.device, new)

    # --------------------------------------------------------------------------------- vectors

    @property
    def has_vectors(self) -> bool:
        """Whether its scores are inner products of a user's and an item's vector."""
        return isinstance(self.recommender, RanksByVectors)

    def item_vectors(self) -> np.ndarray:
        """What items are ranked by, float32 `[n_items, h]`: `user_vectors @ item_vectors.T`.

        Raises:
            UsageError: Its scores are no inner products.
        """
        with limits.threads(self.record.spec.threads):
            vectors: np.ndarray = self._by_vectors().item_vectors().float().cpu().numpy().copy()
        return vectors

    def user_vectors(
        self, histories: Iterable[Sequence[Any]], *, unknown: Unknown = "error"
    ) -> np.ndarray:
        """What users are ranked for by what they took before, float32 `[n, h]`.

        Raises:
            UsageError: Its scores are no inner products, or as in `recommend`.
        """
        recommender = self._by_vectors()
        taken, _ = as_rows(histories, self._item_ids, unknown, "histories")
        queries = self._queries(taken, None, unknown)
        with limits.threads(self.record.spec.threads):
            vectors: np.ndarray = recommender.query_vectors(queries).float().cpu().numpy().copy()
        return vectors

    def _by_vectors(self) -> RanksByVectors:
        if not isinstance(self.recommender, RanksByVectors):
            raise UsageError(f"{self.card.name} does not rank by inner products of vectors")
        return self.recommender

    # ---------------------------------------------------------------------------------- asking

    def _only(self, *tasks: str) -> None:
        task = self.record.spec.task
        if task not in tasks:
            raise UsageError(
                f"this record is of {task}, which is asked in another way",
                where=str(self.source.folder),
                fix=_ASKS.get(task, "recommend(histories)"),
            )

    def _queries(self, taken: Ragged, users: Sequence[Any] | None, unknown: Unknown) -> Queries:
        """Histories as the run's questions had them: latest items, or a set."""
        self._refuse_short(taken, unknown)
        if "truth" in self.record.spec.forms and users is None:
            raise UsageError(
                "the oracle knows the truth of the dataset's own users, and nobody is named",
                fix="users=[...], one id a history",
            )
        rows = None if users is None else user_rows(users, self.dataset.everyone, len(taken))
        length = self.ground.protocol.history_length
        if self.record.spec.task == "cf":
            taken = distinct(taken, self.n_items)
        elif length is not None:
            taken = taken.tail(length)
        return Queries(len(taken), history=taken, user=rows)

    def _refuse_short(self, taken: Ragged, unknown: Unknown) -> None:
        least = self.ground.protocol.min_history
        short = np.flatnonzero(taken.lengths < least)
        if not len(short):
            return
        left = ", unknown ones left out" if unknown == "skip" else ""
        raise UsageError(
            f"histories[{short[0]}] has {int(taken.lengths[short[0]])} items{left} "
            f"({len(short):,} such), and this record's run asked from {least} on",
            fix="leave such users out; a record of popularity serves those of whom nothing is "
            "known",
        )

    def _ranked(self, queries: Queries, k: int, exclude: Ragged | None) -> pl.DataFrame:
        import polars as pl

        from tastebench.tasks.rank import RANK_BUDGET, top_k

        n, depth = self.n_items, min(k, self.ground.items.n)
        if not isinstance(self.recommender, ScoresItems):
            depth = max(depth, self._deepest())
        with limits.threads(self.record.spec.threads):
            # In batches as large as those of the run: sums of another batch may round otherwise.
            best = top_k(self.recommender, queries, depth, n, exclude=exclude, budget=RANK_BUDGET)
        items, scores = best.items[:, :k], best.scores[:, :k]
        there = (items >= 0).ravel()
        width = items.shape[1]
        frame = pl.DataFrame(
            {
                "query": np.repeat(np.arange(len(items)), width)[there],
                "rank": np.tile(np.arange(1, width + 1), len(items))[there],
                "score": scores.ravel()[there],
            }
        )
        return self._named(frame, items.ravel()[there])

    def _deepest(self) -> int:
        """Items that the run asked a generator for at least: its search may depend on it."""
        from tastebench.metrics.grammar import parse_all
        from tastebench.tasks.evaluate import GENERATED

        cuts = [metric.k or GENERATED for metric in parse_all(self.ground.protocol.metrics)]
        return min(max(cuts), self.n_items)

    # ----------------------------------------------------------------------------------- names

    @property
    def _item_ids(self) -> pl.Series:
        import polars as pl

        ids = self.dataset.item_ids
        return ids if self.added is None else pl.concat([ids, self.added.ids])

    def titled(self) -> pl.DataFrame:
        """`item_id` and `title` of every item, in the order of their vectors."""
        import polars as pl

        return pl.DataFrame([self._item_ids.alias("item_id"), self._titles.alias("title")])

    @property
    def _titles(self) -> pl.Series:
        import polars as pl

        from tastebench.build.printable import item_titles

        titles = item_titles(self.dataset)
        return titles if self.added is None else pl.concat([titles, self.added.titles])

    def _named(self, frame: pl.DataFrame, items: np.ndarray) -> pl.DataFrame:
        """With the ids of items before, and their titles behind, the scores."""
        import polars as pl

        rows = pl.Series(items.astype(np.int64))
        ids = self._item_ids.gather(rows).alias("item_id")
        titles = self._titles.gather(rows).alias("title")
        first = [name for name in frame.columns if name != "score"]
        return frame.select(*first, ids, "score", titles)

    def _with_skipped(self, frame: pl.DataFrame, skipped: np.ndarray) -> pl.DataFrame:
        import polars as pl

        return frame.with_columns(pl.Series("skipped", skipped[frame["query"].to_numpy()]))

    def __repr__(self) -> str:
        """What it is, and how good it was."""
        record = self.record
        value = record.metrics.get(record.headline)
        mean = (
            "" if value is None or value.mean is None else f", {record.headline} {value.mean:.4f}"
        )
        added = "" if self.added is None else f", {len(self.added.ids):,} of them new"
        where = f"{record.spec.task} on {record.spec.dataset}"
        return f"<Loaded: {record.spec.label}, {where}{mean}; {self.n_items:,} items{added}>"
