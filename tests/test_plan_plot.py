"""The figure holds the curves that the plan gives."""

from test_mixture import manifest

from corpusmill.mixtures.mixture import Mixture, make_plan
from corpusmill.mixtures.plan_plot import plan_curves, plan_figure


def test_figure_has_both_panels_of_every_source() -> None:
    plan = make_plan(manifest(a=901, b=301), Mixture(tokens=4000, sequence_length=4, weights={"a": 1, "b": 3}))
    figure = plan_figure(plan).to_plotly_json()
    curves = plan_curves(plan)
    assert [trace["name"] for trace in figure["data"]] == ["a", "a", "b", "b"]
    assert list(figure["data"][2]["y"]) == curves["b"]["ratio"]
    assert list(figure["data"][3]["y"]) == curves["b"]["epochs"]
    assert curves["b"]["epochs"][-1] == 10
