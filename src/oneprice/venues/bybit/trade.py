"""Bybit's private side: orders out, order life, fills and account in.

Source: Bybit v5 docs, "Place Order", "WebSocket Trade Guidelines", "Private Stream". An answer
of 0 means "taken for processing"; only the private stream or a query says what became of it.
"""

import re
from collections.abc import Mapping, Sequence
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
    QueryOrder,
    TimeInForce,
)
from oneprice.model.events import (
    AnyEvent,
    CancelRefused,
    OrderAccepted,
    OrderFilled,
    OrderRefused,
    OrderUncertain,
    PositionReported,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos, OrderId, Side
from oneprice.venues.bybit import SPEC, account, pace_of
from oneprice.venues.bybit.acks import control
from oneprice.venues.bybit.instruments import known
from oneprice.venues.bybit.queries import Inquiries
from oneprice.venues.bybit.rest import Failed, paused, paused_by, read, refusal, told, unread
from oneprice.venues.bybit.wire import (
    ENVELOPE,
    EXECUTION,
    HEADER,
    IDS,
    ORDER,
    POSITION,
    ROWS,
    UNREADABLE,
    WALLET,
    Envelope,
    OrderIds,
    excerpt,
)
from oneprice.venues.contract import Ack, Answer, Credentials, Output, Request
from oneprice.venues.signing import Signer

_TOPICS = ("order", "execution", "position", "wallet")
_TIME_IN_FORCE: Mapping[TimeInForce, str] = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
_PATHS: Mapping[str, str] = {
    "create": "/v5/order/create",
    "amend": "/v5/order/amend",
    "cancel": "/v5/order/cancel",
    "cancel_all": "/v5/order/cancel-all",
}
_VERBS: Mapping[str, str] = {"create": "place", "amend": "amend", "cancel": "cancel"}
_STAMP = b'"X-BAPI-TIMESTAMP":"0"'
_RESTARTING = 10019
_ID_CHARS_MAX = 36
_LINK_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{_ID_CHARS_MAX}}}")
_BUCKETS: Mapping[tuple[str, str], str] = {
    (what, market): f"{what}:{pace_of(market)}" for what in _PATHS for market in SPEC.markets
}
_ENCODER = msgspec.json.Encoder()
_ASKED_MAX = 4096  # answers that never came must not fill the memory


class BybitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the docs leave to us."""

    order_entry: Literal["socket", "rest"] = "socket"
    order_window_ms: int = 2000  # an order later than this is refused rather than stale
    read_window_ms: int = 5000
    login_ahead_ms: int = 15_000  # a login that expires sooner fails on a skewed clock
    # Whose order dies when we would trade with ourselves; the taker's flag decides, and the
    # taker is mostly the hedge that must go through.
    self_match: Literal["CancelMaker", "CancelTaker", "CancelBoth"] = "CancelMaker"


class _Asked(msgspec.Struct, frozen=True):
    verb: str
    order_id: OrderId
    bucket: str


class BybitTrade:
    """One account. `listed` are the instruments its feed has listed, shared and growing."""

    spec = SPEC

    def __init__(
        self,
        credentials: Credentials,
        listed: Mapping[InstrumentId, Instrument],
        settings: BybitSettings | None = None,
    ) -> None:
        self._key = credentials.key
        self._signer = Signer(credentials.secret)
        self._listed = listed
        self._settings = settings or BybitSettings()
        self._inquiries = Inquiries(listed)
        self._asked: dict[str, _Asked] = {}
        self._count = 0
        window = str(self._settings.order_window_ms)
        # The stamp is put in when the order leaves.
        header = {"X-BAPI-TIMESTAMP": "0", "X-BAPI-RECV-WINDOW": window}
        self._header = _ENCODER.encode(header)
        self._forms: dict[InstrumentId, str] = {}

    # Out --------------------------------------------------------------------------------

    def login(self, socket: str) -> Sequence[Request]:
        """The login, and what may follow only after its Ack: the private topics."""
        who = Request(tag="login", socket=socket, signed=True, priority=Priority.UNWIND)
        if socket == "trade":
            return (who,)
        body = msgspec.json.encode({"req_id": "private", "op": "subscribe", "args": _TOPICS})
        return (who, Request(tag="subscribe", socket=socket, body=body, priority=Priority.UNWIND))

    def sign(self, request: Request, venue_ms: int) -> Request:
        """Stamp and sign at the moment of sending; `venue_ms` is the venue's time."""
        if not request.signed:
            return request
        if request.tag == "login":
            return msgspec.structs.replace(request, body=self._login_frame(request, venue_ms))
        if request.socket:
            stamp = b'"X-BAPI-TIMESTAMP":"%d"' % venue_ms
            return msgspec.structs.replace(request, body=request.body.replace(_STAMP, stamp, 1))
        settings = self._settings
        window = str(settings.order_window_ms if request.body else settings.read_window_ms)
        payload = request.body or request.query.encode()
        text = f"{venue_ms}{self._key}{window}".encode() + payload
        headers = (
            ("X-BAPI-API-KEY", self._key),
            ("X-BAPI-TIMESTAMP", str(venue_ms)),
            ("X-BAPI-RECV-WINDOW", window),
            ("X-BAPI-SIGN", self._signer.hex(text)),
        )
        return msgspec.structs.replace(request, headers=(*request.headers, *headers))

    def _login_frame(self, request: Request, venue_ms: int) -> bytes:
        expires = venue_ms + self._settings.login_ahead_ms
        args = (self._key, expires, self._signer.hex(f"GET/realtime{expires}"))
        id_name = "reqId" if request.socket == "trade" else "req_id"
        return msgspec.json.encode({id_name: "login", "op": "auth", "args": args})

    def encode(self, command: AnyCommand, at: Nanos) -> Sequence[Request]:
        """Requests for a command; ValueError for an instrument or id that cannot be sent."""
        match command:
            case PlaceOrder():
                item = self._item(command.instrument)
                return (self._send("create", item, self._placing(command, item), command, at),)
            case AmendOrder():
                item = self._item(command.instrument)
                change = _named(item, command.order_id) | {
                    "qty": item.size_text(command.lots),
                    "price": item.price_text(command.ticks),
                }
                return (self._send("amend", item, _ENCODER.encode(change), command, at),)
            case CancelOrder():
                item = self._item(command.instrument)
                named = _ENCODER.encode(_named(item, command.order_id))
                return (self._send("cancel", item, named, command, at),)
            case CancelAll():
                return (self._cancel_all(command),)
            case QueryOrder():
                return self._inquiries.order(command, self._item(command.instrument))
            case QueryAccount():
                return self._inquiries.account(command)
        return ()

    def _item(self, instrument: InstrumentId) -> Instrument:
        item = self._listed.get(instrument)
        if item is None:
            raise ValueError(f"instrument {instrument!r} was never listed")
        self._inquiries.touch(instrument)
        return item

    def _placing(self, command: PlaceOrder, item: Instrument) -> bytes:
        """The arguments of a new order; what never changes of them is kept as text."""
        form = self._forms.get(item.id)
        if form is None:
            fixed: dict[str, object] = {
                "category": item.market,
                "symbol": item.symbol,
                "orderType": "Limit",
                "smpType": self._settings.self_match,
            }
            if item.is_derivative:
                fixed["positionIdx"] = 0
            form = self._forms[item.id] = _ENCODER.encode(fixed)[:-1].decode()
        side = "Buy" if command.side is Side.BUY else "Sell"
        lasting = _TIME_IN_FORCE[command.time_in_force]
        reduce = ""
        if item.is_derivative:
            reduce = ',"reduceOnly":true' if command.reduce_only else ',"reduceOnly":false'
        # Numbers, words of ours and an id that was checked: nothing here needs escaping.
        return (
            f'{form},"side":"{side}","qty":"{item.size_text(command.lots)}",'
            f'"price":"{item.price_text(command.ticks)}","timeInForce":"{lasting}"{reduce},'
            f'"orderLinkId":"{_checked(command.order_id)}"}}'
        ).encode()

    def _send(
        self,
        what: str,
        item: Instrument,
        args: bytes,
        command: PlaceOrder | AmendOrder | CancelOrder,
        at: Nanos,
    ) -> Request:
        order_id = command.order_id
        verb, bucket = _VERBS[what], _BUCKETS[what, item.market]
        tag = f"{verb}:{order_id}"
        by_rest = self._settings.order_entry == "rest"
        self._count += 1
        # The docs never say when an id is free again: the moment makes it new after a restart.
        request_id = tag if by_rest else f"{at:x}-{self._count:x}"
        self._asked[request_id] = _Asked(verb, order_id, bucket)
        if len(self._asked) > _ASKED_MAX:
            del self._asked[next(iter(self._asked))]
        request = Request(
            tag=tag,
            socket="" if by_rest else "trade",
            body=args
            if by_rest
            else b'{"reqId":"%b","header":%b,"op":"order.%b","args":[%b]}'
            % (request_id.encode(), self._header, what.encode(), args),
            signed=True,
            cost=((bucket, 1),),
            priority=command.priority,
            order_id=order_id,
        )
        return _posted(request, what) if by_rest else request

    def _cancel_all(self, command: CancelAll) -> Request:
        item = self._item(command.instrument)
        tag, bucket = f"cancel_all:{item.id}", _BUCKETS["cancel_all", item.market]
        self._asked[tag] = _Asked("cancel_all", "", bucket)
        request = Request(
            tag=tag,
            signed=True,
            cost=((bucket, 1),),
            body=_ENCODER.encode({"category": item.market, "symbol": item.symbol}),
            priority=command.priority,
        )
        return _posted(request, "cancel_all")

    def keep_alive(self) -> Sequence[tuple[int, Request]]:
        """Nothing: the sockets' own pings keep the session."""
        return ()

    def follow_ups(self) -> Sequence[Request]:
        """Further pages that answers made necessary; ask after each `answered`."""
        return self._inquiries.follow_ups()

    # In ---------------------------------------------------------------------------------

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        try:
            message = ENVELOPE.decode(frame)
            if message.topic:
                return self._rows(socket, message, at)
            if message.op.startswith("order."):
                return self._acknowledged(socket, message, at)
            return (control(socket, message),)
        except UNREADABLE as error:
            return (unread(socket, "malformed", f"{error} | {excerpt(frame)}", at),)

    def _rows(self, socket: str, message: Envelope, at: Nanos) -> Sequence[Output]:
        """One bad row must not hide the fills beside it: each row stands alone."""
        topic = message.topic.partition(".")[0]
        out: list[Output] = []
        for raw in ROWS.decode(message.data):
            try:
                out += self._row(topic, raw, at)
            except UNREADABLE as error:
                out.append(
                    unread(socket, "unreadable_row", f"{topic}: {error} | {excerpt(raw)}", at)
                )
        return out

    def _row(self, topic: str, raw: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        match topic:
            case "order":
                row = ORDER.decode(raw)
                return (account.order(row, known(self._listed, row.category, row.symbol), at),)
            case "execution":
                done = EXECUTION.decode(raw)
                item = known(self._listed, done.category, done.symbol)
                event = account.execution(done, item, at)
                if isinstance(event, OrderFilled):
                    self._inquiries.touch(item.id)
                return (event,)
            case "position":
                place = POSITION.decode(raw)
                item = known(self._listed, place.category, place.symbol)
                report: PositionReported = account.position(place, item, at)
                self._inquiries.touch(item.id)
                return (report,)
            case "wallet":
                balances = account.balances(WALLET.decode(raw), at)
                self._inquiries.saw(balances)
                return balances
        raise ValueError("unknown topic")

    def _acknowledged(self, socket: str, message: Envelope, at: Nanos) -> Sequence[Output]:
        if message.ret_code is None:
            raise ValueError("answer without retCode")
        ids = _ids(message.data)
        asked = self._asked.pop(message.request_id, None)
        if asked is None and ids.order_link_id:
            verb = _VERBS.get(message.op.removeprefix("order."), "")
            asked = _Asked(verb, ids.order_link_id, "")
        failed = refusal(message.ret_code, message.text)
        out: list[Output] = []
        if failed is not None:
            reset = HEADER.decode(message.header).reset_ms
            out += paused(failed, socket, asked.bucket if asked else "", reset, at)
            if failed.code == _RESTARTING:
                out.append(Ack(socket=socket, kind="closing", text=failed.text))
        if asked is None:
            shown = f"{message.request_id} {message.ret_code} {message.text}"
            return [*out, unread(socket, "answer_to_no_question", shown, at)]
        return [*out, *_verdict(asked, failed, ids.order_id, at)]

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        verb, _, subject = answer.tag.partition(":")
        if verb in ("query", "account"):
            return self._inquiries.answered(answer, at)
        reply = read(answer)
        failed = reply if isinstance(reply, Failed) else None
        out: list[Output] = []
        asked = self._asked.pop(answer.tag, None) or _Asked(verb, subject, "ip")
        if failed is not None:
            out += paused_by(failed, answer, asked.bucket, at)
        if verb not in ("place", "amend", "cancel"):
            if failed is not None:
                out.append(told(answer, failed, at))
            return out
        venue_order_id = "" if isinstance(reply, Failed) else _ids(reply.result).order_id
        return [*out, *_verdict(asked, failed, venue_order_id, at)]


def _checked(order_id: OrderId) -> OrderId:
    if _LINK_ID.fullmatch(order_id) is None:
        raise ValueError(
            f"order id: expected 1 to {_ID_CHARS_MAX} of A-Z a-z 0-9 _ -, found {order_id!r}"
        )
    return order_id


def _named(item: Instrument, order_id: OrderId) -> dict[str, str]:
    return {"category": item.market, "symbol": item.symbol, "orderLinkId": _checked(order_id)}


def _posted(request: Request, what: str) -> Request:
    return msgspec.structs.replace(
        request,
        host="rest",
        method="POST",
        path=_PATHS[what],
        headers=(("Content-Type", "application/json"),),
        cost=(("ip", 1), *request.cost),
    )


def _ids(raw: msgspec.Raw) -> OrderIds:
    """The ids an answer names; none where it names none: the code alone decides."""
    try:
        return IDS.decode(raw)
    except UNREADABLE:
        return OrderIds()


def _verdict(
    asked: _Asked, failed: Failed | None, venue_order_id: str, at: Nanos
) -> Sequence[AnyEvent]:
    """What an answer to an order request means. An accepted change is told by the stream."""
    order_id = asked.order_id
    if failed is None:
        if asked.verb != "place":
            return ()
        return (OrderAccepted(at=at, order_id=order_id, venue_order_id=venue_order_id),)
    if failed.unsure and (asked.verb == "place" or failed.reason != "unknown_code"):
        return (OrderUncertain(at=at, order_id=order_id, reason=failed.reason),)
    if asked.verb == "place":
        return (OrderRefused(at=at, order_id=order_id, reason=failed.reason, text=failed.text),)
    if asked.verb == "amend" and failed.reason == "not_modified":
        return ()
    return (CancelRefused(at=at, order_id=order_id, reason=failed.reason, text=failed.text),)
