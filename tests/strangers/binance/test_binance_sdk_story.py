"""The venue's own SDKs live through the whole story; their models must fit every answer."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import binance_story as story
import pytest

pytest.importorskip("binance_sdk_spot", reason="the official SDK is not installed")
pytest.importorskip("binance_sdk_derivatives_trading_usds_futures")
pytest.importorskip("binance_sdk_derivatives_trading_coin_futures")

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
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
SPOT = {
    "time": "time", "info": "exchange_info", "depth": "depth", "trades": "get_trades",
    "klines": "klines", "day": "ticker24hr", "best": "ticker_book_ticker", "place": "new_order",
    "query": "get_order", "cancel": "delete_order", "opened": "get_open_orders",
    "cancel_all": "delete_open_orders", "fills": "my_trades", "balance": "get_account",
}  # fmt: skip
COINM = {
    "time": "check_server_time", "info": "exchange_information", "depth": "order_book",
    "trades": "recent_trades_list", "klines": "kline_candlestick_data",
    "day": "ticker24hr_price_change_statistics", "best": "symbol_order_book_ticker",
    "premium": "index_price_and_mark_price",
    "funding": "get_funding_rate_history_of_perpetual_futures", "place": "new_order",
    "query": "query_order", "cancel": "cancel_order", "amend": "modify_order",
    "opened": "current_all_open_orders", "cancel_all": "cancel_all_open_orders",
    "batch": "place_multiple_orders", "batch_cancel": "cancel_multiple_orders",
    "fills": "account_trade_list", "balance": "futures_account_balance",
    "positions": "position_information", "fees": "user_commission_rate",
    "income": "get_income_history", "leverage": "change_initial_leverage",
    "settings": "position_information", "mode": "get_current_position_mode",
    "set_mode": "change_position_mode",
}  # fmt: skip
USDM = COINM | {
    "premium": "mark_price",
    "funding": "get_funding_rate_history",
    "balance": "futures_account_balance_v3",
    "positions": "position_information_v3",
    "settings": "symbol_configuration",
}
NAMES = {"spot": SPOT, "usdm": USDM, "coinm": COINM}
NUMBERS = ("quantity", "price")


@pytest.fixture(autouse=True)
def _types_must_match(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The SDK only warns when an answer does not fit its models; here that fails the test."""
    caplog.set_level(logging.WARNING)
    yield
    assert "did not match the declared types" not in caplog.text
    assert "Failed to parse" not in caplog.text


@pytest.fixture
def connect(venue: Any) -> Callable[..., Any]:
    def open_one(product: str, name: str) -> Any:
        account = venue.customers[name]
        login = {"api_key": account.key, "api_secret": account.secret, "timeout": 3000}
        root = {"spot": "", "usdm": "", "coinm": "/dstream/stream"}[product]
        return KINDS[product](
            config_rest_api=ConfigurationRestAPI(**login, base_path=venue.rest, retries=0),
            config_ws_streams=ConfigurationWebSocketStreams(stream_url=venue.ws + root),
        )

    return open_one


def snake(name: str) -> str:
    return re.sub("([A-Z])", lambda found: "_" + found[1].lower(), name)


def plain(answer: Any) -> Any:
    """A model as the venue's own JSON."""
    if isinstance(answer, list):
        return [plain(one) for one in answer]
    return answer.to_dict() if hasattr(answer, "to_dict") else answer


def asker(client: Any, product: str) -> story.Ask:
    async def ask(what: str, **params: Any) -> Any:
        if (product, what) == ("coinm", "settings"):
            params.pop("symbol")  # the SDK asks for a pair or for all
        named = {
            snake(name): float(value) if name in NUMBERS else value
            for name, value in params.items()
        }
        call = getattr(client.rest_api, NAMES[product][what])
        return plain((await asyncio.to_thread(call, **named)).data())

    return ask


PRODUCTS = ("spot", "usdm", "coinm")


@pytest.mark.parametrize("product", PRODUCTS)
async def test_reads_the_market(venue: Any, connect: Callable[..., Any], product: str) -> None:
    now_ms = venue.running.twin.clock() // 1_000_000
    await story.reads_the_market(asker(connect(product, "exact-sdk"), product), product, now_ms)


@pytest.mark.parametrize("product", PRODUCTS)
async def test_leads_an_order_through_its_life(
    venue: Any, connect: Callable[..., Any], product: str
) -> None:
    ask, price = asker(connect(product, "exact-sdk"), product), venue.price(product, "0.97")
    await story.leads_an_order_through_its_life(ask, product, price, "sdk-life")


async def test_counts_a_spot_trade(connect: Callable[..., Any]) -> None:
    await story.counts_a_spot_trade(asker(connect("spot", "exact-sdk"), "spot"))


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_counts_a_position(connect: Callable[..., Any], product: str) -> None:
    await story.counts_a_position(asker(connect(product, "exact-sdk"), product), product)


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_sends_batches(venue: Any, connect: Callable[..., Any], product: str) -> None:
    ask, price = asker(connect(product, "exact-sdk"), product), venue.price(product, "0.97")
    await story.sends_batches(ask, product, price, "sdk-batch")


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_sets_terms(connect: Callable[..., Any], product: str) -> None:
    await story.sets_terms(asker(connect(product, "hedged-sdk"), product), product)


