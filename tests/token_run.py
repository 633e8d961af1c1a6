"""A small run with token files, built once per test session, and plain readers of what lies in it."""

import json
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from small_corpus import document, run_recipe

from corpusmill.pipeline.parts import final_parts, read_part
from corpusmill.pipeline.run_folder import RunFolder

ODD_TEXTS = [
    "<|endoftext|> and </s> and <unk> and <0x41> spelled out",
    "\u2581 stands where a space should\u2581",
    "tabs\tand\t\ttwo, \r\n returns, \x0b and \x0c feeds, \x00 nothing",
    "   leading, trailing, and   inner   spaces   ",
    "\n\n\nlines\n\n\n",
    "\U0010ffff \ufffd \u200d \U0001f469\u200d\U0001f469\u200d\U0001f467 \ufeff",
    "混合 English 和中文，１２３ ไทย العربية हिन्दी 日本語テキスト",
    "x" * 20_000,
    "7" * 300 + " 12345 3.14159",
    "a",
]


def write_documents(folder: Path, sources: str = "ab", documents: int = 120) -> None:
    """Two files per source; source a also holds ODD_TEXTS."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, source in enumerate(sources):
        texts = [document(at * 10_000 + number) + f"Number {number}\n" for number in range(documents)]
        texts += ODD_TEXTS if source == "a" else []
        for half in (0, 1):
            lines = [
                json.dumps({"id": f"{number:04d}", "text": text, "url": f"https://{source}.test/{number}"})
                for number, text in enumerate(texts)
                if number % 2 == half
            ]
            (folder / f"{source}-{half}.jsonl").write_text("\n".join(lines) + "\n")


def recipe(folder: Path, sources: str = "ab", **tokens: Any) -> dict[str, Any]:
    """No stage changes a text, so texts are as they were written."""
    tokenizer = {"vocab_size": 700} | tokens.pop("tokenizer", {})
    return {
        "format": 1,
        "name": "tokens",
        "seed": 7,
        "unit_bytes": "1KiB",
        "sources": {name: {"read": "jsonl", "paths": [f"{folder}/{name}-*.jsonl"], "id": "id"} for name in sources},
        "tokenizer": tokenizer,
        "tokens": tokens,
    }


@cache
def token_run(**tokens: Any) -> RunFolder:
    """The finished run; nobody may change it."""
    folder = Path(tempfile.mkdtemp(prefix="corpusmill-tokens-"))
    write_documents(folder / "in")
    run_recipe(recipe(folder / "in", **{"max_file_tokens": 6000, "run_tokens": 5000} | tokens), folder / "run")
    return RunFolder(str(folder / "run"))


def kept_texts(run: RunFolder) -> dict[str, str]:
    """Every kept document's text by id, read from the parts."""
    found: dict[str, str] = {}
    for part in final_parts(run):
        for batch in read_part(run, part, text=True):
            found |= dict(zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True))  # type: ignore[arg-type]  # no nulls
    return found


def manifest(run: RunFolder) -> dict[str, Any]:
    body: dict[str, Any] = run.read_json("tokens/manifest.json")
    return body


def plain_documents(prefix: str | Path) -> list[list[int]]:
    """A `.bin`/`.idx` pair read from the description of the format alone, in plain Python."""
    index, body = Path(f"{prefix}.idx").read_bytes(), Path(f"{prefix}.bin").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
    assert version == 1
    letter, size = {4: ("i", 4), 8: ("H", 2)}[code]
    lengths = struct.unpack_from(f"<{sequences}i", index, 34)
    pointers = struct.unpack_from(f"<{sequences}q", index, 34 + 4 * sequences)
    bounds = struct.unpack_from(f"<{documents}q", index, 34 + 12 * sequences)
    assert bounds == tuple(range(sequences + 1))
    assert len(index) == 34 + 12 * sequences + 8 * documents
    assert sum(lengths) * size == len(body)
    return [list(struct.unpack_from(f"<{n}{letter}", body, at)) for n, at in zip(lengths, pointers, strict=True)]


def shard_ids(run: RunFolder, path: str, dtype: str) -> np.ndarray[Any, Any]:
    return np.fromfile(run.path(f"{path}.bin"), dtype={"uint16": "<u2", "uint32": "<u4"}[dtype])


def flat(path: str) -> str:
    """`tokens/a/all/00000` as exports name it."""
    return path.removeprefix("tokens/").replace("/", ".")


def documents(shard: dict[str, Any]) -> list[list[int]]:
    """The ids of each document of a file of the manifest."""
    return plain_documents(token_run().path(shard["path"]))


def names(shard: dict[str, Any]) -> list[str]:
    """The ids of the documents themselves."""
    table = token_run().read_table(f"{shard['path']}.docs.parquet", ["id"])
    return [str(name) for name in table.column("id").to_pylist()]


def tokens(shard: dict[str, Any]) -> list[int]:
    """All ids of the file."""
    return [token for ids in documents(shard) for token in ids]
