"""What a recipe says under `sweep` and `choose`, without what it takes to train: reading a recipe needs no torch."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from corpusmill.mixtures.designs import SwarmMixture, draws_around, swarm_design
from corpusmill.mixtures.halving import Halving
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.sources import TokenManifest
from corpusmill.mixtures.weights import unknown_sources
from corpusmill.pipeline.errors import DamagedFileError, RequestError
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.settings import check_name

DESIGN = ("runs", "seeds", "draws", "temperature", "max_epochs", "sources", "tasks", "seed")
"""Fields that say which mixtures are trained, and on what tasks; all others are SwarmSettings', by the same names."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A swarm of `runs` proxies: which mixtures, which model, how long.

    `seeds` proxies train on the natural mixture with different seeds; their spread is the noise. `max_epochs` caps how
    often a source is repeated in a run, or in the run of `target_tokens` that is prepared (docs/proxies.md).
    """

    tokens_per_run: int
    runs: int = 32
    seeds: int = 2
    name: str = "main"
    size: str = "30k"
    num_kv_heads: int = 0
    tied: bool = True
    sequence_length: int = 128
    tokens_per_step: int = 512
    target_tokens: int | None = None  # of the run that is prepared: proxies see each source as often as it will
    learning_rate: float = 0.01
    learning_rates: tuple[float, ...] = ()  # every mixture with each of them; the law gets its best
    optimizer: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = 0.1
    clip: float = 1.0
    schedule: LearningRateSchedule = field(default_factory=LearningRateSchedule)
    document_masks: bool = False
    halving: Halving | None = None
    num_evaluations: int = 1
    final_evaluations: int = 1
    tasks: tuple[str, ...] = ()  # files of questions, JSON lines
    draws: Literal["dirichlet", "sobol"] = "dirichlet"
    temperature: float = 0.5
    max_epochs: float | Mapping[str, float] | None = None
    sources: tuple[str, ...] = ()  # to mix; empty is all
    held_out_tokens: int = 20_000
    device: str = "auto"
    deterministic: bool = True
    tokens_in: Literal["auto", "resident", "streamed"] = "auto"
    max_stacked: int | None = None
    replicas_at_once: int | None = None
    checkpoint_s: float = 60.0
    spread: Literal["threads", "processes", "ray"] = "threads"
    num_workers: int | None = None  # stacks trained side by side; None is one a core, or one a GPU
    seed: int = 0

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if self.runs < 3:
            raise ValueError(f"runs: {self.runs}; a law needs at least 3 mixtures")

    def problems(self, sources: Collection[str], columns: Collection[str]) -> list[tuple[str, str]]:
        named = {"sources": self.sources, "max_epochs": self.max_epochs}
        named |= {"halving.target": self.halving.target} if self.halving else {}
        found = [problem for key, names in named.items() for problem in unknown_sources(key, names, sources)]
        return found + [("tasks", f"{file}: no such file") for file in self.tasks if not Path(file).is_file()]

    def training(self) -> dict[str, Any]:
        """The keywords of SwarmSettings (mixtures/proxy/swarm_settings.py)."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in DESIGN}

    def epochs(self, sources: Mapping[str, int]) -> dict[str, float] | None:
        """The epoch cap of each source; None without any."""
        if self.max_epochs is None or isinstance(self.max_epochs, Mapping):
            return None if self.max_epochs is None else dict(self.max_epochs)
        return dict.fromkeys(sources, float(self.max_epochs))

    def sizes(self, manifest: TokenManifest) -> dict[str, int]:
        """Tokens of each source to mix. Raises RequestError for a source that has no training tokens."""
        for name in self.sources:
            if name not in manifest.sources:
                known = ", ".join(sorted(manifest.sources))
                raise RequestError(f"sweep.sources: '{name}' has no training tokens; there is: {known}")
        return {name: manifest.sources[name].num_tokens for name in self.sources or sorted(manifest.sources)}

    def design(self, manifest: TokenManifest) -> list[SwarmMixture]:
        """The mixtures to train, over the sources to mix; those of added rounds behind the recipe's."""
        sizes, budget = self.sizes(manifest), self.target_tokens or self.tokens_per_run
        caps = self.epochs(sizes)
        made = swarm_design(
            sizes,
            self.runs,
            budget=budget,
            max_epochs=caps,
            draws=self.draws,
            temperature=self.temperature,
            num_natural=self.seeds,
            seed=self.seed,
        )
        for number, (count, center) in enumerate(added_rounds(manifest.run, self.name), 1):
            made += draws_around(
                center,
                count,
                made,
                round_number=number,
                num_tokens=sizes,
                budget=budget,
                max_epochs=caps,
                seed=self.seed,
            )
        return made


def added_rounds(run: RunFolder, name: str) -> list[tuple[int, dict[str, float]]]:
    """The rounds that were added to a sweep: (mixtures, the ratios around which they are drawn)."""
    path = f"sweeps/{name}/rounds.json"
    try:
        facts = run.read_json(path) or []
        return [(int(each["runs"]), {source: float(r) for source, r in each["around"].items()}) for each in facts]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{run.url}/{path}: {error!r}: delete it; its rounds leave the sweep then.") from error


def add_round(run: RunFolder, name: str, num_mixtures: int, around: Mapping[str, float]) -> None:
    """Adds a round to a sweep: `num_mixtures` drawn around these ratios."""
    rounds = [*added_rounds(run, name), (num_mixtures, dict(around))]
    facts = [{"runs": count, "around": center} for count, center in rounds]
    run.put_json(f"sweeps/{name}/rounds.json", facts)


@dataclass(frozen=True, kw_only=True)
class Choose:
    """What the ratios should be good at: weights of held-out domains; every domain alike where none is named."""

    target: Mapping[str, float] = field(default_factory=dict)
    law: str = "auto"
    trust: float = 0.05  # weight of the distance to the natural ratios against bits per byte (mixtures/choose.py)

    def problems(self, sources: Collection[str], columns: Collection[str]) -> list[tuple[str, str]]:
        return unknown_sources("target", self.target, sources)
