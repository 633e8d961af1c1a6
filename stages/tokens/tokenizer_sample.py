"""What a tokenizer learns from: training documents of the run, by hash of id, by weights of source and language.

Each part gives the documents whose hash is below a power of two, a bound that stays when a little input is added; the
vocabulary's one unit then takes them in hash order until each group has its bytes. A group is a source, a language or
both, whichever have weights; without weights all text is one group. Held-out documents are never among them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.pipeline.columns import integers, lengths, one_chunk, take
from corpusmill.pipeline.document import schema_of
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.fingerprint import code_hash
from corpusmill.pipeline.parts import PartRef, final_parts, part_inputs, read_part
from corpusmill.pipeline.phases import Desk, Unit
from corpusmill.pipeline.receipts import Books
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.tokens.split import held_out, language_totals, rows_identity
from corpusmill.stages.tokens.token_order import HASH_BITS, document_hashes
from corpusmill.stages.tokens.token_settings import TokenizerSettings

SAMPLE = "tokens/sample"
SAMPLE_SCHEMA = schema_of(hash=pa.uint64(), row=pa.uint64(), group=pa.string(), text=pa.large_string())
UNKNOWN_LANGUAGE = "unknown"


@dataclass(frozen=True)
class SamplePhase:
    """Per part: the training documents that may be learned from."""

    settings: TokenizerSettings
    seed: int

    name = SAMPLE

    def fingerprint(self) -> Any:
        by = [bool(self.settings.source_weights), bool(self.settings.language_weights)]
        return {"code": code_hash(__name__), "seed": self.seed, "by": by}

    def units(self, run: RunFolder) -> list[Unit]:
        val = held_out(run)
        totals = group_totals(language_totals(run), self.settings)
        quotas = sample_quotas(totals, self.settings)
        bits = {group: sample_bits(totals[group], quota) for group, quota in quotas.items() if quota}
        units = []
        for part in final_parts(run):
            rows = val.of_part(part)
            identity = [bits, rows_identity(rows)]
            units.append(
                Unit(part.name, part.source, part_inputs(part), identity, (part, bits, rows), part.documents.num_bytes)
            )
        return units

    def work(self, unit: Unit, desk: Desk) -> Books:
        part: PartRef
        bits: dict[str, int]
        part, bits, held = unit.spec
        books = Books()
        with desk.parquet("sample", f"tokenizer/sample/{part.name}.parquet", SAMPLE_SCHEMA) as file:
            for batch in read_part(desk.run, part, text=True):
                hashes = document_hashes(batch, self.seed, "vocabulary")
                rows = integers(batch.column("row"), np.uint64)
                groups = groups_of(part.source, batch.column("lang").to_pylist(), self.settings)
                chosen = np.flatnonzero(below(hashes, groups, bits) & ~np.isin(rows, held))
                columns = {
                    "hash": hashes[chosen],
                    "row": rows[chosen],
                    "group": [groups[row] for row in chosen],
                    "text": take(batch.column("text"), chosen),
                }
                file.write(pa.table(cast("Any", columns), schema=SAMPLE_SCHEMA))
                num_bytes = int(lengths(batch.column("text")).sum())
                books.documents_in += batch.num_rows
                books.documents_kept += batch.num_rows
                books.bytes_in += num_bytes
                books.bytes_kept += num_bytes
        return books


def groups_of(source: str, languages: list[Any], settings: TokenizerSettings) -> list[str]:
    """The group of each document: `web`, `zh`, `web/zh`, or "" where nothing has weights."""
    name = source if settings.source_weights else ""
    if not settings.language_weights:
        return [name] * len(languages)
    return [f"{name}/{language or UNKNOWN_LANGUAGE}".lstrip("/") for language in languages]


def group_totals(totals: Mapping[str, Mapping[str, int]], settings: TokenizerSettings) -> dict[str, int]:
    """UTF-8 bytes of each group, from those by source and language."""
    found: dict[str, int] = {}
    for source, languages in totals.items():
        for language, num_bytes in languages.items():
            (group,) = groups_of(source, [language], settings)
            found[group] = found.get(group, 0) + num_bytes
    return found


def sample_quotas(totals: Mapping[str, int], settings: TokenizerSettings) -> dict[str, int]:
    """Bytes to take of each group: `sample_bytes` shared by weight; what a small group lacks goes to the others."""
    weights = {group: weight_of(group, settings) for group in totals}
    if totals and not any(weights.values()):
        named = sorted(settings.source_weights | settings.language_weights)
        raise RequestError(
            f"tokenizer.source_weights, language_weights: no text of {named} with a weight above 0. "
            f"There is: {', '.join(sorted(totals))}."
        )
    quotas = dict.fromkeys(totals, 0)
    open_groups = {group for group in totals if weights[group] > 0}
    left = settings.sample_bytes
    while open_groups:
        total_weight = sum(weights[group] for group in open_groups)
        full = {group for group in open_groups if totals[group] <= left * weights[group] / total_weight}
        if not full:
            for group in open_groups:
                quotas[group] = int(left * weights[group] / total_weight)
            break
        for group in full:
            quotas[group] = totals[group]
            left -= totals[group]
        open_groups -= full
    return quotas


def weight_of(group: str, settings: TokenizerSettings) -> float:
    """A group's weight; 0 for what the recipe does not name, 1 where it gives no weights at all."""
    source, _, language = group.partition("/") if settings.source_weights else ("", "", group)
    by_source = settings.source_weights.get(source, 0.0) if settings.source_weights else 1.0
    by_language = settings.language_weights.get(language, 0.0) if settings.language_weights else 1.0
    return by_source * by_language


def sample_bits(total_bytes: int, quota: int) -> int:
    """How many leading zero bits a sampled hash has: as many as leave twice the quota's bytes on average."""
    return max(0, (total_bytes // (2 * quota)).bit_length())


def below(hashes: npt.NDArray[np.uint64], groups: list[str], bits: Mapping[str, int]) -> npt.NDArray[np.bool_]:
    """Which documents have the leading zero bits of their group; none of a group without bits."""
    wanted = np.array([bits.get(group, -1) for group in groups], dtype=np.int64)
    shifts = np.clip(HASH_BITS - wanted, 0, HASH_BITS - 1).astype(np.uint64)
    return np.asarray((wanted == 0) | (wanted > 0) & (hashes >> shifts == 0), dtype=np.bool_)


def take_sample(tables: list[pa.Table], quotas: Mapping[str, int]) -> Any:
    """The texts (large_string) in hash order, of each group until its quota is reached; at least one of each."""
    table = pa.concat_tables(tables) if tables else SAMPLE_SCHEMA.empty_table()
    hashes, rows = (integers(one_chunk(table, name), np.uint64) for name in ("hash", "row"))
    texts, groups = one_chunk(table, "text"), np.array(one_chunk(table, "group").to_pylist(), dtype=object)
    order = np.lexsort((rows, hashes))
    chosen = np.zeros(len(order), dtype=np.bool_)
    for group, quota in quotas.items():
        mine = order[groups[order] == group]
        sizes = lengths(texts)[mine]
        chosen[mine[np.cumsum(sizes) - sizes < quota]] = True
    return take(texts, order[chosen[order]])
