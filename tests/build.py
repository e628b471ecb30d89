"""Factories that read as English, and a small venue in memory that trades against an engine."""

import random
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from heapq import heappop, heappush
from typing import Any, Literal

import msgspec

from oneprice.core.engine import Engine
from oneprice.core.strategy import (
    BreakEvenCard,
    Decision,
    Intent,
    IntentLeg,
    Strategy,
    make_card,
)
from oneprice.kernel import Book, Tripwires
from oneprice.model import commands as cmd
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument, Payoff, instrument_id
from oneprice.model.settings import EngineSettings
from oneprice.model.units import MILLI, SECOND, Lots, Money, Nanos, Side, Ticks

D = Decimal
START = Nanos(1_800_000_000 * SECOND)


def a_spot(venue: str = "alpha", base: str = "BTC", **changes: Any) -> Instrument:
    """BTCUSDT spot: tick 0.01, lot 0.000001, at least 5 USDT."""
    facts: dict[str, Any] = {
        "payoff": Payoff.SPOT,
        "market": "spot",
        "settle": "USDT",
        "tick": D("0.01"),
        "lot": D("0.000001"),
        "notional_min": D(5),
    }
    return _instrument(venue, base, facts | changes)


def a_perp(venue: str = "alpha", base: str = "BTC", **changes: Any) -> Instrument:
    """BTCUSDT perpetual: tick 0.1, lot 0.001, at least 5 USDT, funded every eight hours."""
    facts: dict[str, Any] = {
        "payoff": Payoff.LINEAR,
        "market": "linear",
        "settle": "USDT",
        "tick": D("0.1"),
        "lot": D("0.001"),
        "notional_min": D(5),
        "funding_interval_ms": 8 * 3_600_000,
    }
    return _instrument(venue, base, facts | changes)


def an_inverse(venue: str = "alpha", base: str = "BTC", **changes: Any) -> Instrument:
    """BTCUSD inverse: one contract is 100 USD, settled in the coin."""
    facts: dict[str, Any] = {
        "payoff": Payoff.INVERSE,
        "market": "inverse",
        "quote": "USD",
        "settle": base,
        "tick": D("0.1"),
        "lot": D(1),
        "contract_value": D(100),
    }
    return _instrument(venue, base, facts | changes)


def _instrument(venue: str, base: str, facts: dict[str, Any]) -> Instrument:
    quote = facts.pop("quote", "USDT")
    symbol = f"{base}{quote}"
    id_ = instrument_id(venue, facts["market"], symbol)
    return Instrument(id=id_, venue=venue, symbol=symbol, base=base, quote=quote, **facts)


def a_book(text: str, tick: str = "1", lot: str = "1", at: int = START) -> Book:
    """'100x5 99x7 | 101x2': bids, then asks, in ticks and lots, best first."""
    book = Book(tick, lot)
    sides = [
        [(int(t), int(n)) for t, n in (level.split("x") for level in side.split())]
        for side in text.split("|")
    ]
    book.load(sides[0], sides[1], at, 1)
    return book


def a_card(net: str = "1", notional: str = "1000", asset: str = "USDT") -> BreakEvenCard:
    return make_card(asset, D(notional), gross=D(net))


def a_leg(instrument: Instrument, side: Side, ticks: int, lots: int, **more: Any) -> IntentLeg:
    return IntentLeg(
        instrument=instrument.id,
        side=side,
        ticks=Ticks(ticks),
        lots=Lots(lots),
        touch=Ticks(more.pop("touch", ticks)),
        **more,
    )


def an_intent(*legs: IntentLeg, **more: Any) -> Intent:
    facts: dict[str, Any] = {
        "strategy": "script",
        "pair": "pair",
        "card": a_card(),
        "patience": Nanos(400 * MILLI),
        "reason": "entry",
    }
    return Intent(legs=legs, **(facts | more))


class Script:
    """A strategy that proposes what a test put into `intents`, once each."""

    def __init__(self, *intents: Intent) -> None:
        self.name = "script"
        self.intents = list(intents)

    def wires(self, view: Any) -> Sequence[Any]:
        return ()

    def propose(self, news: Any, view: Any) -> Iterable[Intent]:
        intents, self.intents = self.intents, []
        yield from intents

    def survey(self, view: Any) -> Iterable[Any]:
        return ()


class Faults(msgspec.Struct, kw_only=True):
    """How bad the weather is; each a probability from 0 to 1."""

    lost_request: float = 0.0  # the order never arrives, and nobody knows
    lost_answer: float = 0.0  # the order lives, every message about it is lost
    refused: float = 0.0
    doubled: float = 0.0  # any message comes twice
    partial: float = 0.0  # only a part of what the book shows is there
    missed: float = 0.0  # nothing of it is
    late_ms_max: int = 0  # each message on its own, so they overtake each other


