"""Excluded documents lose their loss from a position on; every other target stays."""

from pathlib import Path

import numpy as np
import pytest
from small_shards import write_shards

from corpusmill.mixtures.batches import BatchStream
from corpusmill.mixtures.exclusions import exclude
from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.segments import IGNORED
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import RunFolder

IDS = ["web/0#100", "web/1#0", "books/0#300"]


@pytest.mark.parametrize("packing", ["none", "best-fit"])
def test_only_the_documents_and_only_from_there_on(tmp_path: Path, packing: str) -> None:
    write_shards(tmp_path, {"web": [300, 250], "books": [500]})
    mixture = Mixture(tokens=128 * 16, sequence_length=16 if packing == "none" else 128, packing=packing)  # type: ignore[arg-type]  # parametrised
    loader = PlanLoader.open(tmp_path, make_plan(read_manifest(tmp_path), mixture))
    inputs, targets = loader.pairs(0, len(loader))
    middle = len(loader) // 2
    run, plan = RunFolder(str(tmp_path)), loader.plan
    excluding = exclude(plan, plan.sources_in(loader.manifest), run, IDS, middle)
    excluding.save(tmp_path / "plans/main.json")
    again = PlanLoader.open(tmp_path, Plan.load(tmp_path / "plans/main.json"))
    batches = list(BatchStream(again, 4))
    masked = np.concatenate([batch.targets for batch in batches])
    replaced = np.concatenate([batch.inputs for batch in batches])
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
            gone = token >= 0 and position >= middle and any(a <= token < b for a, b in banned)
            assert replaced[position, slot] == (plan.end_of_document if gone else inputs[position, slot])
    assert (masked != targets).any()
    assert (replaced != inputs).any()
    order = np.random.default_rng(0).permutation(len(again))
    assert (again.pairs_at(order)[1] == masked[order]).all()
    with pytest.raises(RequestError, match="read it with pairs"):
        again.rows(0, 1)
    # A state of the plan without the exclusion goes on.
    stream = BatchStream(again, 4)
    stream.load_state_dict({"position": middle, "plan": plan.fingerprint})
    assert stream.position == middle
    (tmp_path / f"plans/excluded/{excluding.excluded[0].ids}.json").unlink()
    with pytest.raises(RequestError, match="exclude the documents again"):
        PlanLoader.open(tmp_path, excluding)


def test_unknown_ids_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, {"web": [300]})
    loader = PlanLoader.open(tmp_path, make_plan(read_manifest(tmp_path), Mixture(tokens=160, sequence_length=16)))
    sources = loader.plan.sources_in(loader.manifest)
    with pytest.raises(RequestError, match="2 ids, 1 of them"):
        exclude(loader.plan, sources, tmp_path, ["web/0#0", "web/7#0"], 0)
    with pytest.raises(RequestError, match="position 11 is not in the plan"):
        exclude(loader.plan, sources, tmp_path, ["web/0#0"], 11)
    with pytest.raises(RequestError, match="is empty"):
        exclude(loader.plan, sources, tmp_path, [], 0)
