import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from gather_rounds import documents

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.document import Batch
from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.gather.saved_index import GROUP_DOCUMENTS, BloomSize, SavedIndex, new_index
from corpusmill.stages.gather.shingling import PRESETS, Scheme

SCHEME = Scheme(bands=6, rows=2, size=2, unit="word", same_numbers=False, seed=3)


def batch(texts: Sequence[str], first: int = 0) -> Batch:
    return documents(texts, ids=[f"s/{first + i}" for i in range(len(texts))], first_row=first)


def texts(first: int, count: int) -> list[str]:
    return [" ".join(f"w{(7 * i + k) % (i + 5)}x{i // 3}" for k in range(12)) for i in range(first, first + count)]


@pytest.fixture
def index(tmp_path: Path) -> SavedIndex:
    made = new_index(str(tmp_path / "index"), SCHEME, None)
    made = made.add("one", [batch(texts(0, 400)), batch([""], 400), batch(texts(400, 300), 401)])
    return made.add("two", [batch(texts(650, 100))])


def test_reopened_it_is_the_same(index: SavedIndex) -> None:
    again = SavedIndex.open(index.folder.url)
    assert again == index
    assert [(added.name, added.documents) for added in again.batches] == [("one", 700), ("two", 100)]
    assert again.num_documents == 800
    files = {name for name in again.folder.names() if name != "index.json"}
    assert files == {f"{added.folder}/{kind}.parquet" for added in again.batches for kind in ("bands", "documents")}
    for added in again.batches:
        for name, checksum in added.checksums.items():
            assert again.folder.checksum(f"{added.folder}/{name}") == checksum


def test_matches_in_plain_python(index: SavedIndex) -> None:
    """Every band of every stored document that equals one asked for, whichever range of keys is read."""
    stored = [
        index.shingler.band_keys(pa.array(some, pa.large_string()))[0] for some in (texts(0, 700), texts(650, 100))
    ]
    asked = np.sort(np.concatenate([stored[0][5], stored[1][60], stored[0][5][:2], np.array([1, 2], dtype=np.uint64)]))
    expected = sorted(
        (at, number, document)
        for at, key in enumerate(asked.tolist())
        for number, keys in enumerate(stored)
        for document in np.flatnonzero((keys == np.uint64(key)).any(axis=1)).tolist()
    )
    found = []
    for low, high in ((0, len(asked)), (0, 4), (4, len(asked))):
        keys = asked[low:high]
        for table in index.matches(keys, int(keys[0]), int(keys[-1]) + 1):
            lines = table.to_pylist()
            found += [(low + line["at"], line["batch"], line["document"]) for line in lines]
    assert sorted(found) == sorted(expected * 2)
    assert len(expected) > 20


def test_documents_come_back_with_their_shingles(index: SavedIndex) -> None:
    numbers = np.array([0, 3, GROUP_DOCUMENTS - 1, GROUP_DOCUMENTS, 699], dtype=np.uint64)
    found = index.documents(0, numbers)
    assert found.column("id").to_pylist() == [f"s/{n if n < 400 else n + 1}" for n in numbers.tolist()]
    sets, bounds = index.shingler.sets(pa.array([texts(3, 1)[0]], pa.large_string()))
    assert found.column("shingles")[1].as_py() == sets[bounds[0] : bounds[1]].tolist()


def test_what_does_not_fit_is_refused_with_the_difference(index: SavedIndex) -> None:
    with pytest.raises(RequestError, match="a batch 'one' is there already"):
        index.add("one", [])
    with pytest.raises(RequestError, match="bands is 6, asked for is 14"):
        index.require(PRESETS["fineweb"])
    with pytest.raises(RequestError, match="no index is here"):
        SavedIndex.open(f"{index.folder.url}/none")
    header = index.folder.read_json("index.json")
    for key, value in (("format", 99), ("algorithm", "other"), ("normalizer", "Unicode 1")):
        index.folder.put("index.json", json.dumps(header | {key: value}).encode())
        with pytest.raises(RequestError, match=f"{key} is {value!r}, this program has"):
            SavedIndex.open(index.folder.url)


def test_an_unfinished_batch_does_not_exist(index: SavedIndex) -> None:
    def broken() -> list[Batch]:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        index.add("three", (each for each in [batch(["a b c d"])] for _ in broken()))
    assert SavedIndex.open(index.folder.url) == index


def test_a_bloom_index_forgets_nothing_and_errs_as_rarely_as_asked(tmp_path: Path) -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    size = BloomSize(documents=2000, error_rate=0.01)
    made = new_index(str(tmp_path / "index"), SCHEME, size)
    words = rng.integers(0, 10**6, size=(6000, 12))
    some = [" ".join(f"w{word}" for word in row) for row in words.tolist()]
    for start in (0, 1000):
        made = made.add(str(start), [batch(some[start : start + 1000])])
    made = SavedIndex.open(made.folder.url)
    assert len([name for name in made.folder.names() if name.endswith(".bloom")]) == 1
    keys = made.shingler.band_keys(pa.array(some, pa.large_string()))[0]
    known = np.asarray(made.seen(keys.ravel()).reshape(keys.shape).any(axis=1))
    assert known[:2000].all()
    assert 0.005 < known[2000:].mean() < 0.015


def test_columns_are_read_by_name(index: SavedIndex) -> None:
    table = next(iter(index.matches(np.array([0], dtype=np.uint64))))
    assert table.column_names == ["at", "batch", "document"]
    assert integers(one_chunk(table, "at")).tolist() == []
