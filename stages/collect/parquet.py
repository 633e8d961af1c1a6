"""Reads Parquet by batches of rows; which columns are what is as for JSON lines (see fields.py).

Refused per row: what fields.py refuses, and `invalid_utf8` (Parquet does not check its strings). Refused once per
file, as record `all`, for then no row of it is read: `missing_field`, where the text or id column is missing. A file
whose footer or pages are damaged is one `truncated_input`; the batches before the damage are kept.

Memory: one batch of rows, sized from the file's own byte counts, and what pyarrow holds of a column chunk. The
stream must be seekable.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.pipeline.document import BATCH_BYTES, Batch, RawBatch
from corpusmill.pipeline.stage import InputFile, Kind, ReadContext, Refusal
from corpusmill.stages.collect.fields import BadRecord, Fields


@dataclass(frozen=True, kw_only=True)
class Parquet(Fields):
    """Which columns are what."""

    name: ClassVar[str] = "parquet"
    kind: ClassVar[Kind] = "read"

    def open(self) -> "ParquetReader":
        return ParquetReader(self)


class ParquetReader:
    def __init__(self, settings: Parquet) -> None:
        self.settings = settings

    def read(self, file: InputFile, context: ReadContext) -> Iterator[Batch]:
        number = 0
        batch = RawBatch()
        with context.open(file) as stream:
            if stream.read(1) == b"":
                return  # an empty file is a warning, not a failure
            stream.seek(0)
            try:
                parquet = pq.ParquetFile(stream)
                if (missing := self._missing_column(parquet)) is not None:
                    context.refuse(Refusal(file.name, "all", "missing_field", missing))
                    return
                for rows in parquet.iter_batches(batch_size=_rows_per_batch(parquet.metadata)):
                    for record in _records(rows):
                        self._add(batch, record, file, number, context)
                        number += 1
                        if batch.full:
                            yield batch.take()
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk or the network, not the file's content
                context.refuse(Refusal(file.name, str(number), "truncated_input", f"no Parquet: {error}"[:300]))
        if batch.rows:
            yield batch.take()

    def _missing_column(self, parquet: pq.ParquetFile) -> str | None:
        names = parquet.schema_arrow.names
        for column in (self.settings.text, self.settings.id):
            if column is not None and column not in names:
                return f"no column '{column}' among {names[:20]}; {parquet.metadata.num_rows} rows not read"
        return None

    def _add(
        self, batch: RawBatch, record: dict[str, Any] | None, file: InputFile, number: int, context: ReadContext
    ) -> None:
        try:
            if record is None:
                raise BadRecord("invalid_utf8", "a string of the row is not UTF-8")
            self.settings.add(batch, record, f"{file.name}#{number}", context.max_document_bytes)
        except BadRecord as bad:
            context.refuse(Refusal(file.name, str(number), bad.reason, bad.detail))


def _rows_per_batch(metadata: pq.FileMetaData) -> int:
    """Rows of about BATCH_BYTES, by the file's own account of its uncompressed bytes."""
    num_bytes = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    bytes_per_row = max(1, num_bytes // max(1, metadata.num_rows))
    return min(max(1, BATCH_BYTES // bytes_per_row), 65_536)


def _records(rows: pa.RecordBatch) -> Iterator[dict[str, Any] | None]:
    """The rows as dictionaries; None for one with a string that is not UTF-8."""
    try:
        yield from rows.to_pylist()
        return
    except UnicodeDecodeError:
        pass  # somewhere in the batch; nothing was given yet, as to_pylist converts all rows first
    for row in range(rows.num_rows):
        try:
            yield rows.slice(row, 1).to_pylist()[0]
        except UnicodeDecodeError:
            yield None
