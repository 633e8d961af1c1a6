"""Held-out documents and the unigram baseline: hand counts."""

from pathlib import Path

import numpy as np
import pytest
from markov_shards import BYTES_PER_TOKEN, END, write_markov_run

from corpusmill.mixtures.proxy.held_out import (
    Domain,
    entropy_bits,
    mixed_bits_per_byte,
    mixed_unigram_bits_per_byte,
    read_held_out,
)
from corpusmill.mixtures.sources import read_manifest


def domain(name: str, tokens: list[int], num_bytes: int) -> Domain:
    return Domain(name, (np.array(tokens, dtype=np.int64),), num_bytes)


FAIR = domain("fair", [1, 2, 1, 2], 8)  # 1 bit a token, 2 bytes a token
SURE = domain("sure", [3, 3, 3, 3], 16)  # 0 bits a token, 4 bytes a token


def test_entropy() -> None:
    assert entropy_bits(np.array([0.5, 0.25, 0.25, 0.0])) == 1.5
    assert entropy_bits(np.array([1.0])) == 0.0
    assert FAIR.unigram_bits_per_byte == 0.5
    assert SURE.unigram_bits_per_byte == 0.0


def test_mixtures_count_tokens_by_share_and_bytes_by_domain() -> None:
    # half of the tokens each: per token 0.5 * 2 + 0.5 * 4 = 3 bytes; tokens 1, 2, 3 with shares 1/4, 1/4, 1/2
    assert mixed_unigram_bits_per_byte({"fair": 0.5, "sure": 0.5}, [FAIR, SURE], 4) == pytest.approx(1.5 / 3)
    bits = {"fair": 3.0, "sure": 1.0}  # a token: 0.5 * 2 * 3 + 0.5 * 4 * 1 = 5 bits
    assert mixed_bits_per_byte({"fair": 0.5, "sure": 0.5}, bits, [FAIR, SURE]) == pytest.approx(5 / 3)
    assert mixed_bits_per_byte({"sure": 0.2}, bits, [FAIR, SURE]) == pytest.approx(1.0)
    assert mixed_unigram_bits_per_byte({"fair": 0.2}, [FAIR, SURE], 4) == pytest.approx(0.5)


@pytest.mark.parametrize(("max_tokens", "enough"), [(10, False), (500, False), (10_000, True)])
def test_whole_documents_up_to_the_budget(tmp_path: Path, max_tokens: int, enough: bool) -> None:
    write_markov_run(tmp_path, {"web": 10, "books": 10})
    books, web = read_held_out(read_manifest(tmp_path), max_tokens)
    assert (books.name, web.name) == ("books", "web")
    for found in (books, web):
        assert all(document[-1] == END and (document[:-1] != END).all() for document in found.documents)
        assert found.num_bytes == sum(BYTES_PER_TOKEN * (len(document) - 1) for document in found.documents)
        assert len(found.documents) >= 1
        if enough:
            assert (len(found.documents), found.num_left_out) == (30, 0)
        else:
            assert found.num_tokens <= max_tokens or len(found.documents) == 1


def test_long_documents_are_left_out_and_counted(tmp_path: Path) -> None:
    write_markov_run(tmp_path, {"web": 10}, num_held_out=3)
    whole = read_held_out(read_manifest(tmp_path), 10_000)[0]
    longest = max(len(document) for document in whole.documents)
    (found,) = read_held_out(read_manifest(tmp_path), 4 * longest - 4)
    assert found.num_left_out == 1  # a quarter of the budget is one less than the longest
    assert [len(document) < longest for document in found.documents] == [True, True]
