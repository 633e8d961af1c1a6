"""How a text becomes shingles, a signature bands, and what is similar: what `minhash` and a saved index share."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from corpusmill.pipeline.document import Column, text_buffers
from corpusmill.pipeline.stage import StageSettings


@dataclass(frozen=True)
class Scheme:
    """Settings on which signatures and shingle sets depend."""

    bands: int
    rows: int  # per band
    size: int  # tokens per shingle
    unit: Literal["word", "character"]
    same_numbers: bool  # every number is 0
    seed: int = 1


PRESETS = {
    "fineweb": Scheme(14, 8, 5, "word", True),  # Penedo et al. 2024, FineWeb, section 3.4 and datatrove's defaults
    "nemotron": Scheme(20, 13, 24, "character", False),  # Nemotron-CC: 260 hashes, 24-character shingles
    "dolma3": Scheme(26, 11, 5, "word", False),  # OLMo 3: 26 bands of 11; theirs are 5-grams of p50k tokens
}


@dataclass(frozen=True, kw_only=True)
class CompareSettings(StageSettings):
    """The settings of a gather that say from which true similarity on documents are duplicates."""

    measure: Literal["jaccard", "containment"] = "jaccard"  # containment: shared / size of the smaller set
    min_similarity: float = 0.75
    max_probes: int = 256  # documents that one is compared with at most, those sharing most bands first

    def __post_init__(self) -> None:
        if not 0 < self.min_similarity <= 1:
            raise ValueError(f"min_similarity: {self.min_similarity} is not above 0 and at most 1.")
        if self.max_probes < 1:
            raise ValueError(f"max_probes: {self.max_probes} is less than 1.")


class Shingler:
    """Holds the permutations and the folding table of a scheme."""

    def __init__(self, scheme: Scheme) -> None:
        from corpusmill.stages.kernels import folding, shingles, signatures

        self.scheme = scheme
        self._shingles, self._signatures = shingles, signatures
        self._unit = shingles.WORD if scheme.unit == "word" else shingles.CHARACTER
        self._table = folding.folding_table()
        self.permutations = signatures.permutations(scheme.bands * scheme.rows, scheme.seed)
        self.seed = np.uint64(scheme.seed)

    def band_keys(self, text: Column) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """Keys [documents with a shingle, bands], and which documents these are."""
        scheme = self.scheme
        signatures, counts = self._signatures.text_signatures(
            *text_buffers(text), self._table, self._unit, scheme.same_numbers, scheme.size, *self.permutations
        )
        some = np.flatnonzero(counts)
        return self._signatures.band_keys(signatures[some], scheme.bands, scheme.rows, self.seed), some

    def sets(self, text: Column) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Shingle sets: values (sorted inside a row, distinct) and int64 offsets [rows + 1]."""
        scheme = self.scheme
        return self._shingles.shingle_sets(
            *text_buffers(text), self._table, self._unit, scheme.same_numbers, scheme.size
        )

    def signature(self, members: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """The signature of a shingle set, uint32 [num_perm]."""
        signature = np.empty(len(self.permutations[0]), dtype=np.uint32)
        self._signatures.least_images(members, len(members), *self.permutations, signature)
        return signature
