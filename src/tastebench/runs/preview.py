"""What language models will be asked, and what that takes, before they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.contracts import Preview
from tastebench.runs.estimate import in_dollars, in_tokens
from tastebench.runs.expand import Run
from tastebench.runs.hyperparameters import combinations
from tastebench.runs.labels import told_apart
from tastebench.runs.material import items_for

if TYPE_CHECKING:
    from tastebench.runs.execute import Todo


@dataclass(frozen=True)
class Previewed:
    """What one run will ask.

    Attributes:
        label: Of the run, with what tells it from others of that label.
        dataset: Whose items and users.
    """

    label: str
    dataset: str
    preview: Preview

    def __str__(self) -> str:
        told = self.preview
        said = (
            f"{self.label} on {self.dataset} asks {told.requests:,} prompts: about "
            f"{in_tokens(told.prompt_tokens)} to read"
        )
        if told.completion_tokens:
            said += f" and {in_tokens(told.completion_tokens)} to write"
        if told.usd:
            said += f", about {in_dollars(told.usd)}"
        elif told.usd is None:
            said += ", price unknown (TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS)"
        if told.seconds is not None:
            said += (
                f", about {told.seconds / 60:,.0f} min"
                if told.seconds >= 90
                else (f", about {told.seconds:,.0f} s")
            )
        return said


def previews(todo: Todo) -> Iterator[Previewed]:
    """A preview for each open run of a recommender that prompts a model; nobody is asked.

    Runs that differ in nothing but the seed ask alike and are told once. Semantic ids need not be
    made for it: how many an item has is known, and the tie-breaking one is not counted.
    """
    from tastebench.tasks import TASKS

    problems: dict[tuple[str, str], Any] = {}
    told, apart = set(), told_apart(todo.runs)
    for run in todo.open:
        spec, resources = run.spec, todo.gathered.resources
        card = resources.recommender(spec.recommender)
        alike = spec.model_copy(update={"seed": 0}).model_dump_json(), run.protocol_id
        if card.preview is None or alike in told:
            continue
        told.add(alike)
        dataset = resources.datasets[spec.dataset]
        place = (spec.dataset, run.protocol_id)
        if place not in problems:
            problems[place] = TASKS.get(spec.task).problem(dataset, run.protocol)
        items = items_for(
            spec,
            dataset,
            vectors=None,
            codes=_stand_ins(run, dataset.n_items),
            questions=run.protocol.questions,
        )
        preview = card.preview(_config(run, card.config), problems[place], items)
        label = " ".join([spec.label, *apart[run.spec_hash]])
        yield Previewed(label, spec.dataset, preview)


def _stand_ins(run: Run, n_items: int) -> np.ndarray | None:
    """As many codes an item as it will have; None where it has none."""
    recipe = run.spec.codes
    return None if recipe is None else np.zeros((n_items, recipe.levels), dtype=np.int64)


def _config(run: Run, config: Any) -> Any:
    """The settings of a run; of a grid the first."""
    return config(**{**run.spec.params, **combinations(run.spec.grid)[0]})
