"""What must hold in every world when all has come to rest, and when it is over."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from oneprice.app.build import build_desk
from oneprice.app.session import entry_bytes
from oneprice.app.world import auditor
from oneprice.app.world.disk import MemoryDisk
from oneprice.app.world.loop import VirtualLoop
from oneprice.app.world.plan import Plan
from oneprice.app.world.quarter import HAND, Quarter, Venue
from oneprice.app.world.trader import JOURNAL, Life, Trader, resume
from oneprice.app.world.violations import Findings
from oneprice.app.world.watch import Watch
from oneprice.model.commands import PlaceOrder
from oneprice.model.instrument import split_id
from oneprice.model.units import ZERO, Asset, Money, Nanos
from oneprice.shell.desk import Turn
from oneprice.store.journal import read_journal
from oneprice.twin.contract import Levels

SAME_AS = {"XBT": "BTC"}  # two names of one coin
NEAR = Decimal("0.0001")
MARKS = ("by_hand", "rate")  # after these a clutch may be open


class Invariants:
    """Asks both sides, and a third who keeps books of his own."""

    def __init__(
        self, plan: Plan, loop: VirtualLoop, quarter: Quarter, lives: list[Life]
    ) -> None:
        self.findings = Findings(loop.time)
        self.watch = Watch(plan, quarter, self.findings)
        self._plan = plan
        self._quarter = quarter
        self._lives = lives
        self._hold = self.findings.hold
        self._hedged_before = -1
        self._excused = False
        self._marked = any(fault.kind in MARKS for fault in plan.faults)

    # Phases --------------------------------------------------------------------------------

    def turn(self, turn: Turn, trader: Trader) -> None:
        self.watch.turn(turn, trader)

    def faults_ended(self) -> None:
        self._hedged_before = self.watch.hedged

    def traded_again(self) -> bool:
        return self.watch.hedged > self._hedged_before >= 0

    def venue_failed(self, text: str) -> None:
        self.findings.fail("venue_failed", text)

    def start_failed(self, error: Exception) -> None:
        self.findings.fail("start_failed", f"{type(error).__name__}: {error}")

    def recovered(self, good: bool, trader: Trader) -> None:
        report = trader.desk.engine.report
        looks = list(dict.fromkeys(look.verdict for look in report.opportunities()))
        text = f"{looks} missing {trader.missing} {report.groups()}"
        self._hold("trades_again", good, text)

    def quiet(self, good: bool, trader: Trader) -> None:
        report = trader.desk.engine.report
        text = f"{report.groups()} {report.holdings()} {report.counts()}"
        self._hold("becomes_quiet", good, text)

    @property
    def _remembers(self) -> bool:
        """Whether the process that lives knows what those before it did."""
        return self._plan.resumes or not any(life.died for life in self._lives)

    # At rest -------------------------------------------------------------------------------

    def at_rest(self, trader: Trader, disk: MemoryDisk) -> None:
        """Everything was stopped, nothing is in flight: all sides must say the same."""
        engine, report = trader.desk.engine, trader.desk.engine.report
        failure = trader.runtime.failure
        self._hold("failure", not failure or "No space left" in failure, failure)
        unsettled = report.counts()["unsettled_orders"]
        # Where a venue told us to stay away nothing could be asked or ended.
        self._excused = trader.banned
        good = unsettled == 0 or self._excused
        self._hold("settled", good, f"{unsettled} orders unsettled")
        self._sums(trader)
        if not self._marked:
            self._hold("no_false_alarm", not engine.clutch, engine.clutch)
        written = _journaled(disk)
        for name, venue in self._quarter.venues.items():
            self._audit(name, venue, written)
        self.books_equal(trader)
        self._ours_and_theirs(trader)
        if self._remembers:
            if any(venue.by_hand for venue in self._quarter.venues.values()):
                self._hold("strangers_noticed", bool(engine.clutch), "the clutch is closed")
            if not engine.clutch and not self._excused:
                self._flat()
        if self._plan.calm:
            self._calm(trader)

    def _calm(self, trader: Trader) -> None:
        report = trader.desk.engine.report
        self._hold("calm_clutch", not report.clutch, report.clutch)
        self._hold("calm_trades", self.watch.hedged >= 2, f"{self.watch.hedged} groups hedged")

    def _sums(self, trader: Trader) -> None:
        """Every asset over all accounts, real and mirrored, is nothing."""
        # Nobody outside needs the raw balances; the simulation looks at them all the same.
        totals: dict[Asset, Decimal] = {}
        for assets in trader.desk.engine._ledger._balances.values():
            for asset, amount in assets.items():
                totals[asset] = totals.get(asset, ZERO) + amount
        wrong = {asset: total for asset, total in totals.items() if total}
        self._hold("assets_sum_to_zero", not wrong, f"{wrong}")

    def _flat(self) -> None:
        """Nothing is left after a stop but dust, which has a limit of its own."""
        net: dict[Asset, Decimal] = {}
        worth: dict[Asset, Money] = {}
        for venue in self._quarter.venues.values():
            for listing in venue.exchange.setup.listings:
                one = listing.instrument
                worth[_name(one.base)] = venue.exchange.floors[one.id].middle()
            for instrument, lots in venue.positions().items():
                _, market, symbol = split_id(instrument)
                one = venue.exchange.listing(market, symbol).instrument
                coins = one.size(lots) * one.contract_value
                net[_name(one.base)] = net.get(_name(one.base), ZERO) + coins
            before, now = _renamed(venue.opening), _renamed(venue.balances())
            for (wallet, asset), amount in now.items():
                if asset in worth:
                    net[asset] = net.get(asset, ZERO) + amount - before.get((wallet, asset), ZERO)
        most = self._plan.config.engine.legs.dust_max
        for asset, coins in net.items():
            left = abs(coins) * worth[asset]
            self._hold("flat_after_stop", left <= most, f"{coins} {asset} left, worth {left}")

    # Three sets of books -------------------------------------------------------------------

    def _audit(self, name: str, venue: Venue, written: Mapping[str, PlaceOrder]) -> None:
        """The auditor's books against the venue's, and every order against its wish."""
        exchange = venue.exchange
        instruments = {one.instrument.id: one.instrument for one in exchange.setup.listings}
        wallets = {one.market: exchange.wallet_of(one.market) for one in instruments.values()}
        fills = venue.fills()
        happened = auditor.in_order(fills, exchange.fundings(venue.key))
        books = auditor.keep_books(venue.opening, instruments, wallets, happened)
        differences = auditor.wallets_differ(books.wallets, venue.balances(), "auditor")
        positions = venue.positions()
        for instrument, held in books.held.items():
            if held.lots != positions.get(instrument, 0):
                text = f"{instrument}: {held.lots}, {positions.get(instrument, 0)} there"
                differences.append(("auditor_positions", text))
        wishes = [wish for wish in written.values() if wish.instrument.startswith(name + ":")]
        heard = auditor.hear(e for life in self._lives for v, e in life.told if v in (name, ""))
        orders = [order for order in venue.orders() if not order.client_id.startswith(HAND)]
        ours = [fill for fill in fills if not fill.client_id.startswith(HAND)]
        differences += auditor.judge_orders(wishes, orders, ours, instruments, heard)
        self.findings.counted("audited", len(wishes) + len(happened))
        for rule, text in differences:
            if rule != "outcome" or not (self._excused or text.startswith(self._forgotten())):
                self.findings.fail(rule, f"{name} {text}")

    def _forgotten(self) -> tuple[str, ...]:
        """Client ids of processes that died with nobody to remember what they had not heard."""
        if self._remembers:
            return ("\0",)
        return ("\0", *(life.session + "g" for life in self._lives if life.died))

    def agreed(self, trader: Trader) -> bool:
        """Whether our balances and positions are those of the venues."""
        return all(ours == theirs for _, _, ours, theirs in self._both_sides(trader))

    def _ours_and_theirs(self, trader: Trader) -> None:
        if self._remembers:
            told = [d.subject for d in trader.desk.engine.report.discrepancies]
            for rule, what, ours, theirs in self._both_sides(trader):
                # What others did on our account may leave a rest that a person must sign for.
                named = self._marked and bool(trader.desk.engine.clutch) and _subject(what) in told
                text = f"{what}: {ours}, {theirs} there"
                self._hold(rule, ours == theirs or named, text)

    def _both_sides(self, trader: Trader) -> Iterator[tuple[str, str, Decimal, Decimal]]:
        """Everything that we and the venues hold of us: rule, what, ours, theirs."""
        report = trader.desk.engine.report
        for name, venue in self._quarter.venues.items():
            theirs = _renamed(venue.balances())
            wallets = venue.exchange.setup.wallets
            only = wallets[0].name if len(wallets) == 1 else ""  # whatever it is called here
            for (one, wallet, asset), ours in report.balances().items():
                if one == name:
                    there = theirs.get((only or wallet, asset), ZERO)
                    there = ours if abs(ours - there) <= NEAR else there
                    yield "balances_equal", f"{name} {wallet} {asset}", ours, there
            positions, held = venue.positions(), report.positions()
            for instrument in dict.fromkeys((*positions, *held)):
                if instrument.startswith(name + ":"):
                    lots, lots_there = held.get(instrument, 0), positions.get(instrument, 0)
                    yield "positions_equal", instrument, Decimal(lots), Decimal(lots_there)

    def heard_since(self, trader: Trader, at: int) -> bool:
        """Whether every book that we call known was heard of after a moment."""
        return all(
            book.at > at
            for name in self._quarter.venues
            for book in trader.desk.dialect(name).feed.books.values()
            if book.known
        )

    def books_agree(self, trader: Trader) -> bool:
        """Whether every book that we call known is the venue's."""
        return all(ours == theirs for _, ours, theirs in self._books(trader))

    def books_equal(self, trader: Trader) -> None:
        """The market stands still: a book that we call known is the venue's, to the last level."""
        for what, ours, theirs in self._books(trader):
            self._hold("books_equal", ours == theirs, f"{what}: {ours}, {theirs} there")

    def _books(self, trader: Trader) -> Iterator[tuple[str, Levels, Levels]]:
        for name, venue in self._quarter.venues.items():
            feed = trader.desk.dialect(name).feed
            for instrument, floor in venue.exchange.floors.items():
                book = feed.books.get(instrument)
                if book is not None and book.known:
                    yield f"{instrument} bids", tuple(book.bids()), floor.book.bids.levels()
                    yield f"{instrument} asks", tuple(book.asks()), floor.book.asks.levels()

    # At the end ----------------------------------------------------------------------------

    def at_end(self) -> None:
        """The recorded inputs lead to the same decisions again, in every life."""
        for life in self._lives:
            if not life.begun:
                continue  # it never got as far as trading
            desk = build_desk(self._plan.config, life.session)
            resume(desk.engine, life.earlier)
            ours = [entry_bytes(turn) for turn in life.turns]
            again: list[bytes] = []
            for kind, source, at, payload in life.inputs:
                turn = desk.replay(kind, source, Nanos(at), payload)
                if turn is not None:
                    again.append(entry_bytes(turn))
            # What a killed process had taken in but not written down, the replay decides alone.
            same = again[: len(ours)] == ours and (bool(life.died) or len(again) == len(ours))
            pairs = enumerate(zip(ours, again, strict=False))
            where = next((number for number, (one, other) in pairs if one != other), -1)
            self._hold("parity", same, f"{life.session}: turn {where} of {len(ours)}")


def _subject(what: str) -> str:
    """A wallet and asset, or an instrument, as discrepancies name them."""
    return what.replace(" ", "/")


def _journaled(disk: MemoryDisk) -> dict[str, PlaceOrder]:
    """Every order that the disk knows of, by client id."""
    found: dict[str, PlaceOrder] = {}
    for payload in read_journal(JOURNAL, disk):
        _, _, commands = _ENTRY.decode(payload)
        for command in commands:
            if command.get("type") == PlaceOrder.__name__:
                wish = msgspec.convert(command, PlaceOrder)
                found[wish.order_id] = wish
    return found


_ENTRY = msgspec.json.Decoder(tuple[int, list[dict[str, object]], list[dict[str, object]]])


def _name(asset: Asset) -> Asset:
    return SAME_AS.get(asset, asset)


def _renamed(balances: Mapping[tuple[str, Asset], Money]) -> dict[tuple[str, Asset], Money]:
    """Some venues have names of their own for a coin; ours are everybody's."""
    found: dict[tuple[str, Asset], Money] = {}
    for (wallet, asset), amount in balances.items():
        key = (wallet, _name(asset))
        found[key] = found.get(key, ZERO) + amount
    return found
