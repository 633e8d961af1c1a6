"""Every kind of damage to token files is found and named by file and block."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from token_run import manifest, token_run

from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.verify import verify
from corpusmill.stages.tokens.token_shards import BLOCK_BYTES, TokenShard
from corpusmill.stages.tokens.verify_tokens import block_problems, token_problems


@pytest.fixture
def copy(tmp_path: Path) -> RunFolder:
    shutil.copytree(token_run().url, tmp_path / "run")
    return RunFolder(str(tmp_path / "run"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def found(run: RunFolder) -> list[tuple[str, str, int]]:
    return [(problem.file, problem.kind, problem.block) for problem in token_problems(run)]


def test_an_undamaged_run_has_no_problem(copy: RunFolder) -> None:
    assert found(copy) == []
    assert verify(copy, [token_problems]).ok


@pytest.mark.parametrize("suffix", ["bin", "idx", "docs.parquet", "sums"])
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_one_flipped_bit_is_found(copy: RunFolder, suffix: str, where: float) -> None:
    name = f"{manifest(copy)['shards'][0]['path']}.{suffix}"
    path = Path(copy.path(name))
    flip(path, round(where * (path.stat().st_size - 1)))
    result = verify(copy, [token_problems])
    assert not result.ok
    assert name in {problem.file for problem in result.problems}
    if suffix == "bin":
        assert (name, "damaged", 0) in found(copy)


@pytest.mark.parametrize(
    "name", ["phases.json", "tokenizer/card.json", "tokenizer/tokenizer.model", "tokens/manifest.json"]
)
def test_any_changed_byte_of_the_small_files_is_a_problem_and_no_crash(copy: RunFolder, name: str) -> None:
    path = Path(copy.path(name))
    data = path.read_bytes()
    random = np.random.default_rng(5)
    for at in (0, len(data) - 2, *random.integers(0, len(data), 12).tolist()):
        for changed in (data[at] ^ 0x80, *([] if name == "phases.json" else [0x7B])):  # its keys are checked by a build
            if changed != data[at]:
                path.write_bytes(data[:at] + bytes([changed]) + data[at + 1 :])
                result = verify(copy, [token_problems])
                assert not result.ok, (at, changed)
    path.write_bytes(data)


def test_documents_that_are_in_no_token_file_are_missed(copy: RunFolder) -> None:
    body = manifest(copy)
    copy.put_json("tokens/manifest.json", body | {"shards": body["shards"][1:]})
    assert ("tokens/manifest.json", "books", -1) in found(copy)


def test_a_missing_file_is_named(copy: RunFolder) -> None:
    name = f"{manifest(copy)['shards'][1]['path']}.idx"
    copy.remove(name)
    assert (name, "missing", -1) in found(copy)


def test_a_foreign_tokenizer_is_found(copy: RunFolder) -> None:
    card = json.loads(copy.read_bytes("tokenizer/card.json"))
    copy.put_json("tokenizer/card.json", card | {"hash": "0" * 32})
    assert found(copy) == [("tokenizer/card.json", "foreign_tokenizer", -1)]


def test_a_model_with_other_scores_is_foreign(copy: RunFolder) -> None:
    path = Path(copy.path("tokenizer/tokenizer.model"))
    data = path.read_bytes()
    score = data.index(b"\x15")  # the first score of a piece: field 2, four bytes
    path.write_bytes(data[: score + 1] + b"\x00\x00\x80\x3f" + data[score + 5 :])
    assert ("tokenizer/tokenizer.model", "foreign_tokenizer", -1) in found(copy)


def test_a_cut_body_is_named(copy: RunFolder) -> None:
    name = f"{manifest(copy)['shards'][0]['path']}.bin"
    copy.put(name, copy.read_bytes(name)[:-2])
    assert (name, "damaged", -1) in found(copy)


def test_blocks_are_named_by_number(tmp_path: Path) -> None:
    """Three blocks, the last one short; a bit in each."""
    from corpusmill.stages.tokens.token_shards import BlockSums

    run = RunFolder(str(tmp_path))
    ids = np.full(BLOCK_BYTES // 2 * 2 + 10, 5, dtype="<u2")
    ids[[9, BLOCK_BYTES, len(ids) - 1]] = 1
    sums = BlockSums()
    for piece in np.array_split(ids, 7):
        sums.update(piece)
    run.put("s.sums", sums.finish())
    shard = TokenShard(run, "s", "all", "train", "s", len(ids), 3, 0, "", np.dtype("<u2"))
    ends = np.array([9, BLOCK_BYTES, len(ids) - 1])
    run.put("s.bin", ids.tobytes())
    assert list(block_problems(shard, ends, 1)) == []
    for block, at in enumerate([0, BLOCK_BYTES, 2 * BLOCK_BYTES + 19]):
        changed = bytearray(ids.tobytes())
        changed[at] ^= 0x80
        run.put("s.bin", bytes(changed))
        assert [problem.block for problem in block_problems(shard, ends, 1)] == [block]


def test_end_ids_elsewhere_are_found_even_with_good_sums(tmp_path: Path) -> None:
    from corpusmill.stages.tokens.token_shards import BlockSums

    run = RunFolder(str(tmp_path))
    ids = np.array([5, 1, 5, 1], dtype="<u2")
    sums = BlockSums()
    sums.update(ids)
    run.put("s.sums", sums.finish())
    run.put("s.bin", ids.tobytes())
    shard = TokenShard(run, "s", "all", "train", "s", 4, 1, 0, "", np.dtype("<u2"))
    (problem,) = block_problems(shard, np.array([3]), 1)
    assert "end ids" in problem.message
