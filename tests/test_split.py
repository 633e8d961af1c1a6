"""The held-out choice: shares, limits, whole groups, and that a document's side hangs on nothing but hashes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_run import kept_texts, manifest, token_run

from corpusmill.pipeline.phases import receipts_of
from corpusmill.stages.tokens.split import Limits, choose_groups, limits_of
from corpusmill.stages.tokens.token_settings import TokenSettings


@pytest.mark.parametrize(
    ("documents", "wanted"),
    [
        (0, 0),
        (9, 0),  # a tenth of nine is none
        (10, 1),
        (80, 8),  # most stay for training
        (999, 99),
        (1000, 100),
        (1001, 100),
        (20_000, 100),
        (20_001, 101),  # from here on half a percent
        (1_000_000, 5000),
    ],
)
def test_documents_wanted_of_a_source(documents: int, wanted: int) -> None:
    assert limits_of(TokenSettings(), documents, documents * 3000).wanted == wanted


def test_no_documents_are_wanted_when_nothing_is_to_be_held_out() -> None:
    assert limits_of(TokenSettings(held_out=0), 100_000, 10**9).wanted == 0


def choose(groups: list[tuple[int, int, int]], limits: list[Limits]) -> list[int]:
    hashes, source, size = (np.array(column) for column in zip(*groups, strict=True))
    return sorted(choose_groups(hashes.astype(np.uint64), source, size, limits).tolist())


def test_groups_are_taken_in_hash_order_until_the_source_has_enough() -> None:
    groups = [(30, 0, 1), (10, 0, 1), (20, 0, 1), (40, 0, 1)]
    assert choose(groups, [Limits(2, 4, 100, 9)]) == [1, 2]


def test_a_group_over_a_limit_is_left_and_the_next_one_taken() -> None:
    groups = [(10, 0, 60), (10, 0, 60), (20, 0, 50), (30, 0, 40)]
    assert choose(groups, [Limits(2, 9, 100, 9)]) == [2, 3]  # 120 bytes do not fit, 50 + 40 do
    assert choose([(10, 0, 1)] * 4 + [(20, 0, 1)], [Limits(1, 3, 100, 9)]) == [4]  # four documents, three allowed


def test_a_group_that_spans_sources_is_on_one_side_and_within_both_limits() -> None:
    groups = [(10, 0, 1), *[(10, 1, 1)] * 5, (20, 0, 1), (30, 1, 1)]
    assert choose(groups, [Limits(1, 3, 99, 9), Limits(1, 3, 99, 9)]) == [6, 7]
    assert choose(groups, [Limits(1, 3, 99, 9), Limits(0, 6, 99, 9)]) == [0, 1, 2, 3, 4, 5]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2), st.integers(1, 30)), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(0, 90)), min_size=3, max_size=3),
    st.randoms(use_true_random=False),
)
def test_choice_is_whole_within_limits_and_independent_of_order(groups, bounds, random) -> None:  # type: ignore[no-untyped-def]  # hypothesis gives the types
    limits = [Limits(min(wanted, tenth), tenth, size, 99) for wanted, tenth, size in bounds]
    chosen = {groups[index] for index in choose(groups, limits)}
    hashes = {group[0] for group in chosen}
    taken = [group for group in groups if group[0] in hashes]
    assert sorted(taken) == sorted(groups[index] for index in choose(groups, limits))
    for source, limit in enumerate(limits):
        assert sum(group[1] == source for group in taken) <= limit.tenth
        assert sum(group[2] for group in taken if group[1] == source) <= limit.max_bytes
    shuffled = list(groups)
    random.shuffle(shuffled)
    assert sorted(shuffled[index] for index in choose(shuffled, limits)) == sorted(taken)


def test_a_run_holds_out_the_documents_of_smallest_hash() -> None:
    run = token_run()
    from hashlib import blake2b

    texts = kept_texts(run)
    for source in ("a", "b"):
        names = [name for name in texts if name.startswith(f"{source}/")]
        wanted = min(len(names) // 10, max(100, math.ceil(0.005 * len(names))))
        key = b"split:7"
        order = sorted(names, key=lambda n: blake2b(f"id\0{n}".encode(), digest_size=8, key=key).digest()[::-1])
        (shard,) = (s for s in manifest(run)["shards"] if s["source"] == source and s["split"] == "val")
        held = run.read_table(f"{shard['path']}.docs.parquet").column("id").to_pylist()
        assert sorted(map(str, held)) == sorted(order[:wanted])
    (receipt,) = receipts_of(run, "tokens/split/val")
    assert {name: notes["val_documents"] for name, notes in receipt.books.notes.items()} == {"a": 13, "b": 12}


def test_split_by_a_column_keeps_its_values_together() -> None:
    run = token_run(split_by="lang")  # null for every document: each stands alone, as without it
    assert manifest(run) == manifest(token_run())
