"""The calendar of dated futures, against the one of the standard library."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from oneprice.twin.expiries import civil, days, month_code, quarter_end, yymmdd

EPOCH = date(1970, 1, 1)
DAY = 86_400 * 1_000_000_000


@given(st.dates(min_value=EPOCH, max_value=date(2199, 12, 31)))
def test_days_and_dates_are_those_of_the_gregorian_calendar(day: date) -> None:
    number = (day - EPOCH).days
    assert civil(number) == (day.year, day.month, day.day)
    assert days(day.year, day.month, day.day) == number


@given(st.integers(0, 80_000), st.integers(0, 23))
def test_a_quarter_ends_on_its_last_friday_at_the_given_hour(day: int, hour: int) -> None:
    expiry = quarter_end(day * DAY, hour)
    found = datetime.fromtimestamp(expiry / 1e9, UTC)
    assert found.weekday() == 4 and found.hour == hour
    assert found.month in (3, 6, 9, 12)
    assert (found + timedelta(days=7)).month != found.month
    assert 14 * DAY <= expiry - day * DAY <= 110 * DAY
    assert yymmdd(expiry) == found.strftime("%y%m%d")
    assert month_code(expiry) == "HMUZ"[found.month // 3 - 1] + found.strftime("%y")
