"""Every ordinary refusal as python-binance raises it: code and HTTP status, one per reason."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from binance_reasons import CASES, REASONS, filled_in, login

pytest.importorskip("binance.ws.streams", reason="python-binance is not installed")

from binance import AsyncClient
from binance.base_client import BaseClient
from binance.exceptions import BinanceAPIException

pytestmark = pytest.mark.stranger
VERBS = {
    ("spot", "place"): "create_order",
    ("spot", "cancel"): "cancel_order",
    ("spot", "query"): "get_order",
    ("usdm", "place"): "futures_create_order",
    ("usdm", "cancel"): "futures_cancel_order",
    ("usdm", "query"): "futures_get_order",
    ("usdm", "amend"): "futures_modify_order",
    ("usdm", "leverage"): "futures_change_leverage",
    ("usdm", "mode"): "futures_change_position_mode",
    ("coinm", "place"): "futures_coin_create_order",
    ("coinm", "cancel"): "futures_coin_cancel_order",
    ("coinm", "query"): "futures_coin_get_order",
    ("coinm", "amend"): "futures_coin_v1_put_order",
    ("coinm", "leverage"): "futures_coin_change_leverage",
    ("coinm", "mode"): "futures_coin_change_position_mode",
}
Connect = Callable[..., Any]


@pytest.fixture
async def connect(venue: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connect]:
    opened: list[Any] = []

    async def open_one(key: str, secret: str, where: Any = venue) -> Any:
        monkeypatch.setattr(BaseClient, "API_URL", where.rest + "/api")
        monkeypatch.setattr(BaseClient, "FUTURES_URL", where.rest + "/fapi")
        monkeypatch.setattr(BaseClient, "FUTURES_COIN_URL", where.rest + "/dapi")
        monkeypatch.setattr(BaseClient, "MARGIN_API_URL", where.rest + "/sapi")
        made = AsyncClient(key, secret)
        opened.append(made)
        return made

    yield open_one
    for one in opened:
        await one.close_connection()


async def refusal(what: Any) -> BinanceAPIException:
    with pytest.raises(BinanceAPIException) as caught:
        await asyncio.wait_for(what, 30)
    return caught.value


# This client sends conditional orders of USD-M to the algo service by itself.
MINE = [one for one in CASES if one != ("usdm", "conditional order")]


@pytest.mark.parametrize(("product", "name"), MINE)
async def test_a_refusal_keeps_its_code_and_status(
    venue: Any, connect: Connect, product: str, name: str
) -> None:
    reason = REASONS[product][name]
    client = await connect(*login(reason, "refused-pb", venue))
    call = getattr(client, VERBS[product, reason.verb])
    refused = await refusal(call(**filled_in(reason, product, venue)))
    assert (refused.code, refused.status_code) == (reason.code, reason.status)
    assert reason.text in refused.message


@pytest.mark.parametrize(
    ("product", "code", "text"),
    [("spot", -2010, "Duplicate"), ("usdm", -4116, "duplicated"), ("coinm", -4116, "duplicated")],
)
async def test_a_client_id_of_an_open_order_cannot_be_used_again(
    venue: Any, connect: Connect, product: str, code: int, text: str
) -> None:
    reason = next(one for one in REASONS[product].values() if one.verb == "place")
    usual = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    symbol = reason.params["symbol"]
    order = {
        **usual,
        "symbol": symbol,
        "quantity": "5" if product == "coinm" else "0.01",
        "price": venue.price(product, "0.97"),
        "newClientOrderId": f"pb-twice-{product}",
    }
    client = await connect(*login(reason, "refused-pb", venue))
    place = getattr(client, VERBS[product, "place"])
    await place(**order)
    refused = await refusal(place(**order))
    assert refused.code == code
    assert text in refused.message
    cancel = getattr(client, VERBS[product, "cancel"])
    await cancel(symbol=symbol, origClientOrderId=order["newClientOrderId"])
    # unique among open orders only: a closed one's id is free again
    assert (await place(**order))["status"] == "NEW"
    await cancel(symbol=symbol, origClientOrderId=order["newClientOrderId"])


@pytest.mark.parametrize("product", ["spot", "usdm", "coinm"])
@pytest.mark.parametrize(("offset_ms", "text"), [(-20_000, "outside of"), (4_000, "ahead of")])
async def test_a_stamp_outside_the_window_is_refused(
    venue: Any, connect: Connect, product: str, offset_ms: int, text: str
) -> None:
    account = venue.customers["refused-pb"]
    client = await connect(account.key, account.secret)
    client.timestamp_offset = offset_ms
    call = {
        "spot": client.get_account,
        "usdm": client.futures_account,
        "coinm": client.futures_coin_account,
    }
    refused = await refusal(call[product]())
    assert refused.code == -1021
    assert text in refused.message


@pytest.mark.parametrize("product", ["spot", "usdm", "coinm"])
async def test_used_up_weight_and_orders_are_told_with_429_and_a_ban_with_418(
    lone_venue: Any, connect: Connect, product: str
) -> None:
    account = lone_venue.customers["owner"]
    client = await connect(account.key, account.secret, lone_venue)
    order = {
        "symbol": "BTCUSD_PERP" if product == "coinm" else "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "5" if product == "coinm" else "0.01",
        "price": lone_venue.price(product, "0.97"),
    }
    place = getattr(client, VERBS[product, "place"])
    for _ in range(3):  # the calendar's window may end between the two
        lone_venue.use_up(product, orders=2_000, key=account.key)
        try:
            await place(**order)
        except BinanceAPIException as caught:
            refused = caught
            break
    assert (refused.code, refused.status_code) == (-1015, 429)
    assert int(refused.response.headers["Retry-After"]) >= 1
    ping = {"spot": client.ping, "usdm": client.futures_ping, "coinm": client.futures_coin_ping}
    for _ in range(3):
        lone_venue.use_up(product, weight=10_000)
        try:
            await ping[product]()
        except BinanceAPIException as caught:
            refused = caught
            break
    assert (refused.code, refused.status_code) == (-1003, 429)
    until = lone_venue.running.twin.clock() + 120_000_000_000
    lone_venue.do(lambda: lone_venue.surface.limits[product].ban("127.0.0.1", until))
    refused = await refusal(ping[product]())
    assert (refused.code, refused.status_code) == (-1003, 418)
    assert "IP banned until" in refused.message
