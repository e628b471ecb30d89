"""OKX's private side: orders out, order life, fills and account in.

Source: API v5, "Trade", "WebSocket, Private Channel". Orders go by the same socket that tells of
them, or by REST. Fills are taken from the orders channel alone: the fills channel adds several
of one price together under one of their ids and would count them otherwise.
"""

from collections.abc import Mapping, Sequence

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
from oneprice.model.events import AnyEvent
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos, OrderId
from oneprice.venues.contract import Ack, Answer, Credentials, Output, Request
from oneprice.venues.okx import SPEC, account
from oneprice.venues.okx import private_frames as rows
from oneprice.venues.okx.acks import Subscriptions
from oneprice.venues.okx.errands import Errands, post
from oneprice.venues.okx.frames import ENVELOPE, RAWS, UNREADABLE, Envelope, rejected
from oneprice.venues.okx.ids import order_id
from oneprice.venues.okx.inquiry import Inquiries
from oneprice.venues.okx.listing import Detail, identity_of
from oneprice.venues.okx.orders import (
    BATCH_MAX,
    Asked,
    Change,
    OkxSettings,
    Standing,
    Verb,
    Writer,
    verdicts,
)
from oneprice.venues.okx.records import Records
from oneprice.venues.okx.rest import Failed, iso, paused, read, refusal, simulated
from oneprice.venues.signing import Signer
from oneprice.venues.walk import VERBS

_SOCKET = "private"
_SUBSCRIPTION = "private"
_CHANNELS = (
    {"channel": "orders", "instType": "ANY"},
    {"channel": "account"},
    {"channel": "positions", "instType": "ANY"},
)
_TAKEN = ("SPOT", "MARGIN", "SWAP", "FUTURES")  # margin orders are about spot instruments
_OPS: Mapping[tuple[Verb, bool], str] = {
    ("place", False): "order",
    ("place", True): "batch-orders",
    ("amend", False): "amend-order",
    ("amend", True): "batch-amend-orders",
    ("cancel", False): "cancel-order",
    ("cancel", True): "batch-cancel-orders",
}
_VERBS: Mapping[str, Verb] = {op: verb for (verb, _), op in _OPS.items()}
_PATHS: Mapping[tuple[Verb, bool], str] = {
    ("place", False): "/api/v5/trade/order",
    ("place", True): "/api/v5/trade/batch-orders",
    ("amend", False): "/api/v5/trade/amend-order",
    ("amend", True): "/api/v5/trade/amend-batch-orders",
    ("cancel", False): "/api/v5/trade/cancel-order",
    ("cancel", True): "/api/v5/trade/cancel-batch-orders",
}
_ABOUT_ORDERS = tuple(f"{verb}{many}" for verb in _VERBS.values() for many in ("", "_many"))
_EXPIRY = b'"expTime":"0"'
_ASKED_MAX = 4_096  # answers that never came must not fill the memory


