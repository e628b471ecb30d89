"""The venue's own SDK counts money: balances, positions and log before and after, to the fee."""

import copy
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("pybit")

from pybit import unified_trading
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP

pytestmark = pytest.mark.stranger
LINEAR = {"category": "linear", "symbol": "BTCUSDT"}
SPOT = {"category": "spot", "symbol": "BTCUSDT"}
INVERSE = {"category": "inverse", "symbol": "BTCUSD"}
Money = dict[str, Decimal]
_numbers = iter(range(1, 10_000))


def link() -> str:
    return f"exact-{next(_numbers)}"


def login(venue: Any, key: str, secret: str) -> HTTP:
    made = HTTP(api_key=key, api_secret=secret, max_retries=2, retry_delay=1)
    made.endpoint = venue.rest
    return made


@pytest.fixture
def http(venue: Any, keys: Callable[[str], tuple[str, str]]) -> HTTP:
    return login(venue, *keys("exact-pybit"))


def money(http: HTTP) -> Money:
    """Every coin's wallet balance, without unrealised profit."""
    wallet = http.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]
    return {row["coin"]: Decimal(row["walletBalance"]) for row in wallet["coin"]}


def change(before: Money, after: Money) -> Money:
    moved = {coin: after.get(coin, Decimal(0)) - before.get(coin, Decimal(0)) for coin in after}
    return {coin: amount for coin, amount in moved.items() if amount}


def filled(http: HTTP, market: dict[str, str], side: str, qty: str, **more: Any) -> list[Any]:
    """Trades at market and gives the executions."""
    name = link()
    http.place_order(
        **market, side=side, orderType="Market", qty=qty, orderLinkId=name, **more
    )
    rows = http.get_executions(category=market["category"], orderLinkId=name)["result"]["list"]
    assert sum(Decimal(row["execQty"]) for row in rows) == Decimal(qty)
    return list(rows)


def total(rows: list[Any], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))


def log_of(http: HTTP, rows: list[Any]) -> list[Any]:
    orders = {row["orderId"] for row in rows}
    log = http.get_transaction_log(accountType="UNIFIED", limit=50)["result"]["list"]
    return [row for row in log if row["orderId"] in orders]


@pytest.mark.parametrize(
    ("market", "coin", "qty", "rate"),
    [(LINEAR, "USDT", "0.02", "0.00055"), (INVERSE, "BTC", "500", "0.00055")],
    ids=["linear", "inverse"],
)
def test_a_position_costs_its_fees_and_earns_its_closed_profit(
    http: HTTP, market: dict[str, str], coin: str, qty: str, rate: str
) -> None:
    before = money(http)
    assert http.get_positions(**market)["result"]["list"][0]["size"] == "0"
    opening = filled(http, market, "Buy", qty)
    fee = total(opening, "execFee")
    opened = money(http)
    assert change(before, opened) == {coin: -fee}
    value = total(opening, "execValue")
    assert {Decimal(row["feeRate"]) for row in opening} == {Decimal(rate)}
    assert abs(fee - value * Decimal(rate)) < Decimal("0.0000001")
    position = http.get_positions(**market)["result"]["list"][0]
    assert (position["side"], Decimal(position["size"])) == ("Buy", Decimal(qty))
    average = value / Decimal(qty) if market is LINEAR else Decimal(qty) / value
    assert abs(Decimal(position["avgPrice"]) - average) < Decimal("0.01")
    assert abs(Decimal(position["curRealisedPnl"]) + fee) < Decimal("0.00000001")
    closing = filled(http, market, "Sell", qty, reduceOnly=True)
    after = money(http)
    row = http.get_closed_pnl(**market, limit=1)["result"]["list"][0]
    assert row["orderId"] == closing[0]["orderId"]
    earned = change(before, after)[coin]
    assert abs(earned - Decimal(row["closedPnl"])) < Decimal("0.0000001")
    assert http.get_positions(**market)["result"]["list"][0]["size"] == "0"
    rows = log_of(http, opening + closing)
    assert total(rows, "change") == earned
    assert total(rows, "fee") == fee + total(closing, "execFee")
    newest = max(rows, key=lambda row: int(row["id"].rpartition("_")[2]))
    assert Decimal(newest["cashBalance"]) == after[coin]


