"""Money: whatever happens in whatever order, every unit has a cause, and none is booked twice."""

from decimal import Context, Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.app.reconcile_ours import ours
from oneprice.core.engine import Engine
from oneprice.core.ledger import CAUSES
from oneprice.core.strategy import Decision
from oneprice.kernel import Book, Tripwires
from oneprice.model import events as ev
from oneprice.model.settings import EngineSettings, ReconcileSettings
from oneprice.model.units import HOUR, MILLI, Lots, Nanos, Side, Ticks
from tests.build import D, World, a_perp, an_inverse
from tests.core.test_recall import read_back
from tests.core.test_statement import a_line

A, C = a_perp("alpha"), an_inverse("alpha")
MARKETS = [("alpha", "linear"), ("alpha", "inverse")]
COINS = ("USDT", "BTC", "BNB")
WIDE = Context(prec=200)
SETTINGS = EngineSettings(
    reconcile=ReconcileSettings(statement_ms=30_000, audit_ms=30_000, adopt_positions=True),
    rates_fixed={"BNB": D(600), "USD": D(1)},
)
RATES = {"USDT": 1, "BTC": 60_000, "BNB": 600}
# Of an account, so small that fills of a few lots are most of what moves.
FUNDS = {("alpha", "unified", coin): "1000" for coin in COINS}

SMALL = st.decimals("-2", "2", places=8).filter(bool)
FILLED = st.tuples(
    st.just("fill"), st.sampled_from([A, C]), st.sampled_from(list(Side)),
    st.integers(30_000, 90_000), st.integers(1, 40), st.integers(-20, 80),
    st.sampled_from(COINS), st.booleans(),
)  # fmt: skip
FUNDED = st.tuples(st.just("funding"), SMALL, st.sampled_from(["USDT", "BTC"]), st.booleans())
LINE = st.tuples(
    st.just("line"), st.sampled_from(["transfer", "interest", "correction", "liquidation"]),
    SMALL.map(lambda amount: amount * 50), st.sampled_from(COINS), st.booleans(),
)  # fmt: skip
OTHER = st.one_of(
    st.tuples(st.just("run"), st.sampled_from([500, 10_000, 40_000])),
    st.tuples(st.just("accept")),
    st.tuples(st.just("write")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("day")),
    st.tuples(st.just("quote"), st.integers(30_000, 90_000)),
)
LIFE = st.lists(st.one_of(FILLED, FUNDED, LINE, OTHER), min_size=1, max_size=12)


class Life:
    """An account to which things happen; `late` is what the venue has done and not written."""

    def __init__(self) -> None:
        self.world = world = World([A, C], [], settings=SETTINGS, funds=FUNDS)
        world.quote(A, "59999", "60001")
        world.quote(C, "59999", "60001")
        world.turn()
        world.run(130_000)  # near the opening the balance alone tells: see test_statement
        self.late: list[ev.StatementLine] = []
        self.late_funding: list[ev.FundingBooked] = []
        self.numbers = 0
        self.starts = 1

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def fill(self, *what: Any) -> None:
        it, side, price, lots, bps, coin, known = what
        world = self.world
        ticks = Ticks(it.ticks(D(price)))
        paid = it.notional(ticks, Lots(lots)) * bps / 10_000 / RATES[coin]
        fee = paid.quantize(D("1E-8"))
        fill = ev.OrderFilled(
            at=Nanos(world.now), order_id="", instrument=it.id, fill_id=f"f{self.number()}",
            side=side, ticks=ticks, lots=Lots(lots), fee=fee, fee_asset=coin,
            venue_ms=world.now // MILLI,
        )  # fmt: skip
        world._trade_contracts(it, side, ticks, lots)
        world._pay(("alpha", "unified", coin), -fee)
        if not known:
            rough = (fee / 2 * RATES[coin]).quantize(D("1E-8"))
            guess = msgspec.structs.replace(fill, fee=rough, fee_asset="USDT", fee_known=False)
            world.tell(guess)
        world.tell(fill)

    def funding(self, amount: Decimal, asset: str, late: bool) -> None:
        world = self.world
        name = A.id if asset == "USDT" else C.id
        paid = ev.FundingBooked(
            at=Nanos(world.now), instrument=name, record_id=f"p{self.number()}", amount=amount,
            asset=asset, venue_ms=world.now // MILLI,
        )  # fmt: skip
        world._pay(("alpha", "unified", asset), amount)
        if late:
            self.late_funding.append(paid)
        else:
            world.tell(paid)

    def line(self, kind: str, amount: Decimal, asset: str, late: bool) -> None:
        world = self.world
        number = self.number()
        line = a_line(world, kind, str(amount), asset=asset, record_id=f"l{number}")
        world._pay(("alpha", "unified", asset), amount)
        (self.late if late else world.lines).append(line)

    def run(self, ms: int) -> None:
        self.world.run(ms)

    def accept(self) -> None:
        self.world.tell(ev.ClutchReleased(at=Nanos(self.world.now), by="a person"))

    def write(self) -> None:
        """What was late is written now: all of it is told by the next statement."""
        world = self.world
        world.lines += self.late
        for line in self.late:
            world.tell(msgspec.structs.replace(line, at=Nanos(world.now)))
        if self.late:
            now_ms = world.now // MILLI
            told = ev.StatementTold(
                at=Nanos(world.now), venue="alpha", market="linear", since_ms=0, until_ms=now_ms
            )
            world.tell(told)
        for paid in self.late_funding:
            world.tell(msgspec.structs.replace(paid, at=Nanos(world.now)))
        self.late, self.late_funding = [], []

    def restart(self) -> None:
        world = self.world
        self.starts += 1
        world._queue.clear()
        world._timers.clear()
        world.wires = Tripwires()
        world.books = {i: Book(it.tick, it.lot) for i, it in world.listed.items()}
        world.engine = Engine(world.settings, [], world.books, world.wires, f"t{self.starts}")
        for entry in list(world.journal):
            world.engine.recall.entry(*read_back(entry))
        world.engine.recall.end()
        for it in world.listed.values():
            world.tell(ev.InstrumentListed(at=Nanos(world.now), instrument=it))
            world.quote(it, "59999", "60001")
        commands = world.engine.begin(Nanos(world.now), MARKETS)
        record = world.engine.drain_record()
        world.decisions += [item for item in record if isinstance(item, Decision)]
        world.journal.append((Nanos(world.now), record, commands))
        for command in commands:
            world._obey(command)
        world.turn()
        world.run(60_000)

    def day(self) -> None:
        self.world.run(1_000)  # nothing is on its way when the clock jumps
        self.world.now += 24 * HOUR
        self.world.tell(ev.TurnEnded(at=Nanos(self.world.now)))

    def quote(self, price: int) -> None:
        for it in (A, C):
            self.world.quote(it, str(price - 1), str(price + 1))
        self.world.turn()


