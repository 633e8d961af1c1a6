"""Finds evaluation items in documents, and drops the document, cuts the passage or marks it.

An item is its question, folded as MinHash folds text (case, punctuation and spacing do not count), in words, or in
characters where the script has no spaces. It is found whole, whatever its length from `min_words` on (3 words; 8
characters of an unspaced script count as much). An item of `whole_words` (or as many characters) is found in part too:
`min_overlap` of it in runs of 5 and more within one and a quarter of its length, or its first `min_beginning` in one
run of half `whole_words` or more (20 characters). Overlap of word runs is what GPT-3 (Brown et al. 2020, appendix C)
and its successors use; measured by the share of the item, it tells a quotation from a turn of phrase.

Not decidable, never dropping a document: items shorter than `min_words`, and items under `common_words` made of
function words alone ("What do you do?"), which are not looked for (`undecidable` lists them); and items under
`common_words` that more than `common_documents` documents hold without their answer nearby, which the evidence lists
with every place. One pass over the text.
"""

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import pyarrow as pa

from corpusmill.pipeline.columns import flags, integers, one_chunk, take
from corpusmill.pipeline.document import text_buffers
from corpusmill.pipeline.stage import Kind, PartView, Round, StageSettings
from corpusmill.stages.gather.cut_spans import joined_spans, span_lists
from corpusmill.stages.gather.decisions import decide, part_rows, rows_of, schema_of
from corpusmill.stages.gather.evaluation_suites import Fields, read_suites
from corpusmill.stages.gather.keep_policy import group_bounds

FUNCTION_WORDS = """a about all am an and any are as at be been but by can could did do does for from get go had has
have he her here him his how i if in is it its just know like made make may me mean might more most much must my no not
now of on one or our out say see she should so some such than that the their them then there these they this those to up
us very want was we were what when where which who whom whose why will with would you your"""
"""English words that running text is full of; a few of them in a row are nobody's question."""

HITS = schema_of(
    key=pa.uint64(),  # of the item
    row=pa.uint64(),
    id=pa.string(),
    item=pa.int64(),
    overlap=pa.float64(),
    answer_near=pa.bool_(),
    start=pa.int64(),
    end=pa.int64(),
    passage=pa.string(),
)
FOUND = schema_of(
    key=pa.uint64(),  # row
    id=pa.string(),
    item=pa.string(),  # suite/subset/id
    overlap=pa.float64(),
    answer_near=pa.bool_(),
    decidable=pa.bool_(),
    question=pa.string(),
    answer=pa.string(),
    passage=pa.string(),
    start=pa.int64(),
    end=pa.int64(),
)


@dataclass(frozen=True, kw_only=True)
class Decontaminate(StageSettings):
    """Which suites, how much of an item counts, and what happens then."""

    name: ClassVar[str] = "decontaminate"
    kind: ClassVar[Kind] = "gather"

    suites: tuple[Path, ...]
    suite_field: str = "benchmark"
    subset_field: str = "subset"
    item_field: str = "id"
    question_field: str = "question"
    choices_field: str = "choices"
    answer_field: str = "answer"
    action: Literal["drop", "cut", "mark"] = "drop"
    min_words: int = 3
    min_overlap: float = 0.65
    min_beginning: float = 0.4
    whole_words: int = 15
    common_words: int = 6
    common_documents: int = 4

    def __post_init__(self) -> None:
        for name, share in (("min_overlap", self.min_overlap), ("min_beginning", self.min_beginning)):
            if not 0 < share <= 1:
                raise ValueError(f"{name}: {share} is not above 0 and at most 1.")
        if self.min_words < 3:
            raise ValueError(f"min_words: {self.min_words} is less than 3, which would match by chance.")

    def mapping(self) -> Fields:
        """The names of the suites' fields."""
        return Fields(
            suite=self.suite_field,
            subset=self.subset_field,
            item=self.item_field,
            question=self.question_field,
            choices=self.choices_field,
            answer=self.answer_field,
        )

    def adds(self) -> dict[str, pa.DataType]:
        return {"decontaminate_item": pa.string(), "decontaminate_overlap": pa.float64()}

    def files(self) -> tuple[Path, ...]:
        """The suites, patterns such as `evals/*.jsonl` as the files that they name."""
        found = [sorted(glob.glob(str(path), recursive=True)) or [str(path)] for path in self.suites]
        return tuple(Path(name) for names in found for name in names)

    def problems(self) -> tuple[str, ...]:
        read_suites(self.files(), self.mapping())
        return ()

    def rounds(self) -> tuple[Round, ...]:
        return (
            Round("hits", "parts", text=True),
            Round("judge", "ranges", reads=("hits",), evidence=True),
            Round("decide", "parts", reads=("judge",)),
        )

    def open(self) -> "DecontaminateWorker":
        return DecontaminateWorker(self)


