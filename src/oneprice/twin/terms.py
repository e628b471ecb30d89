"""What a customer may choose: leverage, margin mode, risk limit, position mode."""

from decimal import Decimal

from oneprice.model.instrument import split_id
from oneprice.model.units import ZERO, Money
from oneprice.twin.contract import Refusal
from oneprice.twin.exposure import tier_of, tiers_of
from oneprice.twin.floor import Floor
from oneprice.twin.hall import Hall
from oneprice.twin.holdings import Place
from oneprice.twin.solvency import INDICES

MODES = ("cross", "isolated")


class Terms:
    """Checks a choice against positions, orders and money, then keeps it."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    def set_leverage(self, key: str, floor: Floor, leverage: Decimal) -> None:
        exposure, holdings = self._hall.solvency.exposure, self._hall.holdings
        value = max(exposure.value((key, floor.id, index), floor) for index in INDICES)
        most = min(floor.listing.extras.leverage_max, tier_of(floor, value).leverage_max)
        if not 1 <= leverage <= most:
            raise Refusal("leverage", f"{leverage} of {most}")
        before = exposure.leverage(key, floor)
        if leverage == before:
            raise Refusal("nothing_changed", f"leverage {leverage}")
        cost = self._margin(key, floor)
        holdings.set_leverage(key, floor.id, leverage)
        more = self._margin(key, floor) - cost
        holdings.set_leverage(key, floor.id, before)  # what is free is seen under the old one
        if leverage < before and not self._payable(key, floor, more):
            raise Refusal("insufficient_margin", f"leverage {leverage}")
        holdings.set_leverage(key, floor.id, leverage)
        try:
            self._move_margins(key, floor)
        except Refusal:
            holdings.set_leverage(key, floor.id, before)
            raise

    def set_margin_mode(self, key: str, floor: Floor, mode: str) -> None:
        holdings = self._hall.holdings
        if mode not in MODES:
            raise Refusal("margin_mode", f"{mode!r}: expected one of {', '.join(MODES)}")
        if holdings.mode(key, floor.id, self._hall.setup.margin_mode) == mode:
            raise Refusal("mode_unchanged", f"margin mode {mode}")
        if not self._hall.setup.mode_while_open:
            self._check_idle(key, floor)
        self._set_mode(key, floor, mode)

    def _set_mode(self, key: str, floor: Floor, mode: str) -> None:
        """Isolating sets the margin of open positions aside, where the wallet has it."""
        holdings, settle = self._hall.holdings, floor.instrument.settle
        exposure = self._hall.solvency.exposure
        held = {index: holdings.get((key, floor.id, index)) for index in INDICES}
        held = {index: one for index, one in held.items() if one.lots}
        wanted: dict[int, Money] = {}
        for index, one in held.items():
            rate = exposure.initial_rate((key, floor.id, index), floor)
            margin = floor.value(one.entry, abs(one.lots)) * rate
            wanted[index] = self._hall.vault.rounded(margin, settle) if mode == MODES[1] else ZERO
        # A cross position has its initial margin reserved already: only the difference is new.
        more = sum(wanted.values(), ZERO) - self._margin(key, floor)
        if held and mode == MODES[1] and not self._payable(key, floor, more):
            raise Refusal("insufficient_margin", f"{more:f} {settle} to isolate")
        holdings.set_mode(key, floor.id, mode)
        for index, one in held.items():
            one.margin = wanted[index]
            holdings.dirty[key, floor.id, index] = "margin"

    def set_risk_limit(self, key: str, floor: Floor, number: int) -> None:
        tiers = {tier.number: tier for tier in tiers_of(floor)}
        if number not in tiers:
            raise Refusal("risk_limit", f"{number}: expected one of {list(tiers)}")
        if self._hall.holdings.limit(key, floor.id) == number:
            raise Refusal("nothing_changed", f"risk limit {number}")
        exposure, most = self._hall.solvency.exposure, tiers[number].value_to
        values = [exposure.values((key, floor.id, i), floor, None)[1] for i in INDICES]
        if most and max(values) > most:
            raise Refusal("risk_limit", f"position of {max(values):f} is above {most:f}")
        self._hall.holdings.set_limit(key, floor.id, number)

    def set_hedge_mode(self, key: str, market: str, on: bool) -> None:
        holdings = self._hall.holdings
        if holdings.hedged(key, market) != on:
            if self._hall.docket.orders(key, market, "", True):
                raise Refusal("mode_blocked", "open orders")
            places = [p for p in holdings.places(key) if split_id(p[1])[1] == market]
            if any(holdings.get(place).lots for place in places):
                raise Refusal("mode_blocked", "open positions")
        holdings.set_hedged(key, market, on)

    def add_margin(self, place: Place, amount: Money) -> None:
        hall = self._hall
        held = hall.holdings.get(place)
        floor = hall.floors[place[1]]
        if not held.lots:
            raise Refusal("no_position", place[1])
        if not hall.solvency.exposure.isolated(place):
            raise Refusal("margin_mode", "a cross position has no margin of its own")
        amount = hall.vault.rounded(amount, floor.instrument.settle)
        if amount > 0:
            if not self._payable(place[0], floor, amount):
                raise Refusal("insufficient_margin", f"{amount:f} {floor.instrument.settle}")
        else:
            exposure = hall.solvency.exposure
            needed = exposure.value(place, floor) * exposure.initial_rate(place, floor)
            if held.margin + min(ZERO, exposure.unrealised(place, floor)) + amount < needed:
                raise Refusal("insufficient_margin", f"position needs {needed:f}")
        hall.holdings.add_margin(place, amount)

    def _move_margins(self, key: str, floor: Floor) -> None:
        """Isolated positions get the margin that the new leverage asks for."""
        for index in INDICES:
            place = (key, floor.id, index)
            held = self._hall.holdings.get(place)
            if held.lots and self._hall.solvency.exposure.isolated(place):
                rate = self._hall.solvency.exposure.initial_rate(place, floor)
                wanted = floor.value(held.entry, abs(held.lots)) * rate
                more = self._hall.vault.rounded(wanted - held.margin, floor.instrument.settle)
                if more:
                    self.add_margin(place, more)

    def _check_idle(self, key: str, floor: Floor) -> None:
        if self._hall.docket.open_in(key, floor.id):
            raise Refusal("mode_blocked", "open orders")
        if any(self._hall.holdings.get((key, floor.id, index)).lots for index in INDICES):
            raise Refusal("mode_blocked", "open position")

    def _margin(self, key: str, floor: Floor) -> Money:
        exposure = self._hall.solvency.exposure
        return sum((exposure.margins((key, floor.id, i), floor, None)[1] for i in INDICES), ZERO)

    def _payable(self, key: str, floor: Floor, more: Money) -> bool:
        """Whether the wallet has so much more margin to give."""
        solvency, instrument = self._hall.solvency, floor.instrument
        spec = solvency.wallet_of(instrument.market)
        if spec.pooled:
            more *= solvency.dollar_rate(instrument.settle)
            return more <= solvency.pool(key, spec.name).available
        return more <= solvency.balance(key, spec.name, instrument.settle).available
