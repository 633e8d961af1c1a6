import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.stages.kernels.signatures import permutations
from corpusmill.stages.kernels.verification import MAX_CHAIN, verify_components

BANDS, ROWS, SEED = 6, 2, np.uint64(3)


def plain_signature(members: set[int]) -> list[int]:
    multipliers, offsets = permutations(BANDS * ROWS, 1)
    return [
        min(((int(a) * x + int(b)) % 2**32 for x in members), default=2**32 - 1)
        for a, b in zip(multipliers, offsets, strict=True)
    ]


def plain_verification(
    sets: list[set[int]], component: list[int], threshold: float, max_probes: int
) -> list[tuple[int, int, float, float, bool]]:
    """The rule of the module's docstring over Python sets; document i is better than i + 1."""
    signatures = [plain_signature(members) for members in sets]
    result = [(-1, 0, 0.0, 0.0, False)] * len(sets)
    for name in set(component):
        kept: list[int] = []
        for i in [i for i, mine in enumerate(component) if mine == name]:
            bands = [[tuple(signatures[d][b * ROWS : b * ROWS + ROWS]) for b in range(BANDS)] for d in (*kept, i)]
            shared = [sum(x == y for x, y in zip(theirs, bands[-1], strict=True)) for theirs in bands[:-1]]
            probes = sorted(range(len(kept)), key=lambda k: (-shared[k], k))[:max_probes]
            for k in probes:
                either = len(sets[kept[k]] | sets[i])
                found = len(sets[kept[k]] & sets[i]) / either if either else 0.0
                if found >= threshold:
                    same = [x == y for x, y in zip(signatures[kept[k]], signatures[i], strict=True)]
                    result[i] = (kept[k], shared[k], sum(same) / len(same), found, False)
                    break
            else:
                result[i] = (-1, 0, 0.0, 0.0, len(probes) < len(kept))
                kept.append(i)
    return result


def verify(
    sets: list[set[int]], component: list[int], threshold: float, max_probes: int
) -> list[tuple[int, int, float, float, bool]]:
    lists: Any = pa.array([sorted(members) for members in sets], pa.large_list(pa.uint32()))
    order = np.array(sorted(range(len(sets)), key=lambda i: (component[i], i)), dtype=np.int64)
    starts = np.flatnonzero(np.diff(np.array(component)[order], prepend=-1))
    found = verify_components(
        lists.values.to_numpy().copy(),
        lists.offsets.to_numpy().copy(),
        order,
        np.append(starts, len(sets)).astype(np.int64),
        *permutations(BANDS * ROWS, 1),
        BANDS,
        ROWS,
        SEED,
        0,
        threshold,
        max_probes,
    )
    return list(zip(*(column.tolist() for column in found), strict=True))


@settings(max_examples=100)
@given(
    sets=st.lists(st.sets(st.integers(0, 15), min_size=1), min_size=1, max_size=12),
    names=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    threshold=st.sampled_from([0.2, 0.5, 0.8, 1.0]),
    max_probes=st.integers(1, 4),
)
def test_the_rule_in_plain_python(sets: list[set[int]], names: list[int], threshold: float, max_probes: int) -> None:
    component = names[: len(sets)]
    assert verify(sets, component, threshold, max_probes) == plain_verification(sets, component, threshold, max_probes)


@pytest.mark.parametrize("max_probes", [1, 20, 1000])
def test_a_component_whose_table_of_bands_grows(max_probes: int) -> None:
    rng = random.Random(max_probes)
    sets = [set(rng.sample(range(60), rng.randrange(5, 30))) for _ in range(200)]
    sets += [set(sorted(rng.choice(sets))[1:]) for _ in range(200)]
    found = verify(sets, [0] * 400, 0.5, max_probes)
    assert found == plain_verification(sets, [0] * 400, 0.5, max_probes)
    assert 20 < sum(winner >= 0 for winner, *_ in found) < 380


def test_a_band_that_too_many_share_is_remembered_for_the_first_of_them() -> None:
    """5,000 documents that share all but one shingle's worth of bands stay linear, and duplicates are still found."""
    shared = set(range(10))
    sets = [shared | {1000 + 40 * i + k for k in range(40)} for i in range(MAX_CHAIN + 200)]
    sets += [sets[3], sets[-1]]
    found = verify(sets, [0] * len(sets), 0.9, 8)
    assert found[-2][0] == 3
    assert found[-1][0] == len(sets) - 3
    assert sum(winner >= 0 for winner, *_ in found) == 2
