"""nanotron and datatrove: `.ds` is our `.bin` as it is, with two sidecars.

`.ds.index`: u64 per document, where it ends, in tokens; no leading 0. `.ds.metadata`: `<tokenizer>|<bytes of a token>`,
the number of tokens, and the same for people, without a last newline. Source: datatrove pipeline/tokens/tokenizer.py.
"""

from collections.abc import Iterator

import numpy as np

from corpusmill.pipeline.columns import integers, one_chunk
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.export.linked import link_file
from corpusmill.stages.tokens.export.megatron import flat_name
from corpusmill.stages.tokens.token_shards import read_manifest


def export_nanotron(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """`<source>.<bucket>.00000.ds` with `.index` and `.metadata`; the tokenizer is named by its hash."""
    manifest = read_manifest(run)
    for shard in manifest.shards:
        name = f"{flat_name(shard)}.ds"
        yield link_file(run, f"{shard.path}.bin", out, name)
        ends = np.cumsum(integers(one_chunk(shard.documents(["num_tokens"]), "num_tokens")))
        out.put(f"{name}.index", ends.astype("<u8").tobytes())
        yield f"{name}.index"
        head = f"{manifest.card.hash}|{shard.dtype.itemsize}"
        out.put(f"{name}.metadata", f"{head}\n{shard.num_tokens}\n{for_people(shard.num_tokens)}".encode())
        yield f"{name}.metadata"


def for_people(count: int) -> str:
    """12 as `12.0 T`, 12,345 as `12.3 kT`: three digits with SI prefixes, as datatrove writes it."""
    exponent = len(str(count)) - 1
    prefix = ("", "k", "M", "G", "T", "P")[exponent // 3]
    return f"{count / 1000 ** (exponent // 3):.{2 - exponent % 3}f} {prefix}T"
