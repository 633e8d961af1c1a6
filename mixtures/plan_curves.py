"""A plan against tokens: share of each source and its epochs so far, counted, for the picture of it."""

from typing import Any

import numpy as np

from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.positions import PositionMap
from corpusmill.mixtures.sources import Place, run_folder

NUM_POINTS = 120


def plan_curves(plan: Plan, num_points: int = NUM_POINTS) -> dict[str, Any]:
    """{tokens, phases: [{name, tokens}], sources: {source: {ratio, epochs, max_epochs}}}.

    At about `num_points` block ends and at every phase's end: the share of the rows since the place before, and the
    epochs until there. `tokens` are counted in slots, a phase's where it ends. Nothing but the plan is read.
    """
    positions = PositionMap(plan)
    wanted = np.linspace(0, plan.num_rows, min(num_points, plan.num_rows) + 1).astype(np.int64)
    ends = {positions.block_end(int(place)) for place in wanted if place >= plan.first_position}
    ends |= {int(place) for place in positions.phase_starts} | {0}
    places = np.array(sorted(ends), dtype=np.int64)
    drawn = np.array([positions.drawn_by(int(place)) for place in places])
    ratios = np.diff(drawn, axis=0) / np.diff(places)[:, None]
    before = [("consumed", plan.first_position)] if plan.before else []
    named = [
        *before,
        *((phase.name, int(end)) for phase, end in zip(plan.phases, positions.phase_starts[1:], strict=True)),
    ]
    return {
        "tokens": (places[1:] * plan.sequence_length).tolist(),
        "phases": [{"name": name, "tokens": end * plan.sequence_length} for name, end in named],
        "sources": {
            source.name: {
                "ratio": ratios[:, index].round(6).tolist(),
                "epochs": (drawn[1:, index] / source.num_rows).round(6).tolist(),
                "max_epochs": None if source.max_rows is None else source.max_rows / source.num_rows,
            }
            for index, source in enumerate(plan.sources)
        },
    }


def save_with_curves(plan: Plan, place: Place, name: str) -> str:
    """Writes plans/NAME.json into a run folder, and beside it what the report draws. Gives the plan's path."""
    run = run_folder(place)
    run.put_json(f"plans/{name}.curves.json", {"format": 1, "plan": plan.fingerprint, **plan_curves(plan)})
    path = f"{run.url.rstrip('/')}/plans/{name}.json"
    plan.save(path)
    return path
