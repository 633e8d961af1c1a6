import random
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from gather_rounds import documents, run_gather, run_without_parts, split_parts
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.stages.gather.substrings import Substrings
from corpusmill.stages.kernels.hashing import hash_identifiers


def brute_force(texts: list[str], ids: list[str], length: int) -> dict[str, set[int]]:
    """id -> bytes covered by windows that equal an earlier one, documents ordered by the hash of their id."""
    names = hash_identifiers(pa.array(ids, pa.string()))
    seen: set[bytes] = set()
    covered: dict[str, set[int]] = defaultdict(set)
    for i in np.argsort(names, kind="stable"):
        raw = texts[i].encode()
        for start in range(len(raw) - length + 1):
            window = raw[start : start + length]
            if window in seen:
                covered[ids[i]].update(range(start, start + length))
            seen.add(window)
    return covered


def covered_by(stage: Substrings, parts: list[list[pa.RecordBatch]], num_ranges: int = 1) -> dict[str, set[int]]:
    decisions, _ = run_gather(stage, parts, num_ranges)
    covered: dict[str, set[int]] = {}
    for batches, table in zip(parts, decisions, strict=True):
        ids = [name for batch in batches for name in batch.column("id").to_pylist()]
        for name, line in zip(ids, table.to_pylist(), strict=True):
            assert line["keep"]
            spans = line["cut"] or []
            assert line["substrings_repeated_bytes"] == sum(span["end"] - span["start"] for span in spans)
            if spans:
                covered[str(name)] = {at for span in spans for at in range(span["start"], span["end"])}
    return covered


PIECES = st.sampled_from(["a", "b", "ab", "-" * 7, "- " * 5, "abcabcabc", "|--|--", "the cat", "xyxyzxyxyz" * 2])


@settings(max_examples=80)
@given(
    texts=st.lists(st.lists(PIECES, max_size=8).map("".join), max_size=5),
    length=st.integers(2, 24),
    num_ranges=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_every_repeated_run_is_found(texts: list[str], length: int, num_ranges: int, seed: int) -> None:
    ids = [f"s/{i}" for i in range(len(texts))]
    shuffled = list(range(len(texts)))
    random.Random(seed).shuffle(shuffled)
    parts = split_parts(texts, ids, [shuffled[::2], shuffled[1::2]], batch_rows=2)
    found = covered_by(Substrings(min_bytes=length, whole_words=False), parts, num_ranges)
    assert found == brute_force(texts, ids, length)


@pytest.mark.parametrize("length", [30, 100])
def test_longer_texts_with_dashes_and_table_rules(length: int) -> None:
    rng = random.Random(length)
    words = ["alpha", "beta", "gamma", "delta", "--------", "| --- | --- |", "=====", "epsilon"]
    shared = [" ".join(rng.choices(words, k=30)) for _ in range(4)]
    texts = []
    for _ in range(20):
        own = [" ".join(rng.choices(words, k=rng.randrange(40))) for _ in range(4)]
        texts.append(
            " ".join([own[0], rng.choice(shared), own[1], "-" * rng.randrange(300), own[2], rng.choice(shared)])
        )
    ids = [f"s/{i}" for i in range(len(texts))]
    parts = split_parts(texts, ids, [range(12), range(12, 20)], batch_rows=5)
    found = covered_by(Substrings(min_bytes=length, whole_words=False), parts, 2)
    assert found == brute_force(texts, ids, length)
    assert sum(map(len, found.values())) > 1000


@pytest.mark.parametrize("action", ["cut", "mask", "mark"])
def test_actions(action: str) -> None:
    line = "This notice must stay with every copy of the file. "
    texts = [f"First. {line}Own words.", f"Second! {line}Other words."]
    decisions, _ = run_gather(Substrings(min_bytes=40, action=action), [[documents(texts)]])  # type: ignore[arg-type]
    (spans,) = [entry["cut"] for entry in decisions[0].to_pylist() if entry["cut"]]
    assert [span["how"] for span in spans] == [action]
    other = texts[[bool(entry["cut"]) for entry in decisions[0].to_pylist()].index(True)]
    assert other.encode()[spans[0]["start"] : spans[0]["end"]].decode().strip() == line.strip()


def test_nothing_to_find() -> None:
    run_without_parts(Substrings())
    decisions, _ = run_gather(Substrings(), [[], [documents(["", "short", "short"])]])
    assert [table.num_rows for table in decisions] == [0, 3]
    assert decisions[1].column("cut").null_count == 3


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="min_bytes"):
        Substrings(min_bytes=1)
