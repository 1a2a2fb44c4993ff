"""A real language model behind a real server, small enough for a test.

    with RemoteServer(chat=ModelChat(folder)) as server:
        ...  # openai:any@{server.url}

It writes the likeliest token at each place and tells log-probabilities as OpenAI does, if it is
asked for them.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any


class ModelChat:
    """Answers chat requests with a model in a folder.

    Args:
        folder: Of a transformers model that continues texts.
        most: Likeliest tokens that it tells of at most, whatever is asked for.

    Attributes:
        prompts: What was read, in the order in which it was.
    """

    def __init__(self, folder: Path, most: int = 20) -> None:
        import transformers

        load: Any = transformers
        self.tokenizer: Any = load.AutoTokenizer.from_pretrained(folder)
        self.model: Any = load.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.most = most
        self.prompts: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        """The choice of a completion."""
        prompt = self.prompt(body["messages"])
        with self._lock:  # one after the other, as on one device
            self.prompts.append(prompt)
            said, told, ended = self._write(prompt, body["max_tokens"], body.get("top_logprobs", 0))
        return {
            "index": 0,
            "message": {"role": "assistant", "content": said},
            "finish_reason": "stop" if ended else "length",
            "logprobs": {"content": told} if body.get("logprobs") else None,
        }

    def prompt(self, messages: list[dict[str, str]]) -> str:
        """A conversation as the model reads it."""
        if self.tokenizer.chat_template:
            text: str = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            return text
        return "\n".join(message["content"] for message in messages)

    def _write(self, prompt: str, n: int, top: int) -> tuple[str, list[dict[str, Any]], bool]:
        import torch

        ids = self.tokenizer(prompt, return_tensors="pt")["input_ids"]
        begin = ids.shape[1]
        told: list[dict[str, Any]] = []
        for _ in range(n):
            with torch.inference_mode():
                logs = self.model(input_ids=ids).logits[0, -1].float().log_softmax(-1)
            best = int(logs.argmax())
            if best == self.tokenizer.eos_token_id:
                return self.tokenizer.decode(ids[0, begin:].tolist()), told, True
            likeliest = logs.topk(min(top, self.most)) if top else None
            told.append({**self._token(best, logs), "top_logprobs": []})
            if likeliest is not None:
                told[-1]["top_logprobs"] = [
                    self._token(i, logs) for i in likeliest.indices.tolist()
                ]
            ids = torch.cat([ids, torch.tensor([[best]])], dim=1)
        return self.tokenizer.decode(ids[0, begin:].tolist()), told, False

    def _token(self, token: int, logs: Any) -> dict[str, Any]:
        # As it reads behind other words: a blank that belongs to it stays.
        text = self.tokenizer.convert_ids_to_tokens(token).replace("▁", " ").replace("Ġ", " ")
        return {"token": text, "logprob": float(logs[token])}
