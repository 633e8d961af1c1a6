"""OLMo-core and dolma: `.npy` is our `.bin` as it is (raw ids without a NumPy head), with a table of documents.

`.csv.gz`: start, end (exclusive), id, source, number of the document in the file from 1; lines end in
`\\r\\n`, as dolma's tokens command writes them.
The type of ids is told to the reader (`dtype=`), and the end id too.
"""

import csv
import gzip
import io
from collections.abc import Iterator

from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.export.linked import link_file
from corpusmill.stages.tokens.export.megatron import flat_name
from corpusmill.stages.tokens.token_shards import read_manifest


def export_olmo(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """`<source>.<bucket>.00000.npy` and `.csv.gz`."""
    for shard in read_manifest(run).shards:
        name = flat_name(shard)
        yield link_file(run, f"{shard.path}.bin", out, f"{name}.npy")
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        rows = shard.documents(["id", "source", "token_start", "num_tokens"]).to_pylist()
        for number, row in enumerate(rows, 1):
            end = row["token_start"] + row["num_tokens"]
            writer.writerow([row["token_start"], end, row["id"], row["source"], number])
        out.put(f"{name}.csv.gz", gzip.compress(text.getvalue().encode(), mtime=0))
        yield f"{name}.csv.gz"
