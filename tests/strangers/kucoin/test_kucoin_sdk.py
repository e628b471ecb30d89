"""The venue's own SDK (kucoin-universal-sdk) trades on the KuCoin twin, REST and streams."""

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
    make,
    request,
    spot_limit,
)
from kucoin_universal_sdk.generate.account import account as accounts
from kucoin_universal_sdk.generate.account import fee as fees
from kucoin_universal_sdk.generate.account import transfer as transfers
from kucoin_universal_sdk.generate.futures import fundingfees as funding
from kucoin_universal_sdk.generate.futures import market as futures_market
from kucoin_universal_sdk.generate.futures import order as futures_order
from kucoin_universal_sdk.generate.futures import positions as futures_positions
from kucoin_universal_sdk.generate.spot import market as spot_market
from kucoin_universal_sdk.generate.spot import order as spot_order
from kucoin_universal_sdk.model.common import RestError

pytestmark = pytest.mark.stranger
def test_reads_spot_market_data_into_its_models(sdk: Services) -> None:
    now = sdk.spot_market.get_server_time()
    assert abs(now.data - time.time() * 1000) < 1_000
    assert now.common_response.rate_limit.limit == 8000
    symbols = sdk.spot_market.get_all_symbols(request(spot_market.GetAllSymbolsReq)).data
    assert [one.symbol for one in symbols][:1] == [BTC]
    part = sdk.spot_market.get_part_order_book(
        request(spot_market.GetPartOrderBookReq, symbol=BTC, size="20")
    )
    full = sdk.spot_market.get_full_order_book(
        request(spot_market.GetFullOrderBookReq, symbol=BTC)
    )
    assert len(part.bids) == 20 and len(full.bids) > 20
    rows = sdk.spot_market.get_klines(
        request(spot_market.GetKlinesReq, symbol=BTC, type="1min", startAt=0, endAt=0)
    ).data
    assert len(rows[0]) == 7
    assert sdk.spot_market.get_all_tickers().ticker
    assert sdk.spot_market.get24hr_stats(request(spot_market.Get24hrStatsReq, symbol=BTC)).last
    assert sdk.spot_market.get_all_currencies().data


def test_reads_futures_market_data_into_its_models(sdk: Services) -> None:
    market = sdk.futures_market
    contracts = market.get_all_symbols().data
    first = next(one for one in contracts if one.symbol == XBT)
    assert (first.multiplier, first.tick_size, first.status.value) == (0.001, 0.1, "Open")
    assert 0 < first.next_funding_rate_time <= first.funding_rate_granularity
    book = market.get_full_order_book(request(futures_market.GetFullOrderBookReq, symbol=XBT))
    assert book.bids[0][0] < book.asks[0][0]
    mark = market.get_mark_price(request(futures_market.GetMarkPriceReq, symbol=XBT))
    assert abs(mark.value - mark.index_price) / mark.value < 0.05
    assert market.get_trade_history(request(futures_market.GetTradeHistoryReq, symbol=XBT)).data
    rows = market.get_klines(
        request(futures_market.GetKlinesReq, symbol=XBT, granularity=1)
    ).data
    assert len(rows[0]) == 6
    current = sdk.funding.get_current_funding_rate(
        request(funding.GetCurrentFundingRateReq, symbol=XBT)
    )
    assert current.time_point + current.granularity == current.funding_time
    past = sdk.funding.get_public_funding_history(
        request(funding.GetPublicFundingHistoryReq, symbol=XBT, **{"from": 0, "to": 1 << 50})
    )
    assert past.data


def test_a_spot_order_through_its_models(sdk: Services) -> None:
    name, price = link(), below(sdk, True)
    made = sdk.spot.add_order_sync(
        request(spot_order.AddOrderSyncReq, **spot_limit(name, price))
    )
    assert (made.client_oid, made.status.value) == (name, "open")
    found = sdk.spot.get_order_by_client_oid(
        request(spot_order.GetOrderByClientOidReq, symbol=BTC, clientOid=name)
    )
    assert (found.id, found.active) == (made.order_id, True)
    changed = sdk.spot.modify_order(
        request(spot_order.ModifyOrderReq, symbol=BTC, clientOid=name, newSize="0.002")
    )
    assert changed.new_order_id != made.order_id
    gone = sdk.spot.cancel_order_by_client_oid_sync(
        request(spot_order.CancelOrderByClientOidSyncReq, symbol=BTC, clientOid=name)
    )
    assert (gone.status.value, gone.canceled_size) == ("done", "0.002")
    set_ = sdk.spot.set_dcp(request(spot_order.SetDcpReq, timeout=60, symbols=BTC))
    assert set_.trigger_time - set_.current_time in (60, 61)
    assert sdk.spot.get_dcp().timeout == 60
    sdk.spot.set_dcp(request(spot_order.SetDcpReq, timeout=-1))
    both = [spot_limit(link(), price) for _ in range(2)]
    rows = sdk.spot.batch_add_orders(
        request(spot_order.BatchAddOrdersReq, orderList=both)
    ).data
    assert all(row.success for row in rows)
    assert sdk.spot.cancel_all_orders().succeed_symbols == [BTC]


