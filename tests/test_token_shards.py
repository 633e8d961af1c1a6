"""Reading token files back, block sums against hand-made ones, and megatron-core's own reader and writer."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from token_run import manifest, plain_documents, token_run

from corpusmill.pipeline.errors import DamagedFileError, RequestError
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.token_shards import BLOCK_BYTES, BlockSums, read_manifest

READERS = Path(__file__).parents[1] / ".venv-readers/bin/python"
SCRIPT = Path(__file__).parent / "real/megatron_reader.py"


@given(st.lists(st.integers(0, 700_000), max_size=8))
@settings(max_examples=20)
def test_block_sums_do_not_depend_on_how_bytes_arrive(sizes: list[int]) -> None:
    data = bytes(range(256)) * (sum(sizes) // 256 + 1)
    sums, at = BlockSums(), 0
    for size in sizes:
        sums.update(data[at : at + size])
        at += size
    blocks = [data[start : min(start + BLOCK_BYTES, at)] for start in range(0, at, BLOCK_BYTES)]
    assert sums.finish() == b"".join(blake3(block).digest(16) for block in blocks)


def test_shards_of_a_run_are_read_through_the_manifest() -> None:
    run = token_run()
    found = read_manifest(run)
    assert [shard.path for shard in found.shards] == [shard["path"] for shard in manifest(run)["shards"]]
    assert {shard.split for shard in found.of_source("a")} == {"train"}
    shard = next(found.of_source("a"))
    documents = shard.documents()
    flat = [token for ids in plain_documents(run.path(shard.path)) for token in ids]
    assert shard.tokens().tolist() == flat
    start, count = documents.column("token_start")[3].as_py(), documents.column("num_tokens")[3].as_py()
    assert start is not None
    assert count is not None
    assert shard.tokens(start, start + count).tolist() == plain_documents(run.path(shard.path))[3]
    with pytest.raises(DamagedFileError, match="ends before token"):
        shard.tokens(0, shard.num_tokens + 1)


def test_a_run_without_tokens_says_so(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="Build the run first"):
        read_manifest(RunFolder(str(tmp_path)))


@pytest.mark.real
def test_megatron_core_reads_every_document() -> None:
    run = token_run()
    prefixes = [run.path(shard["path"]) for shard in manifest(run)["shards"]]
    done = subprocess.run([READERS, SCRIPT, *prefixes], capture_output=True, check=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {prefix: plain_documents(prefix) for prefix in prefixes}


@pytest.mark.real
@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_files_are_byte_identical_to_megatron_core_s_own(tmp_path: Path, dtype: str) -> None:
    from corpusmill.stages.tokens.megatron_index import index_bytes

    documents = [[5, 6, 1], [1], [7] * 1000 + [1], [65000 if dtype == "uint16" else 200_000, 1]]
    command = [str(READERS), str(SCRIPT), "--write", str(tmp_path / "theirs"), dtype]
    subprocess.run(command, input=json.dumps(documents), check=True, text=True, capture_output=True)
    lengths = np.array([len(ids) for ids in documents])
    assert (tmp_path / "theirs.idx").read_bytes() == index_bytes(lengths, np.dtype(dtype).itemsize)
    flat = np.array([token for ids in documents for token in ids], dtype=np.dtype(dtype).newbyteorder("<"))
    assert (tmp_path / "theirs.bin").read_bytes() == flat.tobytes()