def test_spot_moves_both_coins_and_takes_its_fee_from_the_received_one(http: HTTP) -> None:
    before = money(http)
    bought = filled(http, SPOT, "Buy", "0.01", marketUnit="baseCoin")
    held = money(http)
    assert {row["feeCurrency"] for row in bought} == {"BTC"}
    assert change(before, held) == {
        "BTC": Decimal("0.01") - total(bought, "execFee"),
        "USDT": -total(bought, "execValue"),
    }
    sold = filled(http, SPOT, "Sell", "0.01")
    assert {row["feeCurrency"] for row in sold} == {"USDT"}
    assert change(held, money(http)) == {
        "BTC": Decimal("-0.01"),
        "USDT": total(sold, "execValue") - total(sold, "execFee"),
    }
    assert total(sold, "execFee") == total(sold, "execValue") * Decimal("0.001")


def test_a_resting_spot_order_locks_what_it_would_cost_until_it_is_cancelled(http: HTTP) -> None:
    def locked() -> Decimal:
        coins = http.get_wallet_balance(accountType="UNIFIED", coin="USDT")
        return Decimal(coins["result"]["list"][0]["coin"][0]["locked"])

    bid = Decimal(http.get_tickers(**SPOT)["result"]["list"][0]["bid1Price"])
    price = (bid * Decimal("0.995")).quantize(Decimal("0.1"))
    before, name = money(http), link()
    assert locked() == 0
    http.place_order(
        **SPOT, side="Buy", orderType="Limit", qty="0.02", price=str(price), orderLinkId=name
    )
    assert locked() == price * Decimal("0.02")
    http.amend_order(**SPOT, orderLinkId=name, qty="0.01")
    assert locked() == price * Decimal("0.01")
    http.cancel_order(**SPOT, orderLinkId=name)
    assert (locked(), change(before, money(http))) == (0, {})


def test_batches_place_amend_and_cancel_item_by_item(http: HTTP) -> None:
    bid = Decimal(http.get_tickers(**LINEAR)["result"]["list"][0]["bid1Price"])
    price = str((bid * Decimal("0.99")).quantize(Decimal("0.1")))
    names = [link(), link(), link()]
    order = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "price": price}
    placed = http.place_batch_order(
        category="linear",
        request=[order | {"qty": "0.01", "orderLinkId": name} for name in names],
    )
    assert [row["code"] for row in placed["retExtInfo"]["list"]] == [0, 0, 0]
    assert [row["orderLinkId"] for row in placed["result"]["list"]] == names
    amended = http.amend_batch_order(
        category="linear",
        request=[
            {"symbol": "BTCUSDT", "orderLinkId": names[0], "qty": "0.02"},
            {"symbol": "BTCUSDT", "orderLinkId": "never-was", "qty": "0.02"},
        ],
    )
    assert [row["code"] for row in amended["retExtInfo"]["list"]] == [0, 110001]
    opened = http.get_open_orders(**LINEAR)["result"]["list"]
    assert {row["orderLinkId"]: row["qty"] for row in opened} == {
        names[0]: "0.02", names[1]: "0.01", names[2]: "0.01",
    }
    gone = http.cancel_batch_order(
        category="linear",
        request=[{"symbol": "BTCUSDT", "orderLinkId": name} for name in [*names[:2], "never"]],
    )
    assert [row["code"] for row in gone["retExtInfo"]["list"]] == [0, 0, 110001]
    left = http.cancel_all_orders(**LINEAR)["result"]["list"]
    assert [row["orderLinkId"] for row in left] == [names[2]]
    assert http.get_open_orders(**LINEAR)["result"]["list"] == []


def test_hedge_mode_holds_both_sides_and_refuses_what_fits_neither(
    venue: Any, keys: Callable[[str], tuple[str, str]]
) -> None:
    http = login(venue, *keys("hedged-pybit"))
    coin = {"category": "linear", "coin": "USDT"}
    http.switch_position_mode(**coin, mode=3)
    with pytest.raises(InvalidRequestError) as caught:
        http.switch_position_mode(**coin, mode=3)
    assert caught.value.status_code == 110025
    filled(http, LINEAR, "Buy", "0.02", positionIdx=1)
    filled(http, LINEAR, "Sell", "0.01", positionIdx=2)
    rows = http.get_positions(**LINEAR)["result"]["list"]
    assert [(row["positionIdx"], row["side"], row["size"]) for row in rows] == [
        (1, "Buy", "0.02"), (2, "Sell", "0.01"),
    ]
    with pytest.raises(InvalidRequestError) as caught:
        filled(http, LINEAR, "Buy", "0.01")  # one-way words in hedge mode
    assert caught.value.status_code == 10001
    with pytest.raises(InvalidRequestError) as caught:
        http.switch_position_mode(**coin, mode=0)
    assert caught.value.status_code == 110024
    filled(http, LINEAR, "Sell", "0.02", positionIdx=1, reduceOnly=True)
    filled(http, LINEAR, "Buy", "0.01", positionIdx=2, reduceOnly=True)
    http.switch_position_mode(**coin, mode=0)
    assert [row["positionIdx"] for row in http.get_positions(**LINEAR)["result"]["list"]] == [0]


