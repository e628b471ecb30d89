"""The venue's own SDK trades on the twin: REST, public, private and trade sockets."""

import copy
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("pybit")

import pybit._websocket_trading as wire_trading
from pybit import unified_trading
from pybit._websocket_stream import _WebSocketManager
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

pytestmark = pytest.mark.stranger
LINEAR = {"category": "linear", "symbol": "BTCUSDT"}
SPOT = {"category": "spot", "symbol": "BTCUSDT"}
INVERSE = {"category": "inverse", "symbol": "BTCUSD"}
_numbers = iter(range(1, 10_000))


def link() -> str:
    return f"pybit-{next(_numbers)}"


def client(venue: Any, key: str, secret: str) -> HTTP:
    made = HTTP(api_key=key, api_secret=secret, max_retries=2, retry_delay=1)
    made.endpoint = venue.rest
    return made


@pytest.fixture
def http(venue: Any, owner: tuple[str, str]) -> HTTP:
    return client(venue, *owner)


def touch(http: HTTP, market: dict[str, str]) -> tuple[Decimal, Decimal]:
    row = http.get_tickers(**market)["result"]["list"][0]
    return Decimal(row["bid1Price"]), Decimal(row["ask1Price"])


def far_below(http: HTTP, market: dict[str, str]) -> str:
    return str((touch(http, market)[0] * Decimal("0.995")).quantize(Decimal("0.1")))


def code_of(action: Callable[[], Any]) -> int:
    with pytest.raises(InvalidRequestError) as caught:
        action()
    return int(caught.value.status_code)


# Market data over REST ---------------------------------------------------------------------


@pytest.mark.parametrize("market", [LINEAR, SPOT, INVERSE], ids=["linear", "spot", "inverse"])
def test_lists_instruments_and_answers_every_market_question(
    http: HTTP, market: dict[str, str]
) -> None:
    category, symbol = market["category"], market["symbol"]
    listed = http.get_instruments_info(category=category)["result"]["list"]
    assert symbol in [row["symbol"] for row in listed]
    assert http.get_instruments_info(category=category, status="PreLaunch")["result"]["list"] == []
    book = http.get_orderbook(**market, limit=50)["result"]
    assert 5 < len(book["b"]) <= 50 and 5 < len(book["a"]) <= 50
    assert Decimal(book["b"][0][0]) < Decimal(book["a"][0][0])
    bars = http.get_kline(**market, interval="1", limit=3)["result"]["list"]
    assert [int(row[0]) for row in bars] == sorted((int(row[0]) for row in bars), reverse=True)
    assert http.get_price_limit(**market)["result"]["buyLmt"]


