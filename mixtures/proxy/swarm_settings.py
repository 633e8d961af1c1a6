"""What all runs of a sweep share, and what one run is."""

from dataclasses import dataclass, field
from typing import Literal

from corpusmill.mixtures.designs import SwarmMixture
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.stacked_training import Replica
from corpusmill.pipeline.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class SwarmSettings:
    """What all runs of a sweep share."""

    tokens_per_run: int
    name: str = "main"
    size: str = "30k"
    sequence_length: int = 128
    tokens_per_step: int = 512
    learning_rate: float = 0.01
    learning_rates: tuple[float, ...] = ()  # every mixture with each of them, in place of `learning_rate`
    optimizer: Literal["adamw", "muon"] = "adamw"
    document_masks: bool = False  # no attention across documents
    num_evaluations: int = 1  # on the held-out documents, evenly over the run; the last at its end
    weight_decay: float = 0.1
    clip: float = 1.0
    schedule: LearningRateSchedule = field(default_factory=LearningRateSchedule)
    held_out_tokens: int = 20_000  # of each domain
    max_stacked: int | None = None  # models trained at once; None: as many as memory holds
    checkpoint_s: float = 60.0  # seconds of training that a kill may lose
    device: str = "auto"  # cuda where there is one, else cpu
    cuda_graph: bool = True  # on a GPU: a step is captured once and replayed
    num_workers: int | None = None  # stacks trained side by side, a core each; None: one a core, or one on a GPU

    def __post_init__(self) -> None:
        if self.tokens_per_step % self.sequence_length:
            raise RequestError(
                f"sweep.tokens_per_step: {self.tokens_per_step} is no multiple of "
                f"sequence_length {self.sequence_length}."
            )
        if not 1 <= self.num_evaluations <= self.num_steps:
            raise RequestError(f"sweep.num_evaluations: {self.num_evaluations} is outside 1 to {self.num_steps} steps.")
        if self.tokens_per_run < self.tokens_per_step:
            raise RequestError(
                f"sweep.tokens_per_run: {self.tokens_per_run} is less than one step of {self.tokens_per_step} tokens."
            )

    @property
    def num_steps(self) -> int:
        return -(-self.tokens_per_run // self.tokens_per_step)

    @property
    def num_sequences(self) -> int:
        return self.tokens_per_step // self.sequence_length

    @property
    def num_tokens(self) -> int:
        """Tokens of a run: whole steps."""
        return self.num_steps * self.tokens_per_step


@dataclass(frozen=True)
class SwarmRun:
    """One proxy to train."""

    name: str
    mixture: SwarmMixture
    replica: Replica
    plan: Plan
    key: str


def device_of(settings: SwarmSettings) -> str:
    if settings.device != "auto":
        return settings.device
    return "cuda" if torch.cuda.is_available() else "cpu"
