"""RQ-VAE: residual codebooks on what an encoder makes of the vectors (Lee et al. 2022).

As in TIGER (Rajput et al. 2023): an encoder to 32 numbers, residual codebooks there, a decoder
back. The loss of an item is

    mse(decoder(sum_j e_j), x) + mean over levels of [mse(e_j, sg r_j) + beta * mse(sg e_j, r_j)]

with r_1 the encoder's output, e_j the nearest entry to r_j, r_{j+1} = r_j - e_j, and gradients that
pass the quantiser straight through. Inputs are centred and scaled to unit variance first, so that
the terms are alike in size whatever the vectors' scale. Codebooks begin as residual k-means on a
large sample, after epochs without codes, and an entry that no item took for an epoch starts again
where an item is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tastebench.items.semantic_ids.codebooks import ResidualCodebooks, scaled
from tastebench.items.semantic_ids.settings import RqVaeSettings


@dataclass(frozen=True, eq=False)
class Mlp:
    """Layers with ReLU between them, in NumPy: codes of new items need no torch.

    Attributes:
        weights: `[out, in]` each.
        biases: `[out]` each.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Float32 `[n, in]` to `[n, out]`."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            X = (X if layer == 0 else np.maximum(X, 0)) @ weight.T + bias
        return X

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """Weights and biases by name."""
        out = {f"{name}.weight.{i}": weight for i, weight in enumerate(self.weights)}
        return out | {f"{name}.bias.{i}": bias for i, bias in enumerate(self.biases)}

    @classmethod
    def of(cls, name: str, tensors: dict[str, np.ndarray]) -> Mlp:
        """From what `tensors` gave."""
        layers = range(sum(key.startswith(f"{name}.weight.") for key in tensors))
        return cls(
            tuple(tensors[f"{name}.weight.{i}"] for i in layers),
            tuple(tensors[f"{name}.bias.{i}"] for i in layers),
        )


@dataclass(frozen=True, eq=False)
class RqVae:
    """Encoder, residual codebooks and decoder; a `Quantiser`.

    Attributes:
        books: The codebooks, over what the encoder says.
        mean: Taken off the vectors first, float32 `[d]`.
        scale: Multiplied with then, float32 `[]`.
        unit: Whether vectors are brought to unit length before.
    """

    encoder: Mlp
    books: ResidualCodebooks
    decoder: Mlp
    mean: np.ndarray
    scale: np.ndarray
    unit: bool

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each level."""
        return self.books.sizes

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return len(self.mean)

    def assign(self, vectors: np.ndarray) -> np.ndarray:
        """The codes of vectors `[n, d]`, int64 `[n, levels]`."""
        return self.books.assign(self._encoded(vectors))

    def reconstruct(self, codes: np.ndarray, levels: int | None = None) -> np.ndarray:
        """What codes stand for, by their first `levels` alone if given; float32 `[n, d]`."""
        out: np.ndarray = self.decoder(self.books.decode(codes, levels)) / self.scale + self.mean
        return out

    def last_costs(self, vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """How far each code of the last level is off; float32 `[n, sizes[-1]]`."""
        return self.books.last_costs(self._encoded(vectors), codes)

    def target(self, vectors: np.ndarray) -> np.ndarray:
        """What `reconstruct` tries to restore."""
        return scaled(vectors, self.unit)

    def tensors(self) -> dict[str, np.ndarray]:
        """All that is learned."""
        return {
            **self.encoder.tensors("encoder"),
            **self.books.tensors(),
            **self.decoder.tensors("decoder"),
            "mean": self.mean,
            "scale": self.scale,
        }

    def _encoded(self, vectors: np.ndarray) -> np.ndarray:
        return self.encoder((self.target(vectors) - self.mean) * self.scale)


def learn(
    settings: RqVaeSettings,
    levels: int,
    size: int,
    vectors: np.ndarray,
    rng: np.random.Generator,
    progress: Any = None,
    state: Path | None = None,
) -> tuple[RqVae, dict[str, Any]]:
    """Trains on vectors `[m, d]`; returns what gives codes, and what is to be said about it.

    Args:
        settings: Widths, rates, when to stop.
        levels: Codebooks.
        size: Entries of each.
        vectors: Of the items that are learned from.
        rng: All its randomness.
        progress: Told each row of the learning curve as it is made.
        state: A file to go on from after an interruption; None keeps none.

    Raises:
        UsageError: The loss is no longer finite, the device is not there, or `state` was made with
            other settings or vectors.
        DataError: `state` is damaged.
    """
    from tastebench.items.semantic_ids.rq_vae_training import train

    X = scaled(vectors, settings.unit)
    mean = X.mean(axis=0, dtype=np.float64).astype(np.float32)
    X -= mean
    spread = float(np.sqrt(np.mean(X.astype(np.float64) ** 2)))
    # One vector, or equal ones, vary in nothing: there is nothing to scale up.
    scale = np.float32(1 / spread if spread > 1e-6 * float(np.abs(mean).max(initial=0.0)) else 1)
    X *= scale
    tensors, notes = train(settings, levels, size, X, rng, progress, state)
    tensors |= {"mean": mean, "scale": np.asarray(scale, dtype=np.float32)}
    return restore(settings, tensors), {"learned_from": len(X), **notes}


def restore(settings: RqVaeSettings, tensors: dict[str, np.ndarray]) -> RqVae:
    """The same network and codebooks from what `tensors` gave."""
    return RqVae(
        Mlp.of("encoder", tensors),
        ResidualCodebooks(tensors["centres"], tensors["bias"]),
        Mlp.of("decoder", tensors),
        tensors["mean"],
        tensors["scale"],
        settings.unit,
    )
