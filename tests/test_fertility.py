"""Fertility against counts made from the texts and files by hand."""

from collections import Counter

from token_run import kept_texts, manifest, plain_documents, token_run

from corpusmill.stages.tokens.fertility import described, fertility


def test_a_run() -> None:
    run = token_run()
    found = fertility(run)
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
    assert found["pieces"] == {
        "vocabulary": size,
        "unused": size - len(uses),
        "used_once": sum(count == 1 for count in uses.values()),
    }


def test_no_tokens_have_no_ratio() -> None:
    assert described(1, 0, 0, 0)["bytes_per_token"] is None
