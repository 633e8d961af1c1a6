"""From a token to its document and back, against the files laid end to end by hand."""

import pytest
from token_run import kept_texts, manifest, plain_documents, token_run

from corpusmill.pipeline.errors import RequestError
from corpusmill.stages.tokens.locate import locate, tokens_of


def test_every_document_border_of_a_source() -> None:
    run = token_run()
    at = 0
    for shard in manifest(run)["shards"]:
        if shard["source"] != "a" or shard["split"] != "train":
            continue
        rows = run.read_table(f"{shard['path']}.docs.parquet", ["id"]).column("id").to_pylist()
        for name, ids in list(zip(rows, plain_documents(run.path(shard["path"])), strict=True))[::9]:
            for offset in {0, len(ids) - 1}:
                found = locate(run, "a", at + offset)
                assert (found.id, found.offset, found.file) == (name, offset, f"{shard['path']}.bin")
            at += len(ids)
            break
        at = sum(s["num_tokens"] for s in manifest(run)["shards"] if s["path"] <= shard["path"] and s["source"] == "a")


@pytest.mark.parametrize(
    ("source", "token", "message"),
    [("a", -1, "numbered from 0"), ("a", 10**9, "train tokens"), ("c", 0, "There is: a, b")],
)
def test_what_is_not_there_is_refused(source: str, token: int, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        locate(token_run(), source, token)


def test_tokens_of_a_document() -> None:
    run = token_run()
    name, text = next((name, text) for name, text in kept_texts(run).items() if text.isascii() and len(text) > 200)
    found = tokens_of(run, name)
    assert found[-1] == (1, "<|endoftext|>")
    assert "".join(piece for _, piece in found[:-1]).replace("\u2581", " ").startswith(text[:60])
    with pytest.raises(RequestError, match="no tokens"):
        tokens_of(run, "a/nothing")
