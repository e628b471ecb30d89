"""Stream names: what they mean, which product serves them, and on which route they push."""

import re
from enum import StrEnum

import msgspec

from oneprice.model.units import MILLI

INTERVALS_MS = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
    "3d": 259_200_000,
    "1w": 604_800_000,
    "1M": 2_592_000_000,
}


class Route(StrEnum):
    """Where a socket was opened; the value names the host or the path of the venue."""

    SPOT = "spot"
    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"
    UNROUTED = "fstream"
    COINM = "dstream"

    @property
    def product(self) -> str:
        match self:
            case Route.SPOT:
                return "spot"
            case Route.COINM:
                return "coinm"
            case _:
                return "usdm"


class Kind(StrEnum):
    DEPTH = "depth"
    LEVELS = "levels"  # partial book: a full replacement of the top N
    BOOK_TICKER = "bookTicker"
    TRADE = "trade"
    AGG_TRADE = "aggTrade"
    KLINE = "kline"
    MARK = "markPrice"
    TICKER = "ticker"
    MINI = "miniTicker"
    FORCE = "forceOrder"
    CONTRACT = "contractInfo"


class Topic(msgspec.Struct, frozen=True):
    """One parsed stream name; an empty symbol means every symbol of the product."""

    name: str
    kind: Kind
    symbol: str
    speed: int  # nanoseconds between pushes, 0: at once
    levels: int = 0
    interval: str = ""


_PUBLIC = (Kind.DEPTH, Kind.LEVELS, Kind.BOOK_TICKER, Kind.TRADE)
_DEPTH = re.compile(r"^depth(5|10|20)?(?:@(0|100|250|500|1000)ms)?$")
_KLINE = re.compile(r"^kline_(\w+)(?:@\+08:00)?$")


def parse_topic(name: str, product: str) -> Topic | None:
    """The topic of a stream name, None where this product has no such stream."""
    if name.startswith("!"):
        return _parse_all(name, product)
    symbol, _, rest = name.partition("@")
    if not symbol or symbol != symbol.lower() or not rest:
        return None
    topic = _parse_rest(name, symbol.upper(), rest, product)
    if topic is None or (product == "spot" and topic.kind in (Kind.MARK, Kind.FORCE)):
        return None
    return topic


def _parse_rest(name: str, symbol: str, rest: str, product: str) -> Topic | None:
    futures = product != "spot"
    if found := _DEPTH.match(rest):
        levels = int(found[1] or 0)
        speed_ms = int(found[2]) if found[2] else (250 if futures else 1_000)
        allowed = (0, 100, 250, 500) if futures else (0, 100, 1_000)
        if speed_ms not in allowed:
            return None
        kind = Kind.LEVELS if levels else Kind.DEPTH
        return Topic(name, kind, symbol, speed_ms * MILLI, levels=levels)
    if found := _KLINE.match(rest):
        if found[1] not in INTERVALS_MS or (futures and found[1] == "1s"):
            return None
        speed_ms = 250 if futures else (1_000 if found[1] == "1s" else 2_000)
        return Topic(name, Kind.KLINE, symbol, speed_ms * MILLI, interval=found[1])
    match rest:
        case "bookTicker":
            return Topic(name, Kind.BOOK_TICKER, symbol, 0)
        case "trade":
            return Topic(name, Kind.TRADE, symbol, 0)
        case "aggTrade":
            return Topic(name, Kind.AGG_TRADE, symbol, 100 * MILLI if futures else 0)
        case "forceOrder":
            return Topic(name, Kind.FORCE, symbol, 0)
        case "markPrice":
            return Topic(name, Kind.MARK, symbol, 3_000 * MILLI)
        case "markPrice@1s":
            return Topic(name, Kind.MARK, symbol, 1_000 * MILLI)
        case "ticker":
            return Topic(name, Kind.TICKER, symbol, (2_000 if futures else 1_000) * MILLI)
        case "miniTicker":
            return Topic(name, Kind.MINI, symbol, (2_000 if futures else 1_000) * MILLI)
    return None


def _parse_all(name: str, product: str) -> Topic | None:
    futures = product != "spot"
    match name:
        case "!bookTicker" if futures:
            return Topic(name, Kind.BOOK_TICKER, "", 5_000 * MILLI)
        case "!markPrice@arr" if futures:
            return Topic(name, Kind.MARK, "", 3_000 * MILLI)
        case "!markPrice@arr@1s" if futures:
            return Topic(name, Kind.MARK, "", 1_000 * MILLI)
        case "!forceOrder@arr" if futures:
            return Topic(name, Kind.FORCE, "", 0)
        case "!contractInfo" if futures:
            return Topic(name, Kind.CONTRACT, "", 0)
        case "!miniTicker@arr":
            return Topic(name, Kind.MINI, "", 1_000 * MILLI)
        case "!ticker@arr" if futures:
            return Topic(name, Kind.TICKER, "", 1_000 * MILLI)
    return None


def pushes(route: Route, kind: Kind) -> bool:
    """Whether a socket of this route ever receives this kind; wrong routes stay silent."""
    match route:
        case Route.SPOT | Route.COINM:
            return True
        case Route.PUBLIC | Route.UNROUTED:
            return kind in _PUBLIC
        case Route.MARKET:
            return kind not in _PUBLIC
        case _:
            return False
