"""Token files of other programs against what was written into them, with and without end ids."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.errors import DamagedFileError, RequestError
from corpusmill.stages.tokens.megatron_index import index_bytes
from corpusmill.stages.tokens.stored_tokens import stored_tokens

END = 1


def open_local(path: str) -> BinaryIO:
    return Path(path).open("rb")


def write(folder: Path, form: str, documents: list[list[int]], dtype: str) -> str:
    path = folder / f"x.{'bin' if form == 'megatron' else 'ds'}"
    flat = np.array([token for ids in documents for token in ids], dtype=dtype)
    path.write_bytes(flat.tobytes())
    counts = np.array([len(ids) for ids in documents], dtype=np.int64)
    if form == "megatron":
        path.with_suffix(".idx").write_bytes(index_bytes(counts, np.dtype(dtype).itemsize))
    else:
        Path(f"{path}.index").write_bytes(np.cumsum(counts).astype("<u8").tobytes())
    return str(path)


def read(path: str) -> list[list[int]]:
    return [ids.tolist() for ids in stored_tokens(path, open_local).documents(open_local, END)]


@pytest.mark.parametrize(
    ("form", "dtype"), [("megatron", "<u2"), ("megatron", "<i4"), ("nanotron", "<u2"), ("nanotron", "<u4")]
)
@given(documents=st.lists(st.lists(st.integers(2, 60_000), max_size=6), max_size=6), ends=st.booleans())
def test_documents_come_back_without_their_end_ids(
    tmp_path_factory: pytest.TempPathFactory, form: str, dtype: str, documents: list[list[int]], ends: bool
) -> None:
    path = write(tmp_path_factory.mktemp("x"), form, [[*ids, END] if ends else ids for ids in documents], dtype)
    assert read(path) == documents


def test_an_end_id_inside_a_document_ends_it(tmp_path: Path) -> None:
    path = write(tmp_path, "megatron", [[5, END, 6, 7, END], [END], [8, END, 9]], "<u2")
    assert read(path) == [[5], [6, 7], [], [8], [9]]


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "nanotron", [[5, 6], [7]], "<u2")
    Path(path).write_bytes(b"12345")
    with pytest.raises(DamagedFileError, match="5 bytes for 3 tokens"):
        read(path)
    path = write(tmp_path, "megatron", [[5, 6], [7]], "<u2")
    Path(path).write_bytes(b"1234")
    with pytest.raises(DamagedFileError, match="ends before token 3"):
        read(path)
    data = bytearray(Path(path).with_suffix(".idx").read_bytes())
    data[34 + 8] = 2  # the first pointer
    Path(path).with_suffix(".idx").write_bytes(bytes(data))
    with pytest.raises(DamagedFileError, match="end to end"):
        read(path)
    Path(path).with_suffix(".idx").unlink()
    with pytest.raises(DamagedFileError, match="missing"):
        read(path)
    with pytest.raises(RequestError, match="neither"):
        stored_tokens("a.npy", open_local)
