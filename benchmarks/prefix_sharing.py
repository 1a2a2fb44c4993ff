"""What reading a user's prompt once for all candidates saves, against one whole prompt a pair.

    python benchmarks/prefix_sharing.py [--users 20] [--candidates 20] [--model FOLDER] [--quick]
                                        [--device cuda] [--shape 0.5b]

The same model, items, users and prompt, one thread, the ways in turn, CPU seconds; on a GPU
seconds. The model is a Qwen2 of 4 layers of width 256, or of the shape of Qwen2.5-0.5B, with random
weights and at most 8,192 byte pairs, learnt from the titles of the embedded shop; weights change no
time. That the scores are equal to 1e-4 is checked
before a time is printed. Plain forward passes of the model over the same padded batches say what
reading prompts costs anybody.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from tastebench.contracts import Items
from tastebench.data.catalog import load_dataset
from tastebench.lm.batches import token_batches, token_budget
from tastebench.lm.padded import Padded
from tastebench.lm.prefix import Prompts
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.generative import Generative, prompts_of
from tastebench.recommenders.llm.llm import LLMConfig

HISTORY = 20


def main() -> None:
    """Prints a Markdown table."""
    options = arguments()
    torch.set_num_threads(1)
    titles = load_dataset("storefront").tables.items["title"].to_list()
    with tempfile.TemporaryDirectory() as temporary:
        model = options.model or random_qwen2(Path(temporary), titles, options.shape)
        config = LLMConfig(model=str(model), device=options.device)
        scorer = Generative(config, Items(len(titles), text=titles, forms=("text",)), HISTORY)
    seconds = "seconds" if options.device == "cuda" else "CPU seconds"
    print(f"| askers x candidates | way | {seconds} | times | tokens/s |\n|---|---|---|---|---|")
    for users, candidates in ((options.users, options.candidates), (options.users * 4, 1)):
        compare(scorer, *draw(len(titles), users, candidates), options.repeats)


def clock(device: str) -> float:
    """Seconds that count: of the CPU where that computes, else until a GPU has nothing left."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


SHAPES = {"small": (256, 1024, 4, 4, 4), "0.5b": (896, 4864, 24, 14, 2)}
"""Width, width inside, layers, heads, heads of keys and values."""


def random_qwen2(folder: Path, titles: list[str], shape: str = "small") -> Path:
    """A Qwen2 as it is made, and byte pairs of titles and of the words of a prompt."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8192,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    from tastebench.recommenders.llm.prompt import get_prompt

    told = get_prompt("yes-no-v1")
    words.train_from_iterator([*titles, *[f"{told.user([])} Yes No"] * 3], trainer)
    made: Any = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|endoftext|>")
    made.save_pretrained(folder)
    torch.manual_seed(0)
    hidden, inner, layers, heads, key_heads = SHAPES[shape]
    config = Qwen2Config(
        vocab_size=8192,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def draw(n_items: int, users: int, candidates: int) -> tuple[Ragged, np.ndarray, np.ndarray]:
    """Histories of 20 items, and the asker and the item of each pair."""
    rng = np.random.default_rng(0)
    history = Ragged.from_lists(rng.integers(n_items, size=(users, HISTORY)))
    asker = np.repeat(np.arange(users), candidates)
    return history, asker, rng.integers(n_items, size=users * candidates)


def compare(
    scorer: Generative, history: Ragged, asker: np.ndarray, item: np.ndarray, repeats: int
) -> None:
    """Prints what each way takes.

    Raises:
        AssertionError: Two ways do not agree.
    """
    prefixes = scorer.pieces.prefixes(history)
    prompts = [prompts_of(scorer.pieces, prefixes, asker, item, one) for one in scorer.passes]
    read = sum(int(some.lengths.sum()) for some in prompts)

    def ours(share: bool) -> Callable[[], np.ndarray]:
        def score() -> np.ndarray:
            scorer.reader.share = share
            return scorer.score(history, asker, item)

        return score

    ways: dict[str, Callable[[], Any]] = {
        "plain forward passes over whole prompts, all logits": lambda: plain(scorer, prompts),
        "whole prompts": ours(False),
        "**what is shared read once**": ours(True),
    }
    scores = [ways[name]() for name in list(ways)[1:]]  # also warms up, and checks the model
    device = scorer.reader.device.type
    # A GPU sums in another order for another shape of batch, and this one in TensorFloat-32.
    np.testing.assert_allclose(scores[1], scores[0], rtol=0, atol=1e-4 if device == "cpu" else 1e-2)
    assert scores[0].std() > 0, "all candidates score alike"
    assert scorer.reader.shares or len(np.unique(asker)) == len(asker)
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = clock(device)
            way()
            spent[name].append(clock(device) - began)
    whole = median(spent["whole prompts"])
    for name, times in spent.items():
        seconds = median(times)
        shape = f"{len(history)} x {len(item) // len(history)}, {read / len(item):.0f} tokens"
        print(
            f"| {shape} | {name} | {seconds:.2f} | {whole / seconds:.2f} | {read / seconds:,.0f} |"
        )
    print(f"| | largest difference of two scores | {np.abs(scores[1] - scores[0]).max():.1e} | | |")


def plain(scorer: Generative, prompts: list[Prompts]) -> None:
    """The model itself over the batches that whole prompts are read in."""
    device = scorer.reader.device
    with torch.inference_mode():
        for some in prompts:
            for rows in token_batches(some.lengths, token_budget(device.type)):
                whole = some.whole(rows)
                texts = Padded(whole.values, whole.offsets)
                ids, mask = texts.take(np.arange(len(rows)), device)
                scorer.headed.model(input_ids=ids.long(), attention_mask=mask.long())


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--model", type=Path, help="another decoder than the small Qwen2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="small")
    parser.add_argument("--quick", action="store_true", help="a first look: few users, once")
    options = parser.parse_args()
    if options.quick:
        options.users, options.repeats = 4, 1
    return options


if __name__ == "__main__":
    main()
