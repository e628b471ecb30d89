"""Their lines: what the venues themselves say of our wallets, asked for now."""

from collections.abc import Mapping, Sequence

import msgspec

from oneprice.app.build import spec_of, wanted_of
from oneprice.app.config import ConfigError, VenueConfig
from oneprice.app.reconcile_match import Movement, Purse
from oneprice.app.reconcile_ours import BOOKED_LINES, Ours, fill_movements
from oneprice.app.run import credentials_of, endpoints_of
from oneprice.app.station import NotHeard, Station
from oneprice.core.acceptance import NEAR_MS
from oneprice.core.account import Accounts
from oneprice.core.ledger import CannotBook, Ledger
from oneprice.model.commands import AnyCommand, QueryAccount, QueryFills, QueryStatement
from oneprice.model.events import (
    AccountChecked,
    BalanceReported,
    FillsTold,
    InstrumentListed,
    OrderFilled,
    StatementLine,
    StatementTold,
)
from oneprice.model.settings import EngineSettings
from oneprice.model.units import MILLI, ZERO, Money
from oneprice.shell.gateway import NoAnswer

ANSWER_S = 60.0  # a long statement comes page by page, within the venue's budget
LEAD_MS = 60_000  # asked for from so long before the opening


class NoStatement(RuntimeError):
    """A venue that could not be asked, or did not answer: nothing can be said of it."""


class Theirs(msgspec.Struct, kw_only=True):
    """What one venue says."""

    movements: list[Movement] = []
    balances: dict[Purse, Money] = {}
    ahead_ms: int = 0  # how far its clock is ahead of ours
    by_fills: list[str] = []  # wallets of which the venue keeps no statement
    # Transfers so near the opening that no clock tells on which side of it, of which our journal
    # says nothing: the balance has to.
    near: list[Movement] = []


async def ask(
    venue: VenueConfig, settings: EngineSettings, ours: Ours, secrets_file: str = ""
) -> Theirs:
    """Everything one venue says of the span that our journal is about.

    Raises ConfigError without keys or where the account has ended with its twin, NoStatement
    where the venue does not answer.
    """
    if venue.needs_twin:
        raise ConfigError(
            f"venue {venue.name}: its twin ended with the run that started it, and with it the "
            "account; expected endpoints of one that lives on (oneprice twin, then --config)"
        )
    keys = credentials_of(venue, None, trading=True, file=secrets_file)
    ends = endpoints_of(spec_of(venue.name), venue, None)
    station = Station(venue, keys, ends, wanted_of(venue))
    try:
        await station.gateway.prepare()
        return await _Asking(station, venue, settings, ours).all()
    except (NotHeard, NoAnswer, ConnectionError) as error:
        raise NoStatement(f"venue {venue.name}: {error}") from None
    finally:
        await station.close()


