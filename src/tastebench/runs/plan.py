"""Plan: a product of runs as one YAML file, the same schema for a user's study and a shipped suite.

Unknown keys are errors that name the nearest valid one and, where the plan is a file, the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from tastebench.errors import UsageError, did_you_mean
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.runs.yaml_lines import Lines, parse_yaml

Grid = dict[str, Annotated[list[Any], Field(min_length=1)]]
Name = Annotated[str, Field(min_length=1)]


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_BRICKS = ("item", "user", "predictor")


def _by_bricks(value: Any) -> Any:
    """`{item: ..., user: ..., predictor: ...}` without a name is the recommender `bricks`."""
    if not isinstance(value, dict) or "name" in value or not any(k in value for k in _BRICKS):
        return _by_name(value)
    about = {
        key: setting for key, setting in value.items() if key in RecommenderChoice.model_fields
    }
    params = {key: setting for key, setting in value.items() if key not in about}
    return {**about, "name": "bricks", "params": {**about.get("params", {}), **params}}


def _by_label(value: Any) -> Any:
    return CodeRecipe.parse(value) if isinstance(value, str) else value


def _switched(value: Any) -> Any:
    # YAML reads a bare `off` as false.
    return {False: "off", True: "measure"}.get(value, value) if isinstance(value, bool) else value


def _listed(value: Any) -> Any:
    # `encoders: minilm` and `seeds: 0` mean what they say.
    return [value] if isinstance(value, (str, int, dict)) else value


Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_listed), Field(min_length=1)
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetChoice(_Part):
    """A dataset by name, and where its raw files lie if it has to be made from them."""

    name: Name
    raw: Path | None = None


class RecommenderChoice(_Part):
    """A recommender with settings of its own.

    Attributes:
        params: Hyper-parameters that differ from the defaults.
        grid: Values to search; takes the place of the plan's grid.
        representations: What it is fed with; None means what the plan or else its card says.
        tasks: Where it runs; None means wherever it can.
        seeds: Of its own, such as one for what draws nothing; None means the plan's.
        group: Letter of its group in a published plan; `run --groups` picks by it.
    """

    name: Name
    params: dict[str, Any] = {}
    grid: Grid | None = None
    representations: Annotated[tuple[Name, ...], BeforeValidator(_listed)] | None = None
    tasks: Annotated[tuple[Name, ...], BeforeValidator(_listed)] | None = None
    seeds: Seeds | None = None
    group: str | None = None


Dataset_ = Annotated[DatasetChoice, BeforeValidator(_by_name)]
Codes_ = Annotated[CodeRecipe, BeforeValidator(_by_label)]
Recommender_ = Annotated[RecommenderChoice, BeforeValidator(_by_bricks)]


class Plan(_Part):
    """What to run.

    Attributes:
        name: Names the folder of its records and the board.
        datasets: At least one.
        tasks: None means every task that a dataset supports.
        encoders: What makes item vectors; needed where a recommender reads vectors.
        encoder_controls: Controls that stand beside whichever encoders are named: `random`, and
            `shuffled`, which is the row-shuffled first of them.
        codes: Semantic ids, by method (`rk-means`, `rq-vae-3x256`) or in full, for recommenders
            that read codes; made of each encoder's vectors. None means the default ones.
        models: Language models, each a folder, `organisation/model` or `openai:NAME[@URL]`, for
            recommenders that are one and do not say which themselves: each makes runs of its own.
            An empty list leaves those recommenders out until somebody names a model.
        recommenders: Each by its name, with settings where they are not its own, or as bricks. None
            means each task's default recommender and its controls. `recommender` is one of them.
        representations: What the recommenders are fed with, where they accept it; None means each
            one's default.
        grid: Values to search, for every recommender that has such a hyper-parameter.
        seeds: The grid is searched on the first, its winner reused for the others.
        row_by: What a row of the board is.
        protocol: Task to fields of its protocol that differ from the dataset's default.
        text_recipe: How items are put into words, several to compare them; None means what the
            dataset's card says.
        missing: What to do without a dataset or an encoder: `fetch` it, and stop where that fails,
            or `skip` it, say what it would take to have it, and run the rest.
        preliminary: The budget is reduced below what its protocol asks for; its boards say so.
        threads: CPU threads a run; part of what a number depends on, so it does not follow the
            machine.
        latency_seconds: Time limit of a run's latency measurement, half of it for what is cached
            and half for what is cold; 0 measures none.
        energy: `measure` the energy of the encode steps and the runs; each starts some seconds
            later for it. Like what follows it changes no number of a run, nor does it open a run
            that is finished.
        carbon_intensity: Of the electricity here, in g CO2e per kWh. No region is assumed: without
            it there is energy and no carbon.
        pue: Power usage effectiveness of the site: what it uses for each unit that the machine
            does.
        keep_models: Keep what each run trained in its record's folder, for `tastebench.load` and
            `tastebench export`. It changes no number, nor does it open a run that is finished.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    datasets: Annotated[tuple[Dataset_, ...], BeforeValidator(_listed), Field(min_length=1)]
    tasks: Annotated[tuple[Name, ...], BeforeValidator(_listed)] | None = None
    encoders: Annotated[tuple[Name, ...], BeforeValidator(_listed)] = ()
    encoder_controls: Annotated[
        tuple[Literal["random", "shuffled"], ...], BeforeValidator(_listed)
    ] = ()
    codes: Annotated[tuple[Codes_, ...], BeforeValidator(_listed), Field(min_length=1)] | None = (
        None
    )
    models: Annotated[tuple[Name, ...], BeforeValidator(_listed)] | None = None
    recommenders: Annotated[tuple[Recommender_, ...], BeforeValidator(_listed)] | None = None
    representations: Annotated[tuple[Name, ...], BeforeValidator(_listed)] | None = None
    grid: Grid = {}
    seeds: Seeds = (0,)
    row_by: Literal["encoder", "recommender", "run"] = "encoder"
    protocol: dict[str, dict[str, Any]] = {}
    text_recipe: Annotated[tuple[Name, ...], BeforeValidator(_listed)] | None = None
    missing: Literal["fetch", "skip"] = "fetch"
    preliminary: bool = False
    threads: Annotated[int, Field(ge=1)] = 1
    latency_seconds: Annotated[float, Field(ge=0)] = 30.0
    energy: Annotated[Literal["off", "measure"], BeforeValidator(_switched)] = "off"
    carbon_intensity: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    pue: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    keep_models: bool = False

    @model_validator(mode="before")
    @classmethod
    def _one_recommender(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "recommender" not in value:
            return value
        if "recommenders" in value:
            raise ValueError("recommender and recommenders are the same key: give one of them")
        return {"recommenders" if k == "recommender" else k: v for k, v in value.items()}

    @model_validator(mode="after")
    def _no_doubles(self) -> Plan:
        lists: list[tuple[str, Sequence[Any]]] = [
            ("datasets", [choice.name for choice in self.datasets]),
            ("tasks", self.tasks or ()),
            ("encoders", self.encoders),
            ("models", self.models or ()),
            ("text_recipe", self.text_recipe or ()),
            ("codes", [recipe.anywhere for recipe in self.codes or ()]),
            ("seeds", self.seeds),
            *((f"seeds of {one.name}", one.seeds or ()) for one in self.recommenders or ()),
        ]
        for key, names in lists:
            twice = [name for name in names if list(names).count(name) > 1]
            doubles = sorted({str(getattr(name, "label", name)) for name in twice})
            if doubles:
                raise ValueError(f"{key} names {', '.join(doubles)} more than once")
        return self

    def seeds_of(self, choice: RecommenderChoice) -> tuple[int, ...]:
        """Seeds of a recommender's runs; a grid is searched on the first."""
        return choice.seeds or self.seeds

    @model_validator(mode="after")
    def _carbon_of_energy(self) -> Plan:
        if self.energy == "off" and (self.carbon_intensity is not None or self.pue != 1):
            raise ValueError("carbon_intensity and pue say nothing without energy: measure")
        return self


def load_plan(path: Path, settings: Sequence[str] = ()) -> Plan:
    """Reads a plan from a YAML file.

    Args:
        path: The file.
        settings: Overrides as `key=value`, dotted keys reach inside, values are YAML:
            `protocol.seqrec.history_length=20`.

    Raises:
        UsageError: The file is missing or not YAML, a key is unknown or a value cannot be meant.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            f"no plan at {path}", fix="tastebench list suites, or give the path of a YAML file"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot read the plan: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the plan is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}",
            where=str(path),
            fix="save it as UTF-8",
        ) from error
    value, lines = parse_yaml(text, str(path))
    return make_plan(value, where=str(path), lines=lines, settings=settings)


def make_plan(
    value: Any, *, where: str = "plan", lines: Lines | None = None, settings: Sequence[str] = ()
) -> Plan:
    """Checks a mapping and makes it a plan.

    Args:
        value: What the YAML file would hold.
        where: Says in messages where it came from.
        lines: Where each key stands in the file.
        settings: As in `load_plan`.
    """
    if not isinstance(value, Mapping):
        raise UsageError("a plan is a mapping of keys to values", where=where, fix=_EXAMPLE)
    merged = _override(value, settings)
    try:
        return Plan.model_validate(merged)
    except ValidationError as error:
        raise _explain(error, where, lines or {}) from error


def describe_invalid(error: ValidationError, model: type[BaseModel]) -> tuple[str, tuple[Any, ...]]:
    """The first problem of a validation in one sentence, and the path of its key."""
    first = error.errors()[0]
    path = first["loc"]
    key = ".".join(str(part) for part in path)
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        return f"unknown key {path[-1]!r}: {did_you_mean(str(path[-1]), known)}", path
    if first["type"] == "missing":
        return f"{key!r} is missing", path
    if first["type"] == "string_pattern_mismatch":
        return f"{key}: letters, digits, '.', '_' and '-' only, got {first['input']!r}", path
    if first["type"] == "too_short":
        return f"{key} must not be empty", path
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] == "value_error" else f", got {first['input']!r}"
    return (f"{key}: {message}{got}" if key else message), path


_EXAMPLE = "e.g. name: my-study / datasets: [storefront] / encoders: [tfidf-svd, random]"


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> Iterator[str]:
    """The keys there are where a path leads to, through models within models and lists of them."""
    for key in path:
        if key in model.model_fields:
            model = _model_in(model.model_fields[key].annotation) or model
    return iter(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _explain(error: ValidationError, where: str, lines: Lines) -> UsageError:
    message, path = describe_invalid(error, Plan)
    while path and path not in lines:
        path = path[:-1]
    place = f"{where}, line {lines[path]}" if path else where
    return UsageError(message, where=place, fix=_EXAMPLE if "missing" in message else None)


def _override(value: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    merged = dict(value)
    for setting in settings:
        key, equals, text = setting.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise UsageError(
                f"cannot read {setting!r}", where="--set", fix="--set seeds=[0,1] (key=value)"
            )
        new, _ = parse_yaml(text, f"--set {key}")
        _put(merged, parts, new, setting)
    return merged


def _put(target: dict[str, Any], path: list[str], value: Any, setting: str) -> None:
    """Sets one nested key on copies, so that the caller's mapping stays as it is."""
    head, *rest = path
    if not rest:
        target[head] = value
        return
    inner = target.get(head)
    if inner is not None and not isinstance(inner, Mapping):
        raise UsageError(
            f"cannot set {setting!r}: {head!r} holds no keys",
            where="--set",
            fix=f"--set {head}=...",
        )
    target[head] = dict(inner or {})
    _put(target[head], rest, value, setting)
