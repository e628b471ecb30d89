"""Stream sockets: who listens to what, control messages, listen keys, verbatim tape frames."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from oneprice.model.units import MINUTE
from oneprice.twin.contract import Exchange, Liquidated, ListingChanged, Output, Refusal
from oneprice.twin.dialects.binance.feeds import Diff, Stream, open_stream
from oneprice.twin.dialects.binance.notices import Notices
from oneprice.twin.dialects.binance.shapes import Catalog, millis
from oneprice.twin.dialects.binance.sockets import Socket
from oneprice.twin.dialects.binance.spot_events import Mail
from oneprice.twin.dialects.binance.tape import stream_of
from oneprice.twin.dialects.binance.topics import Route, Topic, parse_topic, pushes
from oneprice.twin.faults import Faults
from oneprice.twin.link import Readers

STREAMS_MAX = 1_024
KEY_LIFE = 60 * MINUTE
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class Line:
    """One stream socket with what it asked for; wrong names are kept and stay silent."""

    def __init__(self, socket: Socket, route: Route, *, combined: bool) -> None:
        self.socket = socket
        self.route = route
        self.combined = combined
        self.names: dict[str, Topic | None] = {}
        self.keys: dict[str, frozenset[str]] = {}  # listen key -> wanted events, none: all

    def hear(self, name: str, payload: bytes, delay_ms: int = 0) -> None:
        if self.combined:
            payload = b'{"stream":' + msgspec.json.encode(name) + b',"data":' + payload + b"}"
        self.socket.send(payload, delay_ms)


class ListenKeys:
    """Keys of the futures' user streams: one per customer, an hour from the last renewal."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, int]] = {}  # key -> (account, due)
        self._made = 0

    def issue(self, account: str, at: int) -> str:
        """The customer's key, extended; a new one where there is none."""
        for key, (owner, _) in self._held.items():
            if owner == account:
                self._held[key] = (account, at + KEY_LIFE)
                return key
        self._made += 1
        seed = f"listen key {self._made} {account}".encode()
        key = hashlib.sha256(seed).hexdigest()
        self._held[key] = (account, at + KEY_LIFE)
        return key

    def renew(self, account: str, at: int) -> str:
        """Extends the key; empty where the customer has none."""
        known = any(owner == account for owner, _ in self._held.values())
        return self.issue(account, at) if known else ""

    def close(self, account: str) -> None:
        self._held = {key: row for key, row in self._held.items() if row[0] != account}

    def account_of(self, key: str) -> str:
        return self._held.get(key, ("", 0))[0]

    def expire(self, at: int) -> list[str]:
        """Keys whose hour is over; from then on they are unknown."""
        over = [key for key, (_, due) in self._held.items() if at >= due]
        for key in over:
            del self._held[key]
        return over

    def expire_now(self, account: str) -> None:
        """Makes the key of a customer due at once (fault hook)."""
        self._held = {
            key: (owner, 0 if owner == account else due)
            for key, (owner, due) in self._held.items()
        }


