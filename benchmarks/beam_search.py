"""The 20 best of 10,000 items by beam search over their codes, against Hugging Face `generate`.

    python benchmarks/beam_search.py [--batches 1 32] [--repeats 15] [--peer-repeats 3] [--quick]

Histories of 20 items of 4 codes out of 256 (80 tokens), 20 beams, one thread; networks of one size,
their weights drawn, and large enough that some codes are likelier than others. A request is
everything from the items of a history to a list of items. Sides take turns; milliseconds are CPU
time a user, which another process on the machine disturbs less than the clock.

- Peer: `generate(num_beams=20, prefix_allowed_tokens_fn=...)` of a Llama of 4 layers x 128, and of
  a T5 of 4 + 4; the function looks up what may follow in a dictionary of beginnings. Free: without.
- Ours: `sid-sasrec` and `tiger` at the same sizes. `level` normalises over the level, which is what
  the peer does, and so asks the network at every level; `children` over what leads to an item, and
  does not ask where one path is left.

Codes are drawn, so that items seldom share more than two (`drawn`), or learned by residual k-means
from vectors of a mixture, so that many share two and some three (`learned`). That the search
finds what the peer finds is checked first, on the peer's own network.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tastebench.contracts import Items, SeqProblem, Targets
from tastebench.items.beam import Mode, Over, rank_items, search
from tastebench.items.semantic_ids.ids import make_ids
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.items.trie import Trie
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.seqrec.generative import Asking
from tastebench.recommenders.seqrec.sid_sasrec_network import sid_sasrec_network
from tastebench.recommenders.seqrec.tiger_network import tiger_network

LEVELS, SIZE, HISTORY, BEAMS = 4, 256, 20, 20
WIDTH, HEADS, LAYERS, INNER = 128, 4, 4, 512
T5_HEADS, T5_HEAD, T5_INNER = 6, 64, 1024
WEIGHTS = 0.15  # their standard deviation
SPECIAL = 2  # padding, and the start of a sequence

Request = Callable[[np.ndarray], np.ndarray]
"""Histories `[b, HISTORY]` to lists of items `[b, BEAMS]`; -1 for a path of no item."""


def main() -> None:
    """Prints a Markdown table for each kind of codes."""
    options = arguments()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    for kind in options.codes:
        codes = catalogue(kind, options.items, rng)
        trie = Trie.of(codes)
        print(f"\n{kind}: {options.items:,} items, {trie.widths} paths by level\n")
        check(codes[:, :LEVELS], rng)
        print("| ms a user | " + " | ".join(f"batch {b}" for b in options.batches) + " |")
        print("|---" * (1 + len(options.batches)) + "|")
        sides = dict(ours(codes))
        if kind == "drawn":
            sides |= dict(peers(codes))
        columns = [times(sides, b, options, rng) for b in options.batches]
        for name in sides:
            print(f"| {name} | " + " | ".join(f"{column[name]:.1f}" for column in columns) + " |")


def times(
    sides: dict[str, Request], b: int, options: argparse.Namespace, rng: np.random.Generator
) -> dict[str, float]:
    """Median CPU milliseconds a user of each side, turn by turn."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(options.repeats + 1):
        history = rng.integers(0, options.items, (b, HISTORY))
        for name, request in sides.items():
            if name.startswith("Hugging Face") and turn > options.peer_repeats:
                continue
            began = time.process_time()
            request(history)
            spent[name].append(1000 * (time.process_time() - began) / b)
    return {name: median(values[1:]) for name, values in spent.items()}


