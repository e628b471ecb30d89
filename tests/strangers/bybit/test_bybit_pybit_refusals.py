"""Every ordinary refusal as the venue's own SDK raises it: class and code, one test per reason."""

import logging
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("pybit")

import pybit._websocket_trading as wire_trading
from pybit import unified_trading
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

pytestmark = pytest.mark.stranger
LINEAR = {"category": "linear", "symbol": "ETHUSDT"}
SPOT = {"category": "spot", "symbol": "ETHUSDT"}
INVERSE = {"category": "inverse", "symbol": "ETHUSD"}
WALLET = {"accountType": "UNIFIED"}
_numbers = iter(range(1, 10_000))


class Desk:
    """A customer with the SDK, and the prices that the cases are made of."""

    def __init__(self, venue: Any, keys: Callable[[str], tuple[str, str]]) -> None:
        self.venue = venue
        self.keys = keys
        self.http = self.login(*keys("busy-pybit"))

    def login(self, key: str, secret: str, **settings: Any) -> HTTP:
        made = HTTP(api_key=key, api_secret=secret, **{"max_retries": 1, **settings})
        made.endpoint = self.venue.rest
        return made

    def price(self, market: dict[str, str], factor: str) -> str:
        """The best bid times a factor, on the grid."""
        row = self.http.get_tickers(**market)["result"]["list"][0]
        return str((Decimal(row["bid1Price"]) * Decimal(factor)).quantize(Decimal("0.01")))

    def order(self, market: dict[str, str], **changes: Any) -> dict[str, Any]:
        """A modest order that rests, with changes."""
        usual = {
            "side": "Buy",
            "orderType": "Limit",
            "qty": "100" if market is INVERSE else "0.1",
            "price": changes.get("price") or self.price(market, "0.995"),
        }
        return {**market, **usual, **changes}

    def place(self, market: dict[str, str], **changes: Any) -> Any:
        return self.http.place_order(**self.order(market, **changes))


@pytest.fixture
def desk(venue: Any, keys: Callable[[str], tuple[str, str]]) -> Desk:
    return Desk(venue, keys)


def link() -> str:
    return f"refused-{next(_numbers)}"


def twice(desk: Desk, market: dict[str, str]) -> None:
    name = link()
    desk.place(market, orderLinkId=name)
    try:
        desk.place(market, orderLinkId=name)
    finally:
        desk.http.cancel_order(**market, orderLinkId=name)


def beyond_the_band(desk: Desk, side: str, factor: str) -> None:
    """Derivative prices are moved into the band unless the account asked for refusals."""
    desk.http.set_limit_price_action(category="linear", modifyEnable=False)
    try:
        desk.place(LINEAR, side=side, price=desk.price(LINEAR, factor))
    finally:
        desk.http.set_limit_price_action(category="linear", modifyEnable=True)


