"""torch.compile, where it pays: on a GPU, where it makes one kernel of what would be ten passes over memory.

A function is compiled once for each shape that it meets. A sweep meets few: its stacks, and the batches of evaluation
are not compiled. On a CPU nothing is compiled unless a test asks: a C++ compiler takes as long as a small swarm.
"""

from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar, cast

from corpusmill.mixtures.proxy.optional import torch

P = ParamSpec("P")
T = TypeVar("T")

MAX_SHAPES = 1024
"""Shapes that one function may be compiled for: the optimizer meets ten a model. torch's own limits are 8 of a function
and 256 in all, beyond which it refuses one that must be compiled whole."""

BACKEND = "inductor"


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """The function, compiled by `BACKEND` for exactly the shapes that it is called with."""
    return cast("Callable[P, T]", _compiled(function, BACKEND))


@cache
def _compiled(function: Callable[..., object], backend: str) -> object:
    torch._dynamo.config.recompile_limit = MAX_SHAPES
    torch._dynamo.config.accumulated_recompile_limit = MAX_SHAPES
    return torch.compile(function, dynamic=False, fullgraph=True, backend=backend)
