"""Binance's private side: orders out, order life, fills and account in."""

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
    QueryFills,
    QueryKey,
    QueryOrder,
    QueryStatement,
    SetLeverage,
    SetPositionMode,
)
from oneprice.model.events import (
    AnyEvent,
    OpenOrderReported,
    OrderAccepted,
    OrderAmended,
    OrderEnded,
    OrderFilled,
    OrderUncertain,
    PositionReported,
)
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.units import InstrumentId, Lots, Nanos, OrderId, Ticks
from oneprice.venues.binance import encoding, fills, standing, statement, verdicts
from oneprice.venues.binance.account import INCOME, INCOME_REACH_MS, Account, income_request
from oneprice.venues.binance.allowances import Allowances
from oneprice.venues.binance.answers import Reply, over_http, rate_ack, read_error, rejected
from oneprice.venues.binance.encoding import BinanceSettings, Call, OrderCommand, Params
from oneprice.venues.binance.facts import ENTRIES, MINUTE_MS, PRODUCTS, SPEC, VENUE
from oneprice.venues.binance.inquiry import Inquiries
from oneprice.venues.binance.numbers import UNREADABLE
from oneprice.venues.binance.private_frames import (
    AccountUpdate,
    BalanceUpdate,
    Execution,
    ListenKey,
    OrderUpdate,
    PrivateFrame,
    SpotPosition,
)
from oneprice.venues.binance.public import CLOSING
from oneprice.venues.binance.refusals import Verdict
from oneprice.venues.binance.reports import (
    account_change,
    execution_events,
    forced,
    futures_id,
    spot_balances,
)
from oneprice.venues.contract import Ack, Answer, Credentials, Output, Request
from oneprice.venues.signing import Signer

