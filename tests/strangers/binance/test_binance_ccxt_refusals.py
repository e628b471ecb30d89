"""Every ordinary refusal as ccxt raises it: its exception and the venue's code, one per reason."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from binance_reasons import CASES, REASONS, filled_in, login

ccxt = pytest.importorskip("ccxt")

pytestmark = [pytest.mark.stranger, pytest.mark.asyncio(loop_scope="module")]
KINDS = {"spot": "binance", "usdm": "binanceusdm", "coinm": "binancecoinm"}
UNIFIED = {"spot": "BTC/USDT", "usdm": "BTC/USDT:USDT", "coinm": "BTC/USD:BTC"}
VERBS = {
    ("spot", "place"): "private_post_order",
    ("spot", "cancel"): "private_delete_order",
    ("spot", "query"): "private_get_order",
    **{
        (product, verb): f"{root}_{name}"
        for product, root in (("usdm", "fapiprivate"), ("coinm", "dapiprivate"))
        for verb, name in {
            "place": "post_order",
            "cancel": "delete_order",
            "query": "get_order",
            "amend": "put_order",
            "leverage": "post_leverage",
            "mode": "post_positionside_dual",
        }.items()
    },
}
EXCEPTIONS: dict[int, type[Exception]] = {
    -1013: ccxt.BadRequest,
    -1022: ccxt.AuthenticationError,
    -1100: ccxt.BadRequest,
    -1102: ccxt.BadRequest,
    -1111: ccxt.BadRequest,
    -1115: ccxt.BadRequest,
    -1116: ccxt.BadRequest,
    -1117: ccxt.BadRequest,
    -1121: ccxt.BadSymbol,
    -2011: ccxt.OrderNotFound,
    -2013: ccxt.OrderNotFound,
    -2015: ccxt.AuthenticationError,
    -2019: ccxt.InsufficientFunds,
    -2022: ccxt.InvalidOrder,
    -4003: ccxt.BadRequest,
    -4005: ccxt.BadRequest,
    -4014: ccxt.BadRequest,
    -4015: ccxt.BadRequest,
    -4016: ccxt.BadRequest,
    -4024: ccxt.BadRequest,
    -4028: ccxt.BadRequest,
    -4059: ccxt.OperationRejected,
    -4061: ccxt.OperationRejected,
    -4116: ccxt.InvalidOrder,
    -4120: ccxt.ExchangeError,
    -4164: ccxt.InvalidOrder,
    -5021: ccxt.OrderNotFillable,
    -5022: ccxt.OrderNotFillable,
}
# Spot says many things with one code; ccxt looks into the text.
BY_TEXT: dict[str, type[Exception]] = {
    "insufficient balance": ccxt.InsufficientFunds,
    "immediately match": ccxt.OrderImmediatelyFillable,
    "Duplicate": ccxt.InvalidOrder,
    "LOT_SIZE": ccxt.InvalidOrder,
    "PRICE_FILTER": ccxt.InvalidOrder,
    "PERCENT_PRICE": ccxt.InvalidOrder,
}
Connect = Callable[..., Any]


# Where ccxt knows the text it drops the code.
BARE = ("insufficient balance", "immediately match", "PERCENT_PRICE")
# ccxt's table of COIN-M has no class of its own for these.
PLAIN_ON_COINM = (-4116, -5021, -5022)


def expected(product: str, code: int, text: str) -> type[Exception]:
    if product == "coinm" and code in PLAIN_ON_COINM:
        return ccxt.ExchangeError
    return next((kind for part, kind in BY_TEXT.items() if part in text), EXCEPTIONS.get(code))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connect(venue: Any, ccxt_client: Connect) -> AsyncIterator[Connect]:
    """One client per customer for all tests here: closing one takes it a quarter of a second."""
    opened: dict[tuple[str, ...], Any] = {}

    def open_one(product: str, *keys: str, where: Any = venue) -> Any:
        name = (product, *keys, where.rest)
        if name not in opened:
            opened[name] = ccxt_client(KINDS[product], *keys, where=where)
        return opened[name]

    yield open_one
    await asyncio.gather(*(one.close() for one in opened.values()))


async def raised(what: Any) -> Exception:
    with pytest.raises(ccxt.BaseError) as caught:
        await asyncio.wait_for(what, 30)
    return caught.value


@pytest.mark.parametrize(("product", "name"), CASES)
async def test_a_refusal_becomes_its_exception(
    venue: Any, connect: Connect, product: str, name: str
) -> None:
    reason = REASONS[product][name]
    client = connect(product, *login(reason, "refused-ccxt", venue))
    call = getattr(client, VERBS[product, reason.verb])
    error = await raised(call(filled_in(reason, product, venue)))
    assert type(error) is expected(product, reason.code, reason.text)
    bare = any(part in reason.text for part in BARE)
    assert (f'"code":{reason.code},' in str(error)) is not bare
    assert reason.text in str(error)


@pytest.mark.parametrize(
    ("product", "code"), [("spot", -2010), ("usdm", -4116), ("coinm", -4116)]
)
async def test_a_client_id_of_an_open_order_cannot_be_used_again(
    venue: Any, connect: Connect, product: str, code: int
) -> None:
    account = venue.customers["refused-ccxt"]
    client = connect(product, account.key, account.secret)
    await client.load_markets()
    symbol, name = UNIFIED[product], f"ccxt-twice-{product}"
    order = (symbol, "limit", "buy", 5 if product == "coinm" else 0.01)
    price = float(venue.price(product, "0.97"))
    placed = await client.create_order(*order, price, {"clientOrderId": name})
    error = await raised(client.create_order(*order, price, {"clientOrderId": name}))
    assert type(error) is expected(product, code, "Duplicate" if product == "spot" else "")
    assert f'"code":{code},' in str(error)
    assert (await client.cancel_order(placed["id"], symbol))["status"] == "canceled"


@pytest.mark.parametrize("product", KINDS)
@pytest.mark.parametrize(("offset_ms", "text"), [(-20_000, "outside of"), (4_000, "ahead of")])
async def test_a_stamp_outside_the_window_is_refused(
    venue: Any, connect: Connect, product: str, offset_ms: int, text: str
) -> None:
    account = venue.customers["refused-ccxt"]
    client = connect(product, account.key, account.secret)
    now, nonce = client.milliseconds(), client.nonce
    client.nonce = lambda: now + offset_ms
    try:
        error = await raised(client.fetch_balance())
    finally:
        client.nonce = nonce
    assert type(error) is ccxt.InvalidNonce
    assert '"code":-1021,' in str(error)
    assert text in str(error)


@pytest.mark.parametrize("product", KINDS)
async def test_used_up_limits_and_a_ban_have_exceptions_of_their_own(
    lone_venue: Any, connect: Connect, product: str
) -> None:
    account = lone_venue.customers["owner"]
    client = connect(product, account.key, account.secret, where=lone_venue)
    order = {
        "symbol": "BTCUSD_PERP" if product == "coinm" else "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "5" if product == "coinm" else "0.01",
        "price": lone_venue.price(product, "0.97"),
    }
    told: list[str] = []
    for _ in range(3):  # the calendar's window may end between the two
        lone_venue.use_up(product, orders=2_000, key=account.key)
        try:
            await getattr(client, VERBS[product, "place"])(order)
        except ccxt.DDoSProtection as caught:
            told.append(str(caught))
            break
    for _ in range(3):
        lone_venue.use_up(product, weight=10_000)
        try:
            await client.fetch_time()
        except ccxt.DDoSProtection as caught:
            told.append(str(caught))
            break
    assert ['"code":-1015,' in told[0], '"code":-1003,' in told[1]] == [True, True]
    assert all("429" in text for text in told)
    until = lone_venue.running.twin.clock() + 120_000_000_000
    lone_venue.do(lambda: lone_venue.surface.limits[product].ban("127.0.0.1", until))
    error = await raised(client.fetch_time())
    assert type(error) is ccxt.DDoSProtection
    assert "418" in str(error)
