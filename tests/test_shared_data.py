"""The recipe over real data, whole: books, verify, and every document as Megatron-LM and sentencepiece read it."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from corpusmill.mixtures.packing import pack_source
from corpusmill.mixtures.provenance import document_ranges
from corpusmill.mixtures.sources import read_manifest
from corpusmill.pipeline.build import build, plan_phases
from corpusmill.pipeline.engine import LocalEngine
from corpusmill.pipeline.parts import final_parts, read_part
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.status import read_status
from corpusmill.pipeline.verify import verify
from corpusmill.stages.names import StageTable, token_phases
from corpusmill.stages.tokens.verify_tokens import token_problems

ROOT = Path(__file__).resolve().parent.parent
READER = ROOT / ".venv-readers" / "bin" / "python"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("CORPUSMILL_DATA" not in os.environ, reason="CORPUSMILL_DATA is not set"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = ROOT / "recipes" / "shared_data.yaml"
    recipe = Recipe.load(path, StageTable())
    folder = RunFolder(str(tmp_path_factory.mktemp("shared") / "run"))
    build(recipe, path.read_text(), plan_phases(recipe, token_phases), folder, LocalEngine(2))
    return folder


def test_books_balance_and_files_are_what_their_receipts_say(run: RunFolder) -> None:
    found = verify(run, [token_problems])
    assert found.ok, found.problems
    status = read_status(run)
    assert status["state"] == "complete"
    for name, source in status["sources"].items():
        documents = source["documents"]
        gone = sum(documents["dropped"].values()) + sum(documents["failed"].values())
        assert documents["in"] == documents["kept"] + gone, name
        assert source["tokens"], name
    archives = status["sources"]["archives"]["documents"]
    assert archives["kept"] > 100
    assert archives["dropped"]["warc.http_status"] > 100


def test_megatron_reads_every_document_and_its_ids_decode_to_the_normalised_text(run: RunFolder) -> None:
    if not READER.exists():
        pytest.skip("tests/real/environments.sh makes the environment with megatron-core")
    script = str(ROOT / "tests/real/megatron_texts.py")
    done = subprocess.run([str(READER), script, run.url], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    read: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if "\t" in line:
            shard, text_hash = line.split("\t")
            read.setdefault(shard, []).append(text_hash)
    texts, lossy = text_hashes(run)
    assert len(texts) > 10_000
    unequal = []
    for shard in run.read_json("tokens/manifest.json")["shards"]:
        rows = run.read_table(f"{shard['path']}.docs.parquet", ["row", "id"]).to_pylist()
        assert len(read[shard["path"]]) == len(rows)
        for row, found in zip(rows, read[shard["path"]], strict=True):
            if texts[row["row"]] != found and row["row"] not in lossy:
                unequal.append(row["id"])
    assert unequal == []


def test_best_fit_packing_fills_rows_of_real_documents(run: RunFolder) -> None:
    manifest = read_manifest(run)
    for name, source in manifest.sources.items():
        starts, lengths = document_ranges(source, run)
        report = pack_source(starts, lengths, 2048, source.fingerprint).report
        assert report.num_tokens == source.num_tokens
        assert report.filled > 0.99, (name, report)


def text_hashes(run: RunFolder) -> tuple[dict[int, str], set[int]]:
    """Row -> hash of the kept text; and the rows that hold U+2581, which decodes to a space."""
    texts: dict[int, str] = {}
    lossy: set[int] = set()
    for part in final_parts(run):
        for batch in read_part(run, part, text=True):
            for line in batch.select(["row", "text"]).to_pylist():
                row, text = int(line["row"]), str(line["text"])
                texts[row] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
                if "\u2581" in text:
                    lossy.add(row)
    return texts, lossy
