"""Training a language model to say yes or no: ours against the Trainer of transformers with peft.

    python benchmarks/llm_tuning.py [--rows 320] [--model FOLDER] [--quick]
                                    [--device cuda] [--shape 0.5b]

The same prompts in the same tokens, the same model (a Qwen2 of 4 layers of width 256, random
weights, or one of the shape of Qwen2.5-0.5B), LoRA of rank 32 on queries and values, Adam at 1e-4,
batches of 64 rows, one thread, CPU seconds of one epoch; on a GPU seconds, and bfloat16 for both.
The peer is what its documentation shows: rows of tokens whose last is the answer, every other label
left out of the loss, padded by its own collator; once as it is and once with rows of like length in
a batch. Ours asks for two logits a row where the peer makes all of them. With all layers but the
last frozen, ours starts from their states, which are computed once; the time of that stands beside
it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefix_sharing import SHAPES, clock, random_qwen2
from tastebench.contracts import CtrProblem, Items, Pairs
from tastebench.data.catalog import load_dataset
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.generative import Generative, prompts_of
from tastebench.recommenders.llm.llm import LLMConfig
from tastebench.recommenders.llm.pairwise import _Rows
from tastebench.training.fit import FabricTrainer

HISTORY = 20
RANK, ALPHA, DROPOUT, BATCH, LR = 32, 128, 0.1, 64, 1e-4


def main() -> None:
    """Prints a Markdown table."""
    options = arguments()
    torch.set_num_threads(1)
    titles = load_dataset("storefront").tables.items["title"].to_list()
    problem = drawn(len(titles), options.rows)
    items = Items(len(titles), text=titles, forms=("text",))
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["TASTEBENCH_HOME"] = f"{temporary}/home"
        model = options.model or random_qwen2(Path(temporary) / "model", titles, options.shape)
        device = options.device
        seconds = "seconds" if device == "cuda" else "CPU seconds"
        print(f"| way | {seconds} | rows/s | times the peer |\n|---|---|---|---|")
        peer = theirs(model, problem, items, device, by_length=False)
        show("Trainer of transformers, peft", peer, options.rows, peer)
        show(
            "the same, rows of like length in a batch",
            theirs(model, problem, items, device, by_length=True),
            options.rows,
            peer,
        )
        show("**ours**", ours(model, problem, items, device)[1], options.rows, peer)
        before, epoch = ours(model, problem, items, device, tune_from=-1)
        show("ours, all layers but the last frozen", epoch, options.rows, peer)
        print(f"| what frozen layers make of all rows, once | {before:.2f} | | |")


def show(name: str, seconds: float, rows: int, peer: float) -> None:
    """Prints a row."""
    print(f"| {name} | {seconds:.2f} | {rows / seconds:.2f} | {peer / seconds:.2f} |", flush=True)


def drawn(n_items: int, rows: int) -> CtrProblem:
    """Histories of 1 to 20 items with four candidates each, half of which are taken."""
    rng = np.random.default_rng(0)
    users = rows // 4
    history = [rng.integers(n_items, size=rng.integers(1, HISTORY + 1)) for _ in range(users)]
    user = np.repeat(np.arange(users), 4)
    item = rng.integers(n_items, size=len(user)).astype(np.int32)
    pairs = Pairs(user, user, item, np.tile([1, 1, 0, 0], users).astype(np.int8), user)
    none = pairs[np.zeros(0, np.int64)]
    return CtrProblem(n_items, users, HISTORY, Ragged.from_lists(history), pairs, none, none)


def ours(
    model: Path, problem: CtrProblem, items: Items, device: str, tune_from: int | None = None
) -> tuple[float, float]:
    """Seconds of getting ready, and of an epoch."""
    config = LLMConfig(
        model=str(model),
        device=device,
        precision="bf16" if device == "cuda" else "fp32",
        tune="lora",
        lora_rank=RANK,
        lora_alpha=ALPHA,
        lora_dropout=DROPOUT,
        tune_from=tune_from,
        lr=LR,
        batch_size=BATCH,
        epochs=1,
    )
    scorer = Generative(config, items, HISTORY)
    began = clock(device)
    rows = _Rows(problem, problem.train, scorer, BATCH)
    ready = clock(device)
    report = FabricTrainer(seed=0).fit(scorer.module, config, rows.epoch, rows.loss)
    assert np.isfinite(report.curve[0]["loss"])
    return ready - began, clock(device) - ready


def theirs(
    model: Path, problem: CtrProblem, items: Items, device: str, *, by_length: bool
) -> float:
    """Seconds of an epoch, its model and its rows being ready."""
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    lora = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=DROPOUT,
        target_modules=["q_proj", "v_proj"],
        task_type="CAUSAL_LM",
    )
    lm = get_peft_model(AutoModelForCausalLM.from_pretrained(model), lora)
    with tempfile.TemporaryDirectory() as out:
        settings = TrainingArguments(
            output_dir=out,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=LR,
            lr_scheduler_type="constant",
            use_cpu=device == "cpu",
            bf16=device == "cuda",
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            **({"train_sampling_strategy": "group_by_length"} if by_length else {}),
        )
        trainer: Any = Trainer(
            model=lm,
            args=settings,
            train_dataset=_answered(model, problem, items),
            data_collator=DataCollatorForSeq2Seq(tokenizer, padding="longest"),
        )
        began = clock(device)
        trainer.train()
        return clock(device) - began


def _answered(model: Path, problem: CtrProblem, items: Items) -> list[dict[str, list[int]]]:
    """Our prompts with the answer behind them, the only token that counts in the loss."""
    scorer = Generative(LLMConfig(model=str(model), device="cpu"), items, HISTORY)
    (one,) = scorer.passes  # Yes and No are a token each
    train = problem.train
    prefixes = scorer.pieces.prefixes(problem.history)
    prompts = prompts_of(scorer.pieces, prefixes, train.context, train.item.astype(np.int64), one)
    answers = [scorer.verbaliser.no.tolist(), scorer.verbaliser.yes.tolist()]
    return [
        {
            "input_ids": [*row.tolist(), *answers[label]],
            "attention_mask": [1] * (len(row) + 1),
            "labels": [-100] * len(row) + answers[label],
        }
        for row, label in zip(prompts.whole(np.arange(len(train))), train.label, strict=True)
    ]


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=320)
    parser.add_argument("--model", type=Path, help="another decoder than the small Qwen2")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="small")
    parser.add_argument("--quick", action="store_true", help="a first look: few rows")
    options = parser.parse_args()
    if options.quick:
        options.rows = min(options.rows, BATCH)
    return options


if __name__ == "__main__":
    main()
