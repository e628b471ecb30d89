"""What a venue must say: Spec, Feed, Trade. Read this to add one.

A dialect is data and deterministic objects: bytes in, events out; commands in, requests out. It
opens no socket, reads no clock and keeps no order. The shell does the talking: it connects the
sockets that the Spec names, logs in, subscribes, keeps the heartbeat, paces, retries, resyncs.

Where a command means nothing to a venue its answer is `()`; an unsupported one raises ValueError.
Host keys that end in "rest" are HTTP, all others sockets; `hosts["live"]` names every one of them.
An Ack "subscribe" or "unsubscribe" carries the request id, "login" and "key" the socket, "clock"
and the rest stand alone. `batch` is asked for cancels that leave together: without batches, encode
each.

How the shell uses a dialect
  start      load instruments: each `Feed.instruments()` request is sent; its answer goes to
             `Feed.answered`, which yields InstrumentListed (and knows the grids from then on).
  listing    while we trade the shell asks `Feed.instruments(markets, only)` again: for those
             alone, by name where the venue can. The tag says who was asked for (`listing_tag`),
             so that an answer means the same in a replay: nobody else is read out of it, and
             who is not in it, or is refused as unknown, is not tradable. One unknown name must
             not hide the others.
  recall     after a restart `Feed.recalled(instrument)` tells what an earlier start knew. One that
             the venue's list has no more is not tradable, but it can be said and read again, for
             what is left of our orders in it.
  subscribe  `Feed.topics(ids)` says which topic lives on which socket; the shell batches them by
             SocketSpec limits, sends `Feed.subscribe(...)`, waits for the Ack; after it, for each
             book whose `Feed.snapshot(id)` is not None, that request is sent once.
  frames     every frame goes to `Feed.decode` (public sockets) or `Trade.decode` (the others).
  gap        when decode yields FeedLost the shell, within the venue's budget, sends
             `Feed.snapshot(id)` again, or where that is None subscribes the topic anew.
  silence    when a book's stream says nothing for too long the shell calls `Feed.silenced`: that
             book is lost (FeedLost "silent") and resynced as after a gap.
  drop       when a public connection is lost the shell calls `Feed.dropped(instruments, at)` with
             what it carried (many connections may share one SocketSpec): those books are lost
             (FeedLost "disconnected"); then it reconnects and subscribes again.
  renewal    before a venue cuts a connection by age the shell opens another, subscribes it, and
             gives the dialect its frames from there on: what comes twice must change nothing.
  login      after connecting, the requests of `Trade.login` that name the socket are sent one by
             one, each acknowledged by an Ack "login": a signed login, or fixed subscriptions.
  door       where a SocketSpec has a `door` other than "none", the requests of `Feed.door`
             (public), or those of `Trade.login` (others) that name no socket, are sent over HTTP
             before every connect; the answer yields
             an Ack "key" whose text is the key, or the whole url.
  orders     `Trade.encode(command, at)` gives requests; each is signed by `Trade.sign` at the very
             moment of sending with the venue's time; answers come back through `Trade.decode`
             (socket) or `Trade.answered` (HTTP; status 0 means no answer: timeout or lost).
  batch      several commands of one kind for one venue go to `Trade.batch`, which puts them into
             as few requests as the venue allows.
  history    `Feed.history(...)` gives the first request for a range of the past; answers yield
             FundingSettled or CandleClosed, pages come by `follow_ups`.
  more       after each `answered` the shell sends what `follow_ups()` hands over, once: further
             pages, or a second question that the first answer made necessary.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from oneprice.kernel import Book
from oneprice.model.commands import AnyCommand, Priority
from oneprice.model.events import AnyEvent
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.units import InstrumentId, Nanos

# What stands where a venue repeated something that our account proves itself with: no dialect,
# tape or journal sees the value. A replay's account has it in the place of every key.
HIDDEN = "***"


class Ping(msgspec.Struct, frozen=True):
    """The venue's own heartbeat, sent by us. `payload` b"" means a WebSocket ping frame."""

    payload: bytes
    every_ms: int
    silence_ms: int  # nothing at all received for so long: the socket is dead, reconnect


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One allowance of a venue, as it publishes it. `bucket` is what requests name in `cost`."""

    bucket: str
    count: int
    per_ms: int
    slack_ms: int = 0  # we let the window last so much longer, of our own accord
    each: bool = False  # one for each subject: requests name it `bucket:subject`
    window: Literal["rolling", "calendar"] = "rolling"
    used_header: str = ""  # response header (lower case) with what is used in this window
    left_header: str = ""  # or with what is left
    limit_header: str = ""  # and with the count that the venue grants this account today
    reset_header: str = ""  # and when it is full again, epoch ms


class SocketSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of connection. `path` is appended to the base of `host`."""

    name: str  # "linear", "private", "trade", "usdm_public" ...
    role: Literal["public", "private", "orders"]
    market: str  # the market it serves; "" for all
    host: str  # key into the endpoints: which base url
    path: str
    ping: Ping
    topics_per_request: int = 10
    # One request takes only topics that are equal up to this sign, e.g. ":" in "/level2:BTC-USDT".
    same_until: str = ""
    topics_max: int = 200  # per connection; the shell opens another beyond
    args_chars_max: int = 0  # 0: no limit named
    requests_per_second: float = 5.0  # messages we may send on it
    connect_cost: tuple[tuple[str, int], ...] = ()  # (bucket, amount) of each attempt to connect
    life_ms: int = 0  # the venue cuts after so long; 0: not stated
    greets: bool = False  # the venue speaks first: what is sent before is lost
    needs_login: bool = False
    # What must be fetched before every connect: "key" replaces {key} in `path`; "url" is the whole
    # address that the venue tells (host and path are then only where the twin or venue is named).
    door: Literal["none", "key", "url"] = "none"


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a venue that is a fact rather than a procedure."""

    name: str
    markets: tuple[str, ...]
    # environment -> host key -> base url, e.g. {"live": {"rest": "https://api.bybit.com", ...}}
    hosts: Mapping[str, Mapping[str, str]]
    sockets: tuple[SocketSpec, ...]
    limits: tuple[Limit, ...]
    refusals: Mapping[str, str]  # the venue's code -> our word, see REFUSALS
    features: frozenset[str]  # words of FEATURES
    # Markets whose orders the dead man's switch cancels; none named: all of them.
    dead_man_markets: tuple[str, ...] = ()
    # Where fill-or-kill orders are taken, where `features` has fill_or_kill; () is all markets.
    fill_or_kill_markets: tuple[str, ...] = ()
    tells_adl: bool = True  # False: a deleveraging is told in the words of a liquidation
    closed: str = ""  # why nobody can trade here for real any more; "" where one can
    clock_ahead_ms_max: int = 1000  # how far our stamps may run ahead of the venue


# Our words for a venue's "no". Anything else a venue says becomes "unknown_code".
REFUSALS: tuple[str, ...] = (
    "bad_key",
    "bad_signature",
    "bad_time",
    "no_permission",
    "rate_limited",
    "banned",
    "bad_parameter",
    "off_grid",
    "too_small",
    "too_large",
    "price_limit",
    "insufficient_funds",
    "reduce_only",
    "post_only",
    "no_liquidity",
    "duplicate_id",
    "no_such_order",
    "no_such_instrument",
    "not_tradable",
    "position_mode",
    "venue_busy",
    "not_modified",
    "unknown_code",
)


# What a venue's dialect and twin may have. Each one is proven by a conformance card.
FEATURES: tuple[str, ...] = (
    "books",
    "book_sequence",  # numbered: one lost frame is noticed with the next
    "trades",
    "touch",  # best bid and ask as a stream of its own, or in the ticker
    "mark",
    "index",
    "funding",
    "funding_next",  # a prediction for the settlement after the coming one
    "funding_history",
    "mark_history",
    "index_history",
    "candles",  # as a stream
    "candle_history",
    "order_entry_rest",
    "order_entry_socket",
    "amend",
    "cancel",
    "cancel_all",
    "batch",
    "post_only",
    "fill_or_kill",
    "reduce_only",
    "self_trade_prevention",
    "dead_man_switch",
    "order_stream",
    "fill_stream",
    "position_stream",
    "balance_stream",
    "order_query",
    "account_query",  # balances, positions, open orders
    "fill_query",  # fills by cursor, as far back as the venue reaches
    "statement",  # the venue's own log of what changed a wallet
    "fee_query",
    "funding_booked",
    "position_mode",
    "leverage",
    "key_query",
)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to send: a frame on a socket, or an HTTP call. Unsigned until `Trade.sign`."""

    tag: str  # the question, echoed to `answered`, e.g. "place:<order id>", "snapshot:<id>"
    socket: str = ""  # name of a SocketSpec, or "" for HTTP
    host: str = ""  # key into the endpoints, for HTTP
    method: str = "GET"
    path: str = ""
    query: str = ""  # without the question mark, exactly as it will be sent
    body: bytes = b""  # the frame, or the HTTP body
    headers: tuple[tuple[str, str], ...] = ()
    signed: bool = False  # needs Trade.sign before it leaves
    cost: tuple[tuple[str, int], ...] = ()  # (bucket, amount)
    priority: Priority = Priority.DATA
    order_id: str = ""  # set where the request concerns one order: unsure outcomes concern it
    order_ids: tuple[str, ...] = ()  # set where it concerns several; `order_id` is "" then

    @property
    def concerns(self) -> tuple[str, ...]:
        """The orders whose fate hangs on this request."""
        return self.order_ids or ((self.order_id,) if self.order_id else ())

    @property
    def places(self) -> bool:
        """Whether it brings new orders into the world; the tag of such a request begins so."""
        return self.tag.startswith(("place:", "place_many:"))


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back over HTTP for a Request. `status` 0: nothing came (timeout, lost)."""

    tag: str
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()  # lower-case names
    order_id: str = ""
    order_ids: tuple[str, ...] = ()
    detail: str = ""  # why there is no answer
    asked_ms: int = 0  # the venue's time when the request was signed, 0 where it was not


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """A control answer for the shell, not for the engine."""

    socket: str
    kind: Literal[
        "login", "subscribe", "unsubscribe", "pong", "key", "closing", "rate", "clock", "limit"
    ]
    ok: bool = True
    request_id: str = ""
    text: str = ""  # error text; for "key": the key or url; for "clock": the venue's time in ms
    until_ms: int = 0  # for "rate": no request of this bucket before (epoch ms), 0 unknown
    bucket: str = ""
    limit: Limit | None = None  # for "limit": the allowance as the venue itself states it today


Output = AnyEvent | Ack


def symbols_of(market: str, only: Sequence[InstrumentId]) -> tuple[str, ...]:
    """The symbols of those that are of this market."""
    parts = [split_id(name) for name in dict.fromkeys(only)]
    return tuple(symbol for _, found, symbol in parts if found == market)


def listing_tag(market: str, symbols: Sequence[str] = ()) -> str:
    """The tag of a question for a market's list, or for these symbols of it alone."""
    return f"instruments:{market}:{','.join(symbols)}" if symbols else f"instruments:{market}"


