from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tastebench.contracts import EncoderCard
from tastebench.encoders import encode_items, encode_queries
from tastebench.encoders.controls import make_shuffled
from tastebench.encoders.shards import DamagedCacheWarning
from tastebench.encoders.vectors import can_be_shared, encode_share
from tastebench.errors import DataError


class Counting:
    """Letters to vectors; remembers what it was asked, and may fail at one text."""

    def __init__(self, revision: str | None = "1", fail_at: str | None = None) -> None:
        self.card = EncoderCard("counting", revision)
        self.fail_at = fail_at
        self.calls: list[list[str]] = []

    @property
    def asked(self) -> list[str]:
        return [text for call in self.calls for text in call]

    def encode(self, texts, role="item"):
        if self.fail_at in texts:
            raise ConnectionError("the model went away")
        self.calls.append(list(texts))
        return np.array([[len(t), sum(map(ord, t)), role == "query"] for t in texts], dtype=float)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Eight texts a shard, so that 100 texts fill many."""
    monkeypatch.setattr("tastebench.encoders.vectors.CAPACITY", 8)


def encode(encoder, texts, recipe="title"):
    return encode_items(encoder, texts, recipe=recipe)


def kept(home: Path) -> list[Path]:
    return sorted(path for path in home.rglob("*") if path.is_file())


def test_vectors_follow_the_texts_and_lie_on_disk(titles):
    encoded = encode(Counting(), titles)
    np.testing.assert_array_equal(encoded.vectors, Counting().encode(titles).astype(np.float32))
    assert isinstance(encoded.vectors, np.memmap)
    assert encoded.vectors.dtype == np.float32
    assert not encoded.vectors.flags.writeable
    assert encoded.card == EncoderCard("counting", "1", dimensions=3)


def test_equal_texts_are_encoded_once():
    encoder = Counting()
    texts = ["b", "a", "b", "", "b"]
    encoded = encode(encoder, texts)
    assert sorted(encoder.asked) == ["", "a", "b"]
    np.testing.assert_array_equal(encoded.vectors, Counting().encode(texts).astype(np.float32))
    assert (encoded.cost.texts, encoded.cost.texts_encoded) == (5, 3)


def test_the_second_time_nothing_is_encoded_and_the_cost_is_the_first_ones(titles):
    first = encode(Counting(), titles)
    encoder = Counting()
    second = encode(encoder, titles)
    assert encoder.calls == []
    np.testing.assert_array_equal(second.vectors, first.vectors)
    assert not first.cost.cached
    assert second.cost == replace(first.cost, cached=True)
    assert second.cost.texts_per_second == pytest.approx(100 / first.cost.seconds)


def test_a_changed_title_encodes_its_shard_only(titles):
    encode(Counting(), titles)
    changed = [*titles[:40], "a new title", *titles[41:]]
    encoder = Counting()
    encoded = encode(encoder, changed)
    # The shard it left and the one it came to (which may have been divided).
    assert "a new title" in encoder.asked
    assert len(encoder.asked) <= 16
    assert not encoded.cost.cached
    assert encoded.cost.texts_encoded == 100
    np.testing.assert_array_equal(encoded.vectors, Counting().encode(changed).astype(np.float32))


@pytest.mark.parametrize("position", [0, 50, 100])
def test_a_new_item_encodes_its_shard_only(titles, position):
    encode(Counting(), titles)
    encoder = Counting()
    longer = [*titles[:position], "a new title", *titles[position:]]
    encode(encoder, longer)
    assert "a new title" in encoder.asked
    assert len(encoder.asked) <= 9


def test_another_order_encodes_nothing(titles):
    first = encode(Counting(), titles)
    encoder = Counting()
    second = encode(encoder, titles[::-1])
    assert encoder.calls == []
    assert first.key != second.key
    np.testing.assert_array_equal(second.vectors, first.vectors[::-1])


def test_the_key_holds_everything_the_numbers_depend_on(titles):
    class Precise(Counting):
        precision = "bfloat16"

        def prepare(self, texts):
            pass

        def usage(self):
            from tastebench.encoders.hooks import Usage

            return Usage()

    renamed = Counting()
    renamed.card = replace(renamed.card, name="other")
    keys = [
        encode(Counting(), titles).key,
        encode(Counting("2"), titles).key,
        encode(renamed, titles).key,
        encode(Precise(), titles).key,
        encode(Counting(), titles, recipe="title+description").key,
        encode(Counting(), [*titles[:-1], titles[-1] + "."]).key,
        encode(Counting(), titles[:-1]).key,
        encode_queries(Counting(), titles, titles, recipe="title").key,
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 32 for key in keys)


def test_queries_are_encoded_as_queries(titles):
    encoded = encode_queries(Counting(), ["warm socks"], titles, recipe="title")
    assert encoded.vectors[0, 2] == 1


def test_without_a_revision_nothing_is_kept(titles, home):
    first, second = encode(Counting(None), titles), encode(Counting(None), titles)
    assert not second.cost.cached
    assert kept(home) == []
    assert not isinstance(first.vectors, np.memmap)
    assert first.key == second.key
    assert first.key != encode(Counting(None), titles[::-1]).key


def test_a_failed_batch_leaves_nothing_and_the_rest_goes_on_later(titles, home):
    failing = Counting(fail_at=titles[33])
    with pytest.raises(ConnectionError, match="went away"):
        encode(failing, titles)
    files = kept(home)
    assert len(failing.calls) == sum(path.suffix == ".safetensors" for path in files)
    assert not any(path.suffix == ".npy" or path.name.startswith(".tmp") for path in files)
    encoder = Counting()
    encoded = encode(encoder, titles)
    assert sorted(encoder.asked + failing.asked) == sorted(titles)
    np.testing.assert_array_equal(encoded.vectors, Counting().encode(titles).astype(np.float32))


def test_a_killed_process_goes_on_where_it_was(titles, home, tmp_path):
    program = """
        import os, signal, sys
        import numpy as np
        from tastebench.contracts import EncoderCard
        from tastebench.encoders import encode_items, vectors

        vectors.CAPACITY = 8

        class Dying:
            card = EncoderCard("counting", "1")
            calls = 0

            def encode(self, texts, role="item"):
                Dying.calls += 1
                if Dying.calls == 4:
                    os.kill(os.getpid(), signal.SIGKILL)
                return np.array([[len(t), sum(map(ord, t)), 0] for t in texts], dtype=float)

        encode_items(Dying(), sys.argv[1:], recipe="title")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *titles],
        env={**os.environ, "TASTEBENCH_HOME": str(home)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    complete = sum(path.suffix == ".safetensors" for path in kept(home))
    assert complete == 3
    encoder = Counting()
    encoded = encode(encoder, titles)
    assert 0 < len(encoder.asked) < 100
    np.testing.assert_array_equal(encoded.vectors, Counting().encode(titles).astype(np.float32))


def test_a_damaged_shard_is_made_again_with_a_warning(titles, home):
    first = encode(Counting(), titles)
    next(path for path in kept(home) if path.suffix == ".safetensors").write_bytes(b"x" * 500)
    for pointer in home.rglob(f"{first.key}.json"):
        pointer.unlink()
    encoder = Counting()
    with pytest.warns(DamagedCacheWarning):
        second = encode(encoder, titles)
    assert len(encoder.calls) == 1
    np.testing.assert_array_equal(second.vectors, first.vectors)


@pytest.mark.parametrize("damage", ["flip a bit", "truncate", "remove", "pointer"])
def test_a_damaged_matrix_is_put_together_again_with_a_warning(titles, home, damage):
    first = encode(Counting(), titles)
    vectors = np.array(first.vectors)
    matrix = next(path for path in kept(home) if path.suffix == ".npy")
    content = bytearray(matrix.read_bytes())
    if damage == "flip a bit":
        content[-1] ^= 1
        matrix.write_bytes(content)
    elif damage == "truncate":
        matrix.write_bytes(content[:-40])
    elif damage == "remove":
        matrix.unlink()
    else:
        next(home.rglob(f"{first.key}.json")).write_text('{"file": "../../elsewhere.npy"}')
    encoder = Counting()
    with pytest.warns(DamagedCacheWarning):
        second = encode(encoder, titles)
    assert encoder.calls == []
    np.testing.assert_array_equal(second.vectors, vectors)
    assert encode(encoder, titles).cost.cached


def test_what_is_kept_says_what_it_is(titles, home):
    encode(Counting(), titles)
    identity = json.loads(next(home.rglob("identity.json")).read_text())
    assert identity == {
        "format": 1,
        "encoder": "counting",
        "revision": "1",
        "recipe": "title",
        "role": "item",
        "precision": "float32",
    }


def test_processes_side_by_side_make_the_same(titles, home):
    program = textwrap.dedent(
        """
        import sys
        from tastebench.encoders import encode_items, get_encoder
        result = encode_items(get_encoder("random"), sys.argv[1:], recipe="title")
        print(result.key, float(result.vectors.sum()))
        """
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, *titles],
            env={**os.environ, "TASTEBENCH_HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    outputs = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(outputs) == 1
    assert not any(path.name.startswith(".tmp") for path in kept(home))


def test_progress_is_told_after_every_shard(titles):
    seen: list[tuple[int, int]] = []
    encode_items(
        Counting(), titles, recipe="title", progress=lambda done, total: seen.append((done, total))
    )
    assert [total for _, total in seen] == [100] * len(seen)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (100, 100)


def test_bad_numbers_are_named_by_the_callers_row(titles, home):
    class Nan(Counting):
        def encode(self, texts, role="item"):
            vectors = super().encode(texts, role)
            vectors[[text == titles[70] for text in texts], 1] = np.nan
            return vectors

    with pytest.raises(DataError, match="NaN or infinity for 1 of") as caught:
        encode(Nan(), titles)
    assert caught.value.where == f"text 70: {titles[70]!r}"
    assert not any(path.suffix == ".npy" for path in kept(home))


def test_vectors_that_change_width_are_refused(titles):
    class Growing(Counting):
        def encode(self, texts, role="item"):
            self.calls.append(list(texts))
            return np.ones((len(texts), 3 + len(self.calls)))

    with pytest.raises(DataError, match=r"different widths: \[4, 5\]"):
        encode(Growing(), titles)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "no texts"),
        (["a", None], "text 1 is NoneType"),
        (["a", 3.5], "text 1 is float"),
        ("one text", "a list of texts is needed"),
        (["ok", "half \ud83d"], "text 1 is not valid Unicode"),
    ],
)
def test_what_cannot_be_encoded_is_refused(texts, message):
    with pytest.raises(DataError, match=message):
        encode(Counting(), texts)
    with pytest.raises(DataError, match=message):
        encode_queries(Counting(), texts, ["a"], recipe="title")


