"""The desk: where dialects and engine meet. Inputs in, requests out; deterministic.

Everything that reaches the desk is an input with a stamp, and every input is recorded before it
is applied. A replay feeds the same inputs to a fresh desk and must get the same decisions. So the
desk reads no clock, opens no socket and awaits nothing; the gateway and the runtime do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Protocol, get_args

import msgspec

from oneprice.core.engine import Engine
from oneprice.core.strategy import Decision
from oneprice.model.commands import (
    AnyCommand,
    CancelOrder,
    ClearTimer,
    QueryAccount,
    QueryFills,
    QueryKey,
    QueryStatement,
    SetPositionMode,
    SetTimer,
)
from oneprice.model.events import (
    AnyEvent,
    BookReady,
    Event,
    FeedLost,
    FrameRejected,
    TurnEnded,
)
from oneprice.model.units import InstrumentId, Nanos
from oneprice.shell.telemetry_veil import Veil
from oneprice.venues.contract import Ack, Answer, Feed, Output, Request, Topic, Trade, Wanted


class InputKind(IntEnum):
    """What can reach the desk; the numbers are written to tapes and never change.

    FRAME is what every tape calls a frame (store.contract.TapeKind); the rest are ours alone.
    """

    FRAME = 1  # source venue/socket, payload the frame
    ANSWER = 16  # source venue/feed or venue/trade, payload an Answer
    EVENT = 17  # made by the shell: link, timer, stop, local refusal; payload the event
    DROPPED = 18  # source venue/socket, payload the instruments whose books it carried
    OPEN = 19  # source venue: the wanted channels; payload a list of Wanted
    TURN = 20  # everything readable was applied
    SILENT = 21  # source venue, payload an instrument id: its stream said nothing for too long
    # Payload a list of (venue, market): accounts are asked, trading may start. Where a session is
    # resumed it may come several times, each for the venues that are there by now.
    BEGIN = 22


class Recorder(Protocol):
    """Where inputs go before they are applied."""

    def append(self, kind: int, source: str, at: int, payload: bytes) -> None: ...


class Dialect(msgspec.Struct):
    """Both sides of one venue; `trade` is None where we only look."""

    name: str
    feed: Feed
    trade: Trade | None = None


class Unsaid(msgspec.Struct, frozen=True):
    """A command that did not leave: nobody could say it, or (`error` is None) its venue is away
    and will be asked everything when it is there."""

    command: AnyCommand
    error: Exception | None = None


class Turn(msgspec.Struct):
    """What was learned and decided until a turn ended, in order, and what is wanted because of
    it; `Desk.requests` says what must leave."""

    at: Nanos
    commands: list[AnyCommand]
    record: list[Event | Decision]  # see core.record
    unsaid: list[Unsaid] = msgspec.field(default_factory=list)

    @property
    def decisions(self) -> list[Decision]:
        return [item for item in self.record if isinstance(item, Decision)]


Inlet = Callable[[bytes, Nanos], None]

# What the gateways must see: the life of books, and everything about an order.
_NEWS: frozenset[type] = frozenset(
    kind
    for kind in get_args(AnyEvent)
    if kind in (FeedLost, BookReady) or "order_id" in kind.__struct_fields__
)
REJECTED_KEPT = 200  # different reasons counted one by one
_ENCODER = msgspec.json.Encoder()
_ANSWERS = msgspec.json.Decoder(Answer)
_EVENTS: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_WANTED = msgspec.json.Decoder(list[Wanted])
_MARKETS = msgspec.json.Decoder(list[tuple[str, str]])
_NAMES = msgspec.json.Decoder(list[InstrumentId])


class Desk:
    """One engine and its venues. `news` holds what the gateways must see, in order."""

    def __init__(
        self,
        engine: Engine,
        dialects: Sequence[Dialect],
        recorder: Recorder | None = None,
        veil: Veil | None = None,
    ) -> None:
        self.engine = engine
        self.veil = Veil() if veil is None else veil  # over what must not be written down
        self.news: list[tuple[str, Output]] = []
        self.frames = 0
        self.rejected: dict[str, int] = {}
        self.misread: dict[str, int] = {}  # by venue: what was said of our account, not understood
        self._dialects: Mapping[str, Dialect] = {d.name: d for d in dialects}
        self._recorder = recorder
        self._commands: list[AnyCommand] = []
        self._inlets: dict[str, Inlet] = {}
        self._begun: dict[str, None] = {}

    def dialect(self, venue: str) -> Dialect:
        return self._dialects[venue]

    # Inputs ------------------------------------------------------------------------------

    def inlet(self, venue: str, socket: str) -> Inlet:
        """The door for frames of one socket; asked once, called for every frame."""
        source = f"{venue}/{socket}"
        known = self._inlets.get(source)
        if known is not None:
            return known
        dialect = self._dialects[venue]
        role = next(s.role for s in dialect.feed.spec.sockets if s.name == socket)
        side: Feed | Trade = dialect.feed if role == "public" else _trade_of(dialect)
        decode = side.decode
        append = self._recorder.append if self._recorder is not None else None
        frame_kind = int(InputKind.FRAME)
        # What a venue repeats of our key is seen by no dialect and kept on no tape.
        private = role != "public"
        hide = self.veil.frame if private else None

        def take(payload: bytes, at: Nanos) -> None:
            self.frames += 1
            if hide is not None:
                payload = hide(payload)
            if append is not None:
                append(frame_kind, source, at, payload)
            outputs = decode(socket, payload, at)
            if outputs:
                self._take(venue, outputs, private=private)

        self._inlets[source] = take
        return take

    @property
    def resumed(self) -> bool:
        """Whether a journal of earlier starts was recalled."""
        return self.engine.recall.entries > 0

    def away(self) -> list[str]:
        """Venues with an account of a resumed session that are not begun yet."""
        if not self.resumed:
            return []
        found = [d.name for d in self._dialects.values() if d.trade is not None]
        return [name for name in found if name not in self._begun]

    def open(self, venue: str, wanted: Sequence[Wanted], at: Nanos) -> Sequence[Topic]:
        """Choose the channels of a venue; its books exist from now on, unknown."""
        self._record(InputKind.OPEN, venue, at, wanted)
        return self._dialects[venue].feed.topics(wanted)

    def answer(self, venue: str, side: str, answer: Answer, at: Nanos) -> Sequence[Request]:
        """An HTTP answer for the `feed` or the `trade` side; what must be asked next."""
        dialect = self._dialects[venue]
        target: Feed | Trade = dialect.feed if side == "feed" else _trade_of(dialect)
        answer = self.veil.heard(answer)
        outputs: Sequence[Output] = ()
        try:
            outputs = target.answered(answer, at)
        finally:  # a token that the venue hands out is read once, and kept nowhere
            written = self.veil.written(answer, outputs)
            self._record(InputKind.ANSWER, f"{venue}/{side}", at, written)
        self._take(venue, outputs, private=side != "feed")
        return target.follow_ups()

    def event(self, event: AnyEvent) -> None:
        """Something that the shell itself saw."""
        self._record(InputKind.EVENT, "", event.at, event)
        self._take("", [event])

    def dropped(
        self, venue: str, socket: str, instruments: Sequence[InstrumentId], at: Nanos
    ) -> None:
        """A public connection went down: every book on it is unknown."""
        self._record(InputKind.DROPPED, f"{venue}/{socket}", at, instruments)
        self._take(venue, self._dialects[venue].feed.dropped(instruments, at))

    def silent(self, venue: str, instrument: InstrumentId, at: Nanos) -> None:
        """A stream said nothing for too long: its book is unknown, however alive the socket."""
        self._record(InputKind.SILENT, venue, at, instrument)
        self._take(venue, self._dialects[venue].feed.silenced(instrument, at))

    def begin(self, markets: Sequence[tuple[str, str]], at: Nanos) -> None:
        """Everything is connected, or of a resumed session the venues that answer: ask the
        accounts, reconcile, then trade."""
        self._record(InputKind.BEGIN, "", at, markets)
        for venue in dict.fromkeys(venue for venue, _ in markets):
            self._begun[venue] = None
            if self.resumed:
                self._remind(venue, at)
        self._commands += self.engine.begin(at, markets, self.away())

    def _remind(self, venue: str, at: Nanos) -> None:
        """What we have something in can be gone from a venue's list by now: our orders in it are
        asked for all the same."""
        feed = self._dialects[venue].feed
        for listed in self.engine.report.instruments(venue):
            self._take(venue, feed.recalled(listed, at))

    def turn(self, at: Nanos) -> Turn | None:
        """Ask the strategies once; None when there is nothing to do."""
        if self._recorder is not None:
            self._recorder.append(int(InputKind.TURN), "", at, b"")
        commands = self._commands
        commands += self.engine.handle(TurnEnded(at=at))
        record = self.engine.drain_record()
        if not commands and not record:
            return None
        self._commands = []
        return Turn(at=at, commands=commands, record=record)

    def requests(self, turn: Turn) -> Iterator[tuple[str, Request]]:
        """What must leave because of a turn, by venue; to be asked once and to the end.

        Each command is said when the one before has left: the first leg does not wait for the
        words of the second.
        """
        away = self.away()
        for venue, commands in _said_together(turn.commands):
            if venue in away:
                turn.unsaid += [Unsaid(command) for command in commands]
                continue
            for request in self._said(venue, commands, turn):
                yield venue, request

    def _said(
        self, venue: str, commands: Sequence[AnyCommand], turn: Turn
    ) -> Sequence[Request]:
        try:
            trade = _trade_of(self._dialects[venue])
            if len(commands) == 1:
                return trade.encode(commands[0], turn.at)
            return trade.batch(commands, turn.at)
        except Exception as error:  # the other legs and the timers must not suffer for it
            if len(commands) == 1:
                turn.unsaid.append(Unsaid(commands[0], error))
                return ()
        return [r for command in commands for r in self._said(venue, [command], turn)]

    # Inside ------------------------------------------------------------------------------

    def _take(self, venue: str, outputs: Sequence[Output], *, private: bool = False) -> None:
        for output in outputs:
            if isinstance(output, Ack):
                self.news.append((venue, output))
                continue
            if isinstance(output, FrameRejected):
                self._count_rejected(f"{output.venue}/{output.socket}: {output.reason}")
                if private:
                    self.misread[venue] = self.misread.get(venue, 0) + 1
            if output.at < self.engine.now:
                # A dialect that waited for a second answer may tell of the first one's time.
                output = msgspec.structs.replace(output, at=self.engine.now)  # noqa: PLW2901
            commands = self.engine.handle(output)
            if commands:
                self._commands += commands
            if type(output) in _NEWS:
                self.news.append((venue, output))

    def _count_rejected(self, key: str) -> None:
        # A reason may quote the venue: the words of a stranger must not fill the memory.
        if key not in self.rejected and len(self.rejected) >= REJECTED_KEPT:
            key = "others"
        self.rejected[key] = self.rejected.get(key, 0) + 1

    def _record(self, kind: InputKind, source: str, at: Nanos, payload: object) -> None:
        if self._recorder is not None:
            self._recorder.append(int(kind), source, at, _ENCODER.encode(payload))

    # Replay ------------------------------------------------------------------------------

    def replay(self, kind: int, source: str, at: Nanos, payload: bytes) -> Turn | None:
        """Apply one recorded input; returns a turn's outcome as `turn` does."""
        venue, _, rest = source.partition("/")
        match InputKind(kind):
            case InputKind.FRAME:
                self.inlet(venue, rest)(payload, at)
            case InputKind.ANSWER:
                self.answer(venue, rest, _ANSWERS.decode(payload), at)
            case InputKind.EVENT:
                self.event(_EVENTS.decode(payload))
            case InputKind.DROPPED:
                self.dropped(venue, rest, _NAMES.decode(payload), at)
            case InputKind.OPEN:
                self.open(venue, _WANTED.decode(payload), at)
            case InputKind.SILENT:
                self.silent(venue, msgspec.json.decode(payload, type=str), at)
            case InputKind.BEGIN:
                self.begin(_MARKETS.decode(payload), at)
            case InputKind.TURN:
                turn = self.turn(at)
                for _ in self.requests(turn) if turn is not None else ():
                    pass  # nothing leaves, but the dialects remember what they said
                return turn
        return None


def _said_together(commands: Sequence[AnyCommand]) -> Iterator[tuple[str, list[AnyCommand]]]:
    """Commands for venues, one by one; neighbouring cancels at one venue are one list."""
    run: list[AnyCommand] = []
    held = ""
    for command in commands:
        if isinstance(command, (SetTimer, ClearTimer)):
            continue
        venue = _venue_of(command)
        if run and (venue != held or not isinstance(command, CancelOrder)):
            yield held, run
            run = []
        if isinstance(command, CancelOrder):
            held = venue
            run.append(command)
        else:
            yield venue, [command]
    if run:
        yield held, run


def _venue_of(command: AnyCommand) -> str:
    match command:
        case (
            QueryAccount() | QueryFills() | QueryStatement() | QueryKey() | SetPositionMode()
        ):
            return command.venue
        case SetTimer() | ClearTimer():
            raise ValueError(f"a timer is for no venue: {command.timer}")
        case _:
            return command.instrument.partition(":")[0]


def _trade_of(dialect: Dialect) -> Trade:
    if dialect.trade is None:
        raise ValueError(f"venue {dialect.name}: no account, so nothing private can be done")
    return dialect.trade

