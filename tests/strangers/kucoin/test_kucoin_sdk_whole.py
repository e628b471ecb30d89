"""The venue's own SDK: books kept from streams equal REST, money to the last digit, fills told."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("kucoin_universal_sdk")

from kucoin_desk import (
    BTC,
    XBT,
    Heard,
    Services,
    below,
    contract_limit,
    link,
    request,
    spot_limit,
)
from kucoin_universal_sdk.generate.account import account as accounts
from kucoin_universal_sdk.generate.futures import market as futures_market
from kucoin_universal_sdk.generate.futures import order as futures_order
from kucoin_universal_sdk.generate.futures import positions as futures_positions
from kucoin_universal_sdk.generate.spot import market as spot_market
from kucoin_universal_sdk.generate.spot import order as spot_order

pytestmark = pytest.mark.stranger
Start = Callable[[Any], Any]
Levels = dict[Decimal, Decimal]
TOP = 20


class KeptBook:
    """A book kept by the venue's rules: a snapshot, then changes; its top at every number."""

    def __init__(self, snapshot: Any) -> None:
        self.at = int(snapshot.sequence)
        self.sides: dict[str, Levels] = {
            side: {Decimal(str(p)): Decimal(str(q)) for p, q, *_ in getattr(snapshot, side)}
            for side in ("bids", "asks")
        }
        self.tops = {self.at: self._top()}

    def spot(self, event: Any) -> None:
        if event.sequence_end <= self.at:
            return
        assert event.sequence_start <= self.at + 1, "a change is missing"
        for side in ("bids", "asks"):
            for price, size, number in getattr(event.changes, side) or ():
                if int(number) > self.at and Decimal(price):
                    self._set(side, Decimal(price), Decimal(size))
        self.at = event.sequence_end
        self.tops[self.at] = self._top()

    def futures(self, event: Any) -> None:
        if event.sequence <= self.at:
            return
        assert event.sequence == self.at + 1, "a change is missing"
        price, side, size = event.change.split(",")
        self._set("bids" if side == "buy" else "asks", Decimal(price), Decimal(size))
        self.at = event.sequence
        self.tops[self.at] = self._top()

    def _set(self, side: str, price: Decimal, size: Decimal) -> None:
        self.sides[side].pop(price, None)
        if size:
            self.sides[side][price] = size

    def _top(self) -> list[Any]:
        bids, asks = self.sides["bids"], self.sides["asks"]
        return [sorted(bids.items(), reverse=True)[:TOP], sorted(asks.items())[:TOP]]


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_a_book_kept_from_the_stream_is_the_book_of_rest(
    sdk: Services, started: Start, market: str
) -> None:
    heard = Heard()
    if market == "spot":
        started(sdk.streams.new_spot_public_ws()).orderbook_increment([BTC], heard)
        api: Any = sdk.spot_market
        whole = request(spot_market.GetFullOrderBookReq, symbol=BTC)
        part = request(spot_market.GetPartOrderBookReq, symbol=BTC, size=str(TOP))
    else:
        started(sdk.streams.new_futures_public_ws()).orderbook_increment(XBT, heard)
        api = sdk.futures_market
        whole = request(futures_market.GetFullOrderBookReq, symbol=XBT)
        part = request(futures_market.GetPartOrderBookReq, symbol=XBT, size=str(TOP))
    heard.wait(lambda events: events)
    kept = KeptBook(api.get_full_order_book(whole))
    first = heard.events[0]
    assert (first.sequence_start if market == "spot" else first.sequence) <= kept.at + 1
    taken, equal, asked = 0, set(), {}
    deadline = time.monotonic() + 30
    while len(equal) < 3:
        assert time.monotonic() < deadline, f"equal at {equal} only"
        rest = api.get_part_order_book(part)
        asked[int(rest.sequence)] = [
            [(Decimal(str(p)), Decimal(str(q))) for p, q, *_ in side]
            for side in (rest.bids, rest.asks)
        ]
        while taken < len(heard.events):
            getattr(kept, market)(heard.events[taken])
            taken += 1
        for number in asked.keys() & kept.tops.keys():
            assert kept.tops[number] == asked[number]
            equal.add(number)
        time.sleep(0.02)


def test_streamed_tickers_and_trades_are_those_of_rest(sdk: Services, started: Start) -> None:
    spot = started(sdk.streams.new_spot_public_ws())
    futures = started(sdk.streams.new_futures_public_ws())
    trades, executions, tickers, touches = (Heard() for _ in range(4))
    spot.trade([BTC], trades)
    spot.ticker([BTC], tickers)
    futures.execution(XBT, executions)
    futures.ticker_v2(XBT, touches)
    assert float(tickers.wait(lambda events: events)[0].best_bid) > 0
    assert float(touches.wait(lambda events: events)[0].best_bid_price) > 0
    told = trades.wait(lambda events: events)[0]
    past = sdk.spot_market.get_trade_history(
        request(spot_market.GetTradeHistoryReq, symbol=BTC)
    ).data
    same = next(row for row in past if row.sequence == told.sequence)
    assert (same.price, same.size, same.side.value) == (told.price, told.size, told.side)
    told = executions.wait(lambda events: events)[0]
    past = sdk.futures_market.get_trade_history(
        request(futures_market.GetTradeHistoryReq, symbol=XBT)
    ).data
    same = next(row for row in past if row.trade_id == told.trade_id)
    assert (same.price, same.size, same.side.value) == (told.price, told.size, told.side)


