"""A language model that puts a list of candidates in order, in one answer.

Hou et al., "Large Language Models are Zero-Shot Rankers for Recommender Systems", ECIR 2024: a
prompt with the history and numbered candidates, an answer that names all numbers, and several
answers with the candidates in other orders, since models prefer what is shown first.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tastebench.contracts import Items, Preview, Recommender, RecommenderCard
from tastebench.errors import UsageError
from tastebench.lm.endpoint import PREFIX
from tastebench.recommenders.llm.models import need_model, revision_of


class RankConfig(BaseModel):
    """How a model is asked for an order."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str = ""
    """A folder with a transformers model, `organisation/model[@commit]` on the hub, or
    `openai:NAME[@URL]` for one behind an address. There is no default."""

    trust_remote_code: bool = False
    """Run the code that a model's folder brings along."""

    prompt: str = "list-v1"
    """Name of a prompt of kind `list`, or path of a YAML file."""

    chat: Literal["auto", "never"] = "auto"
    """`auto` puts the prompt into the model's chat template, where it has one."""

    max_length: int = Field(4096, ge=64)
    """Tokens of a prompt and its answer at most, about, and never more than the model takes. The
    texts of the candidates have half of it together, one of the history at most a fifth."""

    list_size: int = Field(20, ge=2)
    """Candidates in one prompt at most; who has more is asked in several, drawn anew each time."""

    orders: int = Field(3, ge=1)
    """Orders that every asker's candidates are shown in; the scores are means over them."""

    partial: bool = False
    """Use an answer that is no permutation as far as it goes: what it names comes in that order,
    what it does not name shares the places behind. Otherwise it says nothing."""

    answer_tokens: int | None = Field(None, ge=1)
    """An answer is cut there; null is eight a candidate. Models that think aloud need more."""

    temperature: float | None = Field(0.0, ge=0)
    """Of a model behind an address; null is the server's own."""

    device: str = "auto"
    """What a local model runs on."""

    @property
    def remote(self) -> bool:
        """The model is behind an address."""
        return self.model.startswith(PREFIX)

    @property
    def longest_answer(self) -> int:
        """Tokens that an answer may have."""
        return self.answer_tokens or 8 * self.list_size


def _build(config: RankConfig) -> Recommender:
    from tastebench.recommenders.llm.list_ranking import ListRanking

    return ListRanking(config)


def _check(config: RankConfig, representation: str) -> None:
    from tastebench.recommenders.llm.prompt import get_prompt

    need_model("llm-rank", config.model)
    kind = get_prompt(config.prompt).kind
    if kind != "list":
        raise UsageError(f"the prompt {config.prompt!r} is {kind}, and llm-rank wants one of lists")


def _weights(config: RankConfig, representation: str, fetch: bool) -> str | None:
    """The model's revision and every word of the prompt."""
    from tastebench.recommenders.llm.prompt import get_prompt

    if not config.model:
        return None
    prompt = get_prompt(config.prompt).hash
    if config.remote:
        from tastebench.recommenders.llm.remote_model import identity

        return f"{identity(config.model)} prompt {prompt}"
    found = revision_of(config.model, fetch=fetch, trust_remote_code=config.trust_remote_code)
    return f"{found} prompt {prompt}"


def _preview(config: RankConfig, problem: Any, items: Items) -> Preview:
    from tastebench.recommenders.llm.list_ranking import preview

    return preview(config, problem, items)


CARD = RecommenderCard(
    name="llm-rank",
    summary="a language model puts a list of candidates in order, shown in several orders",
    tasks=("ctr",),
    representations=("text",),
    config=RankConfig,
    build=_build,
    citation="Hou et al., ECIR 2024, arXiv:2305.08845",
    check=_check,
    weights=_weights,
    preview=_preview,
)
