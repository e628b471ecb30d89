"""Every ordinary refusal as ccxt raises it: its exception and the venue's code, one per reason."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

ccxt = pytest.importorskip("ccxt")

pytestmark = [pytest.mark.stranger, pytest.mark.asyncio(loop_scope="module")]
LINEAR, SPOT, INVERSE = "ETH/USDT:USDT", "ETH/USDT", "ETH/USD:ETH"
_numbers = iter(range(1, 10_000))


def link() -> str:
    return f"ccxt-refused-{next(_numbers)}"


async def soon(work: Awaitable[Any], seconds: float = 30) -> Any:
    return await asyncio.wait_for(work, seconds)


class Desk:
    """A ccxt client, and the prices that the cases are made of."""

    def __init__(self, client: Any, make: Callable[..., Any], keys: Callable[..., Any]) -> None:
        self.client = client
        self.keys = keys
        self._make = make
        self.others: dict[tuple[str, ...], Any] = {}

    def other(self, *login: str) -> Any:
        """A client of another customer, kept: closing one takes it a quarter of a second."""
        if login not in self.others:
            self.others[login] = self._make(login)
            self.others[login].set_markets(self.client.markets)
        return self.others[login]

    async def near(self, symbol: str, factor: float) -> float:
        ticker = await self.client.fetch_ticker(symbol)
        return float(self.client.price_to_precision(symbol, ticker["bid"] * factor))

    async def place(
        self, symbol: str, amount: float = 0.1, *, side: str = "buy", factor: float = 0.995,
        **params: Any,
    ) -> Any:
        price = await self.near(symbol, factor)
        return await self.client.create_order(symbol, "limit", side, amount, price, params)

    async def raw(self, category: str, **changes: Any) -> Any:
        """An order whose numbers ccxt does not round."""
        order = {"symbol": "ETHUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.1"}
        price = str(await self.near(LINEAR, 0.995))
        return await self.client.private_post_v5_order_create(
            {"category": category, **order, "price": price, **changes}
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(
    ccxt_client: Callable[..., Any], keys: Callable[[str], tuple[str, str]]
) -> AsyncIterator[Desk]:
    client = ccxt_client(keys("busy-ccxt"))
    await soon(client.load_markets(), 10)
    made = Desk(client, ccxt_client, keys)
    yield made
    await asyncio.gather(*(one.close() for one in (client, *made.others.values())))


async def twice(desk: Desk, symbol: str) -> None:
    name = link()
    await desk.place(symbol, clientOrderId=name)
    try:
        await desk.place(symbol, clientOrderId=name)
    finally:
        await desk.client.cancel_order("", symbol, {"orderLinkId": name})


async def beyond_the_band(desk: Desk, side: str, factor: float) -> None:
    switch = desk.client.private_post_v5_account_set_limit_px_action
    await switch({"category": "linear", "modifyEnable": False})
    try:
        await desk.place(LINEAR, side=side, factor=factor)
    finally:
        await switch({"category": "linear", "modifyEnable": True})


async def late(desk: Desk, shift_ms: int) -> None:
    other = desk.other(*desk.keys("busy-ccxt"))
    now = desk.client.milliseconds()
    milliseconds, other.milliseconds = other.milliseconds, lambda: now + shift_ms
    try:
        await other.fetch_balance()
    finally:
        other.milliseconds = milliseconds


Case = tuple[Callable[[Desk], Awaitable[Any]], type[Exception], str]
CASES: dict[str, Case] = {
    "linear insufficient margin": (
        lambda desk: desk.place(LINEAR, 5_000), ccxt.InsufficientFunds, "110007",
    ),
    "linear below the minimum value": (
        lambda desk: desk.raw("linear", qty="0.01", price="100"), ccxt.InvalidOrder, "110094",
    ),
    "linear above the maximum size": (
        lambda desk: desk.place(LINEAR, 10_001), ccxt.BadRequest, "10001",
    ),
    "linear price off the tick": (
        lambda desk: desk.raw("linear", price="3000.005"), ccxt.BadRequest, "10001",
    ),
    "linear size off the step": (
        lambda desk: desk.raw("linear", qty="0.105"), ccxt.BadRequest, "10001",
    ),
    "linear unknown symbol": (
        lambda desk: desk.raw("linear", symbol="NOUSDT"), ccxt.BadRequest, "10001",
    ),
    "linear duplicate client id": (
        lambda desk: twice(desk, LINEAR), ccxt.InvalidOrder, "110072",
    ),
    "linear reduce-only while flat": (
        lambda desk: desk.place(LINEAR, reduceOnly=True), ccxt.InvalidOrder, "110017",
    ),
    "linear buy above the band": (
        lambda desk: beyond_the_band(desk, "buy", 1.2), ccxt.ExchangeError, "30208",
    ),
    "linear sell below the band": (
        lambda desk: beyond_the_band(desk, "sell", 0.8), ccxt.ExchangeError, "30209",
    ),
    "linear hedge side in one-way mode": (
        lambda desk: desk.place(LINEAR, positionIdx=1), ccxt.BadRequest, "10001",
    ),
    "linear cancel of nothing": (
        lambda desk: desk.client.cancel_order("", LINEAR, {"orderLinkId": "never"}),
        ccxt.OrderNotFound,
        "110001",
    ),
    "linear edit of nothing": (
        lambda desk: desk.client.edit_order("never", LINEAR, "limit", "buy", 0.2, 100.0),
        ccxt.OrderNotFound,
        "110001",
    ),
    "linear leverage beyond the tier": (
        lambda desk: desk.client.set_leverage(500, LINEAR), ccxt.BadRequest, "110013",
    ),
    "linear mode that is set already": (
        lambda desk: desk.client.set_position_mode(False, LINEAR), ccxt.NoChange, "110025",
    ),
    "inverse insufficient margin": (
        lambda desk: desk.place(INVERSE, 9_000_000), ccxt.InsufficientFunds, "110007",
    ),
    "inverse reduce-only while flat": (
        lambda desk: desk.place(INVERSE, 100, reduceOnly=True), ccxt.InvalidOrder, "110017",
    ),
    "spot insufficient balance": (
        lambda desk: desk.place(SPOT, 500), ccxt.InsufficientFunds, "170131",
    ),
    "spot below the minimum value": (
        lambda desk: desk.place(SPOT, 0.001), ccxt.InvalidOrder, "170140",
    ),
    "spot price off the tick": (
        lambda desk: desk.raw("spot", price="2999.005"), ccxt.InvalidOrder, "170134",
    ),
    "spot size off the step": (
        lambda desk: desk.raw("spot", qty="0.1000005"), ccxt.InvalidOrder, "170137",
    ),
    "spot unknown symbol": (
        lambda desk: desk.raw("spot", symbol="NOUSDT"), ccxt.InvalidOrder, "170121",
    ),
    "spot duplicate client id": (lambda desk: twice(desk, SPOT), ccxt.InvalidOrder, "170141"),
    "spot buy above the band": (
        lambda desk: desk.place(SPOT, factor=1.3), ccxt.InvalidOrder, "170193",
    ),
    "spot sell below the band": (
        lambda desk: desk.place(SPOT, side="sell", factor=0.7), ccxt.InvalidOrder, "170194",
    ),
    "spot cancel of nothing": (
        lambda desk: desk.client.cancel_order("", SPOT, {"orderLinkId": "never"}),
        ccxt.OrderNotFound,
        "170213",
    ),
    "unknown key": (
        lambda desk: desk.other("nobody", "x").fetch_balance(),
        ccxt.AuthenticationError,
        "10003",
    ),
    "wrong signature": (
        lambda desk: desk.other("busy-ccxt", "x").fetch_balance(),
        ccxt.AuthenticationError,
        "10004",
    ),
    "key that may only read": (
        lambda desk: desk.other(*desk.keys("reader")).create_order(
            LINEAR, "limit", "buy", 0.1, 3_000.0
        ),
        ccxt.PermissionDenied,
        "10005",
    ),
    "stamp too old": (lambda desk: late(desk, -60_000), ccxt.InvalidNonce, "10002"),
    "stamp from the future": (lambda desk: late(desk, 5_000), ccxt.InvalidNonce, "10002"),
}


@pytest.mark.parametrize("reason", CASES)
async def test_a_refusal_becomes_its_exception(desk: Desk, reason: str) -> None:
    action, expected, code = CASES[reason]
    with pytest.raises(expected, match=f'"retCode":{code},') as caught:
        await soon(action(desk))
    assert type(caught.value) is expected


async def test_too_many_visits_become_the_rate_limit_exception(
    desk: Desk, used_up: Callable[[str, str], None]
) -> None:
    used_up("exact-ccxt", "/v5/account/fee-rate")
    other = desk.other(*desk.keys("exact-ccxt"))
    with pytest.raises(ccxt.RateLimitExceeded, match='"retCode":10006,'):
        await soon(other.private_get_v5_account_fee_rate({"category": "linear"}))


async def test_a_post_only_order_that_would_take_ends_cancelled(desk: Desk) -> None:
    for symbol in (LINEAR, SPOT):
        made = await soon(desk.place(symbol, factor=1.003, postOnly=True))
        ended = await soon(desk.client.fetch_order(made["id"], symbol, {"acknowledged": True}))
        assert (ended["status"], ended["filled"]) == ("canceled", 0)
        assert ended["info"]["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"


SOCKET: dict[str, Case] = {
    "insufficient margin": (
        lambda desk: ws_order(desk, LINEAR, 5_000), ccxt.InsufficientFunds, "110007",
    ),
    "spot balance": (lambda desk: ws_order(desk, SPOT, 500), ccxt.InsufficientFunds, "170131"),
    "spot minimum": (lambda desk: ws_order(desk, SPOT, 0.001), ccxt.InvalidOrder, "170140"),
    "reduce-only while flat": (
        lambda desk: ws_order(desk, LINEAR, 0.1, reduceOnly=True), ccxt.InvalidOrder, "110017",
    ),
    "wrong position side": (
        lambda desk: ws_order(desk, LINEAR, 0.1, positionIdx=2), ccxt.BadRequest, "10001",
    ),
    "cancel of nothing": (
        lambda desk: desk.client.cancel_order_ws("never", LINEAR), ccxt.OrderNotFound, "110001",
    ),
    "spot cancel of nothing": (
        lambda desk: desk.client.cancel_order_ws("never", SPOT), ccxt.OrderNotFound, "170213",
    ),
}


async def ws_order(desk: Desk, symbol: str, amount: float, **params: Any) -> Any:
    price = await desk.near(symbol, 0.995)
    return await desk.client.create_order_ws(symbol, "limit", "buy", amount, price, params)


@pytest.mark.parametrize("reason", SOCKET)
async def test_the_trade_socket_refuses_with_the_same_exceptions(desk: Desk, reason: str) -> None:
    action, expected, code = SOCKET[reason]
    with pytest.raises(expected, match=code) as caught:
        await soon(action(desk))
    assert type(caught.value) is expected
