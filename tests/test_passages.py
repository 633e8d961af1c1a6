import gzip
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from gather_rounds import documents, run_gather, run_without_parts, split_parts
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.parts import cut_text
from corpusmill.stages.gather.passages import Passages
from corpusmill.stages.kernels.hashing import hash_identifiers

DATA = os.environ.get("CORPUSMILL_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="CORPUSMILL_DATA is not set")
LINES = ["one line of text", "another line", "  one  line of text ", "一行文字", "बस एक पंक्ति", "บรรทัดหนึ่ง", "}", ""]


def left_over(stage: Passages, parts: list[list[pa.RecordBatch]], num_ranges: int = 1) -> dict[str, str]:
    """id -> the text with the repeated pieces cut, for every document."""
    decisions, _ = run_gather(stage, parts, num_ranges)
    left: dict[str, str] = {}
    for batches, table in zip(parts, decisions, strict=True):
        lines = table.to_pylist()
        rows = [
            (i, t)
            for b in batches
            for i, t in zip(b.column("id").to_pylist(), b.column("text").to_pylist(), strict=True)
        ]
        for (name, text), line in zip(rows, lines, strict=True):
            assert line["keep"]
            cut = cut_text(str(text).encode(), line["cut"] or [])
            assert line["passages_repeated_bytes"] == len(str(text).encode()) - len(cut)
            left[str(name)] = cut.decode()
    return left


def by_hand(texts: list[str], ids: list[str], stage: Passages) -> dict[str, list[str]]:
    """id -> lines that stay: the first of equal ones, documents by the hash of their id; or those of enough copies."""
    order = np.argsort(hash_identifiers(pa.array(ids, pa.string())), kind="stable")
    lines = {i: [line.strip() for line in texts[i].split("\n") if line.strip()] for i in order.tolist()}
    same = {line: " ".join(line.split()) for of in lines.values() for line in of}
    copies = Counter(same[line] for of in lines.values() for line in of)
    seen: set[str] = set()
    stays: dict[str, list[str]] = {}
    for i, of in lines.items():
        stays[ids[i]] = []
        for line in of:
            repeated = copies[same[line]] >= stage.min_copies and (stage.keep == "none" or same[line] in seen)
            if len(line.encode()) < stage.min_bytes or not repeated:
                stays[ids[i]].append(line)
            seen.add(same[line])
    return stays


@settings(max_examples=60)
@given(
    texts=st.lists(st.lists(st.sampled_from(LINES), max_size=6).map("\n".join), max_size=6),
    keep=st.sampled_from(["first", "none"]),
    min_copies=st.integers(2, 4),
    num_ranges=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_lines_by_hand(texts: list[str], keep: Any, min_copies: int, num_ranges: int, seed: int) -> None:
    """For any cutting into parts and ranges."""
    ids = [f"s/{i}" for i in range(len(texts))]
    shuffled = list(range(len(texts)))
    random.Random(seed).shuffle(shuffled)
    parts = split_parts(texts, ids, [shuffled[::2], shuffled[1::2]], batch_rows=2)
    stage = Passages(min_bytes=5, keep=keep, min_copies=min_copies)
    left = left_over(stage, parts, num_ranges)
    found = {name: [line.strip() for line in text.split("\n") if line.strip()] for name, text in left.items()}
    assert found == by_hand(texts, ids, stage)


def test_a_bloom_filter_keeps_the_first_in_the_order_of_the_parts() -> None:
    texts = [
        "first line here\nsecond line here",
        "second line here\nthird line here",
        "third line here\nfirst line here",
    ]
    ids = ["s/0", "s/1", "s/2"]
    parts = split_parts(texts, ids, [[0, 1], [2]])
    stage = Passages(min_bytes=5, filter="bloom", capacity=1000, error_rate=1e-6)
    assert left_over(stage, parts) == {"s/0": texts[0], "s/1": "third line here", "s/2": ""}


def test_a_bloom_filter_that_is_too_small_is_refused() -> None:
    stage = Passages(min_bytes=1, filter="bloom", capacity=2)
    with pytest.raises(CorpusmillError, match=r"more than capacity: 2 pieces.*Raise capacity"):
        run_gather(stage, [[documents(["a\nb\nc"])]])


@pytest.mark.parametrize(
    ("unit", "text", "left"),
    [
        ("paragraph", "new\n\nA paragraph\nof two lines.\n\nend", "new\n\nend"),
        ("paragraph", "A paragraph\nof\ntwo lines.", "A paragraph\nof\ntwo lines."),
        ("sentences", "Zero. One is here. Two is here. Three is here. Four.", "Zero. Four."),
        (
            "sentences",
            "One is here. Two is here. Else. Three is here.",
            "One is here. Two is here. Else. Three is here.",
        ),
        ("sentences", "他。一来了这里。二来了这里。三来了这里。好", "他。好"),
    ],
)
def test_units(unit: Any, text: str, left: str) -> None:
    kept = "A paragraph\nof two lines.\n\nOne is here. Two is here. Three is here. And.\n\n"
    kept += "一来了这里。二来了这里。三来了这里。"
    stage = Passages(unit=unit, min_bytes=10, normalize="none")
    names = hash_identifiers(pa.array(["s/a", "s/b"], pa.string()))
    ids = ["s/a", "s/b"] if names[0] < names[1] else ["s/b", "s/a"]
    found = left_over(stage, [[documents([kept, text], ids=ids)]])
    assert found == {ids[0]: kept, ids[1]: left}


@pytest.mark.parametrize(("normalize", "same"), [("none", False), ("whitespace", False), ("words", True)])
def test_what_counts_as_the_same(normalize: Any, same: bool) -> None:
    batch = documents(["All rights reserved © here", "ALL RIGHTS reserved, here!"])
    left = left_over(Passages(min_bytes=5, normalize=normalize), [[batch]])
    assert list(left.values()).count("") == same


@pytest.mark.parametrize("action", ["mask", "mark"])
def test_actions(action: Any) -> None:
    decisions, _ = run_gather(Passages(min_bytes=5, action=action), [[documents(["a long line\n", "a long line\n"])]])
    spans = [span for line in decisions[0].to_pylist() for span in line["cut"] or []]
    assert spans == [{"start": 0, "end": 11, "how": action}]


@pytest.mark.parametrize(
    "settings_",
    [{"min_bytes": 0}, {"min_copies": 1}, {"capacity": 0}, {"error_rate": 1}, {"filter": "bloom", "keep": "none"}],
)
def test_settings_are_checked(settings_: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings_))):
        Passages(**settings_)


