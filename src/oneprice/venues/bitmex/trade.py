"""BitMEX's private side: orders out over HTTP, order life, fills and account in.

Source: protocol document, sections 3, 11 and 12. The answer to an order already tells what became
of it; fills come by the stream or by a query.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from oneprice.model.commands import (
    AmendOrder,
    AnyCommand,
    CancelAll,
    CancelOrder,
    PlaceOrder,
    Priority,
    QueryAccount,
    QueryFills,
    QueryKey,
    QueryOrder,
    QueryStatement,
    SetLeverage,
    SetPositionMode,
    TimeInForce,
)
from oneprice.model.events import AnyEvent, OrderFilled
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos, OrderId, Side, plain
from oneprice.venues.bitmex import SPEC, account
from oneprice.venues.bitmex.acks import Acks
from oneprice.venues.bitmex.listing import CURRENCIES, known
from oneprice.venues.bitmex.queries import Inquiries
from oneprice.venues.bitmex.records import Records
from oneprice.venues.bitmex.rest import Allowances, get, send, unread
from oneprice.venues.bitmex.verdicts import Verdicts
from oneprice.venues.bitmex.wire import (
    EXECUTION,
    FRAME,
    MARGIN,
    ORDER,
    POSITION,
    ROWS,
    UNREADABLE,
    Frame,
    excerpt,
)
from oneprice.venues.contract import Ack, Answer, Credentials, Output, Request
from oneprice.venues.signing import Signer
from oneprice.venues.walk import VERBS

_SOCKET = "private"
_TOPICS = ("execution", "order", "position", "margin")
_TIME_IN_FORCE: Mapping[TimeInForce, str] = {
    TimeInForce.GTC: "GoodTillCancel",
    TimeInForce.IOC: "ImmediateOrCancel",
    TimeInForce.FOK: "FillOrKill",
    TimeInForce.POST_ONLY: "GoodTillCancel",
}
_ID_CHARS_MAX = 36
_CLIENT_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{_ID_CHARS_MAX}}}", flags=re.ASCII)
_DEAD_MAN_LEAST_MS = 5000
_CANCELS_PER_REQUEST = 100  # the document names no limit


class BitmexSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the documents leave to us."""

    order_entry: Literal["rest"] = "rest"  # the sockets take none
    self_trade: Literal["none"] = "none"  # the venue prevents nothing that it documents
    # Expiry counts whole seconds of the venue's time; an order later than this is refused.
    order_expires_s: int = 5
    read_expires_s: int = 10
    login_expires_s: int = 30
    # 0: off. Else all orders of the account are cancelled so long after the last sign of life.
    dead_man_ms: int = 0
    margin: Literal["isolated", "cross"] = "isolated"  # what SetLeverage leaves behind


