"""Parts of the BitMEX twin by themselves: ids, times, contract worth, tables."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oneprice.twin.build import World, make_exchange
from oneprice.twin.dialects.bitmex.envelope import encoded, iso, moment, span
from oneprice.twin.dialects.bitmex.facts import Sheets, day_start
from oneprice.twin.dialects.bitmex.fields import Fields, from_request
from oneprice.twin.dialects.bitmex.limits import ERRORS, Limiter
from oneprice.twin.dialects.bitmex.names import EXECUTION, ORDER, count_of, guid
from oneprice.twin.dialects.bitmex.tables import tabled

NOW = 1_795_000_000_000_000_000
HOUR = 3_600 * 1_000_000_000
SHEETS = Sheets(make_exchange("bitmex", World(seed=1), NOW)[0])


@given(st.integers(1, 2**96 - 1))
def test_a_guid_gives_its_number_back_to_its_own_kind_alone(number: int) -> None:
    text = guid(ORDER, number)
    assert len(text) == 36 and count_of(ORDER, text) == number
    assert count_of(EXECUTION, text) == 0 and count_of(ORDER, text[:-1]) == 0


@given(st.integers(0, 4_000_000_000_000))
def test_times_survive_their_spelling(millis: int) -> None:
    assert moment(iso(millis * 1_000_000)) == millis * 1_000_000


def test_spans_dates_and_numbers_are_spelled_as_the_venue_does() -> None:
    assert span(8 * 3_600_000) == "2000-01-01T08:00:00.000Z"
    assert moment("2024-11-01") == moment("2024-11-01T00:00:00.000Z") == 1730419200 * 10**9
    assert encoded({"a": Decimal("60000.1"), "b": None}) == b'{"a":60000.1,"b":null}'


@given(st.integers(0, 100_000))
def test_a_day_of_profit_begins_at_noon(hours: int) -> None:
    at = hours * HOUR
    assert 0 <= at - day_start(at) < 24 * HOUR and day_start(at) % (24 * HOUR) == 12 * HOUR


def test_worth_of_the_documents_examples() -> None:
    inverse, quanto = SHEETS.by_symbol["XBTUSD"], SHEETS.by_symbol["ETHUSD"]
    assert inverse.value(Decimal("32180.5"), -900) == 2_796_723
    assert inverse.value(Decimal(98000), 1000) == -1_020_410
    assert inverse.value(Decimal(98500), 1000) == -1_015_230
    assert inverse.value(Decimal("97849.76"), -411_647_400) == 420_691_293_378
    assert quanto.value(Decimal("2003.8"), 10) == 2_003_800
    assert SHEETS.by_symbol["XBTUSDT"].value(Decimal("60000.1"), 100) == 6_000_010


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 10_000_000))
def test_worth_of_two_parts_is_that_of_the_whole(first: int, second: int, ticks: int) -> None:
    for sheet in SHEETS.all:
        price = sheet.instrument.price(ticks)
        a, b = sheet.contracts(first), sheet.contracts(second)
        whole, parts = sheet.value(price, a + b), sheet.value(price, a) + sheet.value(price, b)
        assert abs(whole - parts) <= (0 if sheet.inverse else 1)
        assert sheet.value(price, -a) == -sheet.value(price, a)


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 7), st.booleans())
def test_pages_of_a_table_are_the_table(sizes: list[int], count: int, newest: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"symbol": "X", "size": size, "timestamp": iso(place * 10**9)}
        for place, size in enumerate(sizes)
    ]
    found: list[dict[str, Any]] = []
    for start in range(0, len(rows) + 1, count):
        asked = Fields({"count": count, "start": start, "reverse": newest})
        found += tabled(rows, asked)
    assert found == (rows[::-1] if newest else rows)
    even = tabled(rows, Fields({"filter": '{"size":[2,4]}'}))
    assert even == [row for row in rows if row["size"] in (2, 4)][:100]


def test_a_table_is_cut_by_time_and_by_parts_of_times() -> None:
    rows = [{"symbol": "X", "timestamp": iso(NOW + n * HOUR)} for n in range(30)]
    ends = {"startTime": rows[3]["timestamp"], "endTime": iso(NOW + 5 * HOUR)}
    inner = tabled(rows, Fields(ends))
    assert inner == rows[3:6]
    late = tabled(rows, Fields({"filter": {"startTime": rows[28]["timestamp"]}}))
    assert late == rows[28:]
    hour = rows[4]["timestamp"][11:16]
    assert tabled(rows, Fields({"filter": {"timestamp.time": hour}})) == [rows[4], rows[28]]


def test_forms_and_json_say_the_same() -> None:
    form = from_request("", b"symbol=XBTUSD&orderQty=100&price=1.5&enabled=true", "form")
    body = from_request("", b'{"symbol":"XBTUSD","orderQty":100.0,"price":1.5,"enabled":true}', "")
    for fields in (form, body):
        assert (fields.whole("orderQty"), fields.decimal("price")) == (100, Decimal("1.5"))
        assert fields.flag("enabled") and fields.text("symbol") == "XBTUSD"
    several = from_request("", b'{"orderID":["a","b"]}', "application/json").strings("orderID")
    assert several == from_request("", b"orderID=a&orderID=b", "").strings("orderID") == ["a", "b"]


def test_many_errors_ban_an_address() -> None:
    limiter = Limiter()
    for _ in range(ERRORS):
        limiter.failed("3.3.3.3", 0)
    assert not limiter.banned("3.3.3.3", 0)
    limiter.failed("3.3.3.3", 0)
    assert limiter.banned("3.3.3.3", 0)