ASKED_MAX = 4_096  # answers that never came must not fill the memory
IDS_MAX = 16_384  # venue ids remembered to make queries cheap and exact
LISTEN_KEYS = {
    market: entry.contracts.listen_key
    for market, entry in ENTRIES.items()
    if entry.contracts is not None
}
_USERS = {entry.user: market for market, entry in ENTRIES.items()}
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
        "externalLockUpdate",
        "listStatus",
        "STRATEGY_UPDATE",
        "GRID_UPDATE",
    }
)
# Requests whose tag names the market right behind its kind.
_BY_MARKET = ("account", "income", *fills.KINDS, statement.KIND, *standing.KINDS)
_frame = msgspec.json.Decoder(PrivateFrame)
_event = msgspec.json.Decoder(PrivateFrame)


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
        self._terms: dict[OrderId, tuple[Ticks, Lots]] = {}  # of orders that may rest
        self._inquiries = Inquiries(self._terms)
        self._fills = fills.Fills(listed, self._settings.wanted)
        self._statements = statement.Statements(listed)
        self._placed: dict[OrderId, InstrumentId] = {}
        self._count = 0
        self._asked: dict[str, str] = {}  # id on a WebSocket -> tag
        self._venue_ids: dict[OrderId, str] = {}
        self._allowances = Allowances()
        self._next: list[Request] = []

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
        market = _USERS.get(socket, "spot")
        return (_listen_key(market, "POST"),) if market in LISTEN_KEYS else ()

    def keep_alive(self) -> Sequence[tuple[int, Request]]:
        """The listen key twice in its hour, settled funding every minute (see account_change),
        and the dead man's switch of each wanted contract four times in its window."""
        wanted = [split_id(name)[1] for name in self._settings.wanted]
        out: list[tuple[int, Request]] = []
        for market in LISTEN_KEYS:
            if market in wanted or not wanted:
                out.append((30 * MINUTE_MS, _listen_key(market, "PUT")))
                out.append((MINUTE_MS, income_request(market)))
        window = self._settings.dead_man_ms
        for name in self._settings.wanted if window else ():
            item = self._listed.get(name)
            if item is not None and item.market in LISTEN_KEYS:
                out.append((window // 4, standing.dead_man(item, window)))
        return out

    def sign(self, request: Request, venue_ms: int) -> Request:
        """Stamp and sign at the moment of sending (protocol reference 3.1)."""
        if not request.signed:
            return request
        if request.socket:
            return msgspec.structs.replace(request, body=self._signed_frame(request, venue_ms))
        headers = (*request.headers, ("X-MBX-APIKEY", self._key))
        if request.path in LISTEN_KEYS.values():  # by key alone
            return msgspec.structs.replace(request, headers=headers)
        parts = [request.query] if request.query else []
        if request.tag.startswith(INCOME):
            parts.append(f"startTime={venue_ms - INCOME_REACH_MS}")
        if more := self._more_of(request.tag, venue_ms):
            parts.append(more)
        parts.append(f"timestamp={venue_ms}")
        text = "&".join(parts)
        signature = self._signer.hex(text.encode() + request.body)
        query = f"{text}&signature={signature}"
        return msgspec.structs.replace(request, query=query, headers=headers)

    def _more_of(self, tag: str, venue_ms: int) -> str:
        """What only the moment of sending can say of a question about the past."""
        kind = tag.partition(":")[0]
        if kind in fills.KINDS:
            return self._fills.sent(tag, venue_ms)
        return self._statements.sent(tag, venue_ms) if kind == statement.KIND else ""

    def _signed_frame(self, request: Request, venue_ms: int) -> bytes:
        frame = msgspec.json.decode(request.body)
        params = cast(Params, {**frame["params"], "apiKey": self._key, "timestamp": venue_ms})
        text = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = self._signer.hex(text)
        return msgspec.json.encode({**frame, "params": params})

    def encode(self, command: AnyCommand, at: Nanos) -> Sequence[Request]:
        """Requests of a command, unsigned.

        ValueError names what cannot be said to this venue: an instrument that is not listed, a
        client id of other characters, leverage of spot.
        """
        match command:
            case PlaceOrder() | AmendOrder() | CancelOrder():
                item = self._item(command.instrument)
                return (self._send(self._call(command, item), item),)
            case CancelAll():
                item = self._item(command.instrument)
                self._count += 1
                return (self._send(encoding.cancel_all(command, item), item),)
            case QueryOrder():
                item = self._item(command.instrument)
                self._inquiries.begin(command.order_id)
                known = self._venue_ids.get(command.order_id, "")
                return [self._send(each, item) for each in encoding.query(command, item, known)]
            case QueryAccount():
                if command.market not in ENTRIES:
                    expected = list(ENTRIES)
                    raise ValueError(f"market {command.market!r}: expected one of {expected}")
                return self._account.ask(command.market)
            case QueryFills():
                return self._fills.begin(command, at)
            case QueryStatement():
                return self._statements.begin(command, at)
            case QueryKey():
                return (standing.rights_request(command),)
            case SetPositionMode():
                return (standing.mode_request(command),)
            case SetLeverage():
                item = self._item(command.instrument)
                return (standing.leverage_request(command, item),)
        return ()  # timers are the shell's

    def batch(self, commands: Sequence[AnyCommand], at: Nanos) -> Sequence[Request]:
        """As `encode`; neighbours of one kind share requests where the market has batches."""
        out: list[Request] = []
        for group in encoding.batches(commands):
            if len(group) == 1:
                out += self.encode(group[0], at)
                continue
            orders = [each for each in group if isinstance(each, OrderCommand)]
            calls = [self._call(each, self._item(each.instrument)) for each in orders]
            market = split_id(orders[0].instrument)[1]
            self._count += 1
            tag = f"{calls[0].kind}_many:{market}:{self._count}"
            out.append(encoding.batch_of(calls, market, self._settings, tag))
        return out

    def _item(self, instrument: InstrumentId) -> Instrument:
        item = self._listed.get(instrument)
        if item is None:
            raise ValueError(f"instrument {instrument!r}: not listed by {VENUE}")
        return item

    def _call(self, command: OrderCommand, item: Instrument) -> Call:
        self._count += 1
        match command:
            case PlaceOrder():
                call = encoding.place(command, item, self._settings)
                self._terms[command.order_id] = (command.ticks, command.lots)
                _remember(self._placed, command.order_id, item.id, IDS_MAX)
                self._fills.touch(item.id)
                if len(self._terms) > IDS_MAX:
                    del self._terms[next(iter(self._terms))]
                return call
            case AmendOrder():
                ticks, lots = self._terms.get(command.order_id, (0, 0))
                if not item.is_derivative and ticks == command.ticks and lots > command.lots:
                    return encoding.reduce(command, item)
                return encoding.amend(command, item, self._settings, self._count)
        return encoding.cancel(command, item)

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
                return self._execution(socket, _USERS[socket], report, payload, at)
            case "outboundAccountPosition":
                return spot_balances(msgspec.json.decode(payload, type=SpotPosition).B, at)
            case "ACCOUNT_UPDATE":
                update = msgspec.json.decode(payload, type=AccountUpdate)
                changes = account_change(update.a, _USERS[socket], self._listed, at)
                self._learn(changes)
                return changes
            case "balanceUpdate":
                return (statement.moved(msgspec.json.decode(payload, type=BalanceUpdate), at),)
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
            item = self._listed[futures_id(self._listed, market, report.s)]
            events = execution_events(report, item, at)
        except UNREADABLE as error:
            order_id = report.C or report.c
            problem = rejected(socket, f"{type(error).__name__}: {error}", payload, at)
            if forced(report.c, report.x):
                return (problem,)
            return (
                problem,
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
        market = tag.split(":", 3)[2]
        reply = Reply(
            tag=tag,
            market=market,
            status=read.status,
            body=read.result,
            code=error.code,
            text=error.msg,
            data=error.data,
        )
        stated = self._allowances.stated(market, read.rateLimits)
        return [*stated, *rate_ack(reply, at), *self._replied(reply, at)]

    def follow_ups(self) -> Sequence[Request]:
        """Second questions that answers made necessary; ask after each `answered`."""
        out, self._next = self._next, []
        return [*out, *self._fills.follow_ups(), *self._statements.follow_ups()]

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Events of an HTTP answer, or of none (status 0), also to a request of a socket."""
        kind, _, rest = answer.tag.partition(":")
        market = rest.split(":")[0]
        if kind in ("key", "keepalive"):
            return self._listen_key_came(kind, over_http(answer, market), at)
        if kind == "login":
            return (Ack(socket=rest, kind="login", ok=False, text=answer.detail),)
        if kind in _BY_MARKET or kind.endswith("_many"):
            reply = over_http(answer, market)
        else:
            reply = over_http(answer, rest.split(":")[1])
        limits = rate_ack(reply, at)
        if kind in ("account", "income"):
            return [*limits, *self._account_answered(reply, at)]
        if kind in fills.KINDS:
            told = self._fills.answered(reply, at)
            return [*limits, *told]
        if kind == statement.KIND:
            return [*limits, *self._statements.answered(reply, at)]
        if kind in standing.KINDS:
            events, more = standing.answered(reply, at)
            self._next += more
            return [*limits, *events]
        if kind.endswith("_many"):
            what, ids = kind.removesuffix("_many"), answer.order_ids
            told = verdicts.of_many(what, reply, ids, self._listed, at)
            self._learn(told)
            return [*limits, *told]
        return [*limits, *self._replied(reply, at)]

    def _listen_key_came(self, kind: str, reply: Reply, at: Nanos) -> Sequence[Output]:
        limits = rate_ack(reply, at)
        socket = ENTRIES[reply.market].user
        if kind == "keepalive":
            if reply.code == _LISTEN_KEY_UNKNOWN:
                return (*limits, Ack(socket=socket, kind="closing", text=reply.text))
            return limits
        key = ""
        if reply.verdict is Verdict.DONE:
            try:
                key = msgspec.json.decode(reply.body, type=ListenKey).listenKey
            except UNREADABLE:
                key = ""
        text = key or reply.text or "no listen key in the answer"
        return (*limits, Ack(socket=socket, kind="key", ok=bool(key), text=text))

    def _account_answered(self, reply: Reply, at: Nanos) -> Sequence[AnyEvent]:
        try:
            events = self._account.answered(reply, at)
            self._learn(events)
            return events
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
        if kind == "cancel_all":
            return verdicts.of_all(reply, item, at)
        return verdicts.of_order(kind, reply, order_id, item, at)

    def _learn(self, events: Sequence[AnyEvent]) -> None:
        for event in events:
            match event:
                case OrderAccepted() if event.venue_order_id:
                    _remember(self._venue_ids, event.order_id, event.venue_order_id, IDS_MAX)
                    placed = self._placed.get(event.order_id)
                    if placed is not None:
                        self._fills.owns(event.order_id, placed, int(event.venue_order_id))
                case OrderFilled() | OpenOrderReported() | PositionReported():
                    self._fills.touch(event.instrument)
                case OrderAmended():
                    self._terms[event.order_id] = (event.ticks, event.lots)
                case OrderEnded():
                    self._terms.pop(event.order_id, None)


def _listen_key(market: str, method: str) -> Request:
    return Request(
        tag=f"key:{market}" if method == "POST" else f"keepalive:{market}",
        host=PRODUCTS[market].rest,
        method=method,
        path=LISTEN_KEYS[market],
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
