"""Questions with the histories of those they are about, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tastebench.contracts import Answers, Questions


def asked_only(questions: Questions, latest: int | None = None) -> Questions:
    """The same questions; a single one then costs what one user costs, and not what all do.

    Args:
        questions: Some of those about all users.
        latest: Events of each history that are kept, the latest ones; None for all.
    """
    users, user = np.unique(questions.user, return_inverse=True)
    asker = None if questions.asker is None else questions.asker[users]
    history = questions.history[users]
    if latest is not None:
        history = history.tail(latest)
    return replace(questions, history=history, user=user, asker=asker)


def no_answers(questions: Questions) -> Answers:
    """What is answered where nothing is asked."""
    nothing = np.empty(0, dtype=np.int64)
    width = len(questions.options[0]) if len(questions.options) else 0
    return Answers(np.empty((0, width), dtype=np.float32), [], nothing, nothing)
