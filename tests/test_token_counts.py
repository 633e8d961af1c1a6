from pathlib import Path

from report_run import run_with_sweep

from corpusmill.pipeline.report.token_counts import token_counts
from corpusmill.pipeline.run_folder import RunFolder


def test_shards_are_added_up_by_source_and_bucket() -> None:
    counts = token_counts(run_with_sweep())
    assert counts is not None
    train, val = counts["rows"]
    assert train == {
        "source": "web", "bucket": "all", "split": "train", "documents": 4, "bytes": 300, "tokens": 200, "files": 2,
    }  # fmt: skip
    assert (val["split"], val["tokens"]) == ("val", 7)
    assert counts["dtype"] == "uint16"


def test_without_shards_there_is_nothing(tmp_path: Path) -> None:
    assert token_counts(RunFolder(str(tmp_path))) is None
