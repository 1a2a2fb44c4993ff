"""Training of click models over categorical fields, against FuxiCTR and plain PyTorch.

    python benchmarks/click_training.py [--batches 20] [--repeats 7] [--quick]

20 fields of 1,000 values, width 16, batches of 4,096 rows that lie ready as tensors, one thread,
Adam, no dropout, batch normalisation or regularisation. Sides take turns, and all of one model
begin from the peer's weights: that they give the same logits is checked before anything is timed.

- Peer: FuxiCTR's layers put together as its model zoo does (which its package leaves out), its
  loss and its optimiser; without the clipping of gradients that its own loop adds.
- Ours: the predictors of click models over one table of all fields' values, trained through the
  trainer of every run (`FabricTrainer.fit`), what a fit sets up included.
- Plainly: one `nn.Embedding`, `nn.Linear` layers and `torch.optim.Adam`.

DNN: a tower over the fields. DeepFM: a tower, the inner products of all pairs, and a weight of each
value; ours is a predictor of vectors and so has a linear layer over them too, for nothing. DCNv2:
three cross layers of whole matrices beside a tower.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.ctr.bricks import PREDICTORS
from tastebench.training.fit import FabricTrainer
from tastebench.training.settings import TrainSettings

LR = 1e-3
CROSS_LAYERS = 3
NAMES = ("dnn", "deepfm", "dcnv2")


@dataclass(frozen=True)
class Batch:
    """Rows as each side wants them.

    Attributes:
        ids: Values of all fields counted through, int64 `[n, fields]`.
        label: 0 or 1, float32 `[n]`.
        named: Values of each field from 0, int64 `[n]`, and `label`, by name.
    """

    ids: Tensor
    label: Tensor
    named: dict[str, Tensor]


def main() -> None:
    """Prints Markdown tables."""
    options = arguments()
    torch.set_num_threads(1)
    batches = [make_batch(options, seed) for seed in range(options.batches)]
    if not find_spec("fuxictr"):
        print("FuxiCTR is not installed: ours stands in the place of the peer.\n")
    print("| model | side | parameters | rows/s of CPU | rows/s | times the peer |")
    print("|---|---|---|---|---|---|")
    models = {}
    for name in options.models:
        models[name] = sides(name, options)
        if "FuxiCTR" in models[name]:
            check_same(models[name], batches[0])
        report(name, models[name], batches, options)
    if "dcnv2" in models:
        print("\n| one row through DCNv2 | ms | to the peer |\n|---|---|---|")
        latency(models["dcnv2"], batches[0], options)


# ------------------------------------------------------------------------------------------- sides


class Side(Protocol):
    """One way to train and ask a model."""

    network: Any

    def logits(self, batch: Batch) -> Tensor:
        """Of each row."""
        ...

    def train(self, batches: list[Batch]) -> None:
        """One pass over some batches."""
        ...


class Ours:
    """A predictor over a table, and the trainer of every run."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.network = Fields(name, options)
        self.settings = TrainSettings(lr=LR, epochs=1, batch_size=options.batch_size)

    def train(self, batches: list[Batch]) -> None:
        """A fit of one epoch."""

        def epoch(rng: np.random.Generator) -> Iterable[Batch]:
            return batches

        FabricTrainer(seed=0).fit(self.network, self.settings, epoch, self.loss)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the batch."""
        return functional.binary_cross_entropy_with_logits(self.logits(batch), batch.label)

    def logits(self, batch: Batch) -> Tensor:
        """Of each row."""
        made: Tensor = self.network(batch.ids)
        return made


class Fields(nn.Module):
    """Vectors of all fields' values and a predictor over them."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        super().__init__()
        values, width = options.fields * options.vocabulary, options.width
        self.shape = (options.fields, width)
        self.table = nn.Parameter(torch.randn(values, width) * 1e-4)
        self.first = nn.Parameter(torch.randn(values, 1) * 1e-4) if name == "deepfm" else None
        brick = PREDICTORS.get(name)
        settings = {"tower": tuple(options.tower), "dropout": 0.0}
        self.predictor = brick.build(brick.settings(settings, name), width, options.fields)

    def forward(self, ids: Tensor) -> Tensor:
        """Values `[n, f]` to logits `[n]`."""
        flat = ids.flatten()
        # Several times faster than an embedding on a CPU, more so backward; the same numbers.
        vectors = self.table.index_select(0, flat).view(-1, *self.shape)
        logits: Tensor = self.predictor(vectors)
        if self.first is None:
            return logits
        return logits + self.first.index_select(0, flat).view_as(ids).sum(dim=1)


