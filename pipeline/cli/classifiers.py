"""The command that trains a classifier of two labels from examples of both."""

from pathlib import Path
from typing import Any

import click

from corpusmill.pipeline.cli.output import json_option, print_json, print_table
from corpusmill.pipeline.errors import RequestError

place = click.Path(path_type=Path)


@click.command("train-classifier")
@click.option("--positive", type=place, multiple=True, required=True, help="JSON lines or a RUN: what is wanted.")
@click.option("--negative", type=place, multiple=True, required=True, help="JSON lines or a RUN: what is not.")
@click.option("--out", type=place, required=True, help="The model, .ftz; its card goes beside it as .json.")
@click.option("--preset", type=click.Choice(("small", "dclm")), default="small", show_default=True)
@click.option("--keep-share", type=float, help="Choose the threshold that keeps this share of the pool, such as 0.1.")
@click.option("--precision", type=float, help="Choose the lowest threshold of this precision on the held-out texts.")
@click.option("--pool", type=place, multiple=True, help="What a share is a share of [default: held-out negatives].")
@click.option("--text", help="How texts become words: words, layout, one_line, joined_lines [default: the preset's].")
@click.option("--dim", type=int, help="Dimensions of a word's vector.")
@click.option("--epoch", type=int, help="How often each example is seen.")
@click.option("--lr", type=float, help="Learning rate of the first step.")
@click.option("--word-ngrams", "wordNgrams", type=int, help="Longest word n-gram.")
@click.option("--min-chars", "minn", type=int, help="Shortest character n-gram; 0 for none.")
@click.option("--max-chars", "maxn", type=int, help="Longest character n-gram; 0 for none.")
@click.option("--bucket", type=int, help="Rows that n-grams are hashed to.")
@click.option("--cutoff", type=int, help="Rows that the quantised model keeps; 0 does not quantise.")
@click.option("--seed", type=int, help="Seed of the order of examples and of fastText.")
@click.option("--calibrate/--raw", "calibrated", default=None, help="Scores as probabilities, or as fastText's.")
@click.option("--held-out-one-in", type=int, help="One group in so many is held out [default: 10].")
@click.option("--leave-one-source-out", "leave_out", is_flag=True, help="Also a model per pair of sources left out.")
@json_option
def train_classifier(
    positive: tuple[Path, ...],
    negative: tuple[Path, ...],
    out: Path,
    preset: str,
    pool: tuple[Path, ...],
    leave_out: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Train a fastText classifier from texts that are wanted and texts that are not; write model and card.

    Rows have `text`, and may have `source`, `license`, `lang` and `group` (what must not be split). Use the model with
    a stage `classifier: {model: FILE, min_score: card}`, or as `quality: {model: FILE}`.

    Example: corpusmill train-classifier --positive good.jsonl --negative web.jsonl.zst --out my.ftz --keep-share 0.1
    """
    from dataclasses import replace

    from corpusmill.stages.models import train_classifier as training
    from corpusmill.stages.models.labelled_examples import read_examples

    kept_share = chosen.pop("keep_share")
    settings = {"small": training.TrainSettings(positive="positive", negative="negative"), "dclm": training.DCLM}[
        preset
    ]
    given = {name: value for name, value in chosen.items() if value is not None}
    if given.get("cutoff") == 0:
        given["cutoff"] = None
    settings = replace(settings, kept_share=kept_share, **given, about={"trained_by": "corpusmill train-classifier"})
    if pool and kept_share is None:
        raise RequestError("--pool is given, --keep-share is not: a pool is what a share is taken of.")
    examples = [*read_examples(positive, positive=True), *read_examples(negative, positive=False)]
    texts = [example.text for example in read_examples(pool, positive=False)] if pool else None
    click.echo(f"{len(examples):,} examples; training on one thread, so that the bytes are the same again", err=True)
    card = training.train_classifier(examples, out, settings, texts)
    if leave_out:
        card["leave_one_source_out"] = training.leave_one_source_out(examples, settings)
        training.write_card(out, card)
    if as_json:
        print_json({"format": 1, "path": str(out), **card})
    else:
        print_card(out, card)


def print_card(out: Path, card: dict[str, Any]) -> None:
    """What the card says, for people: facts, the threshold, and what others would buy."""
    facts = [(name, card[name]) for name in ("sha256", "num_bytes", "num_training", "num_held_out")]
    facts.append(("ROC-AUC, held out", card["held_out"][0]["auc"]))
    if "calibration" in card:
        error = card["calibration"]["expected_error"]
        facts.append(("calibration error", f"{error['before']} before, {error['after']} after"))
    facts += [(f"threshold, {name}", value) for name, value in card.get("threshold", {}).items()]
    print_table(str(out), ("fact", "value"), facts)
    held_out = card["held_out"][0]
    columns = ("thresholds", "recall", "false_positive_rate", "precision")
    rows = list(zip(*(held_out[name] for name in columns), strict=True))
    print_table("\nheld out: what a threshold buys", ("above", *columns[1:]), rows)
    if left_out := card.get("leave_one_source_out"):
        names = ("positive", "negative", "num_texts", "auc")
        print_table("\nleft out of training", names, [[row[name] for name in names] for row in left_out])
