"""Bybit's private side: orders out, order life, fills and account in.

Source: Bybit v5 docs, "Place Order", "WebSocket Trade Guidelines", "Private Stream". An answer
of 0 means "taken for processing"; only the private stream or a query says what became of it.
"""

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
    QueryFills,
    QueryKey,
    QueryOrder,
    QueryStatement,
    SetLeverage,
    SetPositionMode,
)
from oneprice.model.events import (
    AmendRefused,
    AnyEvent,
    CancelRefused,
    OrderAccepted,
    OrderFilled,
    OrderRefused,
    OrderUncertain,
    PositionReported,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos, OrderId
from oneprice.venues.bybit import PING, SPEC, account, standing
from oneprice.venues.bybit.acks import control
from oneprice.venues.bybit.instruments import known
from oneprice.venues.bybit.orders import STAMP, VERBS, Asked, Orders, batches
from oneprice.venues.bybit.queries import Inquiries
from oneprice.venues.bybit.rest import (
    Allowances,
    Failed,
    paused,
    paused_by,
    read,
    refusal,
    told,
    unread,
)
from oneprice.venues.bybit.resting import Resting
from oneprice.venues.bybit.walks import KINDS, Walks
from oneprice.venues.bybit.wire import (
    ENVELOPE,
    EXECUTION,
    HEADER,
    IDS,
    MANY,
    ORDER,
    OUTCOMES,
    POSITION,
    ROWS,
    UNREADABLE,
    WALLET,
    Envelope,
    Header,
    OrderIds,
    Reply,
    excerpt,
)
from oneprice.venues.contract import Ack, Answer, Credentials, Output, Request
from oneprice.venues.signing import Signer

_TOPICS = ("order", "execution", "position", "wallet")
_DEAD_MAN_TOPICS = ("dcp.future", "dcp.spot")  # the switch is armed while these are heard
_DEAD_MAN_EVERY_MS = 30_000
_RESTARTING = 10019


class BybitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the docs leave to us."""

    order_entry: Literal["socket", "rest"] = "socket"  # "rest" in the demo environment
    order_window_ms: int = 2000  # an order later than this is refused rather than stale
    read_window_ms: int = 5000
    login_ahead_ms: int = 15_000  # a login that expires sooner fails on a skewed clock
    # Whose order dies when we would trade with ourselves: the newcomer's or the resting one's.
    self_trade: Literal["taker", "maker", "both", "none"] = "taker"
    # All orders are cancelled when the private sockets were gone for so long; 0: they are not.
    # The venue grants it to institutions alone: others see the private login refused.
    dead_man_ms: int = 0
    # Instruments that we mean to trade: their position mode and leverage are asked.
    wanted: tuple[InstrumentId, ...] = ()

    def __post_init__(self) -> None:
        if self.dead_man_ms and not 3_000 <= self.dead_man_ms <= 300_000:
            raise ValueError(
                f"dead_man_ms: expected 0 or 3000 to 300000, found {self.dead_man_ms}"
            )


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
        self._settings = chosen = settings or BybitSettings()
        self._allowances = Allowances(SPEC.limits)
        self._resting = Resting()
        self._inquiries = Inquiries(listed, chosen.wanted, self._resting, self._allowances)
        self._walks = Walks(listed, self._allowances)
        self._orders = Orders(
            by_rest=chosen.order_entry == "rest",
            self_trade=chosen.self_trade,
            window_ms=chosen.order_window_ms,
        )

    # Out --------------------------------------------------------------------------------

    def login(self, socket: str) -> Sequence[Request]:
        """The login, and what may follow only after its Ack: the private topics."""
        who = Request(tag="login", socket=socket, signed=True, priority=Priority.UNWIND)
        if socket == "trade":
            return (who,)
        groups: dict[str, Sequence[str]] = {"private": _TOPICS}
        if self._settings.dead_man_ms:
            groups["dead_man"] = _DEAD_MAN_TOPICS  # a topic that is refused takes its group along
        return (who, *(_subscription(socket, name, args) for name, args in groups.items()))

    def sign(self, request: Request, venue_ms: int) -> Request:
        """Stamp and sign at the moment of sending; `venue_ms` is the venue's time."""
        if not request.signed:
            return request
        if request.tag == "login":
            return msgspec.structs.replace(request, body=self._login_frame(request, venue_ms))
        if request.socket:
            stamp = b'"X-BAPI-TIMESTAMP":"%d"' % venue_ms
            return msgspec.structs.replace(request, body=request.body.replace(STAMP, stamp, 1))
        request = self._walks.sent(request, venue_ms)
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
            case PlaceOrder() | AmendOrder() | CancelOrder():
                request = self._orders.one(command, self._item(command.instrument), at)
                self._placed(command)
                return (request,)
            case CancelAll():
                return (self._orders.cancel_all(command, self._item(command.instrument)),)
            case QueryOrder():
                return self._inquiries.order(command, self._item(command.instrument))
            case QueryAccount():
                return self._inquiries.account(command)
            case QueryFills() | QueryStatement():
                return self._walks.begin(command, at)
            case QueryKey():
                return (standing.key_question(command),)
            case SetPositionMode():
                return (standing.mode_request(command),)
            case SetLeverage():
                item = self._item(command.instrument)
                return (standing.leverage_request(command, item),)
        return ()

    def batch(self, commands: Sequence[AnyCommand], at: Nanos) -> Sequence[Request]:
        """As `encode`; neighbours of one kind and market share requests."""
        out: list[Request] = []
        for group in batches(commands):
            orders = [
                (command, self._item(command.instrument))
                for command in group
                if isinstance(command, PlaceOrder | AmendOrder | CancelOrder)
            ]
            if not orders:
                out += self.encode(group[0], at)
                continue
            out += self._orders.many(orders, at)
            for command, _ in orders:
                self._placed(command)
        return out

    def _placed(self, command: AnyCommand) -> None:
        if isinstance(command, PlaceOrder):
            self._resting.placed(command.order_id, command.ticks, command.lots)

    def _item(self, instrument: InstrumentId) -> Instrument:
        item = self._listed.get(instrument)
        if item is None:
            raise ValueError(f"instrument {instrument!r} was never listed")
        self._inquiries.touch(instrument)
        return item

    def keep_alive(self) -> Sequence[tuple[int, Request]]:
        """The dead man's switch, where wanted; the sockets' own pings keep the session."""
        window = self._settings.dead_man_ms
        if not window:
            return ()
        kept = [(_DEAD_MAN_EVERY_MS, request) for request in standing.dead_man(window)]
        if window < 3 * PING.every_ms:
            # A connection that says nothing for so long counts as dead, however alive it is.
            kept.append((window // 3, Request(tag="ping", socket="private", body=PING.payload)))
        return kept

    def follow_ups(self) -> Sequence[Request]:
        """Further pages that answers made necessary; ask after each `answered`."""
        return [*self._inquiries.follow_ups(), *self._walks.follow_ups()]

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
                item = known(self._listed, row.category, row.symbol)
                state = account.order(row, item, at)
                try:
                    return (state, *self._resting.seen(row, item, at))
                except UNREADABLE as error:  # the order's state counts all the same
                    shown = f"{topic}: {error} | {excerpt(raw)}"
                    return (state, unread("private", "unreadable_terms", shown, at))
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
        asked = self._orders.take(message.request_id)
        if asked is None and ids.order_link_id:
            verb = VERBS.get(message.op.removeprefix("order."), "")
            asked = Asked(verb, (ids.order_link_id,), "")
        failed = refusal(message.ret_code, message.text)
        header = _header(message.header)
        bucket = asked.bucket if asked else ""
        out: list[Output] = [*self._allowances.stated(bucket, header.limit)]
        if failed is not None:
            out += paused(failed, socket, bucket, header.reset_ms, at)
            if failed.code == _RESTARTING:
                out.append(Ack(socket=socket, kind="closing", text=failed.text))
        if asked is None:
            shown = f"{message.request_id} {message.ret_code} {message.text}"
            return [*out, unread(socket, "answer_to_no_question", shown, at)]
        if failed is None and message.op.endswith("-batch"):
            return [*out, *_verdicts(asked, message.data, message.extra, at)]
        return [*out, *_same_for_all(asked, failed, ids.order_id, at)]

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        verb, _, subject = answer.tag.partition(":")
        if verb in ("query", "account"):
            return self._inquiries.answered(answer, at)
        if verb in KINDS:
            return self._walked(answer, at)
        asked = self._orders.take(answer.tag)
        if asked is None:
            ids = answer.order_ids or ((answer.order_id or subject,) if subject else ())
            bucket = standing.BUCKETS.get(verb, "ip")
            asked = Asked(verb.removesuffix("_many"), ids, bucket)
        reply = read(answer)
        out: list[Output] = [*self._allowances.stated_by(asked.bucket, answer)]
        failed = reply if isinstance(reply, Failed) else None
        if failed is not None:
            out += paused_by(failed, answer, asked.bucket, at)
        if asked.verb in standing.BUCKETS:
            return [*out, *self._stood(answer, reply, at)]
        if asked.verb not in VERBS.values():
            if failed is not None:
                out.append(told(answer, failed, at))
            return out
        if isinstance(reply, Failed):
            return [*out, *_same_for_all(asked, failed, "", at)]
        if verb.endswith("_many"):
            return [*out, *_verdicts(asked, reply.result, reply.ret_ext_info, at)]
        return [*out, *_same_for_all(asked, None, _ids(reply.result).order_id, at)]

    def _walked(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        events = self._walks.answered(answer, at)
        for event in events:
            if isinstance(event, OrderFilled):
                self._inquiries.touch(event.instrument)
        return events

    def _stood(self, answer: Answer, reply: Reply | Failed, at: Nanos) -> Sequence[Output]:
        if isinstance(reply, Failed):
            if reply.reason != "not_modified":
                return (told(answer, reply, at),)
            return standing.done(answer.tag, None, at)
        try:
            return standing.done(answer.tag, reply, at)
        except UNREADABLE as error:
            shown = f"{answer.tag}: {error} | {excerpt(reply.result)}"
            return (unread("standing", "unreadable_answer", shown, at),)


def _subscription(socket: str, name: str, topics: Sequence[str]) -> Request:
    body = msgspec.json.encode({"req_id": name, "op": "subscribe", "args": topics})
    return Request(tag="subscribe", socket=socket, body=body, priority=Priority.UNWIND)


def _ids(raw: msgspec.Raw) -> OrderIds:
    """The ids an answer names; none where it names none: the code alone decides."""
    try:
        return IDS.decode(raw)
    except UNREADABLE:
        return OrderIds()


def _header(raw: msgspec.Raw) -> Header:
    """What is said of allowances; nothing where it cannot be read: the order matters more."""
    try:
        return HEADER.decode(raw)
    except UNREADABLE:
        return Header()


def _verdicts(
    asked: Asked, listed: msgspec.Raw, outcomes: msgspec.Raw, at: Nanos
) -> Sequence[AnyEvent]:
    """What an answer to a batch means for each order; unsure where it does not name it."""
    try:
        rows, said = MANY.decode(listed).items, OUTCOMES.decode(outcomes).items
    except UNREADABLE:
        rows, said = [], []
    out: list[AnyEvent] = []
    for place, order_id in enumerate(asked.order_ids):
        row = rows[place] if place < len(rows) else None
        if row is None or place >= len(said) or row.order_link_id not in ("", order_id):
            reason = "unreadable_answer"
            out.append(OrderUncertain(at=at, order_id=order_id, reason=reason))
            continue
        failed = refusal(said[place].code, said[place].msg)
        out += _verdict(asked.verb, order_id, failed, row.order_id, at)
    return out


def _same_for_all(
    asked: Asked, failed: Failed | None, venue_order_id: str, at: Nanos
) -> Sequence[AnyEvent]:
    return [
        event
        for order_id in asked.order_ids
        for event in _verdict(asked.verb, order_id, failed, venue_order_id, at)
    ]


def _verdict(
    verb: str, order_id: OrderId, failed: Failed | None, venue_order_id: str, at: Nanos
) -> Sequence[AnyEvent]:
    """What an answer to an order request means. An accepted change is told by the stream."""
    if failed is None:
        if verb != "place":
            return ()
        return (OrderAccepted(at=at, order_id=order_id, venue_order_id=venue_order_id),)
    if failed.unsure and (verb == "place" or failed.reason != "unknown_code"):
        return (OrderUncertain(at=at, order_id=order_id, reason=failed.reason),)
    reason, text = failed.reason, failed.text
    match verb:
        case "place":
            return (OrderRefused(at=at, order_id=order_id, reason=reason, text=text),)
        case "amend":
            return (AmendRefused(at=at, order_id=order_id, reason=reason, text=text),)
    return (CancelRefused(at=at, order_id=order_id, reason=reason, text=text),)
