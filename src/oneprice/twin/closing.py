"""How the exchange itself closes positions: liquidation, deleveraging, delisting and delivery."""

from decimal import Decimal

from oneprice.model.instrument import split_id
from oneprice.model.units import ZERO, InstrumentId, Money
from oneprice.twin.contract import Liquidated, ListingChanged, Order, Refusal
from oneprice.twin.exposure import price_where
from oneprice.twin.floor import Floor
from oneprice.twin.hall import Hall
from oneprice.twin.holdings import Place
from oneprice.twin.trader import CloseTerms, Trader
from oneprice.twin.vault import INSURANCE, MARKET, Posting

FURTHEST = Decimal("0.2")  # from mark, of a liquidation order's price


class Closing:
    """Watches margins and closes what has to be closed."""

    def __init__(self, hall: Hall, trader: Trader) -> None:
        self._hall = hall
        self._trader = trader

    # Liquidation ------------------------------------------------------------------------------

    def watch(self, at: int) -> list[Floor]:
        """Liquidates what fell below maintenance margin; the floors that it traded on."""
        touched: dict[InstrumentId, Floor] = {}
        for key in self._hall.holdings.open_keys():
            while (place := self._weakest(key)) is not None:
                floor = self._hall.floors[place[1]]
                touched[floor.id] = floor
                if not self._withdraw_all(place, at):
                    self.liquidate(place, at)
        return list(touched.values())

    def liquidate(self, place: Place, at: int) -> Order:
        """Sends a position to the market down to its bankruptcy price.

        What nobody takes there goes to the insurance fund at that price. The customer pays the
        taker fee and, as far as margin is left, the venue's liquidation fee.
        """
        hall = self._hall
        key, instrument, _ = place
        floor = hall.floors[instrument]
        lots = hall.holdings.get(place).lots
        if not lots:
            raise Refusal("no_position", instrument)
        self._trader.withdraw(key, instrument, "liquidated", at)
        purse = self._purse(place)
        margin = hall.holdings.get(place).margin
        before = hall.vault.total(purse)
        price = self._bankruptcy(place, floor)
        terms = CloseTerms(
            reason="liquidation", price=price, fee_rate=floor.listing.extras.taker_fee
        )
        order = self._trader.send_out(place, abs(lots), terms, at)
        order = self._trader.take_offers(order, at)
        taken_over = order.leaves_lots
        order = self._trader.deal_out(order, terms, at)
        self._fund_deals(floor, price, -taken_over * order.side)
        isolated = hall.solvency.exposure.isolated(place)
        change = hall.vault.total(purse) - before
        self._insure(place, margin + change if isolated else None, order, at)
        news = Liquidated(
            instrument=instrument,
            order_id=order.id,
            side=order.side,
            ticks=order.ticks,
            lots=order.filled_lots,
            average=order.average,
            at=at,
        )
        floor.liquidations.append(news)
        hall.emit(news)
        self._relieve(floor, order, (price, taken_over), at)
        return order

    def deleverage(self, place: Place, lots: int, at: int, price: Decimal = ZERO) -> Order:
        """Closes lots of a position against a bankrupt one: no market, no fee."""
        floor = self._hall.floors[place[1]]
        held = abs(self._hall.holdings.get(place).lots)
        if not held or lots <= 0:
            raise Refusal("no_position", place[1])
        terms = CloseTerms(reason="adl", price=price or floor.reference())
        self._trader.withdraw(place[0], place[1], "liquidated", at)
        order = self._trader.send_out(place, min(lots, held), terms, at)
        return self._trader.deal_out(order, terms, at)

    # Delisting --------------------------------------------------------------------------------

    def announce(self, floor: Floor, terms: tuple[int, Decimal | None], at: int) -> None:
        """Says when an instrument will be delisted (due, price)."""
        self._check_listed(floor)
        floor.delisting = terms
        self._stand(floor, floor.status, at, ZERO)

    def delist(self, floor: Floor, at: int, settle_price: Decimal | None) -> None:
        """Cancels every order, settles every position, ends trading for good."""
        self._check_listed(floor)
        price = settle_price or floor.index or floor.reference()
        self._stand(floor, "settling", at, price)
        for key in self._hall.docket.customers():
            self._trader.withdraw(key, floor.id, "delisted", at)
        for place in self._hall.holdings.open_places(floor.id):
            lots = abs(self._hall.holdings.get(place).lots)
            margin = self._hall.holdings.get(place).margin
            purse = self._purse(place)
            before = self._hall.vault.total(purse)
            terms = CloseTerms(reason="delivery", price=price)
            order = self._trader.send_out(place, lots, terms, at)
            order = self._trader.deal_out(order, terms, at)
            if self._hall.solvency.exposure.isolated(place):
                change = self._hall.vault.total(purse) - before
                self._cover(place, min(ZERO, margin + change), order, at)
        floor.funding_due = 0
        self._stand(floor, "delisted", at, price)

    def _check_listed(self, floor: Floor) -> None:
        if floor.status == "delisted":
            raise Refusal("not_tradable", f"{floor.id} is delisted")

    def pause(self, floor: Floor, word: str, at: int) -> None:
        if floor.status not in ("trading", "paused"):
            return
        floor.pause_word = word
        self._stand(floor, "paused" if word else "trading", at, ZERO)

    def _stand(self, floor: Floor, status: str, at: int, price: Decimal) -> None:
        floor.status, floor.status_at, floor.settle_price = status, at, price
        self._hall.emit(ListingChanged(listing=floor.standing(), at=at))

    # Inner steps ------------------------------------------------------------------------------

    def _weakest(self, key: str) -> Place | None:
        """A position that has to go: isolated ones by themselves, cross ones largest first."""
        hall, exposure = self._hall, self._hall.solvency.exposure
        shared: dict[tuple[str, str], list[tuple[Money, Place]]] = {}
        for place in hall.holdings.places(key):
            floor = hall.floors[place[1]]
            if not hall.holdings.get(place).lots or floor.status == "delisted":
                continue
            needed = exposure.maintenance(place, floor)
            if exposure.isolated(place):
                if hall.solvency.cushion(place) <= needed:
                    return place
                continue
            spec = hall.solvency.wallet_of(floor.instrument.market)
            settle = floor.instrument.settle
            scope = (spec.name, "" if spec.pooled else settle)
            weight = needed * (hall.solvency.dollar_rate(settle) if spec.pooled else 1)
            shared.setdefault(scope, []).append((weight, place))
        for found in shared.values():
            market = split_id(found[0][1][1])[1]
            spec = hall.solvency.wallet_of(market)
            settle = hall.floors[found[0][1][1]].instrument.settle
            equity, maintenance = hall.solvency.cross(key, spec, settle)
            if equity <= maintenance:
                return max(found, key=lambda one: one[0])[1]
        return None

    def _withdraw_all(self, place: Place, at: int) -> bool:
        """First the open orders go, which frees margin; True where there were some."""
        key, instrument, _ = place
        names = [instrument]
        if not self._hall.solvency.exposure.isolated(place):
            market = split_id(instrument)[1]
            markets = self._hall.solvency.wallet_of(market).markets
            names = [name for name in self._hall.floors if split_id(name)[1] in markets]
        return sum(self._trader.withdraw(key, name, "liquidated", at) for name in names) > 0

    def _bankruptcy(self, place: Place, floor: Floor) -> Decimal:
        """The price at which the closing leaves nothing, within reason.

        A position that is really bankrupt stands nearer to it than its maintenance margin; the
        bound is for drills, which close healthy ones too.
        """
        lots = self._hall.holdings.get(place).lots
        cushion = self._hall.solvency.cushion(place)
        price = price_where(floor, lots, cushion, None)
        reference = floor.reference()
        if lots > 0:
            return max(price, reference * (1 - FURTHEST))
        highest = reference * (1 + FURTHEST)
        return min(price, highest) if price else highest

    def _insure(self, place: Place, left: Money | None, order: Order, at: int) -> None:
        """The liquidation fee where margin is left, cover from the fund where it is overdrawn.

        `left`: what an isolated position's margin was worth in the end; None for a cross one,
        where the whole wallet stands in.
        """
        hall = self._hall
        floor = hall.floors[place[1]]
        if left is None:
            spec = hall.solvency.wallet_of(floor.instrument.market)
            left, needed = hall.solvency.cross(place[0], spec, floor.instrument.settle)
            if spec.pooled:
                left /= hall.solvency.dollar_rate(floor.instrument.settle) or 1
            if needed and left < 0:
                return  # other positions are still to be closed
        if left < 0:
            self._cover(place, left, order, at)
            return
        fee = order.filled_value * floor.listing.extras.liquidation_fee
        if fee := min(fee, left):
            self._post_insurance(place, -fee, order, at)

    def _cover(self, place: Place, shortfall: Money, order: Order, at: int) -> None:
        if shortfall < 0:
            self._post_insurance(place, -shortfall, order, at)

    def _post_insurance(self, place: Place, amount: Money, order: Order, at: int) -> None:
        posting = Posting(
            kind="insurance",
            cash_flow=amount,
            instrument=place[1],
            side=order.side,
            order_id=order.id,
            lots=order.filled_lots,
        )
        self._hall.vault.post(self._purse(place), posting, at)

    def _fund_deals(self, floor: Floor, price: Decimal, lots: int) -> None:
        """The fund took signed lots of a position over and sells them at mark price at once."""
        result = floor.instrument.profit(price, floor.reference(), lots) if lots else ZERO
        self._hall.vault.shift(MARKET, INSURANCE, floor.instrument.settle, result)

    def _relieve(
        self, floor: Floor, order: Order, taken: tuple[Decimal, int], at: int
    ) -> None:
        """Where the fund is overdrawn, the other side's best positions take it over instead."""
        hall = self._hall
        price, lots = taken
        if hall.vault.others(INSURANCE).get(floor.instrument.settle, ZERO) >= 0:
            return
        ranked = sorted(
            (-hall.solvency.exposure.rank(place, floor), place)
            for place in hall.holdings.open_places(floor.id)
            if hall.holdings.get(place).lots * order.side > 0 and place[0] != order.account
        )
        for _, place in ranked:
            if lots <= 0:
                return
            done = self.deleverage(place, lots, at, price).filled_lots
            self._fund_deals(floor, price, done * order.side)
            lots -= done

    def _purse(self, place: Place) -> tuple[str, str, str]:
        instrument = self._hall.floors[place[1]].instrument
        wallet = self._hall.solvency.wallet_of(instrument.market).name
        return place[0], wallet, instrument.settle
