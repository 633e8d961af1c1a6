"""Trains R models at once: one step reads each replica's own batch and moves each by its own AdamW.

Nothing crosses replicas: matrix products are batched over R, norms, clipping, learning rate, weight decay and schedule
are vectors [R]. So a replica's losses are those of training it alone, permuting replicas permutes results, and one that
diverges touches no other. R = 1 is the ordinary trainer.

AdamW (Loshchilov and Hutter 2019) with decoupled decay; the gradient of each replica is clipped by its own norm. Cost
of the optimizer: 28 bytes of memory traffic a parameter and step where the update is fused.

Shapes: R replicas, B sequences, T tokens, N = B T.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.proxy import transformer
from corpusmill.mixtures.proxy.cross_entropy import cross_entropy
from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule
from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.transformer import Parameters, Shape

Tensor = torch.Tensor


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
    num_sequences: int  # a batch, of one model
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    end_of_document: int | None = None  # given: no attention across documents
    device: str = "cpu"
    dtype: str = "float32"  # of master weights and moments
    autocast: bool = False  # matrix products in bfloat16

    @property
    def tokens_per_step(self) -> int:
        return self.sequence_length * self.num_sequences


class StackedTraining:
    """R models in training, with their optimizer's state. `step` counts the steps done."""

    def __init__(self, training: Training, replicas: Sequence[Replica]) -> None:
        self.training = training
        self.replicas = list(replicas)
        self.step = 0
        dtype: torch.dtype = getattr(torch, training.dtype)
        drawn = transformer.initial_parameters(training.shape, [replica.seed for replica in replicas], dtype)
        self.parameters: Parameters = {name: value.to(training.device) for name, value in drawn.items()}
        self.first_moments = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.second_moments = {name: torch.zeros_like(value) for name, value in self.parameters.items()}

    def start_at_unigram(self, counts_RV: npt.NDArray[np.int64]) -> None:
        """Start each head's bias at the log frequencies of tokens, [R, V] counts, one added to each."""
        smoothed = counts_RV.astype(np.float64) + 1.0
        log_shares = np.log(smoothed / smoothed.sum(axis=1, keepdims=True))
        self.parameters["bias"] = torch.from_numpy(log_shares).to(self.parameters["bias"])

    def train_step(self, rows_RBT: npt.NDArray[np.integer] | Tensor) -> Tensor:
        """One step on rows [R, B, T + 1]; each replica's mean loss [R] in nats a token, before the step."""
        rows = torch.as_tensor(np.asarray(rows_RBT, dtype=np.int64)) if not isinstance(rows_RBT, Tensor) else rows_RBT
        leaves = {name: value.detach().requires_grad_() for name, value in self.parameters.items()}
        losses_R = self.losses(leaves, rows.to(self.training.device))
        gradients = torch.autograd.grad(losses_R.sum(), list(leaves.values()))
        self._adamw(dict(zip(leaves, gradients, strict=True)))
        self.step += 1
        return losses_R.detach()

    def losses(self, parameters: Parameters, rows_RBT: Tensor) -> Tensor:
        """Each replica's mean loss [R] on rows [R, B, T + 1]."""
        training, shape = self.training, self.training.shape
        inputs, targets = rows_RBT[..., :-1], rows_RBT[..., 1:].flatten(1)
        documents = None
        if training.end_of_document is not None:  # a document's end token is its last
            ends = (inputs == training.end_of_document).to(torch.int32)
            documents = ends.cumsum(-1) - ends
        with torch.autocast(training.device.split(":")[0], torch.bfloat16, enabled=training.autocast):
            states = transformer.final_states(parameters, shape, inputs, documents)
            weight = transformer.head_weight(parameters, shape).to(states.dtype)
        weights_RN = states.new_full((1, 1), 1.0 / targets.shape[1]).expand(targets.shape)
        scale = transformer.logit_scale(shape)
        return cross_entropy(states, weight, parameters["bias"], targets, weights_RN, scale=scale)

    def _adamw(self, gradients: Parameters) -> None:
        training = self.training
        beta1, beta2 = training.beta1, training.beta2
        factors = [replica.schedule.factor(self.step, training.num_steps) for replica in self.replicas]
        rates = [replica.learning_rate * factor for replica, factor in zip(self.replicas, factors, strict=True)]
        rate_R = self._vector(rates)
        decay_R = self._vector([rate * r.weight_decay for rate, r in zip(rates, self.replicas, strict=True)])
        clip_R = self._clip_factors(gradients)
        correct1, correct2 = 1 - beta1 ** (self.step + 1), 1 - beta2 ** (self.step + 1)
        for name, value in self.parameters.items():
            gradient = gradients[name].mul_(like(clip_R, value))
            first = self.first_moments[name].lerp_(gradient, 1 - beta1)
            second = self.second_moments[name].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            scale = transformer.learning_rate_scale(training.shape, name)
            if transformer.decays(name):
                value.mul_(1 - like(decay_R, value))
            update = first / (second / correct2).sqrt_().add_(training.epsilon)
            value.sub_(update.mul_(like(rate_R * (scale / correct1), value)))

    def _clip_factors(self, gradients: Parameters) -> Tensor:
        """[R]: what scales each replica's gradient to at most its clip.

        Squares are added in an order that does not depend on R, unlike a sum over the rows of a matrix.
        """
        square_R = sum(torch.linalg.vecdot(flat, flat) for flat in (each.flatten(1) for each in gradients.values()))
        norm_R = torch.sqrt(torch.as_tensor(square_R)) + 1e-12
        return (self._vector([replica.clip for replica in self.replicas]) / norm_R).clamp_(max=1.0)

    def _vector(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).to(self.parameters["bias"])

    def state(self) -> Parameters:
        """All tensors of a checkpoint; with `step` and the replicas' settings they continue bit for bit."""
        groups = {"parameter": self.parameters, "first": self.first_moments, "second": self.second_moments}
        return {f"{kind}.{name}": value for kind, group in groups.items() for name, value in group.items()}

    def load_state(self, state: Parameters, step: int) -> None:
        self.step = step
        for key, value in self.state().items():
            value.copy_(state[key])


def like(vector_R: Tensor, value: Tensor) -> Tensor:
    """A vector [R] with as many dimensions as `value`."""
    return vector_R.view(-1, *[1] * (value.dim() - 1))
