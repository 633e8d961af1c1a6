"""Trains R models at once: one step reads each replica's own batch and moves each by its own optimizer.

Nothing crosses replicas: matrix products are batched over R, norms, clipping, learning rate, weight decay and schedule
are vectors [R]. So a replica's losses are those of training it alone (on the CPU with one thread bit for bit: every sum
is taken in an order that does not depend on R), permuting replicas permutes results, and one that diverges touches no
other. R = 1 is the ordinary trainer. The gradient of each replica is clipped by its own norm.

What is fused is for GPUs and tested on the CPU too: a step captured as a graph, layers and optimizer compiled, products
in bfloat16 beside float32 weights. `replicas_at_once` does a step for some replicas after the others, to hold the
activations and gradients of those alone; nothing else changes, since nothing crosses replicas.

Shapes: R replicas, B sequences, T tokens, N = B T.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.proxy import transformer
from corpusmill.mixtures.proxy.captured_step import CapturedStep
from corpusmill.mixtures.proxy.compilation import compiled
from corpusmill.mixtures.proxy.cross_entropy import cross_entropy
from corpusmill.mixtures.proxy.device import reproducible
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.optimizers import knobs_in, move_adamw, move_muon
from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.transformer import Parameters, Shape

Tensor = torch.Tensor

KNOB_STEPS = 256  # steps whose learning rates go to the device at once


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What is one model's own in a stack."""

    seed: int
    learning_rate: float
    weight_decay: float = 0.1
    clip: float = 1.0  # the largest norm of its gradient
    schedule: LearningRateSchedule = field(default_factory=LearningRateSchedule)
    rate_changes: tuple[tuple[int, float], ...] = ()  # (step, factor on the schedule from it on), in order

    def factor(self, step: int, num_steps: int) -> float:
        """What its learning rate is multiplied by at a step."""
        change = next((factor for start, factor in reversed(self.rate_changes) if step >= start), 1.0)
        return self.schedule.factor(step, num_steps) * change


@dataclass(frozen=True, kw_only=True)
class Training:
    """What all models of a stack share."""

    shape: Shape
    num_steps: int
    sequence_length: int
    num_sequences: int  # a batch, of one model (in this process, where several share it)
    num_micro_batches: int = 1  # gradients are summed over this many parts of a batch, to need less memory
    replicas_at_once: int | None = None  # whose activations are held together; None: all
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: for the matrices
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    end_of_document: int | None = None  # given: no attention across documents
    device: str = "cpu"
    dtype: str = "float32"  # of master weights and moments
    bfloat16: bool = False  # residual stream and matrix products
    fuse: bool = False  # compile layers, softmax and optimizer
    cuda_graph: bool = False  # capture a step once, replay it
    deterministic: bool = True  # on a GPU: the same bits each time, from kernels that may be slower

    @property
    def tokens_per_step(self) -> int:
        return self.sequence_length * self.num_sequences


