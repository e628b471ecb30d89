"""The public frames and answers of Binance as structs; unknown keys are ignored, as told."""

import msgspec
from msgspec import Raw


class Envelope(msgspec.Struct):
    """Any frame of a stream socket: a wrapped payload, or the answer to a control message."""

    stream: str = ""
    data: Raw = Raw()
    id: int | str | None = None
    result: Raw = Raw()
    code: int | None = None
    msg: str = ""
    error: Raw = Raw()
    e: str = ""


class ErrorBody(msgspec.Struct):
    """What every refusal says; `data` is there with rate limits and replaced orders."""

    code: int = 0
    msg: str = ""
    data: Raw = Raw()


class Kind(msgspec.Struct):
    e: str = ""


class Ticker(msgspec.Struct):
    s: str
    u: int
    b: str
    B: str
    a: str
    A: str
    E: int = 0


class MarketTrade(msgspec.Struct):
    """`trade` and `aggTrade`: `t` or `a` is the id, `m` says that the buyer made."""

    s: str
    p: str
    q: str
    T: int
    m: bool
    t: int | None = None
    a: int | None = None
    X: str = "MARKET"


class MarkPrice(msgspec.Struct):
    s: str
    p: str
    E: int
    i: str = ""
    r: str = ""
    T: int = 0


class Bar(msgspec.Struct):
    t: int
    i: str
    o: str
    c: str
    h: str
    l: str  # noqa: E741 - the venue's name for the low
    v: str
    x: bool


class Kline(msgspec.Struct):
    s: str
    k: Bar


class Snapshot(msgspec.Struct):
    """GET depth; the sides stay raw for the kernel."""

    lastUpdateId: int
    bids: Raw
    asks: Raw


class ServerTime(msgspec.Struct):
    serverTime: int


class Named(msgspec.Struct):
    """As little of a symbol of exchangeInfo as tells whose it is."""

    symbol: str


class Filter(msgspec.Struct):
    filterType: str
    minPrice: str = "0"
    maxPrice: str = "0"
    tickSize: str = "0"
    minQty: str = "0"
    maxQty: str = "0"
    stepSize: str = "0"
    minNotional: str = "0"
    notional: str = "0"


class Listed(msgspec.Struct):
    """One symbol of exchangeInfo, of any product."""

    symbol: str
    baseAsset: str
    quoteAsset: str
    filters: list[Filter]
    status: str = ""
    contractStatus: str = ""
    marginAsset: str = ""
    contractType: str = ""
    contractSize: int = 1
    deliveryDate: int = 0
    isSpotTradingAllowed: bool = True


class ExchangeInfo(msgspec.Struct):
    symbols: list[Raw]
    rateLimits: list[Raw] = []


class SettledFunding(msgspec.Struct):
    fundingRate: str
    fundingTime: int
    markPrice: str = ""


class FundingInterval(msgspec.Struct):
    symbol: str
    fundingIntervalHours: int = 8
