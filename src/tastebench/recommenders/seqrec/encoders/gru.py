"""GRU4Rec: a recurrent network over the sequence."""

from __future__ import annotations

from torch import Tensor, nn

from tastebench.recommenders.seqrec.transformer import linear
from tastebench.training.dropout import Dropout


class GRU4Rec(nn.Module):
    """Gated recurrent units without biases, projected back to the width of items.

        r, z = sigmoid(W x + U h);  n = tanh(W x + r * (U h));  h' = (1 - z) * n + z * h
        state = LN(Linear(Dropout(h')))

    Hidasi et al., Session-based Recommendations with Recurrent Neural Networks, ICLR 2016, with the
    projection of Li et al. (NARM's code and RecBole have the same).

    Args:
        width: Of embeddings and states.
        hidden: Of the recurrent state.
        layers: Recurrent layers, one on top of the other.
        dropout: Between the recurrent state and the projection.
        norm: Whether states are layer-normalised.
    """

    def __init__(
        self, width: int, *, hidden: int, layers: int, dropout: float, norm: bool = True
    ) -> None:
        super().__init__()
        self.gru = nn.GRU(width, hidden, layers, bias=False, batch_first=True)
        self.dropout = Dropout(dropout)
        self.out = linear(hidden, width)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        # Every layer: initialising the first alone leaves the others at torch's smaller default.
        for weight in self.gru.parameters():
            nn.init.xavier_uniform_(weight)

    def forward(self, embeddings: Tensor) -> Tensor:
        """`[b, l, width]` to `[b, l, width]`."""
        states: Tensor = self.norm(self.out(self.dropout(self.gru(embeddings)[0])))
        return states
