"""Long names made short enough for a table, and still different."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_REMOTE = re.compile(
    r"(?P<prefix>(shuffled:)?(fp16:)?openai:)(?P<model>[^#()]+?)(@https?://[^#()]*)?(?P<options>(#[^()]*)?)"
)

_WORD_END = re.compile("[-/](?=[^-/])")


def shorten(names: Iterable[str], most: int) -> dict[str, str]:
    """Each name to at most `most` characters, itself where it fits.

    Words are dropped from the left; what is then still too long, or a second time the same, is cut
    and numbered.

    >>> shorten(["amazon-2023-video-games", "amazon-2023-all-beauty", "ml-1m"], 12)
    {'amazon-2023-video-games': 'video-games', 'amazon-2023-all-beauty': 'all-beauty', 'ml-1m': 'ml-1m'}
    >>> shorten(["supercalifragilistic", "old-games-shop", "new-games-shop"], 12)
    {'supercalifragilistic': 'supercalif~1', 'old-games-shop': 'games-shop~2', 'new-games-shop': 'games-shop~3'}
    >>> shorten(["recbench/microlens", "blair/video-games"], 12)
    {'recbench/microlens': 'microlens', 'blair/video-games': 'video-games'}
    """  # noqa: E501 - a doctest's result is one line
    short = {name: _last_words(name, most) for name in names}
    counts = Counter(short.values())
    numbered = 0
    for name, one in short.items():
        if counts[one] > 1 or len(one) > most:
            numbered += 1
            sign = f"~{numbered}"
            short[name] = one[: most - len(sign)] + sign
    return short


def last_parts(names: Iterable[str]) -> dict[str, str]:
    """Each name to its last part, `organisation/model` to `model`, unless that fits several.

    A model behind an address is called without the address. What holds a parenthesis is a run,
    `reader(vector, a/x)`, and no path.

    >>> last_parts(["a/x", "shuffled:a/x", "b/y", "c/y"])
    {'a/x': 'x', 'shuffled:a/x': 'shuffled:x', 'b/y': 'b/y', 'c/y': 'c/y'}
    >>> last_parts(["openai:a/x@http://localhost:80/v1#small"])
    {'openai:a/x@http://localhost:80/v1#small': 'openai:x#small'}
    >>> last_parts(["reader(vector, a/x)"])
    {'reader(vector, a/x)': 'reader(vector, a/x)'}
    """
    last = {name: _last_part(name) for name in names}
    counts = Counter(last.values())
    return {name: one if counts[one] == 1 else name for name, one in last.items()}


def _last_words(name: str, most: int) -> str:
    rest = name
    while len(rest) > most and (found := _WORD_END.search(rest)):
        rest = rest[found.end() :]
    return rest


def _last_part(name: str) -> str:
    remote = _REMOTE.fullmatch(name)
    if remote is not None:
        return f"{remote['prefix']}{remote['model'].rsplit('/', 1)[-1]}{remote['options']}"
    first, slash, rest = name.rstrip("/").partition("/")
    prefix = f"{first.partition(':')[0]}:" if ":" in first else ""
    return prefix + rest.rsplit("/", 1)[-1] if slash and "(" not in name else name
