"""Scanning venues without a dialect through ccxt: where the same thing has two prices, and fees.

Reads public data only. No credentials are taken, none can be set, and a request that a venue
files as private is refused before it leaves; pacing is ccxt's own.
"""

import asyncio
import importlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from oneprice.app.config import ConfigError, did_you_mean
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import BPS, MILLI, ROUNDED, InstrumentId, Nanos
from oneprice.venues import ccxt as unified

_SECRETS = (
    "apiKey", "secret", "uid", "accountId", "login", "password", "twofa", "privateKey",
    "walletAddress", "token",
)  # fmt: skip
_TEXT_MAX = 200
_BPS_STEP = Decimal("0.01")


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """The best of one book. Sizes are in coins of base, `taker` a fraction of the lowest tier."""

    venue: str
    symbol: str
    instrument: InstrumentId
    base: str
    quote: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    taker: Decimal | None  # None: not known
    heard_ms: int  # when the answer was here
    venue_ms: int  # the venue's own stamp, 0: none
    refused_levels: int  # off the grid
    funding_rate: Decimal | None = None
    funding_due_ms: int = 0


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Buying here and selling there at the touch, in basis points of what is paid.

    `apart_ms`: how far apart the two prices were heard; both may be gone by now.
    """

    base: str
    quote: str
    buy: InstrumentId
    sell: InstrumentId
    ask: Decimal
    bid: Decimal
    size: Decimal  # coins of base that both hold at the touch
    gross_bps: Decimal
    fees_bps: Decimal | None  # None: one of the fees is not known
    net_bps: Decimal | None
    apart_ms: int


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue did not answer, or answered with something that is no price."""

    venue: str
    symbol: str  # "": the venue as a whole
    kind: str
    text: str


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One look at everything; differences of one direction per pair, the best first."""

    at_ms: int
    quotes: tuple[Quote, ...]
    differences: tuple[Difference, ...]
    faults: tuple[Fault, ...]


class ReadOnly(RuntimeError):
    """A request that is not public: this client has nothing to ask in private."""


class Reader:
    """The public side of one ccxt client, and nothing else of it."""

    def __init__(self, name: str, client: Any) -> None:
        """`client` is a ccxt.async_support exchange; ConfigError where it has credentials."""
        given = [field for field in _SECRETS if getattr(client, field, None)]
        if given:
            raise ConfigError(f"venue {name}: a scan takes no credentials, found {given}")
        self.name = name
        self._client = client
        self._items: dict[str, Instrument] = {}
        self._seal()

    def __repr__(self) -> str:
        return f"Reader({self.name})"

    def _seal(self) -> None:
        """Every request of a client is signed by `sign(path, api, ...)`, private or not."""
        inner = self._client.sign

        def public_only(path: str, api: Any = "public", *rest: Any, **named: Any) -> Any:
            given = [field for field in _SECRETS if getattr(self._client, field, None)]
            if given or "private" in str(api).lower():
                raise ReadOnly(f"{self.name}: {path[:60]} is not public; a scan only reads")
            return inner(path, api, *rest, **named)

        self._client.sign = public_only

    async def load(self, symbols: Sequence[str]) -> list[Fault]:
        """Fetch the markets and read those that are wanted; a fault for each that is none."""
        self._narrow(symbols)
        markets: Mapping[str, Any] = await self._client.load_markets()
        faults: list[Fault] = []
        for symbol in symbols:
            market = markets.get(symbol)
            if market is None:
                near = did_you_mean(symbol, markets)
                faults.append(self._fault(symbol, "unknown_symbol", f"not listed{near}"))
                continue
            try:
                item = unified.instrument(self.name, market, self._client.precisionMode)
            except unified.Refused as error:
                faults.append(self._fault(symbol, "refused", str(error)))
                continue
            if item.payoff is Payoff.QUANTO:
                text = f"how much {item.base} it stands for hangs on the price of {item.settle}"
                faults.append(self._fault(symbol, "refused", text))
                continue
            if not item.tradable:
                faults.append(self._fault(symbol, "not_tradable", "the venue lists it as closed"))
                continue
            self._items[symbol] = item
        return faults

    def _narrow(self, symbols: Sequence[str]) -> None:
        """Ask for no kinds of market that nobody wants, where the client can be told so."""
        self._client.has["fetchCurrencies"] = False
        options = self._client.options.get("fetchMarkets")
        types = options.get("types") if isinstance(options, dict) else None
        if not isinstance(options, dict) or not isinstance(types, list):
            return
        kinds = {unified.kind_of(symbol) for symbol in symbols}
        kept = [
            name
            for name in types
            if name != "option" and ("spot" if name == "spot" else "contract") in kinds
        ]
        # The client's table is shared with nobody else, but its defaults are.
        self._client.options["fetchMarkets"] = {**options, "types": kept or types}

    @property
    def symbols(self) -> tuple[str, ...]:
        """Those that `load` found."""
        return tuple(self._items)

    async def look(self, symbol: str, depth: int) -> Quote:
        """The best of one book now; unified.Refused where there is none."""
        item = self._items[symbol]
        book = await self._client.fetch_order_book(symbol, depth)
        heard = Nanos(time.time_ns())
        levels = unified.levels(item, book)
        if not levels.bids or not levels.asks:
            raise unified.Refused("book: expected bids and asks, found a side without any")
        fees = unified.fees(item, self._client.markets[symbol], heard)
        rate, due_ms = await self._funding(symbol, item)
        (bid, bid_lots), (ask, ask_lots) = levels.bids[0], levels.asks[0]
        return Quote(
            venue=self.name,
            symbol=symbol,
            instrument=item.id,
            base=item.base,
            quote=item.quote,
            bid=item.price(bid),
            bid_size=item.base_size(bid, bid_lots),
            ask=item.price(ask),
            ask_size=item.base_size(ask, ask_lots),
            taker=fees.taker if fees is not None else None,
            heard_ms=heard // MILLI,
            venue_ms=levels.venue_ms,
            refused_levels=levels.refused,
            funding_rate=rate,
            funding_due_ms=due_ms,
        )

    async def _funding(self, symbol: str, item: Instrument) -> tuple[Decimal | None, int]:
        """The coming settlement of a perpetual, where the client can ask for it."""
        perpetual = item.is_derivative and not item.expiry
        if not perpetual or not self._client.has.get("fetchFundingRate"):
            return None, 0
        said = await self._client.fetch_funding_rate(symbol)
        forecast = unified.funding(item, said, Nanos(time.time_ns())).forecast
        return (forecast.rate, forecast.due // MILLI) if forecast is not None else (None, 0)

    def _fault(self, symbol: str, kind: str, text: str) -> Fault:
        return Fault(venue=self.name, symbol=symbol, kind=kind, text=text[:_TEXT_MAX])

    def fault_of(self, symbol: str, error: Exception) -> Fault:
        """What went wrong, by ccxt's own word for it."""
        kind = "refused" if isinstance(error, unified.Refused) else type(error).__name__
        return self._fault(symbol, kind, " ".join(str(error).split()))

    async def close(self) -> None:
        await self._client.close()