def listing_asked(tag: str) -> tuple[str, dict[str, None]]:
    """The market and the symbols that such a tag asked for; no symbols: for all."""
    _, market, *names = tag.split(":", 2)
    return market, dict.fromkeys(names[0].split(",")) if names else {}


def names_in(tag: str) -> dict[str, None]:
    """The symbols that a listing's tag asked for; none for any other tag."""
    return listing_asked(tag)[1] if tag.startswith("instruments:") else {}


class Topic(msgspec.Struct, frozen=True):
    """One subscription on one socket. `instrument` is what it feeds; book topics feed a Book."""

    socket: str
    text: str
    instrument: InstrumentId
    is_book: bool


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which channels to take for one instrument."""

    instrument: InstrumentId
    book: bool = True
    depth: int = 50  # the dialect takes the smallest depth the venue has that is not below
    trades: bool = False
    ticker: bool = True  # mark, index, funding; best bid and ask where the venue has it
    candles_ms: tuple[int, ...] = ()  # bars of trades to stream, by length in milliseconds


class HistoryWanted(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the past of one instrument; both ends included, epoch milliseconds."""

    instrument: InstrumentId
    kind: Literal["trade", "mark", "index", "funding"]  # candles of, or settled funding rates
    start_ms: int
    end_ms: int
    interval_ms: int = 60_000  # of candles


