"""llm.c and modded-nanogpt: a head of 256 int32, then uint16 ids.

Head: 20240520, version 1, number of tokens, zeros (llm.c dev/data/data_common.py). Its C reader knows uint16
alone, so a larger vocabulary is refused. Their documents begin with the end id where ours end with it: the stream of
tokens differs in its first and last one.
"""

from collections.abc import Iterator

import numpy as np

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import READ_BYTES, RunFolder
from corpusmill.stages.tokens.export.megatron import flat_name
from corpusmill.stages.tokens.token_shards import read_manifest

MAGIC, VERSION, HEAD_INTS = 20240520, 1, 256


def export_llmc(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """`<source>.<bucket>.00000.bin`."""
    manifest = read_manifest(run)
    if manifest.card.dtype.itemsize != 2:
        raise RequestError(
            f"llm.c reads 2-byte ids; this vocabulary has {manifest.card.vocab_size}. Export another format."
        )
    for shard in manifest.shards:
        name = f"{flat_name(shard)}.bin"
        head = np.zeros(HEAD_INTS, dtype="<i4")
        head[:3] = MAGIC, VERSION, shard.num_tokens
        out.remove(name)
        with run.open(f"{shard.path}.bin") as body, out.create(name) as file:
            file.write(head)
            while block := body.read(READ_BYTES):
                file.write(block)
        yield name
