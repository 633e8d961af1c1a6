"""Whole rows by phase: phases full, within one row, caps kept, also where rounding one phase at a time fails."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.mixtures.apportion import _by_flow, _by_remainder, apportion, endpoints
from corpusmill.mixtures.weights import Ratios

HALF = Fraction(1, 2)


def test_largest_remainders_by_hand() -> None:
    shares = {"a": Fraction(33, 10), "b": Fraction(28, 10), "c": Fraction(39, 10)}
    assert apportion([shares], {}) == [{"a": 3, "b": 3, "c": 4}]


def test_a_tiny_share_gets_its_row_over_many_phases() -> None:
    phases = [{"tiny": Fraction(1, 10), "web": Fraction(99, 10)} for _ in range(50)]
    whole = apportion(phases, {})
    assert sum(phase["tiny"] for phase in whole) == 5


def test_flow_where_one_phase_at_a_time_fails() -> None:
    # By name, phase 1 goes to a and phase 2 to b; phase 3 then has room in neither. Together: a or b waits for it.
    shares: list[Ratios] = [{"a": HALF, "d": HALF}, {"b": HALF, "c": HALF}, {"a": HALF, "b": HALF}]
    caps = dict.fromkeys("abcd", 1)
    assert _by_remainder(shares, [dict.fromkeys(phase, 0) for phase in shares], caps) == []
    whole = apportion(shares, caps)
    assert [sum(phase.values()) for phase in whole] == [1, 1, 1]
    assert all(sum(phase.get(name, 0) for phase in whole) <= 1 for name in caps)


@st.composite
def phases_under_caps(draw: st.DrawFn) -> tuple[list[Ratios], dict[str, int]]:
    names = [chr(97 + i) for i in range(draw(st.integers(1, 6)))]
    shares: list[Ratios] = []
    for _ in range(draw(st.integers(1, 5))):
        weights = draw(st.lists(st.integers(0, 9), min_size=len(names), max_size=len(names)).filter(any))
        rows = draw(st.integers(1, 20))
        shares.append({name: Fraction(rows * w, sum(weights)) for name, w in zip(names, weights, strict=True) if w})
    totals = {name: sum((phase.get(name, Fraction(0)) for phase in shares), Fraction(0)) for name in names}
    slack = draw(st.integers(0, 2))
    return shares, {
        name: -(-total.numerator // total.denominator) + slack * (i % 2)
        for i, (name, total) in enumerate(totals.items())
    }


@settings(max_examples=200)
@given(phases_under_caps())
def test_phases_are_full_counts_near_and_caps_kept(case: tuple[list[Ratios], dict[str, int]]) -> None:
    shares, caps = case
    for whole in (apportion(shares, caps), _apportion_by_flow(shares, caps)):
        for phase, counts in zip(shares, whole, strict=True):
            assert sum(counts.values()) == sum(phase.values())
            assert all(abs(counts[name] - phase[name]) < 1 for name in phase)
        for name, cap in caps.items():
            assert sum(counts.get(name, 0) for counts in whole) <= cap


def _apportion_by_flow(shares: list[Ratios], caps: dict[str, int]) -> list[dict[str, int]]:
    whole = [{name: int(share) for name, share in phase.items()} for phase in shares]
    for counts, extra in zip(whole, _by_flow(shares, whole, caps), strict=True):
        for name in extra:
            counts[name] += 1
    return whole


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6), st.integers(1, 60))
def test_endpoints_bring_every_source_to_its_total(parts: list[tuple[int, int]], rows: int) -> None:
    first_sum, last_sum = sum(a for a, _ in parts), sum(b for _, b in parts)
    if not first_sum or not last_sum:
        return
    start = {str(i): Fraction(rows * a, first_sum) for i, (a, _) in enumerate(parts)}
    end = {str(i): Fraction(rows * b, last_sum) for i, (_, b) in enumerate(parts)}
    (totals,) = apportion([{name: (start[name] + end[name]) / 2 for name in start}], {})
    first, last = endpoints(start, end, totals)
    assert sum(first.values()) == sum(last.values()) == rows
    assert all(first[name] >= 0 and last[name] >= 0 for name in totals)
    assert all(first[name] + last[name] == 2 * totals[name] for name in totals)
    assert all(abs(first[name] - start[name]) <= len(parts) + 1 for name in totals)
