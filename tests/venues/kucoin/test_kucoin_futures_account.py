"""KuCoin's futures account: margin modes, leverage, forced fills, counted fees, pages."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from kucoin_material import AT, FACTORY, INVERSE, LINEAR, MATCH, SPOT, message, ok

from oneprice.model.commands import PlaceOrder, QueryAccount, SetLeverage
from oneprice.model.events import (
    AccountChecked,
    BalanceReported,
    FrameRejected,
    FundingBooked,
    LeverageReported,
    OrderFilled,
    PositionReported,
)
from oneprice.model.units import EXACT, Lots, Side, Ticks
from oneprice.venues.contract import Credentials, Output
from oneprice.venues.kucoin.orders import KucoinSettings
from oneprice.venues.kucoin.trade import KucoinTrade


def trader(**settings: object) -> KucoinTrade:
    feed = FACTORY.listed_feed()
    wanted = {"wanted": (SPOT, LINEAR)} | settings
    keys = Credentials("TESTKEY01", "TESTSECRET0123456789ABCDEF", "mypassphrase")
    return KucoinTrade(keys, feed.listed, msgspec.convert(wanted, KucoinSettings))


def place(order_id: str, instrument: str) -> PlaceOrder:
    return PlaceOrder(
        order_id=order_id, group="g", instrument=instrument, side=Side.BUY,
        ticks=Ticks(900_000), lots=Lots(3),
    )  # fmt: skip


def names(outputs: Sequence[Output]) -> list[str]:
    return [type(output).__name__ for output in outputs]


def futures_answers(trade: KucoinTrade, data: dict[str, object]) -> list[Output]:
    out: list[Output] = []
    for request in trade.encode(QueryAccount(venue="kucoin", market="futures"), AT):
        what = request.tag.split(":")[2].partition(".")[0]
        out += trade.answered(ok(request.tag, data[what]), AT)
    return out


FUTURES: dict[str, object] = {
    "positions": [],
    "orders": {"currentPage": 1, "totalPage": 0, "items": []},
    "mode": {"positionMode": 0},
    "overview": {"accountEquity": 10, "unrealisedPNL": -1, "availableBalance": 9,
                 "currency": "USDT"},
    "fees": {"symbol": "XBTUSDTM", "takerFeeRate": "0.0006", "makerFeeRate": "0.0002"},
    "margin": {"symbol": "XBTUSDTM", "marginMode": "ISOLATED"},
    "leverage": {"symbol": "XBTUSDTM", "leverage": "3"},
    "funding": {"dataList": [], "hasMore": False},
}  # fmt: skip


def paid(number: int) -> dict[str, object]:
    """Of the hour `number`."""
    return {
        "id": 1000 + number, "symbol": "XBTUSDTM", "timePoint": number * 3_600_000,
        "fundingRate": 0.0001, "funding": -0.5, "settleCurrency": "USDT",
    }  # fmt: skip


def funding_told(trade: KucoinTrade, newest: int) -> tuple[list[str], list[str]]:
    """Hours told and questions of an account check where there is funding of every hour."""
    hours: list[str] = []
    queries: list[str] = []
    waiting = list(trade.encode(QueryAccount(venue="kucoin", market="futures"), AT))
    out: list[Output] = []
    while waiting:
        request = waiting.pop(0)
        what = request.tag.split(":")[2].partition(".")[0]
        data = FUTURES[what]
        if what == "funding":
            queries.append(request.query)
            said = dict(part.split("=") for part in request.query.split("&"))
            first = int(said.get("offset", 1001 + newest)) - 1001
            last = max(0, first - int(said.get("maxCount", 10)))
            rows = [paid(number) for number in range(first, last, -1)]
            data = {"dataList": rows, "hasMore": last > 0}
        told = trade.answered(ok(request.tag, data), AT)
        hours += [e.record_id for e in told if isinstance(e, FundingBooked)]
        out += told
        waiting += trade.follow_ups()
    assert isinstance(out[-1], AccountChecked)
    return hours, queries


def test_funding_of_a_long_absence_is_told_page_by_page_and_later_only_what_is_new() -> None:
    trade = trader()
    hours, queries = funding_told(trade, 250)
    assert len(set(hours)) == len(hours) == 250 and len(queries) == 4
    hours, queries = funding_told(trade, 252)
    assert len(hours) == 10 and queries == ["symbol=XBTUSDTM"]


def test_an_isolated_contract_gets_its_leverage_with_each_order() -> None:
    trade = trader(leverage=2)
    out = futures_answers(trade, FUTURES)
    assert isinstance(out[-1], AccountChecked)
    # What the next order will carry: without a position the venue itself has none.
    (told,) = (e for e in out if isinstance(e, LeverageReported))
    assert (told.leverage, told.margin) == (2, "isolated")
    assert [e.total for e in out if isinstance(e, BalanceReported)] == [11]
    (request,) = trade.encode(place("arb-1", LINEAR), AT)
    body = msgspec.json.decode(request.body)
    assert (body["marginMode"], body["leverage"]) == ("ISOLATED", 2)
    command = SetLeverage(instrument=LINEAR, leverage=Decimal(7))
    (probe,) = trade.encode(command, AT)
    assert probe.path == "/api/v2/position/getMarginMode"
    (event,) = trade.answered(ok(probe.tag, {"marginMode": "ISOLATED"}), AT)
    assert isinstance(event, LeverageReported)
    assert (event.leverage, event.margin) == (7, "isolated")
    (request,) = trade.encode(place("arb-2", LINEAR), AT)
    assert msgspec.json.decode(request.body)["leverage"] == 7


def test_margin_is_isolated_as_the_venue_has_it_until_it_says_otherwise() -> None:
    trade = trader()
    (request,) = trade.encode(place("arb-1", LINEAR), AT)
    assert msgspec.json.decode(request.body)["marginMode"] == "ISOLATED"
    futures_answers(trade, FUTURES | {"margin": {"marginMode": "CROSS"}})
    (request,) = trade.encode(place("arb-2", LINEAR), AT)
    assert msgspec.json.decode(request.body)["marginMode"] == "CROSS"


def test_an_order_keeps_the_leverage_of_the_position_that_is_there() -> None:
    trade = trader(leverage=2)
    row = {"symbol": "XBTUSDTM", "currentQty": 1, "avgEntryPrice": 90000, "leverage": 9,
           "marginMode": "ISOLATED", "positionSide": "BOTH"}  # fmt: skip
    out = futures_answers(trade, FUTURES | {"positions": [row]})
    (told,) = (e for e in out if isinstance(e, LeverageReported))
    assert (told.leverage, told.margin) == (9, "isolated")
    (request,) = trade.encode(place("arb-1", LINEAR), AT)
    assert msgspec.json.decode(request.body)["leverage"] == 9


def forced(kind: str, price: str) -> bytes:
    data = msgspec.json.decode(MATCH)["data"]
    changed = data | {"tradeType": kind, "matchPrice": price, "clientOid": ""}
    return message("/contractMarket/tradeOrders", "symbolOrderChange", changed)


def test_a_deleveraging_at_a_mark_price_between_the_ticks_is_heard() -> None:
    (event,) = trader().decode("futures_private", forced("adl", "90010.2345"), AT)
    assert isinstance(event, OrderFilled)
    assert (event.cause, event.order_id, event.ticks) == ("adl", "", 900_102)
    (event,) = trader().decode("futures_private", forced("trade", "90010.2345"), AT)
    assert isinstance(event, FrameRejected)  # a trade of ours off the grid is no trade


def test_a_counted_fee_has_no_more_digits_than_money_can_be_added_with() -> None:
    data = msgspec.json.decode(MATCH)["data"] | {"symbol": "XBTUSDM", "matchPrice": "61827.7"}
    frame = message("/contractMarket/tradeOrders", "symbolOrderChange", data)
    (event,) = trader().decode("futures_private", frame, AT)
    assert isinstance(event, OrderFilled) and event.fee_asset == "BTC"
    # 1 dollar / 61827.7 x 0.06 %
    assert event.fee == Decimal("9.704E-9")
    assert EXACT.add(Decimal(200_000), event.fee) > 200_000


def test_fees_are_counted_with_the_rates_of_the_symbol_once_they_are_told() -> None:
    trade = trader()
    fees = {"symbol": "XBTUSDTM", "takerFeeRate": "0.00048", "makerFeeRate": "-0.0001"}
    futures_answers(trade, FUTURES | {"fees": fees})
    (event,) = trade.decode("futures_private", MATCH, AT)
    assert isinstance(event, OrderFilled)
    assert event.fee == 90 * Decimal("0.00048")


def test_what_we_dealt_in_is_told_flat_and_a_page_is_turned() -> None:
    trade = trader()
    trade.encode(place("arb-1", INVERSE), AT)
    pages = FUTURES | {"margin": {"marginMode": "CROSS"}}
    pages["orders"] = {"currentPage": 1, "totalPage": 2, "items": []}
    out = futures_answers(trade, pages)
    assert "AccountChecked" not in names(out)
    (more,) = trade.follow_ups()
    assert more.query == "status=active&pageSize=100&currentPage=2"
    out = list(trade.answered(ok(more.tag, {"currentPage": 2, "totalPage": 2, "items": []}), AT))
    flat = [e.instrument for e in out if isinstance(e, PositionReported) and e.lots == 0]
    assert flat == [INVERSE] and isinstance(out[-1], AccountChecked)


@pytest.mark.parametrize(
    "broken", ["positions", "mode", "overview", "margin", "leverage", "orders", "funding"]
)
def test_an_account_with_one_bad_answer_is_not_checked(broken: str) -> None:
    trade = trader()
    bad: object = {} if broken in ("orders", "funding") else [{"symbol": 7}]
    out = futures_answers(trade, FUTURES | {broken: bad})
    assert "FrameRejected" in names(out) and "AccountChecked" not in names(out)