def test_a_futures_order_and_position_through_its_models(sdk: Services) -> None:
    name, price = link(), below(sdk, False)
    made = sdk.futures.add_order(
        request(futures_order.AddOrderReq, **contract_limit(name, price))
    )
    found = sdk.futures.get_order_by_client_oid(
        request(futures_order.GetOrderByClientOidReq, clientOid=name)
    )
    assert (found.id, found.status.value, found.size) == (made.order_id, "open", 10)
    gone = sdk.futures.cancel_order_by_id(
        request(futures_order.CancelOrderByIdReq, orderId=made.order_id)
    )
    assert gone.cancelled_order_ids == [made.order_id]
    taken = contract_limit(link(), price, type="market") | {"size": 10}
    del taken["price"]
    taken = sdk.futures.add_order(request(futures_order.AddOrderReq, **taken))
    [position] = sdk.positions.get_position_list(
        request(futures_positions.GetPositionListReq, currency="USDT")
    ).data
    assert (position.current_qty, position.margin_mode.value) == (10, "ISOLATED")
    fills = sdk.futures.get_trade_history(
        request(futures_order.GetTradeHistoryReq, orderId=taken.order_id)
    ).items
    assert sum(one.size for one in fills) == 10
    equity = sdk.account.get_futures_account(
        request(accounts.GetFuturesAccountReq, currency="USDT")
    )
    assert equity.position_margin > 0
    close = {"clientOid": link(), "symbol": XBT, "type": "market", "closeOrder": True,
             "side": "sell"}  # fmt: skip
    sdk.futures.add_order(request(futures_order.AddOrderReq, **close))
    assert not sdk.positions.get_position_list(
        request(futures_positions.GetPositionListReq, currency="USDT")
    ).data
    ledger = sdk.account.get_futures_ledger(
        request(accounts.GetFuturesLedgerReq, currency="USDT")
    )
    assert ledger.data_list[0].type == "RealisedPNL"


def test_reads_its_account_and_rates(sdk: Services) -> None:
    rows = sdk.account.get_spot_account_list(
        request(accounts.GetSpotAccountListReq, type="trade")
    ).data
    assert {one.currency for one in rows} >= {"USDT", "BTC"}
    assert "Futures" in sdk.account.get_apikey_info().permission
    both = sdk.fee.get_spot_actual_fee(
        request(fees.GetSpotActualFeeReq, symbols="BTC-USDT,ETH-USDT")
    ).data
    assert [one.taker_fee_rate for one in both] == ["0.001", "0.001"]
    one = sdk.fee.get_futures_actual_fee(request(fees.GetFuturesActualFeeReq, symbol=XBT))
    assert (one.maker_fee_rate, one.taker_fee_rate) == ("0.0002", "0.0006")
    moved = sdk.transfer.flex_transfer(
        request(
            transfers.FlexTransferReq,
            clientOid=link(),
            type="INTERNAL",
            currency="USDT",
            amount="5",
            fromAccountType="TRADE",
            toAccountType="CONTRACT",
        )
    )
    assert moved.order_id