def test_tells_time_and_derivative_prices(http: HTTP) -> None:
    told = http.get_server_time()
    assert abs(int(told["result"]["timeNano"]) // 1_000_000 - told["time"]) < 1_000
    ticker = http.get_tickers(**LINEAR)["result"]["list"][0]
    assert Decimal(ticker["markPrice"]) > 0
    assert int(ticker["nextFundingTime"]) > told["time"]
    history = http.get_funding_rate_history(**LINEAR, limit=3)["result"]["list"]
    stamps = [int(row["fundingRateTimestamp"]) for row in history]
    assert stamps == sorted(stamps, reverse=True)
    for call in (
        http.get_mark_price_kline,
        http.get_index_price_kline,
        http.get_premium_index_price_kline,
    ):
        assert len(call(**LINEAR, interval="5", limit=2)["result"]["list"][0]) == 5
    assert http.get_risk_limit(**LINEAR)["result"]["list"][0]["maxLeverage"]


@pytest.mark.parametrize("market", [LINEAR, INVERSE], ids=["linear", "inverse"])
def test_tells_funding_now_and_past(http: HTTP, market: dict[str, str]) -> None:
    ticker = http.get_tickers(**market)["result"]["list"][0]
    assert abs(Decimal(ticker["fundingRate"])) < Decimal("0.05")
    due = int(ticker["nextFundingTime"])
    paid = http.get_funding_rate_history(**market, limit=2)["result"]["list"]
    stamps = [int(row["fundingRateTimestamp"]) for row in paid]
    assert [due - 28_800_000, due - 57_600_000] == stamps


@pytest.mark.parametrize("market", [LINEAR, SPOT, INVERSE], ids=["linear", "spot", "inverse"])
def test_streamed_trades_and_touch_are_those_of_rest(
    http: HTTP, sockets: Callable[..., Any], wait: Callable[..., Any], market: dict[str, str]
) -> None:
    heard, symbol = Heard(), market["symbol"]
    sockets(market["category"]).trade_stream(symbol, heard)
    told = wait(lambda: heard.rows(f"publicTrade.{symbol}"), "a trade")[0]
    rows = http.get_public_trade_history(**market, limit=60)["result"]["list"]
    same = next(row for row in rows if row["execId"] == told["i"])
    assert (same["price"], same["size"], same["side"]) == (told["p"], told["v"], told["S"])
    bid, ask = touch(http, market)
    assert bid < ask


def test_pages_through_instruments_with_the_cursor(http: HTTP) -> None:
    first = http.get_instruments_info(category="linear", limit=2)["result"]
    second = http.get_instruments_info(category="linear", limit=2, cursor=first["nextPageCursor"])
    names = [row["symbol"] for row in first["list"] + second["result"]["list"]]
    assert names == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert second["result"]["nextPageCursor"] == ""


# Orders over REST --------------------------------------------------------------------------


def test_places_amends_and_cancels_by_client_id(http: HTTP) -> None:
    name, price = link(), far_below(http, LINEAR)
    placed = http.place_order(
        **LINEAR, side="Buy", orderType="Limit", qty="0.010", price=price, orderLinkId=name
    )
    amended = http.amend_order(**LINEAR, orderLinkId=name, qty="0.008")
    assert amended["result"] == placed["result"]
    row = http.get_open_orders(**LINEAR, orderLinkId=name)["result"]["list"][0]
    assert (row["orderStatus"], row["qty"], row["leavesQty"]) == ("New", "0.008", "0.008")
    assert http.cancel_order(**LINEAR, orderLinkId=name)["result"]["orderLinkId"] == name
    closed = http.get_order_history(**LINEAR, orderLinkId=name)["result"]["list"][0]
    assert (closed["orderStatus"], closed["cancelType"]) == ("Cancelled", "CancelByUser")
    assert code_of(lambda: http.cancel_order(**LINEAR, orderLinkId=name)) == 110001


def test_fills_a_market_order_into_executions_position_and_closed_profit(http: HTTP) -> None:
    name = link()
    http.place_order(**LINEAR, side="Buy", orderType="Market", qty="0.01", orderLinkId=name)
    fills = http.get_executions(category="linear", orderLinkId=name)["result"]["list"]
    assert sum(Decimal(row["execQty"]) for row in fills) == Decimal("0.01")
    paid = sum(Decimal(row["execFee"]) for row in fills)
    value = sum(Decimal(row["execValue"]) for row in fills)
    assert abs(paid - value * Decimal("0.00055")) < Decimal("0.0000001")
    position = http.get_positions(**LINEAR)["result"]["list"][0]
    assert (position["side"], position["size"]) == ("Buy", "0.01")
    leaving = link()
    http.place_order(
        **LINEAR, side="Sell", orderType="Market", qty="0.01", reduceOnly=True,
        orderLinkId=leaving,
    )
    assert http.get_positions(**LINEAR)["result"]["list"][0]["side"] == ""
    row = http.get_closed_pnl(category="linear", limit=1)["result"]["list"][0]
    gross = Decimal(row["cumExitValue"]) - Decimal(row["cumEntryValue"])
    fees = Decimal(row["openFee"]) + Decimal(row["closeFee"])
    assert Decimal(row["closedPnl"]) == gross - fees
    assert code_of(
        lambda: http.place_order(
            **LINEAR, side="Sell", orderType="Market", qty="0.01", reduceOnly=True
        )
    ) == 110017


def test_buys_and_sells_spot_with_fees_in_the_received_coin(http: HTTP) -> None:
    name = link()
    http.place_order(**SPOT, side="Buy", orderType="Market", qty="200", orderLinkId=name)
    order = http.get_order_history(**SPOT, orderLinkId=name)["result"]["list"][0]
    assert order["orderStatus"] in ("Filled", "PartiallyFilledCanceled")
    spent = Decimal(order["cumExecValue"])
    assert Decimal(190) < spent <= Decimal(200)
    fill = http.get_executions(category="spot", orderLinkId=name)["result"]["list"][0]
    assert fill["feeCurrency"] == "BTC"
    log = http.get_transaction_log(accountType="UNIFIED", limit=10)["result"]["list"]
    rows = [row for row in log if row["orderLinkId"] == name]
    assert sum(Decimal(row["change"]) for row in rows if row["currency"] == "USDT") == -spent
    for row in rows:
        parts = Decimal(row["cashFlow"]) + Decimal(row["funding"] or 0) - Decimal(row["fee"])
        assert Decimal(row["change"]) == parts


def test_trades_inverse_contracts_in_whole_dollars(http: HTTP) -> None:
    name = link()
    http.place_order(**INVERSE, side="Sell", orderType="Market", qty="600", orderLinkId=name)
    position = http.get_positions(**INVERSE)["result"]["list"][0]
    assert (position["side"], position["size"]) == ("Sell", "600")
    assert Decimal(position["positionValue"]) < Decimal(1)
    http.place_order(**INVERSE, side="Buy", orderType="Market", qty="600", reduceOnly=True)
    row = http.get_closed_pnl(category="inverse", limit=1)["result"]["list"][0]
    entry, leave = Decimal(row["cumEntryValue"]), Decimal(row["cumExitValue"])
    fees = Decimal(row["openFee"]) + Decimal(row["closeFee"])
    assert abs(Decimal(row["closedPnl"]) - (leave - entry - fees)) < Decimal("0.00000003")


def test_carries_out_a_batch_item_by_item(http: HTTP) -> None:
    good, bad, price = link(), link(), far_below(http, LINEAR)
    order = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01"}
    answer = http.place_batch_order(
        category="linear",
        request=[
            order | {"price": price, "orderLinkId": good},
            order | {"price": price + "5", "orderLinkId": bad},
        ],
    )
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0, 10001]
    assert [bool(row["orderId"]) for row in answer["result"]["list"]] == [True, False]
    cancelled = http.cancel_all_orders(category="linear", settleCoin="USDT")["result"]
    assert [row["orderLinkId"] for row in cancelled["list"]] == [good]


