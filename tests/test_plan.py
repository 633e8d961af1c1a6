"""The plan file: round trip, refusal of edits, of other shards and of another tokenizer."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mixture import manifest, mixtures

from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.plan import Plan
from corpusmill.pipeline.errors import DamagedFileError, RequestError

SHARDS = manifest(a=900, b=300, c=500, d=900, e=500)


@settings(max_examples=50)
@given(mixture=mixtures(), data=st.data())
def test_round_trip(mixture: Mixture, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        plan = make_plan(SHARDS, mixture)
    except RequestError:
        return
    path = tmp_path_factory.mktemp("plans") / "main.json"
    plan.save(path)
    assert Plan.load(path) == plan
    assert Plan.load(path).fingerprint == plan.fingerprint


def test_an_edited_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "main.json"
    make_plan(SHARDS, Mixture(tokens=1000, sequence_length=4)).save(path)
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body | {"seed": 8}))
    with pytest.raises(DamagedFileError, match="was changed after it was made"):
        Plan.load(path)
    path.write_text(json.dumps(body | {"format": 9}))
    with pytest.raises(RequestError, match="format 9"):
        Plan.load(path)
    path.write_text("{")
    with pytest.raises(DamagedFileError, match="is no JSON"):
        Plan.load(path)
    with pytest.raises(RequestError, match="is missing"):
        Plan.load(tmp_path / "other.json")


def test_foreign_shards_and_tokenizers_are_refused() -> None:
    plan = make_plan(SHARDS, Mixture(tokens=1000, sequence_length=4))
    assert [source.name for source in plan.sources_in(SHARDS)] == ["a", "b", "c", "d", "e"]
    plan.sources_in(manifest(a=900, b=300, c=500, d=900, e=500, new=80))  # a new source changes nothing
    with pytest.raises(RequestError, match="source b has other shards"):
        plan.sources_in(manifest(a=900, b=301, c=500, d=900, e=500))
    with pytest.raises(RequestError, match="source e has no shards"):
        plan.sources_in(manifest(a=900, b=300, c=500, d=900))
    other = replace(SHARDS, tokenizer=replace(SHARDS.tokenizer, hash="beef"))
    with pytest.raises(RequestError, match="tokenizer beef, the plan was made for f00d"):
        plan.sources_in(other)


def test_the_file_is_small() -> None:
    shards = manifest(**{f"s{index}": 10**11 for index in range(200)})
    plan = make_plan(shards, Mixture(tokens=10**12, sequence_length=2048))
    assert plan.num_rows == 10**12 // 2048
    assert len(json.dumps(plan.phases[0].segment.start)) < 4096