# reason: (what is done, the code, a part of the text)
Case = tuple[Callable[[Desk], Any], int, str]
CASES: dict[str, Case] = {
    "linear insufficient margin": (
        lambda desk: desk.place(LINEAR, qty="5000"), 110007, "ab not enough",
    ),
    "linear unaffordable price": (
        lambda desk: desk.place(LINEAR, side="Sell", qty="9000", price=desk.price(LINEAR, "1.01")),
        110007,
        "ab not enough",
    ),
    "linear below the minimum value": (
        lambda desk: desk.place(LINEAR, qty="0.01", price="100"), 110094, "minimum order value",
    ),
    "linear above the maximum size": (
        lambda desk: desk.place(LINEAR, qty="10001"), 10001, "exceeds maximum limit",
    ),
    "linear nothing": (lambda desk: desk.place(LINEAR, qty="0"), 10001, "qty"),
    "linear price off the tick": (
        lambda desk: desk.place(LINEAR, price="3000.005"), 10001, "price",
    ),
    "linear size off the step": (lambda desk: desk.place(LINEAR, qty="0.105"), 10001, "qty"),
    "linear unknown symbol": (
        lambda desk: desk.place(LINEAR, symbol="NOUSDT"), 10001, "symbol invalid",
    ),
    "linear unknown category": (
        lambda desk: desk.place(LINEAR, category="futures"), 10001, "Category is invalid",
    ),
    "linear duplicate client id": (lambda desk: twice(desk, LINEAR), 110072, "duplicate"),
    "linear client id with a space": (
        lambda desk: desk.place(LINEAR, orderLinkId="not one"), 10001, "orderLinkId",
    ),
    "linear client id too long": (
        lambda desk: desk.place(LINEAR, orderLinkId="x" * 37), 10001, "orderLinkId",
    ),
    "linear reduce-only while flat": (
        lambda desk: desk.place(LINEAR, reduceOnly=True), 110017, "reduce-only",
    ),
    "linear buy above the band": (
        lambda desk: beyond_the_band(desk, "Buy", "1.2"), 30208, "maximum buying price",
    ),
    "linear sell below the band": (
        lambda desk: beyond_the_band(desk, "Sell", "0.8"), 30209, "minimum selling price",
    ),
    "linear hedge side in one-way mode": (
        lambda desk: desk.place(LINEAR, positionIdx=1), 10001, "position idx not match",
    ),
    "linear cancel of nothing": (
        lambda desk: desk.http.cancel_order(**LINEAR, orderLinkId="never-was"),
        110001,
        "not exists",
    ),
    "linear amend of nothing": (
        lambda desk: desk.http.amend_order(**LINEAR, orderLinkId="never-was", qty="0.2"),
        110001,
        "not exists",
    ),
    "linear cancel without a name": (
        lambda desk: desk.http.cancel_order(**LINEAR), 10001, "orderLinkId",
    ),
    "linear leverage beyond the tier": (
        lambda desk: desk.http.set_leverage(**LINEAR, buyLeverage="500", sellLeverage="500"),
        110013,
        "leverage",
    ),
    "linear mode that is set already": (
        lambda desk: desk.http.switch_position_mode(**LINEAR, mode=0), 110025, "not modified",
    ),
    "inverse insufficient margin": (
        lambda desk: desk.place(INVERSE, qty="9000000"), 110007, "ab not enough",
    ),
    "inverse fraction of a contract": (
        lambda desk: desk.place(INVERSE, qty="1.5"), 10001, "qty",
    ),
    "inverse reduce-only while flat": (
        lambda desk: desk.place(INVERSE, reduceOnly=True), 110017, "reduce-only",
    ),
    "spot insufficient balance": (
        lambda desk: desk.place(SPOT, qty="500"), 170131, "Insufficient balance",
    ),
    "spot sale of more than is held": (
        lambda desk: desk.place(SPOT, side="Sell", qty="60", price=desk.price(SPOT, "1.004")),
        170131,
        "Insufficient balance",
    ),
    "spot below the minimum value": (
        lambda desk: desk.place(SPOT, qty="0.001"), 170140, "lower limit",
    ),
    "spot price off the tick": (
        lambda desk: desk.place(SPOT, price="2999.005"), 170134, "too many decimals",
    ),
    "spot size off the step": (
        lambda desk: desk.place(SPOT, qty="0.1000005"), 170137, "too many decimals",
    ),
    "spot unknown symbol": (lambda desk: desk.place(SPOT, symbol="NOUSDT"), 170121, "symbol"),
    "spot duplicate client id": (lambda desk: twice(desk, SPOT), 170141, "Duplicate"),
    "spot buy above the band": (
        lambda desk: desk.place(SPOT, price=desk.price(SPOT, "1.3")), 170193, "cannot be higher",
    ),
    "spot sell below the band": (
        lambda desk: desk.place(SPOT, side="Sell", price=desk.price(SPOT, "0.7")),
        170194,
        "cannot be lower",
    ),
    "spot market amount too fine": (
        lambda desk: desk.place(SPOT, orderType="Market", qty="50.00000005"), 170148, "decimal",
    ),
    "spot unknown time in force": (
        lambda desk: desk.place(SPOT, timeInForce="GTX"), 170115, "timeInForce",
    ),
    "spot unknown order type": (
        lambda desk: desk.place(SPOT, orderType="Stop"), 170116, "orderType",
    ),
    "spot unknown side": (lambda desk: desk.place(SPOT, side="Long"), 170117, "side"),
    "spot cancel of nothing": (
        lambda desk: desk.http.cancel_order(**SPOT, orderLinkId="never-was"), 170213, "not exist",
    ),
    "spot amend of nothing": (
        lambda desk: desk.http.amend_order(**SPOT, orderLinkId="never-was", qty="0.2"),
        170213,
        "not exist",
    ),
    "unknown key": (
        lambda desk: desk.login("nobody", "x").get_wallet_balance(**WALLET), 10003, "key",
    ),
    "wrong signature": (
        lambda desk: desk.login(desk.keys("busy-pybit")[0], "x").get_wallet_balance(**WALLET),
        10004,
        "sign",
    ),
    "key that may only read": (
        lambda desk: desk.login(*desk.keys("reader")).place_order(**desk.order(LINEAR)),
        10005,
        "permission",
    ),
}


