"""Documents in tokens: a vocabulary learned from the train part, and its texts end to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.errors import DataError
from tastebench.items.tokens import first
from tastebench.lm.spelling import Spelling
from tastebench.ragged import Ragged, spans
from tastebench.recommenders.llm.pieces import SHARE, Pieces, concatenated, make_frame, repeated
from tastebench.recommenders.llm.prompt import Prompt, get_prompt

if TYPE_CHECKING:
    from tastebench.build.lm_corpus import Corpus

END = "<|endoftext|>"

HISTORY = 20
"""Items of a document at most, as RecBench's prompts show; longer histories are several."""

# How Qwen2's tokenizer cuts text before it merges: transformers reads the files of a Qwen2 so.
_PRE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def learn_tokenizer(corpus: Corpus, vocabulary: int, folder: Path) -> None:
    """Learns byte pairs from the corpus and writes a tokenizer that transformers reads.

    Args:
        corpus: The train part.
        vocabulary: Tokens at most.
        folder: Where it goes.
    """
    import transformers
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.decoders import ByteLevel as Bytes
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer

    made = Tokenizer(BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PRE), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = Bytes()
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_lines(corpus), trainer)
    make: Any = transformers.PreTrainedTokenizerFast
    make(tokenizer_object=made, eos_token=END, pad_token=END).save_pretrained(folder)


def _lines(corpus: Corpus) -> Iterator[str]:
    """Every item as often as it was taken, at least once, as it stands in a document.

    What is asked with stands before every question, so it counts as often as the most taken item.
    """
    prompt = history_prompt()
    times = np.bincount(corpus.histories.values, minlength=len(corpus.texts))
    for item in corpus.items.tolist():
        line = f" {corpus.texts[item]}"
        for _ in range(max(1, int(times[item]))):
            yield line
    for line in corpus.asked:
        for _ in range(max(1, int(times.max(initial=0)))):
            yield line
    yield prompt.user([corpus.texts[item] for item in corpus.items[:20].tolist()])


def history_prompt() -> Prompt:
    """A history as prompts show it, without anything that is asked."""
    return get_prompt("next-v1").model_copy(update={"instruction": "", "answer": ""})


@dataclass(frozen=True, eq=False)
class Documents:
    """Tokens of all documents.

    Attributes:
        tokens: int32, one list a document, each with the token that ends it.
        histories: How many of them are pieces of histories; those of items come before.
        shortened: Items whose text is cut where it stands in a history.
    """

    tokens: Ragged
    histories: int
    shortened: int

    def stretches(self, which: np.ndarray, context: int) -> np.ndarray:
        """Documents end to end in rows of `context` tokens, int32 `[n, context]`.

        What is left of the last row is filled from the first documents again, so that nothing is
        left out.
        """
        lengths = self.tokens.lengths[which]
        stream = self.tokens.values[spans(self.tokens.offsets[:-1][which], lengths)]
        missing = -len(stream) % context
        return np.resize(stream, len(stream) + missing).reshape(-1, context)


def documents_of(corpus: Corpus, folder: Path, context: int) -> Documents:
    """The corpus in the tokens of the tokenizer in a folder.

    Raises:
        DataError: transformers reads the tokenizer otherwise than it was learned.
    """
    import transformers
    from tokenizers import Tokenizer

    load: Any = transformers.AutoTokenizer
    tokenizer = load.from_pretrained(str(folder), local_files_only=True)
    learned = Tokenizer.from_file(str(folder / "tokenizer.json"))
    spelling = Spelling(tokenizer, folder.name)
    lines = [corpus.texts[item] for item in corpus.items.tolist()]
    for line in lines[:100]:
        if tokenizer(line)["input_ids"] != learned.encode(line).ids:
            raise DataError(
                "this transformers reads the tokenizer otherwise than it was learned",
                where=repr(line[:80]),
                fix="pip install -U transformers",
            )
    words = spelling.texts(lines, lambda row: f"item {corpus.items[row]}")
    every = Ragged.from_lengths(
        words.values, _scattered(words.lengths, corpus.items, len(corpus.texts))
    )
    frame = make_frame(history_prompt(), spelling, HISTORY, chat=False)
    pieces = Pieces.of(
        frame, every, context - 1, answer=0, with_candidate=False, name_of=lambda row: f"item {row}"
    )
    around = int(frame.numbers.lengths.max()) + len(frame.entry_end)
    room = context - 1 - len(frame.head) - len(frame.end) - len(frame.last)
    fitting = fitted(corpus.histories, pieces.items.lengths + around, room)
    histories = pieces.prefixes(fitting).tokens
    items = first(words, context // SHARE * (SHARE - 1))
    both = Ragged.from_lengths(
        np.concatenate([items.values, histories.values]),
        np.concatenate([items.lengths, histories.lengths]),
    )
    end = np.array([tokenizer.eos_token_id], dtype=np.int32)
    return Documents(
        tokens=concatenated(both, repeated(end, len(both))),
        histories=len(histories),
        shortened=int(pieces.cut.sum()),
    )


def fitted(sequences: Ragged, cost: np.ndarray, room: int) -> Ragged:
    """Sequences cut from their ends into pieces of at most `HISTORY` items that have room.

    Args:
        sequences: Lists of items.
        cost: Tokens of each item, none with more than `room`, int64 `[n_items]`.
        room: Tokens of a piece.
    """
    total = np.concatenate([[0], np.cumsum(cost[sequences.values])])
    some = sequences.lengths > 0
    begin, end = sequences.offsets[:-1][some], sequences.offsets[1:][some]
    ends, lengths = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    while len(end):
        start = np.maximum(np.searchsorted(total, total[end] - room), end - HISTORY)
        start = np.maximum(start, begin)
        ends.append(end)
        lengths.append(end - start)
        left = start > begin
        begin, end = begin[left], start[left]
    return Ragged.windows(sequences.values, np.concatenate(ends), np.concatenate(lengths))


def _scattered(values: np.ndarray, at: np.ndarray, n: int) -> np.ndarray:
    out = np.zeros(n, dtype=np.int64)
    out[at] = values
    return out
