"""Damage of every kind is found and named by file: bits, receipts, counts, shards, a foreign tokenizer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_corpus import run_recipe, small_recipe, write_corpus

from corpusmill.pipeline.receipts import seal
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.verify import verify
from corpusmill.stages.tokens.verify_tokens import token_problems


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    write_corpus(folder / "in", num_files=2, documents=40)
    run_recipe(with_tokens(folder / "in"), folder / "run")
    return folder / "run"


def with_tokens(corpus: Path, vocab_size: int = 400) -> dict[str, object]:
    tokenizer = {"train": "sentencepiece-bpe", "vocab_size": vocab_size}
    return small_recipe(corpus, tokenizer=tokenizer, tokens={"held_out": 0.05})


@pytest.fixture
def run(straight: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(straight, tmp_path / "run"))


def problems(run: Path) -> dict[str, str]:
    """File -> kind of what verify finds."""
    found = verify(RunFolder(str(run)), [token_problems])
    assert found.ok == (not found.problems)
    return {problem.file: problem.kind for problem in found.problems}


def one(run: Path, pattern: str) -> Path:
    return sorted(run.glob(pattern))[0]


def flip(path: Path, where: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 1
    path.write_bytes(data)


def test_an_untouched_run_is_ok(run: Path) -> None:
    assert problems(run) == {}


@pytest.mark.parametrize(
    "pattern",
    [
        "documents/*.parquet",
        "measures/*.parquet",
        "decisions/decide-1/*.parquet",
        "decisions/exact/*.parquet",
        "tokens/*/all/00000.bin",
        "tokens/*/all/00000.idx",
        "tokens/*/all/00000.docs.parquet",
        "tokens/*/all/00000.sums",
        "tokenizer/tokenizer.model",
    ],
)
@pytest.mark.parametrize("where", [0.01, 0.5, 0.999])
def test_one_flipped_bit_is_named_by_file(run: Path, pattern: str, where: float) -> None:
    path = one(run, pattern)
    flip(path, where)
    assert str(path.relative_to(run)) in problems(run)


def test_a_flipped_bit_of_a_shard_is_named_by_block(run: Path) -> None:
    path = one(run, "tokens/*/all/00000.bin")
    flip(path)
    found = verify(RunFolder(str(run)), [token_problems]).problems
    assert (str(path.relative_to(run)), 0) in {(problem.file, problem.block) for problem in found}


@pytest.mark.parametrize("pattern", ["tokens/*/all/00000.bin", "documents/*.parquet", "tokens/manifest.json"])
def test_a_deleted_file_is_named(run: Path, pattern: str) -> None:
    path = one(run, pattern)
    path.unlink()
    assert problems(run)[str(path.relative_to(run))] == "missing"


def test_a_deleted_receipt_is_named(run: Path) -> None:
    path = one(run, "receipts/exact/hashes/*.json")
    path.unlink()
    found = verify(RunFolder(str(run)), [token_problems])
    assert not found.complete
    assert [(problem.file, problem.kind) for problem in found.problems] == [
        (str(path.relative_to(run)), "missing_receipt")
    ]


def more_kept(body: dict[str, dict[str, int]]) -> None:
    body["documents"]["kept"] += 1
    body["documents"]["in"] += 1


def other_rule(body: dict[str, dict[str, dict[str, int]]]) -> None:
    dropped = body["documents"]["dropped"]
    dropped["other"] = dropped.pop(next(iter(dropped)))


@pytest.mark.parametrize("change", [more_kept, other_rule])
@pytest.mark.parametrize("sealed", [False, True])
def test_a_changed_count_is_found_even_under_a_new_seal(run: Path, change: Callable[..., None], sealed: bool) -> None:
    for path in sorted(run.glob("receipts/decide-1/*.json")):
        body = json.loads(path.read_text())
        if body["documents"]["dropped"]:
            break
    change(body)
    if sealed:
        body["seal"] = seal(body)
    path.write_text(json.dumps(body))
    assert problems(run)[str(path.relative_to(run))] == ("books" if sealed else "damaged_receipt")


def test_a_foreign_tokenizer_is_named(run: Path, straight: Path, tmp_path: Path) -> None:
    run_recipe(with_tokens(straight.parent / "in", vocab_size=390), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "tokenizer" / "tokenizer.model", run / "tokenizer" / "tokenizer.model")
    found = problems(run)
    assert "tokenizer/tokenizer.model" in found


def test_an_unfinished_run_is_not_ok(run: Path) -> None:
    phases = json.loads((run / "phases.json").read_text())
    phases[-1]["units"] = None
    (run / "phases.json").write_text(json.dumps(phases))
    found = verify(RunFolder(str(run)))
    assert not found.complete
    assert not found.ok
