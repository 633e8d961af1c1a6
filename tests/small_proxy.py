"""A proxy model with its tokenizer, as a training leaves them: for tests of what reads documents with one."""

import json
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import save_file

from corpusmill.mixtures.proxy.transformer import initial_parameters, shape_of

SEED = 5


def small_parameters(vocab_size: int) -> dict[str, torch.Tensor]:
    """Initial weights, with a bias that tells pieces apart."""
    parameters = initial_parameters(shape_of("30k", vocab_size), [SEED])
    parameters["bias"] += torch.linspace(-1, 1, vocab_size)
    return dict(parameters)


def write_proxy(folder: Path) -> Path:
    """The folder with tokenizer.model, model.safetensors and result.json."""
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(["the cat sat on a mat", "a dog and a cat", "dogs sat and cats sat on the dog"] * 20),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=300,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    vocab_size = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model")).GetPieceSize()
    save_file(small_parameters(vocab_size), folder / "model.safetensors")
    (folder / "result.json").write_text(json.dumps({"size": "30k"}))
    return folder
