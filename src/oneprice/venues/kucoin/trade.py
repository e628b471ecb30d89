"""KuCoin's private side: orders out, order life, fills and account in.

Source: KuCoin API docs, "Authentication", "Orders", "Private channels". An answer of 200000 means
"taken for processing"; only the private stream or a query says what became of it.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, TypeVar

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
from oneprice.model.events import (
    AnyEvent,
    LeverageReported,
    OpenOrderReported,
    OrderAccepted,
    OrderEnded,
    PositionModeReported,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos, OrderId
from oneprice.venues.contract import Ack, Answer, Credentials, Output, Request
from oneprice.venues.kucoin import NAME, SPEC, account, orders
from oneprice.venues.kucoin.account import FeeTiers, Wallets
from oneprice.venues.kucoin.listing import known
from oneprice.venues.kucoin.orders import KucoinSettings, Margin
from oneprice.venues.kucoin.queries import Inquiries
from oneprice.venues.kucoin.records import Records
from oneprice.venues.kucoin.rest import (
    Doors,
    Failed,
    door_request,
    get,
    paused,
    read,
    told,
    unread,
)
from oneprice.venues.kucoin.rows import (
    KEY,
    MARGIN,
    POSITION,
    SETTLEMENT,
    STREAM_BALANCE,
    STREAM_ORDER,
    STREAM_WALLET,
    StreamOrder,
)
from oneprice.venues.kucoin.verdicts import ORDER_VERBS, verdicts
from oneprice.venues.kucoin.wire import (
    ENVELOPE,
    UNREADABLE,
    Envelope,
    Reply,
    decimal_or_zero,
    excerpt,
)
from oneprice.venues.signing import Signer
from oneprice.venues.walk import VERBS

T = TypeVar("T")

_TOPICS: Mapping[str, tuple[str, ...]] = {
    "spot_private": ("/spotMarket/tradeOrdersV2", "/account/balance"),
    "futures_private": (
        "/contractMarket/tradeOrders",
        "/contract/positionAll",
        "/contractAccount/wallet",
    ),
}
_MARKET = {"spot_private": "spot", "futures_private": "futures"}
# Older names of what walletBalance.change says, and changes of settings.
_DEPRECATED = frozenset(
    ("availableBalance.change", "orderMargin.change", "withdrawHold.change", "user.config")
)
_SENT_MAX = 4096  # what we remember of our orders must not fill the memory


class _Sent(msgspec.Struct):
    """What we asked of an order, to know afterwards why it ended and whose pool it used."""

    market: str
    lasting: TimeInForce
    rested: bool = False
    cancelled: bool = False


class KucoinTrade:
    """One account. `listed` are the instruments its feed has listed, shared and growing."""

    spec = SPEC

    def __init__(
        self,
        credentials: Credentials,
        listed: Mapping[InstrumentId, Instrument],
        settings: KucoinSettings | None = None,
    ) -> None:
        self._key = credentials.key
        self._signer = Signer(credentials.secret)
        self._passphrase = self._signer.base64(credentials.passphrase)
        self._listed = listed
        self._settings = settings or KucoinSettings()
        self._tiers = FeeTiers(self._settings.spot_fees, self._settings.futures_fees)
        self._inquiries = Inquiries(listed, self._settings, self._tiers)
        self._records = Records(
            listed, lambda: self._inquiries.named("spot"), self._inquiries.touch
        )
        self._wallets = Wallets()
        self._doors = Doors()
        self._sent: dict[OrderId, _Sent] = {}
        self._leverage: dict[InstrumentId, Decimal] = {}  # asked for, not yet confirmed
        self._batches = 0

    def __repr__(self) -> str:
        return "KucoinTrade(***)"

    # Out --------------------------------------------------------------------------------

    def login(self, socket: str) -> Sequence[Request]:
        """The token's question, to be asked before connecting; then, on the socket and after its
        welcome, one message for each topic. Each of these is acknowledged as a login."""
        market = _MARKET[socket]
        frames = [
            Request(
                tag=f"subscribe:{topic}",
                socket=socket,
                body=msgspec.json.encode(
                    {
                        "id": f"login-{place}",
                        "type": "subscribe",
                        "topic": topic,
                        "privateChannel": True,
                        "response": True,
                    }
                ),
                priority=Priority.UNWIND,
            )
            for place, topic in enumerate(_TOPICS[socket])
        ]
        return (door_request(socket, market, private=True), *frames)

    def sign(self, request: Request, venue_ms: int) -> Request:
        """Stamp and sign at the moment of sending; `venue_ms` is the venue's time. The path that
        is signed is the venue's own, whatever stands before it in the endpoint."""
        if not request.signed:
            return request
        request = self._records.stamped(request, venue_ms)
        query = f"?{request.query}" if request.query else ""
        text = f"{venue_ms}{request.method}{request.path}{query}".encode() + request.body
        headers = (
            ("KC-API-KEY", self._key),
            ("KC-API-TIMESTAMP", str(venue_ms)),
            ("KC-API-SIGN", self._signer.base64(text)),
            ("KC-API-PASSPHRASE", self._passphrase),
            ("KC-API-KEY-VERSION", self._settings.key_version),
        )
        return msgspec.structs.replace(request, headers=(*request.headers, *headers))

    def encode(self, command: AnyCommand, at: Nanos) -> Sequence[Request]:
        """Requests for a command; ValueError for what cannot be sent."""
        match command:
            case PlaceOrder():
                item = self._item(command.instrument)
                return (orders.place(command, item, self._content(command, item)),)
            case AmendOrder():
                # Futures have none; spot's ends the order and begins another, and no document
                # says which of the two bears our id in the messages that follow.
                raise ValueError(f"{command.order_id}: kucoin has no amend that keeps an order")
            case CancelOrder():
                item = self._item(command.instrument)
                self._asked_to_cancel(command.order_id)
                return (orders.cancel(command, item),)
            case CancelAll():
                return (orders.cancel_all(command, self._item(command.instrument)),)
            case QueryOrder():
                return self._inquiries.order(command, self._item(command.instrument))
            case QueryAccount():
                return self._inquiries.account(command)
            case QueryFills() | QueryStatement():
                return self._records.begin(command, at)
            case QueryKey():
                path, cost = "/api/v1/user/api-key", ("management", 20)
                question = get("spot", path, {}, "key", cost)
                return (msgspec.structs.replace(question, signed=True, priority=command.priority),)
            case SetPositionMode():
                return (orders.position_mode(command),)
            case SetLeverage():
                item = self._item(command.instrument)
                request = orders.leverage(command, item, self._inquiries.margin_of(item))
                self._leverage[item.id] = command.leverage
                return (request,)
        return ()

    def batch(self, commands: Sequence[AnyCommand], at: Nanos) -> Sequence[Request]:
        """New orders, and cancels of futures, by market in as few requests as the venue allows;
        anything else one by one. ValueError where one of them cannot be sent: none is then."""
        places: dict[str, list[PlaceOrder]] = {}
        cancels: list[CancelOrder] = []
        out: list[Request] = []
        for command in commands:
            match command:
                case PlaceOrder():
                    places.setdefault(self._item(command.instrument).market, []).append(command)
                case CancelOrder() if self._item(command.instrument).market == "futures":
                    cancels.append(command)
                case _:
                    out += self.encode(command, at)
        for market, wanted in places.items():
            for some in _parts(wanted, orders.BATCH_MAX[market]):
                out += self._place_some(some, market, at)
        for few in _parts(cancels, orders.BATCH_MAX["futures"]):
            out += self._cancel_some(few, at)
        return out

    def _place_some(
        self, commands: Sequence[PlaceOrder], market: str, at: Nanos
    ) -> Sequence[Request]:
        if len(commands) == 1:
            return self.encode(commands[0], at)
        contents = [self._content(each, self._item(each.instrument)) for each in commands]
        return (orders.place_many(commands, market, contents, self._batch_name(at)),)

    def _cancel_some(self, commands: Sequence[CancelOrder], at: Nanos) -> Sequence[Request]:
        if len(commands) == 1:
            return self.encode(commands[0], at)
        for each in commands:
            self._asked_to_cancel(each.order_id)
        items = [self._item(each.instrument) for each in commands]
        return (orders.cancel_many(commands, items, self._batch_name(at)),)

    def _batch_name(self, at: Nanos) -> str:
        self._batches += 1
        return f"{at:x}-{self._batches:x}"

    def _content(self, command: PlaceOrder, item: Instrument) -> dict[str, object]:
        content = orders.body(command, item, self._settings, self._inquiries.margin_of(item))
        self._sent[command.order_id] = _Sent(item.market, command.time_in_force)
        if len(self._sent) > _SENT_MAX:
            del self._sent[next(iter(self._sent))]
        return content

    def _asked_to_cancel(self, order_id: OrderId) -> None:
        sent = self._sent.get(order_id)
        if sent is not None:
            sent.cancelled = True

    def _item(self, instrument: InstrumentId) -> Instrument:
        item = self._listed.get(instrument)
        if item is None:
            raise ValueError(f"instrument {instrument!r} was never listed")
        self._inquiries.touch(instrument)
        return item

    def keep_alive(self) -> Sequence[tuple[int, Request]]:
        """The dead man's switch where it is set; the sockets' own pings keep the session."""
        return orders.dead_man(self._settings)

    def follow_ups(self) -> Sequence[Request]:
        """Questions that answers made necessary; ask after each `answered`."""
        return [*self._inquiries.follow_ups(), *self._records.follow_ups()]

    # In ---------------------------------------------------------------------------------

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        """Events of one private frame; never raises, what cannot be read is FrameRejected."""
        named = socket if socket in _MARKET else "unknown"
        try:
            message = ENVELOPE.decode(frame)
            if message.type != "message":
                return (_control(socket, message),)
            return self._message(_MARKET[socket], message, at)
        except UNREADABLE as error:
            return (unread(named, "malformed", f"{error} | {excerpt(frame)}", at),)

    def _message(self, market: str, message: Envelope, at: Nanos) -> Sequence[Output]:
        match (market, message.subject):
            case ("spot", "orderChange") | ("futures", "symbolOrderChange"):
                row = STREAM_ORDER.decode(message.data)
                return self._order(row, known(self._listed, market, row.symbol), at)
            case ("spot", "account.balance"):
                balances = self._wallets.spot(STREAM_BALANCE.decode(message.data), at)
                self._inquiries.saw(balances)
                return balances
            case ("futures", "walletBalance.change"):
                balances = self._wallets.futures(STREAM_WALLET.decode(message.data), at)
                self._inquiries.saw(balances)
                return balances
            case ("futures", "position.change"):
                place = POSITION.decode(message.data)
                item = known(self._listed, market, place.symbol)
                told_position = account.position(place, item, at)
                if told_position is None:
                    return ()  # only the mark has moved
                self._inquiries.touch(item.id)
                return (told_position,)
            case ("futures", "position.settlement"):
                paid = SETTLEMENT.decode(message.data)
                symbol = paid.symbol or message.topic.partition(":")[2]
                return (account.settlement(paid, known(self._listed, market, symbol), at),)
            case ("futures", subject) if subject in _DEPRECATED:
                return ()
        raise ValueError(f"subject: unknown, found {message.subject[:40]!r}")

    def _order(self, row: StreamOrder, item: Instrument, at: Nanos) -> Sequence[AnyEvent]:
        order_id = row.client_oid or ""
        self._records.name(str(row.order_id), order_id)
        sent = self._sent.get(order_id)
        match row.type:
            case "match":
                self._inquiries.touch(item.id)
                return (account.stream_fill(row, item, self._tiers, at),)
            case "received" | "open":
                live = row.type == "open"
                if sent is not None and live:
                    sent.rested = True
                return (
                    OrderAccepted(
                        at=at, order_id=order_id, venue_order_id=str(row.order_id), live=live
                    ),
                )
            case "filled" | "canceled":
                filled = item.lots(decimal_or_zero(row.filled_size, "filledSize"))
                reason = "filled" if row.type == "filled" else _why(sent)
                return (OrderEnded(at=at, order_id=order_id, filled_lots=filled, reason=reason),)
        return account.uncertain(row, at)

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Events of an HTTP answer; where an order's fate is not told it is uncertain."""
        verb, _, subject = answer.tag.partition(":")
        if verb in ("query", "account"):
            return self._noted(self._inquiries.answered(answer, at))
        if verb in VERBS:
            return self._records.answered(answer, at)
        reply = read(answer)
        bucket = self._bucket(verb, subject, answer)
        out: list[Output] = []
        if isinstance(reply, Failed):
            out += paused(reply, answer, bucket, at)
        if verb in ORDER_VERBS:
            return self._noted([*out, *verdicts(verb, answer, reply, at)])
        if isinstance(reply, Failed):
            return [*out, told(answer, reply, at)]
        try:
            return [*out, *self._fact(verb, subject, reply, at)]
        except UNREADABLE as error:
            return [*out, unread(verb, "malformed", str(error), at)]

    def _noted(self, outputs: Sequence[Output]) -> Sequence[Output]:
        """Fills of REST name orders by the venue's id: it is remembered where it is told."""
        for event in outputs:
            if isinstance(event, OrderAccepted | OpenOrderReported) and event.venue_order_id:
                self._records.name(event.venue_order_id, event.order_id)
        return outputs

    def _fact(self, verb: str, subject: str, reply: Reply, at: Nanos) -> Sequence[Output]:
        match verb:
            case "door":
                return (self._doors.opened(subject, reply),)
            case "key":
                return (account.key(KEY.decode(reply.data), at),)
            case "cancel_all" | "dead_man":
                return ()
            case "position_mode":
                mode: Literal["one_way", "hedge"] = "hedge" if subject == "hedge" else "one_way"
                return (PositionModeReported(at=at, venue=NAME, market="futures", mode=mode),)
            case "leverage":
                return self._leverage_set(self._listed[subject], reply, at)
        raise ValueError(f"answer to no question: {verb[:40]!r}")

    def _leverage_set(self, item: Instrument, reply: Reply, at: Nanos) -> Sequence[AnyEvent]:
        wanted = self._leverage.pop(item.id)
        if bytes(reply.data) == b"false":
            raise ValueError(f"leverage of {item.id}: expected true, found false")
        margin = self._inquiries.margin_of(item)
        if margin.mode == "isolated":
            margin = self._inquiries.margin_told(item, MARGIN.decode(reply.data).margin_mode)
            if margin.mode == "cross":
                raise ValueError(f"marginMode: expected ISOLATED for {item.id}, found CROSS")
        self._inquiries.margins[item.id] = Margin(margin.mode, wanted)
        return (LeverageReported(at=at, instrument=item.id, leverage=wanted, margin=margin.mode),)

    def _bucket(self, verb: str, subject: str, answer: Answer) -> str:
        """The pool that an answer's headers speak of; "" where we do not know any more."""
        if verb in ORDER_VERBS:
            named = answer.order_ids[0] if answer.order_ids else subject
            sent = self._sent.get(named)
            return sent.market if sent is not None else ""
        match verb:
            case "key":
                return "management"
            case "dead_man":
                return "spot"
            case "position_mode" | "leverage":
                return "futures"
            case "door":
                return _MARKET.get(subject, "")
            case "cancel_all":
                return "spot" if subject.startswith(f"{NAME}:spot:") else "futures"
        return ""


def _why(sent: _Sent | None) -> str:
    """Why an order was cancelled: the message does not say, but what we asked for does."""
    if sent is None or sent.cancelled:
        return "cancelled"
    if sent.lasting in (TimeInForce.IOC, TimeInForce.FOK):
        return "expired"
    if sent.lasting is TimeInForce.POST_ONLY and not sent.rested:
        return "post_only"
    return "cancelled"


def _control(socket: str, message: Envelope) -> Ack:
    """The welcome and each acknowledged topic are steps of one login."""
    request_id = str(message.id)
    match message.type:
        case "welcome":
            return Ack(socket=socket, kind="login", text="welcome")
        case "ack":
            return Ack(socket=socket, kind="login", request_id=request_id)
        case "pong":
            return Ack(socket=socket, kind="pong", request_id=request_id)
        case "error":
            text = f"{message.code} {excerpt(message.data)}"
            if not request_id.startswith("login-"):
                return Ack(socket=socket, kind="closing", ok=False, text=text)
            return Ack(socket=socket, kind="login", ok=False, request_id=request_id, text=text)
    raise ValueError(f"type: unknown, found {message.type[:40]!r}")


def _parts(items: Sequence[T], size: int) -> Sequence[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
