"""Binance's private side: orders out, order life, fills and account in (spot and USD-M)."""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
from msgspec import Raw

from oneprice.model.commands import (
    AmendOrder,
    AnyCommand,
    CancelAll,
    CancelOrder,
    PlaceOrder,
    Priority,
    QueryAccount,
    QueryOrder,
)
from oneprice.model.events import (
    AnyEvent,
    CancelRefused,
    OrderAccepted,
    OrderEnded,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Lots, Nanos, OrderId
from oneprice.venues.binance import encoding
from oneprice.venues.binance.account import INCOME, INCOME_REACH_MS, Account, income_request
from oneprice.venues.binance.answers import Reply, over_http, rate_ack, read_error, rejected
from oneprice.venues.binance.encoding import BinanceSettings, Call, Params
from oneprice.venues.binance.facts import ENTRIES, MINUTE_MS, SPEC, VENUE
from oneprice.venues.binance.inquiry import Inquiries
from oneprice.venues.binance.numbers import UNREADABLE, decimal
from oneprice.venues.binance.private_frames import (
    AccountUpdate,
    Execution,
    ListenKey,
    OrderState,
    OrderUpdate,
    PrivateFrame,
    Replaced,
    SpotPosition,
)
from oneprice.venues.binance.public import CLOSING
from oneprice.venues.binance.refusals import Verdict, verdict, word
from oneprice.venues.binance.reports import (
    account_change,
    execution_events,
    spot_balances,
    state_events,
)
from oneprice.venues.contract import Ack, Answer, Credentials, Output, Request
from oneprice.venues.signing import Signer

ASKED_MAX = 4_096  # answers that never came must not fill the memory
IDS_MAX = 16_384  # venue ids remembered to make queries cheap and exact
LISTEN_KEY_PATH = "/fapi/v1/listenKey"
_LISTEN_KEY_UNKNOWN = -1125
_ALREADY_SUBSCRIBED = -2035
_LOGIN_ID = "login"
# Events that say nothing about orders, money or positions that other events do not say. The
# faster TRADE_LITE is one: without its commission a fill could not be booked, and it comes again.
_UNUSED = frozenset(
    {
        "TRADE_LITE",
        "ACCOUNT_CONFIG_UPDATE",
        "ALGO_UPDATE",
        "CONDITIONAL_ORDER_TRIGGER_REJECT",
        "MARGIN_CALL",
        "balanceUpdate",
        "externalLockUpdate",
        "listStatus",
        "STRATEGY_UPDATE",
        "GRID_UPDATE",
    }
)
_frame = msgspec.json.Decoder(PrivateFrame)
_event = msgspec.json.Decoder(PrivateFrame)
_state = msgspec.json.Decoder(OrderState)


class BinanceTrade:
    """One account. `listed` are the instruments its feed has listed, shared and growing."""

    spec = SPEC

    def __init__(
        self,
        credentials: Credentials,
        listed: Mapping[InstrumentId, Instrument],
        settings: BinanceSettings | None = None,
    ) -> None:
        self._key = credentials.key
        self._signer = Signer(credentials.secret)
        self._listed = listed
        self._settings = settings or BinanceSettings()
        self._account = Account(listed, self._settings.wanted)
        self._inquiries = Inquiries()
        self._count = 0
        self._asked: dict[str, str] = {}  # id on a WebSocket -> tag
        self._venue_ids: dict[OrderId, str] = {}

    # Out --------------------------------------------------------------------------------

    def login(self, socket: str) -> Sequence[Request]:
        """What makes a socket ours: a subscription on spot, a listen key on futures.

        The sockets of order entry need none: with HMAC keys each request is signed.
        """
        if socket == "spot_user":
            frame = {"id": _LOGIN_ID, "method": "userDataStream.subscribe.signature", "params": {}}
            return (
                Request(
                    tag=f"login:{socket}",
                    socket=socket,
                    body=msgspec.json.encode(frame),
                    signed=True,
                    cost=(("spot_weight", 2),),
                    priority=Priority.UNWIND,
                ),
            )
        return (_listen_key("POST"),) if socket == "usdm_user" else ()

    def keep_alive(self) -> Sequence[tuple[int, Request]]:
        """The listen key twice in its hour; settled funding every minute, see account_change."""
        return (
            (30 * MINUTE_MS, _listen_key("PUT")),
            (MINUTE_MS, income_request()),
        )

    def sign(self, request: Request, venue_ms: int) -> Request:
        """Stamp and sign at the moment of sending (protocol reference 3.1)."""
        if not request.signed:
            return request
        if request.socket:
            return msgspec.structs.replace(request, body=self._signed_frame(request, venue_ms))
        headers = (*request.headers, ("X-MBX-APIKEY", self._key))
        if request.path == LISTEN_KEY_PATH:  # by key alone
            return msgspec.structs.replace(request, headers=headers)
        parts = [request.query] if request.query else []
        if request.tag == INCOME:
            parts.append(f"startTime={venue_ms - INCOME_REACH_MS}")
        parts.append(f"timestamp={venue_ms}")
        text = "&".join(parts)
        signature = self._signer.hex(text.encode() + request.body)
        query = f"{text}&signature={signature}"
        return msgspec.structs.replace(request, query=query, headers=headers)

    def _signed_frame(self, request: Request, venue_ms: int) -> bytes:
        frame = msgspec.json.decode(request.body)
        params = cast(Params, {**frame["params"], "apiKey": self._key, "timestamp": venue_ms})
        text = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = self._signer.hex(text)
        return msgspec.json.encode({**frame, "params": params})

    def encode(self, command: AnyCommand, at: Nanos) -> Sequence[Request]:
        """Requests of a command, unsigned.

        ValueError names what cannot be said to this venue: an instrument that is not listed or of
        COIN-M, which is public here; a client id of other characters.
        """
        if isinstance(command, QueryAccount):
            if command.market not in ENTRIES:
                raise ValueError(f"market {command.market!r}: expected one of {list(ENTRIES)}")
            return self._account.ask(command.market)
        if not isinstance(command, PlaceOrder | AmendOrder | CancelOrder | CancelAll | QueryOrder):
            return ()  # timers are the shell's
        item = self._listed.get(command.instrument)
        if item is None or item.market not in ENTRIES:
            raise ValueError(f"instrument {command.instrument!r}: not traded on {VENUE}")
        self._count += 1
        match command:
            case PlaceOrder():
                call = encoding.place(command, item, self._settings)
            case AmendOrder():
                call = encoding.amend(command, item, self._settings, self._count)
            case CancelOrder():
                call = encoding.cancel(command, item)
            case CancelAll():
                call = encoding.cancel_all(command, item)
            case QueryOrder():
                self._inquiries.begin(command.order_id)
                known = self._venue_ids.get(command.order_id, "")
                return [self._send(each, item) for each in encoding.query(command, item, known)]
        return (self._send(call, item),)

    def _send(self, call: Call, item: Instrument) -> Request:
        request = encoding.request_of(call, item, self._settings, self._count)
        if request.socket:
            _remember(self._asked, encoding.ws_id(self._count), request.tag, ASKED_MAX)
        return request

    # In ---------------------------------------------------------------------------------

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        """Events of one private frame; never raises, what cannot be read is FrameRejected."""
        try:
            read = _frame.decode(frame)
            if read.id is not None or read.status:
                return self._socket_reply(socket, read, frame, at)
            inner = _first(read.event, read.data)
            if inner is None:
                return self._user_event(socket, read.e, frame, at)
            return self._user_event(socket, _event.decode(inner).e, inner, at)
        except UNREADABLE as error:
            return (rejected(socket, f"{type(error).__name__}: {error}", frame, at),)

    def _user_event(
        self, socket: str, kind: str, payload: bytes | Raw, at: Nanos
    ) -> Sequence[Output]:
        match kind:
            case "executionReport":
                report = msgspec.json.decode(payload, type=Execution)
                return self._execution(socket, "spot", report, payload, at)
            case "ORDER_TRADE_UPDATE":
                report = msgspec.json.decode(payload, type=OrderUpdate).o
                return self._execution(socket, "usdm", report, payload, at)
            case "outboundAccountPosition":
                return spot_balances(msgspec.json.decode(payload, type=SpotPosition).B, at)
            case "ACCOUNT_UPDATE":
                update = msgspec.json.decode(payload, type=AccountUpdate)
                return account_change(update.a, self._listed, at)
        if kind in (*CLOSING, "listenKeyExpired"):
            return (Ack(socket=socket, kind="closing", text=kind),)
        if kind in _UNUSED:
            return ()
        return (rejected(socket, f"unknown event {kind!r}", payload, at),)

    def _execution(
        self, socket: str, market: str, report: Execution, payload: bytes | Raw, at: Nanos
    ) -> Sequence[Output]:
        """An execution that cannot be read leaves its order uncertain: the venue is asked."""
        try:
            item = self._listed[f"{VENUE}:{market}:{report.s}"]
            events = execution_events(report, item, at)
        except UNREADABLE as error:
            order_id = report.C or report.c
            reason = f"{type(error).__name__}: {error}"
            return (
                rejected(socket, reason, payload, at),
                OrderUncertain(at=at, order_id=order_id, reason="unreadable execution"),
            )
        self._learn(events)
        return events

    def _socket_reply(
        self, socket: str, read: PrivateFrame, frame: bytes, at: Nanos
    ) -> Sequence[Output]:
        failed = not 200 <= read.status < 300
        error = read_error(read.error) if failed else read_error(b"{}")
        if read.id is None or read.id == _LOGIN_ID:
            fine = not failed or error.code == _ALREADY_SUBSCRIBED
            return (Ack(socket=socket, kind="login", ok=fine, text=error.msg),)
        tag = self._asked.pop(str(read.id), "")
        if not tag:
            return (rejected(socket, f"answer to no question: {read.id}", frame, at),)
        market = "spot" if tag.split(":", 3)[2] == "spot" else "usdm"
        reply = Reply(
            tag=tag,
            market=market,
            status=read.status,
            body=read.result,
            code=error.code,
            text=error.msg,
            data=error.data,
        )
        return [*rate_ack(reply, at), *self._replied(reply, at)]

    def follow_ups(self) -> Sequence[Request]:
        """No answer here leads to another question."""
        return ()

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Events of an HTTP answer, or of none (status 0), also to a request of a socket."""
        kind, _, rest = answer.tag.partition(":")
        if kind in ("key", "keepalive"):
            return self._listen_key_came(kind, over_http(answer, "usdm"), at)
        if kind in ("account", "income"):
            reply = over_http(answer, rest.split(":")[0])
            return [*rate_ack(reply, at), *self._account_answered(reply, at)]
        if kind == "login":
            return (Ack(socket=rest, kind="login", ok=False, text=answer.detail),)
        reply = over_http(answer, rest.split(":")[1])
        return [*rate_ack(reply, at), *self._replied(reply, at)]

    def _listen_key_came(self, kind: str, reply: Reply, at: Nanos) -> Sequence[Output]:
        limits = rate_ack(reply, at)
        if kind == "keepalive":
            if reply.code == _LISTEN_KEY_UNKNOWN:
                return (*limits, Ack(socket="usdm_user", kind="closing", text=reply.text))
            return limits
        key = ""
        if reply.verdict is Verdict.DONE:
            try:
                key = msgspec.json.decode(reply.body, type=ListenKey).listenKey
            except UNREADABLE:
                key = ""
        text = key or reply.text or "no listen key in the answer"
        return (*limits, Ack(socket="usdm_user", kind="key", ok=bool(key), text=text))

    def _account_answered(self, reply: Reply, at: Nanos) -> Sequence[AnyEvent]:
        try:
            return self._account.answered(reply, at)
        except UNREADABLE as error:  # the part stays open: the account is not checked
            return (rejected("", f"{reply.tag}: {error}", reply.body, at),)

    def _replied(self, reply: Reply, at: Nanos) -> Sequence[AnyEvent]:
        """Events of an answer about an order; one that cannot be read leaves it uncertain."""
        kind, venue, market, symbol, order_id = reply.tag.split(":", 4)
        try:
            item = self._listed[f"{venue}:{market}:{symbol}"]
            events = self._of_kind(kind, reply, order_id, item, at)
        except UNREADABLE as error:
            problem = rejected("", f"{reply.tag}: {error}", reply.body, at)
            if not order_id:
                return (problem,)
            return (
                problem,
                OrderUncertain(at=at, order_id=order_id, reason="unreadable answer"),
            )
        self._learn(events)
        return events

    def _of_kind(
        self, kind: str, reply: Reply, order_id: OrderId, item: Instrument, at: Nanos
    ) -> Sequence[AnyEvent]:
        if kind in ("query", "fills"):
            return self._inquiries.answered(kind, reply, order_id, item, at)
        if kind == "amend" and not item.is_derivative:
            return _replaced(reply, order_id, item, at)
        if kind == "cancel_all":
            return _cancelled_all(reply, item, at)
        if reply.verdict is Verdict.UNCERTAIN:
            return (_uncertain(reply, order_id, at),)
        if reply.verdict is Verdict.REFUSED:
            refused = OrderRefused if kind == "place" else CancelRefused
            return (refused(at=at, order_id=order_id, reason=reply.word, text=reply.text),)
        state = _state.decode(reply.body)
        if kind == "cancel":
            return _cancelled(state, order_id, item, at)
        return state_events(state, order_id, item, at)

    def _learn(self, events: Sequence[AnyEvent]) -> None:
        for event in events:
            if isinstance(event, OrderAccepted) and event.venue_order_id:
                _remember(self._venue_ids, event.order_id, event.venue_order_id, IDS_MAX)


def _listen_key(method: str) -> Request:
    return Request(
        tag="key:usdm" if method == "POST" else "keepalive:usdm",
        host="usdm_rest",
        method=method,
        path=LISTEN_KEY_PATH,
        signed=True,
        cost=(("futures_weight", 1),),
        priority=Priority.UNWIND,
    )


def _remember(memory: dict[str, str], key: str, value: str, most: int) -> None:
    memory[key] = value
    if len(memory) > most:
        del memory[next(iter(memory))]


def _first(*raws: Raw) -> Raw | None:
    return next((raw for raw in raws if bytes(raw) not in (b"", b"null")), None)


def _uncertain(reply: Reply, order_id: OrderId, at: Nanos) -> OrderUncertain:
    return OrderUncertain(at=at, order_id=order_id, reason=reply.text or "no answer")


def _cancelled(
    state: OrderState, order_id: OrderId, item: Instrument, at: Nanos
) -> Sequence[AnyEvent]:
    """A cancel that worked ends the order here only if nothing had filled; else the stream."""
    if state.status != "CANCELED" or item.lots(decimal(state.executedQty)):
        return ()
    return (OrderEnded(at=at, order_id=order_id, filled_lots=Lots(0), reason="cancelled"),)


def _cancelled_all(reply: Reply, item: Instrument, at: Nanos) -> Sequence[AnyEvent]:
    if reply.verdict is not Verdict.DONE:
        if reply.word == "no_such_order":
            return ()  # nothing was open
        problem = f"{reply.tag}: {reply.text or 'no answer'}"
        return (rejected("", problem, reply.body, at),)
    if item.is_derivative:
        return ()  # an acknowledgement only; the stream tells each end
    events: list[AnyEvent] = []
    for raw in msgspec.json.decode(reply.body, type=list[Raw]):
        state = _state.decode(raw)
        if state.origClientOrderId:
            events.extend(_cancelled(state, state.origClientOrderId, item, at))
    return events


def _replaced(reply: Reply, order_id: OrderId, item: Instrument, at: Nanos) -> Sequence[AnyEvent]:
    """A spot order cancelled and placed anew under the same id (protocol reference 5.2)."""
    if reply.verdict is Verdict.DONE:
        both = msgspec.json.decode(reply.body, type=Replaced)
        return state_events(_state.decode(both.newOrderResponse), order_id, item, at)
    halves = _first(reply.data)
    if reply.verdict is Verdict.UNCERTAIN or reply.code not in (-2021, -2022) or halves is None:
        if reply.verdict is Verdict.UNCERTAIN:
            return (_uncertain(reply, order_id, at),)
        return (CancelRefused(at=at, order_id=order_id, reason=reply.word, text=reply.text),)
    both = msgspec.json.decode(halves, type=Replaced)
    if both.cancelResult != "SUCCESS":
        error = read_error(both.cancelResponse)
        reason = word(item.market, error.code, error.msg)
        return (CancelRefused(at=at, order_id=order_id, reason=reason, text=error.msg),)
    error = read_error(both.newOrderResponse)
    if verdict(item.market, 400, error.code, error.msg) is not Verdict.REFUSED:
        return (OrderUncertain(at=at, order_id=order_id, reason=error.msg),)
    return (OrderEnded(at=at, order_id=order_id, filled_lots=Lots(0), reason="cancelled"),)