def test_spot_fee_rates_are_told(connect: Callable[..., Any]) -> None:
    rates = connect("spot", "exact-sdk").rest_api.account_commission("BTCUSDT").data()
    assert Decimal(rates.standard_commission.taker) == Decimal("0.001")


class Kept:
    """A book kept from differences by the venue's own rules for local books."""

    def __init__(self, product: str) -> None:
        self.product = product
        self.waiting: list[Any] = []
        self.sides: dict[str, dict[Decimal, Decimal]] = {}
        self.at = 0
        self.shown: dict[int, Any] = {}

    def hear(self, event: Any) -> None:
        if self.sides:
            self.take(event)
        else:
            self.waiting.append(event)

    def begin(self, snapshot: Any) -> None:
        self.at = snapshot["lastUpdateId"]
        self.sides = {
            side: {Decimal(p): Decimal(q) for p, q in snapshot[side]} for side in ("bids", "asks")
        }
        for event in self.waiting:
            self.take(event)

    def take(self, event: Any) -> None:
        if event.u < self.at or (self.product == "spot" and event.u <= self.at):
            return
        if self.shown:
            due = self.at + 1 if self.product == "spot" else self.at
            came = event.U if self.product == "spot" else event.pu
            assert came == due, f"gap before {event.U}"
        for side, rows in (("bids", event.b), ("asks", event.a)):
            for price, size in rows:
                self.sides[side].pop(Decimal(price), None)
                if Decimal(size):
                    self.sides[side][Decimal(price)] = Decimal(size)
        self.at = event.u
        self.shown[event.u] = [
            sorted(self.sides["bids"].items(), reverse=True)[:20],
            sorted(self.sides["asks"].items())[:20],
        ]


@pytest.mark.parametrize("product", PRODUCTS)
async def test_the_book_kept_from_differences_is_the_book_of_rest(
    connect: Callable[..., Any], product: str
) -> None:
    client, symbol = connect(product, "owner"), story.SYMBOL[product]
    ask, kept = asker(client, product), Kept(product)
    link = await client.websocket_streams.create_connection()
    if product == "spot":
        handle = await link.diff_book_depth(symbol=symbol.lower(), update_speed="100ms")
    else:
        handle = await link.diff_book_depth_streams(symbol=symbol.lower(), update_speed="100ms")
    handle.on("message", kept.hear)
    async with asyncio.timeout(60):
        while len(kept.waiting) < 2:
            await asyncio.sleep(0.02)
    kept.begin(await ask("depth", symbol=symbol, limit=1000))
    compared: set[int] = set()
    for _ in range(150):
        rest = await ask("depth", symbol=symbol, limit=20)
        await asyncio.sleep(0.12)
        if rest["lastUpdateId"] in kept.shown:
            assert kept.shown[rest["lastUpdateId"]] == [
                [(Decimal(p), Decimal(q)) for p, q in rest[side]] for side in ("bids", "asks")
            ]
            compared.add(rest["lastUpdateId"])
        if len(compared) >= 3:
            break
    await link.close_connection(close_session=True)
    assert len(compared) >= 3


@pytest.mark.parametrize("product", ["usdm", "coinm"])
async def test_the_user_stream_tells_orders_fills_positions_and_balances(
    connect: Callable[..., Any], product: str
) -> None:
    client, symbol = connect(product, "exact-sdk"), story.SYMBOL[product]
    ask, size, coin = asker(client, product), story.SIZE[product], story.COIN[product]
    link = await client.websocket_streams.create_connection()
    key = (await asyncio.to_thread(client.rest_api.start_user_data_stream)).data().listen_key
    heard: list[Any] = []
    handle = await link.user_data(key)
    handle.on("message", lambda message: heard.append(message.actual_instance))

    def of(kind: str) -> list[Any]:
        return [plain(event) for event in heard if type(event).__name__ == kind]

    await asyncio.sleep(0.3)
    fills = await story.trade(ask, product, "BUY", size)
    told: list[Any] = []
    for _ in range(200):
        told = [e["o"] for e in of("OrderTradeUpdate") if e["o"]["x"] == "TRADE"]
        if len(told) == len(fills) and len(of("AccountUpdate")) >= 1:
            break
        await asyncio.sleep(0.02)
    assert [(row["t"], row["n"], row["N"]) for row in told] == [
        (row["id"], row["commission"], row["commissionAsset"]) for row in fills
    ]
    moved = of("AccountUpdate")[-1]["a"]
    assert [(row["s"], Decimal(row["pa"])) for row in moved["P"]] == [(symbol, Decimal(size))]
    rows = await ask("balance")
    wallet = next(row["balance"] for row in rows if row["asset"] == coin)
    assert [Decimal(row["wb"]) for row in moved["B"] if row["a"] == coin] == [Decimal(wallet)]
    await story.trade(ask, product, "SELL", size, reduceOnly="true")
    await link.close_connection(close_session=True)
