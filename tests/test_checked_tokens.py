"""A changed byte anywhere in a token file is found by a loader that checks, named by file and MiB, and by none else."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from token_run import token_run

from corpusmill.mixtures import checked_tokens
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.pipeline.run_folder import Checksum, RunFolder
from corpusmill.stages.tokens.token_shards import BLOCK_BYTES


def test_blocks_are_those_of_the_writer() -> None:
    assert checked_tokens.BLOCK_BYTES == BLOCK_BYTES


@pytest.mark.parametrize("share", [0.0, 0.31, 0.99999])
def test_one_flipped_bit_is_found_when_it_is_read(tmp_path: Path, share: float) -> None:
    shutil.copytree(token_run().path("tokens"), tmp_path / "tokens")
    plan = make_plan(read_manifest(tmp_path), Mixture(tokens=4000, sequence_length=16, weights={"a": 1}))
    expected = PlanLoader.open(tmp_path, plan).rows(0, len(PlanLoader.open(tmp_path, plan)))
    checking = PlanLoader.open(tmp_path, plan, verify=True)
    assert np.array_equal(checking.rows(0, len(checking)), expected)
    for path in sorted((tmp_path / "tokens/a/all").glob("*.bin")):
        data = bytearray(path.read_bytes())
        data[int(share * len(data))] ^= 4
        path.write_bytes(bytes(data))
    assert len(PlanLoader.open(tmp_path, plan).rows(0, 10)) == 10
    again = pickle.loads(pickle.dumps(PlanLoader.open(tmp_path, plan, verify=True)))
    with pytest.raises(DamagedFileError, match=r"tokens/a/all/0000\d\.bin, MiB 0"):
        again.rows(0, len(again))
    reader = again.manifest.open(["a"])["a"]
    reader.verify = True
    with pytest.raises(DamagedFileError, match="MiB 0"):
        reader.read_all()


def test_only_the_blocks_under_a_row_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = token_run()
    monkeypatch.setattr(checked_tokens, "BLOCK_BYTES", 512)  # 256 tokens
    tokens = np.fromfile(run.path("tokens/a/all/00000.bin"), "<u2")
    for start in range(0, len(tokens), 256):
        digest = Checksum()
        digest.update(tokens[start : start + 256].tobytes())
        with (tmp_path / "x.sums").open("ab") as file:
            file.write(digest.digest())
    damaged = tokens.copy()
    damaged[300] += 1
    checked = checked_tokens.CheckedTokens(damaged, RunFolder(str(tmp_path)), "x")
    assert np.array_equal(checked[0:256], tokens[:256])
    assert len(checked[256:256]) == 0
    for start, stop in ((250, 257), (511, 512), (0, len(tokens))):
        with pytest.raises(DamagedFileError, match="MiB 1"):
            checked[start:stop]
    assert np.array_equal(checked[512 : len(tokens)], tokens[512:])
    (tmp_path / "x.sums").write_bytes(b"short")
    with pytest.raises(DamagedFileError, match="5 bytes"):
        checked_tokens.CheckedTokens(tokens, RunFolder(str(tmp_path)), "x")
