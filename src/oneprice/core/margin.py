"""Margin: how near each venue is to closing a position of ours, and what must leave before that.

A venue that liquidates or deleverages one leg leaves the other one alone. So nothing is added to
a position whose liquidation price is near the mark, and below a second, smaller distance every
holding that has a leg there is closed as a whole. The venue's own figures decide, as last told
(with every audit, and where a stream of positions repeats them); what a venue does not tell is
not known here, and refuses nothing.
"""

from collections.abc import Sequence

import msgspec

from oneprice.core.account import Accounts
from oneprice.core.facts import Facts, PositionRisk
from oneprice.core.market import Market
from oneprice.core.strategy import Alarmed, Holding, Intent
from oneprice.model.settings import MarginSettings
from oneprice.model.units import BPS, ROUNDED, InstrumentId

LIQUIDATION, DELEVERAGING = "liquidation_near", "deleveraging_near"  # why a holding is closed


class Danger(msgspec.Struct, frozen=True, kw_only=True):
    """A holding that must be closed, why, and what a person is told the first time."""

    holding: Holding
    reason: str
    alarm: Alarmed | None
    halts: bool  # no new risk until a person has looked: collateral is short


class Margin:
    """Reads what the venues said of positions against the marks; remembers what it told."""

    def __init__(self, settings: MarginSettings, market: Market, accounts: Accounts) -> None:
        self._settings = settings
        self._market = market
        self._accounts = accounts
        self._told: dict[tuple[str, str], None] = {}  # holding and reason

    def risk(self, instrument: InstrumentId, /) -> PositionRisk | None:
        """None without a position there. A distance needs a price: mark, book or index."""
        told = self._accounts.positions.get(instrument)
        if told is None or not told.lots:
            return None
        distance = None
        price = self._market.price(instrument)
        if told.liquidation and price:
            way = ROUNDED.subtract(price, told.liquidation)
            way = way if told.lots > 0 else -way
            distance = ROUNDED.divide(way, ROUNDED.multiply(price, BPS))
        return PositionRisk(lots=told.lots, distance_bps=distance, adl_rank=told.adl_rank)

    def risks(self) -> dict[InstrumentId, PositionRisk]:
        """Of every position that a venue told of."""
        found = {name: self.risk(name) for name in self._accounts.positions}
        return {name: risk for name, risk in found.items() if risk is not None}

    def dangers(self, holdings: Sequence[Holding]) -> list[Danger]:
        """Open holdings with a leg that its venue may soon close."""
        found = [danger for holding in holdings for danger in self._danger(holding)]
        if self._told:
            still = {(danger.holding.id, danger.reason): None for danger in found}
            self._told = {key: None for key in self._told if key in still}
        for danger in found:
            self._told[danger.holding.id, danger.reason] = None
        return found

    def _danger(self, holding: Holding) -> list[Danger]:
        """The worst that threatens a leg on the side of the venue's position; of a leg on the
        other side nothing would get better by closing it."""
        found: dict[str, str] = {}
        for leg in holding.legs:
            risk = self.risk(leg.instrument)
            if risk is None or leg.lots * risk.lots <= 0:
                continue
            distance, rank = risk.distance_bps, risk.adl_rank
            if distance is not None and distance < self._settings.liquidation_exit_bps:
                text = f"{leg.instrument}: {distance:.1f} bps from liquidation"
                found.setdefault(LIQUIDATION, text)
            if rank is not None and 0 < self._settings.adl_exit_rank <= rank:
                found.setdefault(DELEVERAGING, f"{leg.instrument}: rank {rank} of 4")
        for reason in (LIQUIDATION, DELEVERAGING):
            if reason in found:
                return [self._as_danger(holding, reason, found[reason])]
        return []

    def _as_danger(self, holding: Holding, reason: str, text: str) -> Danger:
        alarm = None
        if (holding.id, reason) not in self._told:
            alarm = Alarmed(at=self._market.now, kind=reason, subject=holding.id, text=text)
        halts = reason == LIQUIDATION
        return Danger(holding=holding, reason=reason, alarm=alarm, halts=halts)


# Rules of the gate ----------------------------------------------------------------------


def liquidation_is_far(intent: Intent, facts: Facts) -> bool:
    """Nothing is added to a position that a small move would end."""
    for leg in intent.legs:
        risk = facts.risk(leg.instrument)
        if risk is None or risk.distance_bps is None or risk.lots * int(leg.side) < 0:
            continue
        if risk.distance_bps < facts.margins.liquidation_bps_min:
            return False
    return True


def adl_rank_is_low(intent: Intent, facts: Facts) -> bool:
    """Nothing begins where our position is among the first to be deleveraged."""
    for leg in intent.legs:
        risk = facts.risk(leg.instrument)
        if risk is None or risk.adl_rank is None:
            continue
        if risk.adl_rank > facts.margins.adl_rank_max:
            return False
    return True
