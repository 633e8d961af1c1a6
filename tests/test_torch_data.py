"""Plans in torch: datasets and streams under a DataLoader with workers, and a model that trains on them."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from small_shards import write_shards
from test_batches import LENGTH, NUM_ROWS, make_loader
from torch.utils.data import DataLoader, SequentialSampler

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.segments import IGNORED
from corpusmill.mixtures.sources import read_manifest
from corpusmill.mixtures.torch_data import PlanDataset, PlanStream


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> PlanLoader:
    return make_loader(tmp_path_factory.mktemp("run"))


def test_dataset_by_position(loader: PlanLoader) -> None:
    dataset = PlanDataset(loader)
    rows = torch.from_numpy(loader.rows(0, 64))
    (batch,) = list(DataLoader(dataset, batch_size=64, sampler=range(64)))
    assert torch.equal(batch["input_ids"], rows[:, :-1])
    assert torch.equal(batch["labels"], rows[:, 1:])
    assert torch.equal(dataset[5]["labels"], rows[5, 1:])
    assert len(dataset) == NUM_ROWS
    assert torch.equal(PlanDataset(loader, shifted=False)[5]["labels"], rows[5, :-1])


@pytest.mark.parametrize(("num_workers", "context"), [(0, None), (2, "fork"), (1, "spawn")])
def test_stream_under_a_dataloader_is_the_plan(loader: PlanLoader, num_workers: int, context: str | None) -> None:
    rows = torch.from_numpy(loader.rows(0, NUM_ROWS))
    stream = PlanStream(loader, 600, num_threads=0)
    stream.load_state_dict({"position": 1800})
    batches = list(DataLoader(stream, batch_size=None, num_workers=num_workers, multiprocessing_context=context))
    assert [batch["position"] for batch in batches] == [2400, 3000, 3600, 4200, 4800]
    joined = torch.cat([batch["input_ids"].reshape(-1, LENGTH) for batch in batches])
    assert torch.equal(joined, rows[1800:4800, :-1])


@pytest.mark.parametrize(("num_ranks", "num_workers"), [(2, 2), (3, 1)])
def test_ranks_with_workers_together_are_the_plan(loader: PlanLoader, num_ranks: int, num_workers: int) -> None:
    # Three steps on this many ranks and workers, then the rest on one rank without any.
    rows = torch.from_numpy(loader.rows(0, NUM_ROWS))[:, :-1]
    parts = []
    for rank in range(num_ranks):
        stream = PlanStream(loader, 700, rank=rank, num_ranks=num_ranks, num_threads=0)
        data = DataLoader(stream, batch_size=None, num_workers=num_workers, multiprocessing_context="fork")
        parts.append([batch["input_ids"].reshape(-1, LENGTH) for batch, _ in zip(data, range(3), strict=False)])
    joined = [torch.cat(step) for step in zip(*parts, strict=True)]
    alone = PlanStream(loader, 725)
    alone.load_state_dict({"position": 2100})
    joined += [batch["input_ids"].reshape(-1, LENGTH) for batch in alone]
    assert torch.equal(torch.cat(joined), rows)


def test_documents_of_packed_batches_do_not_leak(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [1200], "books": [400]}, document_tokens=30)
    for path in tmp_path.rglob("*.bin"):  # each document ends with the end id, which text never holds
        tokens = np.fromfile(path, dtype=np.uint16)
        tokens[tokens == 0] = 1
        tokens[29::30] = 0
        tokens[-1] = 0
        tokens.tofile(path)
    mixture = Mixture(tokens=64 * 6, sequence_length=64, weights={"web": 1, "books": 1}, packing="best-fit")
    loader = PlanLoader.open(tmp_path, make_plan(read_manifest(tmp_path), mixture))
    (item,) = list(PlanStream(loader, 6, documents=True))
    inputs, numbers, bounds = item["input_ids"], item["document_ids"], item["cu_seqlens"]
    assert bounds.dtype == torch.int32
    whole = [loader.document_at(row, token) for row in range(6) for token in range(64)]
    for place in range(6 * 64 - 1):
        row, token = divmod(place, 64)
        if token < 63 and whole[place] is not None and whole[place + 1] is not None:
            same = whole[place].id == whole[place + 1].id  # type: ignore[union-attr]  # not None
            assert (numbers[row, token] == numbers[row, token + 1]) == same
            assert ((place + 1) in bounds) == (not same)
    # Attention over the segments of cu_seqlens, and the loss of one document: no gradient reaches another.
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(50_021, 8)
    embedded = embedding(inputs.flatten()).detach().requires_grad_()
    parts = []
    for start, stop in pairwise(bounds.tolist()):
        part = embedded[None, start:stop]
        parts.append(torch.nn.functional.scaled_dot_product_attention(part, part, part, is_causal=True)[0])
    labels = item["labels"].flatten()
    losses = torch.nn.functional.cross_entropy(
        torch.cat(parts) @ embedding.weight.T.detach(), labels, reduction="none", ignore_index=IGNORED
    )
    first, last = int(bounds[1]), int(bounds[2])
    (gradient,) = torch.autograd.grad(losses[first:last].sum(), embedded)
    assert gradient[first:last].any()
    assert not gradient[:first].any()
    assert not gradient[last:].any()
    assert (labels[inputs.flatten() == 0] == IGNORED).all()


def test_resumed_training_equals_straight_training(loader: PlanLoader, tmp_path: Path) -> None:
    straight = train(PlanStream(loader, 50), 8)
    stream = PlanStream(loader, 50)
    train(stream, 3)
    again = PlanStream(loader, 50)
    again.load_state_dict(stream.state_dict())
    assert again.state_dict()["position"] == 150
    assert train(again, 5)[0] == straight[3]


def train(stream: PlanStream, num_steps: int) -> list[float]:
    """Sums that change with any token: a stand-in for the loss would say less."""
    sums = []
    for batch, _ in zip(stream, range(num_steps), strict=False):
        weights = torch.arange(1, batch["input_ids"].numel() + 1, dtype=torch.float64)
        sums.append(float((batch["input_ids"].flatten() * weights).sum()))
        if len(sums) == num_steps:
            break
    return sums


def test_a_plain_torch_loop_learns(loader: PlanLoader) -> None:
    # Token i + 1 of the small shards follows from token i (plus 7): a bigram table over buckets of ids learns it.
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(128, 64), torch.nn.Linear(64, 128))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for batch in DataLoader(PlanStream(loader, 100), batch_size=None):
        logits = model(batch["input_ids"] % 128)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten() % 128)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 4.5
    assert losses[-1] < 1


def test_sequential_sampler_order(loader: PlanLoader) -> None:
    dataset = PlanDataset(loader)
    first = next(iter(DataLoader(dataset, batch_size=10, sampler=SequentialSampler(dataset))))
    assert torch.equal(first["input_ids"], torch.from_numpy(loader.rows(0, 10))[:, :-1])
