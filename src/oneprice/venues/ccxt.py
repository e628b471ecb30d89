"""Any other venue, read only: what ccxt says in its unified structures, on our grid.

Nothing here talks to a venue and nothing can place an order: dictionaries in, instruments and
levels out. Source: ccxt manual, "Market Structure", "Order Book Structure", "Ticker Structure",
"Funding Rate Structure", "Precision And Limits". ccxt gives numbers as binary floats mostly; one
is taken for the step of the grid that its shortest text says, or it is refused.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Literal, NamedTuple

import msgspec

from oneprice.model.events import FeesReported, FundingForecast, Marked, TouchQuoted
from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.units import EXACT, MILLI, ROUNDED, ZERO, Lots, Nanos, Ticks, plain

# ccxt.base.decimal_to_precision: how a market's "precision" is to be read.
DECIMAL_PLACES, SIGNIFICANT_DIGITS, TICK_SIZE = 2, 3, 4

# A float carries 53 bits; what ccxt computed may be off by a few of the last ones.
_FLOAT_NOISE = Decimal(2) ** -50
_FLOAT_STEPS = 10**15  # every number of 15 digits has a float of its own
_STEPS_MAX = 10**18  # what a book of ours can count
_DIGITS_MAX = 40
_EXPONENT_MAX = 24
_INTERVALS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}

Unified = Mapping[str, Any]
Number = int | float | str | Decimal


class Refused(ValueError):
    """Something ccxt said that is no instrument, level or rate: names field, found, expected."""


class Levels(msgspec.Struct, frozen=True):
    """A book at one moment, best first, and how many levels were off the grid and left out.

    Leaving a level out never makes a book look better than it is to somebody who takes from it.
    """

    bids: tuple[tuple[Ticks, Lots], ...]
    asks: tuple[tuple[Ticks, Lots], ...]
    refused: int
    venue_ms: int = 0


class Funding(NamedTuple):
    """What a funding rate structure holds; either is None where it was not said."""

    forecast: FundingForecast | None
    marked: Marked | None


# Numbers ---------------------------------------------------------------------------------


def decimal(value: object, field: str) -> Decimal:
    """A number as its shortest text says it; Refused where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise Refused(f"{field}: expected a number, found {str(value)[:40]!r}")
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except ArithmeticError:
        raise Refused(f"{field}: expected a number, found {str(value)[:40]!r}") from None
    if not number.is_finite():
        raise Refused(f"{field}: expected a number, found {number}")
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    if len(digits) > _DIGITS_MAX or abs(exponent) > _EXPONENT_MAX:
        raise Refused(f"{field}: expected a number of a sane size, found {str(number)[:40]}")
    return number


def steps(value: object, step: Decimal, field: str) -> int:
    """Whole steps of a number; Refused where it is none.

    Texts and decimals must be exact. A float names a step where the grid has no more digits than
    floats carry, and may be off by their noise where that is far below one step.
    """
    number = decimal(value, field)
    count = int(ROUNDED.divide(number, step).to_integral_value())
    if abs(count) > _STEPS_MAX:
        raise Refused(f"{field}: expected at most {_STEPS_MAX} steps, found {number}")
    nearest = EXACT.multiply(step, count)
    if not isinstance(value, float):
        if nearest == number:
            return count
    elif abs(count) < _FLOAT_STEPS:
        noise = abs(number) * _FLOAT_NOISE
        if nearest == number or (noise * 1000 < step and abs(number - nearest) <= noise):
            return count
    raise Refused(f"{field}: expected a multiple of {plain(step)}, found {number}")


def _step(precision: object, mode: int, field: str) -> Decimal:
    """The step of a grid. Where a venue counts significant digits there is no grid."""
    if mode == SIGNIFICANT_DIGITS:
        raise Refused(f"{field}: expected a step, found significant digits, which are no grid")
    number = decimal(precision, field)
    if mode == DECIMAL_PLACES:
        places = steps(precision, Decimal(1), field)
        number = Decimal(1).scaleb(-places) if abs(places) <= _EXPONENT_MAX else ZERO
    elif mode != TICK_SIZE:
        raise Refused(f"precision mode: expected 2, 3 or 4, found {mode}")
    if number <= 0:
        raise Refused(f"{field}: expected more than 0, found {number}")
    return number


