"""Excluded documents lose their loss from a position on; every other target stays."""

from pathlib import Path

import numpy as np
import pytest
from small_shards import write_shards

from corpusmill.mixtures.batches import BatchStream
from corpusmill.mixtures.exclusions import Exclusions
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.segments import IGNORED
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import RequestError

IDS = ["web/0#100", "web/1#0", "books/0#300"]


@pytest.mark.parametrize("packing", ["none", "best-fit"])
def test_only_the_documents_and_only_from_there_on(tmp_path: Path, packing: str) -> None:
    write_shards(tmp_path, {"web": [300, 250], "books": [500]})
    mixture = Mixture(tokens=128 * 16, sequence_length=16 if packing == "none" else 128, packing=packing)  # type: ignore[arg-type]  # parametrised
    loader = PlanLoader.open(tmp_path, make_plan(read_manifest(tmp_path), mixture))
    inputs, targets = loader.pairs(0, len(loader))
    middle = len(loader) // 2
    exclusions = Exclusions(loader, IDS, from_position=middle)
    stream = BatchStream(loader, 4, exclusions=exclusions)
    masked = np.concatenate([batch.targets for batch in stream])
    located = loader.locate(np.arange(len(loader)))
    for position in range(len(loader)):
        rows = loader.sources[int(located.source[position])]
        tokens = rows.tokens_of(int(located.row[position]))
        name = rows.reader.source.name
        banned = {"web": [(100, 200), (300, 400)], "books": [(300, 400)]}[name]
        for slot, token in enumerate(tokens.tolist()):
            hidden = token >= 0 and any(a <= token < b or a <= token + 1 < b for a, b in banned)
            expected = IGNORED if hidden and position >= middle else targets[position, slot]
            assert masked[position, slot] == expected
    assert (loader.pairs(0, len(loader))[0] == inputs).all()
    assert (masked != targets).any()


def test_unknown_ids_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [300]})
    loader = PlanLoader.open(tmp_path, make_plan(read_manifest(tmp_path), Mixture(tokens=160, sequence_length=16)))
    with pytest.raises(RequestError, match="2 ids, 1 of them"):
        Exclusions(loader, ["web/0#0", "web/7#0"])
