"""The waterfall: documents and bytes after every phase that decides, and what each rule took from each source.

Documents come from the receipts, which balance. Bytes of a rule are added up from the stored size of the documents
that it dropped; a record that a reader dropped or that failed became no text, so it has no bytes.
"""

from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.pipeline.columns import flags, integers, one_chunk
from corpusmill.pipeline.parts import final_parts
from corpusmill.pipeline.phases import receipts_of
from corpusmill.pipeline.run_folder import RunFolder


def waterfall(run: RunFolder) -> list[dict[str, Any]]:
    """For each deciding phase in order: {phase, in, kept, bytes_in, bytes_kept, seconds, steps, by_source}.

    `steps` are {rule, failed, documents, bytes, sources: {source: documents}} in falling order of documents, failures
    last; `by_source` is {source: {in, kept, bytes_kept}}.
    """
    phases = [entry["name"] for entry in run.read_json("phases.json") or [] if entry["decides"]]
    sizes = _dropped_bytes(run)
    return [_phase(run, name, sizes) for name in phases]


def _phase(run: RunFolder, name: str, sizes: Counter[tuple[str, str]]) -> dict[str, Any]:
    receipts = [receipt for receipt in receipts_of(run, name) if receipt.error is None]
    taken: dict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
    by_source: dict[str, Counter[str]] = defaultdict(Counter)
    for receipt in receipts:
        books, source = receipt.books, receipt.source or ""
        for failed, counts in ((False, books.dropped), (True, books.failed)):
            for rule, count in counts.items():
                taken[rule, failed][source] += count
        by_source[source] += Counter(
            {"in": books.documents_in, "kept": books.documents_kept, "bytes_kept": books.bytes_kept}
        )
    steps = [
        {
            "rule": rule,
            "failed": failed,
            "documents": counts.total(),
            "bytes": sizes[stage_of(name), rule],
            "sources": dict(sorted(counts.items())),
        }
        for (rule, failed), counts in sorted(taken.items(), key=lambda item: (item[0][1], -item[1].total(), item[0]))
    ]
    return {
        "phase": stage_of(name),
        "in": sum(receipt.books.documents_in for receipt in receipts),
        "kept": sum(receipt.books.documents_kept for receipt in receipts),
        "bytes_in": sum(receipt.books.bytes_in for receipt in receipts),
        "bytes_kept": sum(receipt.books.bytes_kept for receipt in receipts),
        "seconds": round(sum(float(receipt.run.get("seconds", 0)) for receipt in receipts), 3),
        "steps": steps,
        "by_source": {source: dict(counts) for source, counts in sorted(by_source.items())},
    }


def _dropped_bytes(run: RunFolder) -> Counter[tuple[str, str]]:
    """Text bytes dropped by (phase, rule)."""
    found: Counter[tuple[str, str]] = Counter()
    for part in final_parts(run):
        sizes = integers(one_chunk(run.read_table(part.measures.path, ["num_bytes"]), "num_bytes"))
        for file in part.decisions:
            phase = stage_of(file.path.removeprefix("decisions/"))
            table = run.read_table(file.path, ["keep", "rule"])
            gone = flags(pc.equal(one_chunk(table, "keep"), pa.scalar(False)), null=False)
            for rule, size in zip(
                one_chunk(table, "rule").filter(pa.array(gone)).to_pylist(), sizes[gone], strict=True
            ):
                found[phase, str(rule)] += int(size)
    return found


def stage_of(name: str) -> str:
    """`minhash` of the phase `minhash/decide`, and of its files under decisions/minhash/."""
    return name.split("/")[0]