@pytest.mark.parametrize("market", [LINEAR, SPOT, INVERSE], ids=["linear", "spot", "inverse"])
def test_fee_rates_are_told_per_symbol_and_for_all(http: HTTP, market: dict[str, str]) -> None:
    rates = ("0.001", "0.001") if market is SPOT else ("0.0002", "0.00055")
    for found in (
        http.get_fee_rates(**market)["result"]["list"],
        http.get_fee_rates(category=market["category"])["result"]["list"],
    ):
        named = {row["symbol"]: (row["makerFeeRate"], row["takerFeeRate"]) for row in found}
        assert named[market["symbol"]] == rates


class Heard:
    """Rows of the private streams by topic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, message: dict[str, Any]) -> None:
        with self._lock:
            rows = copy.deepcopy(message["data"])
            self._rows += [(message["topic"], row) for row in rows]

    def rows(self, topic: str, **wanted: str) -> list[dict[str, Any]]:
        with self._lock:
            return [
                row for name, row in self._rows if name == topic and wanted.items() <= row.items()
            ]


@pytest.fixture
def stream(
    venue: Any, keys: Callable[[str], tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Heard, Any]]:
    monkeypatch.setattr(unified_trading, "PRIVATE_WSS", f"{venue.ws}/v5/private")
    key, secret = keys("exact-pybit")
    heard = Heard()
    socket = unified_trading.WebSocket("private", testnet=False, api_key=key, api_secret=secret)
    socket.order_stream(heard)
    socket.execution_stream(heard)
    socket.position_stream(heard)
    socket.wallet_stream(heard)
    yield heard, socket
    socket.exit()


@pytest.mark.parametrize("market", [LINEAR, SPOT, INVERSE], ids=["linear", "spot", "inverse"])
def test_the_private_streams_say_what_rest_says(
    http: HTTP, stream: tuple[Heard, Any], wait: Callable[..., Any], market: dict[str, str]
) -> None:
    heard, socket = stream
    wait(lambda: len(socket.subscriptions) == 4, "subscriptions")
    first = link()  # proves that the subscriptions are in force
    limit = {"side": "Buy", "orderType": "Limit", "qty": "500" if market is INVERSE else "0.01"}
    bid = Decimal(http.get_tickers(**market)["result"]["list"][0]["bid1Price"])
    price = str((bid * Decimal("0.995")).quantize(Decimal("0.1")))
    http.place_order(**market, **limit, price=price, orderLinkId=first)
    wait(lambda: heard.rows("order", orderLinkId=first, orderStatus="New"), "the order")
    lower = str(Decimal(price) - 1)
    http.amend_order(**market, orderLinkId=first, price=lower)
    amended = wait(
        lambda: [
            row
            for row in heard.rows("order", orderLinkId=first)
            if Decimal(row["price"]) == Decimal(lower)
        ],
        "the amendment",
    )
    http.cancel_order(**market, orderLinkId=first)
    gone = wait(
        lambda: heard.rows("order", orderLinkId=first, orderStatus="Cancelled"), "its end"
    )
    assert gone[-1]["cancelType"] == "CancelByUser"
    assert gone[-1]["orderId"] == amended[-1]["orderId"]
    more = {"marketUnit": "baseCoin"} if market is SPOT else {}
    rows = filled(http, market, "Buy", limit["qty"], **more)
    order = rows[0]["orderId"]
    wait(lambda: heard.rows("order", orderId=order, orderStatus="Filled"), "the filled order")
    told = wait(
        lambda: len(found := heard.rows("execution", orderId=order)) == len(rows) and found,
        "every execution",
    )
    for column in ("execId", "execQty", "execPrice", "execFee", "feeRate", "isMaker"):
        assert {row[column] for row in told} == {row[column] for row in rows}, column
    coin = {"linear": "USDT", "inverse": "BTC", "spot": "BTC"}[market["category"]]
    balance = money(http)[coin]

    def pushed() -> bool:
        parts = [part for row in heard.rows("wallet") for part in row["coin"]]
        mine = [Decimal(part["walletBalance"]) for part in parts if part["coin"] == coin]
        return bool(mine) and mine[-1] == balance

    wait(pushed, "the wallet of REST")
    if market is SPOT:
        filled(http, market, "Sell", limit["qty"])
        return
    size = limit["qty"]
    wait(lambda: heard.rows("position", symbol=market["symbol"], size=size), "the position")
    filled(http, market, "Sell", size, reduceOnly=True)
    wait(
        lambda: heard.rows("position", symbol=market["symbol"])[-1]["size"] == "0", "flat again"
    )
