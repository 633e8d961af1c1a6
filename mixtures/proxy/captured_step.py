"""A step as a CUDA graph: captured once, then replayed. Small proxies are bound by the launching of their kernels.

What changes from step to step is copied to where the graph reads it: the rows, and the step's knobs. What a step reads
and does not make itself (rotary angles, clips) must live as long as the graph: nothing that may drop it is a cache.
"""

from collections.abc import Callable

from corpusmill.mixtures.proxy.optional import torch
from corpusmill.mixtures.proxy.transformer import Parameters

Move = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(rows, knobs) to losses [R]; moves the weights in place."""

WARM_UP_STEPS = 3  # before a capture, so that every library has chosen its kernels, and what is compiled is


class CapturedStep:
    def __init__(self, move: Move, state: Parameters, rows: torch.Tensor, knobs: torch.Tensor) -> None:
        """Captures `move`; `state` is all that it changes, and is as it was afterwards."""
        self.rows, self.knobs = rows.clone(), knobs.clone()
        before = {name: value.to("cpu", copy=True) for name, value in state.items()}
        with torch.cuda.device(rows.device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP_STEPS):
                    move(self.rows, self.knobs)
            torch.cuda.current_stream().wait_stream(side)
            self.graph = torch.cuda.CUDAGraph()
            # Of this thread alone: the one that sends the next rows ahead copies and allocates meanwhile.
            with torch.cuda.graph(self.graph, stream=side, capture_error_mode="thread_local"):
                self.losses_R = move(self.rows, self.knobs)
        for name, value in state.items():  # the warm-up moved the weights
            value.copy_(before[name])

    def replay(self, rows: torch.Tensor, knobs: torch.Tensor) -> torch.Tensor:
        self.rows.copy_(rows)
        self.knobs.copy_(knobs)
        self.graph.replay()
        return self.losses_R.clone()
