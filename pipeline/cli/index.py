"""Commands on saved indexes: index add, index query, index info."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from corpusmill.pipeline.cli.output import json_option, print_json, print_table
from corpusmill.pipeline.cli.runs import existing_run, run_argument
from corpusmill.pipeline.errors import RequestError

index_argument = click.argument("index_path", metavar="INDEX")


@click.group()
def index() -> None:
    """Saved indexes of near-duplicates: what was kept before, for batches that come later.

    Example: corpusmill index add indexes/web runs/web-2026-10
    """


@index.command()
@index_argument
@run_argument
@click.option("--name", help="Of this batch; default: the name of the run folder.")
@click.option("--preset", help="Of a new index: fineweb (default), nemotron or dolma3; as in `minhash`.")
@click.option("--seed", type=int, help="Of a new index; default 1.")
@click.option("--bloom", type=click.IntRange(1), metavar="N", help="A new Bloom index, for N documents.")
@click.option("--error-rate", type=float, default=1e-4, show_default=True, help="Of a new Bloom index, per document.")
@json_option
def add(
    index_path: str,
    run: str,
    name: str | None,
    preset: str | None,
    seed: int | None,
    bloom: int | None,
    error_rate: float,
    as_json: bool,
) -> None:
    """Add the documents that RUN kept to INDEX, which is made where there is none.

    Example: corpusmill index add indexes/web runs/web-2026-10
    """
    from dataclasses import replace

    from corpusmill.stages.gather.saved_index import BloomSize, SavedIndex, new_index
    from corpusmill.stages.gather.shingling import PRESETS

    folder = existing_run(run)
    if preset is not None and preset not in PRESETS:
        raise RequestError(f"--preset: {preset!r} is none of {', '.join(PRESETS)}.")
    if not 0 < error_rate < 1:
        raise RequestError(f"--error-rate: {error_rate} is not between 0 and 1.")
    scheme = replace(PRESETS[preset or "fineweb"], seed=1 if seed is None else seed)
    if folder_has_index(index_path):
        found = SavedIndex.open(index_path)
        if preset is not None or seed is not None:
            found.require(scheme)
        if bloom is not None and found.bloom != BloomSize(bloom, error_rate):
            raise RequestError(f"{index_path}/index.json: made as {found.bloom or found.kind}. Leave --bloom out.")
    else:
        found = new_index(index_path, scheme, None if bloom is None else BloomSize(bloom, error_rate))
    added = found.add(name or Path(run.rstrip("/")).name, kept_documents(folder))
    told = {"batch": added.batches[-1].name, "added": added.batches[-1].documents, "documents": added.num_documents}
    if as_json:
        print_json({"format": 1, **told})
    else:
        click.echo(f"{index_path}: {told['added']:,} documents added as {told['batch']}; {told['documents']:,} in all")


@index.command()
@index_argument
@run_argument
@click.option("--min-similarity", type=float, default=0.75, show_default=True)
@click.option("--measure", type=click.Choice(["jaccard", "containment"]), default="jaccard", show_default=True)
@click.option("-n", "count", type=click.IntRange(1), help="Stop after so many.")
@json_option
def query(index_path: str, run: str, min_similarity: float, measure: Any, count: int | None, as_json: bool) -> None:
    """Documents that RUN kept and INDEX has already, with the document that they repeat.

    Example: corpusmill index query indexes/web runs/web-2026-11
    """
    from corpusmill.stages.gather.known import Known
    from corpusmill.stages.gather.known import query as do_query
    from corpusmill.stages.gather.saved_index import SavedIndex

    try:
        settings = Known(index=Path(index_path), min_similarity=min_similarity, measure=measure)
    except ValueError as error:
        raise RequestError(str(error)) from error
    opened = SavedIndex.open(index_path)
    found: list[dict[str, Any]] = []
    for table in do_query(opened, kept_documents(existing_run(run)), settings):
        found += [
            {
                "id": line["id"],
                "batch": line["batch"],
                "duplicate_of": line["winner_id"],
                "shared_bands": line["shared_bands"],
                "estimated": line["estimated"],
                "true": line["similarity"],
            }
            for line in table.to_pylist()
            if line["known"]
        ]
        if count is not None and len(found) >= count:
            found = found[:count]
            break
    if as_json:
        print_json({"format": 1, "index": opened.num_documents, "found": found})
        return
    columns = ("id", "batch", "duplicate_of", "shared_bands", "estimated", "true")
    print_table("", columns, [[line[name] for name in columns] for line in found])
    click.echo(f"{len(found):,} documents of {run} are in {index_path} ({opened.num_documents:,} documents)")


@index.command()
@index_argument
@json_option
def info(index_path: str, as_json: bool) -> None:
    """How INDEX was made and what was added to it.

    Example: corpusmill index info indexes/web
    """
    from corpusmill.stages.gather.saved_index import SavedIndex

    opened = SavedIndex.open(index_path)
    header = opened.folder.read_json("index.json")
    if as_json:
        print_json(header)
        return
    made = {"kind": opened.kind, **header["scheme"], **(header["bloom"] or {}), "normalizer": header["normalizer"]}
    print_table("", ("what", "value"), list(made.items()))
    print_table("", ("batch", "documents"), [(batch.name, batch.documents) for batch in opened.batches])


def folder_has_index(url: str) -> bool:
    from corpusmill.pipeline.run_folder import RunFolder

    return RunFolder(url).exists("index.json")


def kept_documents(run: Any) -> Iterator[pa.RecordBatch]:
    """The documents that a run kept, as batches with text."""
    from corpusmill.pipeline.parts import final_parts, read_part

    for part in final_parts(run):
        yield from read_part(run, part, text=True)
