"""Which documents of a component of near-duplicate candidates go: those truly similar to one that stays.

Documents come in keep-policy order. Each is compared with documents already kept, those sharing most bands first (ties:
the better kept), at most `max_probes` of them; the first whose true similarity reaches the threshold is its winner.
Cost: bands compared for every pair (document, kept one) of a component, and the merge of two sorted shingle sets for
every probe, about 1 ns a shingle.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.components import similarity
from corpusmill.stages.kernels.signatures import band_keys, least_images, permutations


@kernel
def verify_components(
    sets: npt.NDArray[np.uint32],
    bounds: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    component_bounds: npt.NDArray[np.int64],
    multipliers: npt.NDArray[np.uint32],
    additions: npt.NDArray[np.uint32],
    bands: int,
    rows: int,
    seed: np.uint64,
    measure: int,
    threshold: float,
    max_probes: int,
) -> tuple[
    npt.NDArray[np.int64],
    npt.NDArray[np.int32],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.bool_],
]:
    """For every document d, with set sets[bounds[d] : bounds[d + 1]]: winner (index, -1: kept), shared bands,
    estimated and true similarity to the winner, and whether not all kept documents were probed.

    Component c is order[component_bounds[c] : component_bounds[c + 1]], best first.
    """
    num_documents = len(bounds) - 1
    winners = np.full(num_documents, -1, dtype=np.int64)
    shared_bands = np.zeros(num_documents, dtype=np.int32)
    estimated = np.zeros(num_documents, dtype=np.float64)
    true = np.zeros(num_documents, dtype=np.float64)
    limited = np.zeros(num_documents, dtype=np.bool_)
    for component in range(len(component_bounds) - 1):
        members = order[component_bounds[component] : component_bounds[component + 1]]
        signatures = np.empty((len(members), len(multipliers)), dtype=np.uint32)
        for i in range(len(members)):
            shingles = sets[bounds[members[i]] : bounds[members[i] + 1]]
            least_images(shingles, len(shingles), multipliers, additions, signatures[i])
        keys = band_keys(signatures, bands, rows, seed)
        kept = np.empty(len(members), dtype=np.int64)
        shared = np.empty(len(members), dtype=np.int32)
        num_kept = 0
        for i in range(len(members)):
            document = members[i]
            most = 0
            for k in range(num_kept):
                count = 0
                for band in range(bands):
                    count += keys[kept[k], band] == keys[i, band]
                shared[k] = count
                most = max(most, count)
            probes = 0
            winner = -1
            wanted = most
            while wanted >= 0 and probes < max_probes and winner < 0:
                for k in range(num_kept):
                    if shared[k] != wanted:
                        continue
                    if probes == max_probes:
                        break
                    probes += 1
                    other = members[kept[k]]
                    found = similarity(
                        sets[bounds[document] : bounds[document + 1]], sets[bounds[other] : bounds[other + 1]], measure
                    )
                    if found >= threshold:
                        winner = k
                        true[document] = found
                        break
                wanted -= 1
            if winner < 0:
                limited[document] = probes < num_kept
                kept[num_kept] = i
                num_kept += 1
                continue
            agreeing = 0
            for place in range(len(multipliers)):
                agreeing += signatures[kept[winner], place] == signatures[i, place]
            winners[document] = members[kept[winner]]
            shared_bands[document] = shared[winner]
            estimated[document] = agreeing / len(multipliers)
    return winners, shared_bands, estimated, true, limited


def warmup() -> None:
    """Compile for the types that `minhash` uses."""
    lists: Any = pa.array([[1], [1]], pa.large_list(pa.uint32()))
    order, component_bounds = np.arange(2, dtype=np.int64), np.array([0, 2], dtype=np.int64)
    verify_components(
        lists.values.to_numpy(),
        lists.offsets.to_numpy(),
        order,
        component_bounds,
        *permutations(1, 0),
        1,
        1,
        np.uint64(0),
        0,
        0.5,
        1,
    )
