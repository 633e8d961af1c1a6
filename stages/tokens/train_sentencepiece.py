"""Training a sentencepiece model on given texts, in a process of its own.

The library keeps threads and random state in its process and writes to stderr, so a fresh one trains:
`python -m corpusmill.stages.tokens.train_sentencepiece OPTIONS TEXTS MODEL`. Texts reach it as one Arrow file and are
cut into stretches of about 4,000 characters behind a line end, so that runs of newlines can become pieces and very
long lines do no harm. Cost: 32k BPE about 3 s a 10 MB; unigram about 20 times that.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpusmill.pipeline.document import Column
from corpusmill.pipeline.errors import CorpusmillError, RequestError
from corpusmill.stages.tokens.token_settings import END_OF_DOCUMENT, TokenizerSettings

STRETCH = 4000
"""Characters of a training stretch."""


def train_sentencepiece(texts: Column, settings: TokenizerSettings) -> bytes:
    """The trained model's bytes; the same for the same texts, settings and library version. `texts` is large_string."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "texts.arrow"), Path(folder, "tokenizer.model")
        table = pa.table({"text": texts})
        with pa.OSFile(str(given), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=1024)
        options = json.dumps(trainer_options(settings))
        command = [sys.executable, "-m", __name__, options, str(given), str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if found := re.search(r"smaller than required_chars\. [0-9]+ vs ([0-9]+)", done.stderr):
            raise RequestError(
                f"tokenizer.vocab_size: {settings.vocab_size}; the sample's characters alone are {found[1]} pieces, as "
                "in Chinese or Japanese. Raise it well above that, or lower character_coverage: rarer characters are "
                "then written as bytes (byte_fallback)."
            )
        if done.returncode != 0 or not made.exists():
            raise CorpusmillError(
                f"sentencepiece cannot train {settings.vocab_size} pieces on {table.nbytes} bytes: "
                f"{(done.stderr.strip().splitlines() or ['it gave no reason'])[-1]}"
            )
        return made.read_bytes()


def trainer_options(settings: TokenizerSettings) -> dict[str, Any]:
    """The library's own options."""
    return {
        "model_type": (settings.train or "").removeprefix("sentencepiece-"),
        "vocab_size": settings.vocab_size,
        "hard_vocab_limit": False,  # a small sample gives fewer pieces
        "byte_fallback": settings.byte_fallback,
        "split_digits": settings.split_digits,
        "character_coverage": settings.character_coverage,
        "normalization_rule_name": settings.normalizer,
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "allow_whitespace_only_pieces": True,
        "user_defined_symbols": list(settings.user_defined),
        "unk_id": 0,
        "eos_id": 1,
        "eos_piece": settings.end_of_document or END_OF_DOCUMENT,
        "bos_id": -1,
        "pad_id": -1,
        "num_threads": settings.num_threads,
        "input_sentence_size": 0,  # all of it, in order: the sample was drawn before
        "shuffle_input_sentence": False,
        "max_sentence_length": 1 << 20,
        "minloglevel": 2,
    }


def stretches(text: str) -> Iterator[str]:
    """The text in pieces of at most STRETCH characters, cut behind a line end or space where there is one."""
    start = 0
    while start < len(text):
        stop = start + STRETCH
        if stop < len(text):
            stop = max(text.rfind("\n", start, stop), text.rfind(" ", start, stop)) + 1 or stop
        yield text[start:stop]
        start = stop


def main(options: str, given: str, made: str) -> None:
    import sentencepiece

    def sentences() -> Iterator[str]:
        with pa.memory_map(given) as source:
            reader = pa.ipc.open_file(source)
            for index in range(reader.num_record_batches):
                for text in reader.get_batch(index).column("text").to_pylist():
                    yield from stretches(str(text).replace("\0", ""))  # the trainer refuses NUL

    with Path(made).open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences(), model_writer=model, **json.loads(options)
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
