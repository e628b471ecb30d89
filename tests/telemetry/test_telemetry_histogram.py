"""The histogram: nothing is lost, and a quantile is right to a factor of two."""

from hypothesis import given
from hypothesis import strategies as st

from oneprice.shell.telemetry_histogram import Histogram

TIMES = st.lists(st.integers(0, 2**40), min_size=1, max_size=200)


@given(times=TIMES)
def test_every_bound_counts_what_is_below_it(times: list[int]) -> None:
    found = Histogram()
    for nanos in times:
        found.add(nanos)
    for bound, below in found.cumulated():
        assert below == sum(1 for nanos in times if nanos < bound * 1e9)
    assert found.total() == len(times) and found.nanos == sum(times)


@given(times=TIMES, share=st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_at_most_twice_what_it_is(times: list[int], share: float) -> None:
    found = Histogram()
    for nanos in times:
        found.add(nanos)
    true = sorted(times)[max(0, -int(-share * len(times) // 1) - 1)]
    told = found.quantile(share)
    assert told is not None
    assert true / 1e9 <= told <= max(2 * true, 1) / 1e9 or len(times) < 3


def test_nothing_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