class Placed(msgspec.Struct):
    """An order as the venue knows it."""

    command: cmd.PlaceOrder
    filled: int = 0
    fills: list[ev.OrderFilled] = msgspec.field(default_factory=list)
    refused: bool = False
    resting: bool = False


class Step(msgspec.Struct):
    """One input of a world: an event, or (where there is none) a new state of a book."""

    at: int
    event: ev.AnyEvent | None = None
    instrument: str = ""
    bids: list[tuple[int, int]] = []
    asks: list[tuple[int, int]] = []


# A journaled turn: when, what was learned and decided, what was commanded.
Entry = tuple[Nanos, list[ev.Event | Decision], list[cmd.AnyCommand]]


def replay(
    steps: Sequence[Step], world: "World", strategies: Sequence[Strategy]
) -> tuple[list[cmd.AnyCommand], list[Decision]]:
    """The same inputs to a fresh engine."""
    books = {i.id: Book(i.tick, i.lot) for i in world.listed.values()}
    engine = Engine(world.settings, strategies, books, Tripwires(), "t1")
    commands: list[cmd.AnyCommand] = []
    decisions: list[Decision] = []
    for step in steps:
        if step.event is None:
            book = books[step.instrument]
            book.load(step.bids, step.asks, step.at, book.sequence + 1)
            continue
        commands += engine.handle(step.event)
        decisions += [item for item in engine.drain_record() if isinstance(item, Decision)]
    return commands, decisions


