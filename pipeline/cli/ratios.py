"""Commands from token shards to ratios: sweep, fit, choose. Each takes a recipe, or a run folder that has one."""

import time
from pathlib import Path
from typing import Any

import click

from corpusmill.pipeline.cli.output import Bars, json_option, print_json, print_table
from corpusmill.pipeline.cli.places import place_argument, recipe_and_folder, run_option, section
from corpusmill.pipeline.cli.trainer import read_tasks, short
from corpusmill.pipeline.errors import RequestError

name_option = click.option("--name", default="main", show_default=True, help="Name of the sweep.")


def train_swarm(
    run: Path, settings: Any, mixtures: Any, bars: Bars, label: str, task_files: tuple[Path, ...] = ()
) -> Path:
    """Train proxies with a bar; gives the ledger's path."""
    from corpusmill.mixtures.proxy.swarm import SwarmSettings, run_swarm

    made, started = SwarmSettings(**settings), time.monotonic()
    before: list[int] = []

    def progress(done: int, total: int) -> None:
        before.append(done) if not before else None
        rate = (done - before[0]) / max(time.monotonic() - started, 1e-9)
        bars.steps(label, done, total, f"{short(rate)} tok/s")

    return run_swarm(run, made, mixtures, progress, read_tasks(run, task_files, made.sequence_length))


@click.command()
@place_argument
@run_option
@click.option("--add", type=click.IntRange(1), help="Add a round of so many mixtures around the chosen ratios.")
@json_option
def sweep(place: str, run_url: str | None, add: int | None, as_json: bool) -> None:
    """Train a swarm of proxies, one per mixture; write RUN/sweeps/NAME/ledger.parquet. Run it again to go on.

    Example: corpusmill sweep runs/quickstart --add 4
    """
    import pyarrow.parquet as pq

    from corpusmill.mixtures.noise import noise_of
    from corpusmill.mixtures.sources import read_manifest
    from corpusmill.mixtures.sweep import add_round

    recipe, folder = recipe_and_folder(place, run_url)
    run = Path(folder.url)
    settings = section(recipe, "sweep")
    if add is not None:
        add_round(folder, settings.name, add, chosen_ratios(run, settings.name))
    with Bars() as bars:
        mixtures = settings.design(read_manifest(run))
        files = tuple(Path(file) for file in settings.tasks)
        ledger = train_swarm(run, settings.training(), mixtures, bars, "sweep (tokens)", files)
    table = pq.read_table(ledger)
    states = table.column("state").to_pylist()
    facts = {"format": 1, "runs": table.num_rows, "failed": states.count("diverged"), "ledger": str(ledger)}
    noise = noise_of(ledger)
    if as_json:
        print_json(facts | {"stopped": states.count("stopped"), "noise": noise})
        return
    columns = ["run", *(name for name in table.column_names if name.startswith("bits_per_byte_"))]
    print_table(f"{ledger}", columns, [[row[key] for key in columns] for row in table.select(columns).to_pylist()])
    print_table(
        "\nbits per byte: what differs", ("domain", *NOISE), [[n["domain"], *(n[k] for k in NOISE)] for n in noise]
    )


NOISE = ("mixtures", "seeds", "checkpoints", "signal_to_noise")


def chosen_ratios(run: Path, name: str) -> dict[str, float]:
    """The ratios of the sweep's choice. Raises RequestError where none was made."""
    import json

    path = run / "sweeps" / name / "choice.json"
    if not path.exists():
        raise RequestError(f"--add: {path} is missing, and a round is drawn around it: corpusmill choose {run}")
    return {source: float(each["ratio"]) for source, each in json.loads(path.read_bytes())["ratios"].items()}


def ledger_of(place: str, name: str) -> Path:
    """A ledger by its own path, or by the run that it belongs to."""
    path = Path(place)
    return path if path.suffix == ".parquet" else path / "sweeps" / name / "ledger.parquet"


@click.command()
@click.argument("place", metavar="RUN|LEDGER")
@name_option
@click.option("--law", default="auto", show_default=True, help="auto, log-linear, power or linear.")
@json_option
def fit(place: str, name: str, law: str, as_json: bool) -> None:
    """Fit loss as a law of the ratios, a law per held-out domain, with its error on mixtures left out.

    Example: corpusmill fit runs/quickstart
    """
    from corpusmill.mixtures.laws.swarm_fit import fit_ledger

    found = fit_ledger(ledger_of(place, name), law).as_json()
    if as_json:
        print_json(found)
    else:
        columns = ("metric", "law", "cv_error", "cv_error_mixed", "cv_rank_correlation")
        print_table("", columns, [[law[key] for key in columns] for law in found["laws"]])


@click.command()
@click.argument("place", metavar="RUN")
@name_option
@click.option("--target", multiple=True, metavar="DOMAIN=WEIGHT", help="What to be good at [default: the recipe's].")
@json_option
def choose(place: str, name: str, target: tuple[str, ...], as_json: bool) -> None:
    """Choose the best ratios for a target from a fitted swarm, with their error bars, under the epoch caps.

    Example: corpusmill choose runs/quickstart --target docs=1 --target code=1
    """
    from corpusmill.mixtures.choose import TRUST
    from corpusmill.mixtures.choose import choose as do_choose
    from corpusmill.mixtures.laws.swarm_fit import fit_ledger, write_json
    from corpusmill.mixtures.sources import read_manifest

    recipe, folder = recipe_and_folder(place, None)
    run = Path(folder.url)
    wanted, mixture = recipe.sections.get("choose"), section(recipe, "mixture")
    ledger = ledger_of(place, name)
    found = fit_ledger(ledger, wanted.law if wanted else "auto")
    sizes = {
        name: each.num_tokens for name, each in read_manifest(run).sources.items() if name in found.results.sources
    }
    weights = parse_weights(target) or (dict(wanted.target) if wanted and wanted.target else {})
    caps = mixture.max_epochs
    choice = do_choose(
        found,
        weights or dict.fromkeys(found.results.domains, 1.0),
        sizes,
        budget=mixture.tokens,
        max_epochs=dict.fromkeys(sizes, float(caps)) if isinstance(caps, (int, float)) else caps,
        trust=wanted.trust if wanted else TRUST,
    )
    write_json(ledger.with_name("choice.json"), choice.as_json())
    if as_json:
        print_json(choice.as_json())
    else:
        print_choice(choice.as_json())


def parse_weights(pairs: tuple[str, ...]) -> dict[str, float]:
    """`docs=1 code=2` as numbers."""
    weights = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            separator = ""
        if not separator:
            raise RequestError(f"--target {pair}: expected DOMAIN=WEIGHT, such as docs=1")
    return weights


def print_choice(choice: dict[str, Any]) -> None:
    """The table of `choose`; ratios only where the swarm can tell mixtures apart."""
    if choice["verdict"] == "not distinguishable":
        click.echo("not distinguishable:")
        for reason in choice["reasons"]:
            click.echo(f"  {reason}")
        return
    rows = [(name, each["ratio"], each["low"], each["high"]) for name, each in choice["ratios"].items()]
    print_table("", ("source", "ratio", "low", "high"), rows)
    predicted = choice["predicted"]
    click.echo(f"predicted {predicted['value']:.4f} ± {predicted['error']:.4f} bits per byte of the target")
