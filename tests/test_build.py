"""A recipe built whole: same bytes whatever the workers, resume, what a change runs again, and bad input."""

import errno
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_corpus import contents, run_recipe, small_recipe, write_corpus

from corpusmill.pipeline import make
from corpusmill.pipeline.build import Silent, all_receipts
from corpusmill.pipeline.errors import CorpusmillError, OtherFormatError
from corpusmill.pipeline.explain import explain, show_refused
from corpusmill.pipeline.receipts import seal
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.stage import InputFile
from corpusmill.pipeline.status import read_status
from corpusmill.pipeline.verify import verify
from corpusmill.stages.measure.words import WordsWorker

DECIDING = ("make", "decide-1", "exact/decide")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def built(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("built") / "straight"
    run_recipe(small_recipe(corpus), run)
    return run


def test_books_balance_and_count_what_the_corpus_holds(built: Path) -> None:
    found = verify(RunFolder(str(built)))
    assert found.ok, found.problems
    status = read_status(RunFolder(str(built)))
    assert status["state"] == "complete"
    documents = [status["sources"][name]["documents"] for name in "abc"]
    assert sum(each["in"] for each in documents) == 3 * 8 * 12
    dropped = sum(each["dropped"].get("exact.duplicate", 0) for each in documents)
    short = sum(each["dropped"].get("short", 0) for each in documents)
    assert short > 10
    assert dropped > 10  # every seventh document repeats the one before, unless both were short
    assert sum(each["kept"] for each in documents) == 3 * 8 * 12 - short - dropped


def test_units_are_cut_by_file_and_size_alone(built: Path) -> None:
    receipts = [receipt for receipt in all_receipts(RunFolder(str(built))) if receipt.phase == "make"]
    assert len(receipts) >= 24
    assert {receipt.source for receipt in receipts} == {"a", "b", "c"}


def whole_recipe(corpus: Path, **limits: int) -> dict[str, Any]:
    """A rule before the gathers and one behind them, on columns of a measure, and tokens."""
    before, behind = limits.get("before", 60), limits.get("behind", 158)
    return small_recipe(
        corpus,
        stages=[
            "normalize",
            "words",
            {"drop": {"when": f"words_count < {before}", "as": "brief"}},
            "exact",
            "minhash",
            {"drop": {"when": f"words_count > {behind}", "as": "wordy"}},
        ],
        tokenizer={"train": "sentencepiece-bpe", "vocab_size": 400},
        tokens={"held_out": 0.05},
    )


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of phase, tokenizer and shards included, by one worker."""
    run = tmp_path_factory.mktemp("whole") / "straight"
    run_recipe(whole_recipe(corpus), run)
    return run


@pytest.mark.parametrize("workers", [2, 5])
def test_same_bytes_for_any_number_of_workers(corpus: Path, whole: Path, tmp_path: Path, workers: int) -> None:
    run_recipe(whole_recipe(corpus), tmp_path / f"other-name-{workers}", workers)
    assert contents(tmp_path / f"other-name-{workers}") == contents(whole)


def test_same_bytes_when_inputs_are_listed_in_another_order_or_lie_elsewhere(
    corpus: Path, whole: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved)  # keeps modification times
    tree = whole_recipe(moved)
    for name, source in tree["sources"].items():
        source["paths"] = sorted((str(path) for path in moved.glob(f"{name}-*")), reverse=True)
    run_recipe(tree, tmp_path / "run")
    assert contents(tmp_path / "run") == contents(whole)


def test_changing_nothing_runs_nothing(corpus: Path, built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "run")
    assert set(run_recipe(small_recipe(corpus), tmp_path / "run").ran.values()) == {0}


class Watch(Silent):
    """Which phase opens what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[tuple[str, str]] = []
        self.now = ""
        self.num_measured = 0
        measure = WordsWorker.measure
        for way in ("open", "arrow_source"):  # all that read a file of a run go through one of them
            monkeypatch.setattr(RunFolder, way, self.noting(getattr(RunFolder, way)))

        def counting(worker: WordsWorker, *arguments: object) -> object:
            self.num_measured += 1
            return measure(worker, *arguments)  # type: ignore[arg-type]

        def open_input(file: InputFile) -> object:
            self.opened.append((self.now, f"input/{file.name}"))
            return open(file.path, "rb")

        monkeypatch.setattr(WordsWorker, "measure", counting)
        monkeypatch.setattr(make, "open_input", open_input)

    def noting(self, whole: Callable[[RunFolder, str], object]) -> Callable[[RunFolder, str], object]:
        def opens(folder: RunFolder, name: str) -> object:
            self.opened.append((self.now, name))
            return whole(folder, name)

        return opens

    def phase(self, name: str, num_units: int, num_done: int, num_bytes: int) -> None:
        self.now = name

    def phases_that_open(self, folder: str) -> set[str]:
        """Phases that opened a file of this folder; tokens/… are one."""
        return {phase.partition("/")[0] for phase, name in self.opened if name.startswith(f"{folder}/")}


def test_a_changed_threshold_opens_no_input_and_no_text_before_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, run = tmp_path / "in", tmp_path / "run"
    write_corpus(corpus, num_files=2, documents=48)
    watch = Watch(monkeypatch)
    run_recipe(whole_recipe(corpus), run, progress=watch)
    assert watch.phases_that_open("input") == {"make"}  # the count counts
    assert watch.phases_that_open("documents") == {"exact", "minhash", "tokens"}
    assert watch.num_measured > 0

    watch.opened, watch.num_measured = [], 0
    result = run_recipe(whole_recipe(corpus, behind=150), run, progress=watch)
    assert (result.ran["make"], result.ran["decide-1"], result.ran["minhash/decide"]) == (0, 0, 0)
    assert result.ran["decide-2"] > 0
    assert watch.phases_that_open("input") == set()
    assert watch.phases_that_open("documents") == {"tokens"}
    assert watch.phases_that_open("measures") >= {"decide-2"}
    assert watch.num_measured == 0

    watch.opened = []
    result = run_recipe(whole_recipe(corpus, behind=150, before=130), run, progress=watch)
    assert (result.ran["make"], watch.num_measured) == (0, 0)
    assert result.ran["decide-1"] > 0
    assert watch.phases_that_open("input") == set()
    assert "decide-1" not in watch.phases_that_open("documents")  # gathers compare the texts that are left now
    assert verify(RunFolder(str(run))).ok


def test_one_new_file_runs_its_own_unit_and_the_gathers(corpus: Path, built: Path, tmp_path: Path) -> None:
    folder, run = tmp_path / "corpus", tmp_path / "run"
    shutil.copytree(corpus, folder)
    shutil.copytree(built, run)
    (folder / "a-99.jsonl").write_text(json.dumps({"id": "new", "text": "A new document of its own. " * 30}) + "\n")
    result = run_recipe(small_recipe(folder), run)
    assert result.ran["make"] == 1
    assert result.ran["decide-1"] == 1
    assert result.ran["exact/hashes"] == 1
    assert result.ran["exact/groups"] == 1
    assert verify(RunFolder(str(run))).ok


def test_reuse_takes_units_of_another_run(corpus: Path, built: Path, tmp_path: Path) -> None:
    result = run_recipe(small_recipe(corpus, reuse=[str(built)]), tmp_path / "run")
    assert set(result.ran.values()) == {0}
    assert contents(tmp_path / "run") == contents(built)
    assert verify(RunFolder(str(tmp_path / "run"))).ok


def test_a_receipt_of_another_format_is_refused_by_readers_and_built_again(
    corpus: Path, built: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(built, tmp_path / "run"))
    path = next(run.glob("receipts/decide-1/*.json"))
    body = json.loads(path.read_text()) | {"format": 1}
    path.write_text(json.dumps(body | {"seal": seal(body)}))
    with pytest.raises(OtherFormatError, match=f"{path.name}: format 1, written by another version"):
        read_status(RunFolder(str(run)))
    result = run_recipe(small_recipe(corpus), run)
    assert {phase: count for phase, count in result.ran.items() if count} == {"decide-1": 1}
    assert contents(run) == contents(built)


def test_limit_and_sample_read_less(corpus: Path, tmp_path: Path) -> None:
    run_recipe(small_recipe(corpus), tmp_path / "limit", limit=3)
    sources = read_status(RunFolder(str(tmp_path / "limit")))["sources"]
    assert [sources[name]["documents"]["in"] for name in "abc"] == [3, 3, 3]
    run_recipe(small_recipe(corpus), tmp_path / "sample", sample=0.25)
    sources = read_status(RunFolder(str(tmp_path / "sample")))["sources"]
    assert 40 < sum(sources[name]["documents"]["in"] for name in "abc") < 110


GOOD = json.dumps({"id": "good", "text": "A document that is quite all right. " * 20}) + "\n"


def bad_inputs(folder: Path) -> dict[str, str]:
    """Files with one bad record each, and the reason that each must be given."""
    folder.mkdir()
    truncated = gzip.compress("".join(GOOD.replace("good", f"{i}") for i in range(500)).encode())[:-200]
    (folder / "truncated.jsonl.gz").write_bytes(truncated)
    (folder / "bytes.jsonl").write_bytes(GOOD.encode() + b'{"id": "x", "text": "\xff\xfe"}\n')
    (folder / "broken.jsonl").write_text(GOOD + '{"id": "x", "text": \n')
    (folder / "empty.jsonl").write_text("")
    (folder / "column.jsonl").write_text(GOOD + '{"id": "x", "body": "no text here"}\n')
    (folder / "null.jsonl").write_text(GOOD + '{"id": "x", "text": null}\n')
    (folder / "blank.jsonl").write_text(GOOD + '{"id": "x", "text": ""}\n')
    (folder / "long.jsonl").write_text(GOOD + '{"id": "x", "text": "' + "long " * 40_000 + '"}\n')
    return {
        "truncated.jsonl.gz": "truncated_input",
        "bytes.jsonl": "invalid_utf8",
        "broken.jsonl": "malformed_record",
        "column.jsonl": "missing_field",
        "null.jsonl": "null_text",
        "blank.jsonl": "empty_document",
        "long.jsonl": "record_too_large",
    }


def bad_recipe(folder: Path, **changes: object) -> dict[str, object]:
    tree = small_recipe(folder, max_document_bytes=100_000, stages=["normalize"])
    tree["sources"] = {"bad": {"read": "jsonl", "paths": [str(folder)]}}
    return tree | changes


def test_each_bad_record_fails_with_its_reason_and_the_rest_is_built(tmp_path: Path) -> None:
    reasons = bad_inputs(tmp_path / "in")
    run_recipe(bad_recipe(tmp_path / "in"), tmp_path / "run")
    run = RunFolder(str(tmp_path / "run"))
    refused = []
    for receipt in all_receipts(run):
        file = receipt.output("refused")
        if file is not None:
            refused += run.read_table(file.path).to_pylist()
    assert {(line["file"], line["reason"]) for line in refused} == set(reasons.items())
    assert all(line["record"] for line in refused)
    books = read_status(run)["sources"]["bad"]
    assert books["documents"]["failed"] == dict.fromkeys(reasons.values(), 1)
    assert books["documents"]["kept"] >= 6
    assert books["empty_files"] == {"count": 1, "first": "empty.jsonl"}
    (shown,) = show_refused(run, "invalid_utf8", 20)
    assert (shown["id"], shown["file"], shown["rule"]) == ("bad/bytes.jsonl#1", "bytes.jsonl", "invalid_utf8")
    assert explain(run, shown["id"])["fate"] == "failed"
    assert len(list(show_refused(run, "any", 20))) == len(reasons)
    assert verify(run).ok


@pytest.mark.parametrize("full", [("documents/", "receipts/", "logs/"), ("receipts/",), ("receipts/decide-1",)])
def test_a_full_disk_is_told_and_nothing_is_lost(
    corpus: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: tuple[str, ...]
) -> None:
    def limited(write: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(run: RunFolder, name: str, *data: bytes) -> Any:
            if name.startswith(full):
                raise OSError(errno.ENOSPC, "No space left on device", name)
            return write(run, name, *data)

        return refuse

    for method in ("put", "create"):
        monkeypatch.setattr(RunFolder, method, limited(getattr(RunFolder, method)))
    with pytest.raises(CorpusmillError, match=r"units failed:\n.*No space left on device(.|\n)*Mend and build again"):
        run_recipe(small_recipe(corpus), tmp_path / "run")
    monkeypatch.undo()
    run_recipe(small_recipe(corpus), tmp_path / "run")
    assert contents(tmp_path / "run") == contents(built)
    assert verify(RunFolder(str(tmp_path / "run"))).ok


def test_on_bad_record_stop_names_file_record_and_way_out(tmp_path: Path) -> None:
    bad_inputs(tmp_path / "in")
    with pytest.raises(CorpusmillError, match=r"(?s)\.jsonl.*record.*on_bad_record: skip"):
        run_recipe(bad_recipe(tmp_path / "in", on_bad_record="stop"), tmp_path / "run")
