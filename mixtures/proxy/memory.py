"""How much memory training takes: what decides how many models are stacked, and into how many parts a batch is cut."""

from corpusmill.mixtures.proxy.device import free_bytes
from corpusmill.mixtures.proxy.transformer import Shape

STATE_BYTES = 24
"""A parameter: float32 weight, two moments, gradient, and twice a copy while a gradient is summed or cast."""


def activation_bytes(shape: Shape, device: str) -> int:
    """A token's: what the backward pass keeps of every layer, the residual stream and its norms."""
    width = 4 if device == "cpu" else 3  # bytes a number: products are in bfloat16 on a GPU, norms and sums partly not
    return width * (shape.num_layers * (24 * shape.width + 8 * shape.ff_width) + 8 * shape.width)


def num_micro_batches(shape: Shape, num_sequences: int, sequence_length: int, device: str) -> int:
    """The fewest equal parts of a batch of one model that fit the device."""
    room = free_bytes(device) - STATE_BYTES * shape.num_parameters
    most = max(1, room // (activation_bytes(shape, device) * sequence_length))
    return next(
        parts for parts in range(1, num_sequences + 1) if num_sequences % parts == 0 and num_sequences // parts <= most
    )


def num_replicas(shape: Shape, tokens_per_step: int, device: str, at_once: int | None) -> int:
    """How many models fit beside each other. With `at_once`, only so many hold their activations at a time."""
    each = STATE_BYTES * shape.num_parameters
    activations = activation_bytes(shape, device) * tokens_per_step
    if at_once is None:
        return max(1, free_bytes(device) // (each + activations))
    return max(at_once, (free_bytes(device) - at_once * activations) // each)
