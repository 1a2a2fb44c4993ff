"""Asking a model what is not answered yet: each answer is kept before the next is paid for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tastebench.lm.calls import Call, Calls
from tastebench.lm.endpoint import RemoteError
from tastebench.lm.spending import estimate_tokens

if TYPE_CHECKING:
    from tastebench.lm.answers import Answer

Conversation = list[dict[str, str]]
"""`[{"role": "user", "content": "..."}, ...]`"""

PER_MESSAGE = 4
"""Tokens around a message's words, for estimates."""
REFUSED = "refused"
"""Why an answer ended that a server did not let a model give."""
REFUSED_IN_A_ROW = 8
"""So many requests refused one after the other are no matter of what one of them says."""
USUAL_SECONDS = 2.0
"""What a request takes, for estimates, before one was made."""


class Chat(Protocol):
    """What is asked: `tastebench.lm.remote.Client` is one."""

    def answers(
        self,
        conversations: Sequence[Conversation],
        *,
        max_tokens: int,
        temperature: float | None = None,
        logprobs: int | None = None,
        refused_too: bool = False,
    ) -> Iterator[tuple[int, Answer]]:
        """`(index, answer)` as they come; see `Client.answers`."""
        ...


def ask(
    questions: Mapping[str, Conversation],
    calls: Calls,
    client: Chat,
    *,
    prompt: str,
    max_tokens: int,
    options: Mapping[str, Any],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Asks whatever has no kept answer.

    A request that the server refuses for what it says is kept as such once others are answered:
    before, it may be all of them that it refuses.

    Args:
        questions: Conversations by the key that their calls are kept under.
        calls: Those that are kept; they grow.
        client: What is asked.
        prompt: Hash of the prompt.
        max_tokens: An answer is cut there.
        options: Whatever else `Client.answers` shall be told.
        progress: Told the number of answers, and how many are needed.

    Raises:
        BudgetError: The cap is reached; what was answered is kept.
        RemoteError: The server cannot be asked, or refuses every request; what was answered is
            kept.
    """
    keys = [key for key in questions if key not in calls]
    answers = client.answers(
        [questions[key] for key in keys], max_tokens=max_tokens, refused_too=True, **options
    )
    answered = any(call.finish_reason != REFUSED for call in calls.values())
    refused: list[tuple[Call, RemoteError]] = []  # kept once others are answered
    for done, (index, answer) in enumerate(answers, start=1):
        call = Call.of(keys[index], prompt, answer)
        if answer.error is None:
            calls.add(call)
            answered = True
        else:
            refused.append((call, answer.error))
        if len(refused) == REFUSED_IN_A_ROW or (done == len(keys) and not answered):
            raise refused[0][1]
        if answered and (answer.error is None or done == len(keys)):
            for held, _ in refused:
                calls.add(held)
            refused.clear()
        progress(done, len(keys))


def tokens_of(conversation: Conversation) -> int:
    """About how many tokens a conversation has, before anyone counts."""
    return sum(estimate_tokens(message["content"]) + PER_MESSAGE for message in conversation)