class _Asking:
    """One venue's questions, one after the other."""

    def __init__(
        self, station: Station, venue: VenueConfig, settings: EngineSettings, ours: Ours
    ) -> None:
        self._station = station
        self._venue = venue
        self._ours = ours
        self._settings = settings
        self._found = Theirs(
            ahead_ms=round(station.clock.offset_ns(station.venue) / MILLI)
        )
        opened = [at for purse, at in ours.opened.items() if purse[0] == venue.name]
        self._since_ms = max(0, min(opened, default=ours.ended_at) // MILLI - LEAD_MS)
        self._since_ms += self._found.ahead_ms
        self._ids: dict[tuple[str, ...], None] = {}
        self._known = dict.fromkeys((*m.purse, m.record_id) for m in ours.movements)

    async def all(self) -> Theirs:
        name = self._venue.name
        without: list[str] = []
        for market in self._venue.in_markets:
            mark = self._station.mark()
            question = QueryStatement(venue=name, market=market, since_ms=self._since_ms)
            if not self._say(question):
                without.append(market)
                continue
            await self._station.event(
                StatementTold,
                lambda e, m=market: e.market == m,  # type: ignore[misc]
                since=mark,
                seconds=ANSWER_S,
                what=f"statement of {market}",
            )
            self._lines(self._station.find(StatementLine, since=mark))
        await self._balances()
        for market in without:
            await self._fills(market)
        return self._found

    def _say(self, command: AnyCommand) -> bool:
        """Send what a command means; False where it means nothing to the venue."""
        assert self._station.trade is not None
        requests = self._station.trade.encode(command, self._station.clock.now())
        self._station.send(requests)
        return bool(requests)

    def _began_ms(self, purse: Purse) -> int:
        """When our ledger began to keep a purse, by the venue's clock."""
        known = [at for there, at in self._ours.opened.items() if there[:2] == purse[:2]]
        opened = self._ours.opened.get(purse, min(known, default=self._ours.ended_at))
        return opened // MILLI + self._found.ahead_ms

    def _lines(self, lines: Sequence[StatementLine]) -> None:
        for line in lines:
            purse = (line.venue, line.wallet, line.asset)
            record = (*purse, line.record_id)
            if record in self._ids:
                continue
            self._ids[record] = None
            # What the journal knows was told apart when it was told: clocks step since.
            is_after = self._ours.lines.get(record)
            if is_after is None and self._is_near(purse, line):
                self._found.near.append(movement_of(line))
                continue
            if is_after is None:
                is_after = not 0 < line.venue_ms < self._began_ms(purse)
            if is_after:
                self._found.movements.append(movement_of(line))

    def _is_near(self, purse: Purse, line: StatementLine) -> bool:
        apart_ms = abs(line.venue_ms - self._began_ms(purse))
        return line.kind == "transfer" and line.venue_ms > 0 and apart_ms <= NEAR_MS

    async def _balances(self) -> None:
        for market in self._venue.in_markets:
            mark = self._station.mark()
            self._say(QueryAccount(venue=self._venue.name, market=market))
            await self._station.event(
                AccountChecked,
                lambda e, m=market: e.market == m,  # type: ignore[misc]
                since=mark,
                seconds=ANSWER_S,
                what=f"account of {market}",
            )
            for told in self._station.find(BalanceReported, since=mark):
                self._found.balances[told.venue, told.wallet, told.asset] = told.total

    async def _fills(self, market: str) -> None:
        """Where a venue keeps no statement its list of fills stands for one."""
        mark = self._station.mark()
        name = self._venue.name
        if not self._say(QueryFills(venue=name, market=market, since_ms=self._since_ms)):
            raise NoStatement(f"venue {name}: {market} has neither a statement nor fills")
        await self._station.event(
            FillsTold,
            lambda e: e.market == market,
            since=mark,
            seconds=ANSWER_S,
            what=f"fills of {market}",
        )
        wallet = self._wallet_of(market)
        self._found.by_fills.append(wallet)
        self._of_fills(market, wallet, self._station.find(OrderFilled, since=mark))
        # What its stream told unasked is its own word, and is told nowhere else.
        self._found.movements += [
            m
            for m in self._ours.movements
            if (m.venue, m.wallet) == (name, wallet) and m.kind in BOOKED_LINES
        ]

    def _of_fills(self, market: str, wallet: str, fills: Sequence[OrderFilled]) -> None:
        listed = {e.instrument.id: e.instrument for e in self._station.find(InstrumentListed)}
        ledger = Ledger()
        for fill in sorted(fills, key=lambda f: (f.venue_ms, f.fill_id)):
            key = (fill.instrument, fill.fill_id, fill.side.name)
            item = listed.get(fill.instrument)
            if item is None or item.market != market or key in self._ids:
                continue
            self._ids[key] = None
            try:
                moved = fill_movements(ledger, item, wallet, fill)
            except CannotBook as error:
                raise NoStatement(f"venue {item.venue}: fill {fill.fill_id}: {error}") from None
            self._found.movements += [
                m
                for m in moved
                if (*m.purse, m.record_id) in self._known or m.at_ms >= self._began_ms(m.purse)
            ]

    def _wallet_of(self, market: str) -> str:
        accounts = Accounts(self._settings)
        for told in self._station.find(BalanceReported):
            accounts.hear(told)
        return accounts.wallet_of(self._venue.name, market)


def movement_of(line: StatementLine) -> Movement:
    return Movement(
        venue=line.venue,
        wallet=line.wallet,
        asset=line.asset,
        amount=line.amount,
        kind=line.kind,
        record_id=line.record_id,
        at_ms=line.venue_ms,
        fee=line.fee if line.kind == "trade" else ZERO,
        text=line.text,
    )


def balances_of(told: Sequence[Theirs]) -> Mapping[Purse, Money]:
    """Of all venues."""
    return {purse: amount for one in told for purse, amount in one.balances.items()}
