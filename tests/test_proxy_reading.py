"""What reads documents with a proxy: wrong and damaged models are named."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from safetensors.torch import save_file
from small_proxy import small_parameters, write_proxy

from corpusmill.mixtures.proxy.proxy_reading import ProxyReader, ReadingSettings
from corpusmill.pipeline.errors import DamagedFileError, RequestError


def test_wrong_files(tmp_path: Path) -> None:
    whole, other = tmp_path / "whole", tmp_path / "other"
    whole.mkdir()
    other.mkdir()
    write_proxy(whole)
    read = ProxyReader(ReadingSettings(model=whole, tokenizer=whole / "tokenizer.model"))
    assert read.shape.vocab_size == read.processor.GetPieceSize()
    settings = ReadingSettings(model=other, tokenizer=whole / "tokenizer.model")
    with pytest.raises(DamagedFileError, match="corpusmill train"):
        ProxyReader(settings)
    save_file(small_parameters(280), other / "model.safetensors")
    (other / "result.json").write_text(json.dumps({"size": "30k"}))
    with pytest.raises(RequestError, match="Give the tokenizer of its run"):
        ProxyReader(settings)
    (other / "result.json").write_text(json.dumps({"size": "100k"}))
    with pytest.raises(DamagedFileError, match="not of size 100k"):
        ProxyReader(settings)
    with pytest.raises(RequestError, match="no sentencepiece model, and a proxy reads documents with no other"):
        ProxyReader(ReadingSettings(model=whole, tokenizer=whole / "result.json"))
