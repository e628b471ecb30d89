"""The report: what people may ask an engine. Reading it never changes what will be decided."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from oneprice.core.gate import Gate
from oneprice.core.orders import Orders
from oneprice.core.sight import Parts, Sight
from oneprice.core.strategy import (
    WOULD_TRADE,
    BreakEvenCard,
    Discrepancy,
    GroupReport,
    Holding,
    Intent,
    Opportunity,
    Strategy,
)
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

    def refusals(self) -> Mapping[str, int]:
        """Refused intents by rule."""
        return dict(self._gate.refusals)

    def group_ends(self) -> Mapping[str, int]:
        """Finished groups by the state they ended in."""
        return dict(self._ends)

    def groups(self) -> Sequence[GroupReport]:
        """Groups at work."""
        return self._parts.groups.reports()

    def holdings(self, strategy: str = "") -> Sequence[Holding]:
        return self._parts.holdings.of(strategy)

    def positions(self) -> Mapping[InstrumentId, Lots]:
        """Signed lots of every derivative held."""
        return {i: Lots(lots) for i, lots in self._parts.ledger.positions().items()}

    def balances(self) -> Mapping[tuple[str, str, Asset], Decimal]:
        """(venue, wallet, asset) to amount, as the ledger holds it."""
        return self._parts.ledger.wallets()

    def dust(self) -> Mapping[Asset, Decimal]:
        return self._parts.holdings.all_dust()

    def profit(self, group: str | None = None) -> Mapping[str, Money]:
        """By cause, in the reporting asset; of one group (or holding), or in total."""
        return self._parts.ledger.profit(self._parts.market.rate, group)

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
