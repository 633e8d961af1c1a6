"""Run in .venv-readers: `megatron_texts.py RUN`: a line per document, in shard order: shard, hash of its decoded text.

Shards are opened by megatron-core's IndexedDataset; ids are decoded by the sentencepiece library. A document whose last
id is not the end of document, or that holds it elsewhere, gives the hash "bad end".
"""

import hashlib
import json
import sys
from pathlib import Path

import sentencepiece
from megatron.core.datasets.indexed_dataset import IndexedDataset

if __name__ == "__main__":
    run = Path(sys.argv[1])
    manifest = json.loads((run / "tokens/manifest.json").read_text())
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(run / manifest["tokenizer"]["path"]))
    end = manifest["tokenizer"]["end_of_document"]
    for shard in manifest["shards"]:
        dataset = IndexedDataset(str(run / shard["path"]))
        for index in range(len(dataset)):
            ids = dataset[index].tolist()
            text = "bad end"
            if ids[-1] == end and end not in ids[:-1]:
                text = hashlib.blake2b(tokenizer.decode(ids[:-1]).encode(), digest_size=16).hexdigest()
            print(f"{shard['path']}\t{text}")
