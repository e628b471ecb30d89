"""Scanning through ccxt: its structures on our grid, real clients against servers on loopback."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from oneprice.app.config import ConfigError
from oneprice.app.scan import (
    Quote,
    Reader,
    ReadOnly,
    Round,
    difference,
    differences,
    open_reader,
    scan,
)
from oneprice.app.twins import start_twins
from oneprice.cli.commands import app
from oneprice.model.instrument import Payoff
from oneprice.venues import ccxt as unified
from oneprice.venues.ccxt import DECIMAL_PLACES, SIGNIFICANT_DIGITS, TICK_SIZE, Refused

AT = 1_790_000_000_000_000_000
BTC = "BTC/USDT"


def market(**changes: object) -> dict[str, Any]:
    spot = {
        "id": "BTC_USDT",
        "symbol": BTC,
        "base": "BTC",
        "quote": "USDT",
        "settle": None,
        "type": "spot",
        "spot": True,
        "linear": None,
        "inverse": None,
        "option": False,
        "active": True,
        "contractSize": None,
        "expiry": None,
        "maker": 0.0016,
        "taker": 0.0026,
        "percentage": True,
        "precision": {"amount": 1e-05, "price": 0.1},
        "limits": {
            "amount": {"min": 0.0001, "max": None},
            "price": {"min": None, "max": None},
            "cost": {"min": 5.0, "max": None},
        },
    }
    return spot | changes


SWAP = {
    "type": "swap", "spot": False, "linear": True, "settle": "USDT", "contractSize": 0.0001,
    "precision": {"amount": 1.0, "price": 0.1},
}  # fmt: skip
ITEM = unified.instrument("gate", market(), TICK_SIZE)


# Structures on our grid --------------------------------------------------------------------


def test_a_market_becomes_an_instrument_with_exact_steps() -> None:
    assert (ITEM.id, ITEM.payoff) == ("gate:spot:BTC_USDT", Payoff.SPOT)
    assert (ITEM.tick, ITEM.lot) == (Decimal("0.1"), Decimal("0.00001"))
    assert (ITEM.lots_min, ITEM.lots_max, ITEM.notional_min) == (10, 0, 5)
    swap = unified.instrument("gate", market(**SWAP), TICK_SIZE)
    assert (swap.payoff, swap.base_per_lot()) == (Payoff.LINEAR, Decimal("0.0001"))
    places = market(precision={"amount": 3, "price": 2})
    counted = unified.instrument("x", places, DECIMAL_PLACES)
    assert (counted.tick, counted.lot) == (Decimal("0.01"), Decimal("0.001"))


@pytest.mark.parametrize(
    "change",
    [
        {"precision": {"amount": None, "price": 0.1}},
        {"precision": {"amount": 1e-05, "price": 0}},
        {"precision": {"amount": float("nan"), "price": 0.1}},
        {"precision": None},
        {"spot": False},
        {"linear": True},
        {"option": True},
        {"base": None},
        {"id": ""},
        {"limits": {"amount": {"min": "many"}}},
        {"expiry": 1.5},
        SWAP | {"contractSize": None},
        SWAP | {"settle": None},
        SWAP | {"contractSize": True},
    ],
    ids=str,
)
def test_a_market_that_names_no_grid_or_payoff_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"expected"):
        unified.instrument("gate", market(**change), TICK_SIZE)


def test_significant_digits_are_no_grid() -> None:
    with pytest.raises(Refused, match="significant digits"):
        unified.instrument("bitfinex", market(), SIGNIFICANT_DIGITS)


GRIDS = st.sampled_from(["0.1", "0.01", "0.05", "0.00001", "1E-8", "1", "25", "0.125"])


@given(GRIDS, st.integers(0, 10**7))
def test_every_step_survives_the_way_through_a_float(step: str, count: int) -> None:
    grid = Decimal(step)
    assert unified.steps(float(grid * count), grid, "price") == count
    assert unified.steps(str(grid * count), grid, "price") == count
    # What ccxt computes in floats is off by the last bits.
    assert unified.steps(float(grid) * count, grid, "price") == count


@given(GRIDS, st.integers(1, 10**7), st.integers(1, 999))
def test_nothing_between_two_steps_is_taken_for_one(step: str, count: int, part: int) -> None:
    grid = Decimal(step)
    between = grid * count + grid * part / 1000
    for value in (float(between), str(between), between):
        with pytest.raises(Refused, match="expected a multiple"):
            unified.steps(value, grid, "price")


def test_a_float_too_coarse_for_the_grid_is_refused_and_a_text_is_not() -> None:
    step, text = Decimal("1E-8"), "1234567890.12345678"
    assert unified.steps(text, step, "size") == 123456789012345678
    with pytest.raises(Refused):
        unified.steps(float(text), step, "size")


@pytest.mark.parametrize("value", [None, True, "", "1,5", "nan", float("inf"), [], 10**50, "1e99"])
def test_what_is_no_number_is_named(value: object) -> None:
    with pytest.raises(Refused, match="price: expected a number"):
        unified.decimal(value, "price")


def test_a_book_is_sorted_and_its_levels_are_whole() -> None:
    book = {
        "bids": [[100.1, 0.00001], [100.3, 2.0, 1621]],
        "asks": [["100.9", "0.5"], ["100.4", "1"], [100.5, 0]],
        "timestamp": 1_790_000_000_123,
    }
    levels = unified.levels(ITEM, book)
    assert levels.bids == ((1003, 200000), (1001, 1))
    assert levels.asks == ((1004, 100000), (1009, 50000))
    assert (levels.refused, levels.venue_ms) == (0, 1_790_000_000_123)


def test_levels_off_the_grid_are_left_out_and_counted() -> None:
    book = {
        "bids": [[100.35, 1], [100.3, 0.000001], [100.2, 1], [None, 1], [100.1], "x", [-1, 1]],
        "asks": [],
    }
    levels = unified.levels(ITEM, book)
    assert (levels.bids, levels.refused) == (((1002, 100000),), 6)


@pytest.mark.parametrize(
    "book",
    [
        {"bids": [[100.3, 1]], "asks": [[100.3, 1]]},
        {"bids": [[100.3, 1]], "asks": [[100.2, 1]]},
        {"bids": [[100.3, 1], ["100.3", 2]], "asks": []},
        {"bids": None, "asks": []},
        {"asks": []},
        {"bids": "x", "asks": []},
    ],
    ids=str,
)
def test_a_book_that_is_none_is_refused(book: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="expected"):
        unified.levels(ITEM, book)


def test_tickers_fees_and_funding_become_events() -> None:
    quoted = unified.touch(ITEM, {"bid": 100.1, "ask": 100.2, "timestamp": 5}, AT)
    assert quoted is not None
    assert (quoted.bid_ticks, quoted.ask_ticks, quoted.sized) == (1001, 1002, False)
    assert unified.touch(ITEM, {"bid": None, "ask": 100.2}, AT) is None
    fees = unified.fees(ITEM, market(), AT)
    assert fees is not None and (fees.maker, fees.taker) == (Decimal("0.0016"), Decimal("0.0026"))
    assert unified.fees(ITEM, market(taker=None), AT) is None
    assert unified.fees(ITEM, market(percentage=False), AT) is None
    said = {
        "fundingRate": 0.0001, "fundingTimestamp": 1_790_006_400_000, "nextFundingRate": -5e-05,
        "interval": "8h", "markPrice": 100.15, "indexPrice": None, "timestamp": None,
    }  # fmt: skip
    forecast, marked = unified.funding(ITEM, said, AT)
    assert forecast is not None and marked is not None
    assert (forecast.rate, forecast.next_rate) == (Decimal("0.0001"), Decimal("-0.00005"))
    assert (forecast.due, forecast.interval_ms) == (1_790_006_400 * 10**9, 28_800_000)
    assert (marked.mark, marked.index) == (Decimal("100.15"), None)
    assert unified.funding(ITEM, {"fundingRate": 0.0001}, AT) == (None, None)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(market())), JUNK, st.sampled_from(["bids", "asks", "timestamp"]))
def test_whatever_ccxt_says_is_read_or_refused(field: str, junk: Any, part: str) -> None:
    book = {"bids": [[100.1, 1]], "asks": [[100.2, 1]]} | {part: junk}
    for work in (
        lambda: unified.instrument("x", market(**{field: junk}), TICK_SIZE),
        lambda: unified.levels(ITEM, book),
        lambda: unified.funding(ITEM, {"fundingRate": junk, "fundingTimestamp": junk}, AT),
        lambda: unified.fees(ITEM, market(**{field: junk}), AT),
    ):
        try:
            work()
        except Refused:
            continue


# Differences -------------------------------------------------------------------------------


def quote(name: str, bid: str, ask: str, taker: str | None = "0.001", **changes: Any) -> Quote:
    return msgspec.structs.replace(
        Quote(
            venue=name,
            symbol=BTC,
            instrument=f"{name}:spot:BTCUSDT",
            base="BTC",
            quote="USDT",
            bid=Decimal(bid),
            bid_size=Decimal(1),
            ask=Decimal(ask),
            ask_size=Decimal(2),
            taker=None if taker is None else Decimal(taker),
            heard_ms=1000,
            venue_ms=0,
            refused_levels=0,
        ),
        **changes,
    )


def test_a_difference_counts_both_fees_on_what_is_paid_and_received() -> None:
    way = difference(quote("a", "99", "100"), quote("b", "101", "102", "0.002", heard_ms=1250))
    assert (way.gross_bps, way.fees_bps, way.net_bps) == (
        Decimal("100.00"), Decimal("30.20"), Decimal("69.80"),
    )  # fmt: skip
    assert (way.size, way.apart_ms) == (1, 250)


def test_each_pair_is_told_once_in_its_better_way_and_the_best_comes_first() -> None:
    quotes = [
        quote("a", "99", "100"),
        quote("b", "101", "102"),
        quote("c", "105", "106", None),
        quote("d", "200", "201", base="ETH"),
    ]
    ways = differences(quotes)
    assert [(way.buy[0], way.sell[0]) for way in ways] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert ways[1].net_bps is None, "an unknown fee never makes a difference worth something"


# Real clients ------------------------------------------------------------------------------

PAIR = {
    "altname": "XBTUSDT", "wsname": "XBT/USDT", "base": "XXBT", "quote": "USDT", "lot": "unit",
    "pair_decimals": 1, "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [],
    "leverage_sell": [], "fees": [[0, 0.26], [50000, 0.24]], "fees_maker": [[0, 0.16]],
    "ordermin": "0.0001", "costmin": "5", "status": "online",
}  # fmt: skip
CURRENCY_PAIR = {
    "id": "BTC_USDT", "base": "BTC", "quote": "USDT", "fee": "0.2", "min_base_amount": "0.0001",
    "min_quote_amount": "3", "amount_precision": 6, "precision": 1, "trade_status": "tradable",
    "sell_start": 0, "buy_start": 0, "type": "normal",
}  # fmt: skip


class Venue:
    """A local server with what two public interfaces answer, and every request it heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.broken = ""
        app = web.Application(middlewares=[self._hear])
        app.router.add_get("/0/public/AssetPairs", self._pairs)
        app.router.add_get("/0/public/Depth", self._depth)
        app.router.add_get("/api/v4/spot/currency_pairs", self._currency_pairs)
        app.router.add_get("/api/v4/margin/currency_pairs", self._nothing)
        app.router.add_get("/api/v4/spot/order_book", self._order_book)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    @web.middleware
    async def _hear(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.heard.append(f"{request.method} {request.path}")
        if self.broken and self.broken in request.path:
            return web.Response(status=502, text="<html>Bad Gateway</html>")
        return await handler(request)

    async def _pairs(self, request: web.Request) -> web.Response:
        return web.json_response({"error": [], "result": {"XBTUSDT": PAIR}})

    async def _depth(self, request: web.Request) -> web.Response:
        sides = {
            "bids": [["64010.1", "0.50000000", 1790000000], ["64009.9", "1.0", 1790000000]],
            "asks": [["64010.2", "0.25000000", 1790000000]],
        }
        return web.json_response({"error": [], "result": {"XBTUSDT": sides}})

    async def _currency_pairs(self, request: web.Request) -> web.Response:
        return web.json_response([CURRENCY_PAIR])

    async def _nothing(self, request: web.Request) -> web.Response:
        return web.json_response([])

    async def _order_book(self, request: web.Request) -> web.Response:
        assert request.query["currency_pair"] == "BTC_USDT"
        return web.json_response(
            {
                "id": 1,
                "current": 1790000000123,
                "update": 1790000000100,
                "asks": [["63900.1", "0.1"], ["63900.15", "7"]],
                "bids": [["63900", "0.3"]],
            }
        )


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    made = Venue()
    await made.server.start_server()
    yield made
    await made.server.close()


async def looked(*readers: Reader, symbols: tuple[str, ...] = (BTC,)) -> Round:
    try:
        async with asyncio.timeout(20):
            return await anext(aiter(scan(readers, symbols)))
    finally:
        for reader in readers:
            await reader.close()


async def test_two_venues_are_compared_with_their_fees(venue: Venue) -> None:
    seen = await looked(open_reader("kraken", venue.url), open_reader("gate", venue.url))
    assert seen.faults == ()
    kraken, gate = seen.quotes
    assert (kraken.bid, kraken.bid_size, kraken.taker) == (
        Decimal("64010.1"), Decimal("0.5"), Decimal("0.0026"),
    )  # fmt: skip
    # Half a tick is no price on this grid: the level is left out, and that is said.
    assert (gate.ask, gate.ask_size, gate.refused_levels) == (
        Decimal("63900.1"), Decimal("0.1"), 1,
    )  # fmt: skip
    (way,) = seen.differences
    assert (way.buy, way.sell) == ("gate:spot:BTC_USDT", "kraken:spot:XBTUSDT")
    assert way.size == Decimal("0.1")
    assert way.gross_bps == Decimal("17.21")  # (64010.1 - 63900.1) / 63900.1
    assert way.fees_bps == Decimal("46.04")
    assert way.net_bps == Decimal("-28.83")
    assert all(request.startswith("GET ") for request in venue.heard)
    assert not [path for path in venue.heard if "futures" in path or "options" in path]


async def test_a_venue_that_fails_is_named_and_spoils_nothing_else(venue: Venue) -> None:
    venue.broken = "/api/v4/spot/order_book"
    seen = await looked(
        open_reader("kraken", venue.url),
        open_reader("gate", venue.url),
        open_reader("coinbase", "http://127.0.0.1:9"),
        symbols=(BTC, "BTC/USDX"),
    )
    assert [found.venue for found in seen.quotes] == ["kraken"]
    found = {(fault.venue, fault.symbol, fault.kind) for fault in seen.faults}
    assert found == {
        ("kraken", "BTC/USDX", "unknown_symbol"),
        ("gate", "BTC/USDX", "unknown_symbol"),
        ("gate", BTC, "ExchangeNotAvailable"),
        ("coinbase", "", "ExchangeNotAvailable"),
    }
    assert all("html" not in fault.text or len(fault.text) <= 200 for fault in seen.faults)


async def test_a_quanto_contract_is_no_price_of_its_coin(venue: Venue) -> None:
    reader = open_reader("gate", venue.url)
    quanto = SWAP | {"linear": False, "quanto": True, "settle": "ETH"}
    reader._client.set_markets([market(symbol="BTC/USDT:ETH", **quanto)])
    try:
        (fault,) = await reader.load(["BTC/USDT:ETH"])
    finally:
        await reader.close()
    assert (fault.kind, "price of ETH" in fault.text) == ("refused", True)
    assert reader.symbols == ()


async def test_a_book_without_a_side_is_no_price(venue: Venue) -> None:
    reader = open_reader("gate", venue.url)
    CURRENCY_PAIR["precision"] = 0  # every ask is off this grid
    try:
        seen = await looked(reader)
    finally:
        CURRENCY_PAIR["precision"] = 1
    assert seen.quotes == ()
    (fault,) = seen.faults
    assert (fault.kind, "without any" in fault.text) == ("refused", True)


@pytest.mark.parametrize("name", ["kraken", "gate", "binance", "bybit", "okx", "hyperliquid"])
async def test_no_private_request_leaves_even_with_keys_slipped_in(
    name: str, venue: Venue
) -> None:
    import ccxt.async_support as library

    reader = open_reader(name, venue.url)
    assert not [word for word in dir(reader) if "order" in word or "withdraw" in word]
    client = reader._client
    client.enableRateLimit = False
    for api in ("private", ["private", "spot"]):
        with pytest.raises((ReadOnly, library.AuthenticationError)):
            await client.request("order", api, "POST", {})
    client.apiKey, client.secret, client.password = "k", "s", "p"
    for api in ("private", "public", ["private", "spot"]):
        with pytest.raises(ReadOnly):
            await client.request("order", api, "POST", {})
    await reader.close()
    assert venue.heard == []


@pytest.mark.parametrize("name", ["kraken", "gate"])
async def test_no_order_leaves_by_the_clients_own_way(name: str, venue: Venue) -> None:
    import ccxt.async_support as library

    reader = open_reader(name, venue.url)
    assert await reader.load([BTC]) == []
    client = reader._client
    client.enableRateLimit = False
    for wish in (
        lambda: client.create_order(BTC, "limit", "buy", 1, 1),
        lambda: client.cancel_order("1", BTC),
        client.fetch_balance,
    ):
        with pytest.raises((ReadOnly, library.AuthenticationError)):
            await wish()
        client.apiKey, client.secret = "k", "s"
        with pytest.raises(ReadOnly):
            await wish()
        client.apiKey = client.secret = ""
    await reader.close()
    assert not [request for request in venue.heard if not request.startswith("GET ")]


async def test_a_client_with_credentials_is_not_taken() -> None:
    import ccxt.async_support as library

    client = library.kraken({"apiKey": "hush", "secret": "hush"})
    with pytest.raises(ConfigError, match="no credentials") as refused:
        Reader("kraken", client)
    assert "hush" not in str(refused.value)
    await client.close()


def test_names_that_ccxt_does_not_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="did you mean 'kraken'"):
        open_reader("krakn")
    monkeypatch.setitem(sys.modules, "ccxt.async_support", None)
    with pytest.raises(ConfigError, match="pip install"):
        open_reader("kraken")