class OkxTrade:
    """One account. `listed` and `details` are its feed's, shared and growing."""

    spec = SPEC

    def __init__(
        self,
        credentials: Credentials,
        listed: Mapping[InstrumentId, Instrument],
        details: Mapping[InstrumentId, Detail],
        settings: OkxSettings | None = None,
    ) -> None:
        self._key = credentials.key
        self._passphrase = credentials.passphrase
        self._signer = Signer(credentials.secret)
        self._listed = listed
        self._settings = settings or OkxSettings()
        self._standing = Standing()
        self._positions = account.Positions()
        self._seen: dict[account.PartKey, None] = {}  # of a snapshot of positions under way
        self._writer = Writer(details, self._settings, self._standing)
        self._inquiries = Inquiries(
            listed, details, self._settings, self._standing, self._positions
        )
        mixed = self._settings.spot_mode == "cross"
        self._records = Records(listed, self._inquiries.touch, mixed=mixed)
        self._errands = Errands(listed, self._settings, self._standing, self._cancel_some)
        self._subscriptions = Subscriptions()
        self._asked: dict[str, Asked] = {}
        self._amends: dict[str, None] = {}  # request ids of amendments that were told
        self._count = 0

    def __repr__(self) -> str:
        return "OkxTrade(***)"

    # Out --------------------------------------------------------------------------------

    def login(self, socket: str) -> Sequence[Request]:
        """The login, and what may follow only after its Ack: the private channels."""
        who = Request(tag="login", socket=socket, signed=True, priority=Priority.UNWIND)
        self._subscriptions.ask(_SUBSCRIPTION, len(_CHANNELS), on=True)
        body = msgspec.json.encode({"id": _SUBSCRIPTION, "op": "subscribe", "args": _CHANNELS})
        return (who, Request(tag="subscribe", socket=socket, body=body, priority=Priority.UNWIND))

    def sign(self, request: Request, venue_ms: int) -> Request:
        """Stamp and sign at the moment of sending; `venue_ms` is the venue's time."""
        if not request.signed:
            return request
        if request.tag == "login":
            return msgspec.structs.replace(request, body=self._login_frame(venue_ms))
        expiry = venue_ms + self._settings.order_window_ms
        if request.socket:
            body = request.body.replace(_EXPIRY, b'"expTime":"%d"' % expiry, 1)
            return msgspec.structs.replace(request, body=body)
        stamp = iso(venue_ms)
        target = f"{request.path}?{request.query}" if request.query else request.path
        text = f"{stamp}{request.method}{target}".encode() + request.body
        headers = [
            ("OK-ACCESS-KEY", self._key),
            ("OK-ACCESS-SIGN", self._signer.base64(text)),
            ("OK-ACCESS-TIMESTAMP", stamp),
            ("OK-ACCESS-PASSPHRASE", self._passphrase),
        ]
        verb = request.tag.partition(":")[0].removesuffix("_many")
        if verb in ("place", "amend") and self._settings.order_window_ms:
            headers.append(("expTime", str(expiry)))
        signed = msgspec.structs.replace(request, headers=(*request.headers, *headers))
        return simulated(signed) if self._settings.demo else signed

    def _login_frame(self, venue_ms: int) -> bytes:
        seconds = str(venue_ms // 1_000)
        who = {
            "apiKey": self._key,
            "passphrase": self._passphrase,
            "timestamp": seconds,
            "sign": self._signer.base64(f"{seconds}GET/users/self/verify"),
        }
        return msgspec.json.encode({"op": "login", "args": [who]})

    def encode(self, command: AnyCommand, at: Nanos) -> Sequence[Request]:
        """Requests for a command; ValueError for an instrument or id that cannot be sent."""
        match command:
            case PlaceOrder() | AmendOrder() | CancelOrder():
                return (self._send([command], at),)
            case CancelAll():
                return (self._errands.cancel_all(command, self._item(command.instrument)),)
            case QueryOrder():
                return self._inquiries.order(command, self._item(command.instrument))
            case QueryAccount():
                return self._inquiries.account(command)
            case QueryFills() | QueryStatement():
                return self._records.begin(command, at)
            case QueryKey():
                return self._errands.key(command)
            case SetPositionMode():
                return (self._errands.mode(command),)
            case SetLeverage():
                return self._errands.leverage(command, self._item(command.instrument))
        return ()

    def batch(self, commands: Sequence[AnyCommand], at: Nanos) -> Sequence[Request]:
        """Orders of one kind and one way together, twenty at most; the rest one by one."""
        out: list[Request] = []
        groups: dict[tuple[Verb, bool], list[Change]] = {}
        for command in commands:
            if isinstance(command, PlaceOrder | AmendOrder | CancelOrder):
                by_socket = self._writer.by_socket(self._item(command.instrument))
                groups.setdefault((_verb(command), by_socket), []).append(command)
            else:
                out += self.encode(command, at)
        for group in groups.values():
            for start in range(0, len(group), BATCH_MAX):
                out.append(self._send(group[start : start + BATCH_MAX], at))
        return out

    def _item(self, instrument: InstrumentId) -> Instrument:
        item = self._listed.get(instrument)
        if item is None:
            raise ValueError(f"instrument {instrument!r} was never listed")
        return item

    def _send(self, commands: Sequence[Change], at: Nanos) -> Request:
        """Several orders of one kind, all by socket or all by REST, in one request."""
        verb, many = _verb(commands[0]), len(commands) > 1
        items = [self._item(command.instrument) for command in commands]
        socket = self._writer.by_socket(items[0])
        texts = [
            self._writer.write(command, item, socket=socket)
            for command, item in zip(commands, items, strict=True)
        ]
        for item in items:
            self._inquiries.touch(item.id)
        names = tuple(command.order_id for command in commands)
        bucket = f"{verb}_many" if many else verb
        self._count += 1
        number = f"{at:x}g{self._count:x}"
        tag = f"{bucket}:{number}" if many else f"{verb}:{names[0]}"
        self._ask(number if socket else tag, Asked(verb, names, bucket))
        symbols = [item.symbol for item in items]
        cost = [(f"{bucket}:{one}", symbols.count(one)) for one in dict.fromkeys(symbols)]
        if verb != "cancel":
            cost.append(("account_orders", len(names)))
        request = Request(
            tag=tag,
            signed=True,
            cost=tuple(cost),
            priority=min(command.priority for command in commands),
            order_id="" if many else names[0],
            order_ids=names if many else (),
        )
        args = ",".join(texts)
        if not socket:
            body = f"[{args}]" if many else args
            posted = post(_PATHS[verb, many], body.encode(), tag, bucket, request.priority)
            return msgspec.structs.replace(
                posted, cost=request.cost, order_id=request.order_id, order_ids=request.order_ids
            )
        expiry = "" if verb == "cancel" or not self._settings.order_window_ms else ',"expTime":"0"'
        frame = f'{{"id":"{number}","op":"{_OPS[verb, many]}","args":[{args}]{expiry}}}'
        return msgspec.structs.replace(request, socket=_SOCKET, body=frame.encode())

    def _ask(self, name: str, asked: Asked) -> None:
        self._asked[name] = asked
        if len(self._asked) > _ASKED_MAX:
            del self._asked[next(iter(self._asked))]

    def _cancel_some(
        self, item: Instrument, found: Sequence[tuple[str, OrderId]], priority: Priority
    ) -> Request:
        """Ends orders by the venue's ids; those that are not ours as well."""
        args = [{"instId": item.symbol, "ordId": theirs} for theirs, _ in found]
        names = tuple(ours for _, ours in found)
        self._count += 1
        tag = f"cancel_many:all-{self._count}"
        self._ask(tag, Asked("cancel", names, "cancel_many"))
        request = post(_PATHS["cancel", True], args, tag, "cancel_many", priority)
        mine = tuple(name for name in names if name)
        cost = ((f"cancel_many:{item.symbol}", len(names)),)
        return msgspec.structs.replace(request, cost=cost, order_ids=mine)

    def keep_alive(self) -> Sequence[tuple[int, Request]]:
        """The dead man's switch where it is on; the sockets' pings keep the session."""
        return self._errands.dead_man()

    def follow_ups(self) -> Sequence[Request]:
        """Further pages and questions that answers made necessary."""
        parts = (self._inquiries, self._records, self._errands)
        return [request for part in parts for request in part.follow_ups()]

    # In ---------------------------------------------------------------------------------

    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]:
        """Events of one frame; what cannot be understood is a FrameRejected. Never raises."""
        if frame == b"pong":
            return [Ack(socket=socket, kind="pong")]
        try:
            said = ENVELOPE.decode(frame)
            if said.event:
                return self._subscriptions.event(socket, said, frame, at)
            if said.op:
                return self._acknowledged(socket, said, frame, at)
            if said.arg is None:
                raise ValueError("neither arg, event nor op")
            return self._pushed(socket, said, at)
        except UNREADABLE as error:
            return [rejected(socket, str(error), frame, at)]

    def _pushed(self, socket: str, said: Envelope, at: Nanos) -> list[Output]:
        """One bad row must not hide the fills beside it: each row stands alone."""
        channel = said.arg.channel if said.arg is not None else ""
        if channel not in ("orders", "account", "positions"):
            raise ValueError(f"channel: none we asked for, found {channel[:40]!r}")
        whole = channel == "positions" and said.eventType == "snapshot"
        if whole and said.curPage == 1:
            self._seen = {}
        out: list[Output] = []
        for raw in RAWS.decode(said.data):
            try:
                out += self._row(channel, raw, at)
            except UNREADABLE as error:
                whole = False
                out.append(rejected(socket, f"{channel}: {error}", raw, at))
        if whole and said.lastPage:
            # A position may be told closed by no longer being told.
            out += self._positions.finish(self._seen, "", at)
        return out

    def _row(self, channel: str, raw: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
        match channel:
            case "orders":
                return self._order(rows.ORDER.decode(raw), at)
            case "account":
                balances = account.balances(rows.BALANCE.decode(raw), at)
                self._inquiries.saw(balances)
                return balances
        row = rows.POSITION.decode(raw)
        if row.instType not in ("SWAP", "FUTURES"):
            return ()  # margin and options are no instruments of ours
        item = self._item(identity_of(row.instType, row.instId))
        self._inquiries.touch(item.id)
        self._seen[account.part_of(row, item)] = None
        return (self._positions.take(row, item, at),)

    def _order(self, row: rows.OrderRow, at: Nanos) -> Sequence[AnyEvent]:
        if row.instType not in _TAKEN:
            return ()
        item = self._item(identity_of(row.instType, row.instId))
        self._inquiries.touch(item.id)
        if row.amendResult and row.reqId:
            # The same amendment may be told again with a later stamp; the first one counts.
            if row.reqId in self._amends:
                row = msgspec.structs.replace(row, amendResult="", amendSource="")
            self._amends[row.reqId] = None
            if len(self._amends) > _ASKED_MAX:
                del self._amends[next(iter(self._amends))]
        return list(account.events_of(row, item, at))

    def _acknowledged(self, socket: str, said: Envelope, frame: bytes, at: Nanos) -> list[Output]:
        verb = _VERBS.get(said.op)
        if verb is None or not said.code:
            found = f"{said.op[:40]!r} with code {said.code[:10]!r}"
            raise ValueError(f"op: expected an order operation and its code, found {found}")
        items = _items(said.data)
        asked = self._asked.pop(said.id, None)
        if asked is None:
            # After a restart: what the items name is still known.
            named = [item for item in items if order_id(item.clOrdId)]
            if not named:
                return [rejected(socket, f"answer to no question: {said.id[:40]!r}", frame, at)]
            asked, items = Asked(verb, tuple(order_id(i.clOrdId) for i in named), ""), named
        failed = None if items else refusal(said.code, said.msg)
        return _concluded(asked, failed, items, socket, at)

    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]:
        """Events of one answer; what cannot be understood is a FrameRejected. Never raises."""
        verb, _, subject = answer.tag.partition(":")
        try:
            if verb in ("query", "account"):
                return self._inquiries.answered(answer, at)
            if verb in VERBS:
                return self._records.answered(answer, at)
            if verb not in _ABOUT_ORDERS:
                return self._errands.answered(answer, at)
        except UNREADABLE as error:
            return [rejected("rest", f"{answer.tag}: {error}", answer.body, at)]
        asked = self._asked.pop(answer.tag, None)
        if asked is None:
            names = answer.order_ids or (answer.order_id or subject,)
            asked = Asked(verb.removesuffix("_many"), names, verb)
        reply = read(answer)
        if isinstance(reply, Failed):
            return _concluded(asked, reply, [], "", at)
        items = _items(reply.data)
        failed = None if items else refusal(reply.code, reply.msg)
        return _concluded(asked, failed, items, "", at)


def _concluded(
    asked: Asked,
    failed: Failed | None,
    items: Sequence[rows.ItemAnswer],
    socket: str,
    at: Nanos,
) -> list[Output]:
    events, noes = verdicts(asked, failed, items, at)
    pauses: dict[str, Output] = {}
    for no in noes:
        for pause in paused(no, socket, asked.bucket, at):
            pauses.setdefault(no.code, pause)
    return [*pauses.values(), *events]


def _items(raw: msgspec.Raw) -> Sequence[rows.ItemAnswer]:
    """The orders that an answer names; none where it names none: the code alone decides."""
    try:
        return rows.ITEMS.decode(raw)
    except UNREADABLE:
        return []


def _verb(command: Change) -> Verb:
    match command:
        case PlaceOrder():
            return "place"
        case AmendOrder():
            return "amend"
    return "cancel"
