"""The report: what people may ask an engine. Reading it never changes what will be decided."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from oneprice.core.bookkeeper import FundingDay
from oneprice.core.facts import PositionRisk
from oneprice.core.gate import Gate
from oneprice.core.ledger import CAUSES, LOTS
from oneprice.core.orders import Orders, OrderState
from oneprice.core.sight import Parts, Sight
from oneprice.core.strategy import (
    WOULD_TRADE,
    BreakEvenCard,
    Discrepancy,
    GroupReport,
    Holding,
    Intent,
    Opportunity,
    Recovered,
    Strategy,
)
from oneprice.core.unhedged import UnhedgedReport
from oneprice.model.instrument import Instrument
from oneprice.model.units import Asset, InstrumentId, Lots, Money

DISCREPANCIES_KEPT = 1_000


class Report:
    """Counts, positions, profit and opportunities of one engine."""

    def __init__(
        self,
        parts: Parts,
        strategies: Sequence[Strategy],
        sight: Sight,
        orders: Orders,
        gate: Gate,
    ) -> None:
        self._parts = parts
        self._strategies = strategies
        self._sight = sight
        self._orders = orders
        self._gate = gate
        self._intents = self._approved = 0
        self._ends: dict[str, int] = {}
        self._latest: dict[tuple[str, str], Opportunity] = {}
        self.discrepancies: list[Discrepancy] = []
        self.recovered: Recovered | None = None  # how this start took up what was there
        # Settlements by UTC day and instrument: what was booked, beside what was expected of it.
        self.funding_by_day: Callable[[], Sequence[FundingDay]] = list

    # Written by the engine ---------------------------------------------------------------

    def judged(self, intent: Intent, refused_by: str) -> None:
        self._intents += 1
        self._approved += not refused_by
        verdict = f"refused: {refused_by}" if refused_by else f"traded: {intent.reason}"
        self.saw(intent.strategy, intent.pair, verdict, intent.card)

    def saw(self, strategy: str, pair: str, verdict: str, card: BreakEvenCard | None) -> None:
        self._latest[strategy, pair] = Opportunity(
            strategy=strategy, pair=pair, at=self._sight.now, verdict=verdict, card=card
        )

    def ended(self, state: str) -> None:
        self._ends[state] = self._ends.get(state, 0) + 1

    def differs(self, discrepancy: Discrepancy) -> None:
        self.discrepancies.append(discrepancy)
        del self.discrepancies[:-DISCREPANCIES_KEPT]

    # Read by people ----------------------------------------------------------------------

    @property
    def recovering(self) -> bool:
        """After a restart, until what is held was compared with the venues: no new risk."""
        return self._sight.recovering

    @property
    def away(self) -> list[str]:
        """Venues that a restart has not reached yet."""
        return self._parts.groups.away.names()

    @property
    def clutch(self) -> str:
        """Why new risk has stopped; "" while the clutch is closed."""
        return self._sight.clutch

    def counts(self) -> Mapping[str, int]:
        """Since the start: intents, approved, orders, fills, doubled_fills."""
        return {
            "intents": self._intents,
            "approved": self._approved,
            "orders": self._orders.sent,
            "fills": self._orders.fills,
            "doubled_fills": self._orders.doubled,
            "unsettled_orders": len(self._orders.unsettled()),
        }

    def order_states(self) -> Mapping[str, int]:
        """How many orders are in each state; whatever is forgotten was DONE."""
        found = {str(state): 0 for state in OrderState}
        for order in self._orders.unsettled():
            found[order.state] += 1
        found[OrderState.DONE] += self._orders.sent - sum(found.values())
        return found

    def refusals(self) -> Mapping[str, int]:
        """Refused intents by rule."""
        return dict(self._gate.refusals)

    def group_ends(self) -> Mapping[str, int]:
        """Finished groups by the state they ended in."""
        return dict(self._ends)

    def groups(self) -> Sequence[GroupReport]:
        """Groups at work."""
        groups = self._parts.groups
        return [
            GroupReport(
                id=group.id,
                strategy=group.intent.strategy,
                pair=group.intent.pair,
                state=group.state,
                closes=group.intent.closes,
                began=group.began,
                deltas=groups.deltas(group),
            )
            for group in groups.living.values()
        ]

    def holdings(self, strategy: str = "") -> Sequence[Holding]:
        return self._parts.holdings.of(strategy)

    def at_stake(self) -> Sequence[InstrumentId]:
        """Where orders may live, groups are at work or something is held."""
        parts = self._parts
        found = [leg.instrument for h in parts.holdings.of("") for leg in h.legs]
        found += [leg.instrument for g in parts.groups.living.values() for leg in g.intent.legs]
        found += [order.instrument for order in self._orders.unsettled()]
        return list(dict.fromkeys(found))

    def instruments(self, venue: str) -> Sequence[Instrument]:
        """Every instrument of a venue that was ever described."""
        return [i for i in self._parts.market.described() if i.venue == venue]

    def positions(self) -> Mapping[InstrumentId, Lots]:
        """Signed lots of every derivative held."""
        return {i: Lots(lots) for i, lots in self._parts.ledger.positions().items()}

    def risks(self) -> Mapping[InstrumentId, PositionRisk]:
        """Of every position: how far from liquidation and how near to deleveraging it is, where
        its venue tells."""
        return self._sight.margin.risks()

    def balances(self) -> Mapping[tuple[str, str, Asset], Decimal]:
        """(venue, wallet, asset) to amount, as the ledger holds it."""
        return self._parts.ledger.wallets()

    def dust(self) -> Mapping[Asset, Decimal]:
        """Coins left over from finished groups, each below any tradable size."""
        return self._parts.holdings.all_dust()

    def dust_value(self) -> Mapping[Asset, Money | None]:
        """The same in the reporting asset, signed; None where no rate is known."""
        rate = self._parts.market.rate
        worth = {asset: rate(asset) for asset in self.dust()}
        return {
            asset: None if (known := worth[asset]) is None else coins * known
            for asset, coins in self.dust().items()
        }

    def unhedged(self) -> UnhedgedReport:
        """How long the legs of trades differed: histogram, the longest, what goes on now."""
        return self._parts.groups.unhedged.report()

    def unattended(self) -> Sequence[str]:
        """Roots whose legs have differed for longer than any may although no order, no group
        and no pause of one is there to mend it and the clutch is closed: never any."""
        working = dict.fromkeys(group.root for group in self._parts.groups.living.values())
        overdue = self._parts.groups.unhedged.overdue()
        return [] if self.clutch else [root for root in overdue if root not in working]

    def profit(self, group: str | None = None) -> Mapping[str, Money]:
        """By cause, in the reporting asset; of one group (or holding), or in total."""
        return self._parts.ledger.profit(self._parts.market.rate, group)

    def profit_by_day(self) -> Mapping[int, Mapping[str, Money]]:
        """By UTC day (since 1970) and cause; over all days they add up to `profit`, exactly."""
        return self._parts.ledger.profit_by_day(self._parts.market.rate)

    def transferred(self) -> Mapping[tuple[str, str, Asset], Decimal]:
        """(venue, wallet, asset) to what came in, or went out, without being profit."""
        return {
            (account[1], account[2], asset): amount
            for (account, asset), amount in self._parts.ledger.transferred().items()
        }

    def causes(self, group: str) -> Mapping[str, Mapping[Asset, Money]]:
        """Profit of one group by cause, in every asset that it came in; contracts left out."""
        ledger = self._parts.ledger
        found: dict[str, dict[Asset, Money]] = {}
        for cause in CAUSES:
            for asset in ledger.assets():
                amount = ledger.balance(("cause", cause, group), asset)
                if amount and not asset.startswith(LOTS):
                    found.setdefault(cause, {})[asset] = amount.copy_negate()
        return found

    def rate(self, asset: Asset) -> Decimal | None:
        """Worth of one unit in the reporting asset, None while unknown."""
        return self._parts.market.rate(asset)

    def equity(self) -> Money:
        return self._parts.ledger.equity(self._parts.market.rate)

    def equity_change(self) -> Money:
        return self._parts.ledger.equity_change(self._parts.market.rate)

    def residual(self) -> Money:
        """What the causes leave unexplained; anything but zero is a defect."""
        return self._parts.ledger.residual(self._parts.market.rate)

    def unvalued(self) -> Sequence[Asset]:
        """Assets for which no rate is known; equity leaves them out."""
        return self._parts.ledger.unvalued

    def opportunities(self) -> Sequence[Opportunity]:
        """Every combination with its card as of now: why not traded, or what became of it."""
        found: dict[tuple[str, str], Opportunity] = {}
        for strategy in self._strategies:
            for look in strategy.survey(self._sight):
                key = (look.strategy, look.pair)
                last = self._latest.get(key)
                told = look.reason == WOULD_TRADE and last is not None
                found[key] = Opportunity(
                    strategy=look.strategy,
                    pair=look.pair,
                    at=self._sight.now,
                    verdict=last.verdict if told and last is not None else look.reason,
                    card=look.card,
                )
        return list({**self._latest, **found}.values())
