"""Successive halving (Jamieson and Talwalkar 2016): all runs train a little, the better ones longer.

With `rounds` 2 and `keep` 1/2, of 32 runs 16 stop after a quarter of the steps and 8 more after half of them: half the
cost. Runs are ranked by their loss on held-out text at that moment, over all stacks, so that a result does not depend
on what was stacked with what; a run that has diverged stops first. What is stopped has no loss at its end, and is left
out of the laws: it serves to find the best of many learning rates or mixtures, not to fit all of them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Halving:
    """How often runs are stopped, how many go on, and what they are ranked by."""

    rounds: int = 2
    keep: float = 0.5  # share of the runs that go on at each round
    target: Mapping[str, float] = field(default_factory=dict)  # weights of held-out domains; empty: all alike

    def __post_init__(self) -> None:
        if self.rounds < 1 or not 0 < self.keep < 1:
            raise ValueError(f"rounds {self.rounds} must be at least 1, keep {self.keep} between 0 and 1")

    def steps(self, num_steps: int) -> list[int]:
        """After how many steps each round ends: `keep` to the power of the rounds left."""
        shares = [self.keep ** (self.rounds - number) for number in range(self.rounds)]
        return sorted({max(1, round(share * num_steps)) for share in shares} - {num_steps})

    def loss(self, bits_per_byte: Mapping[str, float]) -> float:
        """What runs are ranked by; infinite for one that has diverged."""
        weights = self.target or dict.fromkeys(bits_per_byte, 1.0)
        total = sum(weight * bits_per_byte[domain] for domain, weight in weights.items()) / sum(weights.values())
        return total if math.isfinite(total) else math.inf

    def stopped(self, losses: Mapping[str, float]) -> set[str]:
        """The runs that stop, of {run: loss}; of equal runs the later ones."""
        order = sorted(losses, key=lambda run: losses[run])
        return set(order[max(1, math.ceil(len(order) * self.keep)) :])
