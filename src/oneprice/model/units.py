"""Units of the house: ticks, lots, nanoseconds, sides, decimal money."""

from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import IntEnum
from typing import NewType

Ticks = NewType("Ticks", int)  # a price on an instrument's grid: price / tick
Lots = NewType("Lots", int)  # a size on an instrument's grid: size / lot
Nanos = NewType("Nanos", int)  # nanoseconds since 1970-01-01 UTC, or a span of nanoseconds

InstrumentId = str  # "venue:market:symbol", e.g. "bybit:linear:BTCUSDT"
OrderId = str  # our own client id, the same towards the venue for ever
Asset = str  # a coin as the venue spells it, e.g. "USDT"
Money = Decimal  # an amount of one asset; never a binary float

MICRO = 1_000
MILLI = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

# Money is exact: 34 digits hold any venue's amounts, and a result that would have to be
# rounded to fit is an error rather than a lost unit.
EXACT = Context(prec=34, traps=[InvalidOperation, Inexact])
# Quotients cannot be exact; they are rounded once, here, half to even at 28 digits.
ROUNDED = Context(prec=28, traps=[InvalidOperation])

BPS = Decimal("0.0001")
ZERO = Decimal(0)


class Side(IntEnum):
    """Which way a leg goes; the value is the sign of the change in what we hold."""

    BUY = 1
    SELL = -1

    @property
    def opposite(self) -> "Side":
        return Side(-self.value)


def plain(number: Decimal) -> str:
    """The decimal as venues and documents write it: no exponent, no trailing zeros."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text
