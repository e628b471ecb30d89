"""The venue's own SDKs follow every product: tickers, trades, funding, and their spot orders."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("binance_sdk_spot", reason="the official SDK is not installed")
pytest.importorskip("binance_sdk_derivatives_trading_usds_futures")
pytest.importorskip("binance_sdk_derivatives_trading_coin_futures")

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_derivatives_trading_coin_futures import (
    derivatives_trading_coin_futures as coin_futures,
)
from binance_sdk_derivatives_trading_usds_futures import (
    derivatives_trading_usds_futures as usds_futures,
)
from binance_sdk_spot.spot import Spot

pytestmark = [
    pytest.mark.stranger,
    # This client leaves sessions of its own open at the end.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
KINDS = {
    "spot": Spot,
    "usdm": usds_futures.DerivativesTradingUsdsFutures,
    "coinm": coin_futures.DerivativesTradingCoinFutures,
}
SYMBOL = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}


@pytest.fixture(autouse=True)
def _types_must_match(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The SDK only warns when an answer does not fit its models; here that fails the test."""
    caplog.set_level(logging.WARNING)
    yield
    assert "did not match the declared types" not in caplog.text
    assert "Failed to parse" not in caplog.text


@pytest.fixture
def connect(venue: Any) -> Callable[[str], Any]:
    def open_one(product: str) -> Any:
        account = venue.customers["exact-sdk"]
        login = {"api_key": account.key, "api_secret": account.secret, "timeout": 30_000}
        root = {"spot": "", "usdm": "", "coinm": "/dstream/stream"}[product]
        settings: dict[str, Any] = {
            "config_rest_api": ConfigurationRestAPI(**login, base_path=venue.rest, retries=0),
            "config_ws_streams": ConfigurationWebSocketStreams(stream_url=venue.ws + root),
        }
        if product == "spot":
            settings["config_ws_api"] = ConfigurationWebSocketAPI(
                **login, stream_url=venue.ws + "/ws-api/v3"
            )
        return KINDS[product](**settings)

    return open_one


class Heard:
    """What a handle brought, in order."""

    def __init__(self, handle: Any) -> None:
        self.messages: list[Any] = []
        handle.on("message", self.messages.append)

    async def wait(self, wanted: Callable[[Any], Any]) -> Any:
        async with asyncio.timeout(30):
            while True:
                for message in self.messages:
                    if wanted(message):
                        return message
                await asyncio.sleep(0.02)


async def rest(call: Callable[..., Any], *args: Any, **fields: Any) -> Any:
    return (await asyncio.to_thread(call, *args, **fields)).data()


@pytest.mark.parametrize("product", ["spot", "usdm", "coinm"])
async def test_its_ticker_and_trades_are_those_of_rest(
    connect: Callable[[str], Any], product: str
) -> None:
    client, symbol = connect(product), SYMBOL[product]
    link = await client.websocket_streams.create_connection()
    name = symbol.lower()
    if product == "spot":
        ticker, trades = await link.book_ticker(symbol=name), await link.agg_trade(symbol=name)
        past = client.rest_api.agg_trades
    else:
        ticker = await link.individual_symbol_book_ticker_streams(symbol=name)
        trades = await link.aggregate_trade_streams(symbol=name)
        past = client.rest_api.compressed_aggregate_trades_list
    best, told = Heard(ticker), Heard(trades)
    touch = await best.wait(lambda one: one.s == symbol)
    assert Decimal(touch.b) < Decimal(touch.a)
    trade = await told.wait(lambda one: one.s == symbol)
    rows = await rest(past, symbol, limit=100)
    same = next(row for row in rows if row.a == trade.a)
    assert (same.p, same.q, same.m) == (trade.p, trade.q, trade.m)
    await link.close_connection(close_session=True)


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_its_mark_price_stream_tells_the_funding_of_rest(
    connect: Callable[[str], Any], product: str
) -> None:
    client, symbol = connect(product), SYMBOL[product]
    link = await client.websocket_streams.create_connection()
    told = await Heard(await link.mark_price_stream(symbol=symbol.lower())).wait(
        lambda one: one.s == symbol
    )
    if product == "usdm":
        row: Any = (await rest(client.rest_api.mark_price, symbol=symbol)).to_dict()
    else:
        found = await rest(client.rest_api.index_price_and_mark_price, symbol=symbol)
        row = found[0].to_dict()
    assert row["nextFundingTime"] == told.T
    assert abs(Decimal(told.r) - Decimal(row["lastFundingRate"])) < Decimal("0.001")
    await link.close_connection(close_session=True)


async def test_its_spot_user_stream_says_what_rest_says(
    connect: Callable[[str], Any], venue: Any
) -> None:
    client, symbol = connect("spot"), SYMBOL["spot"]
    api, price = client.rest_api, float(venue.price("spot", "0.97"))
    link = await client.websocket_api.create_connection()
    opened = await link.user_data_stream_subscribe_signature()
    heard = Heard(opened.stream)

    def told(kind: str, **wanted: Any) -> list[Any]:
        rows = [getattr(one, "actual_instance", one) for one in heard.messages]
        found = [row.to_dict() for row in rows if type(row).__name__ == kind]
        return [row for row in found if wanted.items() <= row.items()]

    async def report(**wanted: Any) -> Any:
        async with asyncio.timeout(30):
            while not (found := told("ExecutionReport", **wanted)):
                await asyncio.sleep(0.02)
        return found[-1]

    limit = {"time_in_force": "GTC", "quantity": 0.01, "price": price}
    made = await rest(
        api.new_order, symbol, "BUY", "LIMIT", **limit, new_client_order_id="sdk-heard"
    )
    assert (await report(i=made.order_id, X="NEW"))["c"] == "sdk-heard"
    swapped = await rest(
        api.order_cancel_replace, symbol, "BUY", "LIMIT", "STOP_ON_FAILURE",
        **limit | {"quantity": 0.02}, cancel_orig_client_order_id="sdk-heard",
        new_client_order_id="sdk-again",
    )  # fmt: skip
    assert swapped.cancel_result == "SUCCESS"
    assert (await report(i=made.order_id, X="CANCELED"))["C"] == "sdk-heard"
    assert Decimal((await report(c="sdk-again", X="NEW"))["q"]) == Decimal("0.02")
    await rest(api.delete_order, symbol, orig_client_order_id="sdk-again")
    await report(C="sdk-again", X="CANCELED")
    bought = await rest(api.new_order, symbol, "BUY", "MARKET", quantity=0.01)
    fills = await rest(api.my_trades, symbol, order_id=bought.order_id)
    assert sum(Decimal(row.qty) for row in fills) == Decimal("0.01")
    for row in fills:
        fill = await report(i=bought.order_id, x="TRADE", t=row.id)
        assert (fill["n"], fill["N"]) == (row.commission, row.commission_asset)
    balances = (await rest(api.get_account)).to_dict()["balances"]
    held = {row["asset"]: row["free"] for row in balances}

    def whole() -> bool:
        pushes = told("OutboundAccountPosition")
        return bool(pushes) and {b["a"]: b["f"] for b in pushes[-1]["B"]}.get("BTC") == held["BTC"]

    async with asyncio.timeout(30):
        while not whole():
            await asyncio.sleep(0.02)
    await rest(api.new_order, symbol, "SELL", "MARKET", quantity=0.01)
    await link.close_connection(close_session=True)
