"""datatrove's own steps in a recipe: a filter whose drops are counted, a formatter, a writer, and one that reorders."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datatrove.pipeline.base import PipelineStep
from small_corpus import run_recipe, small_recipe, write_corpus

from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.pipeline.explain import show
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.status import read_status
from corpusmill.pipeline.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Reverses(PipelineStep):  # type: ignore[misc]  # datatrove has no types
    """Yields documents in the wrong order."""

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        yield from reversed(list(data))


class Swallows(PipelineStep):  # type: ignore[misc]
    """Lets every third document vanish without a word."""

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        for index, document in enumerate(data):
            if index % 3:
                yield document


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "in", num_files=2, documents=30, sources="a")
    return tmp_path / "in"


def build_with(corpus: Path, run: Path, *stages: Any) -> dict[str, Any]:
    tree = small_recipe(corpus, stages=["normalize", *stages])
    tree["sources"] = {"a": tree["sources"]["a"]}
    run_recipe(tree, run)
    assert verify(RunFolder(str(run))).ok
    documents: dict[str, Any] = read_status(RunFolder(str(run)))["sources"]["a"]["documents"]
    return documents


def test_a_filter_drops_with_its_reasons_and_equals_the_filter_alone(corpus: Path, tmp_path: Path) -> None:
    from datatrove.data import Document
    from datatrove.pipeline.filters.c4_filters import C4ParagraphFilter

    lines = [json.loads(line) for path in sorted(corpus.glob("a-*")) for line in path.read_text().splitlines()]
    for number, line in enumerate(lines):  # one in three has three paragraphs of 200 characters
        line["text"] = "\n".join([line["text"].replace("\n", " ").ljust(240, "x")] * (1 + number % 3))
    for path in corpus.glob("a-*"):
        path.unlink()
    (corpus / "a-00.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    documents = build_with(
        corpus, tmp_path / "run", {"datatrove": {"step": "datatrove.pipeline.filters.c4_filters.C4ParagraphFilter"}}
    )
    alone = C4ParagraphFilter()
    verdicts = [alone.filter(Document(text=line["text"], id=line["id"])) for line in lines]
    reasons = [verdict[1] for verdict in verdicts if isinstance(verdict, tuple)]
    assert documents["dropped"] == {f"datatrove_C4ParagraphFilter.{reasons[0]}": 40}
    assert len(reasons) == 40
    assert documents["kept"] == 20


def test_what_vanishes_unseen_is_counted(corpus: Path, tmp_path: Path) -> None:
    documents = build_with(corpus, tmp_path / "run", {"datatrove": {"step": f"{__name__}.Swallows", "as": "thirds"}})
    assert documents["dropped"] == {"datatrove_thirds": 20}


def test_a_writer_writes_and_passes_on(corpus: Path, tmp_path: Path) -> None:
    settings = {"output_folder": str(tmp_path / "out")}
    step = {"step": "datatrove.pipeline.writers.JsonlWriter", "settings": settings}
    documents = build_with(corpus, tmp_path / "run", {"datatrove": step})
    assert documents["kept"] == 60
    packed = [path.read_bytes() for path in (tmp_path / "out").iterdir()]
    written = [json.loads(line) for data in packed for line in gzip.decompress(data).splitlines()]
    kept = {document["id"]: document["text"] for document in show(RunFolder(str(tmp_path / "run")), None, 100)}
    assert written
    assert all(kept[line["id"]] == line["text"] for line in written)


def test_a_step_that_reorders_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusmillError, match="out of order"):
        build_with(corpus, tmp_path / "run", {"datatrove": {"step": f"{__name__}.Reverses"}})
