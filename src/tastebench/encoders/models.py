"""Encoders that have a name here and whose files lie elsewhere, as data.

First the eleven of BLaIR-Bench (ACL 2026, Table 6) with the pooling, input limit and unit length
that its toolkit uses, then current open models as their makers use them. A card's `source` is the
hub name. What a model's makers do not say is None.
"""

from __future__ import annotations

from typing import Any

from tastebench.contracts import EncoderCard
from tastebench.encoders.catalog import KnownEncoder, behind_address, from_hub
from tastebench.encoders.hub import HubModel

SEARCH_TASK = (
    "Given what someone says they need, find the product, service or piece of media that meets the "
    "need and every condition named"
)
"""The task that instruction-tuned encoders are given with a query, one for all search sets.

The wording of the published runs is not public, so this one is ours: their numbers on search may
differ by it. It is part of an encoder's revision, and in its card.
"""

_TASK_AND_QUERY = f"Instruct: {SEARCH_TASK}\nQuery: "
_REPRESENT = "Represent this sentence for searching relevant passages: "
_HALF = 2
"""Bytes a stored weight, where it is not float32."""


def _local(card: EncoderCard, summary: str, stored: int = 4, **how: Any) -> KnownEncoder:
    """A model of the hub: `how` are fields of `HubModel`, `stored` the bytes of a stored weight."""
    size = None if card.parameters is None else card.parameters * stored
    hub = how.pop("hub", card.source)
    return from_hub(HubModel(card, hub, size, **how), summary)


_BENCHMARK = (
    _local(
        EncoderCard(
            "roberta-large",
            dimensions=1024,
            parameters=355_359_744,
            max_tokens=512,
            pooling="cls",
            licence="MIT",
            source="FacebookAI/roberta-large",
            training_data=("BookCorpus", "Wikipedia", "CC-News", "OpenWebText", "Stories"),
        ),
        "RoBERTa large (2019), state of its first token: never trained to compare texts",
    ),
    _local(
        EncoderCard(
            "simcse-roberta-large",
            dimensions=1024,
            parameters=355_359_744,
            max_tokens=512,
            normalised=True,
            pooling="cls",
            source="princeton-nlp/sup-simcse-roberta-large",
        ),
        "supervised SimCSE (2021), state of its first token, without the training head",
        # The main branch holds no safetensors.
        hub="princeton-nlp/sup-simcse-roberta-large@b55c7c5d9aeb13bc4b59059285e93260b32611df",
    ),
    _local(
        EncoderCard(
            "sentence-t5-large",
            dimensions=768,
            parameters=335_726_080,
            normalised=True,
            licence="Apache-2.0",
            source="sentence-transformers/sentence-t5-large",
        ),
        "Sentence-T5 large (2022), mean and a projection",
        stored=_HALF,
    ),
    _local(
        EncoderCard(
            "gritlm-7b",
            dimensions=4096,
            parameters=7_241_732_096,
            max_tokens=512,
            normalised=True,
            pooling="mean",
            query_instruction=f"<|user|>\n{SEARCH_TASK}\n<|embed|>\n",
            licence="Apache-2.0",
            source="GritLM/GritLM-7B",
        ),
        "GritLM 7B (2024), read both ways, mean of the text's tokens without the instruction",
        stored=_HALF,
        item_prefix="<|embed|>\n",
        pool_prefix=False,
        both_ways=True,
    ),
    _local(
        EncoderCard(
            "e5-mistral-7b",
            dimensions=4096,
            parameters=7_110_660_096,
            max_tokens=32_768,
            normalised=True,
            pooling="last",
            query_instruction=_TASK_AND_QUERY,
            licence="MIT",
            source="intfloat/e5-mistral-7b-instruct",
        ),
        "E5 Mistral 7B instruct (2024), state of the last token",
        stored=_HALF,
    ),
    _local(
        EncoderCard(
            "sfr-embedding-mistral",
            dimensions=4096,
            parameters=7_110_660_096,
            max_tokens=32_768,
            normalised=True,
            pooling="last",
            query_instruction=_TASK_AND_QUERY,
            licence="CC-BY-NC-4.0",
            source="Salesforce/SFR-Embedding-Mistral",
        ),
        "SFR-Embedding Mistral 7B (2024), state of the last token",
        stored=_HALF,
    ),
    *(
        _local(
            EncoderCard(
                f"qwen3-embedding-{size.lower()}",
                dimensions=dimensions,
                parameters=parameters,
                max_tokens=32_768,
                normalised=True,
                nested=True,
                pooling="last",
                # Qwen3 was trained without a space before the query.
                query_instruction=_TASK_AND_QUERY.rstrip(" "),
                licence="Apache-2.0",
                source=f"Qwen/Qwen3-Embedding-{size}",
            ),
            f"Qwen3 Embedding {size} (2025), state of the last token",
            stored=_HALF,
        )
        for size, parameters, dimensions in (
            ("0.6B", 595_776_512, 1024),
            ("4B", 4_021_774_336, 2560),
            ("8B", 7_567_295_488, 4096),
        )
    ),
    # Prices as listed in 2025.
    behind_address(
        EncoderCard(
            "text-embedding-3-large",
            dimensions=3072,
            max_tokens=8192,
            normalised=True,
            nested=True,
            usd_per_million_tokens=0.13,
            source="OpenAI",
        ),
        "OpenAI's large embedding model (2024)",
        "openai:text-embedding-3-large",
    ),
    behind_address(
        EncoderCard(
            "gemini-embedding-001",
            dimensions=3072,
            max_tokens=2048,
            nested=True,
            usd_per_million_tokens=0.15,
            source="Google",
        ),
        "Google's embedding model (2025)",
        "openai:gemini-embedding-001@https://generativelanguage.googleapis.com/v1beta/openai",
    ),
)

