"""Run in .venv-readers: prints, for each prefix given, the documents that megatron-core's IndexedDataset reads.

With `--write PREFIX DTYPE` it reads lists of ids from stdin and writes them with IndexedDatasetBuilder.
"""

import json
import sys

import numpy as np
import torch
from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder


def main() -> None:
    if sys.argv[1] == "--write":
        prefix, dtype = sys.argv[2:]
        builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=np.dtype(dtype).type)
        for ids in json.load(sys.stdin):
            builder.add_document(torch.tensor(ids), [len(ids)])
        builder.finalize(f"{prefix}.idx")
        return
    found = {}
    for prefix in sys.argv[1:]:
        dataset = IndexedDataset(prefix)
        assert dataset.document_indices.tolist() == list(range(len(dataset) + 1))
        found[prefix] = [dataset[index].tolist() for index in range(len(dataset))]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
