"""What a text is made of beside words: addresses, brackets, boilerplate, how well it compresses, how varied it is.

Counts for your own expressions, such as `composition_url_chars / composition_chars > 0.2`. A text that repeats itself
compresses to a small share of its bytes; one of random characters hardly compresses (zlib, level 6, document by
document: about 40 MB/s). The entropy of words is that of RedPajama-V2's signal, in bits, over the segmenter's words.
"""

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.document import Batch, Column, text_buffers
from corpusmill.pipeline.stage import Kind, Scratch, StageSettings
from corpusmill.stages.measure.segmenters import Segmenter, layout, segmenter_depends
from corpusmill.stages.measure.words import Counts, character_counts, ratio

MEASURES = ("chars", "urls", "url_chars", "brackets", "lorem_ipsum", "policy_phrases", "curly_brackets")


@dataclass(frozen=True, kw_only=True)
class Composition(StageSettings):
    """No rules of its own: write `drop` expressions over its columns."""

    name: ClassVar[str] = "composition"
    kind: ClassVar[Kind] = "measure"

    segmenter: Segmenter = "auto"  # of the words whose entropy is measured
    compress: bool = True  # measure the compression ratio

    @property
    def depends(self) -> tuple[str, ...]:  # type: ignore[override]
        return segmenter_depends(self.segmenter)

    def adds(self) -> dict[str, pa.DataType]:
        columns: dict[str, pa.DataType] = {f"composition_{name}": pa.int32() for name in MEASURES}
        columns |= {"composition_url_ratio": pa.float64(), "composition_word_entropy": pa.float64()}
        return columns | ({"composition_compression_ratio": pa.float64()} if self.compress else {})

    def open(self) -> "CompositionWorker":
        return CompositionWorker(self)


class CompositionWorker:
    """One pass over the text for phrases and addresses, one over the words for entropy."""

    def __init__(self, settings: Composition) -> None:
        self.settings = settings

    def measure(self, batch: Batch, scratch: Scratch) -> dict[str, Column]:
        from corpusmill.stages.kernels.makeup import word_entropies

        counts = composition_counts(batch, scratch) | character_counts(batch, scratch)
        columns: dict[str, Column] = {f"composition_{name}": pa.array(counts[name], pa.int32()) for name in MEASURES}
        columns["composition_url_ratio"] = ratio(counts["url_chars"], counts["chars"])
        words = layout(batch, scratch, self.settings.segmenter)
        entropies = word_entropies(words.first, words.hashes)
        columns["composition_word_entropy"] = pa.array(entropies, mask=np.isnan(entropies))
        if self.settings.compress:
            data, offsets = text_buffers(batch.column("text"))
            spans = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
            sizes = [len(zlib.compress(data[start:end].tobytes(), 6)) for start, end in spans]
            columns["composition_compression_ratio"] = ratio(np.array(sizes, dtype=np.int64), np.diff(offsets))
        return columns


def composition_counts(batch: Batch, scratch: Scratch) -> Counts:
    """int64 [rows] for every name in `COUNTS` of kernels/makeup.py, once per batch."""
    from corpusmill.stages.kernels.c4_lines import LOREM_IPSUM
    from corpusmill.stages.kernels.makeup import COUNTS, POLICY_PHRASES, count_composition

    buffers = text_buffers(batch.column("text"))
    counted = scratch.once("composition", lambda: count_composition(*buffers, POLICY_PHRASES, LOREM_IPSUM))
    return dict(zip(COUNTS, counted.T, strict=True))
