"""What encoders behind an address will be asked, and what they charge for it, before they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tastebench.contracts import Encoder
from tastebench.encoders.names import bare
from tastebench.lm.spending import Budget
from tastebench.runs.encode import EncodeJob
from tastebench.runs.estimate import in_dollars, in_tokens
from tastebench.runs.material import item_words, query_words

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.encoders.remote import RemoteEncoder

_REMOTE = "openai:"


@dataclass(frozen=True)
class RemoteCost:
    """What one encoder behind an address will be asked.

    Attributes:
        encoder: Its name.
        texts: Distinct texts whose vectors are not kept.
        tokens: Of these texts, about.
        usd: What they cost; None where no price is known.
        local: It is on this machine.
        capped: A cap is set.
        timed_seconds: How long single requests are asked besides, to time them, at most.
    """

    encoder: str
    texts: int
    tokens: int
    usd: float | None
    local: bool
    capped: bool
    timed_seconds: float

    def __str__(self) -> str:
        said = f"to ask of {self.encoder}: about {in_tokens(self.tokens)} in {self.texts:,} texts"
        if self.usd is not None:
            said += f", about {in_dollars(self.usd)}"
        elif not self.local:
            said += ", price unknown (TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS)"
        if self.timed_seconds:
            said += (
                f"; besides, single requests for at most {self.timed_seconds:g} s, to time them "
                "(--set latency_seconds=0 for none)"
            )
        if not self.local and not self.capped:
            said += "; nothing caps it (TASTEBENCH_REMOTE_MAX_USD, TASTEBENCH_REMOTE_MAX_TOKENS)"
        return said


def remote_costs(
    jobs: Mapping[tuple[str, str, str], EncodeJob],
    datasets: Mapping[str, Dataset],
    objects: Mapping[str, Encoder],
) -> list[RemoteCost]:
    """What encode steps will ask of encoders behind an address, encoder by encoder.

    Args:
        jobs: The steps by dataset, encoder and text recipe.
        datasets: By name.
        objects: Encoders that the caller brought.
    """
    from tastebench.encoders import get_encoder
    from tastebench.encoders.remote import RemoteEncoder

    found: dict[str, dict[tuple[str, str], list[EncodeJob]]] = {}
    for (dataset, name, recipe), job in jobs.items():
        base = bare(name)
        if not job.is_done() and (base.startswith(_REMOTE) or base in objects):
            found.setdefault(base, {}).setdefault((dataset, recipe), []).append(job)
    costs = []
    for base, steps in found.items():
        encoder = objects.get(base) or get_encoder(base)
        if isinstance(encoder, RemoteEncoder):
            costs.append(_cost(encoder, steps, datasets))
    return [cost for cost in costs if cost.texts or cost.timed_seconds]


def _cost(
    encoder: RemoteEncoder,
    steps: Mapping[tuple[str, str], list[EncodeJob]],
    datasets: Mapping[str, Dataset],
) -> RemoteCost:
    from tastebench.encoders.vectors import not_kept

    texts: list[str] = []
    timed = 0.0
    for (name, recipe), jobs in steps.items():
        dataset = datasets[name]
        texts += not_kept(encoder, item_words(dataset, recipe), "item", recipe)
        if any(protocol.task == "search" for job in jobs for protocol in job.protocols):
            texts += not_kept(encoder, query_words(dataset), "query", recipe)
        for job in jobs:
            if job.encoder == encoder.card.name:  # a control is not timed
                timed += job.latency_seconds / 2 * len(job.protocols)
    tokens = encoder.tokens_of(texts)
    price, caps = encoder.price, Budget.from_environment()
    return RemoteCost(
        encoder=encoder.card.name,
        texts=len(texts),
        tokens=tokens,
        usd=None if price is None else price.of(tokens),
        local=encoder.endpoint.is_local,
        capped=caps.tokens is not None or caps.usd is not None,
        timed_seconds=timed,
    )