def open_reader(name: str, at: str = "", timeout_ms: int = 10_000) -> Reader:
    """A reader of one venue by ccxt's name; `at` is another scheme and host for all its paths.

    ConfigError for a name that ccxt does not have, or where ccxt is not installed.
    """
    try:
        library = importlib.import_module("ccxt.async_support")
    except ImportError:
        raise ConfigError('scan needs ccxt: pip install "oneprice[scan]"') from None
    if name not in library.exchanges:
        raise ConfigError(f"ccxt has no venue {name!r}{did_you_mean(name, library.exchanges)}")
    client = getattr(library, name)({"enableRateLimit": True, "timeout": timeout_ms})
    if at:
        client.urls["api"] = _moved(client.urls["api"], at, client.hostname or "")
    return Reader(name, client)


def _moved(urls: Any, at: str, hostname: str) -> Any:
    """The same urls on another host; their paths are kept."""
    if isinstance(urls, dict):
        return {name: _moved(inner, at, hostname) for name, inner in urls.items()}
    if not isinstance(urls, str):
        return urls
    base = urlsplit(at)
    try:
        usable = base.scheme in ("http", "https") and bool(base.hostname) and base.port != 0
    except ValueError:  # a port that is none
        usable = False
    if not usable:
        raise ConfigError(f"--at: expected VENUE=http://host:port, found {at!r}")
    parts = urlsplit(urls.replace("{hostname}", hostname))
    return urlunsplit((base.scheme, base.netloc, parts.path, parts.query, ""))


