"""How orders are written for OKX, and what an answer to one means.

Source: API v5, "Place order", "WS Place order". By socket an instrument is its number
(`instIdCode`), by REST its name. An answer of 0 means "taken into the engine"; only the orders
channel or a query says what became of it.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from oneprice.model.commands import AmendOrder, CancelOrder, PlaceOrder, TimeInForce
from oneprice.model.events import (
    AmendRefused,
    AnyEvent,
    CancelRefused,
    OrderAccepted,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos, OrderId, Side
from oneprice.venues.okx.ids import client_id, order_id
from oneprice.venues.okx.listing import Detail
from oneprice.venues.okx.private_frames import ItemAnswer
from oneprice.venues.okx.rest import Failed, refusal

BATCH_MAX = 20
Change = PlaceOrder | AmendOrder | CancelOrder
Verb = Literal["place", "amend", "cancel"]

_KINDS: Mapping[TimeInForce, str] = {
    TimeInForce.GTC: "limit",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
    TimeInForce.POST_ONLY: "post_only",
}
_SELF_TRADE = {"taker": "cancel_taker", "maker": "cancel_maker", "both": "cancel_both"}


class OkxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the docs leave to us. ValueError names a setting that the venue does not have."""

    order_entry: Literal["socket", "rest"] = "socket"
    self_trade: Literal["taker", "maker", "both", "none"] = "taker"
    dead_man_ms: int = 0  # 0: off; else 10 to 120 s without us, and every order is cancelled
    wanted: tuple[InstrumentId, ...] = ()  # whose leverage a check of the account asks for
    # Spot on the account's own money or on its margin: "account" does as the account's level
    # wants it, and cash until that is known.
    spot_mode: Literal["account", "cash", "cross"] = "account"
    margin: Literal["cross", "isolated"] = "cross"
    order_window_ms: int = 2_000  # an order later than this is dropped rather than stale; 0: off
    tag: str = ""  # put on orders; the dead man's switch then spares orders without it
    trade_quote: str = ""  # tradeQuoteCcy, which some regions require on spot
    demo: bool = False

    def __post_init__(self) -> None:
        if self.self_trade == "none":
            raise ValueError("self_trade: okx cannot allow it; expected taker, maker or both")
        if self.dead_man_ms and not 10_000 <= self.dead_man_ms <= 120_000:
            found = self.dead_man_ms
            raise ValueError(f"dead_man_ms: expected 0 or 10000 to 120000, found {found}")
        plain = self.tag.isascii() and self.tag.isalnum() and len(self.tag) <= 16
        if self.tag and not plain:
            raise ValueError(f"tag: expected 1 to 16 letters and digits, found {self.tag[:40]!r}")


class Standing(msgspec.Struct):
    """What the venue has told of the account itself; "" until it did."""

    level: str = ""  # 1 spot, 2 futures, 3 multi-currency, 4 portfolio margin
    mode: str = ""  # net_mode, long_short_mode

    @property
    def hedges(self) -> bool:
        return self.mode == "long_short_mode"

    @property
    def word(self) -> Literal["one_way", "hedge"]:
        return "hedge" if self.hedges else "one_way"


