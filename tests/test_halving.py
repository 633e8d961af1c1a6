"""Which runs halving stops, and when."""

import math

import pytest

from corpusmill.mixtures.halving import Halving


@pytest.mark.parametrize(
    ("rounds", "keep", "num_steps", "steps"),
    [(1, 0.5, 100, [50]), (2, 0.5, 100, [25, 50]), (3, 0.25, 64, [1, 4, 16]), (5, 0.5, 4, [1, 2]), (1, 0.9, 1, [])],
)
def test_when(rounds: int, keep: float, num_steps: int, steps: list[int]) -> None:
    assert Halving(rounds=rounds, keep=keep).steps(num_steps) == steps


def test_who() -> None:
    halving = Halving(keep=0.5, target={"a": 3, "b": 1})
    losses = {name: halving.loss({"a": a, "b": b}) for name, a, b in (("x", 1, 9), ("y", 2, 2), ("z", 2, math.nan))}
    assert losses == {"x": 3.0, "y": 2.0, "z": math.inf}
    assert halving.stopped(losses) == {"z"}  # of three, two go on
    assert halving.stopped(losses | {"w": 2.0}) == {"z", "x"}
    assert halving.stopped({"one": math.inf}) == set()  # someone goes on
    assert Halving().loss({"a": 1.0, "b": 2.0}) == 1.5


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"keep": 0.0}, {"keep": 1.0}])
def test_nonsense_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        Halving(**settings)  # type: ignore[arg-type]  # a parameter