def lived(steps: list[tuple[Any, ...]]) -> Life:
    life = Life()
    for name, *what in steps:
        getattr(life, name)(*what)
        everything_has_a_cause(life.world.engine)
    return life


def _sum(amounts: Any) -> Decimal:
    total = D(0)
    for amount in amounts:
        total = WIDE.add(total, amount)
    return total


def everything_has_a_cause(engine: Engine) -> None:
    ledger, report = engine._ledger, engine.report
    assert all(ledger.total(asset) == 0 for asset in ledger.assets())
    profit = report.profit()
    assert _sum(profit.values()) == report.equity_change() and report.residual() == 0
    groups = {account[2]: None for account in ledger._balances if account[0] == "cause"}
    for cause in CAUSES:
        assert _sum(report.profit(group)[cause] for group in groups) == profit[cause]
    for cause, whole in profit.items():
        assert _sum(day[cause] for day in report.profit_by_day().values()) == whole


def is_recalled(world: World) -> None:
    fresh = Engine(world.settings, [], {}, Tripwires(), "again")
    for entry in world.journal:
        fresh.recall.entry(*read_back(entry))
    rates = world.engine._market.rate
    one, two = world.engine._ledger, fresh._ledger
    assert two._balances == one._balances
    assert two.profit(rates) == one.profit(rates)
    assert two.profit_by_day(rates) == one.profit_by_day(rates)
    assert two.transferred() == one.transferred()
    mine = ours(world.settings, [read_back(entry)[1] for entry in world.journal])
    closings = {purse: n for purse, n in mine.closings.items() if n}
    assert closings == {purse: n for purse, n in one.wallets().items() if n}


@settings(max_examples=25, deadline=None)
@given(LIFE)
def test_profit_by_cause_is_the_change_of_equity_by_group_and_day_and_is_recalled(
    steps: list[tuple[Any, ...]],
) -> None:
    life = lived(steps)
    is_recalled(life.world)


@settings(max_examples=25, deadline=None)
@given(LIFE)
def test_when_all_is_written_the_books_are_the_venues_whatever_was_accepted_meanwhile(
    steps: list[tuple[Any, ...]],
) -> None:
    life = lived(steps)
    world = life.world
    world.run(70_000)
    life.write()
    world.run(70_000)
    everything_has_a_cause(world.engine)
    balances = world.engine.report.balances()
    for purse, amount in world.money.items():
        beyond = abs(balances.get(purse, D(0)) - amount) * RATES[purse[2]]
        assert beyond < D("0.5"), (purse, balances.get(purse), amount)
    is_recalled(world)
