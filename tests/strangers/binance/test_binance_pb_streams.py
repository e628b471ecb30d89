"""python-binance follows every product: books, tickers, trades, funding, its spot orders."""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("binance.ws.streams", reason="python-binance is not installed")

from binance import AsyncClient, BinanceSocketManager
from binance.base_client import BaseClient
from binance.enums import FuturesType
from binance.ws.reconnecting_websocket import ReconnectingWebsocket

pytestmark = [
    pytest.mark.stranger,
    # This client leaves sessions of its own open at the end.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SYMBOL = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
KIND = {"usdm": FuturesType.USD_M, "coinm": FuturesType.COIN_M}
PRODUCTS = ("spot", "usdm", "coinm")


@pytest.fixture
async def client(venue: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    for name, url in {
        "API_URL": venue.rest + "/api",
        "FUTURES_URL": venue.rest + "/fapi",
        "FUTURES_COIN_URL": venue.rest + "/dapi",
        "FUTURES_DATA_URL": venue.rest + "/futures/data",
        "MARGIN_API_URL": venue.rest + "/sapi",
        "WS_API_URL": venue.ws + "/ws-api/v3",
        "WS_FUTURES_URL": venue.ws + "/ws-fapi/v1",
    }.items():
        monkeypatch.setattr(BaseClient, name, url)
    monkeypatch.setattr(BinanceSocketManager, "STREAM_URL", venue.ws + "/")
    monkeypatch.setattr(BinanceSocketManager, "FSTREAM_URL", venue.ws + "/fstream/")
    monkeypatch.setattr(BinanceSocketManager, "DSTREAM_URL", venue.ws + "/dstream/")
    # How long it waits for a message before it looks whether it should stop.
    monkeypatch.setattr(ReconnectingWebsocket, "TIMEOUT", 0.3)
    account = venue.customers["exact-pb"]
    made = await AsyncClient.create(account.key, account.secret)
    yield made
    await made.close_connection()


async def hear(stream: Any, wanted: Callable[[Any], Any]) -> Any:
    """The first message that satisfies, without the envelope of combined streams."""
    async with asyncio.timeout(30):
        while True:
            message = await stream.recv()
            if message is None:
                continue
            message = message.get("event", message.get("data", message))
            if wanted(message):
                return message


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_its_partial_book_is_the_book_of_rest(client: Any, product: str) -> None:
    manager, symbol = BinanceSocketManager(client), SYMBOL[product]
    ask = client.futures_order_book if product == "usdm" else client.futures_coin_order_book
    shown: dict[int, Any] = {}
    asked: dict[int, Any] = {}

    def sides(bids: Any, asks: Any) -> Any:
        return [[(Decimal(p), Decimal(q)) for p, q in side] for side in (bids, asks)]

    socket = manager.futures_depth_socket(symbol, depth="20", futures_type=KIND[product])
    async with socket as stream, asyncio.timeout(30):
        while len(shown.keys() & asked.keys()) < 3:
            rest = await ask(symbol=symbol, limit=20)
            asked[rest["lastUpdateId"]] = sides(rest["bids"], rest["asks"])
            event = await hear(stream, lambda one: "b" in one)
            shown[event["u"]] = sides(event["b"], event["a"])
    for number in shown.keys() & asked.keys():
        assert shown[number] == asked[number]


@pytest.mark.parametrize("product", PRODUCTS)
async def test_its_ticker_and_trades_are_those_of_rest(client: Any, product: str) -> None:
    manager, symbol = BinanceSocketManager(client), SYMBOL[product]
    if product == "spot":
        ticker, trades = manager.symbol_ticker_socket(symbol), manager.aggtrade_socket(symbol)
        past = client.get_aggregate_trades
    else:
        kind = KIND[product]
        ticker = manager.symbol_ticker_futures_socket(symbol, futures_type=kind)
        trades = manager.aggtrade_futures_socket(symbol, futures_type=kind)
        coin = product == "coinm"
        past = client.futures_coin_aggregate_trades if coin else client.futures_aggregate_trades
    async with ticker as stream:
        best = await hear(stream, lambda one: one.get("s") == symbol)
    assert Decimal(best["b"]) < Decimal(best["a"])
    async with trades as stream:
        told = await hear(stream, lambda one: one.get("e") == "aggTrade")
    rows = await past(symbol=symbol, limit=100)
    same = next(row for row in rows if row["a"] == told["a"])
    assert [same[c] for c in ("p", "q", "m", "T")] == [told[c] for c in ("p", "q", "m", "T")]


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_its_mark_price_stream_tells_the_funding_of_rest(client: Any, product: str) -> None:
    manager, symbol = BinanceSocketManager(client), SYMBOL[product]
    socket = manager.symbol_mark_price_socket(symbol, futures_type=KIND[product])
    async with socket as stream:
        told = await hear(stream, lambda one: one.get("e") == "markPriceUpdate")
    ask = client.futures_mark_price if product == "usdm" else client.futures_coin_mark_price
    rest = await ask(symbol=symbol)
    rest = rest[0] if isinstance(rest, list) else rest
    assert told["T"] == rest["nextFundingTime"]
    assert abs(Decimal(told["r"]) - Decimal(rest["lastFundingRate"])) < Decimal("0.001")
    assert abs(Decimal(told["p"]) / Decimal(rest["markPrice"]) - 1) < Decimal("0.01")


async def test_its_spot_user_stream_says_what_rest_says(client: Any, venue: Any) -> None:
    symbol, price = SYMBOL["spot"], venue.price("spot", "0.97")
    manager = BinanceSocketManager(client)
    async with manager.user_socket() as stream:
        limit = {"symbol": symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        made = await client.create_order(
            **limit, quantity="0.01", price=price, newClientOrderId="pb-heard"
        )

        async def report(**wanted: Any) -> Any:
            return await hear(
                stream,
                lambda one: one.get("e") == "executionReport" and wanted.items() <= one.items(),
            )

        new = await report(i=made["orderId"], X="NEW")
        assert (new["c"], Decimal(new["p"])) == ("pb-heard", Decimal(price))
        # Spot amends by a cancel and a new order in one request.
        swapped = await client.cancel_replace_order(
            **limit, quantity="0.02", price=price, cancelReplaceMode="STOP_ON_FAILURE",
            cancelOrigClientOrderId="pb-heard", newClientOrderId="pb-again",
        )  # fmt: skip
        assert swapped["cancelResult"] == "SUCCESS"
        assert (await report(i=made["orderId"], X="CANCELED"))["C"] == "pb-heard"
        again = await report(c="pb-again", X="NEW")
        assert Decimal(again["q"]) == Decimal("0.02")
        await client.cancel_order(symbol=symbol, origClientOrderId="pb-again")
        assert (await report(i=again["i"], X="CANCELED"))["C"] == "pb-again"
        bought = await client.order_market_buy(symbol=symbol, quantity="0.01")
        order = bought["orderId"]
        trades = await client.get_my_trades(symbol=symbol)
        fills = [row for row in trades if row["orderId"] == order]
        for row in fills:
            told = await report(i=order, x="TRADE", t=row["id"])
            assert (told["n"], told["N"]) == (row["commission"], row["commissionAsset"])
            assert (Decimal(told["l"]), Decimal(told["L"])) == (
                Decimal(row["qty"]), Decimal(row["price"]),
            )  # fmt: skip
        held = {row["asset"]: row["free"] for row in (await client.get_account())["balances"]}

        def whole(one: Any) -> bool:
            """A push that shows the balance of now; pushes of before may still come first."""
            if one.get("e") != "outboundAccountPosition":
                return False
            return {row["a"]: row["f"] for row in one["B"]}.get("BTC") == held["BTC"]

        assert {row["a"] for row in (await hear(stream, whole))["B"]} >= {"BTC", "USDT"}
    await client.order_market_sell(symbol=symbol, quantity="0.01")