def _limit(market: Unified, what: str, end: str) -> Decimal:
    """One of the market's limits, 0 where it names none."""
    value = _part(_part(market, "limits"), what).get(end)
    return ZERO if value is None else decimal(value, f"limits.{what}.{end}")


def _part(market: Unified, field: str) -> Unified:
    """A structure inside another, empty where there is none."""
    value = market.get(field)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Refused(f"{field}: expected a structure, found {str(value)[:40]!r}")
    return value


def _text(market: Unified, field: str) -> str:
    value = market.get(field)
    if not isinstance(value, str) or not value:
        raise Refused(f"{field}: expected a text, found {str(value)[:40]!r}")
    return value


# Structures ------------------------------------------------------------------------------


def instrument(venue: str, market: Unified, mode: int) -> Instrument:
    """A market of `venue` on our grid; `mode` is the client's precisionMode. Raises Refused."""
    payoff = _payoff(market)
    kind, symbol = _text(market, "type"), _text(market, "id")
    base, quote = _text(market, "base"), _text(market, "quote")
    spot = payoff is Payoff.SPOT
    precision = _part(market, "precision")
    lot = _step(precision.get("amount"), mode, "precision.amount")
    value = Decimal(1) if spot else decimal(market.get("contractSize"), "contractSize")
    if value <= 0:
        raise Refused(f"contractSize: expected more than 0, found {value}")
    least = ROUNDED.divide(_limit(market, "amount", "min"), lot)
    most = ROUNDED.divide(_limit(market, "amount", "max"), lot)
    expiry = market.get("expiry")
    return Instrument(
        id=instrument_id(venue, kind, symbol),
        venue=venue,
        market=kind,
        symbol=symbol,
        payoff=payoff,
        base=base,
        quote=quote,
        settle=quote if spot else _text(market, "settle"),
        tick=_step(precision.get("price"), mode, "precision.price"),
        lot=lot,
        contract_value=value,
        lots_min=Lots(max(1, int(least.to_integral_value(ROUND_CEILING)))),
        lots_max=Lots(int(most.to_integral_value(ROUND_FLOOR))),
        notional_min=_limit(market, "cost", "min"),
        price_min=_limit(market, "price", "min"),
        price_max=_limit(market, "price", "max"),
        expiry=Nanos(steps(expiry, Decimal(1), "expiry") * MILLI if expiry is not None else 0),
        tradable=market.get("active") is not False,  # None: the venue does not say
    )


def _payoff(market: Unified) -> Payoff:
    named = {
        Payoff.SPOT: market.get("spot"),
        Payoff.LINEAR: market.get("linear"),
        Payoff.INVERSE: market.get("inverse"),
        Payoff.QUANTO: market.get("quanto"),
    }
    found = [payoff for payoff, so in named.items() if so is True]
    if market.get("option") is True or len(found) != 1:
        kind = str(market.get("type"))[:20]
        raise Refused(f"type: expected spot or a linear, inverse or quanto contract, found {kind}")
    return found[0]


def levels(item: Instrument, book: Unified) -> Levels:
    """The levels of an order book structure; Refused where the book as a whole is none.

    Single levels off the grid are left out and counted; a crossed book is refused.
    """
    bids, no_bids = _side(item, book.get("bids"), "bids")
    asks, no_asks = _side(item, book.get("asks"), "asks")
    bids.sort(reverse=True)
    asks.sort()
    for name, side in (("bids", bids), ("asks", asks)):
        if len({ticks for ticks, _ in side}) != len(side):
            raise Refused(f"{name}: expected each price once, found one twice")
    if bids and asks and bids[0][0] >= asks[0][0]:
        found = f"{item.price_text(bids[0][0])} bid and {item.price_text(asks[0][0])} asked"
        raise Refused(f"book: expected the best bid below the best ask, found {found}")
    return Levels(tuple(bids), tuple(asks), no_bids + no_asks, _stamp_ms(book, "timestamp"))


def _side(item: Instrument, rows: object, name: str) -> tuple[list[tuple[Ticks, Lots]], int]:
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise Refused(f"{name}: expected a list, found {str(rows)[:40]!r}")
    out: list[tuple[Ticks, Lots]] = []
    refused = 0
    for row in rows:
        try:
            out += _level(item, row, name)
        except Refused:
            refused += 1
    return out, refused


