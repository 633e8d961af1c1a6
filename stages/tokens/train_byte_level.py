"""Training byte-level BPE with HF tokenizers, in a process of its own: `tokenizer.json` from texts.

A fresh process has the number of threads that the settings say and gives its memory back. The library's pair counts
are 32 bits wide, and a text of n bytes has fewer than n pairs, so samples of 2 GiB and more are refused
(token_settings.py). The split pattern is part of the file; every byte is in the vocabulary, so nothing is unknown.
Cost: 32k tokens about 6 s for 10 MB.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpusmill.pipeline.document import Column
from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.stages.tokens.tiktoken_file import O200K
from corpusmill.stages.tokens.token_settings import END_OF_DOCUMENT, TokenizerSettings
from corpusmill.stages.tokens.tokenizer_json import GPT2

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""As it was published first: the later form uses repeats that this library's engine reads otherwise."""
PATTERNS = {"o200k": O200K, "cl100k": CL100K, "gpt2": GPT2}
DIGITS = (r"\p{N}{1,3}", r" ?\p{N}+")


def train_byte_level(texts: Column, settings: TokenizerSettings) -> bytes:
    """The trained `tokenizer.json`; the same for the same texts, settings and version. `texts` is large_string."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "texts.arrow"), Path(folder, "tokenizer.json")
        table = pa.table({"text": texts})
        with pa.OSFile(str(given), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=1024)
        command = [sys.executable, "-m", __name__, json.dumps(trainer_options(settings)), str(given), str(made)]
        threads = {"RAYON_NUM_THREADS": str(settings.num_threads), "TOKENIZERS_PARALLELISM": "true"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | threads)
        if done.returncode != 0 or not made.exists():
            raise CorpusmillError(
                f"tokenizers cannot train {settings.vocab_size} tokens on {table.nbytes} bytes: "
                f"{(done.stderr.strip().splitlines() or ['it gave no reason'])[-1]}"
            )
        return made.read_bytes()


def trainer_options(settings: TokenizerSettings) -> dict[str, Any]:
    """What the process needs to know."""
    return {
        "pattern": split_expression(settings.pattern or "o200k", settings.split_digits),
        "normalizer": None if settings.normalizer == "identity" else settings.normalizer.upper(),
        "end_of_document": settings.end_of_document or END_OF_DOCUMENT,
        "vocab_size": settings.vocab_size,
        "user_defined": list(settings.user_defined),
    }


def split_expression(pattern: str, split_digits: bool) -> str:
    """A named pattern, with one digit a piece where asked, or the given expression as it is."""
    if pattern not in PATTERNS:
        return pattern
    found = PATTERNS[pattern]
    for digits in DIGITS if split_digits else ():
        found = found.replace(digits, r"\p{N}")
    return found


def main(options: str, given: str, made: str) -> None:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    chosen = json.loads(options)
    tokenizer = Tokenizer(models.BPE())
    if chosen["normalizer"]:
        tokenizer.normalizer = getattr(normalizers, chosen["normalizer"])()
    split = pre_tokenizers.Split(Regex(chosen["pattern"]), "isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=chosen["vocab_size"] - len(chosen["user_defined"]),
        special_tokens=[AddedToken(chosen["end_of_document"], special=True, normalized=False)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )

    def texts() -> Iterator[str]:
        with pa.memory_map(given) as source:
            reader = pa.ipc.open_file(source)
            for index in range(reader.num_record_batches):
                yield from (str(text) for text in reader.get_batch(index).column("text").to_pylist())

    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=True) for text in chosen["user_defined"]])
    Path(made).write_text(tokenizer.to_str(pretty=False), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
