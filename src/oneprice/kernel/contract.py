"""What both kernels share: outcomes, the facts of a depth channel, errors, results, limits."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import Final, Literal

import msgspec

#: A price of a book is at most this many ticks, a size at most this many lots.
TICKS_MAX: Final = 10**15 - 1
LOTS_MAX: Final = 10**18 - 1
#: A tick or lot has at most this many decimals, and a scaled number at most this many digits.
DECIMALS_MAX: Final = 12
DIGITS_MAX: Final = 18
#: The unit in the last decimal (the 5 of a tick of 0.05) is below this.
MULTIPLE_LIMIT: Final = 10**9
#: Integers of a frame (sequences, stamps) lie within this magnitude.
INTEGER_MAX: Final = 10**18 - 1
#: Frames nested deeper than this are malformed.
NESTING_MAX: Final = 64


class BadLevels(ValueError):
    """Levels or numbers that a book must not take; the book is as it was before."""


class OffGrid(BadLevels):
    """A price is no multiple of the tick, or a size none of the lot: our instrument is old."""


class Outcome(IntEnum):
    """What a frame did to a book; `feed` returns the bare integer."""

    OTHER = 0  # no depth frame of this format
    APPLIED = 1
    REPLACED = 2  # a snapshot
    STALE = 3  # older than the book: ignored
    UNSYNCED = 4  # a delta for a book that is not known: ignored
    GAP = 5  # the book is lost
    CROSSED = 6  # the book is lost
    MALFORMED = 7  # the book, when one was named, is lost
    UNKNOWN = 8  # no book is registered by this name
    OFF_GRID = 9  # the book is lost


class DepthFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one depth channel: which keys say what, and how its sequence is proven.

    Keys are looked for in every object of the frame. An empty key means that the channel has
    none. A frame is of this format when the text at `kind_key` starts with `kind_prefix` and
    levels are arrays. Sequence rules (`last` is the number at `last_key`, and so on):

    plus_one
        Bybit orderbook: `last` is the book's sequence + 1.
        https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook
    span
        Binance spot diff. depth: `first` <= sequence + 1 <= `last`.
        https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
    linked
        Binance futures and OKX books: `previous` is the book's sequence; the first delta after a
        snapshot may also reach across it, `previous` <= sequence <= `last`.
        https://developers.binance.com/docs/derivatives, https://www.okx.com/docs-v5
    none
        Nothing to prove.
    """

    kind_key: str
    kind_prefix: str
    name_key: str
    snapshot_key: str = ""
    snapshot_value: str = ""
    first_key: str = ""
    last_key: str = ""
    previous_key: str = ""
    bids_key: str
    asks_key: str
    stamp_key: str = ""
    rule: Literal["plus_one", "span", "linked", "none"]
    #: A frame with this `last` is a snapshot whatever it says (Bybit after a restart: 1).
    restart_at: int = -1


class Sweep(msgspec.Struct, frozen=True):
    """How far a pair of books earns: steps of the common size, limit prices, summed values.

    `buy_ticks` and `sell_ticks` are the worst levels used; values are sums of ticks * lots.
    """

    steps: int
    buy_ticks: int
    sell_ticks: int
    buy_value: int
    sell_value: int


def check_format(depth_format: DepthFormat) -> None:
    """Refuse facts that no frame could satisfy (ValueError)."""
    f = depth_format
    needed = {"kind_key": f.kind_key, "name_key": f.name_key}
    needed |= {"bids_key": f.bids_key, "asks_key": f.asks_key}
    if f.rule != "none":
        needed["last_key"] = f.last_key
    if f.rule == "span":
        needed["first_key"] = f.first_key
    if f.rule == "linked":
        needed["previous_key"] = f.previous_key
    for field, key in needed.items():
        if not key:
            raise ValueError(f"depth format: {field} is empty, rule {f.rule!r} needs it")
    texts = {f.kind_key, f.name_key, f.snapshot_key} - {""}
    rest = [f.bids_key, f.asks_key, f.first_key, f.last_key, f.previous_key, f.stamp_key]
    rest = [key for key in rest if key]
    if len(set(rest)) != len(rest) or texts & set(rest):
        raise ValueError("depth format: one key cannot hold two different things")


def grid_of(unit: str | Decimal, what: str) -> tuple[int, int]:
    """Split a tick or lot into (decimals, multiple): 0.05 is (2, 5), 10 is (0, 10)."""
    if not isinstance(unit, (str, Decimal)):
        raise TypeError(f"{what}: expected text or Decimal, found {type(unit).__name__}")
    try:
        value = Decimal(unit)
    except ArithmeticError as error:
        raise ValueError(f"{what}: expected a decimal number, found {unit!r}") from error
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{what}: expected a positive number, found {unit!s}")
    _, digits, exponent = value.normalize().as_tuple()
    assert isinstance(exponent, int)
    multiple = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
    decimals = max(-exponent, 0)
    if decimals > DECIMALS_MAX or multiple >= MULTIPLE_LIMIT:
        raise ValueError(f"{what}: {unit!s} is outside of what the kernel can count")
    return decimals, multiple
