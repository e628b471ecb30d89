"""python-binance lives through the whole story on spot, USD-M and COIN-M: data, orders, money."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import binance_story as story
import pytest

pytest.importorskip("binance.ws.streams", reason="python-binance is not installed")

from binance import AsyncClient, BinanceSocketManager
from binance.base_client import BaseClient
from binance.ws.depthcache import DepthCacheManager, FuturesDepthCacheManager
from binance.ws.reconnecting_websocket import ReconnectingWebsocket

pytestmark = [
    pytest.mark.stranger,
    # This client leaves sessions of its own open at the end.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PRODUCTS = ("spot", "usdm", "coinm")
SPOT = {
    "time": "get_server_time", "info": "get_exchange_info", "depth": "get_order_book",
    "trades": "get_recent_trades", "klines": "get_klines", "day": "get_ticker",
    "best": "get_orderbook_ticker", "place": "create_order", "query": "get_order",
    "cancel": "cancel_order", "opened": "get_open_orders", "cancel_all": "cancel_all_open_orders",
    "fills": "get_my_trades", "balance": "get_account",
}  # fmt: skip
USDM = {
    "time": "futures_time", "info": "futures_exchange_info", "depth": "futures_order_book",
    "trades": "futures_recent_trades", "klines": "futures_klines", "day": "futures_ticker",
    "best": "futures_orderbook_ticker", "premium": "futures_mark_price",
    "funding": "futures_funding_rate", "place": "futures_create_order",
    "query": "futures_get_order", "cancel": "futures_cancel_order",
    "amend": "futures_modify_order", "opened": "futures_get_open_orders",
    "cancel_all": "futures_cancel_all_open_orders", "batch": "futures_place_batch_order",
    "batch_cancel": "futures_cancel_orders", "fills": "futures_account_trades",
    "balance": "futures_account_balance", "positions": "futures_position_information",
    "fees": "futures_commission_rate", "income": "futures_income_history",
    "leverage": "futures_change_leverage", "settings": "futures_symbol_config",
    "mode": "futures_get_position_mode", "set_mode": "futures_change_position_mode",
}  # fmt: skip
COINM = {what: name.replace("futures_", "futures_coin_") for what, name in USDM.items()} | {
    "amend": "futures_coin_v1_put_order",
    "fees": "futures_coin_v1_get_commission_rate",
    "settings": "futures_coin_position_information",
}
NAMES = {"spot": SPOT, "usdm": USDM, "coinm": COINM}


@pytest.fixture
def wired(venue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.fixture
async def connect(venue: Any, wired: None) -> AsyncIterator[Callable[[str], Any]]:
    opened: list[Any] = []

    async def open_one(name: str) -> Any:
        account = venue.customers[name]
        opened.append(await AsyncClient.create(account.key, account.secret))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close_connection()


def asker(client: Any, product: str) -> story.Ask:
    async def ask(what: str, **params: Any) -> Any:
        if ids := params.pop("orderIdList", None):
            params["orderidlist"] = ids  # as the client spells it
        if (product, what) == ("coinm", "batch"):
            return await asyncio.wait_for(coinm_batch(client, **params), 30)
        return await asyncio.wait_for(getattr(client, NAMES[product][what])(**params), 30)

    return ask


def coinm_batch(client: Any, *, batchOrders: list[Any]) -> Any:
    """By the client's own transport: its wrapper encodes the list twice and signs it once."""
    data = {"batchOrders": quote(json.dumps(batchOrders, separators=(",", ":")))}
    ask = client._request_futures_coin_api
    return ask("post", "batchOrders", True, data=data, force_params=True)


@pytest.mark.parametrize("product", PRODUCTS)
async def test_reads_the_market(venue: Any, connect: Callable[..., Any], product: str) -> None:
    client = await connect("exact-pb")
    now_ms = venue.running.twin.clock() // 1_000_000
    await story.reads_the_market(asker(client, product), product, now_ms)


@pytest.mark.parametrize("product", PRODUCTS)
async def test_leads_an_order_through_its_life(
    venue: Any, connect: Callable[..., Any], product: str
) -> None:
    client, price = await connect("exact-pb"), venue.price(product, "0.97")
    await story.leads_an_order_through_its_life(asker(client, product), product, price, "pb-life")