def test_a_full_disk_is_explained(titles, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(DataError, match="cannot keep vectors: No space left") as caught:
        encode(Counting(), titles)
    assert "TASTEBENCH_HOME" in caught.value.fix


@pytest.mark.parametrize("parts", [1, 3, 50])
def test_shares_are_disjoint_and_together_all_there_is(titles, parts, home, monkeypatch):
    encoders = [Counting() for _ in range(parts)]
    for part, encoder in enumerate(encoders):
        share = slice(part, None, parts)
        encode_share(encoder, titles, "item", recipe="title", share=share)
    asked = [text for encoder in encoders for text in encoder.asked]
    assert sorted(asked) == sorted(titles)
    last = Counting()
    made = encode(last, titles)
    assert last.asked == []
    monkeypatch.setenv("TASTEBENCH_HOME", str(home.with_name("alone")))
    whole = Counting()
    np.testing.assert_array_equal(made.vectors, encode(whole, titles).vectors)
    calls = [call for encoder in encoders for call in encoder.calls]
    assert sorted(calls) == sorted(whole.calls)  # the same texts beside each other


def test_a_share_does_only_what_is_missing_and_says_how_far_it_is(titles):
    said = []
    share = slice(1, None, 2)
    encode_share(Counting(), titles, "item", recipe="title", share=share)
    again = Counting()
    encode_share(
        again,
        titles,
        "item",
        recipe="title",
        share=share,
        progress=lambda done, total: said.append((done, total)),
    )
    assert again.asked == []
    assert said == sorted(said) and said[-1][0] == said[-1][1] < len(titles)


def test_shares_of_a_shuffled_encoder_are_those_of_its_base(titles):
    encode_share(Counting(), titles, "item", recipe="title", share=slice(None))
    base = Counting()
    encode_share(make_shuffled(base, 0), titles, "item", recipe="title", share=slice(None))
    encode(make_shuffled(base, 0), titles)
    assert base.asked == []


def test_what_is_whole_is_not_made_again_where_its_shards_are_gone(titles, home):
    encode(Counting(), titles)
    for path in home.rglob("*.safetensors"):
        path.unlink()
    encoder = Counting()
    encode_share(encoder, titles, "item", recipe="title", share=slice(None))
    assert encoder.asked == []


def test_only_what_is_kept_can_be_shared():
    class Fits(Counting):
        def fitted(self, items):
            return self

    assert can_be_shared(Counting()) and can_be_shared(make_shuffled(Counting(), 0))
    assert not can_be_shared(Counting(revision=None))
    assert not can_be_shared(Fits()) and not can_be_shared(make_shuffled(Fits(), 0))
