"""The table of export formats."""

from collections.abc import Callable, Iterator

from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.export.kept_text import export_jsonl, export_parquet
from corpusmill.stages.tokens.export.megatron import export_megatron

FORMATS: dict[str, Callable[[RunFolder, RunFolder], Iterator[str]]] = {
    "parquet": export_parquet,
    "jsonl": export_jsonl,
    "megatron": export_megatron,
}
"""Name -> writer: gives the names of the files that it wrote."""
