"""A small language model of one shop, trained from nothing on the train part of its data.

Qwen2's architecture with weights from scratch; transformers loads the folder like any other model.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench import files
from tastebench.alone import alone
from tastebench.build.lm_about import (
    ABOUT,
    ROWS,
    About,
    LMRecipe,
    LMSettings,
    Source,
    check_files,
    is_trained_here,
    part_of,
    read_about,
)
from tastebench.build.lm_corpus import Corpus, asked_in, corpus_of
from tastebench.build.progress import Say
from tastebench.errors import DataError, UsageError, counted
from tastebench.lm.load import quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tastebench.build.lm_tokens import Documents
    from tastebench.contracts import FitReport
    from tastebench.data.dataset import Dataset
    from tastebench.tasks import TaskProtocol

LM = 1
"""Raised when the same recipe comes to give another model of the same data."""

HELD_OUT = 20
"""One document in so many is held out, to see when to stop."""


@dataclass(frozen=True)
class Order:
    """What model is wanted, of what.

    Attributes:
        recipe: Its shape.
        settings: How it is trained.
        dataset: Whose train part.
        protocol: What cuts it.
        text_recipe: How items are put into words; None for the dataset's own.
        seed: Of weights and batches.
        threads: CPU threads: sums in another order are other numbers.
    """

    recipe: LMRecipe
    settings: LMSettings
    dataset: Dataset
    protocol: TaskProtocol
    text_recipe: str | None
    seed: int
    threads: int

    @property
    def hash(self) -> str:
        """Identifies all that the model depends on, 32 hex digits."""
        from tastebench.data.text import left_open

        card = self.dataset.card
        recipe = self.text_recipe or card.text_recipe
        return files.hash_json(
            {
                "lm": LM,
                "recipe": self.recipe.model_dump(mode="json"),
                "settings": self.settings.model_dump(mode="json"),
                "dataset": self.dataset.fingerprint,
                "part": part_of(self.protocol),
                "history_length": self.protocol.history_length,
                "asked": asked_in(self.dataset, self.protocol),
                "text": [recipe, left_open(self.dataset.tables.items, recipe, card.text_columns)],
                "seed": self.seed,
                "threads": self.threads,
            },
            32,
        )

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return lm_folder() / self.hash


def lm_folder() -> Path:
    """Where language models that were trained here are kept, a folder each."""
    return files.home() / "artefacts" / "lm"


def make_lm(order: Order, progress: Say | None = None) -> tuple[Path, About]:
    """The model that is wanted: the one kept from before, or a new one that is kept.

    An interrupted training goes on where it was.

    Raises:
        UsageError: The shape cannot be, or the task has no order.
        DataError: There is nothing to learn from, or it cannot be written.
    """
    say = progress or (lambda line: None)
    check(order.recipe)
    folder = order.folder
    kept = _kept(folder, say)
    if kept is not None:
        # Of a process that was killed at its very end.
        shutil.rmtree(_work_of(folder), ignore_errors=True)
        return folder, kept
    lock = folder.with_name(f".{folder.name}.lock")
    with alone(lock, lambda: say("another process makes the same: waiting for it")):
        kept = _kept(folder, say)
        if kept is None:
            _make(order, say)
            kept = read_about(folder)
    return folder, kept


def check(recipe: LMRecipe) -> None:
    """Refuses shapes that cannot be.

    Raises:
        UsageError: The heads do not divide the width into even parts.
    """
    if recipe.hidden_size % (2 * recipe.heads):
        raise UsageError(
            f"{recipe.heads} heads of a width of {recipe.hidden_size} have no even width each",
            fix="--hidden-size a multiple of twice --heads",
        )


def parameters_of(recipe: LMRecipe, vocabulary: int) -> int:
    """Numbers that a model has: words, and per layer attention, feed-forward and two norms."""
    h, groups = recipe.hidden_size, _groups(recipe)
    narrow = h // recipe.heads * groups
    attention = h * h + h + 2 * (h * narrow + narrow) + h * h
    layer = attention + 3 * h * recipe.inner_size + 2 * h
    return vocabulary * h + recipe.layers * layer + h


def _groups(recipe: LMRecipe) -> int:
    return recipe.heads // 2 if recipe.heads % 2 == 0 else recipe.heads


def _kept(folder: Path, say: Say) -> About | None:
    """What is said of the one kept; None if there is none, or none that can be used."""
    if not is_trained_here(folder):
        return None
    try:
        about = read_about(folder)
        check_files(folder, about)
        return about
    except DataError as error:
        say(f"the kept model is made again: {error.what} ({folder})")
        return None


def _make(order: Order, say: Say) -> None:
    from tastebench.build.lm_tokens import documents_of, learn_tokenizer

    corpus = corpus_of(order.dataset, order.protocol, order.text_recipe)
    for line in told(corpus):
        say(line)
    work = _work_of(order.folder)
    words = work / "words"
    if not (words / "tokenizer.json").is_file():
        say("learning the vocabulary")
        with files.atomic_folder(words) as target:
            learn_tokenizer(corpus, order.recipe.vocabulary, target)
    documents = documents_of(corpus, words, order.recipe.context)
    for line in _told(documents):
        say(line)
    model, report = _train(order, documents, words, work, say)
    about = _about(order, corpus, documents, model, report)
    _save(order.folder, model, words, corpus, about)
    shutil.rmtree(work, ignore_errors=True)


def _work_of(folder: Path) -> Path:
    """Where a training keeps what it goes on from, should it be interrupted."""
    return folder.with_name(f".{folder.name}.work")


def _told(documents: Documents) -> list[str]:
    tokens, n = len(documents.tokens.values), len(documents.tokens)
    lines = [f"{counted(tokens, 'token')} in {counted(n, 'document')}"]
    if documents.shortened:
        lines.append(f"{counted(documents.shortened, 'item')} with a text cut in histories")
    return lines


def told(corpus: Corpus) -> list[str]:
    """What is read and what is left out, in lines."""
    lines = [
        f"train part: {counted(len(corpus.items), 'item')} in words, "
        f"{len(corpus.histories):,} histories of {counted(len(corpus.histories.values), 'item')}"
    ]
    if corpus.silent:
        lines.append(f"{counted(corpus.silent, 'item')} without text: left out as documents")
    if corpus.single:
        lines.append(f"{counted(corpus.single, 'user')} of one item: no history")
    return lines


def untrained(recipe: LMRecipe, vocabulary: int, end: int) -> Any:
    """A model with random weights."""
    import transformers

    load: Any = transformers
    config = load.Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.inner_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=_groups(recipe),
        max_position_embeddings=recipe.context,
        use_sliding_window=False,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
    )
    return load.Qwen2ForCausalLM(config)


def _train(
    order: Order, documents: Documents, words: Path, work: Path, say: Say
) -> tuple[nn.Module, FitReport]:
    import torch
    import transformers

    from tastebench.training.fit import FabricTrainer
    from tastebench.training.seeds import torch_seeded

    load: Any = transformers.AutoTokenizer
    tokenizer = load.from_pretrained(str(words), local_files_only=True)
    trainer = FabricTrainer(order.seed, work)
    with torch_seeded(trainer.rng("weights")):
        model = untrained(order.recipe, len(tokenizer), tokenizer.eos_token_id)
    mixed = trainer.rng("held out").permutation(len(documents.tokens))
    n = len(mixed) // HELD_OUT
    held, train = np.sort(mixed[:n]), np.sort(mixed[n:])
    context, size = order.recipe.context, order.settings.batch_size

    def epoch(rng: np.random.Generator) -> Any:
        rows = documents.stretches(rng.permutation(train), context)
        order_of = rng.permutation(len(rows))
        return (rows[order_of[i : i + size]] for i in range(0, len(rows), size))

    def validate() -> float:
        rows = documents.stretches(held, context)
        with torch.no_grad():
            parts = [(loss(rows[i : i + size]).item(), len(rows[i : i + size]))
                     for i in range(0, len(rows), size)]  # fmt: skip
        return -float(np.average([one for one, _ in parts], weights=[k for _, k in parts]))

    loss = partial(word_loss, model)
    trainer.validate = validate if n else None
    trainer.progress = lambda row: say(_epoch_told(row))
    report = trainer.fit(model, order.settings, epoch, loss)
    return model.float().cpu(), report


def _epoch_told(row: dict[str, float]) -> str:
    held = "" if "valid" not in row else f", held out {-row['valid']:.3f}"
    return f"epoch {row['epoch']:.0f}: loss {row['loss']:.3f}{held}, {row['seconds']:.0f} s"


def word_loss(model: Any, rows: np.ndarray) -> Tensor:
    """Mean cross-entropy of every token but the first of each row, from those before it."""
    import torch

    from tastebench.training.losses import linear_cross_entropy

    words = model.get_input_embeddings().weight
    ids = torch.from_numpy(rows.astype(np.int64)).to(words.device)
    states = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    return linear_cross_entropy(states.flatten(0, 1), words, ids[:, 1:].flatten())


def _about(
    order: Order, corpus: Corpus, documents: Documents, model: Any, report: FitReport
) -> About:
    from tastebench import __version__

    dataset = order.dataset
    return About(
        hash=order.hash,
        recipe=order.recipe,
        settings=order.settings,
        seed=order.seed,
        threads=order.threads,
        source=Source(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            task=order.protocol.task,
            part=part_of(order.protocol),
            text_recipe=order.text_recipe or dataset.card.text_recipe,
            items=len(corpus.items),
            histories=documents.histories,
            silent=corpus.silent,
            single=corpus.single,
            shortened=documents.shortened,
            tokens=len(documents.tokens.values),
            rows=None if corpus.rows is None else len(corpus.rows),
            cutoff=corpus.cutoff,
        ),
        vocabulary=int(model.config.vocab_size),
        parameters=sum(p.numel() for p in model.parameters()),
        # How long it took is not said: equal models are equal folders.
        curve=tuple({k: v for k, v in row.items() if k != "seconds"} for row in report.curve),
        best_epoch=report.best_epoch,
        tastebench=__version__,
    )


def _save(folder: Path, model: Any, words: Path, corpus: Corpus, about: About) -> None:
    try:
        with quiet(), files.atomic_folder(folder) as target:
            model.save_pretrained(target)
            for path in words.iterdir():
                shutil.copyfile(path, target / path.name)
            if corpus.rows is not None:
                np.save(target / ROWS, corpus.rows, allow_pickle=False)
            digests = {path.name: files.hash_file(path) for path in sorted(target.iterdir())}
            told = about.model_copy(update={"files": digests})
            files.write_sealed(target / ABOUT, told.model_dump(mode="json"))
    except OSError as error:
        raise DataError(
            f"the language model cannot be written: {error.strerror or error}",
            where=str(folder),
            fix="make room, or choose another place with TASTEBENCH_HOME",
        ) from error
