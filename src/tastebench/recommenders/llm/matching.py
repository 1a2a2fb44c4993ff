"""How alike are user and item? Two texts, two vectors of a language model, their cosine.

As it is, the model's last states are compared; tuned, the mean squared error between the cosine and
the label is what is made small (RecBench's discriminative matching). An item has one vector, made
once for all users.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items
from tastebench.encoders.catalog import language_model
from tastebench.encoders.pooled import pool
from tastebench.lm.batches import token_batches, token_budget
from tastebench.lm.headed import trusting
from tastebench.lm.load import choose_device, ready
from tastebench.lm.padded import Padded
from tastebench.lm.partly import PartlyTrained, adapters
from tastebench.lm.prefix import device_of
from tastebench.lm.spelling import Spelling
from tastebench.lm.states import sample_of
from tastebench.lm.text_model import load_text_model
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.llm import LLMConfig
from tastebench.recommenders.llm.models import longest_prompt, prompt_of
from tastebench.recommenders.llm.pieces import Pieces, concatenated, make_frame, repeated
from tastebench.recommenders.llm.texts import item_name, texts_of


class Matching:
    """A language model whose vectors of user and item are compared.

    Args:
        config: Which model, how it is read and how it is tuned.
        items: The catalogue, with texts.
        history_length: Items of a history at most.

    Raises:
        UsageError: Settings that do not go with the model.
        DataError: The model cannot be loaded, or a prompt has no room.
    """

    def __init__(self, config: LLMConfig, items: Items, history_length: int) -> None:
        self.config = config
        texts = texts_of(items)
        folder = language_model(config.model, trust_remote_code=config.trust_remote_code)
        with trusting(folder):
            self.source = load_text_model(folder)
        self.model = self.source.model
        prompt = prompt_of(config, chat=False)
        spelling = Spelling(self.source.tokenizer, folder.name)
        frame = make_frame(prompt, spelling, history_length, chat=False)
        self.pieces = Pieces.of(
            frame,
            spelling.texts(texts, item_name(texts)),
            longest_prompt(folder, self.model.config, config.max_length),
            answer=0,
            with_candidate=False,
            name_of=item_name(texts),
        )
        self._items = self.pieces.alone(np.arange(items.n))
        self.partly: PartlyTrained | None = None
        self._counts: Counter[str] = Counter()
        self._table: Tensor | None = None
        self._have = np.zeros(items.n, dtype=bool)
        self.notes: tuple[str, ...] = (
            f"{folder.name}, its {config.pooling} state, {config.similarity}, shown {prompt.title} "
            f"({prompt.hash})",
        )
        if config.tune == "none":
            stored = config.precision == "bf16"
            ready(self.model, choose_device(config.device), stored=stored)

    @property
    def module(self) -> nn.Module:
        """What is trained, or the model as it is."""
        return self.model if self.partly is None else self.partly

    # -------------------------------------------------------------------------------- training

    def prepare(self, history: Ragged, asker: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Texts of users and items, and what frozen layers make of them."""
        users = self._users(history)
        self.partly = self._partly(users)
        self._asker, self._item = asker, item
        device, stored = choose_device(self.config.device), self.config.store
        self._texts = [
            self.partly.inputs(tokens, device, stored, lambda row: f"text {row}")
            for tokens in (users, self._items)
        ]
        lengths: np.ndarray = users.lengths[asker] + self._items.lengths[item]
        return lengths

    def loss(self, rows: np.ndarray, label: np.ndarray) -> Tensor:
        """Mean squared error between the cosine and the label."""
        self.forget()
        vectors = []
        for texts, of_row in zip(self._texts, (self._asker, self._item), strict=True):
            met, place = np.unique(of_row[rows], return_inverse=True)
            vectors.append(self._vectors(texts, met)[torch.from_numpy(place)])
        user, candidate = vectors
        cosine = functional.cosine_similarity(user, candidate, dim=1)
        return functional.mse_loss(cosine, torch.from_numpy(label).to(cosine.device))

    def _partly(self, users: Ragged) -> PartlyTrained:
        """The model with what is trained of it marked, checked on a few texts."""
        config = self.config
        partly = PartlyTrained(self.model, self.source.folder, config.tune_from)
        cpu = torch.device("cpu")
        ids, mask = Padded(users.values, users.offsets).take(sample_of(users), cpu)
        partly.eval()

        def output(given: dict[str, Tensor]) -> Tensor:
            states: Tensor = self.model(**given).last_hidden_state
            return states[mask]

        partly.choose(output, ids.long(), mask, adapters(config))
        return partly

    def _vectors(self, texts: Padded, rows: np.ndarray) -> Tensor:
        """float32 `[b, d]`."""
        device = device_of(self.model)
        lengths = torch.from_numpy(texts.lengths(rows)).to(device)

        def pooled(given: dict[str, Tensor]) -> Tensor:
            states = self.model(**given).last_hidden_state.float()
            mask = torch.arange(states.shape[1], device=device) < lengths[:, None]
            return pool(states, mask, self.config.pooling)

        if self.partly is not None:
            return self.partly.read(texts, rows, device, pooled)
        ids, mask = texts.take(rows, device)
        return pooled({"input_ids": ids.long(), "attention_mask": mask.long()})

    # ---------------------------------------------------------------------------------- asking

    def score(self, history: Ragged, asker: np.ndarray, item: np.ndarray) -> np.ndarray:
        """How alike user and item are, float32 `[n]`."""
        if self.module.training:
            self.module.eval()
        users = self._users(history)
        met = np.unique(item)
        new = met[~self._have[met]]
        with torch.inference_mode():
            if len(new):
                self._put(new, self._all(self._items, new))
            assert self._table is not None
            user = self._all(users, np.arange(len(users)))[torch.from_numpy(asker)]
            candidate = self._table[torch.from_numpy(item.astype(np.int64))]
            alike = (
                functional.cosine_similarity(user, candidate, dim=1)
                if self.config.similarity == "cosine"
                else (user * candidate).sum(dim=1)
            )
        self._counts["answered"] += len(item)
        self._counts["prompt_tokens"] += int(users.lengths.sum() + self._items.lengths[new].sum())
        self._counts["cut"] += int(self.pieces.cut[item].sum())
        scores: np.ndarray = alike.numpy()
        return scores

    def forget(self) -> None:
        """The weights have changed: vectors of items that are kept belong to those before."""
        self._have[:] = False

    def counted(self) -> Counter[str]:
        """What was read since the last call."""
        counts, self._counts = self._counts, Counter()
        return counts

    def _users(self, history: Ragged) -> Ragged:
        prefixes = self.pieces.prefixes(history)
        self._counts["cut"] += int(prefixes.shortened.sum())
        self._counts["left_out"] += int((history.lengths - prefixes.kept).sum())
        last = repeated(self.pieces.frame.last, len(history))
        return concatenated(prefixes.tokens, last)

    def _put(self, rows: np.ndarray, vectors: Tensor) -> None:
        if self._table is None:
            self._table = torch.zeros(len(self._have), vectors.shape[1])
        self._table[torch.from_numpy(rows)] = vectors
        self._have[rows] = True

    def _all(self, tokens: Ragged, rows: np.ndarray) -> Tensor:
        """Vectors of some texts on the CPU, those of like length read together, `[b, d]`."""
        texts = Padded(tokens.values, tokens.offsets)
        batches = token_batches(texts.lengths(rows), token_budget(device_of(self.model).type))
        found = torch.cat([self._vectors(texts, rows[batch]).cpu() for batch in batches])
        return found[np.argsort(np.concatenate(batches))]