class DecontaminateWorker:
    """Holds the suites and their index."""

    def __init__(self, settings: Decontaminate) -> None:
        from corpusmill.stages.kernels import folding, hashing, item_search

        self.settings = settings
        self.mix_all, self.search = hashing.mix_all, item_search.search_items
        self.table = folding.folding_table()
        self.suite_items = read_suites(settings.files(), settings.mapping())
        questions, bounds, weights = item_search.token_lists(
            *text_buffers(pa.array([item.question for item in self.suite_items], pa.large_string())), self.table
        )
        answers, answer_bounds, _ = item_search.token_lists(
            *text_buffers(pa.array([item.answer for item in self.suite_items], pa.large_string())), self.table
        )
        self.word = item_search.WORD_WEIGHT
        functional, _, _ = item_search.token_lists(
            *text_buffers(pa.array([FUNCTION_WORDS], pa.large_string())), self.table
        )
        for low, high in pairwise(bounds.tolist()):
            if (
                weights[low:high].sum() < settings.common_words * self.word
                and np.isin(questions[low:high], functional).all()
            ):
                weights[low:high] = 0
        self.index = item_search.index_items(
            questions,
            bounds,
            weights,
            answers,
            answer_bounds,
            settings.min_words * self.word,
            settings.whole_words,
        )

    def undecidable(self) -> list[str]:
        """Names of the items that are too short, or too common, to be looked for."""
        light = np.flatnonzero(self.index.totals < self.settings.min_words * self.word)
        return [self.suite_items[int(i)].name for i in light]

    def hits(self, part: PartView, rows: dict[str, pa.Table]) -> Iterator[pa.Table]:
        """A row for every item found in a document."""
        yield HITS.empty_table()
        settings = self.settings
        for batch in part.batches:
            data, offsets = text_buffers(batch.column("text"))
            found, overlaps = self.search(
                data,
                offsets,
                self.table,
                self.index,
                settings.min_overlap,
                settings.min_beginning,
                settings.whole_words * self.word,
            )
            row, item, start, end, near = found.T
            spans = zip((offsets[row] + start).tolist(), (offsets[row] + end).tolist(), strict=True)
            table = {
                "key": self.mix_all(item.astype(np.uint64)),
                "row": take(batch.column("row"), row),
                "id": take(batch.column("id"), row),
                "item": item,
                "overlap": overlaps,
                "answer_near": near.astype(np.bool_),
                "start": start,
                "end": end,
                "passage": [data[first:stop].tobytes().decode() for first, stop in spans],
            }
            yield pa.table(table, schema=HITS)

    def judge(self, rows: dict[str, pa.Table]) -> pa.Table:
        """The hits of each item with its texts, and whether the item is decidable."""
        hits = rows_of(rows, "hits", HITS)
        order = np.lexsort((integers(one_chunk(hits, "row"), np.uint64), integers(one_chunk(hits, "item"))))
        item = integers(one_chunk(hits, "item"))[order]
        near = flags(one_chunk(hits, "answer_near"), False)[order]
        bounds = group_bounds(item)
        without = np.add.reduceat(~near, bounds[:-1], dtype=np.int64) if len(item) else np.zeros(0, dtype=np.int64)
        light = self.index.totals[item[bounds[:-1]]] < self.settings.common_words * self.word
        decidable = ~(light & (without > self.settings.common_documents))
        known = [self.suite_items[i] for i in item.tolist()]
        table = {
            "key": take(one_chunk(hits, "row"), order),
            "item": [entry.name for entry in known],
            "decidable": np.repeat(decidable, np.diff(bounds)),
            "question": [entry.question for entry in known],
            "answer": [entry.answer for entry in known],
            **{name: take(one_chunk(hits, name), order) for name in COPIED},
        }
        return pa.table(table, schema=FOUND).sort_by([("key", "ascending"), ("item", "ascending")])

    def decide(self, part: PartView, rows: dict[str, pa.Table]) -> pa.Table:
        """A document's decidable item found most of decides, ties by name; all passages are cut or marked."""
        found = rows_of(rows, "judge", FOUND)
        found = found.filter(one_chunk(found, "decidable")).sort_by(
            [("key", "ascending"), ("overlap", "descending"), ("item", "ascending"), ("start", "ascending")]
        )
        bounds = group_bounds(integers(one_chunk(found, "key"), np.uint64))
        best = found.take(cast("Any", pa.array(bounds[:-1])))
        drop = self.settings.action == "drop"
        columns = {
            "key": one_chunk(best, "key"),
            "decontaminate_item": one_chunk(best, "item"),
            "decontaminate_overlap": one_chunk(best, "overlap"),
        }
        if not drop:
            document = np.repeat(np.arange(best.num_rows), np.diff(bounds))
            starts, ends = integers(one_chunk(found, "start")), integers(one_chunk(found, "end"))
            _, columns["cut"], _ = span_lists(*joined_spans(document, starts, ends), self.settings.action)
        return decide(
            part_rows(part.batches),
            pa.table(columns),
            dropped=np.full(best.num_rows, drop),
            rule="decontaminate.evaluation_item",
            values=one_chunk(best, "item").to_pylist(),
            threshold=self.settings.min_overlap,
            columns={"decontaminate_item": None, "decontaminate_overlap": None},
        )


COPIED = ("id", "overlap", "answer_near", "passage", "start", "end")
"""Columns of HITS that FOUND has as they are."""
