"""Sequence encoders between a table of items and the same or another table of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from tastebench.contracts import Items, SeqProblem
from tastebench.recommenders.seqrec.encoders.caser import Caser
from tastebench.recommenders.seqrec.encoders.gru import GRU4Rec
from tastebench.recommenders.seqrec.encoders.hstu import HSTU
from tastebench.recommenders.seqrec.encoders.mamba import Mamba2
from tastebench.recommenders.seqrec.encoders.mamba4rec import Mamba4Rec
from tastebench.recommenders.seqrec.encoders.trm import Trm
from tastebench.recommenders.seqrec.sasrec_network import IdNetwork
from tastebench.training.dropout import Dropout

if TYPE_CHECKING:
    from tastebench.recommenders.seqrec.caser import CaserConfig
    from tastebench.recommenders.seqrec.gru4rec import GRU4RecConfig
    from tastebench.recommenders.seqrec.hstu import HSTUConfig
    from tastebench.recommenders.seqrec.id_settings import IdSettings
    from tastebench.recommenders.seqrec.mamba4rec import Mamba4RecConfig
    from tastebench.recommenders.seqrec.trm import TrmConfig


def gru4rec_network(config: GRU4RecConfig, problem: SeqProblem, items: Items) -> IdNetwork:
    """GRU4Rec's untrained network; nothing of `items` but their number is used, here and below."""
    encoder = GRU4Rec(
        config.hidden_size,
        hidden=config.state_size,
        layers=config.layers,
        dropout=config.dropout,
        norm=config.norm,
    )
    return _network(config, items, encoder)


def caser_network(config: CaserConfig, problem: SeqProblem, items: Items) -> IdNetwork:
    """Caser's untrained network."""
    encoder = Caser(
        config.hidden_size,
        window=config.window,
        horizontal=config.horizontal,
        vertical=config.vertical,
        dropout=config.dropout,
    )
    return _network(config, items, encoder)


def hstu_network(config: HSTUConfig, problem: SeqProblem, items: Items) -> IdNetwork:
    """HSTU's untrained network."""
    encoder = HSTU(
        config.hidden_size,
        problem.history_length,
        layers=config.layers,
        heads=config.heads,
        key_width=config.head_width,
        value_width=config.head_width,
        dropout=config.dropout,
        bias=config.bias,
    )
    return _network(config, items, encoder, nn.LayerNorm(config.hidden_size))


def trm_network(config: TrmConfig, problem: SeqProblem, items: Items) -> IdNetwork:
    """Trm++'s untrained network."""
    encoder = Trm(
        config.hidden_size,
        layers=config.layers,
        heads=config.heads,
        dropout=config.dropout,
        kv_heads=config.kv_heads,
    )
    return _network(config, items, encoder, nn.RMSNorm(config.hidden_size))


def mamba4rec_network(config: Mamba4RecConfig, problem: SeqProblem, items: Items) -> IdNetwork:
    """Mamba4Rec's untrained network, of its own blocks or of Mamba-2 mixers."""
    if config.block == "mamba4rec":
        own = Mamba4Rec(
            config.hidden_size,
            layers=config.layers,
            state=config.state_size,
            dropout=config.dropout,
        )
        return _network(config, items, own)
    mixers = Mamba2(
        config.hidden_size,
        layers=config.layers,
        state=config.state_size,
        head_width=config.head_width,
        dropout=config.dropout,
    )
    return _network(config, items, mixers, nn.RMSNorm(config.hidden_size))


def _network(
    config: IdSettings, items: Items, encoder: nn.Module, norm: nn.Module | None = None
) -> IdNetwork:
    """An encoder between tables.

    A residual stream without a last norm grows with what was added to it, and scores with it; as in
    every pre-norm language model, a `norm` before the output ends that.
    """
    parts = [Dropout(config.embedding_dropout), encoder, *([norm] if norm else [])]
    tied = config.output == "tied"
    return IdNetwork(items.n, config.hidden_size, nn.Sequential(*parts), tied=tied)
