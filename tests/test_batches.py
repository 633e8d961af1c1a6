"""Batches resume at any step, under any number of ranks and threads, and together are the plan."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shards import expected_tokens, write_shards

from corpusmill.mixtures.batches import BatchStream
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, Phase, make_plan
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.sources import read_manifest

LENGTH, NUM_ROWS = 8, 5000


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> PlanLoader:
    return make_loader(tmp_path_factory.mktemp("run"))


def make_loader(run: Path, seed: int = 0) -> PlanLoader:
    write_shards(run, {"web": [3000, 900], "books": [777]})
    phases = (
        Phase(name="short", share=2, weights={"web": 1, "books": 1}, sequence_length=4),
        Phase(name="long", share=3, weights={"web": 5, "books": 1}),
    )
    mixture = Mixture(tokens=LENGTH * NUM_ROWS, sequence_length=LENGTH, phases=phases, seed=seed)
    return PlanLoader.open(run, make_plan(read_manifest(run), mixture))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(5, 90), st.integers(0, 2), st.integers(1, 6)), max_size=6))
def test_world_size_batch_and_threads_may_change_at_any_step(
    loader: PlanLoader, legs: list[tuple[int, int, int, int]]
) -> None:
    straight = loader.rows(0, NUM_ROWS)
    position = 0
    for num_ranks, batch_rows, num_threads, num_steps in legs:
        streams = [
            BatchStream(loader, batch_rows, rank=rank, num_ranks=num_ranks, num_threads=num_threads)
            for rank in range(num_ranks)
        ]
        for stream in streams:
            stream.load_state_dict({"position": position})
        for parts in zip(*(islice_batches(stream, num_steps) for stream in streams), strict=True):
            inputs = np.concatenate([inputs.reshape(-1, LENGTH) for inputs, _ in parts])
            targets = np.concatenate([targets.reshape(-1, LENGTH) for _, targets in parts])
            assert (inputs == straight[position : position + batch_rows, :-1]).all()
            assert (targets == straight[position : position + batch_rows, 1:]).all()
            position += batch_rows
        assert {stream.state_dict()["position"] for stream in streams} == {position}


def islice_batches(stream: BatchStream, num_steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    taken = []
    iterator = iter(stream)
    for _ in range(num_steps):
        batch = next(iterator)
        assert batch.inputs.flags.c_contiguous
        assert batch.targets.flags.c_contiguous
        taken.append((batch.inputs, batch.targets))
    return taken


@pytest.mark.parametrize("num_threads", [0, 1, 3])
def test_the_end_of_the_plan_gives_whole_batches_only(loader: PlanLoader, num_threads: int) -> None:
    stream = BatchStream(loader, 700, position=3300, num_threads=num_threads)
    assert len(stream) == 2
    assert [(batch.start, batch.stop) for batch in stream] == [(3300, 4000), (4000, 4700)]
    assert len(stream) == 0
    assert list(stream) == []


def test_shorter_sequences_in_their_phase(loader: PlanLoader) -> None:
    shapes = [batch.inputs.shape for batch in BatchStream(loader, 1000)]
    assert shapes == [(2000, 4), (2000, 4), (1000, 8), (1000, 8), (1000, 8)]
    first = next(iter(BatchStream(loader, 3)))
    rows = loader.rows(0, 3)
    # The second half of a row goes on where the first ended: its first input is the first half's last target.
    assert first.inputs[1].tolist() == rows[0, 4:8].tolist()
    assert first.targets[0].tolist() == rows[0, 1:5].tolist()


def test_a_token_of_any_step_and_rank_leads_to_its_document(loader: PlanLoader) -> None:
    # Step 3 is in the phase of short sequences (two to a row), step 90 in the other.
    streams = [BatchStream(loader, 50, rank=rank, num_ranks=3) for rank in range(3)]
    for step, rank, row, token in ((3, 0, 0, 0), (3, 2, 33, 3), (90, 1, 16, 7), (90, 2, 0, 4)):
        batch = streams[rank].make(step * 50)
        found = streams[0].locate(step, rank, row, token)
        assert found is not None
        source = ("web", "books").index(found.source)
        file = int(found.shard[-1])
        place = (3000 if file else 0) + found.token_start + found.token
        assert batch.inputs[row, token] == expected_tokens(source, place, 1)[0]
    with pytest.raises(IndexError, match="row 34, token 0 of a batch of 34 x 4"):
        streams[0].locate(3, 2, 34, 0)


def test_the_hint_for_the_learning_rate(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [3000]})
    phases = (
        Phase(name="main", share=3, weights={"web": 1}),
        Phase(name="end", share=1, weights={"web": 1}, learning_rate=1, learning_rate_to=0),
    )
    plan = make_plan(read_manifest(tmp_path), Mixture(tokens=800, sequence_length=8, phases=phases))
    plan.save(tmp_path / "plans/main.json")
    loader = PlanLoader.open(tmp_path, Plan.load(tmp_path / "plans/main.json"))
    assert [loader.learning_rate_at(position) for position in (0, 74, 75, 80, 100)] == [None, None, 1, 0.8, 0]


def test_state_of_another_plan_is_refused(loader: PlanLoader, tmp_path: Path) -> None:
    stream = BatchStream(loader, 10)
    other = BatchStream(make_loader(tmp_path, seed=1), 10)
    with pytest.raises(ValueError, match="continue that one under a new mixture"):
        stream.load_state_dict(other.state_dict())
    stream.load_state_dict(stream.state_dict())
    for position in (-1, loader.plan.num_rows + 1):
        with pytest.raises(ValueError, match=f"position {position}, and the plan has rows 0 to"):
            stream.load_state_dict({"position": position})


def test_fewer_rows_than_ranks(loader: PlanLoader) -> None:
    with pytest.raises(ValueError, match="less than one row for each of 4 ranks"):
        BatchStream(loader, 3, num_ranks=4)


def test_an_error_in_a_thread_reaches_the_trainer(tmp_path: Path) -> None:
    loader = make_loader(tmp_path)
    (tmp_path / "tokens/web/all/00000.bin").unlink()
    with pytest.raises(Exception, match=r"00000.bin is missing"):
        next(iter(BatchStream(loader, 64, num_threads=2)))
