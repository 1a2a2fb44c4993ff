"""Users told apart by hashed tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tastebench.errors import UsageError


class UserTokens(nn.Module):
    """An embedding for one of `n` groups of users, added to the first token of a sequence.

    Args:
        n: Tokens; a user's is `user mod n`. 0 has none.
        hidden: Width of the embeddings.
        std: Standard deviation that they begin with.
    """

    def __init__(self, n: int, hidden: int, std: float) -> None:
        super().__init__()
        self.n = n
        if n:
            self.table = nn.Parameter(torch.empty(n, hidden))
            nn.init.normal_(self.table, std=std)

    def add_to_first(self, embeddings: Tensor, user: Tensor | None) -> Tensor:
        """Adds the token of each row's user to its first place, `[b, t, hidden]`.

        Raises:
            UsageError: Nobody told whose rows they are.
        """
        if not self.n:
            return embeddings
        if user is None:
            raise UsageError(
                "user_tokens needs to know who asks, and the queries name no user",
                fix="set user_tokens to 0",
            )
        own = self.table[user % self.n][:, None]
        return torch.cat([embeddings[:, :1] + own, embeddings[:, 1:]], dim=1)