class Plain:
    """DCNv2 as one would write it down."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.network = PlainDcnv2(options)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=LR)

    def train(self, batches: list[Batch]) -> None:
        """The loop of every tutorial."""
        self.network.train()
        for batch in batches:
            self.optimizer.zero_grad()
            logits = self.logits(batch)
            functional.binary_cross_entropy_with_logits(logits, batch.label).backward()
            self.optimizer.step()

    def logits(self, batch: Batch) -> Tensor:
        """Of each row."""
        made: Tensor = self.network(batch.ids)
        return made


class PlainDcnv2(nn.Module):
    """Cross layers beside a tower."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        inputs = options.fields * options.width
        self.table = nn.Embedding(options.fields * options.vocabulary, options.width)
        self.cross = nn.ModuleList(nn.Linear(inputs, inputs) for _ in range(CROSS_LAYERS))
        sizes = [inputs, *options.tower]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.tower = nn.Sequential(*layers)
        self.logit = nn.Linear(inputs + sizes[-1], 1)

    def forward(self, ids: Tensor) -> Tensor:
        """Values `[n, f]` to logits `[n]`."""
        x = crossed = self.table(ids).flatten(1)
        for layer in self.cross:
            crossed = x * layer(crossed) + crossed
        logits: Tensor = self.logit(torch.cat([crossed, self.tower(x)], dim=1))
        return logits.squeeze(1)


class Peer:
    """FuxiCTR's layers, loss and optimiser."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.network: Any = fuxictr(name, options)

    def train(self, batches: list[Batch]) -> None:
        """Its training step, but for the clipping of gradients."""
        model = self.network
        model.train()
        for batch in batches:
            model.optimizer.zero_grad()
            found = model(batch.named)
            model.compute_loss(found, model.get_labels(batch.named)).backward()
            model.optimizer.step()

    def logits(self, batch: Batch) -> Tensor:
        """Of each row, from the probabilities that it says."""
        found: Tensor = self.network(batch.named)["y_pred"]
        return found.logit().squeeze(1)


def fuxictr(name: str, options: argparse.Namespace) -> Any:
    """A model of FuxiCTR's layers, as its zoo puts them together."""
    from fuxictr.pytorch.layers import CrossNetV2, FactorizationMachine, FeatureEmbedding, MLP_Block
    from fuxictr.pytorch.models import BaseModel

    fields, inputs = feature_map(options), options.fields * options.width
    tower = partial(MLP_Block, input_dim=inputs, hidden_units=list(options.tower))

    class Model(BaseModel):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(fields, verbose=0, model_root=tempfile.gettempdir(), metrics=["AUC"])
            self.embedding_layer = FeatureEmbedding(fields, options.width)
            if name == "dcnv2":
                self.mlp, self.cross = tower(), CrossNetV2(inputs, CROSS_LAYERS)
                self.fc = nn.Linear(inputs + options.tower[-1], 1)
            else:
                self.mlp = tower(output_dim=1)
            if name == "deepfm":
                self.fm = FactorizationMachine(fields)
            self.compile("adam", "binary_crossentropy", LR)
            self.reset_parameters()

        def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
            values = self.get_inputs(inputs)
            embedded = self.embedding_layer(values, flatten_emb=name != "deepfm")
            if name == "dnn":
                logits = self.mlp(embedded)
            elif name == "deepfm":
                logits = self.fm(values, embedded) + self.mlp(embedded.flatten(start_dim=1))
            else:
                both = [self.cross(embedded), self.mlp(embedded)]
                logits = self.fc(torch.cat(both, dim=-1))
            return {"y_pred": self.output_activation(logits)}

    return Model()


