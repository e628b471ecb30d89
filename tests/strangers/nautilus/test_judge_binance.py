"""nautilus_trader's strict readers of Binance take the twin's REST answers, and its orders go in.

COIN-M is left to the venue's own SDK: this client reads its lists as if they were single rows.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("nautilus_trader", reason="the judge has an environment of its own")

from nautilus_trader.adapters.binance.common.enums import (
    BinanceAccountType,
    BinanceOrderSide,
    BinanceOrderStatus,
    BinanceOrderType,
    BinanceTimeInForce,
)
from nautilus_trader.adapters.binance.futures.http.account import BinanceFuturesAccountHttpAPI
from nautilus_trader.adapters.binance.futures.http.market import BinanceFuturesMarketHttpAPI
from nautilus_trader.adapters.binance.http.client import BinanceHttpClient
from nautilus_trader.adapters.binance.http.error import BinanceClientError
from nautilus_trader.adapters.binance.spot.http.account import BinanceSpotAccountHttpAPI
from nautilus_trader.adapters.binance.spot.http.market import BinanceSpotMarketHttpAPI
from nautilus_trader.common.component import LiveClock

pytestmark = pytest.mark.stranger
SYMBOL = "BTCUSDT"
KINDS = {
    "spot": (BinanceSpotMarketHttpAPI, BinanceSpotAccountHttpAPI, BinanceAccountType.SPOT),
    "usdm": (
        BinanceFuturesMarketHttpAPI,
        BinanceFuturesAccountHttpAPI,
        BinanceAccountType.USDT_FUTURES,
    ),
}


@pytest.fixture(params=KINDS)
def desk(request: Any, venue_of: Callable[[str], Any]) -> tuple[str, Any, Any]:
    venue, clock = venue_of("binance"), LiveClock()
    client = BinanceHttpClient(
        clock=clock,
        api_key=venue.account.key,
        api_secret=venue.account.secret,
        base_url=venue.rest,
    )
    market, account, kind = KINDS[request.param]
    return request.param, market(client, kind), account(client, clock, kind)


async def test_market_data_is_parsed(desk: tuple[str, Any, Any]) -> None:
    product, market, _ = desk
    if product == "spot":
        info = await market.query_spot_exchange_info()
    else:
        info = await market.query_futures_exchange_info()
    assert SYMBOL in [row.symbol for row in info.symbols]
    assert await market.request_server_time() > 0
    depth = await market.query_depth(SYMBOL, limit=5)
    assert Decimal(depth.bids[0][0]) < Decimal(depth.asks[0][0])
    assert await market.query_trades(SYMBOL, limit=3)
    assert len(await market.query_klines(SYMBOL, "1m", limit=2)) == 2
    assert Decimal((await market.query_ticker_24hr(SYMBOL))[0].lastPrice) > 0


async def test_an_order_lives_and_a_fill_is_paid(desk: tuple[str, Any, Any]) -> None:
    product, market, account = desk
    bid = Decimal((await market.query_depth(SYMBOL, limit=5)).bids[0][0])
    price = str((bid * Decimal("0.97")).quantize(Decimal("0.1")))
    limit = {
        "symbol": SYMBOL,
        "side": BinanceOrderSide.BUY,
        "order_type": BinanceOrderType.LIMIT,
        "time_in_force": BinanceTimeInForce.GTC,
        "quantity": "0.01",
        "price": price,
    }
    placed = await account.new_order(**limit, new_client_order_id="judge-1")
    assert placed.status is BinanceOrderStatus.NEW
    named = {"symbol": SYMBOL, "orig_client_order_id": "judge-1"}
    assert (await account.query_order(**named)).orderId == placed.orderId
    assert [row.clientOrderId for row in await account.query_open_orders(SYMBOL)] == ["judge-1"]
    assert (await account.cancel_order(**named)).status is BinanceOrderStatus.CANCELED
    with pytest.raises(BinanceClientError) as caught:
        await account.cancel_order(**named)
    assert caught.value.message["code"] == -2011
    for side in (BinanceOrderSide.BUY, BinanceOrderSide.SELL):
        made = await account.new_order(
            symbol=SYMBOL, side=side, order_type=BinanceOrderType.MARKET, quantity="0.01"
        )
        rows = await account.query_user_trades(SYMBOL)
        mine = [row for row in rows if row.orderId == made.orderId]
        assert sum(Decimal(row.qty) for row in mine) == Decimal("0.01")
        assert all(Decimal(row.commission) > 0 for row in mine)
    if product == "spot":
        held = await account.query_spot_account_info(recv_window="5000")
        assert "BTC" in [row.asset for row in held.balances]
    else:
        assert (await account.query_futures_account_info(recv_window="5000")).assets
        assert (await account.query_futures_hedge_mode()).dualSidePosition is False
        open_ones = [
            row
            for row in await account.query_futures_position_risk()
            if Decimal(row.positionAmt)
        ]
        assert open_ones == []