class World:
    """Venues in memory, virtual time, one engine. Everything sent and decided is kept."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        strategies: Sequence[Strategy],
        *,
        settings: EngineSettings | None = None,
        faults: Faults | None = None,
        seed: int = 1,
        taker: str = "0.0005",
        funds: dict[tuple[str, str, str], str] | None = None,
    ) -> None:
        self.now: int = START
        self.faults = faults or Faults()
        self.dice = random.Random(seed)
        self.taker = D(taker)
        self.listed = {i.id: i for i in instruments}
        self.books = {i.id: Book(i.tick, i.lot) for i in instruments}
        self.wires = Tripwires()
        self.settings = settings or EngineSettings()
        self.engine = Engine(self.settings, strategies, self.books, self.wires, "t1")
        self.sent: list[cmd.AnyCommand] = []
        self.steps: list[Step] = []
        self.decisions: list[Decision] = []
        self.journal: list[Entry] = []
        self.on_entry: Callable[[], None] = lambda: None
        self.placed: dict[str, Placed] = {}
        self.money: dict[tuple[str, str, str], Money] = {
            key: D(amount) for key, amount in (funds or {}).items()
        }
        self.lots: dict[str, int] = {}
        self.cost: dict[str, Decimal] = {}
        self.key = ev.KeyReported(at=Nanos(0), venue="", may_trade=True, may_withdraw=False)
        self.modes: dict[tuple[str, str], Literal["one_way", "hedge"]] = {}
        self.leverages: dict[str, Decimal] = {}
        self.lines: list[ev.StatementLine] = []  # of every wallet
        self.keeps_statements = True
        self.hooks: list[Callable[[cmd.AnyCommand], bool]] = []
        self._queue: list[tuple[int, int, ev.AnyEvent | None, str]] = []
        self._timers: dict[str, int] = {}
        self._count = 0
        for venue in dict.fromkeys(i.venue for i in instruments):
            self.money.setdefault((venue, "unified", "USDT"), D(100_000))
        for instrument in instruments:
            self.tell(ev.InstrumentListed(at=Nanos(self.now), instrument=instrument))

    # Driving -----------------------------------------------------------------------------

    def tell(self, event: ev.AnyEvent) -> None:
        """Hand one event to the engine, at its time, and obey."""
        self.now = max(self.now, event.at)
        self.steps.append(Step(event.at, event))
        commands = self.engine.handle(event)
        record = self.engine.drain_record()
        self.decisions += [item for item in record if isinstance(item, Decision)]
        if record or commands:
            self.journal.append((Nanos(self.now), record, commands))
            self.on_entry()
        for command in commands:
            self._obey(command)

    def turn(self) -> None:
        for number in self.wires.drain():
            self.tell(ev.WireTripped(at=Nanos(self.now), wire=number))
        self.tell(ev.TurnEnded(at=Nanos(self.now)))

    def quote(self, instrument: Instrument, bid: str, ask: str, size: str = "10") -> None:
        """A new book of two levels a side; ready from now on."""
        tick, lots = instrument.tick, instrument.lots_within(D(size) / instrument.contract_value)
        bids = [(instrument.ticks(D(bid)), lots), (instrument.ticks(D(bid) - 10 * tick), lots)]
        asks = [(instrument.ticks(D(ask)), lots), (instrument.ticks(D(ask) + 10 * tick), lots)]
        book = self.books[instrument.id]
        was_known = book.known
        self._load(instrument.id, bids, asks)
        if not was_known:
            self.tell(ev.BookReady(at=Nanos(self.now), instrument=instrument.id))

    def run(self, ms: int) -> None:
        """Let virtual time pass: messages and timers come when they are due."""
        end = self.now + ms * MILLI
        while self._queue and self._queue[0][0] <= end:
            due, _, event, timer = heappop(self._queue)
            self.now = max(self.now, due)
            if event is not None:
                self.tell(msgspec.structs.replace(event, at=Nanos(self.now)))
            elif self._timers.get(timer) == due:
                del self._timers[timer]
                self.tell(ev.TimerFired(at=Nanos(self.now), timer=timer))
            self.turn()
        self.now = end

    def refresh(self) -> None:
        """The same books once more, seen now."""
        for instrument, book in self.books.items():
            if book.known:
                self._load(instrument, book.bids(), book.asks())

    def _load(
        self, instrument: str, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]]
    ) -> None:
        self.steps.append(Step(self.now, None, instrument, list(bids), list(asks)))
        book = self.books[instrument]
        book.load(bids, asks, self.now, book.sequence + 1)

    def live(self, ms: int, every_ms: int = 100) -> None:
        """Run while the books stay fresh."""
        for _ in range(ms // every_ms):
            self.refresh()
            self.turn()
            self.run(every_ms)

    # The venue ---------------------------------------------------------------------------

    def _obey(self, command: cmd.AnyCommand) -> None:
        self.sent.append(command)
        if any(hook(command) for hook in self.hooks):
            return
        match command:
            case cmd.SetTimer():
                self._timers[command.timer] = command.due
                self._push(command.due, None, command.timer)
            case cmd.ClearTimer():
                self._timers.pop(command.timer, None)
            case cmd.PlaceOrder():
                self._order(command)
            case cmd.QueryOrder():
                self._answer(command.order_id)
            case cmd.CancelOrder():
                self._cancel(command.order_id)
            case cmd.QueryAccount():
                self.say(*self.account(command.venue, command.market))
            case cmd.QueryStatement():
                self.say(*self.statement(command))
            case cmd.CancelAll():
                for id_ in [i for i, p in self.placed.items() if p.resting]:
                    if self.placed[id_].command.instrument == command.instrument:
                        self._cancel(id_)
            case cmd.QueryFills():
                self.say(*self.fills(command.venue, command.market, command.since_ms))
            case cmd.QueryKey():
                self.say(msgspec.structs.replace(self.key, venue=command.venue))
            case cmd.SetPositionMode():
                self.modes[command.venue, command.market] = command.mode
            case cmd.SetLeverage():
                self.leverages[command.instrument] = command.leverage
            case _:
                raise AssertionError(f"the engine should not send {command}")

    def say(self, *events: ev.AnyEvent, ms: int = 20) -> None:
        """Messages to the engine, in order in calm weather."""
        for event in events:
            late = self.dice.randint(0, self.faults.late_ms_max) if self.faults.late_ms_max else 0
            self._push(self.now + (ms + late) * MILLI, event, "")
            if self.dice.random() < self.faults.doubled:
                self._push(self.now + (ms + late + 7) * MILLI, event, "")

    def _push(self, due: int, event: ev.AnyEvent | None, timer: str) -> None:
        self._count += 1
        heappush(self._queue, (due, self._count, event, timer))

    def _order(self, command: cmd.PlaceOrder) -> None:
        assert command.order_id not in self.placed, "an id was used twice"
        roll = self.dice.random
        uncertain = ev.OrderUncertain(at=Nanos(0), order_id=command.order_id, reason="timeout")
        if roll() < self.faults.lost_request:
            self.say(uncertain, ms=100)
            return
        placed = self.placed[command.order_id] = Placed(command)
        if roll() < self.faults.refused:
            placed.refused = True
            self.say(self._refusal(placed))
            return
        if command.time_in_force in (cmd.TimeInForce.GTC, cmd.TimeInForce.POST_ONLY):
            placed.resting = True
            events: list[ev.AnyEvent] = [self._alive(placed)]
        else:
            events = self.execute(placed)
        if roll() < self.faults.lost_answer:
            self.say(uncertain, ms=100)
        else:
            self.say(*events)

    def _alive(self, placed: Placed) -> ev.AnyEvent:
        return ev.OrderAccepted(at=Nanos(0), order_id=placed.command.order_id, live=True)

    def _cancel(self, order_id: str) -> None:
        placed = self.placed.get(order_id)
        if placed is None or not placed.resting:
            self.say(ev.CancelRefused(at=Nanos(0), order_id=order_id, reason="late"))
            return
        placed.resting = False
        if self.dice.random() >= self.faults.lost_answer:
            self.say(*self._ending(placed))

    def take(self, order_id: str, lots: int, *, ms: int = 20, silent: bool = False) -> None:
        """Somebody trades with an order of ours that rests."""
        placed = self.placed[order_id]
        assert placed.resting, "it does not rest"
        lots = min(lots, placed.command.lots - placed.filled)
        self._fill(placed, placed.command.ticks, Lots(lots))
        placed.resting = placed.filled < placed.command.lots
        ending = [] if placed.resting else self._ending(placed)
        if not silent:
            statements = self._statements(placed.command.instrument)
            self.say(placed.fills[-1], *ending, *statements, ms=ms)

    def _refusal(self, placed: Placed) -> ev.AnyEvent:
        id_ = placed.command.order_id
        return ev.OrderRefused(at=Nanos(0), order_id=id_, reason="venue_busy")

    def execute(self, placed: Placed) -> list[ev.AnyEvent]:
        """Fill what the book shows within the limit; end the rest, as IOC does."""
        order = placed.command
        book = self.books[order.instrument]
        left = int(order.lots)
        if self.dice.random() < self.faults.partial:
            left = left * self.dice.randint(1, 9) // 10
        if self.dice.random() < self.faults.missed or not book.known:
            left = 0
        if order.reduce_only:
            held = self.lots.get(order.instrument, 0)
            left = min(left, abs(held)) if held * int(order.side) < 0 else 0
        for ticks, there in book.asks() if order.side is Side.BUY else book.bids():
            if (ticks - order.ticks) * int(order.side) > 0 or not left:
                break
            taken = min(left, there)
            left -= taken
            self._fill(placed, Ticks(ticks), Lots(taken))
        return [
            ev.OrderAccepted(at=Nanos(0), order_id=order.order_id),
            *placed.fills,
            *self._ending(placed),
            *self._statements(order.instrument),
        ]

    def _fill(self, placed: Placed, ticks: Ticks, lots: Lots) -> None:
        order, it = placed.command, self.listed[placed.command.instrument]
        placed.filled += lots
        size = it.lot * it.contract_value * lots
        notional = it.notional(ticks, lots)
        fee, asset = notional * self.taker, it.quote
        if it.payoff is Payoff.SPOT:
            base, quote = (it.venue, "unified", it.base), (it.venue, "unified", it.quote)
            if order.side is Side.BUY:
                fee, asset = size * self.taker, it.base
            self._pay(base, size * int(order.side))
            self._pay(quote, -notional * int(order.side))
        else:
            if it.payoff is Payoff.INVERSE:
                fee, asset = size / it.price(ticks) * self.taker, it.settle
            self._trade_contracts(it, order.side, ticks, lots)
        self._pay((it.venue, "unified", asset), -fee)
        fill = ev.OrderFilled(
            at=Nanos(0),
            order_id=order.order_id,
            instrument=it.id,
            fill_id=f"{order.order_id}-{len(placed.fills)}",
            side=order.side,
            ticks=ticks,
            lots=lots,
            fee=fee,
            fee_asset=asset,
            venue_ms=self.now // MILLI,
        )
        placed.fills.append(fill)

    def _trade_contracts(self, it: Instrument, side: Side, ticks: int, lots: int) -> None:
        """Average entry price, as venues keep it: told apart from the ledger's own way."""
        held = self.lots.get(it.id, 0)
        entry = self.cost.get(it.id, D(0))
        change, price = int(side) * lots, it.price(ticks)
        if held * change < 0:
            closed = min(abs(held), lots) * (1 if held > 0 else -1)
            self._pay((it.venue, "unified", it.settle), it.profit(entry, price, closed))
        now = held + change
        if held * change >= 0 and now:
            if it.payoff is Payoff.INVERSE:
                entry = now / ((held / entry if held else 0) + change / price)
            else:
                entry = (entry * held + price * change) / now
        elif held * now < 0:
            entry = price
        self.lots[it.id], self.cost[it.id] = now, entry if now else D(0)

    def _pay(self, key: tuple[str, str, str], amount: Decimal) -> None:
        self.money[key] = self.money.get(key, D(0)) + amount

    def _ending(self, placed: Placed) -> list[ev.AnyEvent]:
        order = placed.command
        whole = placed.filled == order.lots
        return [
            ev.OrderEnded(
                at=Nanos(0),
                order_id=order.order_id,
                filled_lots=Lots(placed.filled),
                reason="filled" if whole else "cancelled",
            )
        ]

    def _statements(self, instrument: str) -> list[ev.AnyEvent]:
        it = self.listed[instrument]
        said: list[ev.AnyEvent] = [
            self._balance(key) for key in self.money if key[0] == it.venue
        ]
        if it.is_derivative:
            said.append(self._position(instrument))
        return said

    def _balance(self, key: tuple[str, str, str]) -> ev.BalanceReported:
        return ev.BalanceReported(
            at=Nanos(0), venue=key[0], wallet=key[1], asset=key[2], total=self.money[key]
        )

    def _position(self, instrument: str) -> ev.PositionReported:
        return ev.PositionReported(
            at=Nanos(0),
            instrument=instrument,
            lots=Lots(self.lots.get(instrument, 0)),
            entry=self.cost.get(instrument, D(0)),
        )

    def _answer(self, order_id: str) -> None:
        placed = self.placed.get(order_id)
        if placed is None:
            self.say(ev.OrderMissing(at=Nanos(0), order_id=order_id))
        elif placed.refused:
            self.say(self._refusal(placed))
        else:
            end = [self._alive(placed)] if placed.resting else self._ending(placed)
            self.say(*placed.fills, *end)

    def account(self, venue: str, market: str) -> list[ev.AnyEvent]:
        """What the venue says when asked about one market: of positions only those ever held."""
        mine = [i for i in self.listed.values() if (i.venue, i.market) == (venue, market)]
        return [
            ev.FeesReported(
                at=Nanos(0), venue=venue, market=market, symbol="", maker=D(0), taker=self.taker
            ),
            *(self._balance(key) for key in self.money if key[0] == venue),
            *(self._position(i.id) for i in mine if i.is_derivative and i.id in self.lots),
            *(
                ev.PositionModeReported(at=Nanos(0), venue=venue, market=market, mode=mode)
                for key, mode in self.modes.items()
                if key == (venue, market)
            ),
            *(
                ev.LeverageReported(at=Nanos(0), instrument=i.id, leverage=self.leverages[i.id])
                for i in mine
                if i.id in self.leverages
            ),
            ev.AccountChecked(at=Nanos(0), venue=venue, market=market),
        ]

    def statement(self, asked: cmd.QueryStatement) -> list[ev.AnyEvent]:
        """Its lines since a moment; nothing of a venue that keeps no statement."""
        if not self.keeps_statements:
            return []
        told = ev.StatementTold(
            at=Nanos(0),
            venue=asked.venue,
            market=asked.market,
            since_ms=asked.since_ms,
            until_ms=self.now // MILLI,
        )
        since = [e for e in self.lines if e.venue_ms >= asked.since_ms]
        return [*(e for e in since if e.venue == asked.venue), told]

    def fills(self, venue: str, market: str, since_ms: int) -> list[ev.AnyEvent]:
        """Every fill of ours in one market, and that these are all."""
        mine = {i.id for i in self.listed.values() if (i.venue, i.market) == (venue, market)}
        now_ms = self.now // MILLI
        return [
            *(f for p in self.placed.values() for f in p.fills if f.instrument in mine),
            ev.FillsTold(
                at=Nanos(0), venue=venue, market=market, since_ms=since_ms, until_ms=now_ms
            ),
        ]

    # Reading -----------------------------------------------------------------------------

    def orders(self) -> list[cmd.PlaceOrder]:
        return [c for c in self.sent if isinstance(c, cmd.PlaceOrder)]

    def ends(self) -> dict[str, int]:
        return dict(self.engine.report.group_ends())

    def digest(self) -> bytes:
        return msgspec.json.encode([self.sent, self.decisions])


def a_ready_world(
    instruments: Sequence[Instrument], strategies: Sequence[Strategy], **more: Any
) -> World:
    """Books at 60000, accounts told and checked, nothing traded yet."""
    world = World(instruments, strategies, **more)
    faults, world.faults = world.faults, Faults()
    for instrument in instruments:
        world.quote(instrument, "59999", "60001")
    world.turn()
    world.run(200)
    world.faults = faults
    return world


