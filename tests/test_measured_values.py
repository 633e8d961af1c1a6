import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_run import built_run

from corpusmill.pipeline.report import measured_values
from corpusmill.pipeline.report.measured_values import NUM_BINS, distributions, languages


def test_each_limit_is_drawn_on_the_value_that_it_cuts() -> None:
    values = {value["value"]: value for value in distributions(built_run())}
    assert set(values) == {"num_bytes", "normalize_num_controls"}  # a rule on two columns has no single limit
    assert values["num_bytes"]["limits"] == [{"rule": "short", "op": "<", "limit": 12.0}]
    assert values["normalize_num_controls"]["limits"] == [{"rule": "controls", "op": ">", "limit": 40.0}]
    for value in values.values():
        assert sum(value["counts"]["web"]) == 7
        assert sum(value["counts"]["books"]) == 1
        assert len(value["edges"]) == NUM_BINS + 1
        assert value["edges"][0] <= value["limits"][0]["limit"] <= value["edges"][-1]


def test_a_sample_is_taken_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_values, "MAX_VALUES", 4)
    value = distributions(built_run())[0]
    assert value["sampled"] == 0.5
    assert sum(value["counts"]["web"]) == 4


def test_languages_of_what_was_kept() -> None:
    assert languages(built_run()) == {"en": {"books": 1, "web": 2}, "ar": {"web": 1}}


def test_a_ratio_is_divided_and_zero_is_not_measured() -> None:
    value = measured_values._Value(("a", "b"), {"r": {"rule": "r", "op": ">", "limit": 0.5}})
    value.found = {"web": [np.array([0.1, 0.4]), np.array([0.9])], "books": [np.array([0.2])]}
    drawn = measured_values._histogram(value, 1.0)
    assert drawn["value"] == "a / b"
    assert drawn["median"] == pytest.approx(0.3)
    assert [sum(counts) for counts in (drawn["counts"]["web"], drawn["counts"]["books"])] == [3, 1]


@given(
    st.lists(st.floats(-1e6, 1e9, allow_nan=False), min_size=0, max_size=40),
    st.lists(st.floats(-1e3, 1e6), min_size=1, max_size=3),
)
def test_edges_rise_and_hold_every_limit(values: list[float], limits: list[float]) -> None:
    edges, log = measured_values._edges(np.array(values), limits)
    assert len(edges) == NUM_BINS + 1
    assert (np.diff(edges) > 0).all()
    assert all(math.isfinite(edge) for edge in edges)
    if log:
        assert edges[0] > 0
    for limit in limits:
        assert edges[-1] >= limit
        assert edges[0] <= limit or (log and limit <= 0)


def test_wide_counts_get_a_log_axis_and_shares_do_not() -> None:
    assert measured_values._edges(np.geomspace(1, 1e5, 100), [50.0])[1]
    assert not measured_values._edges(np.linspace(0.5, 1, 100), [0.8])[1]