_OPEN = (
    *(
        _local(
            EncoderCard(
                f"blair-roberta-{size}",
                dimensions=dimensions,
                parameters=parameters,
                max_tokens=512,
                normalised=True,
                pooling="cls",
                source=f"hyp1231/blair-roberta-{size}",
                training_data=("Amazon Reviews 2023",),
            ),
            f"BLaIR {size} (2024), RoBERTa trained on reviews and the products they are of",
        )
        for size, parameters, dimensions in (
            ("base", 124_645_632, 768),
            ("large", 355_359_744, 1024),
        )
    ),
    _local(
        EncoderCard(
            "all-mpnet-base-v2",
            dimensions=768,
            parameters=109_486_464,
            max_tokens=384,
            normalised=True,
            licence="Apache-2.0",
            source="sentence-transformers/all-mpnet-base-v2",
        ),
        "sentence transformer (2021), MiniLM's larger sister",
    ),
    *(
        _local(
            EncoderCard(
                name,
                dimensions=dimensions,
                parameters=parameters,
                max_tokens=512,
                normalised=True,
                query_instruction="query: ",
                licence="MIT",
                source=f"intfloat/{name}",
            ),
            f"{'Multilingual ' * name.startswith('multi')}E5 ({year}), a prefix before either side",
            item_prefix="passage: ",
        )
        for name, parameters, dimensions, year in (
            ("e5-small-v2", 33_360_000, 384, 2023),
            ("e5-base-v2", 109_482_240, 768, 2023),
            ("e5-large-v2", 335_141_888, 1024, 2023),
            ("multilingual-e5-small", 117_653_760, 384, 2024),
            ("multilingual-e5-base", 278_043_648, 768, 2024),
            ("multilingual-e5-large", 559_890_432, 1024, 2024),
        )
    ),
    *(
        _local(
            EncoderCard(
                f"bge-{size}-en-v1.5",
                dimensions=dimensions,
                parameters=parameters,
                max_tokens=512,
                normalised=True,
                query_instruction=_REPRESENT,
                licence="MIT",
                source=f"BAAI/bge-{size}-en-v1.5",
            ),
            f"BGE {size}, English (2023)",
        )
        for size, parameters, dimensions in (
            ("small", 33_360_000, 384),
            ("base", 109_482_240, 768),
            ("large", 335_141_888, 1024),
        )
    ),
    _local(
        EncoderCard(
            "bge-m3",
            dimensions=1024,
            parameters=567_754_752,
            max_tokens=8192,
            normalised=True,
            licence="MIT",
            source="BAAI/bge-m3",
        ),
        "BGE M3, many languages and long texts (2024); its dense vectors",
        # The main branch holds no safetensors.
        hub="BAAI/bge-m3@refs/pr/38",
    ),
    *(
        _local(
            EncoderCard(
                f"gte-{size}",
                dimensions=dimensions,
                parameters=parameters,
                max_tokens=512,
                normalised=True,
                licence="MIT",
                source=f"thenlper/gte-{size}",
            ),
            f"GTE {size}, English (2023)",
            stored=_HALF,
        )
        for size, parameters, dimensions in (
            ("base", 109_482_240, 768),
            ("large", 335_141_888, 1024),
        )
    ),
    _local(
        EncoderCard(
            "mxbai-embed-large-v1",
            dimensions=1024,
            parameters=335_141_888,
            max_tokens=512,
            nested=True,
            query_instruction=_REPRESENT,
            licence="Apache-2.0",
            source="mixedbread-ai/mxbai-embed-large-v1",
        ),
        "Mixedbread large, English (2024)",
        stored=_HALF,
    ),
    _local(
        EncoderCard(
            "arctic-embed-m-v1.5",
            dimensions=768,
            parameters=109_482_240,
            max_tokens=512,
            normalised=True,
            nested=True,
            query_instruction=_REPRESENT,
            licence="Apache-2.0",
            source="Snowflake/snowflake-arctic-embed-m-v1.5",
        ),
        "Snowflake Arctic Embed medium 1.5, English (2024)",
    ),
    _local(
        EncoderCard(
            "arctic-embed-l-v2.0",
            dimensions=1024,
            parameters=567_754_752,
            max_tokens=8192,
            normalised=True,
            nested=True,
            query_instruction="query: ",
            licence="Apache-2.0",
            source="Snowflake/snowflake-arctic-embed-l-v2.0",
        ),
        "Snowflake Arctic Embed large 2.0, many languages (2024)",
    ),
    _local(
        EncoderCard(
            "nomic-embed-text-v1.5",
            dimensions=768,
            parameters=136_731_648,
            max_tokens=8192,
            nested=True,
            query_instruction="search_query: ",
            licence="Apache-2.0",
            source="nomic-ai/nomic-embed-text-v1.5",
        ),
        "Nomic Embed 1.5 (2024), a prefix before either side",
        item_prefix="search_document: ",
    ),
    _local(
        EncoderCard(
            "embeddinggemma-300m",
            dimensions=768,
            parameters=307_581_696,
            max_tokens=2048,
            normalised=True,
            nested=True,
            query_instruction="task: search result | query: ",
            licence="Gemma",
            source="google/embeddinggemma-300m",
        ),
        "EmbeddingGemma (2025); its licence has to be accepted on the hub",
        item_prefix="title: none | text: ",
    ),
    *(
        _local(
            EncoderCard(
                f"potion-base-{size.lower()}",
                dimensions=dimensions,
                parameters=parameters,
                normalised=True,
                licence="MIT",
                source=f"minishlab/potion-base-{size}",
            ),
            f"Model2Vec (2024), a table of {size} numbers: no transformer to run",
        )
        for size, parameters, dimensions in (
            ("2M", 1_889_792, 64),
            ("4M", 3_779_584, 128),
            ("8M", 7_559_168, 256),
        )
    ),
    behind_address(
        EncoderCard(
            "text-embedding-3-small",
            dimensions=1536,
            max_tokens=8192,
            normalised=True,
            nested=True,
            usd_per_million_tokens=0.02,
            source="OpenAI",
        ),
        "OpenAI's small embedding model (2024)",
        "openai:text-embedding-3-small",
    ),
)

PUBLISHED = tuple(known.card.name for known in _BENCHMARK)
"""The encoders of BLaIR-Bench's table."""

MODELS: dict[str, KnownEncoder] = {known.card.name: known for known in (*_BENCHMARK, *_OPEN)}
"""All of them by name."""

BY_SOURCE = {known.card.source: name for name, known in MODELS.items() if known.hub is not None}
"""Hub names to names."""