class BitmexTrade:
    """One account. `listed` are the instruments its feed has listed, shared and growing."""

    spec = SPEC

    def __init__(
        self,
        credentials: Credentials,
        listed: Mapping[InstrumentId, Instrument],
        settings: BitmexSettings | None = None,
    ) -> None:
        self._key = credentials.key
        self._signer = Signer(credentials.secret)
        self._listed = listed
        self._settings = settings or BitmexSettings()
        if 0 < self._settings.dead_man_ms < _DEAD_MAN_LEAST_MS:
            found = self._settings.dead_man_ms
            raise ValueError(f"dead_man_ms: expected 0 or {_DEAD_MAN_LEAST_MS} up, found {found}")
        self._acks = Acks()
        self._allowances = Allowances()
        self._inquiries = Inquiries(listed)
        self._records = Records(listed)
        self._orders = account.Orders()
        self._holdings = account.Holdings()
        self._verdicts = Verdicts(listed, self._orders, self._key)
        self._count = 0

    # Out --------------------------------------------------------------------------------

    def login(self, socket: str) -> Sequence[Request]:
        """The login, and what may follow only after its Ack: the private tables."""
        self._acks.expect("subscribe", _TOPICS, "private")
        body = msgspec.json.encode({"op": "subscribe", "args": _TOPICS})
        return (
            Request(tag="login", socket=socket, signed=True, priority=Priority.UNWIND),
            Request(tag="subscribe", socket=socket, body=body, priority=Priority.UNWIND),
        )

    def sign(self, request: Request, venue_ms: int) -> Request:
        """Stamp and sign at the moment of sending; `venue_ms` is the venue's time."""
        if not request.signed:
            return request
        if request.socket:
            expires = venue_ms // 1000 + self._settings.login_expires_s
            args = (self._key, expires, self._signer.hex(f"GET/realtime{expires}"))
            body = msgspec.json.encode({"op": "authKeyExpires", "args": args})
            return msgspec.structs.replace(request, body=body)
        settings = self._settings
        ahead = settings.read_expires_s if request.method == "GET" else settings.order_expires_s
        expires = venue_ms // 1000 + ahead
        query = f"?{request.query}" if request.query else ""
        text = f"{request.method}{request.path}{query}{expires}".encode() + request.body
        headers = (
            ("api-key", self._key),
            ("api-expires", str(expires)),
            ("api-signature", self._signer.hex(text)),
        )
        return msgspec.structs.replace(request, headers=(*request.headers, *headers))

    def encode(self, command: AnyCommand, at: Nanos) -> Sequence[Request]:
        """Requests for a command; ValueError for an instrument, id or wish that cannot be sent."""
        match command:
            case PlaceOrder():
                body = self._placing(command, self._item(command.instrument))
                return (self._order("POST", "place", body, command),)
            case AmendOrder():
                item = self._item(command.instrument)
                body = (
                    f'{{"origClOrdID":"{_checked(command.order_id)}",'
                    f'"orderQty":{item.size_text(command.lots)},'
                    f'"price":{item.price_text(command.ticks)}}}'
                )
                return (self._order("PUT", "amend", body, command),)
            case CancelOrder():
                self._item(command.instrument)
                body = f'{{"clOrdID":"{_checked(command.order_id)}"}}'
                return (self._order("DELETE", "cancel", body, command),)
            case CancelAll():
                return (self._cancel_all(command),)
            case QueryOrder():
                _checked(command.order_id)
                return self._inquiries.order(command, self._item(command.instrument))
            case QueryAccount():
                return self._inquiries.account(command)
            case QueryFills() | QueryStatement():
                return self._records.begin(command, at)
            case QueryKey():
                request = get("/apiKey", {}, "key", "rest")
                return (msgspec.structs.replace(request, priority=command.priority),)
            case SetLeverage():
                return (self._leverage(command),)
            case SetPositionMode(mode="hedge"):
                raise ValueError("mode: expected one_way, the only one the document vouches for")
        return ()

    def batch(self, commands: Sequence[AnyCommand], at: Nanos) -> Sequence[Request]:
        """Cancels together, as the venue allows; orders and changes one by one.

        The bulk requests for new and changed orders were withdrawn (section 11).
        """
        cancels = [command for command in commands if isinstance(command, CancelOrder)]
        others = [command for command in commands if not isinstance(command, CancelOrder)]
        requests = [request for command in others for request in self.encode(command, at)]
        for start in range(0, len(cancels), _CANCELS_PER_REQUEST):
            requests.append(self._cancel_many(cancels[start : start + _CANCELS_PER_REQUEST]))
        return requests

    def _item(self, instrument: InstrumentId) -> Instrument:
        item = self._listed.get(instrument)
        if item is None:
            raise ValueError(f"instrument {instrument!r} was never listed")
        self._inquiries.touch(instrument)
        return item

    def _placing(self, command: PlaceOrder, item: Instrument) -> str:
        """Numbers, words of ours and an id that was checked: nothing here needs escaping."""
        wishes = []
        if command.time_in_force is TimeInForce.POST_ONLY:
            wishes.append("ParticipateDoNotInitiate")
        if command.reduce_only:
            wishes.append("ReduceOnly")
        side = "Buy" if command.side is Side.BUY else "Sell"
        wished = f',"execInst":"{",".join(wishes)}"' if wishes else ""
        return (
            f'{{"symbol":"{item.symbol}","side":"{side}",'
            f'"orderQty":{item.size_text(command.lots)},'
            f'"price":{item.price_text(command.ticks)},"ordType":"Limit",'
            f'"timeInForce":"{_TIME_IN_FORCE[command.time_in_force]}"{wished},'
            f'"clOrdID":"{_checked(command.order_id)}"}}'
        )

    def _order(
        self, method: str, verb: str, body: str, command: PlaceOrder | AmendOrder | CancelOrder
    ) -> Request:
        request = send(method, "/order", body.encode(), f"{verb}:{command.order_id}")
        self._verdicts.expect(request.tag, command.instrument)
        return msgspec.structs.replace(
            request, priority=command.priority, order_id=command.order_id
        )

    def _cancel_many(self, commands: Sequence[CancelOrder]) -> Request:
        self._count += 1
        for command in commands:
            self._item(command.instrument)
        ids = tuple(_checked(command.order_id) for command in commands)
        body = msgspec.json.encode({"clOrdID": ids})
        request = send("DELETE", "/order", body, f"cancel_many:{self._count}")
        first = min(command.priority for command in commands)
        return msgspec.structs.replace(request, priority=first, order_ids=ids)

    def _cancel_all(self, command: CancelAll) -> Request:
        item = self._item(command.instrument)
        body = msgspec.json.encode({"symbol": item.symbol})
        request = send("DELETE", "/order/all", body, f"cancel_all:{item.id}")
        return msgspec.structs.replace(request, priority=command.priority)

    def _leverage(self, command: SetLeverage) -> Request:
        item = self._item(command.instrument)
        tag = f"leverage:{item.id}"
        if self._settings.margin == "cross":
            # Any leverage above 0 would isolate it again: cross margin has none of its own.
            body = f'{{"symbol":"{item.symbol}","enabled":false}}'
            return send("POST", "/position/isolate", body.encode(), tag)
        if not Decimal("0.01") <= command.leverage <= 100:
            raise ValueError(f"leverage: expected 0.01 to 100, found {command.leverage}")
        body = f'{{"symbol":"{item.symbol}","leverage":{plain(command.leverage)}}}'
        return send("POST", "/position/leverage", body.encode(), tag)

    def keep_alive(self) -> Sequence[tuple[int, Request]]:
        """The dead man's switch, asked for four times in its span, where it is wanted."""
        span = self._settings.dead_man_ms
        if not span:
            return ()
        body = msgspec.json.encode({"timeout": span})
        request = send("POST", "/order/cancelAllAfter", body, "dead_man", paced=False)
        return ((span // 4, msgspec.structs.replace(request, priority=Priority.UNWIND)),)

    def follow_ups(self) -> Sequence[Request]:
        """Further pages that answers made necessary; ask after each `answered`."""
        return [*self._inquiries.follow_ups(), *self._records.follow_ups()]

    # In ---------------------------------------------------------------------------------

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        if frame == b"pong":
            return (Ack(socket=socket, kind="pong"),)
        try:
            message = FRAME.decode(frame)
            if message.table:
                if message.table not in _TOPICS:
                    raise ValueError(f"table: expected one of {_TOPICS}, found another")
                return self._rows(socket, message, at)
            return self._acks.control(socket, message)
        except UNREADABLE as error:
            return (unread(socket, "malformed", f"{error} | {excerpt(frame)}", at),)

    def _rows(self, socket: str, message: Frame, at: Nanos) -> Sequence[Output]:
        """One bad row must not hide the fills beside it: each row stands alone."""
        out: list[Output] = []
        for raw in ROWS.decode(message.data):
            try:
                out += self._row(message.table, message.action, raw, at)
            except UNREADABLE as error:
                shown = f"{message.table}: {error} | {excerpt(raw)}"
                out.append(unread(socket, "unreadable_row", shown, at))
        return out

    def _row(self, table: str, action: str, raw: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        match table:
            case "order":
                return self._verdicts.order_row(ORDER.decode(raw), action, at)
            case "execution":
                if action == "partial":
                    return ()  # what was before; whoever misses something asks for it
                done = EXECUTION.decode(raw)
                event = account.execution(done, known(self._listed, done.symbol), at)
                if isinstance(event, OrderFilled):
                    self._inquiries.touch(event.instrument)
                return () if event is None else (event,)
            case "position":
                place = POSITION.decode(raw)
                item = self._listed.get(f"{SPEC.name}:{SPEC.markets[0]}:{place.symbol}")
                if item is None and not place.current_qty:
                    return ()  # of a contract that has ended
                item = known(self._listed, place.symbol)
                self._inquiries.touch(item.id)
                return self._holdings.position(place, item, at)
        margin = MARGIN.decode(raw)
        if margin.currency not in CURRENCIES:
            return ()  # nothing listed here settles in it
        return self._holdings.margin(margin, at)

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        out = self._allowances.learn(answer, "rest")
        if answer.tag.startswith(("query:", "account:")):
            return [*out, *self._inquiries.answered(answer, at)]
        if answer.tag.partition(":")[0] in VERBS:
            events = self._records.answered(answer, at)
            for event in events:
                if isinstance(event, OrderFilled):
                    self._inquiries.touch(event.instrument)
            return [*out, *events]
        return [*out, *self._verdicts.answered(answer, at)]


def _checked(order_id: OrderId) -> OrderId:
    """The venue's length of a client id is from memory only: longer ones are refused here."""
    if _CLIENT_ID.fullmatch(order_id) is None:
        raise ValueError(
            f"order id: expected 1 to {_ID_CHARS_MAX} of A-Z a-z 0-9 _ -, found {order_id!r}"
        )
    return order_id
