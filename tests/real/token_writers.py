"""Run in .venv-readers or .venv-mosaic: documents on stdin, written into a folder by a format's own writer.

stdin: {"files": [[[id, …], …], …], "names": [[name, …], …], "tokenizer": text}: ids of the documents of each file.
"""

import json
import sys
import types
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

Given = dict[str, Any]


def nanotron(given: Given, folder: Path) -> None:
    from datatrove.io import get_datafolder
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile

    for number, documents in enumerate(given["files"]):
        file = TokenizedFile(
            get_datafolder(str(folder)),
            f"{number}.ds",
            save_index=True,
            tokenizer_name_or_path=given["tokenizer"],
            save_final_metadata=True,
            token_size=2,
        )
        for ids in documents:
            file.write(ids, None)
        file.close()


def olmo(given: Given, folder: Path) -> None:
    from olmo_core.data.utils import write_document_indices

    for number, documents in enumerate(given["files"]):
        ids = [token for document in documents for token in document]
        memory = np.memmap(folder / f"{number}.npy", mode="w+", dtype=np.uint16, shape=(len(ids),))
        memory[:] = ids
        memory.flush()
        write_document_indices(folder / f"{number}.npy", dtype=np.uint16, eos_token_id=given["files"][0][0][-1])


def litdata(given: Given, folder: Path) -> None:
    from litdata import TokensLoader
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(folder), chunk_size=1, item_loader=TokensLoader())
    for number, documents in enumerate(given["files"]):
        writer[number] = np.array([token for document in documents for token in document], dtype=np.uint16)
    writer.done()
    writer.merge()


def mds(given: Given, folder: Path) -> None:
    sys.modules["streaming.vision"] = types.ModuleType("streaming.vision")  # torchvision's CUDA build does not load
    from streaming import MDSWriter

    for number, (documents, names) in enumerate(zip(given["files"], given["names"], strict=True)):
        columns = {"id": "str", "tokens": "ndarray:uint16"}
        with MDSWriter(out=str(folder / str(number)), columns=columns, hashes=[], size_limit=1 << 26) as writer:
            for name, ids in zip(names, documents, strict=True):
                writer.write({"id": name, "tokens": np.array(ids, dtype=np.uint16)})


def hf_arrow(given: Given, folder: Path) -> None:
    from datasets import Dataset, Features, List, Value

    features = Features({"id": Value("string"), "input_ids": List(Value("int32"))})
    rows = {"id": list(chain(*given["names"])), "input_ids": list(chain(*given["files"]))}
    Dataset.from_dict(rows, features=features).save_to_disk(str(folder))


if __name__ == "__main__":
    writers = {"nanotron": nanotron, "olmo": olmo, "litdata": litdata, "mds": mds, "hf-arrow": hf_arrow}
    writers[sys.argv[1]](json.load(sys.stdin), Path(sys.argv[2]))
