"""Megatron: our token files are Megatron datasets as they are; the export links `.bin` and `.idx` in flat names."""

from collections.abc import Iterator

from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.export.linked import link_file
from corpusmill.stages.tokens.token_shards import TokenShard, read_manifest


def export_megatron(run: RunFolder, out: RunFolder) -> Iterator[str]:
    """`<source>.<bucket>.00000.bin` and `.idx`: each pair is a prefix for `--data-path`."""
    for shard in read_manifest(run).shards:
        for suffix in ("bin", "idx"):
            yield link_file(run, f"{shard.path}.{suffix}", out, f"{flat_name(shard)}.{suffix}")


def flat_name(shard: TokenShard) -> str:
    """`tokens/web/all/00000` as `web.all.00000`."""
    return shard.path.removeprefix("tokens/").replace("/", ".")
