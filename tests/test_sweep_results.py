from pathlib import Path

import pytest
from report_run import run_with_sweep

from corpusmill.pipeline.report.sweep_results import MAX_CURVE_POINTS, sweeps
from corpusmill.pipeline.run_folder import RunFolder


def test_what_a_sweep_holds() -> None:
    found = sweeps(run_with_sweep())
    assert list(found) == ["main"]
    main = found["main"]
    assert main["sources"] == ["web", "books"]
    assert main["domains"] == ["web", "books"]
    assert len(main["runs"]) == 16
    assert main["runs"][0]["ratios"] == {"web": 0.75, "books": 0.25}
    assert main["fit"]["num_runs"] == 16
    assert main["choice"]["target"] == {"books": pytest.approx(1.0)}
    points = main["curves"]["natural-0"]
    assert 50 < len(points) <= MAX_CURVE_POINTS
    assert points[1] == [30, 8 - 3 / 50]


def test_a_run_without_sweeps(tmp_path: Path) -> None:
    assert sweeps(RunFolder(str(tmp_path))) == {}
