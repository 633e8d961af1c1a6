"""Texts of files or of a run's kept documents, in lists of about a batch: what thresholds are derived from."""

from collections.abc import Iterator, Sequence

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.inputs import find_files, open_input
from corpusmill.pipeline.parts import final_parts, read_part
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.stage import InputFile, ReadContext
from corpusmill.stages.collect.jsonl import Jsonl
from corpusmill.stages.collect.parquet import Parquet
from corpusmill.stages.collect.plain_text import PlainText

MAX_DOCUMENT_BYTES = 16 << 20


def reference_texts(paths: Sequence[str]) -> Iterator[list[str]]:
    """The documents of each path: a run folder, JSON lines with a field `text`, Parquet, or text files.

    Records that are no documents are passed over. Raises RequestError for a path that is not there.
    """
    for path in paths:
        run = RunFolder(path)
        if run.exists("phases.json"):
            for part in final_parts(run):
                for batch in read_part(run, part, text=True):
                    yield [text for text in batch.column("text").to_pylist() if text]
            continue
        files = find_files((path,))
        if not files:
            raise RequestError(f"{path}: no such file or run")
        for found in files:
            yield from _read(found.file)


def _read(file: InputFile) -> Iterator[list[str]]:
    names = file.path.lower()
    reader = Jsonl() if ".json" in names else Parquet() if names.endswith(".parquet") else PlainText()
    context = ReadContext(open=open_input, refuse=lambda refusal: None, max_document_bytes=MAX_DOCUMENT_BYTES)
    for batch in reader.open().read(file, context):
        yield [text for text in batch.column("text").to_pylist() if text]
