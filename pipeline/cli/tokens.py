"""Commands on tokens: train-tokenizer, fertility, locate, import, export."""

from pathlib import Path
from typing import Any

import click

from corpusmill.pipeline.cli.output import json_option, print_json, print_table
from corpusmill.pipeline.cli.runs import existing_run, run_argument
from corpusmill.pipeline.errors import RequestError

COLUMNS = (
    *("documents", "bytes", "tokens", "bytes_per_token", "characters_per_token", "tokens_per_word", "not_lossless"),
)


@click.command("train-tokenizer")
@click.argument("paths", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the tokenizer and its card.")
@click.option("--vocab-size", type=int, default=32000, show_default=True)
@click.option("--vocab-sizes", help="Several, such as 8000,16000,32000: one tokenizer each, compared on the same text.")
@click.option(
    "--kind",
    type=click.Choice(["sentencepiece-bpe", "sentencepiece-unigram", "byte-level-bpe"]),
    default="sentencepiece-bpe",
    show_default=True,
)
@click.option("--sample-bytes", default="64MiB", show_default=True, help="UTF-8 text to train on, chosen by hash.")
@click.option("--source-weight", multiple=True, metavar="SOURCE=W", help="Share of the sample; others get none.")
@click.option("--language-weight", multiple=True, metavar="LANG=W", help="Share of the sample; others get none.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any other setting of `tokenizer:`.")
@json_option
def train_tokenizer(
    paths: tuple[str, ...],
    out: Path,
    vocab_size: int,
    vocab_sizes: str | None,
    kind: str,
    sample_bytes: str,
    source_weight: tuple[str, ...],
    language_weight: tuple[str, ...],
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train a tokenizer on text files, JSON lines or a RUN folder's kept documents, and report how it fits.

    Example: corpusmill train-tokenizer runs/quickstart --out my-tokenizer --vocab-size 8000
    """
    from corpusmill.pipeline.settings import quantity
    from corpusmill.pipeline.yaml_lines import scalar
    from corpusmill.stages.tokens.training import train_tokenizer_on

    settings: dict[str, Any] = {"source_weights": weights(source_weight), "language_weights": weights(language_weight)}
    settings["sample_bytes"] = quantity(sample_bytes) or 0
    for override in overrides:
        key, _, value = override.partition("=")
        settings[key] = scalar(value)
    checked = checked_settings(settings)
    sizes = [whole_number(size) for size in vocab_sizes.split(",")] if vocab_sizes else [vocab_size]
    found = train_tokenizer_on(paths, out, vocab_sizes=sizes, kind=kind, **checked)
    if as_json:
        print_json({"format": 1, "tokenizers": found})
        return
    for each in found:
        click.echo(f"{each['path']}: {each['card']['kind']}, {each['card']['vocab_size']:,} pieces")
        print_fertility(each["fertility"], ("sources", "languages"))


def checked_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with their types; raises RequestError at the first wrong one."""
    from corpusmill.pipeline.settings import build_settings
    from corpusmill.stages.tokens.token_settings import TokenizerSettings

    made, problems = build_settings(TokenizerSettings, settings)
    if made is None:
        place, message = problems[0]
        raise RequestError(f"--set {'.'.join(map(str, place))}: {message}")
    return {name: getattr(made, name) for name in settings}


def weights(options: tuple[str, ...]) -> dict[str, float]:
    """`web=3` as {"web": 3.0}."""
    found = {}
    for option in options:
        name, _, value = option.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise RequestError(f"weight {option!r}: expected NAME=NUMBER, such as web=3") from None
    return found


def whole_number(text: str) -> int:
    from corpusmill.pipeline.settings import quantity

    found = quantity(text) if not text.strip().isdigit() else int(text)
    if found is None:
        raise RequestError(f"--vocab-sizes: {text!r} is no number; expected something like 8000,16000,32000")
    return found


@click.command()
@run_argument
@click.option("--by", multiple=True, type=click.Choice(["sources", "languages", "buckets", "files"]), help="Tables.")
@json_option
def fertility(run: str, by: tuple[str, ...], as_json: bool) -> None:
    """How well RUN's tokenizer fits its text, and which pieces are idle; tokens by source, language, bucket and file.

    Example: corpusmill fertility runs/quickstart
    """
    from corpusmill.stages.tokens.fertility import fertility as measure
    from corpusmill.stages.tokens.vocabulary import open_tokenizer

    folder = existing_run(run)
    found = measure(folder, open_tokenizer(folder))
    if as_json:
        print_json(found)
    else:
        print_fertility(found, by or ("sources", "languages"))


def print_fertility(found: dict[str, Any], kinds: tuple[str, ...]) -> None:
    """Tables of a fertility report."""
    for kind in kinds:
        rows = [(name, *(tally[column] for column in COLUMNS)) for name, tally in found[kind].items()]
        print_table("", (kind, *(column.replace("_", " ") for column in COLUMNS)), rows)
    pieces = found["pieces"]
    click.echo(
        f"of {pieces['vocabulary']:,} pieces {pieces['unused']:,} are unused, {pieces['used_once']:,} used once, "
        f"{pieces['duplicates']:,} written like another, {pieces['variants']:,} like another but for case and spaces"
    )


@click.command()
@run_argument
@click.option("--source", required=True, help="Source, as in the recipe.")
@click.option("--token", type=int, required=True, help="Number of the token in the source's files laid end to end.")
@click.option("--bucket", help="Count within this bucket only.")
@click.option("--held-out", is_flag=True, help="In the held-out part.")
@json_option
def locate(run: str, source: str, token: int, bucket: str | None, held_out: bool, as_json: bool) -> None:
    """The document that holds a token of a source, as plans count them.

    Example: corpusmill locate runs/quickstart --source sample --token 1000
    """
    from corpusmill.stages.tokens.locate import locate as find

    folder = existing_run(run)
    found = find(folder, source, token, "val" if held_out else "train", bucket).as_json()
    if as_json:
        print_json(found)
        return
    rows = [(key, found[key]) for key in ("id", "file", "token_start", "num_tokens", "offset")]
    print_table("", ("what", "value"), rows)


@click.command("import")
@click.argument("places", nargs=-1, required=True, metavar="SOURCE=PATH...")
@click.option("--run", "run_url", required=True, help="A new run folder.")
@click.option("--tokenizer", required=True, help="What made the ids: .model, tokenizer.json or tiktoken file.")
@click.option("--pattern", help="How a tiktoken file splits text, where its name does not say.")
@click.option("--end-of-document", help="Token or id that ends documents [default: its usual name].")
@click.option("--held-out", type=float, default=0.005, show_default=True, help="Share of documents, by hash.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@json_option
def import_(
    places: tuple[str, ...],
    run_url: str,
    tokenizer: str,
    pattern: str | None,
    end_of_document: str | None,
    held_out: float,
    seed: int,
    workers: int,
    as_json: bool,
) -> None:
    """Make a run of token files: Megatron .bin/.idx and nanotron .ds. Plans and loaders then draw from it.

    Example: corpusmill import web=shards/web.bin --run runs/old --tokenizer tokenizer.json
    """
    from corpusmill.pipeline.build import PlannedPhase, build
    from corpusmill.pipeline.cli.output import Bars
    from corpusmill.pipeline.engine import LocalEngine
    from corpusmill.pipeline.recipe import Recipe
    from corpusmill.pipeline.run_folder import RunFolder
    from corpusmill.stages.names import StageTable
    from corpusmill.stages.tokens.import_tokens import import_phases, import_recipe, token_files
    from corpusmill.stages.tokens.token_settings import TokenizerSettings
    from corpusmill.stages.tokens.token_shards import read_manifest

    end = int(end_of_document) if end_of_document and end_of_document.isdigit() else end_of_document
    chosen: dict[str, Any] = {"load": tokenizer, "pattern": pattern, "end_of_document": end}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    sources = token_files(list(places))
    run = RunFolder(run_url)
    if any(entry["name"] == "make" for entry in run.read_json("phases.json") or []):
        raise RequestError(f"{run_url}: a run that was built is here. Choose another folder.")
    tree, text = import_recipe(sources, chosen, seed)
    phases = import_phases(sources, TokenizerSettings(**chosen), held_out, seed)
    planned = [PlannedPhase(phase, (phase.name,), decides=False) for phase in phases]
    with Bars() as bars:
        build(Recipe.build(tree, StageTable()), text, planned, run, LocalEngine(workers), bars)
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for shard in read_manifest(run).shards:
        documents, tokens = totals.get((shard.source, shard.bucket), (0, 0))
        totals[shard.source, shard.bucket] = (documents + shard.num_documents, tokens + shard.num_tokens)
    rows = [(*name, *counts) for name, counts in totals.items()]
    if as_json:
        shards = [dict(zip(("source", "bucket", "documents", "tokens"), row, strict=True)) for row in rows]
        print_json({"format": 1, "run": run_url, "shards": shards})
    else:
        print_table(run_url, ("source", "bucket", "documents", "tokens"), rows)


@click.command()
@run_argument
@click.option("--to", "form", required=True, help="Format; a wrong one lists them all.")
@click.option("--out", help="Folder [default: RUN/exports/FORMAT].")
@json_option
def export(run: str, form: str, out: str | None, as_json: bool) -> None:
    """Write what RUN kept in a format that others read.

    Text with measures: parquet, jsonl. Tokens: megatron, nanotron, olmo, llmc, mds, litdata, levanter, hf-parquet,
    hf-arrow.

    Example: corpusmill export runs/quickstart --to jsonl --out kept
    """
    from corpusmill.stages.tokens.export import export_run

    folder = existing_run(run)
    target = out or folder.path(f"exports/{form}")
    files = export_run(folder, form, target)
    if as_json:
        print_json({"format": 1, "to": form, "out": target, "files": files})
    else:
        click.echo(f"{target}: {len(files)} files")
