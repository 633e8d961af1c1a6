"""What all runs of a sweep share, and what one run is."""

from dataclasses import dataclass, field
from typing import Literal

from corpusmill.mixtures.designs import SwarmMixture
from corpusmill.mixtures.halving import Halving
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.proxy.device import chosen_device
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.stacked_training import Replica, Training
from corpusmill.mixtures.proxy.step_rows import Place
from corpusmill.mixtures.proxy.transformer import Shape, shape_of
from corpusmill.mixtures.sources import Tokenizer
from corpusmill.pipeline.errors import RequestError

FINAL_SHARE = 0.01
"""The last evaluations are this share of the steps apart: far enough to differ, near enough to be of one model."""


@dataclass(frozen=True, kw_only=True)
class SwarmSettings:
    """What all runs of a sweep share."""

    tokens_per_run: int
    name: str = "main"
    size: str = "30k"
    num_kv_heads: int = 0  # fewer key-value heads than heads
    tied: bool = True  # the head shares the embedding
    sequence_length: int = 128
    tokens_per_step: int = 512
    target_tokens: int | None = (
        None  # of the run that is prepared: sources are cut so that they repeat as often as there
    )
    learning_rate: float = 0.01
    learning_rates: tuple[float, ...] = ()  # every mixture with each of them, in place of `learning_rate`
    optimizer: Literal["adamw", "muon"] = "adamw"
    document_masks: bool = False  # no attention across documents
    num_evaluations: int = 1  # on the held-out documents, evenly over the run; the last at its end
    final_evaluations: int = 1  # at the end, FINAL_SHARE of the steps apart: the noise between checkpoints
    halving: Halving | None = None
    weight_decay: float = 0.1
    clip: float = 1.0
    schedule: LearningRateSchedule = field(default_factory=LearningRateSchedule)
    held_out_tokens: int = 20_000  # of each domain
    max_stacked: int | None = None  # models trained at once; None: as many as memory holds
    replicas_at_once: int | None = None  # of them, how many hold activations at a time; None: all
    tokens_in: Place = "auto"  # resident on the device, or streamed; auto: resident on a GPU where they fit
    checkpoint_s: float = 60.0  # seconds of training that a kill may lose
    device: str = "auto"  # cuda where there is one, else cpu
    fuse: bool = True  # on a GPU: layers, softmax and optimizer compiled
    cuda_graph: bool = True  # on a GPU: a step is captured once and replayed
    deterministic: bool = True  # on a GPU: resumes bit for bit
    spread: Literal["threads", "processes", "ray"] = "threads"  # how stacks are trained side by side
    num_workers: int | None = None  # stacks side by side; None: one a core, or one a GPU

    def __post_init__(self) -> None:
        if self.tokens_per_step % self.sequence_length:
            raise RequestError(
                f"sweep.tokens_per_step: {self.tokens_per_step} is no multiple of "
                f"sequence_length {self.sequence_length}."
            )
        if not 1 <= self.num_evaluations <= self.num_steps:
            raise RequestError(f"sweep.num_evaluations: {self.num_evaluations} is outside 1 to {self.num_steps} steps.")
        if self.final_evaluations < 1:
            raise RequestError(f"sweep.final_evaluations: {self.final_evaluations} is less than 1.")
        if self.tokens_per_run < self.tokens_per_step:
            raise RequestError(
                f"sweep.tokens_per_run: {self.tokens_per_run} is less than one step of {self.tokens_per_step} tokens."
            )
        if self.target_tokens is not None and self.target_tokens < self.tokens_per_run:
            raise RequestError(
                f"sweep.target_tokens: {self.target_tokens} is less than tokens_per_run, {self.tokens_per_run}: "
                "a proxy is to be smaller than what it stands for."
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

    def rounds(self) -> list[int]:
        """After how many steps runs are compared and the worse ones stopped."""
        return self.halving.steps(self.num_steps) if self.halving else []

    def evaluation_steps(self) -> list[int]:
        """After how many steps every run is measured, ascending; the last is the end."""
        steps, apart = self.num_steps, max(1, round(FINAL_SHARE * self.num_steps))
        even = {-(-steps * (index + 1) // self.num_evaluations) for index in range(self.num_evaluations)}
        final = {steps - index * apart for index in range(self.final_evaluations)}
        return sorted(step for step in even | final | set(self.rounds()) if step > 0)

    def shape(self, vocab_size: int) -> Shape:
        return shape_of(self.size, vocab_size, self.num_kv_heads, self.tied)

    def training(self, tokenizer: Tokenizer) -> Training:
        device = chosen_device(self.device)
        gpu = device != "cpu"
        return Training(
            shape=self.shape(tokenizer.vocab_size),
            num_steps=self.num_steps,
            sequence_length=self.sequence_length,
            num_sequences=self.num_sequences,
            replicas_at_once=self.replicas_at_once,
            optimizer=self.optimizer,
            end_of_document=tokenizer.end_of_document if self.document_masks else None,
            device=device,
            bfloat16=gpu,
            fuse=self.fuse and gpu,
            cuda_graph=self.cuda_graph and gpu,
            deterministic=self.deterministic,
        )


@dataclass(frozen=True)
class SwarmRun:
    """One proxy to train."""

    name: str
    mixture: SwarmMixture
    replica: Replica
    plan: Plan
    key: str