async def test_counts_a_spot_trade(connect: Callable[..., Any]) -> None:
    await story.counts_a_spot_trade(asker(await connect("exact-pb"), "spot"))


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_counts_a_position(connect: Callable[..., Any], product: str) -> None:
    await story.counts_a_position(asker(await connect("exact-pb"), product), product)


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_sends_batches(venue: Any, connect: Callable[..., Any], product: str) -> None:
    client, price = await connect("exact-pb"), venue.price(product, "0.97")
    # For COIN-M it signs the list of ids in another encoding than it sends.
    ask, lists = asker(client, product), product == "usdm"
    await story.sends_batches(ask, product, price, "pb-batch", lists=lists)


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_sets_terms(connect: Callable[..., Any], product: str) -> None:
    await story.sets_terms(asker(await connect("hedged-pb"), product), product)


async def test_spot_fee_rates_are_told(connect: Callable[..., Any]) -> None:
    client = await connect("exact-pb")
    rows = await client.get_trade_fee(symbol="BTCUSDT")
    assert Decimal(rows[0]["takerCommission"]) == Decimal("0.001")


@pytest.mark.parametrize(
    ("product", "keeper", "levels"),
    [("spot", DepthCacheManager, 20), ("usdm", FuturesDepthCacheManager, 10)],
)
async def test_its_depth_cache_is_the_book_of_rest(
    connect: Callable[..., Any], product: str, keeper: Any, levels: int
) -> None:
    client = await connect("owner")
    ask = asker(client, product)
    kept: list[Any] = []
    compared: set[int] = set()
    async with keeper(client, symbol="BTCUSDT") as stream:

        async def follow() -> None:
            while True:
                cache = await stream.recv()
                if cache is not None:
                    kept.append([cache.get_bids()[:levels], cache.get_asks()[:levels]])

        task = asyncio.create_task(follow())
        for _ in range(150):
            rest = await ask("depth", symbol="BTCUSDT", limit=levels)
            await asyncio.sleep(0.12)
            assert not task.done(), "the cache broke its sequence"
            sides = [[[float(p), float(q)] for p, q in rest[side]] for side in ("bids", "asks")]
            if sides in kept:
                compared.add(rest["lastUpdateId"])
            if len(compared) >= 3:
                break
        task.cancel()
    assert len(compared) >= 3
    assert all(bids[0][0] < asks[0][0] for bids, asks in kept if bids and asks)


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_the_futures_user_stream_tells_orders_fills_and_positions(
    connect: Callable[..., Any], product: str
) -> None:
    client = await connect("exact-pb")
    manager, ask = BinanceSocketManager(client), asker(client, product)
    socket = manager.futures_user_socket() if product == "usdm" else manager.coin_futures_socket()
    symbol, size = story.SYMBOL[product], story.SIZE[product]
    heard: list[Any] = []
    async with socket as stream:
        await asyncio.sleep(0.2)
        made = await ask("place", symbol=symbol, side="BUY", type="MARKET", quantity=size)
        await gather(stream, heard, "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE")
        fills = await ask("fills", symbol=symbol)
        mine = [row for row in fills if row["orderId"] == made["orderId"]]
        told = [e["o"] for e in heard if e["e"] == "ORDER_TRADE_UPDATE" and e["o"]["x"] == "TRADE"]
        while len(told) < len(mine):
            await gather(stream, heard, "ORDER_TRADE_UPDATE")
            told = [
                e["o"] for e in heard if e["e"] == "ORDER_TRADE_UPDATE" and e["o"]["x"] == "TRADE"
            ]
        assert {(row["t"], row["n"], row["N"]) for row in told} == {
            (row["id"], row["commission"], row["commissionAsset"]) for row in mine
        }
        moved = [e["a"] for e in heard if e["e"] == "ACCOUNT_UPDATE"][-1]
        assert [Decimal(row["pa"]) for row in moved["P"]] == [Decimal(size)]
        rows = await ask("balance")
        coin = story.COIN[product]
        wallet = next(row["balance"] for row in rows if row["asset"] == coin)
        assert [Decimal(b["wb"]) for b in moved["B"] if b["a"] == coin] == [Decimal(wallet)]
        await ask(
            "place", symbol=symbol, side="SELL", type="MARKET", quantity=size, reduceOnly="true"
        )


async def gather(stream: Any, heard: list[Any], *kinds: str) -> None:
    """Listens until at least one more event of every kind has come."""
    missing = list(kinds)
    for _ in range(40):
        event = await asyncio.wait_for(stream.recv(), 30)
        if event is None:
            continue
        heard.append(event)
        if event["e"] in missing:
            missing.remove(event["e"])
        if not missing:
            return
    raise AssertionError(f"not heard: {missing}")