# Against twins, whose prices are of one market ---------------------------------------------


async def test_twins_are_scanned_by_the_clients_of_their_venues() -> None:
    twins = await start_twins(("binance", "bybit"), 0, "seed:7")
    try:
        binance, bybit = (ready.rest for ready in twins.ready)
        perpetual = "BTC/USDT:USDT"
        seen = await looked(
            open_reader("binance", binance),
            open_reader("bybit", bybit),
            symbols=(BTC, perpetual),
        )
        assert seen.faults == ()
        assert {(found.venue, found.symbol) for found in seen.quotes} == {
            (name, symbol) for name in ("binance", "bybit") for symbol in (BTC, perpetual)
        }
        assert all(found.refused_levels == 0 for found in seen.quotes)
        # Spot and perpetual of two venues: six pairs of the same base and quote.
        assert len(seen.differences) == 6
        assert all(abs(way.gross_bps) < 200 for way in seen.differences)
        rates = [found.funding_rate for found in seen.quotes if found.symbol == perpetual]
        assert all(rate is not None and abs(rate) < Decimal("0.02") for rate in rates)
    finally:
        await twins.close()


# The command -------------------------------------------------------------------------------


async def command(*words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "oneprice.cli.main", "scan", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_command_prints_one_document_per_look(venue: Venue) -> None:
    hosts = [f"--at=kraken={venue.url}", f"--at=gate={venue.url}"]
    status, out, err = await command(
        "--venues", "kraken,gate", "--symbols", BTC, "--rounds", "2", "--json", *hosts
    )
    assert (status, err) == (0, "")
    rounds = [json.loads(line) for line in out.splitlines()]
    assert [len(seen["quotes"]) for seen in rounds] == [2, 2]
    assert rounds[0]["differences"][0]["net_bps"] == "-28.83"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--symbols", " , "], "--symbols"),
        (["--symbols", BTC, "--at", "gate=http://127.0.0.1:1"], "--at"),
        (["--symbols", BTC, "--at", "kraken=127.0.0.1:1"], "--at"),
    ],
)
def test_the_command_names_what_it_cannot_use(words: list[str], named: str) -> None:
    result = CliRunner().invoke(app, ["scan", "--venues", "kraken", *words])
    assert isinstance(result.exception, ConfigError)
    assert named in str(result.exception)


def test_the_command_takes_no_keys_and_fails_where_no_price_was_found() -> None:
    asked = ["scan", "--venues", "kraken", "--symbols", BTC]
    assert CliRunner().invoke(app, [*asked, "--api-key", "k"]).exit_code == 2
    dead = CliRunner().invoke(app, [*asked, "--at", "kraken=http://127.0.0.1:9"])
    assert dead.exit_code == 1
    assert "kraken: ExchangeNotAvailable" in dead.output