class Credentials(msgspec.Struct, frozen=True):
    """A key and its secrets; never shown."""

    key: str
    secret: str
    passphrase: str = ""

    def __repr__(self) -> str:
        return "Credentials(key=***, secret=***, passphrase=***)"


class Feed(Protocol):
    """Public side of a dialect. Holds the books it proves; wires given to it watch them."""

    @property
    def spec(self) -> Spec: ...
    @property
    def books(self) -> Mapping[InstrumentId, Book]: ...
    @property
    def listed(self) -> Mapping[InstrumentId, Instrument]: ...
    def instruments(
        self, markets: Sequence[str], only: Sequence[InstrumentId] = ()
    ) -> Sequence[Request]: ...
    def topics(self, wanted: Iterable[Wanted]) -> Sequence[Topic]: ...
    def subscribe(self, topics: Sequence[Topic], request_id: int, *, on: bool) -> bytes: ...
    def snapshot(self, instrument: InstrumentId) -> Request | None: ...
    def history(self, wanted: HistoryWanted) -> Sequence[Request]: ...
    def door(self, socket: str) -> Sequence[Request]: ...
    def clock(self) -> Request: ...
    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]: ...
    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]: ...
    def follow_ups(self) -> Sequence[Request]: ...
    def recalled(self, instrument: Instrument, at: Nanos) -> Sequence[Output]: ...
    def dropped(self, instruments: Sequence[InstrumentId], at: Nanos) -> Sequence[Output]: ...
    def silenced(self, instrument: InstrumentId, at: Nanos) -> Sequence[Output]: ...


class Trade(Protocol):
    """Private side of a dialect. Needs the instruments its Feed has listed."""

    @property
    def spec(self) -> Spec: ...
    def login(self, socket: str) -> Sequence[Request]: ...
    def sign(self, request: Request, venue_ms: int) -> Request: ...
    def encode(self, command: AnyCommand, at: Nanos) -> Sequence[Request]: ...
    def batch(self, commands: Sequence[AnyCommand], at: Nanos) -> Sequence[Request]: ...
    def decode(self, socket: str, frame: bytes, at: Nanos) -> Sequence[Output]: ...
    def answered(self, answer: Answer, at: Nanos) -> Sequence[Output]: ...
    def follow_ups(self) -> Sequence[Request]: ...
    def keep_alive(self) -> Sequence[tuple[int, Request]]: ...


