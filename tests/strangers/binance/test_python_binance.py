"""python-binance trades on the twin by REST, WebSocket API and both user streams."""

import asyncio
from typing import Any

import pytest

binance = pytest.importorskip("binance", reason="python-binance is not installed")
pytest.importorskip("binance.ws.streams", reason="another package owns the module binance")

AsyncClient, BinanceSocketManager = binance.AsyncClient, binance.BinanceSocketManager
BaseClient = pytest.importorskip("binance.base_client").BaseClient
BinanceAPIException = pytest.importorskip("binance.exceptions").BinanceAPIException
ReconnectingWebsocket = pytest.importorskip(
    "binance.ws.reconnecting_websocket"
).ReconnectingWebsocket

pytestmark = [
    pytest.mark.stranger,
    # This client leaves sessions of its own open at the end.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SYMBOL = "BTCUSDT"


@pytest.fixture
async def client(venue: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, url in {
        "API_URL": venue.rest + "/api",
        "FUTURES_URL": venue.rest + "/fapi",
        "FUTURES_DATA_URL": venue.rest + "/futures/data",
        "MARGIN_API_URL": venue.rest + "/sapi",
        "WS_API_URL": venue.ws + "/ws-api/v3",
        "WS_FUTURES_URL": venue.ws + "/ws-fapi/v1",
    }.items():
        monkeypatch.setattr(BaseClient, name, url)
    # How long it waits for a message before it looks whether it should stop.
    monkeypatch.setattr(ReconnectingWebsocket, "TIMEOUT", 0.3)
    monkeypatch.setattr(BinanceSocketManager, "STREAM_URL", venue.ws + "/")
    monkeypatch.setattr(BinanceSocketManager, "FSTREAM_URL", venue.ws + "/fstream/")
    made = await AsyncClient.create(venue.account.key, venue.account.secret)
    yield made
    await made.close_connection()


async def test_spot_order_life(client: Any) -> None:
    book = await client.get_order_book(symbol=SYMBOL, limit=5)
    price = f"{float(book['bids'][0][0]) * 0.97:.2f}"
    made = await client.create_order(
        symbol=SYMBOL,
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="0.01",
        price=price,
        newClientOrderId="pb-1",
    )
    assert made["status"] == "NEW"
    assert (await client.get_order(symbol=SYMBOL, origClientOrderId="pb-1"))["status"] == "NEW"
    ended = await client.cancel_order(symbol=SYMBOL, origClientOrderId="pb-1")
    assert ended["status"] == "CANCELED"
    bought = await client.order_market_buy(symbol=SYMBOL, quantity="0.01")
    assert bought["fills"]
    with pytest.raises(BinanceAPIException) as caught:
        await client.cancel_order(symbol=SYMBOL, orderId=1)
    assert caught.value.code == -2011


async def test_futures_order_life(client: Any) -> None:
    book = await client.futures_order_book(symbol=SYMBOL, limit=5)
    price = f"{float(book['bids'][0][0]) * 0.97:.1f}"
    made = await client.futures_create_order(
        symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price=price
    )
    changed = await client.futures_modify_order(
        symbol=SYMBOL, side="BUY", orderId=made["orderId"], quantity="0.02", price=price
    )
    assert changed["origQty"] == "0.020"
    ended = await client.futures_cancel_order(symbol=SYMBOL, orderId=made["orderId"])
    assert ended["status"] == "CANCELED"
    assert (await client.futures_change_leverage(symbol=SYMBOL, leverage=4))["leverage"] == 4
    assert await client.futures_account_balance()
    assert isinstance(await client.futures_position_information(symbol=SYMBOL), list)


async def test_orders_go_by_websocket_api(client: Any) -> None:
    book = await client.get_order_book(symbol=SYMBOL, limit=5)
    price = f"{float(book['bids'][0][0]) * 0.97:.1f}"
    limit = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    made = await client.ws_create_order(**limit, quantity="0.01", price=price)
    ended = await client.ws_cancel_order(symbol=SYMBOL, orderId=made["orderId"])
    assert ended["status"] == "CANCELED"
    made = await client.ws_futures_create_order(**limit, quantity="0.01", price=price)
    ended = await client.ws_futures_cancel_order(symbol=SYMBOL, orderId=made["orderId"])
    assert ended["status"] == "CANCELED"


async def test_depth_stream_and_spot_user_stream_push(client: Any) -> None:
    manager = BinanceSocketManager(client)
    async with manager.depth_socket(SYMBOL, interval=100) as stream:
        event = await asyncio.wait_for(stream.recv(), 30)
    assert event["e"] == "depthUpdate"
    async with manager.user_socket() as stream:
        await asyncio.sleep(0.2)
        made = await client.order_market_sell(symbol=SYMBOL, quantity="0.01")
        event = await asyncio.wait_for(stream.recv(), 30)
        event = event.get("event", event)
    assert (event["e"], event["i"]) == ("executionReport", made["orderId"])