def _level(item: Instrument, row: object, name: str) -> list[tuple[Ticks, Lots]]:
    """One level, [] for an empty one. A third number (a count, a stamp) is not looked at."""
    if not isinstance(row, Sequence) or isinstance(row, str | bytes) or len(row) < 2:
        raise Refused(f"{name}: expected a price and a size, found {str(row)[:40]!r}")
    ticks = steps(row[0], item.tick, f"{name} price")
    lots = steps(row[1], item.lot, f"{name} size")
    if ticks <= 0 or lots < 0:
        raise Refused(f"{name}: expected numbers above 0, found {row[0]} and {row[1]}")
    return [(Ticks(ticks), Lots(lots))] if lots else []


def touch(item: Instrument, ticker: Unified, at: Nanos) -> TouchQuoted | None:
    """Best prices of a ticker, without sizes where it has none; None where a side is missing."""
    if ticker.get("bid") is None or ticker.get("ask") is None:
        return None
    sized = ticker.get("bidVolume") is not None and ticker.get("askVolume") is not None
    return TouchQuoted(
        at=at,
        instrument=item.id,
        bid_ticks=Ticks(steps(ticker["bid"], item.tick, "bid")),
        bid_lots=Lots(steps(ticker["bidVolume"], item.lot, "bidVolume") if sized else 0),
        ask_ticks=Ticks(steps(ticker["ask"], item.tick, "ask")),
        ask_lots=Lots(steps(ticker["askVolume"], item.lot, "askVolume") if sized else 0),
        venue_ms=_stamp_ms(ticker, "timestamp"),
        sized=sized,
    )


def funding(item: Instrument, said: Unified, at: Nanos) -> Funding:
    """A funding rate structure: the coming settlement, the one after it, mark and index."""
    rate, due_ms = said.get("fundingRate"), _stamp_ms(said, "fundingTimestamp")
    following = said.get("nextFundingRate")
    forecast = None
    if rate is not None and due_ms:
        forecast = FundingForecast(
            at=at,
            instrument=item.id,
            rate=decimal(rate, "fundingRate"),
            due=Nanos(due_ms * MILLI),
            interval_ms=_interval_ms(said),
            next_rate=None if following is None else decimal(following, "nextFundingRate"),
        )
    mark, index = said.get("markPrice"), said.get("indexPrice")
    marked = None
    if mark is not None or index is not None:
        marked = Marked(
            at=at,
            instrument=item.id,
            mark=None if mark is None else decimal(mark, "markPrice"),
            index=None if index is None else decimal(index, "indexPrice"),
            venue_ms=_stamp_ms(said, "timestamp"),
        )
    return Funding(forecast, marked)


def _interval_ms(said: Unified) -> int:
    """The time between settlements, 0 where neither a text nor two stamps say it."""
    text = said.get("interval")
    if isinstance(text, str) and text[:-1].isascii() and text[:-1].isdigit() and len(text) < 6:
        return int(text[:-1]) * _INTERVALS_MS.get(text[-1], 0)
    first = _stamp_ms(said, "fundingTimestamp")
    following = _stamp_ms(said, "nextFundingTimestamp")
    return following - first if following > first > 0 else 0


def _stamp_ms(said: Unified, field: str) -> int:
    """Epoch milliseconds, 0 where the structure has none."""
    value = said.get(field)
    return 0 if value is None else int(decimal(value, field))


def fees(item: Instrument, market: Unified, at: Nanos) -> FeesReported | None:
    """The fees of the lowest tier as ccxt knows them: no statement about any account of ours.

    None where ccxt does not know them or they are no fraction of what is traded.
    """
    maker, taker = market.get("maker"), market.get("taker")
    if maker is None or taker is None or market.get("percentage") is False:
        return None
    return FeesReported(
        at=at,
        venue=item.venue,
        market=item.market,
        symbol=item.symbol,
        maker=decimal(maker, "maker"),
        taker=decimal(taker, "taker"),
    )


Kind = Literal["spot", "contract"]


def kind_of(symbol: str) -> Kind:
    """Unified symbols of contracts name their settlement coin: BTC/USDT:USDT."""
    return "contract" if ":" in symbol else "spot"
