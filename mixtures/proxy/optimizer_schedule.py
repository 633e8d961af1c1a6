"""How a learning rate moves over the steps of a run: warm-up, then constant, cosine, or stable with a decay at the end.

WSD (warm-up, stable, decay): Hu et al. 2024 (MiniCPM), section 4; with decay to zero by 1 - sqrt as Hägele et al. 2024
found best. Cosine: Loshchilov and Hutter 2017, one half-wave.
"""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class LearningRateSchedule:
    """What the peak learning rate is multiplied by at each step."""

    kind: Literal["wsd", "cosine", "constant"] = "wsd"
    warmup: float = 0.05  # share of all steps
    decay: float = 0.3  # share of all steps, wsd only
    floor: float = 0.0  # where the decay ends, as a share of the peak

    def factor(self, step: int, num_steps: int) -> float:
        """For step 0 .. num_steps - 1; the first step is not zero."""
        warmup_steps = round(self.warmup * num_steps)
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        if self.kind == "constant":
            return 1.0
        if self.kind == "cosine":
            done = (step - warmup_steps) / max(1, num_steps - warmup_steps)
            return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))
        decay_steps = round(self.decay * num_steps)
        left = num_steps - step
        if left >= decay_steps:
            return 1.0
        return self.floor + (1 - self.floor) * (1 - math.sqrt(1 - left / decay_steps))
