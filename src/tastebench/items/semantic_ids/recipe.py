"""What identifies semantic ids, beside the vectors that they are made of."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from tastebench.errors import did_you_mean

Method = Literal["rq-vae", "rk-means", "product", "random"]
METHODS: tuple[Method, ...] = get_args(Method)

_LABEL = re.compile(r"(?P<method>[a-z-]+?)(-(?P<levels>\d+)x(?P<size>\d+))?")


class CodeRecipe(BaseModel):
    """How items get their codes: the method, the shape of a path, and what is left to choose.

    Attributes:
        method: What learns the codebooks; `random` draws a path for every item, and is the control.
        levels: Codes of a path, the one that tells equal paths apart not counted.
        size: Codes that a level can have.
        ties: Items with one path get one code more, numbered in the order of the catalogue:
            `where-needed` gives it to them alone, `always` to every item, 0 where it is alone.
        learned_from: The items that codebooks are learned from: `all`, or those in the `train` part
            of the run's split; either way every item gets its codes by them.
        seed: Of the codebooks.
        settings: What the method lets one set beside that, where it is not its default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "rk-means"
    levels: int = Field(4, ge=1, le=16)
    size: int = Field(256, ge=2, le=65536)
    ties: Literal["where-needed", "always"] = "where-needed"
    learned_from: Literal["all", "train"] = "all"
    seed: int = Field(0, ge=0)
    settings: dict[str, Any] = {}

    @classmethod
    def parse(cls, label: str) -> CodeRecipe:
        """A method, or the label of a recipe.

        >>> CodeRecipe.parse("rk-means").levels, CodeRecipe.parse("rq-vae-3x64").size
        (4, 64)
        """
        found = _LABEL.fullmatch(label)
        named = {key: value for key, value in found.groupdict().items() if value} if found else {}
        if named.get("method") not in METHODS:
            raise ValueError(f"no codes {label!r}: {did_you_mean(label, METHODS)}")
        return cls.model_validate(named)

    @property
    def reads_vectors(self) -> bool:
        """Whether codes are made of item vectors, rather than drawn."""
        return self.method != "random"

    @property
    def anywhere(self) -> CodeRecipe:
        """The same without what says only where codebooks are learned; this identifies codes.

        >>> CodeRecipe(method="rq-vae", settings={"latent": 16, "device": "cuda"}).anywhere.settings
        {'latent': 16}
        """
        settings = {key: value for key, value in self.settings.items() if key != "device"}
        return self.model_copy(update={"settings": settings})

    @property
    def label(self) -> str:
        """For people and folders; what it leaves out is in the record.

        >>> CodeRecipe(method="rq-vae", levels=3).label
        'rq-vae-3x256'
        """
        return f"{self.method}-{self.levels}x{self.size}"
