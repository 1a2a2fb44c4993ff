"""RunSpec: the tuple that everything hangs on, and its identity."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, cast

from pydantic import ConfigDict, Field

from tastebench.contracts import Form
from tastebench.files import hash_json
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.later import WithLaterFields

_LONGEST_FOLDER = 200
"""File systems allow 255 bytes; an encoder's name may hold a path or an address."""


def named(value: Any) -> Any:
    """Settings with folders by their names: nothing depends on where somebody keeps a model."""
    if isinstance(value, dict):
        return {key: named(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [named(inner) for inner in value]
    if isinstance(value, str) and "/" in value and Path(value).expanduser().is_dir():
        return Path(value).expanduser().resolve().name
    return value


class RunSpec(WithLaterFields):
    """One run: which recommender, fed with what, on which task of which dataset.

    Attributes:
        representation: Forms of an item that the recommender gets, joined with `+`.
        encoder: What makes the vectors; None where the representation has none.
        codes: What makes semantic ids of them; None where the representation has none.
        params: Hyper-parameters. In a plan those that were given; in a record all of them.
        grid: Values to search, by hyper-parameter; empty for none.
        tuned_on: The seed whose run searches the grid; the other seeds reuse its winner.
        text_recipe: How an item is put into words; None where no words are needed.
        threads: CPU threads.
    """

    LATER: ClassVar[tuple[str, ...]] = ("codes",)

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    dataset: str
    recommender: str
    representation: str
    encoder: str | None = None
    codes: CodeRecipe | None = None
    seed: int = 0
    params: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    tuned_on: int | None = None
    text_recipe: str | None = None
    threads: int = 1

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms of the representation, e.g. `("id", "vector")`."""
        # A plan is refused before it gets here if a form is not one of `FORMS`.
        return cast("tuple[Form, ...]", tuple(self.representation.split("+")))

    @property
    def axes(self) -> dict[str, Any]:
        """What a run is told apart by in tables and lists, hyper-parameters aside."""
        names = ("task", "dataset", "recommender", "representation", "encoder", "seed")
        codes = {} if self.codes is None else {"codes": self.codes.label}
        return {name: getattr(self, name) for name in names} | codes

    @property
    def label(self) -> str:
        """For people: `unisrec(vector, minilm)`, or `popularity` where nothing is encoded.

        >>> RunSpec(task="cf", dataset="d", recommender="ease", representation="id").label
        'ease'
        >>> RunSpec(task="ctr", dataset="d", recommender="llm", representation="text",
        ...         params={"model": "openai:small@http://localhost:8080/v1"}).label
        'llm(text, small)'
        """
        model = self.language_model
        if self.encoder is None and model is None and self.representation in {"id", "truth"}:
            return self.recommender
        codes = None if self.codes is None else self.codes.label
        parts = (self.representation, self.encoder, codes, model)
        return f"{self.recommender}({', '.join(part for part in parts if part)})"

    @property
    def language_model(self) -> str | None:
        """The name of the language model that recommends, without where it is; None for none."""
        model = self.params.get("model")
        if not isinstance(model, str) or not model:
            return None
        remote = re.fullmatch(r"openai:(.+?)(@https?://.*)?", model)
        return remote[1] if remote else str(named(model))

    @property
    def folder(self) -> str:
        """Name of the folder that holds all seeds and settings of it.

        >>> RunSpec(task="cf", dataset="d", recommender="alpharec", representation="vector",
        ...         encoder="me/model").folder
        'alpharec-vector-me_model'
        """
        parts = [self.recommender, self.representation, self.encoder or "none"]
        parts += [part for part in (self.codes and self.codes.label, self.language_model) if part]
        name = "-".join(re.sub(r"[^A-Za-z0-9._+:-]", "_", part) for part in parts)
        return name[:_LONGEST_FOLDER]  # what is told apart by the rest has another hash below it

    def identity(
        self,
        protocol_id: str,
        encoder_revision: str | None,
        texts: str | None = None,
        weights: str | None = None,
    ) -> str:
        """The hash that names the run: 16 hex digits; equal hash, equal numbers.

        Args:
            protocol_id: Fingerprint of the protocol on this dataset; covers the dataset's values.
            encoder_revision: Identifies the encoder's weights.
            texts: What the item texts depend on besides the dataset's values and the name of the
                recipe (`tastebench.data.text.left_open`); None for nothing.
            weights: Identifies pretrained weights that the hyper-parameters name; None for none.
        """
        spec = self
        if self.codes is not None:
            spec = self.model_copy(update={"codes": self.codes.anywhere})
        return hash_json(
            {
                **named(spec.model_dump(mode="json")),
                "protocol": protocol_id,
                "encoder_revision": encoder_revision,
                **({"texts": texts} if texts is not None else {}),
                **({"weights": weights} if weights is not None else {}),
            }
        )
