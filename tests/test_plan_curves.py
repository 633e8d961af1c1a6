"""The curves are counted from the plan, and the picture of them holds every source and phase."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from test_mixture import manifest

from corpusmill.mixtures.continuation import continue_plan
from corpusmill.mixtures.mixture import Mixture, Phase, make_plan
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.plan_curves import plan_curves, save_with_curves
from corpusmill.mixtures.positions import PositionMap
from corpusmill.pipeline.report.page import render_plan
from corpusmill.pipeline.report.plan_section import plan_section, plans
from corpusmill.pipeline.run_folder import RunFolder

SHARDS = manifest(a=9001, b=3001)
PHASES = (
    Phase(name="main", share=3, weights={"a": 1, "b": 3}),
    Phase(name="end", share=1, weights={"a": 1}, to={"b": 1}),
)


def curved_plan() -> Plan:
    return make_plan(SHARDS, Mixture(tokens=8000, sequence_length=4, phases=PHASES, max_epochs={"b": 1.9}))


def test_curves_count_what_the_plan_draws() -> None:
    plan = curved_plan()
    curves = plan_curves(plan, num_points=20)
    sources = PositionMap(plan).locate(np.arange(plan.num_rows)).source
    begin = 0
    for index, tokens in enumerate(curves["tokens"]):
        end = tokens // 4
        for number, name in enumerate("ab"):
            curve = curves["sources"][name]
            assert curve["ratio"][index] == pytest.approx((sources[begin:end] == number).mean(), abs=1e-6)
            epochs = (sources[:end] == number).sum() / plan.sources[number].num_rows
            assert curve["epochs"][index] == pytest.approx(epochs, abs=1e-6)
        begin = end
    assert curves["phases"] == [{"name": "main", "tokens": 6000}, {"name": "end", "tokens": 8000}]
    assert curves["sources"]["b"]["max_epochs"] == 1.9
    assert curves["tokens"][-1] == 8000


def test_a_continued_plan_is_drawn_from_its_beginning() -> None:
    old = curved_plan()
    new = continue_plan(old, 700, SHARDS, Mixture(tokens=9000, sequence_length=4, weights={"b": 1}))
    curves = plan_curves(new)
    assert [phase["name"] for phase in curves["phases"]] == ["consumed", "all"]
    assert curves["sources"]["b"]["epochs"][-1] == pytest.approx(new.rows_by_source()["b"] / 750, abs=1e-6)


class Drawing(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.shapes.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_picture_is_stored_with_the_plan_and_drawn(tmp_path: Path) -> None:
    save_with_curves(curved_plan(), tmp_path, "main")
    assert Plan.load(tmp_path / "plans/main.json") == curved_plan()
    (stored,) = plans(RunFolder(str(tmp_path))).values()
    drawing = Drawing()
    drawing.feed(plan_section(stored, ["a", "b"]))
    assert drawing.shapes.count("polygon") == 2
    assert drawing.shapes.count("polyline") == 3  # two sources and the cap of b
    assert {"main", "end"} <= set(drawing.texts)
    assert any(text.startswith("b: 0.75") for text in drawing.texts)
    assert "<polygon" in render_plan("plan <main>", stored)
    assert "plan &lt;main&gt;" in render_plan("plan <main>", stored)
