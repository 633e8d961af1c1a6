import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.report.charts import Axis, colour_of, histogram, kept_shares, short, stacked_bars, step_chart


def rectangles(svg: str) -> list[dict[str, str]]:
    return [element.attrib for element in ElementTree.fromstring(svg).iter("rect")]


def test_waterfall_bars_hang_where_the_next_one_begins() -> None:
    steps: list[tuple[str, dict[str, int], bool]] = [
        ("read", {"a": 60, "b": 40}, False),
        ("rule", {"a": 10, "b": 15}, True),
        ("kept", {"a": 50, "b": 25}, False),
    ]
    bars = rectangles(step_chart(steps, ["a", "b"]))
    right = max(float(bar["x"]) + float(bar["width"]) for bar in bars[:2])
    dropped = bars[2:4]
    assert float(dropped[1]["x"]) + float(dropped[1]["width"]) == pytest.approx(right, abs=0.2)
    kept = bars[4:]
    assert float(kept[1]["x"]) + float(kept[1]["width"]) == pytest.approx(float(dropped[0]["x"]), abs=0.2)


def test_names_are_escaped() -> None:
    chart = stacked_bars([("<b>&", {"<i>": 3})], ["<i>"])
    assert "<b>" not in chart
    assert ElementTree.fromstring(chart).find("text").text == "<b>&"  # type: ignore[union-attr]  # there is one


def test_histogram_shades_the_side_that_is_dropped() -> None:
    value = {
        "value": "v", "edges": [0.0, 1.0, 2.0], "counts": {"a": [4, 1]}, "log": False,
        "limits": [{"rule": "low", "op": "<", "limit": 0.5}, {"rule": "high", "op": ">", "limit": 1.5}],
    }  # fmt: skip
    bars = rectangles(histogram(value, ["a"]))
    shades = [bar for bar in bars if bar.get("class") == "shade"]
    assert float(shades[0]["x"]) == 4
    assert float(shades[0]["width"]) == pytest.approx(392 / 4, abs=0.1)
    assert float(shades[1]["x"]) + float(shades[1]["width"]) == pytest.approx(396, abs=0.1)
    heights = [float(bar["height"]) for bar in bars if bar.get("class") != "shade"]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)  # square roots of 4 and 1


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_and_on_the_axis(low: float, width: float) -> None:
    axis = Axis(low, low + width, 0, 100)
    ticks = axis.ticks(5)
    assert 1 <= len(ticks) <= 6
    assert all(-0.01 <= axis.at(tick) <= 100.01 for tick in ticks)


def test_log_axis() -> None:
    axis = Axis(1, 10_000, 0, 100, log=True)
    assert axis.at(100) == pytest.approx(50)
    assert axis.ticks(5) == [1, 10, 100, 1000, 10_000]
    assert axis.at(0) == 0  # what lies outside is at the end


@pytest.mark.parametrize(
    ("number", "shown"), [(0.02, "0.02"), (5.0, "5"), (1000, "1k"), (1.5e6, "1.5M"), (-2e9, "-2G")]
)
def test_short_numbers(number: float, shown: str) -> None:
    assert short(number) == shown


def test_colours_stay_with_names() -> None:
    names = [f"s{i}" for i in range(9)]
    assert colour_of("s1", names) == "var(--c1)"
    assert re.fullmatch(r"var\(--c[0-7]\)", colour_of("s8", names))


def test_kept_shares_counted_by_hand() -> None:
    value = {
        "value": "quality",
        "edges": [0.0, 0.25, 0.5, 0.75, 1.0],
        "counts": {"web": [4, 2, 0, 0], "books": [0, 0, 1, 3]},
        "limits": [{"rule": "low", "op": "<", "limit": 0.3}],
        "log": False,
    }
    assert kept_shares(value) == {"above": pytest.approx([1.0, 0.6, 0.4, 0.3, 0.0])}
    value["limits"] = [{"rule": "high", "op": ">", "limit": 0.3}]
    assert kept_shares(value) == {"below": pytest.approx([0.0, 0.4, 0.6, 0.7, 1.0])}
    assert "share of documents below a limit here: 90 % at 1, 50 % at" in histogram(value, ["web", "books"])