@pytest.mark.parametrize("reason", CASES)
def test_a_refusal_keeps_its_code(desk: Desk, reason: str) -> None:
    action, code, text = CASES[reason]
    with pytest.raises(InvalidRequestError) as caught:
        action(desk)
    assert caught.value.status_code == code
    assert text in caught.value.message


def test_a_post_only_order_that_would_take_is_accepted_and_then_cancelled(desk: Desk) -> None:
    for market in (LINEAR, SPOT):
        name = link()
        order = desk.order(market, price=desk.price(market, "1.003"), timeInForce="PostOnly")
        desk.http.place_order(**order, orderLinkId=name)
        row = desk.http.get_order_history(**market, orderLinkId=name)["result"]["list"][0]
        assert (row["orderStatus"], row["rejectReason"]) == (
            "Cancelled",
            "EC_PostOnlyWillTakeLiquidity",
        )
        assert Decimal(row["cumExecQty"]) == 0


def test_a_derivative_price_beyond_the_band_is_moved_to_it(desk: Desk) -> None:
    name = link()
    order = desk.order(LINEAR, side="Sell", price=desk.price(LINEAR, "0.5"))
    limit = desk.http.get_price_limit(**LINEAR)["result"]
    desk.http.place_order(**order | {"timeInForce": "PostOnly"}, orderLinkId=name)
    row = desk.http.get_order_history(**LINEAR, orderLinkId=name)["result"]["list"][0]
    moved, lowest = Decimal(row["price"]), Decimal(limit["sellLmt"])
    assert abs(moved - lowest) < lowest / 200  # the band follows the mark price


def test_a_fill_or_kill_order_that_cannot_be_filled_is_cancelled_whole(desk: Desk) -> None:
    name = link()
    desk.place(LINEAR, timeInForce="FOK", orderLinkId=name)
    row = desk.http.get_order_history(**LINEAR, orderLinkId=name)["result"]["list"][0]
    assert (row["orderStatus"], Decimal(row["cumExecQty"])) == ("Cancelled", 0)
    assert row["rejectReason"] in ("EC_NoImmediateQtyToFill", "EC_CancelForNoFullFill")


def test_the_position_mode_cannot_be_switched_over_orders_or_positions(desk: Desk) -> None:
    name = link()
    desk.place(LINEAR, orderLinkId=name)
    with pytest.raises(InvalidRequestError) as caught:
        desk.http.switch_position_mode(**LINEAR, mode=3)
    assert caught.value.status_code == 110028
    desk.http.cancel_order(**LINEAR, orderLinkId=name)
    desk.http.place_order(**LINEAR, side="Buy", orderType="Market", qty="0.1")
    with pytest.raises(InvalidRequestError) as caught:
        desk.http.switch_position_mode(**LINEAR, mode=3)
    assert caught.value.status_code == 110024
    desk.http.place_order(**LINEAR, side="Sell", orderType="Market", qty="0.1", reduceOnly=True)


