"""Which documents of a component of near-duplicate candidates go: those truly similar to one that stays.

Documents come in keep-policy order. Each is compared with documents already kept, those sharing most bands first (ties:
the better kept), then those sharing none, at most `max_probes` of them; the first whose true similarity reaches the
threshold is its winner. Kept documents are found by a table of their bands, so a component of n documents costs n
look-ups per band and n times the probes, never n squared; a probe is the merge of two sorted shingle sets, about 1 ns a
shingle, given up as soon as the threshold is out of reach.
"""

import numpy as np
import numpy.typing as npt
from numba import uint64

from corpusmill.stages.kernels.compile import kernel
from corpusmill.stages.kernels.components import similarity
from corpusmill.stages.kernels.hash_table import find_slot, table_mask
from corpusmill.stages.kernels.signatures import band_keys, least_images, permutations

MAX_CHAIN = 4096
"""Kept documents remembered for one band: those that come first. A band that more have is boilerplate."""


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
    estimated and true similarity to the winner, and whether it is kept without a comparison to all kept before it.

    Component c is order[component_bounds[c] : component_bounds[c + 1]], best first.
    """
    num_documents = len(bounds) - 1
    winners = np.full(num_documents, -1, dtype=np.int64)
    shared_bands = np.zeros(num_documents, dtype=np.int32)
    estimated = np.zeros(num_documents, dtype=np.float64)
    true = np.zeros(num_documents, dtype=np.float64)
    limited = np.zeros(num_documents, dtype=np.bool_)
    signatures = np.empty((2, len(multipliers)), dtype=np.uint32)
    for component in range(len(component_bounds) - 1):
        members = order[component_bounds[component] : component_bounds[component + 1]]
        kept = np.empty(len(members), dtype=np.int64)
        num_kept = 0
        mask = table_mask(min(len(members), 64) * bands)
        table = np.zeros(mask + 1, dtype=np.uint64)  # band keys of kept documents
        chains = np.zeros((mask + 1, 3), dtype=np.int64)  # of each: first and last link, how many
        links = np.empty((16, 2), dtype=np.int64)  # kept document, next link
        num_links = num_chains = 0
        counts = np.zeros(len(members), dtype=np.int32)  # bands that each kept document shares with this one
        for document in members:
            shingles = sets[bounds[document] : bounds[document + 1]]
            least_images(shingles, len(shingles), multipliers, additions, signatures[0])
            keys = band_keys(signatures[:1], bands, rows, seed)[0]
            sharing, most = sharing_most(keys, table, mask, chains, links, counts)
            probes, winner, shared = 0, -1, most
            while shared > 0 and probes < max_probes and winner < 0:
                for k in sharing:
                    if counts[k] == shared and probes < max_probes:
                        probes += 1
                        found = similarity(shingles, sets[bounds[kept[k]] : bounds[kept[k] + 1]], measure, threshold)
                        if found >= threshold:
                            winner, true[document] = k, found
                            break
                shared -= 0 if winner >= 0 else 1
            for k in range(num_kept):
                if winner >= 0 or probes == max_probes:
                    break
                if counts[k] == 0:
                    probes += 1
                    found = similarity(shingles, sets[bounds[kept[k]] : bounds[kept[k] + 1]], measure, threshold)
                    if found >= threshold:
                        winner, shared, true[document] = k, 0, found
            counts[sharing] = 0
            if winner < 0:
                limited[document] = probes < num_kept
                if num_links + bands > len(links):
                    more = np.empty((2 * len(links) + bands, 2), dtype=np.int64)
                    more[:num_links] = links[:num_links]
                    links = more
                if 2 * (num_chains + bands) > mask:
                    table, chains = doubled(table, chains)
                    mask = len(table) - 1
                num_links, added = add_to_chains(num_kept, keys, table, mask, chains, links, num_links)
                num_chains += added
                kept[num_kept] = document
                num_kept += 1
                continue
            best = sets[bounds[kept[winner]] : bounds[kept[winner] + 1]]
            least_images(best, len(best), multipliers, additions, signatures[1])
            winners[document] = kept[winner]
            shared_bands[document] = shared
            estimated[document] = (signatures[0] == signatures[1]).sum() / len(multipliers)
    return winners, shared_bands, estimated, true, limited


@kernel
def sharing_most(
    keys: npt.NDArray[np.uint64],
    table: npt.NDArray[np.uint64],
    mask: int,
    chains: npt.NDArray[np.int64],
    links: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.int64], int]:
    """The kept documents that share a band, ascending, with their bands added to `counts`; and the most bands."""
    total = 0
    for key in keys:
        total += chains[find_slot(table, mask, max(key, uint64(1))), 2]
    sharing = np.empty(total, dtype=np.int64)
    num_sharing = most = 0
    for key in keys:
        slot = find_slot(table, mask, max(key, uint64(1)))
        link = chains[slot, 0]
        for _ in range(chains[slot, 2]):
            k = links[link, 0]
            if counts[k] == 0:
                sharing[num_sharing] = k
                num_sharing += 1
            counts[k] += 1
            most = max(most, counts[k])
            link = links[link, 1]
    sharing = sharing[:num_sharing]
    sharing.sort()
    return sharing, most


@kernel
def add_to_chains(
    document: int,
    keys: npt.NDArray[np.uint64],
    table: npt.NDArray[np.uint64],
    mask: int,
    chains: npt.NDArray[np.int64],
    links: npt.NDArray[np.int64],
    num_links: int,
) -> tuple[int, int]:
    """Put a kept document at the end of its bands' chains, unless they are full; links now in use, chains begun."""
    begun = 0
    for key in keys:
        key = max(key, uint64(1))
        slot = find_slot(table, mask, key)
        if chains[slot, 2] == MAX_CHAIN:
            continue
        table[slot] = key
        links[num_links, 0] = document
        if chains[slot, 2] == 0:
            chains[slot, 0] = num_links
            begun += 1
        else:
            links[chains[slot, 1], 1] = num_links
        chains[slot, 1] = num_links
        chains[slot, 2] += 1
        num_links += 1
    return num_links, begun


@kernel
def doubled(
    table: npt.NDArray[np.uint64], chains: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The same keys and chains in a table of at least twice the slots."""
    mask = 2 * len(table) - 1
    larger, moved = np.zeros(mask + 1, dtype=np.uint64), np.zeros((mask + 1, 3), dtype=np.int64)
    for slot in range(len(table)):
        if table[slot] != 0:
            new = find_slot(larger, mask, table[slot])
            larger[new], moved[new] = table[slot], chains[slot]
    return larger, moved


def warmup() -> None:
    """Compile for the types that `minhash` uses."""
    order = np.arange(2, dtype=np.int64)
    verify_components(
        np.ones(2, dtype=np.uint32),
        np.arange(3, dtype=np.int64),
        order,
        np.array([0, 2], dtype=np.int64),
        *permutations(1, 0),
        1,
        1,
        np.uint64(0),
        0,
        0.5,
        1,
    )
