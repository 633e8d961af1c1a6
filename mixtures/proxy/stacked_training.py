"""Trains R models at once: one step reads each replica's own batch and moves each by its own optimizer.

Nothing crosses replicas: matrix products are batched over R, norms, clipping, learning rate, weight decay and schedule
are vectors [R]. So a replica's losses are those of training it alone (on the CPU with one thread bit for bit: every sum
is taken in an order that does not depend on R), permuting replicas permutes results, and one that diverges touches no
other. R = 1 is the ordinary trainer. The gradient of each replica is clipped by its own norm.

On CUDA a step can be captured once and replayed as a graph: small proxies are bound by the launching of their kernels.

Shapes: R replicas, B sequences, T tokens, N = B T.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.proxy import transformer
from corpusmill.mixtures.proxy.cross_entropy import cross_entropy
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.optimizers import Knobs, adamw_update, muon_update
from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.transformer import Parameters, Shape

Tensor = torch.Tensor

WARM_UP_STEPS = 3  # before a capture, so that every library has chosen its kernels


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What is one model's own in a stack."""

    seed: int
    learning_rate: float
    weight_decay: float = 0.1
    clip: float = 1.0  # the largest norm of its gradient
    schedule: LearningRateSchedule = field(default_factory=LearningRateSchedule)