@pytest.mark.parametrize(("shift_ms", "waits"), [(-6_000, True), (1_500, False)])
def test_a_stamp_outside_the_window_is_refused_and_a_wider_window_helps_only_the_late(
    desk: Desk, shift_ms: int, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = desk.venue.call(desk.venue.twin.clock) // 1_000_000
    monkeypatch.setattr("pybit._helpers.generate_timestamp", lambda: now + shift_ms)
    strict = desk.login(*desk.keys("busy-pybit"), retry_codes={1})
    with pytest.raises(InvalidRequestError) as caught:
        strict.get_wallet_balance(**WALLET)
    assert caught.value.status_code == 10002
    assert f"req_timestamp[{now + shift_ms}]" in caught.value.message
    patient = desk.login(*desk.keys("busy-pybit"), max_retries=2, retry_delay=0)
    if waits:  # pybit adds 2.5 s to the window before it tries again
        assert patient.get_wallet_balance(**WALLET)["retCode"] == 0
    else:
        with pytest.raises(FailedRequestError, match="retries exceeded"):
            patient.get_wallet_balance(**WALLET)


def test_too_many_visits_name_the_moment_when_there_is_room_again(
    desk: Desk, used_up: Callable[[str, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    key, secret = desk.keys("exact-pybit")
    strict = desk.login(key, secret, retry_codes={1})
    used_up(key, "/v5/account/info")
    with pytest.raises(InvalidRequestError) as caught:
        strict.get_account_info()
    assert caught.value.status_code == 10006
    assert caught.value.resp_headers["X-Bapi-Limit-Status"] == "0"
    used_up(key, "/v5/account/info")
    with caplog.at_level(logging.ERROR):
        patient = desk.login(key, secret, max_retries=3)
        assert patient.get_account_info()["retCode"] == 0
    assert "API rate limit will reset at" in caplog.text


# The trade socket ----------------------------------------------------------------------------

SOCKET: dict[str, tuple[str, Callable[[Desk], dict[str, Any]], int]] = {
    "insufficient margin": ("place", lambda desk: desk.order(LINEAR, qty="5000"), 110007),
    "minimum value": ("place", lambda desk: desk.order(LINEAR, qty="0.01", price="100"), 110094),
    "price off the tick": ("place", lambda desk: desk.order(LINEAR, price="3000.005"), 10001),
    "size off the step": ("place", lambda desk: desk.order(LINEAR, qty="0.105"), 10001),
    "unknown symbol": ("place", lambda desk: desk.order(LINEAR, symbol="NOUSDT"), 10001),
    "reduce-only while flat": ("place", lambda desk: desk.order(LINEAR, reduceOnly=True), 110017),
    "wrong position side": ("place", lambda desk: desk.order(LINEAR, positionIdx=2), 10001),
    "spot balance": ("place", lambda desk: desk.order(SPOT, qty="500"), 170131),
    "spot minimum": ("place", lambda desk: desk.order(SPOT, qty="0.001"), 170140),
    "spot tick": ("place", lambda desk: desk.order(SPOT, price="2999.005"), 170134),
    "spot step": ("place", lambda desk: desk.order(SPOT, qty="0.1000005"), 170137),
    "spot band": ("place", lambda desk: desk.order(SPOT, price=desk.price(SPOT, "1.3")), 170193),
    "cancel of nothing": ("cancel", lambda desk: {**LINEAR, "orderLinkId": "never"}, 110001),
    "spot cancel of nothing": ("cancel", lambda desk: {**SPOT, "orderLinkId": "never"}, 170213),
    "amend of nothing": (
        "amend", lambda desk: {**LINEAR, "orderLinkId": "never", "qty": "0.2"}, 110001,
    ),
}


@pytest.fixture(scope="module")
def trading(venue: Any) -> Iterator[Any]:
    patch = pytest.MonkeyPatch()
    patch.setattr(wire_trading, "TRADE_WSS", f"{venue.ws}/v5/trade")
    made = unified_trading.WebSocketTrading(
        testnet=False, api_key="busy-pybit", api_secret="busy-pybit-secret"
    )
    yield made
    made.exit()
    patch.undo()


@pytest.mark.parametrize("reason", SOCKET)
def test_the_trade_socket_refuses_with_the_same_codes(
    desk: Desk, trading: Any, reason: str
) -> None:
    verb, order, code = SOCKET[reason]
    answered = threading.Event()
    refusals: list[dict[str, Any]] = []

    def refused(message: dict[str, Any]) -> None:
        refusals.append(message)
        answered.set()

    getattr(trading, f"{verb}_order")(lambda message: answered.set(), refused, **order(desk))
    assert answered.wait(5), "no answer"
    assert [one["retCode"] for one in refusals] == [code]
