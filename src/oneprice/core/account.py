"""What the venues said about our accounts: fee tiers, balances, positions, checks."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from oneprice.core.ledger import WHOLE_DIGITS_MAX
from oneprice.core.strategy import Fees
from oneprice.model.events import (
    BalanceReported,
    FeesReported,
    FillsTold,
    OrderFilled,
    PositionReported,
    StatementTold,
)
from oneprice.model.instrument import Instrument
from oneprice.model.settings import EngineSettings
from oneprice.model.units import MILLI, Asset, InstrumentId, Lots, Nanos

WalletKey = tuple[str, str, Asset]  # venue, wallet, asset
MarketKey = tuple[str, str]  # venue, market


class Accounts:
    """The latest statements of the venues; nothing here is our own arithmetic."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._fees: dict[tuple[str, str, str], Fees] = {}
        self._fees_of: dict[InstrumentId, Fees] = {}  # as looked up since the last report
        self._wallet_of: dict[MarketKey, str] = {}
        self.balances: dict[WalletKey, BalanceReported] = {}
        self.positions: dict[InstrumentId, PositionReported] = {}
        self.markets: dict[MarketKey, bool] = {}  # asked about; True once checked
        self.checked_at: dict[MarketKey, Nanos] = {}  # for the first time
        self.told_at: dict[MarketKey, Nanos] = {}  # in full, lately
        self.accepted: dict[InstrumentId, Nanos] = {}  # when a person took the venue's position
        self.ahead_ms: dict[str, int] = {}  # how far each venue's clock is ahead of ours, at least

    def hear(self, event: FeesReported | BalanceReported | PositionReported) -> bool:
        """Keep a statement; True where it is news."""
        match event:
            case FeesReported():
                key = (event.venue, event.market, event.symbol)
                fees = Fees(event.maker, event.taker)
                known = self._fees.get(key)
                self._fees[key] = fees
                self._fees_of.clear()
                return known != fees
            case BalanceReported():
                total = event.total
                if not total.is_finite() or total.adjusted() >= WHOLE_DIGITS_MAX:
                    return False  # no statement at all; Reconcile names it
                before = self.balances.get((event.venue, event.wallet, event.asset))
                self.balances[event.venue, event.wallet, event.asset] = event
                return before is None or before.total != event.total
            case PositionReported():
                held = self.positions.get(event.instrument)
                self.positions[event.instrument] = _completed(event, held)
                return held is None or held.lots != event.lots

    def recount(self, instrument: InstrumentId, times: int) -> None:
        """One lot of before is so many from now on."""
        told = self.positions.get(instrument)
        if told is not None:
            lots = Lots(told.lots * times)
            # Where its price counts other units from now on, the old one would mislead.
            self.positions[instrument] = msgspec.structs.replace(
                told, lots=lots, liquidation=None
            )

    def fees(self, instrument: Instrument) -> Fees | None:
        known = self._fees_of.get(instrument.id)
        if known is None:
            own = self._fees.get((instrument.venue, instrument.market, instrument.symbol))
            known = own or self._fees.get((instrument.venue, instrument.market, ""))
            if known is not None:
                self._fees_of[instrument.id] = known
        return known

    def is_checked(self, instrument: Instrument) -> bool:
        return self.markets.get((instrument.venue, instrument.market), False)

    def wallet_of(self, venue: str, market: str) -> str:
        """The wallet behind a market: as configured, else by its name, else the only one."""
        known = self._wallet_of.get((venue, market))
        if known is not None:
            return known
        told = self._settings.wallets.get(f"{venue}:{market}")
        wallets = list(dict.fromkeys(w for v, w, _ in self.balances if v == venue))
        found = told or (wallets[0] if len(wallets) == 1 and market not in wallets else market)
        if self.markets.get((venue, market)):
            self._wallet_of[venue, market] = found  # the same for ever, once it is relied on
        return found

    def markets_of(self, venue: str, wallet: str) -> Sequence[str]:
        """The markets whose check tells about a wallet."""
        found = [m for v, m in self.markets if v == venue and self.wallet_of(v, m) == wallet]
        return found or [m for v, m in self.markets if v == venue]

    def wallet_is(self, venue: str, market: str, wallet: str) -> None:
        """What was relied on once: new settings do not move what was booked by old ones."""
        self._wallet_of[venue, market] = wallet

    # Clocks ------------------------------------------------------------------------------

    def hear_clock(self, event: FillsTold | StatementTold) -> bool:
        """A complete answer is as old as its question, at least. True where a venue tells its
        clock for the first time."""
        if event.until_ms <= event.since_ms:
            return False  # no more than we asked
        first = event.venue not in self.ahead_ms
        ahead = event.until_ms - event.at // MILLI
        self.ahead_ms[event.venue] = max(self.ahead_ms.get(event.venue, ahead), ahead)
        return first

    def is_before(self, venue: str, venue_ms: int, moment: Nanos) -> bool | None:
        """Whether a venue says of something that it was before a moment of ours; None while
        that may be its clock, which is behind ours, and has not been told yet."""
        ahead = self.ahead_ms.get(venue)
        if not 0 < venue_ms < moment // MILLI + (ahead or 0):
            return False
        return True if ahead is not None else None

    def counts(self, fill: OrderFilled, instrument: Instrument) -> bool | None:
        """Whether a fill of nobody's order changes what was opened: one from before is in it.
        None while nobody can know."""
        checked = self.checked_at.get((instrument.venue, instrument.market))
        if checked is None or not self.is_checked(instrument):
            return False
        opened = max(checked, self.accepted.get(instrument.id, checked))
        before = self.is_before(instrument.venue, fill.venue_ms, opened)
        return None if before is None else not before

    def lots(self, instrument: InstrumentId) -> Lots | None:
        """A position as its venue last told it; None where it never did."""
        told = self.positions.get(instrument)
        return None if told is None else told.lots

    def reported(self, key: WalletKey) -> Decimal | None:
        told = self.balances.get(key)
        return None if told is None else told.total


def _completed(told: PositionReported, before: PositionReported | None) -> PositionReported:
    """With what an earlier statement said of the same side, where this one is silent: some
    streams tell the size alone."""
    if before is None or told.lots * before.lots <= 0:
        return told
    if told.liquidation is not None and told.adl_rank is not None:
        return told
    rank = before.adl_rank if told.adl_rank is None else told.adl_rank
    liquidation = before.liquidation if told.liquidation is None else told.liquidation
    return msgspec.structs.replace(told, liquidation=liquidation, adl_rank=rank)
