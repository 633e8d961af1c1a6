"""Run in .venv-readers or .venv-mosaic: what a format's own reader finds in an export, as JSON on the last line."""

import json
import sys
import types
from pathlib import Path
from typing import Any


def nanotron(folder: Path) -> Any:
    from datatrove.utils.dataset import DatatroveFileDataset

    dataset = DatatroveFileDataset(str(folder / "a.all.00000.ds"), 64, token_size=2)
    return [dataset[index]["input_ids"].tolist() for index in range(len(dataset))]


def olmo(folder: Path) -> Any:
    import numpy as np
    from olmo_core.data.numpy_dataset import NumpyFSLDataset
    from olmo_core.data.utils import iter_document_indices

    path = folder / "a.all.00000.npy"
    dataset = NumpyFSLDataset(path, sequence_length=64, pad_token_id=0, eos_token_id=1, vocab_size=700, dtype=np.uint16)
    dataset.prepare()
    sequences = [dataset[index]["input_ids"].tolist() for index in range(len(dataset))]
    borders = iter_document_indices(path, eos_token_id=1, dtype=np.uint16)
    return {"sequences": sequences, "documents": [[int(start), int(end)] for start, end in borders]}


def litdata(folder: Path) -> Any:
    from litdata import StreamingDataset, TokensLoader

    dataset = StreamingDataset(str(folder / "a/all"), item_loader=TokensLoader(block_size=64), shuffle=False)
    return [dataset[index].tolist() for index in range(len(dataset))]


def mds(folder: Path) -> Any:
    sys.modules["streaming.vision"] = types.ModuleType("streaming.vision")  # torchvision's CUDA build does not load
    from streaming import LocalDataset

    dataset = LocalDataset(str(folder / "a/all"))
    return [dataset[index]["tokens"].tolist() for index in range(len(dataset))]


if __name__ == "__main__":
    reader = {"nanotron": nanotron, "olmo": olmo, "litdata": litdata, "mds": mds}[sys.argv[1]]
    print(json.dumps(reader(Path(sys.argv[2]))))