def wallets(sdk: Services) -> dict[str, Decimal]:
    rows = sdk.account.get_spot_account_list(
        request(accounts.GetSpotAccountListReq, type="trade")
    ).data
    return {row.currency: Decimal(row.balance) for row in rows}


def total(rows: list[Any], column: str) -> Decimal:
    return sum((Decimal(getattr(row, column)) for row in rows), Decimal(0))


def spot_market_order(sdk: Services, side: str, size: str) -> list[Any]:
    """Trades at market and gives the fills."""
    made = sdk.spot.add_order_sync(
        request(
            spot_order.AddOrderSyncReq,
            clientOid=link(), symbol=BTC, side=side, type="market", size=size,
        )
    )  # fmt: skip
    fills = sdk.spot.get_trade_history(
        request(spot_order.GetTradeHistoryReq, symbol=BTC, orderId=made.order_id)
    ).items
    assert total(fills, "size") == Decimal(size)
    return list(fills)


def test_a_spot_trade_moves_both_coins_and_its_fee_is_in_dollars(
    sdk: Services, started: Start
) -> None:
    private = started(sdk.streams.new_spot_private_ws())
    orders, money = Heard(), Heard()
    private.order_v2(orders)
    private.account(money)
    before = wallets(sdk)
    bought = spot_market_order(sdk, "buy", "0.01")
    held = wallets(sdk)
    assert {row.fee_currency for row in bought} == {"USDT"}
    assert total(bought, "fee") == total(bought, "funds") * Decimal("0.001")
    assert held["BTC"] - before["BTC"] == Decimal("0.01")
    assert before["USDT"] - held["USDT"] == total(bought, "funds") + total(bought, "fee")
    told = orders.wait(
        lambda events: len(found := [e for e in events if e.type.value == "match"])
        >= len(bought) and found
    )
    assert {(e.trade_id, e.match_price, Decimal(e.match_size)) for e in told} == {
        (str(row.trade_id), row.price, Decimal(row.size)) for row in bought
    }
    money.wait(
        lambda events: [
            e for e in events if e.currency == "BTC" and Decimal(e.total) == held["BTC"]
        ]
    )
    sold = spot_market_order(sdk, "sell", "0.01")
    after = wallets(sdk)
    assert held["BTC"] - after["BTC"] == Decimal("0.01")
    assert after["USDT"] - held["USDT"] == total(sold, "funds") - total(sold, "fee")


def equity(sdk: Services) -> Decimal:
    account = sdk.account.get_futures_account(
        request(accounts.GetFuturesAccountReq, currency="USDT")
    )
    return Decimal(str(account.margin_balance))


def positions(sdk: Services) -> list[Any]:
    found = sdk.positions.get_position_list(
        request(futures_positions.GetPositionListReq, currency="USDT")
    ).data
    return [row for row in found if row.symbol == XBT]


def test_a_position_costs_its_fees_and_what_it_lost(sdk: Services) -> None:
    before = equity(sdk)
    assert positions(sdk) == []
    fills: list[Any] = []
    for side, more in (("buy", {}), ("sell", {"reduceOnly": True})):
        wanted = contract_limit(link(), "0", type="market", side=side) | more
        del wanted["price"]
        made = sdk.futures.add_order(request(futures_order.AddOrderReq, **wanted))
        mine = sdk.futures.get_trade_history(
            request(futures_order.GetTradeHistoryReq, orderId=made.order_id)
        ).items
        assert total(mine, "size") == 10
        fills += mine
        held = [row.current_qty for row in positions(sdk)]
        assert held == ([10] if side == "buy" else [])
    assert all(
        abs(Decimal(row.fee) - Decimal(row.value) * Decimal("0.0006")) < Decimal("0.00001")
        for row in fills
    )
    signs = {"buy": -1, "sell": 1}
    result = sum(signs[row.side.value] * Decimal(row.value) - Decimal(row.fee) for row in fills)
    assert abs(equity(sdk) - before - result) < Decimal("0.00001")


def test_fill_or_kill_is_taken_for_spot_and_dies_whole(sdk: Services) -> None:
    price = below(sdk, True)
    made = sdk.spot.add_order_sync(
        request(
            spot_order.AddOrderSyncReq,
            **spot_limit(link(), price, timeInForce="FOK"),
        )
    )
    assert (made.status.value, made.deal_size) == ("done", "0")
