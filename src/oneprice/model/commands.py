"""What we want done: frozen wishes, in the imperative; the shell obeys, nothing else acts."""

from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Literal

import msgspec

from oneprice.model.units import InstrumentId, Lots, Nanos, OrderId, Side, Ticks


class Priority(IntEnum):
    """Who goes first when a venue's allowance is short; lower is sooner."""

    UNWIND = 0
    CANCEL = 1
    HEDGE = 2
    ENTRY = 3
    DATA = 4


class TimeInForce(StrEnum):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The common root of everything we can want."""


class PlaceOrder(Command, frozen=True, kw_only=True, tag=True):
    """Send one limit order; every order of the house has a limit price."""

    order_id: OrderId
    group: str
    instrument: InstrumentId
    side: Side
    ticks: Ticks
    lots: Lots
    time_in_force: TimeInForce = TimeInForce.IOC
    reduce_only: bool = False
    priority: Priority = Priority.ENTRY


class AmendOrder(Command, frozen=True, kw_only=True, tag=True):
    """Change price and total size of a resting order."""

    order_id: OrderId
    instrument: InstrumentId
    side: Side
    ticks: Ticks
    lots: Lots
    priority: Priority = Priority.HEDGE


class CancelOrder(Command, frozen=True, kw_only=True, tag=True):
    order_id: OrderId
    instrument: InstrumentId
    priority: Priority = Priority.CANCEL


class CancelAll(Command, frozen=True, kw_only=True, tag=True):
    """Cancel everything we have resting in one instrument."""

    instrument: InstrumentId
    priority: Priority = Priority.CANCEL


class QueryOrder(Command, frozen=True, kw_only=True, tag=True):
    """Ask the venue, by our client id, what became of an order, fills included."""

    order_id: OrderId
    instrument: InstrumentId
    priority: Priority = Priority.HEDGE


class QueryAccount(Command, frozen=True, kw_only=True, tag=True):
    """Ask for balances, positions, open orders, fees, settlements, position mode and leverage
    of one market."""

    venue: str
    market: str
    priority: Priority = Priority.DATA


class QueryFills(Command, frozen=True, kw_only=True, tag=True):
    """Ask for every fill of ours in one market since a moment (the venue's clock, epoch ms).

    Answers yield OrderFilled for each, the fills of strangers' orders with `order_id` "", and at
    the end FillsTold. A dialect reaches back as far as its venue does.
    """

    venue: str
    market: str
    since_ms: int
    priority: Priority = Priority.DATA


class QueryStatement(Command, frozen=True, kw_only=True, tag=True):
    """Ask for the lines of a market's wallet since a moment (the venue's clock, epoch ms).

    Answers yield StatementLine for each, oldest first where the venue allows it, and at the end
    StatementTold. `()` where the venue keeps no statement of that wallet.
    """

    venue: str
    market: str
    since_ms: int
    until_ms: int = 0  # 0: to this moment
    priority: Priority = Priority.DATA


class QueryKey(Command, frozen=True, kw_only=True, tag=True):
    """Ask what the API key in use may do."""

    venue: str
    priority: Priority = Priority.DATA


class SetPositionMode(Command, frozen=True, kw_only=True, tag=True):
    """One position per instrument, or a long and a short one; only while nothing is open."""

    venue: str
    market: str
    mode: Literal["one_way", "hedge"]
    symbol: str = ""  # where the venue keeps the mode per instrument
    priority: Priority = Priority.DATA


class SetLeverage(Command, frozen=True, kw_only=True, tag=True):
    """Only while nothing is open in the instrument."""

    instrument: InstrumentId
    leverage: Decimal
    priority: Priority = Priority.DATA


class SetTimer(Command, frozen=True, kw_only=True, tag=True):
    """Fire TimerFired at or after `due`; setting the same timer again replaces it."""

    timer: str
    due: Nanos


class ClearTimer(Command, frozen=True, kw_only=True, tag=True):
    timer: str


AnyCommand = (
    PlaceOrder
    | AmendOrder
    | CancelOrder
    | CancelAll
    | QueryOrder
    | QueryAccount
    | QueryFills
    | QueryStatement
    | QueryKey
    | SetPositionMode
    | SetLeverage
    | SetTimer
    | ClearTimer
)