@pytest.mark.parametrize(
    ("spot", "changed", "code"),
    [
        (True, {"symbol": "DOGE-USDT"}, "400100"),
        (True, {"size": "0.000001"}, "400100"),
        (True, {"size": "0.0010000001230"}, "600100"),
        (True, {"price": "+ 0.05"}, "400100"),
        (True, {"size": "4000"}, "200004"),
        (True, {"side": "sell", "price": "* 0.5"}, "400760"),
        (True, {"price": "* 1.5"}, "400370"),
        (True, {"price": "1", "size": "0.00001"}, "600101"),
        (True, {"timeInForce": "FOK", "postOnly": True}, "400100"),
        (True, {"hidden": True}, "400100"),
        (True, {"clientOid": "a b"}, "400100"),
        (False, {"symbol": "DOGEUSDTM"}, "200003"),
        (False, {"size": 2_000_000}, "300000"),
        (False, {"size": 900_000}, "300003"),
        (False, {"price": "+ 0.05"}, "300000"),
        (False, {"side": "sell", "price": "* 0.8"}, "300012"),
        (False, {"price": "* 1.2"}, "300011"),
        (False, {"leverage": 500}, "300016"),
        (False, {"reduceOnly": True}, "300009"),
        (False, {"marginMode": "CROSS"}, "330005"),
        (False, {"stop": "up", "stopPrice": "1", "stopPriceType": "TP"}, "400100"),
    ],
)
def test_hears_refusals_with_the_venues_codes(
    sdk: Services, spot: bool, changed: dict[str, Any], code: str
) -> None:
    price = below(sdk, spot)
    word, _, number = changed.get("price", "").partition(" ")
    if word == "*":
        changed = changed | {"price": str(round(Decimal(price) * Decimal(number), 1))}
    elif word == "+":
        changed = changed | {"price": str(Decimal(price) + Decimal(number))}
    with pytest.raises(RestError) as caught:
        if spot:
            wanted = spot_limit(link(), price) | changed
            sdk.spot.add_order(request(spot_order.AddOrderReq, **wanted))
        else:
            wanted = contract_limit(link(), price) | changed
            sdk.futures.add_order(request(futures_order.AddOrderReq, **wanted))
    assert caught.value.get_common_response().code == code


def test_hears_that_a_key_is_unknown(venue: Any) -> None:
    with pytest.raises(RestError, match="400003"):
        Services(make(venue, ("nobody", "x", "x"))).account.get_apikey_info()


# Streams --------------------------------------------------------------------------------------


def test_hears_public_streams(sdk: Services, started: Callable[[Any], Any]) -> None:
    spot = started(sdk.streams.new_spot_public_ws())
    futures = started(sdk.streams.new_futures_public_ws())
    heard = [Heard() for _ in range(7)]
    spot.orderbook_increment([BTC], heard[0])
    spot.ticker([BTC], heard[1])
    spot.trade([BTC], heard[2])
    futures.orderbook_increment(XBT, heard[3])
    futures.ticker_v2(XBT, heard[4])
    futures.execution(XBT, heard[5])
    futures.instrument(XBT, heard[6])
    for one in heard:
        assert one.wait(lambda events: events)
    changes = heard[3].wait(lambda events: events if len(events) > 50 else None)
    numbers = [one.sequence for one in changes]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_hears_its_orders_balances_and_positions(
    sdk: Services, started: Callable[[Any], Any]
) -> None:
    spot = started(sdk.streams.new_spot_private_ws())
    futures = started(sdk.streams.new_futures_private_ws())
    orders, money, contracts, positions, wallet = (Heard() for _ in range(5))
    spot.order_v2(orders)
    spot.account(money)
    futures.all_order(contracts)
    futures.all_position(positions)
    futures.balance(wallet)
    name = link()
    sdk.spot.add_order(
        request(spot_order.AddOrderReq, **spot_limit(name, below(sdk, True)))
    )
    sdk.spot.cancel_order_by_client_oid(
        request(spot_order.CancelOrderByClientOidReq, symbol=BTC, clientOid=name)
    )
    kinds = orders.wait(lambda events: events if len(events) >= 3 else None)
    assert [one.type.value for one in kinds] == ["received", "open", "canceled"]
    assert money.wait(lambda events: events)[0].relation_event == "trade.hold"
    taken = contract_limit(link(), "0", type="market")
    del taken["price"]
    sdk.futures.add_order(request(futures_order.AddOrderReq, **taken))
    assert contracts.wait(lambda events: events)[0].type.value == "match"
    assert positions.wait(lambda events: [one for one in events if one.current_qty == 10])
    assert wallet.wait(lambda events: events)
    close = {"clientOid": link(), "symbol": XBT, "type": "market", "closeOrder": True,
             "side": "sell"}  # fmt: skip
    sdk.futures.add_order(request(futures_order.AddOrderReq, **close))
    assert positions.wait(lambda events: [one for one in events if one.current_qty == 0])
