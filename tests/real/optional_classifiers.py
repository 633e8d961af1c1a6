"""Runs in `.venv-classifiers`: KenLM and a Hugging Face encoder against reading one document at a time.

python tests/real/optional_classifiers.py kenlm|encoder FOLDER
"""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.stage import Scratch

# Unigrams and bigrams with back-off, as `lmplz` writes them; log10.
ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.30
-1.2\t</s>
-0.8\tthe\t-0.20
-1.1\tcat\t-0.10

\\2-grams:
-0.2\t<s> the
-0.3\tthe cat
-0.4\tcat </s>

\\end\\
"""
TEXTS = ["the cat", "the dog\n\ncat", "", None, " \n", "the " * 300]


def measured(stage: Any, texts: list[str | None]) -> list[float | None]:
    batch = pa.record_batch({"text": pa.array(texts, type=pa.large_string())})
    columns = stage.open().measure(batch, Scratch())
    assert {name: column.type for name, column in columns.items()} == stage.adds()
    (column,) = columns.values()
    values: list[float | None] = column.to_pylist()
    return values


def refused(stage: Any, message: str) -> None:
    """Opening the stage fails with our own error, which says `message`."""
    found = ""
    try:
        stage.open()
    except CorpusmillError as error:
        found = str(error)
    assert message in found, found


def kenlm(folder: Path) -> None:
    """Perplexities by hand: `the cat` is -0.2 - 0.3 - 0.4 over 3; `the dog` backs off to the unknown word."""
    from corpusmill.stages.measure.kenlm_perplexity import KenlmPerplexity

    path = folder / "tiny.arpa"
    path.write_text(ARPA)
    first, second, *rest = measured(KenlmPerplexity(model=path), TEXTS)
    assert first is not None
    assert second is not None
    assert abs(first - 10 ** (0.9 / 3)) < 1e-4
    dog = -0.2 + (-0.2 - 1.0) + -1.2  # the unknown word has no back-off of its own
    cat = (-0.3 - 1.1) + -0.4
    assert abs(second - 10 ** (-(dog + cat) / 5)) < 1e-3, second
    assert rest[:3] == [None, None, None]
    lower, upper = measured(KenlmPerplexity(model=path, lowercase=True), ["the cat", "The CAT"])
    assert lower == upper
    path.write_bytes(b"not a model")
    refused(KenlmPerplexity(model=path), "KenLM cannot read it")


def encoder(folder: Path) -> None:
    """A real BERT of two layers with random weights: batched and padded scores are those of single documents."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    from corpusmill.stages.measure.sequence_classifier import Encoder

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "a", "花", "."]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    for num_labels in (1, 3):
        torch.manual_seed(num_labels)
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        config = BertConfig(vocab_size=len(words), num_labels=num_labels, max_position_embeddings=64, **shape)
        model = BertForSequenceClassification(config).eval()
        path = folder / f"model-{num_labels}"
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        label = None if num_labels == 1 else "LABEL_2"
        stage = Encoder(model=path, label=label, max_tokens=64, batch_tokens=100, device="cpu")
        found = measured(stage, TEXTS)
        for text, score in zip(TEXTS, found, strict=True):
            if not (text or "").strip():
                assert score is None
                continue
            given = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
            with torch.no_grad():
                logits = model(given["input_ids"], attention_mask=given["attention_mask"]).logits[0]
            expected = float(logits[0] if num_labels == 1 else logits.softmax(0)[2])
            assert score is not None
            assert abs(score - expected) < 1e-5, (text, score, expected)
    refused(Encoder(model=folder / "model-3", device="cpu"), "LABEL_0, LABEL_1, LABEL_2")
    (folder / "model-1" / "model.safetensors").rename(folder / "model-1" / "pytorch_model.bin")
    refused(Encoder(model=folder / "model-1", device="cpu"), "pickled weights are refused")


if __name__ == "__main__":
    {"kenlm": kenlm, "encoder": encoder}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({"passed": sys.argv[1]}))
