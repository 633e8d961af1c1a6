"""The Levanter cache read by hand; zarr and tensorstore read it in test_formats.py."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from numcodecs import blosc
from token_run import documents, manifest, token_run, tokens

from corpusmill.stages.tokens.export import export_run, levanter


def test_levanter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of four chunks, read by hand: the table at the end, its checksum, Blosc, little-endian."""
    monkeypatch.setattr(levanter, "CHUNK_ITEMS", 1000)
    monkeypatch.setattr(levanter, "FILE_ITEMS", 4000)
    monkeypatch.setattr(levanter, "CHUNKS", 4)
    export_run(token_run(), "levanter", str(tmp_path))
    shards = [s for s in manifest(token_run())["shards"] if (s["source"], s["bucket"]) == ("a", "all")]
    found: dict[str, list[int]] = {}
    for name, kind in (("offsets", "<i8"), ("data", "<i4")):
        values: list[int] = []
        place = tmp_path / f"a/all/input_ids/{name}"
        assert json.loads((place / "zarr.json").read_text())["data_type"] == {"<i8": "int64", "<i4": "int32"}[kind]
        for file in sorted((place / "c").iterdir(), key=lambda path: int(path.name)):
            data = file.read_bytes()
            table = struct.unpack("<8Q", data[-68:-4])
            assert levanter.crc32c(data[-68:-4]) == struct.unpack("<I", data[-4:])[0]
            for start, size in zip(table[::2], table[1::2], strict=True):
                if start != (1 << 64) - 1:
                    values += np.frombuffer(blosc.decompress(data[start : start + size]), kind).tolist()
        found[name] = values
    lengths = [len(ids) for shard in shards for ids in documents(shard)]
    flat_tokens = [token for shard in shards for token in tokens(shard)]
    assert found["offsets"][: len(lengths) + 1] == [len(lengths), *np.cumsum(lengths).tolist()]
    assert found["data"][: len(flat_tokens)] == flat_tokens
    assert not any(found["data"][len(flat_tokens) :])
    ledger = json.loads((tmp_path / "a/all/shard_ledger.json").read_text())
    assert (ledger["total_num_rows"], ledger["field_counts"]) == (len(lengths), {"input_ids": len(flat_tokens)})


def test_crc32c_has_its_check_value() -> None:
    assert levanter.crc32c(b"123456789") == 0xE3069283  # of the standard, RFC 3720 B.4 polynomial