def feature_map(options: argparse.Namespace) -> Any:
    """FuxiCTR's description of the fields, by way of the file it reads."""
    from fuxictr.features import FeatureMap

    spec = {"source": "", "type": "categorical", "vocab_size": options.vocabulary}
    described = {
        "dataset_id": "fields",
        "labels": ["label"],
        "total_features": options.fields * options.vocabulary,
        "features": [{f"field{field}": spec} for field in range(options.fields)],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feature_map.json"
        path.write_text(json.dumps(described), encoding="utf-8")
        made = FeatureMap("fields", folder)
        made.load(str(path), {"embedding_dim": options.width})
    return made


def sides(name: str, options: argparse.Namespace) -> dict[str, Side]:
    """What takes turns for one model; the first is the peer."""
    torch.manual_seed(0)
    found: dict[str, Side] = {}
    if find_spec("fuxictr"):
        found["FuxiCTR"] = Peer(name, options)
    found["ours"] = Ours(name, options)
    if name == "dcnv2":
        found["plain PyTorch"] = Plain(options)
    return found


# -------------------------------------------------------------------------- that it is the same


def check_same(found: dict[str, Side], batch: Batch) -> None:
    """Gives all sides the peer's weights, and looks whether they say the same.

    Raises:
        AssertionError: They do not, so they are not the same model.
    """
    peer = found["FuxiCTR"].network
    # A draw of 1e-4, FuxiCTR's, would leave products of fields too small to be seen.
    with torch.no_grad():
        for table in tables(peer):
            table.weight.normal_(std=0.1)
    for side in found.values():
        if side.network is not peer:
            with torch.no_grad():
                take(side.network, peer)
    with torch.inference_mode():
        wanted = found["FuxiCTR"].logits(batch)
        assert wanted.std() > 0.01, "the logits say nothing"
        for side in found.values():
            torch.testing.assert_close(side.logits(batch), wanted, rtol=0, atol=2e-5)


def take(network: Any, peer: Any) -> None:
    """Copies the peer's weights."""
    table = torch.cat([table.weight for table in tables(peer) if table.embedding_dim > 1])
    dense = [layer for layer in peer.mlp.modules() if isinstance(layer, nn.Linear)]
    if isinstance(network, PlainDcnv2):
        network.table.weight.copy_(table)
        mine = [layer for layer in network.tower if isinstance(layer, nn.Linear)]
        copy([*mine, *network.cross, network.logit], [*dense, *peer.cross.cross_layers, peer.fc])
        return
    network.table.copy_(table)
    predictor = network.predictor
    if hasattr(peer, "cross"):
        top, theirs = predictor.top, [*dense, *peer.cross.cross_layers, peer.fc]
        copy([*top.parallel.layers, *predictor.cross.layers, top.logit.linear], theirs)
    else:
        copy([*predictor.tower.layers, predictor.tower.logit], dense)
    if network.first is not None:
        weights = [table.weight for table in tables(peer) if table.embedding_dim == 1]
        network.first.copy_(torch.cat(weights))
        predictor.linear.weight.zero_()


def copy(mine: Iterable[nn.Linear], theirs: Iterable[nn.Linear]) -> None:
    """Copies linear layers one by one."""
    for to, of in zip(mine, theirs, strict=True):
        to.weight.copy_(of.weight)
        to.bias.copy_(of.bias)


def tables(peer: nn.Module) -> Iterator[nn.Embedding]:
    """The embeddings of a network, field by field."""
    return (module for module in peer.modules() if isinstance(module, nn.Embedding))


# ----------------------------------------------------------------------------------------- timing


def report(
    name: str, found: dict[str, Side], batches: list[Batch], options: argparse.Namespace
) -> None:
    """Trains in turns and prints a row a side."""
    rows = sum(len(batch.label) for batch in batches)
    spent: dict[str, list[tuple[float, float]]] = {side: [] for side in found}
    for side in found.values():
        side.train(batches[:2])
    for _ in range(options.repeats):
        for label, side in found.items():
            wall, cpu = time.perf_counter(), time.process_time()
            side.train(batches)
            spent[label].append((time.process_time() - cpu, time.perf_counter() - wall))
    first = [cpu for cpu, _ in spent[next(iter(found))]]
    for label, times in spent.items():
        cpu, wall = (median(column) for column in zip(*times, strict=True))
        ratio = median(peer / mine for peer, (mine, _) in zip(first, times, strict=True))
        weights = sum(parameter.numel() for parameter in found[label].network.parameters())
        print(
            f"| {name} | {label} | {weights:,} | {rows / cpu:,.0f} | {rows / wall:,.0f} "
            f"| {ratio:.2f} |"
        )


def latency(found: dict[str, Side], batch: Batch, options: argparse.Namespace) -> None:
    """Prints the median milliseconds of one row through each side's network."""
    named = {key: column[:1].clone() for key, column in batch.named.items() if key != "label"}
    ids = batch.ids[:1].clone()
    times: dict[str, list[float]] = {label: [] for label in found}
    for side in found.values():
        side.network.eval()
    with torch.inference_mode():
        for _ in range(20):
            for label, side in found.items():
                given: Any = named if label == "FuxiCTR" else ids
                for _ in range(options.requests // 20):
                    began = time.perf_counter()
                    side.network(given)
                    times[label].append(time.perf_counter() - began)
    peer = median(times[next(iter(found))])
    for label, taken in times.items():
        print(f"| {label} | {1e3 * median(taken):.3f} | {median(taken) / peer:.2f} |")


def make_batch(options: argparse.Namespace, seed: int) -> Batch:
    """Values and labels, all alike likely."""
    rng = torch.Generator().manual_seed(seed)
    shape = (options.batch_size, options.fields)
    values = torch.randint(0, options.vocabulary, shape, generator=rng)
    label = torch.randint(0, 2, (options.batch_size,), generator=rng).float()
    named = {f"field{i}": column.contiguous() for i, column in enumerate(values.unbind(dim=1))}
    ids = values + options.vocabulary * torch.arange(options.fields)
    return Batch(ids, label, {**named, "label": label})


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--fields", type=int, default=20)
    parser.add_argument("--vocabulary", type=int, default=1000, help="values of a field")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--tower", type=int, nargs="+", default=[256, 128, 64])
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--batches", type=int, default=20, help="in a turn")
    parser.add_argument("--repeats", type=int, default=7, help="turns")
    parser.add_argument("--requests", type=int, default=2000, help="single rows asked")
    parser.add_argument("--quick", action="store_true", help="a first look: less of everything")
    options = parser.parse_args()
    if options.quick:
        options.batches, options.repeats = min(options.batches, 3), min(options.repeats, 3)
        options.requests = min(options.requests, 400)
    return options


if __name__ == "__main__":
    main()
