"""A picture of a plan: share of each source and its epochs so far, against tokens."""

from typing import TYPE_CHECKING

import numpy as np

from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.positions import PositionMap

if TYPE_CHECKING:
    import plotly.graph_objects

NUM_POINTS = 120


def plan_curves(plan: Plan, num_points: int = NUM_POINTS) -> dict[str, dict[str, list[float]]]:
    """{source: {tokens, ratio, epochs}}: at up to `num_points` places, the share of the rows since the place before
    and the epochs until there. Exact: counted from the plan, nothing is read."""
    places = np.unique(np.linspace(0, plan.num_rows, min(num_points, plan.num_rows) + 1).astype(np.int64))
    positions = PositionMap(plan)
    drawn = np.array([positions.drawn_by(int(place)) for place in places])
    ratios = np.diff(drawn, axis=0) / np.diff(places)[:, None]
    tokens = (places[1:] * plan.sequence_length).tolist()
    return {
        source.name: {
            "tokens": tokens,
            "ratio": ratios[:, index].tolist(),
            "epochs": (drawn[1:, index] / source.num_rows).tolist(),
        }
        for index, source in enumerate(plan.sources)
    }


def plan_figure(plan: Plan) -> "plotly.graph_objects.Figure":
    """Two panels over tokens: stacked shares, and epochs of each source."""
    import plotly.graph_objects as go
    from plotly.colors import qualitative
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06, subplot_titles=("share of tokens", "epochs so far")
    )
    for index, (name, curve) in enumerate(plan_curves(plan).items()):
        colour = qualitative.Dark24[index % len(qualitative.Dark24)]
        line = {"color": colour, "width": 1.5}
        shared = {"x": curve["tokens"], "name": name, "legendgroup": name, "line": line, "mode": "lines"}
        figure.add_trace(go.Scatter(y=curve["ratio"], stackgroup="share", **shared), row=1, col=1)
        figure.add_trace(go.Scatter(y=curve["epochs"], showlegend=False, **shared), row=2, col=1)
    figure.update_yaxes(range=[0, 1], tickformat=".0%", row=1, col=1)
    figure.update_xaxes(title_text="tokens", row=2, col=1)
    return figure