@pytest.mark.parametrize("stage", [Passages(), Passages(filter="bloom", capacity=10), Passages(unit="sentences")])
def test_empty_corpus(stage: Passages) -> None:
    run_without_parts(stage)
    decisions, _ = run_gather(stage, [[], [documents([""])]])
    assert [table.num_rows for table in decisions] == [0, 1]


@needs_data
def test_dolmas_paragraphs() -> None:
    """Its duplicate paragraphs (lines, by a Bloom filter, in the order of the file) on its own test documents."""
    folder = Path(DATA or "") / "conformance/dolma/data"
    with gzip.open(folder / "provided/deduper/documents/000.json.gz", "rt", encoding="utf-8", newline="\n") as file:
        records = [json.loads(line) for line in file]
    with gzip.open(folder / "expected/dedupe-paragraphs.json.gz", "rt", encoding="utf-8", newline="\n") as file:
        expected = [json.loads(line)["attributes"]["bff_duplicate_paragraph_spans"] for line in file]
    texts = [record["text"] for record in records]
    stage = Passages(min_bytes=1, normalize="none", filter="bloom", capacity=1000, error_rate=0.001, action="mark")
    decisions, _ = run_gather(stage, [[documents(texts)]])
    for text, line, theirs in zip(texts, decisions[0].to_pylist(), expected, strict=True):
        ours = [text.encode()[span["start"] : span["end"]].decode().strip() for span in line["cut"] or []]
        lines = [text[start:end].strip() for start, end, _ in theirs]
        assert ours == [each for each in lines if each]
