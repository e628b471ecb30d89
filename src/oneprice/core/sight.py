"""What strategies and rules may see: one read-only view over market, accounts, groups, ledger."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from oneprice.core.account import Accounts
from oneprice.core.closing import close_intent
from oneprice.core.groups import Groups
from oneprice.core.holdings import Holdings
from oneprice.core.ledger import OPENING, Ledger
from oneprice.core.margin import Margin
from oneprice.core.market import Market
from oneprice.core.strategy import Fees, Holding, HoldingLeg, Intent, IntentLeg
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.settings import EngineSettings, GateSettings, MarginSettings
from oneprice.model.units import (
    HOUR,
    MILLI,
    ROUNDED,
    ZERO,
    Asset,
    InstrumentId,
    Lots,
    Money,
    Nanos,
    Side,
)

DAY = 24 * HOUR
BARRED_DOUBLED_MAX = 6  # 64 times the first pause: as long as the longest bans


class Parts(msgspec.Struct, frozen=True):
    """The parts of the engine that a view looks at."""

    market: Market
    accounts: Accounts
    groups: Groups
    holdings: Holdings
    ledger: Ledger


class Sight:
    """View for strategies, Facts for the gate. Only the engine sets what has no underscore."""

    def __init__(self, settings: EngineSettings, parts: Parts) -> None:
        self._settings = settings
        self._market = parts.market
        self._accounts = parts.accounts
        self._groups = parts.groups
        self._holdings = parts.holdings
        self._ledger = parts.ledger
        self.clutch = ""
        self.stopping = False
        self.flattening = False  # a person wants every holding closed, whatever it costs
        self.recovering = False  # after a restart: not yet compared with the venues
        self.deaf: dict[tuple[str, str], None] = {}  # private sockets that are down, by venue
        self.resized = parts.groups.resized
        self._barred = parts.groups.barred
        # What the market answers by itself is not asked through another call.
        market = parts.market
        self.instruments, self.instrument = market.instruments, market.instrument
        self.book, self.age, self.cost = market.book, market.age, market.cost
        self.sweep, self.funding, self.rate = market.sweep, market.funding, market.rate
        self.mark, self.index = market.mark, market.index
        self.margin = Margin(settings.margin, market, parts.accounts)
        self.risk = self.margin.risk
        self._rests: dict[tuple[str, ...], Nanos] = {}

    # The market --------------------------------------------------------------------------

    @property
    def now(self) -> Nanos:
        return self._market.now

    @property
    def reporting(self) -> Asset:
        return self._settings.reporting

    @property
    def limits(self) -> GateSettings:
        return self._settings.gate

    @property
    def margins(self) -> MarginSettings:
        return self._settings.margin

    @property
    def trading(self) -> bool:
        return self._settings.trading

    # The account -------------------------------------------------------------------------

    def fees(self, instrument: InstrumentId) -> Fees | None:
        listed = self._market.instrument(instrument)
        return None if listed is None else self._accounts.fees(listed)

    def is_heard(self, instrument: InstrumentId) -> bool:
        """Whether the venue's word about our orders can reach us."""
        if not self.deaf:
            return True
        venue = instrument.partition(":")[0]
        return all(there != venue for there, _ in self.deaf)

    def reconciled(self, instrument: InstrumentId) -> bool:
        listed = self._market.instrument(instrument)
        return listed is not None and self._accounts.is_checked(listed)

    def position(self, instrument: InstrumentId) -> Lots:
        return Lots(self._ledger.lots(instrument))

    def available(self, instrument: InstrumentId, asset: Asset) -> Money | None:
        """Free as the venue last said, or what the ledger knows, less what is on its way."""
        listed = self._market.instrument(instrument)
        if listed is None:
            return None
        wallet = self._accounts.wallet_of(listed.venue, listed.market)
        told = self._accounts.balances.get((listed.venue, wallet, asset))
        if told is None:
            # A spot venue that never mentioned a coin has none of it for us.
            checked = self._accounts.is_checked(listed)
            held = self._ledger.wallet(listed.venue, wallet, asset)
            return held if checked and listed.payoff is Payoff.SPOT else None
        if told.available is not None:
            free = told.available
        elif listed.payoff is Payoff.SPOT:
            free = told.total
        else:
            return None
        if listed.payoff is Payoff.SPOT:
            free = min(free, self._ledger.wallet(listed.venue, wallet, asset))
            free -= self._spoken_for(listed.venue, wallet, asset)
        return free - self._on_its_way(listed.venue, wallet, asset)

    def _spoken_for(self, venue: str, wallet: str, asset: Asset) -> Money:
        """Coins that an open holding will sell when it ends: nobody else may."""
        total = ZERO
        for holding in self._holdings.of(""):
            for leg in holding.legs:
                listed = self._market.known_instrument(leg.instrument)
                if leg.lots <= 0 or listed.is_derivative:
                    continue
                if (listed.venue, listed.base) == (venue, asset) and (
                    self._accounts.wallet_of(venue, listed.market) == wallet
                ):
                    total += listed.size(leg.lots) * listed.contract_value
        return total

    def _on_its_way(self, venue: str, wallet: str, asset: Asset) -> Money:
        total = ZERO
        for group in self._groups.living.values():
            for leg in group.intent.legs:
                listed = self._market.known_instrument(leg.instrument)
                if listed.venue != venue or leg.reduce_only:
                    continue
                if self._accounts.wallet_of(venue, listed.market) != wallet:
                    continue
                total += _reserved(listed, leg.side, leg.ticks, leg.lots, asset) * (
                    Decimal(1)
                    if listed.payoff is Payoff.SPOT
                    else self._settings.gate.margin_fraction
                )
        return total

    # What is ours ------------------------------------------------------------------------

    def holdings(self, strategy: str) -> Sequence[Holding]:
        return self._holdings.of(strategy)

    def all_holdings(self) -> Sequence[Holding]:
        return self._holdings.of("")

    def holding(self, holding: str) -> Holding | None:
        return self._holdings.get(holding)

    def closing(
        self, holding: Holding, reason: str, slack_bps: Decimal, patience: Nanos
    ) -> Intent | None:
        return close_intent(holding, self, reason, slack_bps, patience)

    def may_exit(self, holding: str) -> bool:
        return self._holdings.may_exit(holding)

    def reduces(self, leg: IntentLeg) -> bool:
        return self._groups.reduces(leg.instrument, leg.side, leg.lots)

    def is_bounded(self, leg: IntentLeg) -> bool:
        listed = self._market.instrument(leg.instrument)
        return listed is not None and self._groups.bounded(listed, leg.side, leg.lots)

    def dust(self, base: Asset) -> Decimal:
        return self._holdings.dust(base)

    def busy(self, strategy: str, instruments: Iterable[InstrumentId]) -> bool:
        if not self._groups.living:
            return False
        wanted = dict.fromkeys(instruments)
        return any(
            leg.instrument in wanted
            for group in self._groups.living.values()
            if group.intent.strategy == strategy
            for leg in group.intent.legs
        )

    def is_free(self, instrument: InstrumentId) -> bool:
        return not self._groups.works_in(instrument) and instrument not in self.resized

    def in_pair(self, strategy: str, instruments: Iterable[InstrumentId]) -> int:
        held = self._holdings.of(strategy)
        if not held and not self._groups.living:
            return 0
        wanted = sorted(instruments)
        legs: list[Sequence[IntentLeg | HoldingLeg]] = [holding.legs for holding in held]
        for group in self._groups.living.values():
            if group.intent.strategy == strategy:
                legs.append(group.intent.legs)
        return sum(sorted(leg.instrument for leg in there) == wanted for there in legs)

    def rest(self, intent: Intent) -> None:
        """Something went wrong with an intent: its pair has to wait."""
        until = self._market.now + self._settings.gate.rest_ms * MILLI
        key = _pair(intent.strategy, [leg.instrument for leg in intent.legs])
        self._rests[key] = Nanos(until)

    def refused_for_rate(self, venue: str) -> None:
        """A venue, or our own pace there, let an order not leave: nothing is begun there for a
        while, for the other leg would be sent all the same. Longer each time in a row."""
        until, times = self._barred.get(venue, (Nanos(0), 0))
        if self._market.now < until:
            return  # of the same group, or of one that was under way
        pause = self._settings.gate.rest_ms * MILLI * 2 ** min(times, BARRED_DOUBLED_MAX)
        self._barred[venue] = (Nanos(self._market.now + pause), times + 1)

    def took_an_order(self, venue: str) -> None:
        self._barred.pop(venue, None)

    def is_barred(self, venue: str) -> bool:
        return self._market.now < self._barred.get(venue, (0, 0))[0]

    def begun_within(self, span: Nanos) -> int:
        """Groups begun in the last `span`."""
        begun = self._groups.begun
        return len(begun) - bisect_right(begun, self._market.now - span)

    def resting(self, strategy: str, instruments: Iterable[InstrumentId]) -> bool:
        if not self._rests:
            return False
        return self._market.now < self._rests.get(_pair(strategy, instruments), 0)

    def venue_gross(self, venue: str) -> Money:
        """Positions, spot legs of holdings and legs on their way, in the reporting asset."""
        total = ZERO
        for instrument, lots in self._ledger.positions().items():
            total += self._worth(instrument, venue, abs(lots))
        for holding in self._holdings.of(""):
            for leg in holding.legs:
                if not self._market.known_instrument(leg.instrument).is_derivative:
                    total += self._worth(leg.instrument, venue, abs(leg.lots))
        for group in self._groups.living.values():
            if not group.intent.closes:
                for wanted in group.intent.legs:
                    total += self._worth(wanted.instrument, venue, wanted.lots)
        return total

    def _worth(self, instrument: InstrumentId, venue: str, lots: int) -> Money:
        listed = self._market.instrument(instrument)
        if listed is None or listed.venue != venue:
            return ZERO
        price, rate = self._market.price(instrument), self._market.rate(listed.notional_asset)
        if price is None or rate is None:
            return ZERO
        return listed.notional(listed.ticks_not_worse(price, Side.SELL), lots) * rate

    def asset_net(self, base: Asset) -> Decimal:
        """Signed coins beyond the opening balances, spot and derivatives together."""
        total = self._ledger.balance(OPENING, base) + self._ledger.in_wallets(base)
        for instrument, lots in self._ledger.positions().items():
            listed = self._market.instrument(instrument)
            price = self._market.price(instrument)
            if listed is not None and listed.base == base and price:
                total += self._coins(listed, price, lots)
        return total

    def _coins(self, listed: Instrument, price: Decimal, lots: int) -> Decimal:
        """Exposure of a signed position in coins of base; 0 while a rate it needs is unknown."""
        if listed.payoff is not Payoff.QUANTO:
            return listed.base_size(listed.ticks_not_worse(price, Side.SELL), lots)
        # A move of one in price pays so much of the settle asset: as so many coins would.
        settle, quote = self._market.rate(listed.settle), self._market.rate(listed.quote)
        if settle is None or not quote:
            return ZERO
        paid = listed.lot * lots * listed.contract_value * listed.multiplier
        return ROUNDED.divide(paid * settle, quote)

    def lost_today(self) -> Money:
        """What was lost since midnight UTC, as a positive number."""
        return -self._ledger.today(self._market.now // DAY, self._market.rate)


def _pair(strategy: str, instruments: Iterable[InstrumentId]) -> tuple[str, ...]:
    return (strategy, *sorted(instruments))


def _reserved(listed: Instrument, side: Side, ticks: int, lots: int, asset: Asset) -> Money:
    match listed.payoff:
        case Payoff.SPOT if side is Side.SELL:
            return listed.lot * lots * listed.contract_value if asset == listed.base else ZERO
        case Payoff.INVERSE:
            return listed.base_size(ticks, lots) if asset == listed.settle else ZERO
        case Payoff.SPOT:
            return listed.notional(ticks, lots) if asset == listed.quote else ZERO
        case Payoff.LINEAR | Payoff.QUANTO:
            return listed.notional(ticks, lots) if asset == listed.settle else ZERO