class StackedTraining:
    """R models in training, with their optimizer's state. `step` counts the steps done."""

    def __init__(
        self, training: Training, replicas: Sequence[Replica], share: Callable[[Sequence[Tensor]], None] | None = None
    ) -> None:
        """`share` averages tensors in place over the processes that train these models together."""
        self.training = training
        self.share = share
        self.replicas = list(replicas)
        self.step = 0
        dtype: torch.dtype = getattr(torch, training.dtype)
        drawn = transformer.initial_parameters(training.shape, [replica.seed for replica in replicas], dtype)
        self.parameters: Parameters = {name: value.to(training.device) for name, value in drawn.items()}
        self.first_moments = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        second = [name for name in self.parameters if not self._is_muons(name)]
        self.second_moments = {name: torch.zeros_like(self.parameters[name]) for name in second}
        self._captured: CapturedStep | None = None
        self._knob_block: tuple[int, Tensor] | None = None

    def start_at_unigram(self, counts_RV: npt.NDArray[np.int64]) -> None:
        """Start each head's bias at the log frequencies of tokens, [R, V] counts, one added to each."""
        smoothed = counts_RV.astype(np.float64) + 1.0
        log_shares = np.log(smoothed / smoothed.sum(axis=1, keepdims=True))
        self.parameters["bias"].copy_(torch.from_numpy(log_shares))

    def train_step(self, rows_RBT: npt.NDArray[np.integer] | Tensor) -> Tensor:
        """One step on rows; each replica's mean loss [R] in nats a token, before the step.

        Rows are [R, B, T + 1], inputs and targets one token apart; or [R, B, 2 T], inputs and targets side by side,
        where a target below 0 counts nothing.
        """
        rows = rows_RBT if isinstance(rows_RBT, Tensor) else torch.from_numpy(np.asarray(rows_RBT, dtype=np.int64))
        rows, knobs = rows.to(self.training.device), self._knobs()
        with reproducible(self.training.deterministic and rows.is_cuda):
            if self.training.cuda_graph:
                if self._captured is None:
                    self._captured = CapturedStep(self.move, self.state(), rows, knobs)
                losses_R = self._captured.replay(rows, knobs)
            else:
                losses_R = self.move(rows, knobs)
        self.step += 1
        return losses_R

    def move(self, rows_RBT: Tensor, knobs: Tensor) -> Tensor:
        """The work of a step: losses [R], gradients, and the optimizer's move, all in place."""
        found = [self._move(replicas, rows_RBT[replicas], knobs) for replicas in self._parts()]
        return found[0] if len(found) == 1 else torch.cat(found)

    def _parts(self) -> Iterator[slice]:
        R = len(self.replicas)
        many = min(R, self.training.replicas_at_once or R)
        for start in range(0, R, many):
            yield slice(start, min(R, start + many))

    def _move(self, replicas: slice, rows_RBT: Tensor, knobs: Tensor) -> Tensor:
        """The same for some replicas, whose rows they are."""
        training = self.training
        parameters = {name: value[replicas] for name, value in self.parameters.items()}
        losses_R, gradients = self._gradients(parameters, rows_RBT)
        if self.share is not None:
            self.share([losses_R, *gradients.values()])
        clip_R, mine = self._clip_factors(gradients, replicas), knobs_in(knobs, replicas)
        adamw = compiled(move_adamw) if training.fuse else move_adamw
        for name, value in parameters.items():
            gradient, first = gradients[name], self.first_moments[name][replicas]
            scale = transformer.learning_rate_scale(training.shape, name, training.optimizer)
            if self._is_muons(name):
                move_muon(value, gradient, first, clip_R, mine, scale, training.bfloat16)
            else:
                second, decays = self.second_moments[name][replicas], transformer.decays(name)
                betas = (training.beta1, training.beta2, training.epsilon)
                adamw(value, gradient, first, second, clip_R, mine, *betas, scale, decays)
        return losses_R

    def _gradients(self, parameters: Parameters, rows_RBT: Tensor) -> tuple[Tensor, Parameters]:
        """Mean losses [R] over the batch and their gradients, part by part."""
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        weights = token_weights(rows_RBT, self.training.sequence_length, parameters["bias"].dtype)
        many = self.training.num_micro_batches
        total_R: Tensor | None = None
        sums: list[Tensor] = []
        for part, part_weights in zip(rows_RBT.chunk(many, dim=1), weights.chunk(many, dim=1), strict=True):
            losses_R = self.losses(leaves, part, part_weights)
            found = torch.autograd.grad(losses_R.sum(), list(leaves.values()))
            if total_R is None:
                total_R, sums = losses_R.detach(), list(found)
            else:
                total_R += losses_R.detach()
                for mine, more in zip(sums, found, strict=True):
                    mine.add_(more)
        assert total_R is not None
        return total_R, dict(zip(leaves, sums, strict=True))

    def losses(self, parameters: Parameters, rows_RBT: Tensor, weights_RBT: Tensor | None = None) -> Tensor:
        """Each replica's loss [R] on rows: the sum of its tokens' times their weights; without weights the mean."""
        training, shape = self.training, self.training.shape
        if weights_RBT is None:
            weights_RBT = token_weights(rows_RBT, training.sequence_length, parameters["bias"].dtype)
        inputs, targets = inputs_and_targets(rows_RBT, training.sequence_length)
        documents = None
        if training.end_of_document is not None:  # a document's end token is its last
            ends = (inputs == training.end_of_document).to(torch.int32)
            documents = ends.cumsum(-1) - ends
        how = {"bfloat16": training.bfloat16, "fuse": training.fuse}
        states = transformer.final_states(parameters, shape, inputs, documents, **how)
        weight = transformer.head_weight(parameters, shape).to(states.dtype)
        flat, weights, scale = targets.flatten(1).clamp(min=0), weights_RBT.flatten(1), transformer.logit_scale(shape)
        return cross_entropy(states, weight, parameters["bias"], flat, weights, scale=scale, fuse=training.fuse)

    def _knobs(self) -> Tensor:
        """Learning rates, decays and corrections [2 R + 2] of the step about to be done, on the device."""
        first = self.step // KNOB_STEPS * KNOB_STEPS
        if self._knob_block is None or self._knob_block[0] != first:
            self._knob_block = first, torch.from_numpy(self._knob_rows(first)).to(self.parameters["bias"])
        return self._knob_block[1][self.step - first]

    def _knob_rows(self, first: int) -> npt.NDArray[np.float64]:
        """The same for all steps of a block [KNOB_STEPS, 2 R + 2]."""
        training, steps = self.training, range(first, first + KNOB_STEPS)
        factors: dict[tuple[object, ...], npt.NDArray[np.float64]] = {}  # few in a stack of many
        rates_SR = np.empty((KNOB_STEPS, len(self.replicas)))
        for number, replica in enumerate(self.replicas):
            way = replica.schedule, replica.rate_changes
            if way not in factors:  # a block reaches over the end
                last = training.num_steps - 1
                factors[way] = np.array([replica.factor(min(step, last), training.num_steps) for step in steps])
            rates_SR[:, number] = replica.learning_rate * factors[way]
        decays_SR = rates_SR * np.array([replica.weight_decay for replica in self.replicas])
        powers = np.arange(first + 1, first + KNOB_STEPS + 1)
        corrections = [1 / (1 - beta**powers) for beta in (training.beta1, training.beta2)]
        return np.column_stack([rates_SR, decays_SR, *corrections])

    def _clip_factors(self, gradients: Parameters, replicas: slice) -> Tensor:
        """[R]: what scales each replica's gradient to at most its clip.

        Squares are added in an order that does not depend on R, unlike a sum over the rows of a matrix on a CPU; a GPU
        would do such a product on one of its processors.
        """
        flats = [each.flatten(1) for each in gradients.values()]
        if flats[0].is_cuda:
            squares = [torch.linalg.vector_norm(flat, dim=1).square() for flat in flats]
        else:
            squares = [torch.linalg.vecdot(flat, flat) for flat in flats]
        norm_R = torch.sqrt(torch.as_tensor(sum(squares))) + 1e-12
        if self._clip_R is None:
            self._clip_R = self._tensor([replica.clip for replica in self.replicas])
        return (self._clip_R[replicas] / norm_R).clamp_(max=1.0)

    _clip_R: Tensor | None = None

    def _is_muons(self, name: str) -> bool:
        return self.training.optimizer == "muon" and name in transformer.MATRICES

    def _tensor(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).to(self.parameters["bias"])

    def state(self) -> Parameters:
        """All tensors of a checkpoint; with `step` and the replicas' settings they continue bit for bit."""
        groups = {"parameter": self.parameters, "first": self.first_moments, "second": self.second_moments}
        return {f"{kind}.{name}": value for kind, group in groups.items() for name, value in group.items()}

    def load_state(self, state: Parameters, step: int) -> None:
        self.step = step
        for key, value in self.state().items():
            value.copy_(state[key])

    def keep(self, replicas: Sequence[int]) -> None:
        """Go on with these replicas alone, in this order (successive halving)."""
        index = torch.tensor(replicas, device=self.training.device)
        for group in (self.parameters, self.first_moments, self.second_moments):
            for name, value in group.items():
                group[name] = value.index_select(0, index)
        self.replicas = [self.replicas[replica] for replica in replicas]
        self._captured, self._clip_R, self._knob_block = None, None, None


def inputs_and_targets(rows_RBT: Tensor, sequence_length: int) -> tuple[Tensor, Tensor]:
    """Both [R, B, T]."""
    if rows_RBT.shape[-1] == 2 * sequence_length:
        return rows_RBT[..., :sequence_length], rows_RBT[..., sequence_length:]
    return rows_RBT[..., :-1], rows_RBT[..., 1:]


def token_weights(rows_RBT: Tensor, sequence_length: int, dtype: torch.dtype) -> Tensor:
    """[R, B, T]: what each token's loss counts; a replica's sum to one."""
    targets = inputs_and_targets(rows_RBT, sequence_length)[1]
    if rows_RBT.shape[-1] != 2 * sequence_length:
        one = torch.ones((), dtype=dtype, device=rows_RBT.device) / (targets.shape[1] * targets.shape[2])
        return one.expand(targets.shape)
    counted = (targets >= 0).to(dtype)
    return counted / counted.sum((1, 2), keepdim=True).clamp(min=1)
