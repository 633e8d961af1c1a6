"""What a recipe says under `sweep` and `choose`, without what it takes to train: reading a recipe needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from corpusmill.mixtures.designs import SwarmMixture, swarm_design
from corpusmill.mixtures.sources import TokenManifest
from corpusmill.pipeline.errors import RequestError

TRAINING = (
    *("tokens_per_run", "name", "size", "sequence_length", "tokens_per_step", "learning_rate"),
    *("held_out_tokens", "device", "num_workers"),
)
"""Fields that concern a proxy's training, named as in SwarmSettings."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A swarm of `runs` proxies: which mixtures, which model, how long.

    `seeds` proxies train on the natural mixture with different seeds; their spread is the noise. `max_epochs` caps how
    often a source is repeated in a run.
    """

    tokens_per_run: int
    runs: int = 32
    seeds: int = 2
    name: str = "main"
    size: str = "30k"
    sequence_length: int = 128
    tokens_per_step: int = 512
    learning_rate: float = 0.01
    draws: Literal["dirichlet", "sobol"] = "dirichlet"
    temperature: float = 0.5
    max_epochs: float | Mapping[str, float] | None = None
    sources: tuple[str, ...] = ()  # to mix; empty is all
    held_out_tokens: int = 20_000
    device: str = "auto"
    num_workers: int | None = None  # stacks trained side by side; None is one a core
    seed: int = 0

    def __post_init__(self) -> None:
        if self.runs < 3:
            raise ValueError(f"runs: {self.runs}; a law needs at least 3 mixtures")

    def training(self) -> dict[str, Any]:
        """The keywords of SwarmSettings (mixtures/proxy/swarm.py)."""
        return {name: getattr(self, name) for name in TRAINING}

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
        """The mixtures to train, over the sources to mix."""
        sizes = self.sizes(manifest)
        return swarm_design(
            sizes,
            self.runs,
            budget=self.tokens_per_run,
            max_epochs=self.epochs(sizes),
            draws=self.draws,
            temperature=self.temperature,
            num_natural=self.seeds,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class Choose:
    """What the ratios should be good at: weights of held-out domains; every domain alike where none is named."""

    target: Mapping[str, float] = field(default_factory=dict)
    law: str = "auto"
    trust: float = 0.05  # weight of the distance to the natural ratios against bits per byte (mixtures/choose.py)