class Hub:
    """All stream sockets of the venue and the streams they keep alive."""

    def __init__(self, exchange: Exchange, catalog: Catalog, faults: Faults) -> None:
        self.exchange = exchange
        self.catalog = catalog
        self.faults = faults
        self.keys = ListenKeys()
        self.lines: dict[int, Line] = {}
        self._listeners: Readers[tuple[str, str], Line] = Readers()
        self._streams: dict[tuple[str, str], Stream] = {}
        self._by_instrument: dict[str, dict[tuple[str, str], Stream]] = {}
        self._paced: dict[tuple[str, str], tuple[Stream, int]] = {}  # stream, window spoken in
        self._silences: list[tuple[str, int]] = []
        self._notices = Notices(exchange, catalog, self._push)
        self._at = 0

    # Lines -------------------------------------------------------------------------------

    def join(self, line: Line) -> None:
        self.lines[id(line)] = line

    def leave(self, line: Line) -> None:
        for name in list(line.names):
            self.unsubscribe(line, name)
        self.lines.pop(id(line), None)

    def control(self, line: Line, text: str) -> str:
        """The answer to one control message."""
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            return _error(3, f"Invalid JSON: {error}")
        if not isinstance(message, dict):
            return _error(2, "Invalid request: request must be an object")
        method, number = message.get("method"), message.get("id")
        if method not in _METHODS:
            known = ", ".join(f"`{name}`" for name in _METHODS)
            return _error(
                2, f"Invalid request: unknown variant `{method}`, expected one of {known}"
            )
        if not _good_id(number):
            return _error(2, "Invalid request: request ID must be an integer or a short string")
        params = message.get("params", [])
        if not isinstance(params, list):
            return _error(2, "Invalid request: invalid type, expected a sequence")
        result = self._execute(line, str(method), params)
        return msgspec.json.encode({"result": result, "id": number}).decode()

    def _execute(self, line: Line, method: str, params: list[Any]) -> Any:
        match method:
            case "SUBSCRIBE":
                for name in params:
                    self.subscribe(line, str(name))
            case "UNSUBSCRIBE":
                for name in params:
                    self.unsubscribe(line, str(name))
            case "LIST_SUBSCRIPTIONS":
                return list(line.names)
            case "SET_PROPERTY":
                if params[:1] == ["combined"] and len(params) == 2:
                    line.combined = bool(params[1])
            case _:
                return line.combined
        return None

    def subscribe(self, line: Line, name: str) -> None:
        """Wrong names, and right names on the wrong route, are taken and stay silent."""
        if name in line.names or len(line.names) >= STREAMS_MAX:
            return
        if line.route is Route.PRIVATE:
            line.names[name] = None
            line.keys.setdefault(name, frozenset())
            return
        topic = parse_topic(name, line.route.product)
        if topic is None and line.route is Route.COINM:  # may be a listen key
            line.keys.setdefault(name, frozenset())
        found = [] if topic is None else self._instruments(topic, line.route.product)
        line.names[name] = topic if found else None
        if topic is None or not found or not pushes(line.route, topic.kind):
            return
        place = (line.route.product, name)
        self._listeners.add(place, line)
        if place not in self._streams:
            self._open(place, topic, found)

    def _instruments(self, topic: Topic, product: str) -> list[Any]:
        if not topic.symbol:
            return [row.instrument for row in self.exchange.listings(product)]
        try:
            return [self.exchange.listing(product, topic.symbol).instrument]
        except Refusal:
            return []

    def _open(self, place: tuple[str, str], topic: Topic, found: list[Any]) -> None:
        def emit(payload: Any) -> None:
            self._push(place, msgspec.json.encode(payload))

        stream = open_stream(topic, self.exchange, self.catalog, found, emit)
        self._streams[place] = stream
        for instrument in found if topic.symbol else []:
            self._by_instrument.setdefault(instrument.id, {})[place] = stream
        if topic.speed:
            self._paced[place] = (stream, self._at // topic.speed)

    def unsubscribe(self, line: Line, name: str) -> None:
        line.names.pop(name, None)
        line.keys.pop(name, None)
        place = (line.route.product, name)
        self._listeners.discard(place, line)
        if place not in self._listeners and place in self._streams:
            del self._streams[place]
            self._paced.pop(place, None)
            for streams in self._by_instrument.values():
                streams.pop(place, None)

    # Pushing -----------------------------------------------------------------------------

    def publish(self, outputs: Sequence[Output], at: int) -> None:
        """Tells the streams what happened; those without a pace speak at once."""
        self._at = at
        touched: dict[tuple[str, str], Stream] = {}
        for output in outputs:
            if isinstance(output, Liquidated):
                self._notices.liquidated(output)
            elif isinstance(output, ListingChanged):
                self._notices.listed(output, at)
            instrument = instrument_of(output)
            if not instrument:
                continue
            if self.exchange.setup.taped:
                self._verbatim(output, instrument)
                continue
            for place, stream in list(self._by_instrument.get(instrument, {}).items()):
                stream.note(output, at)
                if not stream.topic.speed:
                    touched[place] = stream
        for stream in touched.values():
            stream.flush(at)

    def beat(self, at: int) -> None:
        """Paced streams speak when a new window of their pace begins; old keys expire."""
        self._at = at
        self._silences = [(match, until) for match, until in self._silences if at < until]
        for key in self.keys.expire(at):
            self._expired(key, at)
        self._notices.beat(at)
        if self.exchange.setup.taped:
            return
        for place, (stream, window) in list(self._paced.items()):
            now = at // stream.topic.speed
            if now != window:
                self._paced[place] = (stream, now)
                stream.flush(at)

    def _push(self, place: tuple[str, str], payload: bytes) -> None:
        name = place[1]
        if any(match in name for match, _ in self._silences):
            return
        for line in self._listeners.of(place):
            for delay_ms in self.faults.frame(name, self._at).copies_ms:
                line.hear(name, payload, delay_ms)

    def _verbatim(self, output: Output, instrument: str) -> None:
        """A recorded frame goes to every speed of its stream, byte for byte."""
        raw = getattr(output, "raw", b"")
        if not raw:
            return
        name, data = stream_of(raw)
        product = self.catalog.market(instrument)
        recorded = parse_topic(name, product)
        if recorded is None:
            return
        for place, stream in list(self._by_instrument.get(instrument, {}).items()):
            wanted = stream.topic
            if wanted.kind is not recorded.kind or wanted.interval != recorded.interval:
                continue
            if wanted.levels == recorded.levels:
                self._push(place, data)

    # User data of futures ----------------------------------------------------------------

    def deliver(self, mail: Mail, route: Route = Route.PRIVATE) -> None:
        """Events of customers to the sockets of a route that hold their listen keys."""
        if not mail:
            return
        private = [line for line in self.lines.values() if line.route is route]
        for account, event in mail:
            payload = msgspec.json.encode(event)
            for line in private:
                for key, wanted in line.keys.items():
                    if self.keys.account_of(key) != account:
                        continue
                    if not wanted or event["e"] in wanted:
                        line.hear(key, payload)

    def _expired(self, key: str, at: int) -> None:
        event = {"e": "listenKeyExpired", "E": millis(at), "listenKey": key}
        payload = msgspec.json.encode(event)
        for line in self.lines.values():
            if key in line.keys:
                line.hear(key, payload)

    # Misfortune --------------------------------------------------------------------------

    def skip_diffs(self, product: str, symbol: str, count: int = 1) -> int:
        """Loses the next `count` depth events of every diff stream of a symbol."""
        hit = 0
        for (owner, _), stream in self._streams.items():
            if owner == product and isinstance(stream, Diff) and stream.topic.symbol == symbol:
                stream.skips += count
                hit += 1
        return hit

    def silence(self, match: str, until: int) -> None:
        """Streams whose name contains `match` push nothing until a moment."""
        self._silences.append((match, until))

    def announce(self, name: str, event: dict[str, Any]) -> None:
        """One event to every spot socket, under a combined name of its own."""
        payload = msgspec.json.encode(event)
        for line in self.lines.values():
            if line.route is Route.SPOT:
                line.hear(name, payload)

    def sockets(self) -> Iterable[Socket]:
        return [line.socket for line in self.lines.values()]


def instrument_of(output: Output) -> str:
    """The instrument of a public output, empty for private ones."""
    ticker = getattr(output, "ticker", None)
    if ticker is not None:
        return str(ticker.instrument)
    if hasattr(output, "order") or hasattr(output, "balance") or hasattr(output, "position"):
        return ""
    return str(getattr(output, "instrument", "") or "")


def _good_id(number: Any) -> bool:
    if number is None or (isinstance(number, str) and len(number) <= 36):
        return True
    return isinstance(number, int) and not isinstance(number, bool)


def _error(code: int, text: str) -> str:
    return msgspec.json.encode({"code": code, "msg": text}).decode()
