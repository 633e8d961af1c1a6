"""`corpusmill train`: one model on a plan, in one process or under torchrun."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from corpusmill.pipeline.cli.output import Bars, json_option, print_json, print_table
from corpusmill.pipeline.errors import RequestError

task_option = click.option(
    "--task",
    "task_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="JSON lines of questions to score [repeatable].",
)


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--run", "run_url", help="Run folder with the plan's token shards [default: the plan's own].")
@click.option("--size", default="124M", show_default=True, help="Size by name, from 30k to 350M.")
@click.option("--name", default="main", show_default=True, help="The model goes to RUN/trains/NAME.")
@click.option("--tokens-per-step", help="Batch over all processes, such as 512K [default: 0.58 x tokens^0.571].")
@click.option("--micro-batches", type=click.IntRange(1), help="Parts of a batch [default: as few as memory allows].")
@click.option("--learning-rate", default=0.01, show_default=True, help="Peak; one rate serves all sizes.")
@click.option("--optimizer", type=click.Choice(["adamw", "muon"]), default="adamw", show_default=True)
@click.option("--schedule", type=click.Choice(["wsd", "cosine", "constant"]), default="wsd", show_default=True)
@click.option("--document-masks", is_flag=True, help="No attention across documents.")
@click.option("--seed", default=0, show_default=True, help="Of the initial weights.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto.")
@click.option("--deterministic", is_flag=True, help="On a GPU: the same bits each time, slower.")
@click.option("--checkpoint-s", default=300.0, show_default=True, help="Seconds of training that a kill may lose.")
@task_option
@json_option
def train(
    plan_file: Path,
    run_url: str | None,
    tokens_per_step: str | None,
    micro_batches: int | None,
    schedule: str,
    task_files: tuple[Path, ...],
    as_json: bool,
    **settings: Any,
) -> None:
    """Train one model on PLAN to its end; write weights, curve and losses to RUN/trains/NAME. Run it again to go on.

    Several processes: torchrun --nproc-per-node 8 --no-python corpusmill train PLAN

    Example: corpusmill train runs/quickstart/plans/natural.json --size 30k
    """
    from corpusmill.mixtures.plan import Plan
    from corpusmill.mixtures.proxy.device import chosen_device, one_thread_if_narrow
    from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
    from corpusmill.mixtures.proxy.processes import leave_processes
    from corpusmill.mixtures.proxy.train import Pace, TrainSettings, train_plan
    from corpusmill.mixtures.proxy.transformer import shape_of

    plan = Plan.load(plan_file)
    run = Path(run_url) if run_url else plan_file.resolve().parent.parent
    made = TrainSettings(
        tokens_per_step=None if tokens_per_step is None else whole_number("--tokens-per-step", tokens_per_step),
        num_micro_batches=micro_batches,
        schedule=LearningRateSchedule(kind=schedule),  # type: ignore[arg-type]  # one of the choices
        **settings,
    )
    tasks = read_tasks(run, task_files, plan.sequence_length)
    one_thread_if_narrow(chosen_device(made.device), shape_of(made.size, plan.vocab_size).width)
    try:
        with Bars(visible=os.environ.get("RANK", "0") == "0") as bars:

            def progress(pace: Pace) -> None:
                rate = f"{short(pace.tokens_per_s)} tok/s, MFU {pace.mfu:.0%}"
                bars.steps(f"train {made.size} (tokens)", pace.done, pace.total, rate)

            result = train_plan(run, plan, made, progress, tasks)
    finally:
        rank = leave_processes()
    if rank == 0:
        show_result(result, run / "trains" / made.name, as_json)


def show_result(result: Any, folder: Path, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json({"format": 1, "folder": str(folder), **asdict(result)})
        return
    rows = [(name, bits, result.unigram[name]) for name, bits in result.bits_per_byte.items()]
    print_table(f"{folder}: bits per byte of held-out text", ("domain", "measured", "unigram entropy"), rows)
    if result.tasks:
        columns = ("task", "accuracy", "normalised", "bits per byte", "questions")
        scores = [
            (name, each.accuracy, each.normalised_accuracy, each.bits_per_byte, each.num_questions)
            for name, each in result.tasks.items()
        ]
        print_table("\ntasks", columns, scores)
    click.echo(
        f"\n{result.num_parameters:,} parameters, {result.tokens:,} tokens in {result.steps:,} steps of "
        f"{result.tokens_per_step:,}; {result.tokens_per_s:,.0f} tokens/s, MFU {result.mfu:.1%} of "
        f"{result.matmul_flops_per_s / 1e12:,.2f} TFLOP/s (a bare matrix product, measured)"
    )


def read_tasks(run: Path, files: tuple[Path, ...], sequence_length: int) -> list[Any]:
    """The tasks in the tokens of a run."""
    from corpusmill.mixtures.proxy.tasks import encode_task
    from corpusmill.mixtures.sources import read_manifest

    if not files:
        return []
    names = [path.stem for path in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RequestError(f"tasks: two files are named {twice[0]}; their scores would bear one name: rename one.")
    end = read_manifest(run).tokenizer.end_of_document
    encode = encoder_of(run)
    return [encode_task(path, encode, sequence_length=sequence_length, end_of_document=end) for path in files]


def encoder_of(run: Path) -> Callable[[str], list[int]]:
    """Text to ids by the run's tokenizer."""
    import pyarrow as pa

    from corpusmill.pipeline.run_folder import RunFolder
    from corpusmill.stages.tokens.vocabulary import open_tokenizer

    encoder = open_tokenizer(RunFolder(str(run)))

    def encode(text: str) -> list[int]:
        return [int(token) for token in encoder.encode(pa.array([text], pa.large_string()))[0]]

    return encode


def whole_number(option: str, text: str) -> int:
    """`512K` or `524288` as a number. Raises RequestError for anything else."""
    from corpusmill.pipeline.settings import quantity

    count = quantity(text) or (int(text) if text.isdigit() else None)
    if count is None:
        raise RequestError(f"{option} {text}: expected a number such as 500M or 20B")
    return count


def short(number: float) -> str:
    """1.2M, 34.5k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"
