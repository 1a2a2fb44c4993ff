"""Texts to tokens: words learnt from a catalogue, or the pieces of a language model's tokenizer.

Token 0 is padding and stands for nothing. Everything is done over many texts at once; a column of
100,000 titles takes about a second.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, repeat
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from tastebench.errors import DataError, UsageError, did_you_mean
from tastebench.files import hash_file, hash_json
from tastebench.ragged import Ragged, spans

Unknown = Literal["keep", "drop"]

PADDING = 0
UNKNOWN = 1
"""The token of words that are not in the vocabulary, where they are kept."""

# Scripts without spaces between words: a letter is the unit, as in BERT.
_LETTER = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
# Between texts that are read together: no text of people holds it, and no normal form changes it.
_END = "\0"
_UNIT = re.compile(rf"{_END}|[{_LETTER}]|[^\W{_LETTER}]+(?:['\u2019][^\W{_LETTER}]+)*")
_CHUNK = 65536


class Tokenizer(Protocol):
    """Texts to tokens."""

    @property
    def size(self) -> int:
        """Number of tokens, padding among them: every token is below it."""
        ...

    def encode(self, texts: Sequence[str], max_length: int) -> Ragged:
        """At most the first `max_length` tokens of each text, int32, 1 or more each."""
        ...


@dataclass(frozen=True, eq=False)
class WordTokenizer:
    """Lower-cased words, of a vocabulary that was learnt from texts.

    A word is a run of letters and digits, in one with what follows an apostrophe; Chinese and
    Japanese letters are words by themselves. Texts are brought to the normal form NFKC first, so
    that equal-looking letters are equal.

    Attributes:
        words: The vocabulary in the order of its tokens; the first is token 2.
        unknown: Whether words outside of it become token 1 or are left out.
    """

    words: tuple[str, ...]
    unknown: Unknown = "drop"

    @classmethod
    def learn(
        cls,
        texts: Sequence[str],
        *,
        min_count: int = 1,
        most: int = 30_000,
        unknown: Unknown = "drop",
    ) -> WordTokenizer:
        """The vocabulary of some texts, the most frequent words first, equals by the alphabet.

        Args:
            texts: What is learnt from; items that training knows, and no others.
            min_count: A word occurs so often, or is unknown.
            most: Words at most.
            unknown: Whether unknown words are kept as one token or left out.
        """
        counts: Counter[str] = Counter()
        for units in _units(texts):
            counts.update(units)
        del counts[_END]
        frequent = [(-count, word) for word, count in counts.items() if count >= min_count]
        return cls(tuple(word for _, word in sorted(frequent)[:most]), unknown)

    @property
    def size(self) -> int:
        """Number of tokens: words, the unknown word and padding."""
        return len(self.words) + 2

    def encode(self, texts: Sequence[str], max_length: int) -> Ragged:
        """The first `max_length` tokens of each text; with `unknown="drop"`, known ones."""
        # The end of a text is no token; it is marked by -1 and taken out below.
        token = dict(zip(self.words, range(2, len(self.words) + 2), strict=True)) | {_END: -1}
        other = UNKNOWN if self.unknown == "keep" else PADDING
        parts, lengths = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for units in _units(texts):
            ids = np.fromiter(map(token.get, units, repeat(other)), np.int32, len(units))
            ids = ids[ids != PADDING]
            ends = np.flatnonzero(ids < 0)
            parts.append(np.delete(ids, ends))
            lengths.append(np.diff(ends, prepend=-1) - 1)
        whole = Ragged.from_lengths(np.concatenate(parts), np.concatenate(lengths))
        return first(whole, max_length)


class ModelTokenizer:
    """The tokenizer of a language model in a folder; nothing is downloaded and no code of it runs.

    Its tokens are shifted by one, as 0 is padding here. Special tokens are not added.

    Args:
        folder: Holds `tokenizer.json`, or what `transformers` needs to load a tokenizer.
        unknown: Whether tokens that stand for the unknown are kept or left out; most of today's
            tokenizers know everything.

    Raises:
        DataError: The folder holds no tokenizer that can be read.
    """

    def __init__(self, folder: str | Path, *, unknown: Unknown = "drop") -> None:
        path = Path(folder).expanduser()
        self._pieces, vocabulary, unknown_token = _load(path)
        self.size = max(vocabulary.values(), default=-1) + 2
        lost = vocabulary.get(unknown_token) if unknown_token is not None else None
        self._left_out = lost if unknown == "drop" else None

    def encode(self, texts: Sequence[str], max_length: int) -> Ragged:
        """The first `max_length` tokens of each text."""
        parts, lengths = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for start in range(0, len(texts), _CHUNK):
            pieces = self._pieces(list(texts[start : start + _CHUNK]))
            length = np.fromiter(map(len, pieces), np.int64, len(pieces))
            flat = np.fromiter(chain.from_iterable(pieces), np.int32, int(length.sum()))
            if self._left_out is not None:
                kept = flat != self._left_out
                text = np.repeat(np.arange(len(length)), length)
                length = np.bincount(text[kept], minlength=len(length))
                flat = flat[kept]
            part = first(Ragged.from_lengths(flat + 1, length), max_length)
            parts.append(part.values)
            lengths.append(part.lengths)
        return Ragged.from_lengths(np.concatenate(parts), np.concatenate(lengths))


def tokenizer_revision(folder: str | Path) -> str:
    """What identifies the tokenizer in a folder: a hash of the files that it is read from.

    Raises:
        DataError: There is no such folder.
    """
    path = _folder(Path(folder).expanduser())
    whole = path / "tokenizer.json"
    words = (one for one in path.iterdir() if one.suffix in {".json", ".txt", ".model"})
    files = [whole] if whole.is_file() else sorted(words)
    return hash_json([[one.name, hash_file(one)] for one in files])


def columns_as_tokens(
    columns: Mapping[str, Sequence[str]],
    tokenizer: Tokenizer,
    max_length: Mapping[str, int],
    categories: Collection[str] = (),
    taught: np.ndarray | None = None,
) -> tuple[dict[str, np.ndarray], int]:
    """Text columns as matrices of tokens of one vocabulary.

    Args:
        columns: Column name to a text an item; empty where there is none.
        tokenizer: For columns of words.
        max_length: Tokens kept of each column of words, the first ones.
        categories: Columns whose whole text is one token, of a range of its own after the
            tokenizer's.
        taught: Items whose categories are learnt, bool `[n]`; None is all. A category that none of
            them has is padding, as nothing could be learnt about it.

    Returns:
        Matrices int32 `[n, longest]`, 0 in the padding, 1 wide for categories; and the number of
        tokens. A column without a token is left out.

    Raises:
        UsageError: A category is none of the columns.
    """
    for name in categories:
        if name not in columns:
            raise UsageError(
                f"there is no text column {name!r} to be read as a category: "
                f"{did_you_mean(name, columns)}"
            )
    tokens, size = {}, tokenizer.size
    for name, texts in columns.items():
        if name in categories:
            tokens[name], size = _category(texts, size, taught)
        else:
            ragged = tokenizer.encode(texts, max_length[name])
            tokens[name] = ragged.padded(int(ragged.lengths.max(initial=0)), fill=PADDING)
    return {name: matrix for name, matrix in tokens.items() if matrix.any()}, size


def first(lists: Ragged, k: int) -> Ragged:
    """The first `k` values of every list; shorter lists whole."""
    lengths = np.minimum(lists.lengths, k)
    return Ragged.from_lengths(lists.values[spans(lists.offsets[:-1], lengths)], lengths)


def _units(texts: Sequence[str]) -> Iterator[list[str]]:
    """Words of the texts, chunk by chunk, in one list, `_END` after each text."""
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        joined = _END.join(chunk) + _END
        if joined.count(_END) != len(chunk):
            joined = _END.join(text.replace(_END, " ") for text in chunk) + _END
        # Lower case after the normal form: that makes capitals of letters in frames and the like.
        yield _UNIT.findall(unicodedata.normalize("NFKC", joined).lower())


def _category(
    texts: Sequence[str], begin: int, taught: np.ndarray | None
) -> tuple[np.ndarray, int]:
    """A token an item, int32 `[n, 1]`, and the first free token; categories in the alphabet."""
    known = set(texts) if taught is None else set(compress(texts, taught))
    token = {text: begin + i for i, text in enumerate(sorted(known - {""}))}
    ids = np.fromiter(map(token.get, texts, repeat(PADDING)), np.int32, len(texts))
    return ids[:, None], begin + len(token)


_Pieces = Callable[[list[str]], list[list[int]]]


def _load(path: Path) -> tuple[_Pieces, dict[str, int], str | None]:
    """Texts to ids without special tokens, the vocabulary, and the unknown token if any."""
    if (_folder(path) / "tokenizer.json").is_file():
        return _load_fast(path)
    return _load_transformers(path)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise DataError(
            f"there is no tokenizer folder {path.name!r}",
            where=str(path.absolute()),
            fix="give the path of a folder with tokenizer.json, or tokenizer: word",
        )
    return path


def _load_fast(path: Path) -> tuple[_Pieces, dict[str, int], str | None]:
    import json

    from tokenizers import Tokenizer as FastTokenizer

    try:
        tokenizer = FastTokenizer.from_file(str(path / "tokenizer.json"))
    except Exception as error:
        # tokenizers raises bare Exception for a broken file.
        if type(error) is not Exception:
            raise
        raise _unreadable(path, error) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def pieces(texts: list[str]) -> list[list[int]]:
        encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    model = json.loads(tokenizer.to_str())["model"]
    unknown = model.get("unk_token")
    if unknown is None and model.get("unk_id") is not None:
        unknown = tokenizer.id_to_token(model["unk_id"])
    return pieces, tokenizer.get_vocab(), unknown


def _load_transformers(path: Path) -> tuple[_Pieces, dict[str, int], str | None]:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(path), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError) as error:
        raise _unreadable(path, error) from error

    def pieces(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        return ids

    return pieces, tokenizer.get_vocab(), tokenizer.unk_token


def _unreadable(path: Path, reason: object) -> DataError:
    return DataError(
        f"cannot load the tokenizer {path.name!r}: {str(reason).splitlines()[0]}",
        where=str(path.absolute()),
        fix="give a folder with tokenizer.json, as tokenizer.save_pretrained(folder) writes it",
    )