def catalogue(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Codes of `n` items, all paths different."""
    if kind == "drawn":
        drawn = make_ids(CodeRecipe(method="random", levels=LEVELS, size=SIZE), None, n)
        return drawn.values
    # Topics within topics: items alike share how their paths begin.
    vectors = rng.standard_normal((n, 64))
    for groups, spread in ((30, 6.0), (600, 3.0), (4000, 1.5)):
        centres = spread * rng.standard_normal((groups, 64))
        vectors += centres[(rng.beta(0.6, 2, n) * groups).astype(int)]
    recipe = CodeRecipe(method="rk-means", levels=LEVELS, size=SIZE)
    return make_ids(recipe, vectors.astype(np.float32), n).values


# ----------------------------------------------------------------------------------------- ours


def ours(codes: np.ndarray) -> Iterator[tuple[str, Request]]:
    """Our networks and ways to search."""
    n = len(codes)
    trie, items = Trie.of(codes), Items(n, code=codes, forms=("code",))
    empty = Ragged.from_lists([])
    nobody = Targets(np.empty(0, np.int64), empty, np.empty(0, np.int32), np.empty(0, np.int64))
    problem = SeqProblem(n, 1, HISTORY, Ragged.from_lists([[0, 1]]), nobody, nobody)
    sizes: dict[str, Any] = {"hidden_size": WIDTH, "layers": LAYERS}
    torch.manual_seed(0)
    decoder_config: Any = get_recommender("sid-sasrec").config(
        **sizes, heads=HEADS, inner_size=INNER
    )
    decoder = sid_sasrec_network(decoder_config, problem, items).eval()
    t5_config: Any = get_recommender("tiger").config(
        **sizes, heads=T5_HEADS, head_size=T5_HEAD, inner_size=T5_INNER
    )
    both = tiger_network(t5_config, problem, items).eval()
    for weight in [*decoder.parameters(), *both.parameters()]:
        if weight.dim() > 1:
            weight.data.mul_(WEIGHTS / weight.std())
    ways: list[tuple[str, Any, Mode, Over]] = [
        ("**sid-sasrec, constrained, over children** (to reach: 12; 6)", decoder,
         "constrained", "children"),
        ("sid-sasrec, constrained, over the level", decoder, "constrained", "level"),
        ("sid-sasrec, free", decoder, "free", "level"),
        ("**tiger, constrained, over children**", both, "constrained", "children"),
        ("tiger, constrained, over the level", both, "constrained", "level"),
        ("tiger, free", both, "free", "level"),
    ]  # fmt: skip
    for name, network, mode, over in ways:
        yield name, our_request(network, trie, mode, over)


def our_request(network: Any, trie: Trie, mode: Mode, over: Over) -> Request:
    """From histories to items."""

    def request(history: np.ndarray) -> np.ndarray:
        b = len(history)
        asking = Asking(torch.from_numpy(history), torch.full((b,), HISTORY), None, even=True)
        with torch.inference_mode():
            beams = search(network.read(asking), trie, b, BEAMS, mode=mode, over=over)
        return rank_items(beams, trie, BEAMS).items

    return request


# ---------------------------------------------------------------------------------------- peers


def peers(codes: np.ndarray) -> Iterator[tuple[str, Request]]:
    """Hugging Face models of the same sizes."""
    try:
        import transformers
    except ImportError:
        print("Hugging Face: transformers is not installed")
        return
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    vocabulary = SPECIAL + LEVELS * SIZE
    llama = llama_of(vocabulary)
    t5 = transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=vocabulary,
            d_model=WIDTH,
            d_kv=T5_HEAD,
            d_ff=T5_INNER,
            num_layers=LAYERS,
            num_heads=T5_HEADS,
            pad_token_id=0,
            eos_token_id=None,
            decoder_start_token_id=1,
        )
    ).eval()
    for name, model in (("Llama", llama), ("T5", t5)):
        for free in (False, True):
            what = "free" if free else "prefix_allowed_tokens_fn"
            yield f"Hugging Face {name}, {what}", peer_request(model, codes, free=free)


def llama_of(vocabulary: int) -> Any:
    """A decoder of our size."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, pad_token_id=0, bos_token_id=1, eos_token_id=None,
        initializer_range=WEIGHTS,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


def tokens_of(codes: np.ndarray) -> np.ndarray:
    """Codes `[..., LEVELS]` as tokens of one vocabulary."""
    tokens: np.ndarray = codes + SPECIAL + SIZE * np.arange(LEVELS)
    return tokens


def prompts(tokens: np.ndarray, history: np.ndarray) -> Tensor:
    """A start and the tokens of the histories, int64 `[b, 1 + HISTORY * LEVELS]`."""
    spelt = tokens[history].reshape(len(history), -1)
    return torch.from_numpy(np.pad(spelt, ((0, 0), (1, 0)), constant_values=1))


def generated(model: Any, tokens: np.ndarray, history: np.ndarray, free: bool) -> Any:
    """What `generate` returns, constrained by a dictionary of beginnings."""
    return model.generate(
        prompts(tokens, history),
        attention_mask=torch.ones(len(history), 1 + HISTORY * LEVELS, dtype=torch.int64),
        num_beams=BEAMS,
        num_return_sequences=BEAMS,
        max_new_tokens=LEVELS,
        do_sample=False,
        length_penalty=0.0,
        output_scores=True,
        return_dict_in_generate=True,
        prefix_allowed_tokens_fn=None if free else allowed(model, tokens),
    )


_ALLOWED: dict[tuple[int, bool], Any] = {}


def allowed(model: Any, tokens: np.ndarray) -> Callable[[int, Tensor], list[int]]:
    """What may follow, by a dictionary that is made once."""
    key = (id(tokens), bool(model.config.is_encoder_decoder))
    if key not in _ALLOWED:
        after: dict[tuple[int, ...], set[int]] = {}
        for path in tokens.tolist():
            for level, token in enumerate(path):
                after.setdefault(tuple(path[:level]), set()).add(token)
        lists = {beginning: sorted(following) for beginning, following in after.items()}
        begin = 1 if key[1] else 1 + HISTORY * LEVELS
        _ALLOWED[key] = lambda _, sequence: lists[tuple(sequence[begin:].tolist())]
    return _ALLOWED[key]  # type: ignore[no-any-return]


def peer_request(model: Any, codes: np.ndarray, *, free: bool) -> Request:
    """From histories to items."""
    tokens = tokens_of(codes)
    item_of = {tuple(path): item for item, path in enumerate(tokens.tolist())}

    def request(history: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            sequences = generated(model, tokens, history, free).sequences[:, -LEVELS:]
        items = [item_of.get(tuple(path), -1) for path in sequences.tolist()]
        return np.array(items).reshape(len(history), BEAMS)

    return request


def check(codes: np.ndarray, rng: np.random.Generator) -> None:
    """The peer's own network, searched by us and by the peer: the same paths and scores.

    The peer normalises over its whole vocabulary, so here every level has the whole of it.
    """
    torch.manual_seed(1)
    model = llama_of(SPECIAL + LEVELS * SIZE)
    tokens = tokens_of(np.unique(codes, axis=0))
    history = rng.integers(0, len(tokens), (3, HISTORY))
    begun = prompts(tokens, history)
    written = begun[:, None]

    def step(level: int, chosen: Tensor | None, parents: Tensor | None) -> Tensor:
        nonlocal written
        if chosen is not None and parents is not None:
            before = written.take_along_dim(parents[..., None], dim=1)
            written = torch.cat([before, chosen[..., None]], dim=2)
        logits: Tensor = model(written.flatten(0, 1)).logits[:, -1]
        return logits if chosen is None else logits.view(len(written), -1, logits.shape[-1])

    trie = Trie.of(tokens, [model.config.vocab_size] * LEVELS)
    with torch.inference_mode():
        beams = search(step, trie, len(history), BEAMS, over="level")
        peer = generated(model, tokens, history, free=False)
    same = beams.path.flatten(0, 1) == peer.sequences[:, -LEVELS:]
    apart = (beams.score.flatten() - peer.sequences_scores).abs().max()
    print(
        f"same paths as the peer: {same.all(dim=1).double().mean():.1%}; scores apart {apart:.1e}\n"
    )


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument(
        "--codes", nargs="+", choices=["drawn", "learned"], default=["drawn", "learned"]
    )
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--peer-repeats", type=int, default=3, help="of Hugging Face, which is slow"
    )
    parser.add_argument("--quick", action="store_true", help="a hundred items, two repeats")
    options = parser.parse_args()
    if options.quick:
        options.items, options.repeats, options.peer_repeats = 100, 2, 1
    return options


if __name__ == "__main__":
    main()
