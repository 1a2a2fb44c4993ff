"""From a plan to its runs: what is multiplied, what is left out and why, and each run's identity.

A recommender that reads vectors is multiplied by the encoders, every other one runs once; all are
multiplied by datasets, tasks, representations and seeds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from tastebench.contracts import FORMS, EncoderCard, RecommenderCard
from tastebench.errors import UsageError, did_you_mean
from tastebench.files import hash_json
from tastebench.items.semantic_ids.methods import settings_of
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.runs.guard import check_models, check_texts
from tastebench.runs.hyperparameters import check_grid, combinations, resolve, searched
from tastebench.runs.material import MADE, texts_left_open
from tastebench.runs.plan import Plan, RecommenderChoice, describe_invalid
from tastebench.runs.record import Budget
from tastebench.runs.resources import Resources
from tastebench.runs.spec import RunSpec

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.tasks import Task, TaskProtocol


@dataclass(frozen=True, eq=False)
class Run:
    """One run to do, with everything its record will say about what was asked for.

    Attributes:
        given: The run as the plan states it, before defaults.
        spec_hash: Identity; names the folder.
        headline: Metric that picks the winner of a grid.
        kind: `model`, `control` or `ceiling`.
        volatile: It uses an object without a revision, so an earlier result may be stale: it is
            always run again.
        winner_hash: Identity of the run whose winner this one reuses; None if it needs none.
    """

    spec: RunSpec
    given: dict[str, Any]
    spec_hash: str
    protocol: TaskProtocol
    protocol_id: str
    budget: Budget
    budget_id: str
    kind: Literal["model", "control", "ceiling"]
    volatile: bool = False
    winner_hash: str | None = None

    @property
    def headline(self) -> str:
        """The metric that models are selected and ordered by."""
        return self.protocol.headline

    @property
    def partial(self) -> bool:
        """Whether only some users or queries are asked."""
        return self.protocol.limit is not None

    @property
    def searches(self) -> bool:
        """Whether this run searches the grid, rather than reuse the winner of another seed."""
        return bool(self.spec.grid) and self.spec.seed == self.spec.tuned_on


@dataclass(frozen=True)
class Expansion:
    """The runs of a plan, and sentences about what it named but cannot do."""

    runs: tuple[Run, ...]
    notes: tuple[str, ...]


def expand(plan: Plan, resources: Resources, limit: int | None = None) -> Expansion:
    """All runs of a plan, a seed that searches a grid before the seeds that reuse its winner.

    Args:
        plan: What to run.
        resources: What its names stand for.
        limit: At most so many users or queries are asked; marks the runs as partial.

    Raises:
        UsageError: A name, hyper-parameter or protocol field is unknown, no run is left, or a
            recommender reads vectors and the plan names no encoder.
    """
    _check_tasks(plan, resources)
    _check_representations(plan)
    check_grid(plan, resources)
    for recipe in plan.codes or ():
        settings_of(recipe)
    notes = _without_models(plan, resources)
    runs = [
        run
        for name in (choice.name for choice in plan.datasets)
        for task in _tasks_of(plan, resources.datasets[name], notes)
        for run in _runs_of(plan, resources, name, task, limit, notes)
    ]
    if not runs:
        raise UsageError(
            "the plan has no runs: " + ("; ".join(notes) or "nothing is left of it"),
            fix="tastebench show DATASET says which tasks a dataset supports",
        )
    notes += _idle(plan, resources, runs, notes)
    return Expansion(tuple(runs), tuple(dict.fromkeys(notes)))


# ------------------------------------------------------------------------------------------ tasks


def _check_tasks(plan: Plan, resources: Resources) -> None:
    from tastebench.tasks import TASKS

    brought = [name for card in resources.recommenders.values() for name in card.tasks]
    for name in [*(plan.tasks or ()), *plan.protocol, *brought]:
        TASKS.get(name)


def _tasks_of(plan: Plan, dataset: Dataset, notes: list[str]) -> list[Task]:
    from tastebench.tasks import TASKS

    supported = [name for name in dataset.card.tasks if name in TASKS]
    if plan.tasks is None:
        return [TASKS.get(name) for name in supported]
    wanted = [TASKS.get(name) for name in plan.tasks]
    doable = [task for task in wanted if task.name in supported or task.able(dataset)]
    for task in wanted:
        if task not in doable:
            notes.append(f"{dataset.card.name} has no {task.name} (it has {', '.join(supported)})")
    return doable


def protocol_of(plan: Plan, task: Task, dataset: Dataset, limit: int | None = None) -> TaskProtocol:
    """The dataset's own protocol for a task with what the plan changes of it.

    Args:
        plan: Whose `protocol` it is.
        task: One that the dataset can do.
        dataset: What is cut.
        limit: Users or queries that are asked, at most.

    Raises:
        UsageError: The plan's changes cannot be meant.
    """
    from tastebench.tasks import TaskProtocol

    overrides = dict(plan.protocol.get(task.name, {}))
    if isinstance(overrides.get("split"), str):
        overrides["split"] = {"kind": overrides["split"]}
    if isinstance(overrides.get("metrics"), str):
        overrides["metrics"] = [overrides["metrics"]]
    if limit is not None:
        overrides["limit"] = limit
    try:
        return task.protocol(dataset, **overrides)
    except ValidationError as error:
        message, _ = describe_invalid(error, TaskProtocol)
        raise UsageError(message, where=f"protocol.{task.name} of plan {plan.name!r}") from error


# ------------------------------------------------------------------------------------------- runs


def _runs_of(
    plan: Plan,
    resources: Resources,
    dataset_name: str,
    task: Task,
    limit: int | None,
    notes: list[str],
) -> Iterator[Run]:
    dataset = resources.datasets[dataset_name]
    protocol = protocol_of(plan, task, dataset, limit)
    protocol_id = protocol.fingerprint(dataset)
    for choice in choices(plan, resources, task):
        card = resources.recommender(choice.name)
        for representation in representations(plan, choice, card):
            forms = representation.split("+")
            _check_forms(card, forms)
            if card.check is not None:
                _check_together(plan, card, choice, representation)
            if "truth" in forms and dataset.card.generator is None:
                notes.append(f"{card.name} needs a generated dataset; {dataset_name} is not one")
                continue
            for encoder, codes in _sources(plan, card, forms):
                seeds = plan.seeds_of(choice)
                specs = _specs(plan, dataset, task, card, representation, encoder, codes, seeds)
                yield from (
                    _run(plan, resources, choice, card, spec, protocol, protocol_id)
                    for spec in specs
                )


def _check_forms(card: RecommenderCard, forms: Sequence[str]) -> None:
    for form in forms:
        if form not in MADE:
            raise UsageError(
                f"{card.name} would read items by their {form}, which is not in this version: "
                f"there are {', '.join(sorted(MADE))}",
                fix="leave it out, or choose another of its representations",
            )


def _check_together(
    plan: Plan, card: RecommenderCard, choice: RecommenderChoice, representation: str
) -> None:
    """Settings, those of a grid among them, go with each other and with the representation."""
    assert card.check is not None
    for setting in combinations(searched(plan, choice, card)):
        params = {**choice.params, **setting}
        resolve(card, params)  # says better what is wrong with a single value
        try:
            card.check(card.config(**params), representation)
        except UsageError as error:
            raise UsageError(
                error.what, where=f"recommender {choice.name} over {representation}", fix=error.fix
            ) from error


def choices(plan: Plan, resources: Resources, task: Task) -> list[RecommenderChoice]:
    """The recommenders of a plan that can do a task, or the task's own where it names none.

    Controls that can do without vectors do: they stand beside the encoders, not among them.
    """
    if plan.recommenders is None:
        names = [name for name in task.controls if name != task.default_recommender]
        return [
            RecommenderChoice(name=task.default_recommender),
            *(_control(resources.recommender(name)) for name in dict.fromkeys(names)),
        ]
    able = []
    for choice in plan.recommenders:
        can = resources.recommender(choice.name).tasks
        for wanted in choice.tasks or ():
            if wanted not in can:
                raise UsageError(f"{choice.name} cannot do {wanted} (it can {', '.join(can)})")
        if task.name in (choice.tasks or can):
            able += _with_models(plan, choice, resources.recommender(choice.name))
    return able


def _control(card: RecommenderCard) -> RecommenderChoice:
    bare = ("id",) if "id" in card.representations else None
    return RecommenderChoice(name=card.name, representations=bare)


def _with_models(
    plan: Plan, choice: RecommenderChoice, card: RecommenderCard
) -> list[RecommenderChoice]:
    """A choice as it is or, where it leaves its language model to the plan, once for each."""
    if not leaves_model_open(choice, card):
        return [choice]
    return [
        choice.model_copy(update={"params": {**choice.params, "model": model}})
        for model in plan.models or ()
    ]


def _without_models(plan: Plan, resources: Resources) -> list[str]:
    """Says which recommenders are left out for want of a language model.

    Raises:
        UsageError: There are such, and the plan does not say that this is meant.
    """
    left = {
        f"{choice.name} (group {choice.group})" if choice.group else choice.name: None
        for choice in plan.recommenders or ()
        if leaves_model_open(choice, resources.recommender(choice.name))
    }
    if plan.models or not left:
        return []
    fix = "--model ./folder, --model openai:NAME@URL, or models: [...] in the plan"
    if plan.models is None:
        raise UsageError(f"{', '.join(left)}: which language model?", fix=fix)
    return [f"{name} is left out, it needs a language model: {fix}" for name in left]


def leaves_model_open(choice: RecommenderChoice, card: RecommenderCard) -> bool:
    """Whether a recommender is a language model and its settings do not say which."""
    field = card.config.model_fields.get("model")
    said = bool(choice.params.get("model")) or "model" in (choice.grid or {})
    return field is not None and field.default == "" and not said


def representations(
    plan: Plan, choice: RecommenderChoice, card: RecommenderCard
) -> tuple[str, ...]:
    """What a recommender is fed with: its choice's, else the plan's, else its default.

    Of the plan's and its own those that go with its settings: an operator of words reads words
    without being told to.
    """
    for wanted in choice.representations or ():
        if wanted not in card.representations:
            raise UsageError(
                f"{card.name} does not take {wanted!r}: "
                f"{did_you_mean(wanted, card.representations)}"
            )
    if choice.representations:
        return choice.representations
    accepted = tuple(r for r in plan.representations or () if r in card.representations)
    fitting = tuple(r for r in accepted or card.representations if _fits(card, choice, r))
    if accepted:
        return fitting or accepted  # with none left, the plan's own are told why
    return (fitting or card.representations)[:1]


def _fits(card: RecommenderCard, choice: RecommenderChoice, representation: str) -> bool:
    """Whether the settings of a choice go with a representation."""
    if card.check is None:
        return True
    resolve(card, choice.params)
    try:
        card.check(card.config(**choice.params), representation)
    except UsageError:
        return False
    return True


def _check_representations(plan: Plan) -> None:
    """What items are fed as must exist, also where nobody takes it."""
    from tastebench.data.text import get_recipe

    where = f"plan {plan.name!r}"
    for representation in plan.representations or ():
        for form in representation.split("+"):
            if form not in FORMS:
                raise UsageError(
                    f"no form {form!r} in representation {representation!r}: "
                    f"{did_you_mean(form, FORMS)}",
                    where=f"representations of {where}",
                )
    for recipe in plan.text_recipe or ():
        get_recipe(recipe)


def _idle(
    plan: Plan, resources: Resources, runs: Sequence[Run], notes: Sequence[str]
) -> Iterator[str]:
    """What the plan names and no run uses, in a sentence each."""
    for name in (choice.name for choice in plan.recommenders or ()):
        said = any(note.startswith(f"{name} ") for note in notes)
        if not said and not any(run.spec.recommender == name for run in runs):
            tasks = ", ".join(resources.recommender(name).tasks)
            yield f"{name} runs nowhere in this plan: it can {tasks}"
    for name in plan.encoders:
        if not any(run.spec.encoder == name for run in runs):
            yield f"encoder {name} is not used: no recommender here reads vectors"
    for representation in plan.representations or ():
        if not any(run.spec.representation == representation for run in runs):
            yield f"representation {representation} is not used: no recommender here takes it"
    if plan.codes and not any(run.spec.codes for run in runs):
        yield "codes are not used: no recommender here reads them"


def _sources(
    plan: Plan, card: RecommenderCard, forms: Sequence[str]
) -> Iterator[tuple[str | None, CodeRecipe | None]]:
    """What the forms are made of: encoders and recipes of codes, None where nothing reads them."""
    recipes = (plan.codes or (CodeRecipe(),)) if "code" in forms else (None,)
    for codes in recipes:
        for encoder in _encoders(plan, card, forms, codes):
            yield encoder, codes


def _encoders(
    plan: Plan, card: RecommenderCard, forms: Sequence[str], codes: CodeRecipe | None
) -> tuple[str | None, ...]:
    of_codes = codes is not None and codes.reads_vectors
    if "vector" not in forms and not of_codes:
        return (None,)
    if not plan.encoders:
        raise UsageError(
            f"{card.name} reads {'codes made of ' if of_codes else ''}item vectors and the plan "
            "names no encoder",
            where=f"plan {plan.name!r}",
            fix="encoders: [minilm, tfidf-svd, random]",
        )
    return plan.encoders


def _specs(
    plan: Plan,
    dataset: Dataset,
    task: Task,
    card: RecommenderCard,
    representation: str,
    encoder: str | None,
    codes: CodeRecipe | None,
    seeds: Sequence[int],
) -> Iterator[RunSpec]:
    worded = encoder is not None or "text" in representation.split("+")
    recipes = (plan.text_recipe or (dataset.card.text_recipe,)) if worded else (None,)
    for recipe, seed in itertools.product(recipes, seeds):
        yield RunSpec(
            task=task.name,
            dataset=dataset.card.name,
            recommender=card.name,
            representation=representation,
            encoder=encoder,
            codes=codes,
            seed=seed,
            text_recipe=recipe,
            threads=plan.threads,
        )


def _run(
    plan: Plan,
    resources: Resources,
    choice: RecommenderChoice,
    card: RecommenderCard,
    bare: RunSpec,
    protocol: TaskProtocol,
    protocol_id: str,
) -> Run:
    grid, seeds = searched(plan, choice, card), plan.seeds_of(choice)
    config = resolve(card, choice.params)
    spec = bare.model_copy(
        update={
            "params": {k: v for k, v in config.items() if k not in grid},
            "grid": grid,
            "tuned_on": seeds[0] if grid else None,
        }
    )
    given = bare.model_dump(exclude_none=True, exclude={"params", "grid", "tuned_on"})
    given |= {"params": choice.params, "grid": grid}
    encoder = resources.encoders[spec.encoder] if spec.encoder else None
    if encoder and not encoder.nested:
        _refuse_to_cut(encoder, card, [config.get("adaptor"), *grid.get("adaptor", ())])
    revision = encoder.revision if encoder else None
    check_texts(resources.datasets[spec.dataset], protocol, spec.text_recipe)
    for setting in combinations(grid):
        check_models(resources.datasets[spec.dataset], protocol, {**choice.params, **setting})
    texts = texts_left_open(resources.datasets[spec.dataset], spec.text_recipe)
    budget = Budget(
        grid=grid,
        trials=len(combinations(grid)),
        epochs=_number(config, "epochs"),
        patience=_number(config, "patience"),
        seeds=seeds,
    )
    weights = _weights(card, choice.params, grid, spec.representation, resources.fetch)
    reuses = bool(grid) and spec.seed != spec.tuned_on
    first = spec.model_copy(update={"seed": seeds[0]})
    return Run(
        spec=spec,
        given=given,
        spec_hash=spec.identity(protocol_id, revision, texts, weights),
        protocol=protocol,
        protocol_id=protocol_id,
        budget=budget,
        budget_id=hash_json(budget.model_dump(mode="json"), length=12),
        kind="control" if card.kind == "model" and _meaningless(spec, encoder) else card.kind,
        volatile=card.name in resources.recommenders or (encoder is not None and revision is None),
        winner_hash=first.identity(protocol_id, revision, texts, weights) if reuses else None,
    )


def _meaningless(spec: RunSpec, encoder: EncoderCard | None) -> bool:
    """Whether what is read of the items has nothing to do with them, as a control."""
    from tastebench.data.text import SHUFFLED

    drawn = spec.codes is not None and not spec.codes.reads_vectors
    wrong = spec.text_recipe is not None and spec.text_recipe.startswith(SHUFFLED)
    return drawn or wrong or (encoder is not None and encoder.control is not None)


def _weights(
    card: RecommenderCard,
    params: dict[str, Any],
    grid: dict[str, list[Any]],
    representation: str,
    fetch: bool,
) -> str | None:
    """What identifies the pretrained weights of all settings of a run; None if there are none."""
    if card.weights is None:
        return None
    configs = [card.config(**{**params, **setting}) for setting in combinations(grid)]
    found = [card.weights(config, representation, fetch) for config in configs]
    return " ".join(dict.fromkeys(one for one in found if one is not None)) or None


def _refuse_to_cut(
    encoder: EncoderCard, card: RecommenderCard, adaptors: Sequence[str | None]
) -> None:
    """A prefix of a vector means something only if the encoder was trained so: better known now."""
    if "mrl" in adaptors:
        raise UsageError(
            f"the encoder {encoder.name} was not trained with nested dimensions, so its vectors "
            "cannot be cut",
            where=f"adaptor: mrl of {card.name}",
            fix="use adaptor: pca, or name only encoders with nested dimensions",
        )


def _number(config: Mapping[str, Any], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) else None
