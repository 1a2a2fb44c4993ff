"""Losses over a whole catalogue in chunks, and over the right class and some drawn ones.

Nothing has the size of targets x classes: rows are taken a chunk at a time, with gradients in the
same pass. Drawn losses have nothing of the size of the catalogue but the table that is handed in
and its gradient: hand in the rows that are asked about, and it has theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Logits held at once: enough for the matrix products to run at full speed, few enough for the cache
# (the whole [n_targets, n_items] is 100 MB for 2,048 targets and 12,000 items).
CHUNK_LOGITS = 1 << 20
CHUNK_ROWS = 128  # but never fewer rows than this, or a huge catalogue would crawl

Rule = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Scores `[n, 1 + k]`, a row's own class first, and which of the `k` are its own again, to the sum
of the losses and its gradient by the scores."""


def linear_cross_entropy(
    states: Tensor,
    table: Tensor,
    targets: Tensor,
    scale: float = 1.0,
    ignore: Tensor | None = None,
    rows: int | None = None,
) -> Tensor:
    """Mean cross-entropy of `softmax(scale * states @ table.T)` against `targets`.

    Equal to materialising all logits, but they exist a chunk of rows at a time: the gradients are
    computed in the same pass, so nothing is kept and nothing is computed twice.

    Args:
        states: One row a prediction, `[n, h]`.
        table: One row a class, `[n_classes, h]`.
        targets: The right class of each row, int64 `[n]`.
        scale: Inverse temperature.
        ignore: Classes that are not there for a row, bool `[n, n_classes]`; never its target.
        rows: Rows taken at once; None takes as many as `CHUNK_LOGITS` allow, at least `CHUNK_ROWS`.
            So few are a quarter faster where the catalogue is small, too. Sums are rounded in
            another order, and what was trained with one number keeps to it.
    """
    if len(targets) == 0:
        raise ValueError("a mean over no targets is undefined")
    if rows is None:
        rows = max(CHUNK_ROWS, CHUNK_LOGITS // len(table))
    loss: Tensor = _LinearCrossEntropy.apply(states, table, targets, scale, ignore, rows)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    """Forward and gradients in one pass over chunks of rows."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        table: Tensor,
        targets: Tensor,
        scale: float,
        ignore: Tensor | None,
        rows: int,
    ) -> Tensor:
        device = states.device.type
        fast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        with torch.autocast(device, enabled=False):
            loss, *grads = _chunks(
                states.detach(), table.detach(), targets, scale, ignore, fast, rows
            )
        ctx.save_for_backward(*grads)
        ctx.dtypes = states.dtype, table.dtype
        return loss

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        states, table = ctx.saved_tensors
        return (
            (states * grad[0]).to(ctx.dtypes[0]),
            (table * grad[0]).to(ctx.dtypes[1]),
            None,
            None,
            None,
            None,
        )


def _chunks(
    states: Tensor,
    table: Tensor,
    targets: Tensor,
    scale: float,
    ignore: Tensor | None,
    fast: torch.dtype | None,
    step: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, its gradient by `states` and by `table`; products in `fast` if given, sums in fp32."""
    work = fast or torch.float32
    table_work, states_work = table.to(work), (states * scale).to(work)
    grad_states = torch.empty(states.shape, dtype=torch.float32, device=states.device)
    grad_table = torch.zeros(table.shape, dtype=torch.float32, device=table.device)
    loss = torch.zeros((), dtype=torch.float32, device=states.device)
    for begin in range(0, len(targets), step):
        rows = slice(begin, begin + step)
        right = targets[None, rows]
        # One row a class, one column a target: all three products run faster than the other way.
        logits = (table_work @ states_work[rows].T).float()
        if ignore is not None:
            logits.masked_fill_(ignore[rows].T, float("-inf"))
        # Exponentials are the dearest part beside the products, so they are taken once.
        top = logits.amax(dim=0, keepdim=True)
        own = logits.gather(0, right) - top
        weights = logits.sub_(top).exp_()
        total = weights.sum(dim=0, keepdim=True)
        own -= total.log()
        loss -= own.sum()
        # The gradient by the logits, times `total`: the softmax, less one at the target.
        error = weights.scatter_(0, right, own.expm1() * total).to(work)
        grad_states[rows] = (error.T @ table_work) / total.T
        share = (states_work[rows] / total.T).to(work)
        if fast is None:
            grad_table.addmm_(error, share)
        else:
            grad_table += error @ share
    n = len(targets)
    return loss / n, grad_states.mul_(scale / n), grad_table.div_(n)


def in_batch_cross_entropy(
    queries: Tensor, items: Tensor, temperature: float, ignore: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of each query against its own item, the batch's other items as negatives.

    Args:
        queries: `[n, h]`, unit length.
        items: `[n, h]`, unit length; row `i` is what query `i` should be near.
        temperature: Divides the cosines.
        ignore: Pairs that are no negatives, bool `[n, n]` (known positives); the diagonal must not
            be among them. They leave the denominator altogether.
    """
    own = torch.arange(len(queries), device=queries.device)
    return linear_cross_entropy(queries, items, own, 1 / temperature, ignore)


def sampled_cross_entropy(
    states: Tensor, table: Tensor, own: Tensor, others: Tensor, scale: float = 1.0
) -> Tensor:
    """Mean cross-entropy of each row's own class against classes drawn for that row.

    `-log(exp(s_own) / (exp(s_own) + sum_k exp(s_k)))` with `s = scale * states @ table.T`. What is
    drawn twice counts twice, and a row's own class among those drawn is left out.

    Args:
        states: One row a prediction, `[n, h]`.
        table: One row a class, `[n_classes, h]`.
        own: The right class of each row, int64 `[n]`.
        others: Classes it is told apart from, int64 `[n, k]`.
        scale: Inverse temperature.
    """
    return _drawn(states, table, own, others, scale, _softmax)


def sampled_binary_cross_entropy(
    states: Tensor,
    table: Tensor,
    own: Tensor,
    others: Tensor,
    scale: float = 1.0,
    beta: float = 1.0,
) -> Tensor:
    """Mean binary cross-entropy of each row's own class and the classes drawn for that row.

    `-(beta log sigmoid(s_own) + sum_k log(1 - sigmoid(s_k))) / (1 + k)`: BCE with `beta = 1`, gBCE
    with that of `gbce_beta`. What is drawn twice counts twice, and a row's own class among those
    drawn is left out.

    Args:
        states: One row a prediction, `[n, h]`.
        table: One row a class, `[n_classes, h]`.
        own: The right class of each row, int64 `[n]`.
        others: Classes that are wrong for it, int64 `[n, k]`.
        scale: Inverse temperature.
        beta: Exponent of the right class's probability.
    """
    return _drawn(states, table, own, others, scale, partial(_binary, beta))


def gbce_beta(negatives: int, n_items: int, t: float) -> float:
    """The exponent of gBCE (Petrov and Macdonald, RecSys 2023).

    `beta = alpha (t (1 - 1/alpha) + 1/alpha)`, where `alpha` is the share of a target's
    `n_items - 1` negatives that are drawn. With all of them drawn nothing is overconfident, and
    beta is 1 whatever `t` is.

    >>> gbce_beta(10, 101, t=0.5)
    0.55
    """
    alpha = min(1.0, negatives / (n_items - 1))
    return 1 - t * (1 - alpha)  # the same, without the division


def shared_cross_entropy(
    states: Tensor,
    rows: Tensor,
    own_rows: Tensor,
    same: Tensor,
    correction: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """Mean cross-entropy of each row's own class against classes drawn for all rows together.

    `-log(exp(s_own) / (exp(s_own) + sum_k exp(s_k - correction_k)))`. With `correction` the log of
    how often a class is expected among those drawn, the sum is that over all other classes on
    average, whatever they were drawn by. What is drawn twice counts twice, and a row's own class
    among those drawn is left out.

    Args:
        states: One row a prediction, `[n, h]`.
        rows: The classes drawn, `[k, h]`.
        own_rows: The right class of each row, `[n, h]`.
        same: Which of those drawn are a row's own, bool `[n, k]`.
        correction: Taken off the scores of those drawn, `[k]`; None for nothing.
        scale: Inverse temperature.
    """
    loss: Tensor = _Shared.apply(states, rows, own_rows, same, correction, scale)  # type: ignore[no-untyped-call]
    return loss


def _softmax(scores: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    scores[:, 1:].masked_fill_(same, float("-inf"))
    log_softmax = torch.log_softmax(scores, dim=1)
    error = log_softmax.exp()
    error[:, 0] = log_softmax[:, 0].expm1()
    return -log_softmax[:, 0].sum(), error


def _binary(beta: float, scores: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    # -log sigmoid(s) = softplus(-s), and -log(1 - sigmoid(s)) = softplus(s)
    wrong = scores[:, 1:].masked_fill(same, float("-inf"))
    loss = beta * functional.softplus(-scores[:, 0]).sum() + functional.softplus(wrong).sum()
    error = torch.cat([-beta * torch.sigmoid(-scores[:, :1]), torch.sigmoid(wrong)], dim=1)
    terms = scores.shape[1]
    return loss / terms, error / terms


def _drawn(
    states: Tensor, table: Tensor, own: Tensor, others: Tensor, scale: float, rule: Rule
) -> Tensor:
    loss: Tensor = _Drawn.apply(states, table, own, others, scale, rule)  # type: ignore[no-untyped-call]
    return loss


class _Drawn(torch.autograd.Function):
    """Forward and gradients in one pass over chunks of rows."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        table: Tensor,
        own: Tensor,
        others: Tensor,
        scale: float,
        rule: Rule,
    ) -> Tensor:
        classes = torch.cat([own[:, None], others], dim=1)
        n, h = states.shape
        grad_states, grad_table = torch.empty_like(states), torch.zeros_like(table)
        loss = torch.zeros((), dtype=torch.float32, device=states.device)
        step = max(1, CHUNK_LOGITS // (classes.shape[1] * h))
        with torch.autocast(states.device.type, enabled=False):
            for begin in range(0, n, step):
                rows = slice(begin, begin + step)
                picked, state = table[classes[rows]], states[rows, None, :]
                same = others[rows] == own[rows, None]
                part, error = rule(scale * (picked @ state.mT).squeeze(-1), same)
                loss += part
                grad_states[rows] = (error[:, None, :] @ picked).squeeze(1)
                back = (error[:, :, None] * state).flatten(0, 1)
                grad_table.index_add_(0, classes[rows].flatten(), back)
        ctx.save_for_backward(grad_states.mul_(scale / n), grad_table.mul_(scale / n))
        return loss / n

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        states, table = ctx.saved_tensors
        return states * grad[0], table * grad[0], None, None, None, None


class _Shared(torch.autograd.Function):
    """The same where all rows are told apart from the same classes."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        rows: Tensor,
        own_rows: Tensor,
        same: Tensor,
        correction: Tensor | None,
        scale: float,
    ) -> Tensor:
        n = len(states)
        grad_states, grad_own = torch.empty_like(states), torch.empty_like(own_rows)
        grad_rows = torch.zeros_like(rows)
        loss = torch.zeros((), dtype=torch.float32, device=states.device)
        step = max(CHUNK_ROWS, CHUNK_LOGITS // max(1, len(rows)))
        with torch.autocast(states.device.type, enabled=False):
            for begin in range(0, n, step):
                part = slice(begin, begin + step)
                state, mine = states[part], own_rows[part]
                own = scale * (state * mine).sum(dim=1, keepdim=True)
                drawn = scale * (state @ rows.T)
                if correction is not None:
                    drawn -= correction
                losses, error = _softmax(torch.cat([own, drawn], dim=1), same[part])
                loss += losses
                grad_states[part] = torch.addmm(error[:, :1] * mine, error[:, 1:], rows)
                grad_own[part] = error[:, :1] * state
                grad_rows.addmm_(error[:, 1:].T, state)
        grads = (grad.mul_(scale / n) for grad in (grad_states, grad_rows, grad_own))
        ctx.save_for_backward(*grads)
        return loss / n

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        return (*(saved * grad[0] for saved in ctx.saved_tensors), None, None, None)