@dataclass(frozen=True, kw_only=True)
class Training:
    """What all models of a stack share."""

    shape: Shape
    num_steps: int
    sequence_length: int
    num_sequences: int  # a batch, of one model (in this process, where several share it)
    num_micro_batches: int = 1  # gradients are summed over this many parts of a batch, to need less memory
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: for the matrices
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    end_of_document: int | None = None  # given: no attention across documents
    device: str = "cpu"
    dtype: str = "float32"  # of master weights and moments
    autocast: bool = False  # matrix products in bfloat16
    cuda_graph: bool = False  # capture a step once, replay it

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
        self._captured: _CapturedStep | None = None

    def start_at_unigram(self, counts_RV: npt.NDArray[np.int64]) -> None:
        """Start each head's bias at the log frequencies of tokens, [R, V] counts, one added to each."""
        smoothed = counts_RV.astype(np.float64) + 1.0
        log_shares = np.log(smoothed / smoothed.sum(axis=1, keepdims=True))
        self.parameters["bias"].copy_(torch.from_numpy(log_shares))

    def train_step(self, rows_RBT: npt.NDArray[np.integer] | Tensor) -> Tensor:
        """One step on rows [R, B, T + 1]; each replica's mean loss [R] in nats a token, before the step."""
        rows = rows_RBT if isinstance(rows_RBT, Tensor) else torch.from_numpy(np.asarray(rows_RBT, dtype=np.int64))
        rows, knobs = rows.to(self.training.device), self._knobs()
        if self.training.cuda_graph:
            if self._captured is None:
                self._captured = _CapturedStep(self, rows, knobs)
            losses_R = self._captured.replay(rows, knobs)
        else:
            losses_R = self.move(rows, knobs)
        self.step += 1
        return losses_R

    def move(self, rows_RBT: Tensor, knobs: Knobs) -> Tensor:
        """The work of a step: losses [R], gradients, and the optimizer's move, all in place."""
        losses_R, gradients = self._gradients(rows_RBT)
        if self.share is not None:
            self.share([losses_R, *gradients.values()])
        clip_R = self._clip_factors(gradients)
        for name, value in self.parameters.items():
            gradient = gradients[name].mul_(like(clip_R, value))
            if self._is_muons(name):
                update = muon_update(gradient, self.first_moments[name])
            else:
                update = adamw_update(
                    gradient,
                    self.first_moments[name],
                    self.second_moments[name],
                    knobs,
                    beta1=self.training.beta1,
                    beta2=self.training.beta2,
                    epsilon=self.training.epsilon,
                )
            if transformer.decays(name):
                value.mul_(1 - like(knobs.decay_R, value))
            scale = transformer.learning_rate_scale(self.training.shape, name)
            value.sub_(update.mul_(like(knobs.rate_R * scale, value)))
        return losses_R

    def _gradients(self, rows_RBT: Tensor) -> tuple[Tensor, Parameters]:
        """Mean losses [R] over the batch and their gradients, part by part."""
        leaves = {name: value.detach().requires_grad_() for name, value in self.parameters.items()}
        total_R: Tensor | None = None
        sums: list[Tensor] = []
        for part in rows_RBT.chunk(self.training.num_micro_batches, dim=1):
            losses_R = self.losses(leaves, part) * (part.shape[1] / rows_RBT.shape[1])
            found = torch.autograd.grad(losses_R.sum(), list(leaves.values()))
            if total_R is None:
                total_R, sums = losses_R.detach(), list(found)
            else:
                total_R += losses_R.detach()
                for mine, more in zip(sums, found, strict=True):
                    mine.add_(more)
        assert total_R is not None
        return total_R, dict(zip(leaves, sums, strict=True))

    def losses(self, parameters: Parameters, rows_RBT: Tensor) -> Tensor:
        """Each replica's mean loss [R] on rows [R, B, T + 1]."""
        training, shape = self.training, self.training.shape
        inputs, targets = rows_RBT[..., :-1], rows_RBT[..., 1:].flatten(1)
        documents = None
        if training.end_of_document is not None:  # a document's end token is its last
            ends = (inputs == training.end_of_document).to(torch.int32)
            documents = ends.cumsum(-1) - ends
        device_type = training.device.split(":")[0]
        with torch.autocast(device_type, torch.bfloat16, enabled=training.autocast, cache_enabled=False):
            states = transformer.final_states(parameters, shape, inputs, documents)
        weight = transformer.head_weight(parameters, shape)
        if training.autocast:
            states, weight = states.bfloat16(), weight.bfloat16()
        weights_RN = parameters["bias"].new_full((1, 1), 1.0 / targets.shape[1]).expand(targets.shape)
        scale = transformer.logit_scale(shape)
        return cross_entropy(states, weight, parameters["bias"], targets, weights_RN, scale=scale)

    def _knobs(self) -> Knobs:
        """Learning rates of the step about to be done."""
        training = self.training
        factors = [replica.schedule.factor(self.step, training.num_steps) for replica in self.replicas]
        rates = [replica.learning_rate * factor for replica, factor in zip(self.replicas, factors, strict=True)]
        decays = [rate * replica.weight_decay for rate, replica in zip(rates, self.replicas, strict=True)]
        first, second = (1 / (1 - beta ** (self.step + 1)) for beta in (training.beta1, training.beta2))
        return Knobs(self._tensor(rates), self._tensor(decays), self._tensor(first), self._tensor(second))

    def _clip_factors(self, gradients: Parameters) -> Tensor:
        """[R]: what scales each replica's gradient to at most its clip.

        Squares are added in an order that does not depend on R, unlike a sum over the rows of a matrix.
        """
        square_R = sum(torch.linalg.vecdot(flat, flat) for flat in (each.flatten(1) for each in gradients.values()))
        norm_R = torch.sqrt(torch.as_tensor(square_R)) + 1e-12
        if self._clip_R is None:
            self._clip_R = self._tensor([replica.clip for replica in self.replicas])
        return (self._clip_R / norm_R).clamp_(max=1.0)

    _clip_R: Tensor | None = None

    def _is_muons(self, name: str) -> bool:
        return self.training.optimizer == "muon" and name in transformer.MATRICES

    def _tensor(self, values: Sequence[float] | float) -> Tensor:
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
        self._captured, self._clip_R = None, None


class _CapturedStep:
    """A step as a CUDA graph: rows and knobs are copied to where the graph reads them, then it is replayed."""

    def __init__(self, stack: StackedTraining, rows: Tensor, knobs: Knobs) -> None:
        self.rows, self.knobs = rows.clone(), knobs
        before = {name: value.clone() for name, value in stack.state().items()}
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                stack.move(self.rows, self.knobs)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.losses_R = stack.move(self.rows, self.knobs)
        stack.load_state(before, stack.step)  # the warm-up moved the weights

    def replay(self, rows: Tensor, knobs: Knobs) -> Tensor:
        self.rows.copy_(rows)
        self.knobs.copy_(knobs)
        self.graph.replay()
        return self.losses_R.clone()


def like(vector_R: Tensor, value: Tensor) -> Tensor:
    """A vector [R] with as many dimensions as `value`."""
    return vector_R.view(-1, *[1] * (value.dim() - 1))
