"""Models are data: read without pickle, refused by name and hash when they are not what their card says."""

import hashlib
import importlib.metadata
import json
from pathlib import Path

import pytest

from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.stages.models.model_file import MODELS, check_model, load_model

LID = MODELS / "lid.176.ftz"


def test_every_shipped_model_is_small_and_what_its_card_says() -> None:
    models = sorted(MODELS.glob("*.ftz"))
    assert LID in models
    for model in models:
        card = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
        assert card["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest() == check_model(model)
        assert card["license"]
        assert model.stat().st_size <= 4 << 20


def test_a_flipped_bit_is_refused_by_name_and_hash(tmp_path: Path) -> None:
    content = bytearray(LID.read_bytes())
    content[500_000] ^= 1
    (tmp_path / "lid.176.ftz").write_bytes(content)
    (tmp_path / "lid.176.json").write_bytes(LID.with_suffix(".json").read_bytes())
    with pytest.raises(DamagedFileError) as refusal:
        load_model(tmp_path / "lid.176.ftz")
    assert "lid.176.ftz" in str(refusal.value)
    assert hashlib.sha256(content).hexdigest() in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"abc", b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00", bytes(100)])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.bin").write_bytes(content)  # the third is how a pickle begins
    with pytest.raises(DamagedFileError, match=r"mine\.bin: begins with"):
        load_model(tmp_path / "mine.bin")


def test_a_missing_file_and_a_broken_card_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="cannot be read"):
        check_model(tmp_path / "none.ftz")
    (tmp_path / "mine.ftz").write_bytes(LID.read_bytes())
    (tmp_path / "mine.json").write_text('{"name": "mine"}')
    with pytest.raises(DamagedFileError, match="no model card"):
        check_model(tmp_path / "mine.ftz")


def test_fasttext_belongs_to_the_wheel_that_can_train() -> None:
    """fasttext-predict, fasttext-wheel and fasttext all put files into fasttext/ and overwrite each other; the
    first cannot train, the others break with NumPy 2."""
    owners = importlib.metadata.packages_distributions()
    assert set(owners["fasttext"]) == {"fasttext-numpy2-wheel"}
    assert set(owners.get("fasttext_pybind", [])) <= {"fasttext-numpy2-wheel"}
