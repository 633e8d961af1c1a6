"""proxy_embedding: against the states of one document at a time; and through a build into `semantic`."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("torch")

import sentencepiece
import torch
from small_corpus import run_recipe
from small_proxy import small_parameters, write_proxy

from corpusmill.mixtures.proxy.document_embedding import ProxyEmbedding
from corpusmill.mixtures.proxy.transformer import final_states, shape_of
from corpusmill.pipeline.parts import final_parts, read_part
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.stage import Scratch

TEXTS = ["the cat sat", "", None, "a dog and a cat " * 9, "猫", "a dog and a cat"]
LENGTH = 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_proxy(tmp_path_factory.mktemp("proxy"))


def test_embeddings_are_means_of_states(trained: Path) -> None:
    stage = ProxyEmbedding(
        model=trained, tokenizer=trained / "tokenizer.model", sequence_length=LENGTH, max_tokens=20, batch_tokens=24
    )
    batch = pa.record_batch({"text": pa.array(TEXTS, type=pa.large_string())})
    columns = stage.open().measure(batch, Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    processor = sentencepiece.SentencePieceProcessor(model_file=str(trained / "tokenizer.model"))
    shape = shape_of("30k", processor.GetPieceSize())
    parameters = small_parameters(shape.vocab_size)
    for text, found in zip(TEXTS, columns["proxy_embedding"].to_pylist(), strict=True):
        ids = processor.EncodeAsIds(text or "")[:20]
        if not ids:
            assert found is None
            continue
        states = [
            final_states(parameters, shape, torch.tensor([[ids[start : start + LENGTH]]]))[0]
            for start in range(0, len(ids), LENGTH)
        ]
        np.testing.assert_allclose(np.array(found), torch.cat(states).mean(dim=0).numpy(), atol=1e-5)


def test_a_build_drops_what_reads_alike(trained: Path, tmp_path: Path) -> None:
    """The same words twice have one embedding; the cosine decides, over the measured column."""
    texts = ["the cat sat on a mat", "a dog and a cat", "the  cat sat on a mat", "dogs sat on the dog"]
    lines = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    tree = {
        "format": 1,
        "name": "alike",
        "sources": {"s": {"read": "jsonl", "paths": [str(tmp_path / "in.jsonl")], "id": "id"}},
        "stages": [
            {"proxy_embedding": {"model": str(trained), "tokenizer": str(trained / "tokenizer.model")}},
            {"semantic": {"column": "proxy_embedding", "min_cosine": 0.999, "num_clusters": 1}},
        ],
    }
    run_recipe(tree, tmp_path / "run")
    folder = RunFolder(str(tmp_path / "run"))
    kept = [
        name
        for part in final_parts(folder)
        for batch in read_part(folder, part, text=False)
        for name in batch["id"].to_pylist()
    ]
    assert kept == ["s/1", "s/2", "s/3"]
