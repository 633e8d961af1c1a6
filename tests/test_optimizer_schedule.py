"""Learning rate schedules: hand-computed factors around every corner."""

import pytest

from corpusmill.mixtures.proxy.optimizer_schedule import LearningRateSchedule


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        (LearningRateSchedule(warmup=0.1, decay=0.2), 0, 1 / 11),  # 100 steps: 10 of warm-up, the last 20 of decay
        (LearningRateSchedule(warmup=0.1, decay=0.2), 9, 10 / 11),
        (LearningRateSchedule(warmup=0.1, decay=0.2), 10, 1.0),
        (LearningRateSchedule(warmup=0.1, decay=0.2), 80, 1.0),
        (LearningRateSchedule(warmup=0.1, decay=0.2), 85, 0.5),  # 1 - sqrt(1 - 15 / 20)
        (LearningRateSchedule(warmup=0.1, decay=0.2, floor=0.5), 85, 0.75),
        (LearningRateSchedule(kind="cosine", warmup=0.0), 0, 1.0),
        (LearningRateSchedule(kind="cosine", warmup=0.0), 50, 0.5),
        (LearningRateSchedule(kind="cosine", warmup=0.0, floor=0.1), 50, 0.55),
        (LearningRateSchedule(kind="constant", warmup=0.0), 99, 1.0),
        (LearningRateSchedule(kind="constant", warmup=0.02), 0, 1 / 3),
        (LearningRateSchedule(warmup=0.0, decay=0.0), 99, 1.0),
    ],
)
def test_factors(schedule: LearningRateSchedule, step: int, factor: float) -> None:
    assert schedule.factor(step, 100) == pytest.approx(factor)