class Writer:
    """Writes the arguments of orders; what never changes of them is kept as text."""

    def __init__(
        self, details: Mapping[InstrumentId, Detail], settings: OkxSettings, standing: Standing
    ) -> None:
        self._details = details
        self._settings = settings
        self._standing = standing
        self._count = 0

    def by_socket(self, item: Instrument) -> bool:
        """By REST where that is set, and where the venue has not numbered an instrument yet."""
        return self._settings.order_entry == "socket" and self._code(item) is not None

    def _code(self, item: Instrument) -> int | None:
        detail = self._details.get(item.id)
        return detail.code if detail is not None else None

    def write(self, command: Change, item: Instrument, *, socket: bool) -> str:
        """The JSON of one order; ValueError for an id that cannot be carried."""
        named = self._form(item, socket)
        match command:
            case PlaceOrder():
                return self._placing(command, item, named)
            case AmendOrder():
                self._count += 1
                name = client_id(command.order_id)
                # The order's id makes the request's unique after a restart too.
                request = f"{name[-24:]}a{self._count % 10**7}"
                return (
                    f'{named},"clOrdId":"{name}","newSz":"{item.size_text(command.lots)}",'
                    f'"newPx":"{item.price_text(command.ticks)}","reqId":"{request}"}}'
                )
            case CancelOrder():
                return f'{named},"clOrdId":"{client_id(command.order_id)}"}}'

    def _form(self, item: Instrument, socket: bool) -> str:
        return f'{{"instIdCode":{self._code(item)}' if socket else f'{{"instId":"{item.symbol}"'

    def _placing(self, command: PlaceOrder, item: Instrument, named: str) -> str:
        side = "buy" if command.side is Side.BUY else "sell"
        kind = _KINDS[command.time_in_force]
        extra = ""
        if item.is_derivative and self._standing.hedges:
            # What reduces a long is a sale, and the other way round.
            long = (command.side is Side.BUY) is not command.reduce_only
            extra = ',"posSide":"long"' if long else ',"posSide":"short"'
        elif item.is_derivative and command.reduce_only:
            extra = ',"reduceOnly":true'
        if self._settings.tag:
            extra += f',"tag":"{self._settings.tag}"'
        if self._settings.trade_quote and not item.is_derivative:
            extra += f',"tradeQuoteCcy":"{self._settings.trade_quote}"'
        # Both sides cannot be cancelled for a fill-or-kill order: there the newcomer dies.
        both_of_fok = self._settings.self_trade == "both" and kind == "fok"
        stop = _SELF_TRADE["taker" if both_of_fok else self._settings.self_trade]
        # Numbers, words of ours and an id that was checked: nothing here needs escaping.
        return (
            f'{named},"tdMode":"{self.margin_of(item)}","clOrdId":"{client_id(command.order_id)}",'
            f'"side":"{side}","ordType":"{kind}","px":"{item.price_text(command.ticks)}",'
            f'"sz":"{item.size_text(command.lots)}","stpMode":"{stop}"{extra}}}'
        )

    def margin_of(self, item: Instrument) -> str:
        """tdMode."""
        if item.is_derivative:
            return self._settings.margin
        if self._settings.spot_mode != "account":
            return self._settings.spot_mode
        return "cross" if self._standing.level in ("3", "4") else "cash"


class Asked(msgspec.Struct, frozen=True):
    """One request about orders that is under way."""

    verb: str
    order_ids: tuple[OrderId, ...]
    bucket: str


def verdicts(
    asked: Asked, failed: Failed | None, items: Sequence[ItemAnswer], at: Nanos
) -> tuple[list[AnyEvent], list[Failed]]:
    """What an answer means for each order, and every no that was in it.

    `failed` speaks for all orders that have no item of their own in the answer.
    """
    events: list[AnyEvent] = []
    noes = [failed] if failed is not None and not items else []
    whole = failed or Failed(reason="unreadable_answer", text="order not named", unsure=True)
    for name, item in _matched(asked.order_ids, items):
        no = whole if item is None else refusal(item.sCode or "?", item.sMsg)
        if item is not None and no is not None:
            noes.append(no)
        if name:
            events += _verdict(asked.verb, name, no, item.ordId if item else "", at)
    return events, noes


def _matched(
    names: Sequence[OrderId], items: Sequence[ItemAnswer]
) -> list[tuple[OrderId, ItemAnswer | None]]:
    """Orders and their items: by place where no id contradicts it, else by id."""
    if len(names) == len(items) and all(
        not item.clOrdId or not name or order_id(item.clOrdId) == name
        for name, item in zip(names, items, strict=True)
    ):
        return list(zip(names, items, strict=True))
    by_id = {order_id(item.clOrdId): item for item in items if item.clOrdId}
    return [(name, by_id.get(name)) for name in names]


def _verdict(
    verb: str, name: OrderId, no: Failed | None, venue_order_id: str, at: Nanos
) -> Sequence[AnyEvent]:
    """An accepted change is told by the orders channel."""
    if no is None:
        if verb != "place":
            return ()
        return (OrderAccepted(at=at, order_id=name, venue_order_id=venue_order_id),)
    if no.unsure:
        return (OrderUncertain(at=at, order_id=name, reason=no.reason),)
    match verb:
        case "place":
            return (OrderRefused(at=at, order_id=name, reason=no.reason, text=no.text),)
        case "amend":
            return (AmendRefused(at=at, order_id=name, reason=no.reason, text=no.text),)
    return (CancelRefused(at=at, order_id=name, reason=no.reason, text=no.text),)


def leverage_text(leverage: Decimal) -> str:
    return format(leverage.normalize(), "f")
