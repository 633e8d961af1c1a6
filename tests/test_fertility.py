"""Fertility against counts made from the texts and files by hand."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
from token_run import ODD_TEXTS, kept_texts, manifest, plain_documents, token_run

from corpusmill.pipeline.document import text_buffers
from corpusmill.stages.kernels.text_lengths import text_lengths
from corpusmill.stages.tokens.encoder import Encoder
from corpusmill.stages.tokens.fertility import Tally, fertility, fertility_of_texts, piece_report
from corpusmill.stages.tokens.vocabulary import open_tokenizer


def test_a_run() -> None:
    run = token_run()
    found = fertility(run, open_tokenizer(run))
    texts = kept_texts(run)
    uses: Counter[int] = Counter()
    tokens: Counter[str] = Counter()
    for shard in manifest(run)["shards"]:
        for ids in plain_documents(run.path(shard["path"])):
            uses.update(ids)
            tokens[shard["source"]] += len(ids) - 1
    for name in ("a", "b"):
        num_bytes = sum(len(text.encode()) for key, text in texts.items() if key.startswith(name))
        assert found["sources"][name]["bytes"] == num_bytes
        assert found["sources"][name]["tokens"] == tokens[name]
        assert found["sources"][name]["bytes_per_token"] == round(num_bytes / tokens[name], 4)
    assert found["sources"]["a"]["not_lossless"] == 1  # the text with U+2581
    assert found["languages"]["unknown"]["documents"] == len(texts)
    size = manifest(run)["tokenizer"]["vocab_size"]
    pieces = found["pieces"]
    assert pieces["vocabulary"] == size
    assert pieces["unused"] == size - len(uses)
    assert pieces["used_once"] == sum(count == 1 for count in uses.values())
    shards = manifest(run)["shards"]
    assert sum(tally["documents"] for tally in found["files"].values()) == len(texts)
    assert {name: tally["tokens"] + tally["documents"] for name, tally in found["files"].items()} == {
        f"{shard['path']}.bin": shard["num_tokens"] for shard in shards
    }
    assert sum(tally["tokens"] for tally in found["buckets"].values()) == sum(tokens.values())


def test_characters_and_words_of_a_run_are_those_of_its_texts() -> None:
    run = token_run()
    encoder = open_tokenizer(run)
    found = fertility(run, encoder)["sources"]["b"]  # all of it comes back byte for byte
    texts = [text for name, text in kept_texts(run).items() if name.startswith("b/")]
    assert found["characters"] == sum(map(len, texts))
    column = pa.array(texts, pa.large_string())
    num_tokens, words = np.diff(encoder.encode(column)[1]), np.zeros(len(texts), np.int64)
    text_lengths(*text_buffers(column), np.zeros(len(texts), np.int64), words)
    assert found["tokens_per_word"] == round(num_tokens[words > 0].sum() / words.sum(), 4)


def test_pieces_spell_what_ids_decode_to() -> None:
    encoder = open_tokenizer(token_run())
    ids, offsets = encoder.encode(pa.array(ODD_TEXTS, pa.large_string()), encoder.card.end_of_document)
    pieces = encoder.spelled()
    for start, stop, text in zip(offsets, offsets[1:], ODD_TEXTS, strict=False):
        assert b"".join(pieces[i] for i in ids[start:stop]).decode() == text.replace("\u2581", " ")


def test_characters_and_words_by_language() -> None:
    run = token_run()
    encoder = open_tokenizer(run)
    texts = [("s", "en", "two words"), ("s", "en", "and three more"), ("t", "zh", "人民法院"), ("t", "unknown", "")]
    found = fertility_of_texts(encoder, texts)
    counts = [len(encoder.encode(pa.array([text], pa.large_string()))[0]) for _, _, text in texts]
    assert found["languages"]["en"]["tokens_per_word"] == round((counts[0] + counts[1]) / 5, 4)
    assert found["languages"]["zh"]["tokens_per_word"] is None
    assert found["languages"]["zh"]["characters_per_token"] == round(4 / counts[2], 4)
    assert found["languages"]["unknown"]["bytes_per_token"] is None
    assert found["sources"]["t"]["documents"] == 2


def test_pieces_written_alike_are_counted() -> None:
    @dataclass
    class Pieces:
        texts: tuple[str, ...] = ("<unk>", "A", "<0x41>", "\u2581a", "a", "The", "the", "<0xE4>", "the")

        def piece(self, token: int) -> str:
            return self.texts[token]

    uses = np.array([0, 5, 0, 1, 1, 0, 2, 0, 0])
    found = piece_report(cast("Encoder", Pieces()), uses)
    assert (found["unused"], found["used_once"]) == (5, 2)
    assert found["examples"]["duplicates"] == ["<0x41>", "the"]  # the second one
    assert found["examples"]["variants"] == ["\u2581a", "a", "the"]


def test_no_tokens_have_no_ratio() -> None:
    assert Tally(documents=1).as_json()["bytes_per_token"] is None