# Rounds ----------------------------------------------------------------------------------


async def scan(
    readers: Sequence[Reader], symbols: Sequence[str], rounds: int = 1, depth: int = 20
) -> AsyncIterator[Round]:
    """`rounds` looks at every symbol on every venue (0: for ever), as fast as ccxt paces them.

    Venues are asked side by side, a venue's symbols one after the other. What fails is a fault
    of its venue and spoils nothing else.
    """
    listing = await asyncio.gather(*(_loaded(reader, symbols) for reader in readers))
    standing = [fault for faults in listing for fault in faults]
    done = 0
    while not rounds or done < rounds:
        at_ms = time.time_ns() // MILLI
        looks = await asyncio.gather(*(_looked(reader, depth) for reader in readers))
        quotes = [quote for found, _ in looks for quote in found]
        faults = [fault for _, missing in looks for fault in missing]
        yield Round(
            at_ms=at_ms,
            quotes=tuple(quotes),
            differences=tuple(differences(quotes)),
            faults=(*standing, *faults),
        )
        done += 1
        if not any(reader.symbols for reader in readers):
            return  # nothing to look at will not get better


async def _loaded(reader: Reader, symbols: Sequence[str]) -> list[Fault]:
    try:
        return await reader.load(symbols)
    except Exception as error:  # whatever a venue or its client does concerns that venue alone
        return [reader.fault_of("", error)]


async def _looked(reader: Reader, depth: int) -> tuple[list[Quote], list[Fault]]:
    quotes: list[Quote] = []
    faults: list[Fault] = []
    for symbol in reader.symbols:
        try:
            quotes.append(await reader.look(symbol, depth))
        except Exception as error:  # as above
            faults.append(reader.fault_of(symbol, error))
    return quotes, faults


def differences(quotes: Sequence[Quote]) -> list[Difference]:
    """Each pair with the same base and quote, in its better direction; the best first."""
    out: list[Difference] = []
    for place, one in enumerate(quotes):
        for other in quotes[place + 1 :]:
            if (one.base, one.quote) == (other.base, other.quote):
                ways = difference(one, other), difference(other, one)
                out.append(max(ways, key=lambda way: way.gross_bps))
    return sorted(out, key=_merit, reverse=True)


def _merit(way: Difference) -> Decimal:
    """Without known fees a difference counts as if they ate it all."""
    return way.net_bps if way.net_bps is not None else min(way.gross_bps, Decimal(0))


def difference(buy: Quote, sell: Quote) -> Difference:
    """Buying one at its ask and selling the other at its bid."""
    gross = _bps(sell.bid - buy.ask, buy.ask)
    fees = None
    if buy.taker is not None and sell.taker is not None:
        fees = _bps(buy.ask * buy.taker + sell.bid * sell.taker, buy.ask)
    return Difference(
        base=buy.base,
        quote=buy.quote,
        buy=buy.instrument,
        sell=sell.instrument,
        ask=buy.ask,
        bid=sell.bid,
        size=min(buy.ask_size, sell.bid_size),
        gross_bps=gross,
        fees_bps=fees,
        net_bps=None if fees is None else gross - fees,
        apart_ms=abs(buy.heard_ms - sell.heard_ms),
    )


def _bps(part: Decimal, whole: Decimal) -> Decimal:
    return ROUNDED.divide(part, whole * BPS).quantize(_BPS_STEP)
