"""Reads token files of other programs as text: Megatron `.bin` (with `.idx`) and nanotron `.ds` (with `.ds.index`).

Ids are decoded by their own tokenizer, so the documents go through the stages like any others and can be tokenized
anew. Refused: `malformed_record` (an id beyond the vocabulary), `empty_document`, `record_too_large`, and one
`truncated_input` for a file that is shorter than its index or has none. To keep the ids as they are: `corpusmill
import`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

from corpusmill.pipeline.document import Batch, RawBatch
from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.pipeline.stage import InputFile, Kind, ReadContext, Refusal, StageSettings
from corpusmill.stages.tokens.encoder import Encoder
from corpusmill.stages.tokens.stored_tokens import stored_tokens
from corpusmill.stages.tokens.tokenizer_file import LIBRARIES, load_card, open_encoder


@dataclass(frozen=True, kw_only=True)
class TokenFiles(StageSettings):
    """The tokenizer that made the ids: a sentencepiece model, a tokenizer.json or a tiktoken file."""

    name: ClassVar[str] = "tokens"
    kind: ClassVar[Kind] = "read"
    depends: ClassVar[tuple[str, ...]] = LIBRARIES
    tokenizer: Path
    pattern: str | None = None  # of a tiktoken file
    end_of_document: str | int | None = None  # default: its usual name in the file

    def files(self) -> tuple[Path, ...]:
        return (self.tokenizer,)

    def open(self) -> "TokenFileReader":
        data = self.tokenizer.read_bytes()
        card = load_card(data, str(self.tokenizer), self.end_of_document, self.pattern)
        return TokenFileReader(open_encoder(data, card))


class TokenFileReader:
    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def read(self, file: InputFile, context: ReadContext) -> Iterator[Batch]:
        if not file.name.endswith((".bin", ".ds")):
            return  # an index beside its tokens
        batch = RawBatch()

        def open_file(path: str) -> BinaryIO:
            return context.open(InputFile(path, file.name))

        number = 0
        try:
            for ids in stored_tokens(file.path, open_file).documents(open_file, self.encoder.card.end_of_document):
                record, number = str(number), number + 1
                if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < self.encoder.card.vocab_size:
                    detail = f"id {ids.max()} of a vocabulary of {self.encoder.card.vocab_size}"
                    context.refuse(Refusal(file.name, record, "malformed_record", detail))
                    continue
                text = self.encoder.decode(ids)
                if not text or text.isspace():
                    context.refuse(Refusal(file.name, record, "empty_document", "its tokens decode to white space"))
                elif len(text.encode()) > context.max_document_bytes:
                    detail = f"its text is longer than max_document_bytes, {context.max_document_bytes}"
                    context.refuse(Refusal(file.name, record, "record_too_large", detail))
                else:
                    batch.add(f"{file.name}#{record}", text)
                    if batch.full:
                        yield batch.take()
        except DamagedFileError as damage:
            context.refuse(Refusal(file.name, str(number), "truncated_input", str(damage)[:300]))
        if batch.rows:
            yield batch.take()
