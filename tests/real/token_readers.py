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


def levanter(folder: Path) -> Any:
    """By zarr and by tensorstore, which must agree."""
    import tensorstore
    import zarr

    found: dict[str, list[int]] = {}
    for name in ("offsets", "data"):
        place = folder / f"a/all/input_ids/{name}"
        plain = zarr.open_array(str(place), mode="r")
        assert plain.shape == (1 << 54,)
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{place}/"}}
        store = tensorstore.open(spec, read=True, open=True).result()
        count = int(plain[0]) + 1 if name == "offsets" else found["offsets"][-1]
        found[name] = plain[:count].tolist()
        assert store[:count].read().result().tolist() == found[name]
        assert plain[count : count + 5].tolist() == [0] * 5
    return found


def hf_arrow(folder: Path) -> Any:
    from datasets import load_from_disk

    dataset = load_from_disk(str(folder / "a/all"))
    return [[row["id"], row["input_ids"]] for row in dataset]


def hf_parquet(folder: Path) -> Any:
    from datasets import load_dataset

    files = sorted(str(path) for path in (folder / "a/all").glob("*.parquet"))
    dataset = load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder / "cache"))
    return [[row["id"], row["input_ids"]] for row in dataset]


if __name__ == "__main__":
    readers = {"nanotron": nanotron, "olmo": olmo, "litdata": litdata, "mds": mds, "levanter": levanter}
    readers |= {"hf-arrow": hf_arrow, "hf-parquet": hf_parquet}
    print(json.dumps(readers[sys.argv[1]](Path(sys.argv[2]))))