def test_maps_every_ordinary_refusal_to_the_venues_code(
    http: HTTP, venue: Any, poor: tuple[str, str]
) -> None:
    price, name = far_below(http, LINEAR), link()
    limit = {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": price}
    http.place_order(**LINEAR, **limit, orderLinkId=name)
    broke = client(venue, *poor)
    linear = {
        110072: lambda: http.place_order(**LINEAR, **limit, orderLinkId=name),
        110007: lambda: broke.place_order(**LINEAR, **limit | {"qty": "1"}),
        110094: lambda: http.place_order(**LINEAR, **limit | {"qty": "0.001", "price": "4000"}),
        110001: lambda: http.cancel_order(**LINEAR, orderLinkId="never-was"),
        10001: lambda: http.place_order(**LINEAR, **limit | {"qty": "0.0105"}),
    }
    for code, action in linear.items():
        assert code_of(action) == code
    http.cancel_order(**LINEAR, orderLinkId=name)
    at = far_below(http, SPOT)
    cheap = {"side": "Buy", "orderType": "Limit", "qty": "0.001", "price": at}
    spot = {
        170131: lambda: broke.place_order(**SPOT, **cheap),
        170134: lambda: http.place_order(**SPOT, **cheap | {"price": at + "5"}),
        170137: lambda: http.place_order(**SPOT, **cheap | {"qty": "0.0010005"}),
        170140: lambda: http.place_order(**SPOT, **cheap | {"qty": "0.00001"}),
        170193: lambda: http.place_order(**SPOT, **cheap | {"price": str(int(2 * Decimal(at)))}),
        170213: lambda: http.cancel_order(**SPOT, orderLinkId="never-was"),
        170121: lambda: http.place_order(**SPOT | {"symbol": "NOUSDT"}, **cheap),
    }
    for code, action in spot.items():
        assert code_of(action) == code


def test_refuses_wrong_keys_signatures_and_clocks(
    http: HTTP,
    venue: Any,
    owner: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key, secret = owner
    wallet = {"accountType": "UNIFIED"}
    assert code_of(lambda: client(venue, "nobody", secret).get_wallet_balance(**wallet)) == 10003
    assert code_of(lambda: client(venue, key, "wrong").get_wallet_balance(**wallet)) == 10004
    ahead = int(http.get_server_time()["time"]) + 3_000
    monkeypatch.setattr("pybit._helpers.generate_timestamp", lambda: ahead)
    late = HTTP(api_key=key, api_secret=secret, max_retries=1, retry_delay=0)
    late.endpoint = venue.rest
    with pytest.raises(FailedRequestError, match="retries exceeded"):
        late.get_wallet_balance(**wallet)
    assert f"req_timestamp[{ahead}]" in caplog.text
    assert "ErrCode: 10002" in caplog.text


def test_reads_the_account_and_sets_leverage(http: HTTP) -> None:
    wallet = http.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]
    coins = {row["coin"]: Decimal(row["walletBalance"]) for row in wallet["coin"]}
    assert coins["USDT"] > 0 and coins["BTC"] > 0
    assert Decimal(wallet["totalEquity"]) > coins["USDT"]
    fee = http.get_fee_rates(**LINEAR)["result"]["list"][0]
    assert (fee["takerFeeRate"], fee["makerFeeRate"]) == ("0.00055", "0.0002")
    eth = {"category": "linear", "symbol": "ETHUSDT"}
    http.set_leverage(**eth, buyLeverage="7", sellLeverage="7")
    assert http.get_positions(**eth)["result"]["list"][0]["leverage"] == "7"
    assert code_of(lambda: http.set_leverage(**eth, buyLeverage="7", sellLeverage="7")) == 110043
    assert http.get_account_info()["result"]["unifiedMarginStatus"] == 5
    assert http.get_api_key_information()["result"]["uta"] == 1


# Sockets -----------------------------------------------------------------------------------


class Heard:
    """Messages by topic, copied: pybit goes on changing what it handed out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: list[dict[str, Any]] = []

    def __call__(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._messages.append(copy.deepcopy(message))

    def of(self, topic: str) -> list[dict[str, Any]]:
        with self._lock:
            return [one for one in self._messages if one.get("topic") == topic]

    def rows(self, topic: str, **wanted: str) -> list[dict[str, Any]]:
        rows = [row for message in self.of(topic) for row in message["data"]]
        return [row for row in rows if wanted.items() <= row.items()]


@pytest.fixture
def sockets(
    venue: Any, owner: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    monkeypatch.setattr(
        unified_trading, "PUBLIC_WSS", f"{venue.ws}/v5/public/{{CHANNEL_TYPE}}"
    )
    monkeypatch.setattr(unified_trading, "PRIVATE_WSS", f"{venue.ws}/v5/private")
    monkeypatch.setattr(wire_trading, "TRADE_WSS", f"{venue.ws}/v5/trade")
    deadline = time.monotonic() + 20
    connected = unified_trading.WebSocket.is_connected

    def bounded(self: Any) -> bool:  # pybit waits for a lost connection without end
        assert time.monotonic() < deadline, "pybit lost its connection"
        return bool(connected(self))

    monkeypatch.setattr(_WebSocketManager, "is_connected", bounded)
    opened: list[Any] = []

    def open_one(channel: str) -> Any:
        keys = {"api_key": owner[0], "api_secret": owner[1]}
        if channel == "trade":
            made = unified_trading.WebSocketTrading(testnet=False, **keys)
        elif channel == "private":
            made = unified_trading.WebSocket("private", testnet=False, **keys)
        else:
            made = unified_trading.WebSocket(channel, testnet=False)
        opened.append(made)
        return made

    yield open_one
    for one in opened:
        one.exit()


@pytest.mark.parametrize("market", [LINEAR, SPOT, INVERSE], ids=["linear", "spot", "inverse"])
def test_streams_books_that_equal_the_rest_book(
    http: HTTP, sockets: Callable[..., Any], wait: Callable[..., Any], market: dict[str, str]
) -> None:
    heard, symbol = Heard(), market["symbol"]
    socket = sockets(market["category"])
    for depth in (1, 50, 200, 1000):
        socket.orderbook_stream(depth, symbol, heard)
    socket.ticker_stream(symbol, heard)
    socket.trade_stream(symbol, heard)
    socket.kline_stream(1, symbol, heard)
    whole = f"orderbook.1000.{symbol}"
    wait(lambda: len(heard.of(whole)) >= 3, "three books")

    def same() -> bool:
        rest = http.get_orderbook(**market, limit=1000)["result"]
        shown = [one["data"] for one in heard.of(whole) if one["data"]["u"] == rest["u"]]
        if not shown:
            return False
        assert sorted(map(tuple, shown[0]["b"])) == sorted(map(tuple, rest["b"]))
        assert sorted(map(tuple, shown[0]["a"])) == sorted(map(tuple, rest["a"]))
        return True

    wait(same, "a REST book with the id of a streamed one")
    updates = [one["data"]["u"] for one in heard.of(f"orderbook.50.{symbol}")]
    assert updates == list(range(updates[0], updates[0] + len(updates)))
    assert 5 < len(heard.of(f"orderbook.50.{symbol}")[-1]["data"]["b"]) <= 50
    assert len(heard.of(f"orderbook.1.{symbol}")[-1]["data"]["a"]) == 1
    wait(lambda: heard.of(f"tickers.{symbol}"), "a ticker")
    wait(lambda: heard.of(f"publicTrade.{symbol}"), "a trade")
    wait(lambda: heard.of(f"kline.1.{symbol}"), "a candle")


def test_sees_its_own_orders_fills_position_and_wallet(
    http: HTTP, sockets: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    heard, socket = Heard(), sockets("private")
    socket.order_stream(heard)
    socket.execution_stream(heard)
    socket.fast_execution_stream(heard)
    socket.position_stream(heard)
    socket.wallet_stream(heard)
    name, resting, price = link(), link(), far_below(http, LINEAR)
    wait(lambda: len(socket.subscriptions) == 5, "subscriptions")
    http.place_order(
        **LINEAR, side="Buy", orderType="Limit", qty="0.01", price=price, orderLinkId=resting
    )
    wait(lambda: heard.rows("order", orderLinkId=resting, orderStatus="New"), "the new order")
    http.cancel_order(**LINEAR, orderLinkId=resting)
    wait(lambda: heard.rows("order", orderLinkId=resting, orderStatus="Cancelled"), "its end")
    http.place_order(**LINEAR, side="Buy", orderType="Market", qty="0.01", orderLinkId=name)
    wait(lambda: heard.rows("order", orderLinkId=name, orderStatus="Filled"), "the filled order")
    slow = wait(lambda: heard.rows("execution", orderLinkId=name), "the execution")
    fast = wait(lambda: heard.rows("execution.fast", orderLinkId=name), "the fast execution")
    assert {row["execId"] for row in slow} == {row["execId"] for row in fast}
    wait(lambda: heard.rows("position", side="Buy", size="0.01"), "the position")
    coins = [row["coin"] for message in heard.of("wallet") for row in message["data"]]
    assert any(row["coin"] == "USDT" for part in coins for row in part)
    http.place_order(**LINEAR, side="Sell", orderType="Market", qty="0.01", reduceOnly=True)
    wait(lambda: heard.rows("position", side="", size="0"), "the flat position")


def test_enters_orders_by_socket_and_hears_the_engine_on_the_stream(
    http: HTTP, sockets: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    heard, socket, trading = Heard(), sockets("private"), sockets("trade")
    socket.order_stream(heard)
    answers: list[dict[str, Any]] = []
    refusals: list[dict[str, Any]] = []
    name, price, bad = link(), far_below(http, LINEAR), link()
    ask = touch(http, LINEAR)[1]
    order = {**LINEAR, "side": "Buy", "orderType": "Limit", "qty": "0.01"}
    trading.place_order(
        answers.append, refusals.append, **order, price=price, orderLinkId=name
    )
    wait(lambda: len(answers) == 1, "the placed order")
    trading.amend_order(
        answers.append, refusals.append, **LINEAR, orderLinkId=name, qty="0.02"
    )
    trading.place_order(
        answers.append,
        refusals.append,
        **order,
        price=str(ask + 200),
        timeInForce="PostOnly",
        orderLinkId=bad,
    )
    trading.cancel_order(answers.append, refusals.append, **LINEAR, orderLinkId=name)
    wait(lambda: len(answers) == 4, "four acknowledgements")
    assert refusals == []
    assert answers[0]["header"]["X-Bapi-Limit"] == "30"
    verdict = wait(lambda: heard.rows("order", orderLinkId=bad), "the engine's verdict")[0]
    assert verdict["orderStatus"] == "Cancelled"
    assert verdict["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"
    trading.cancel_order(answers.append, refusals.append, **LINEAR, orderLinkId=name)
    wait(lambda: refusals, "the late cancel's refusal")
    assert refusals[0]["retCode"] == 110001
    batch = [{k: v for k, v in order.items() if k != "category"} | {"price": "1.05"}]
    trading.place_batch_order(answers.append, refusals.append, category="linear", request=batch)
    wait(lambda: len(answers) == 5, "the batch answer")
    assert answers[4]["retExtInfo"]["list"][0]["code"] == 10001
