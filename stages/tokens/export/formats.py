"""The table of export formats."""

from collections.abc import Callable, Iterator

from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.export.huggingface import export_hf_arrow, export_hf_parquet
from corpusmill.stages.tokens.export.kept_text import export_jsonl, export_parquet
from corpusmill.stages.tokens.export.levanter import export_levanter
from corpusmill.stages.tokens.export.litdata import export_litdata
from corpusmill.stages.tokens.export.llmc import export_llmc
from corpusmill.stages.tokens.export.mds import export_mds
from corpusmill.stages.tokens.export.megatron import export_megatron
from corpusmill.stages.tokens.export.nanotron import export_nanotron
from corpusmill.stages.tokens.export.olmo import export_olmo

FORMATS: dict[str, Callable[[RunFolder, RunFolder], Iterator[str]]] = {
    "parquet": export_parquet,
    "jsonl": export_jsonl,
    "megatron": export_megatron,
    "nanotron": export_nanotron,
    "olmo": export_olmo,
    "llmc": export_llmc,
    "mds": export_mds,
    "litdata": export_litdata,
    "levanter": export_levanter,
    "hf-parquet": export_hf_parquet,
    "hf-arrow": export_hf_arrow,
}
"""Name -> writer: gives the names of the files that it wrote."""
