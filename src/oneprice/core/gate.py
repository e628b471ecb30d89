"""The gate: small named rules; the first refusal wins and is counted by its name.

Approved is made here and nowhere else, and only an Approved intent can become orders: permission
is a type, not a habit. A rule can only refuse, so adding one never permits more. Intents that
close a holding reduce risk: they pass by the rules that limit new risk, and by no other.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

import msgspec

from oneprice.core.repairs import tradable
from oneprice.core.strategy import Fees, Holding, Intent, IntentLeg
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.settings import GateSettings
from oneprice.model.units import (
    BPS,
    MILLI,
    SECOND,
    ZERO,
    Asset,
    InstrumentId,
    Lots,
    Money,
    Nanos,
    Side,
)


class Approved(msgspec.Struct, frozen=True):
    """An intent that may become orders."""

    intent: Intent


class Refused(msgspec.Struct, frozen=True):
    """An intent that may not, and the rule that said so."""

    intent: Intent
    rule: str


class Facts(Protocol):
    """What the rules may know. All money in the reporting asset."""

    @property
    def now(self) -> Nanos: ...
    @property
    def limits(self) -> GateSettings: ...
    @property
    def clutch(self) -> str: ...
    @property
    def stopping(self) -> bool: ...
    @property
    def recovering(self) -> bool: ...
    @property
    def trading(self) -> bool: ...
    def instrument(self, instrument: InstrumentId, /) -> Instrument | None: ...
    def age(self, instrument: InstrumentId) -> Nanos | None: ...
    def fees(self, instrument: InstrumentId) -> Fees | None: ...
    def mark(self, instrument: InstrumentId, /) -> Decimal | None: ...
    def index(self, instrument: InstrumentId, /) -> Decimal | None: ...
    def rate(self, asset: Asset) -> Decimal | None: ...
    def available(self, instrument: InstrumentId, asset: Asset) -> Money | None: ...
    def reconciled(self, instrument: InstrumentId) -> bool: ...
    def is_heard(self, instrument: InstrumentId) -> bool: ...
    def is_free(self, instrument: InstrumentId) -> bool: ...
    def in_pair(self, strategy: str, instruments: Iterable[InstrumentId]) -> int: ...
    def begun_within(self, span: Nanos) -> int: ...
    def resting(self, strategy: str, instruments: Iterable[InstrumentId]) -> bool: ...
    def holding(self, holding: str) -> Holding | None: ...
    def all_holdings(self) -> Sequence[Holding]: ...
    def venue_gross(self, venue: str) -> Money: ...
    def asset_net(self, base: Asset) -> Decimal:
        """Signed coins that are not hedged by anything of ours."""
        ...

    def dust(self, base: Asset) -> Decimal: ...
    def may_exit(self, holding: str) -> bool:
        """Whether an exit may be tried: not after too many that came to nothing, nor at once."""
        ...

    def reduces(self, leg: IntentLeg) -> bool:
        """Whether the venue will take a leg as reduce-only."""
        ...

    def is_bounded(self, leg: IntentLeg) -> bool:
        """Whether an order that closes cannot open anything instead."""
        ...

    def is_barred(self, venue: str) -> bool:
        """Whether a venue lately refused an order for rate, and took none since."""
        ...

    def lost_today(self) -> Money: ...


class Rule(NamedTuple):
    """A named condition; `new_risk` rules are not asked about intents that close a holding."""

    name: str
    holds: Callable[[Intent, Facts], bool]
    new_risk: bool


class Gate:
    """Asks the rules in their order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self.refusals: dict[str, int] = {}

    def check(self, intent: Intent, facts: Facts) -> Approved | Refused:
        for name, holds, new_risk in self._rules:
            if new_risk and intent.closes:
                continue
            if not holds(intent, facts):
                self.refusals[name] = self.refusals.get(name, 0) + 1
                return Refused(intent, name)
        return Approved(intent)

    def rehearse(self, intent: Intent, facts: Facts) -> None:
        """Ask every rule, whatever it says; permits nothing and counts nothing."""
        for _, holds, _ in self._rules:
            holds(intent, facts)


# Rules ----------------------------------------------------------------------------------


def trading_is_on(intent: Intent, facts: Facts) -> bool:
    return facts.trading


def clutch_is_closed(intent: Intent, facts: Facts) -> bool:
    return not facts.clutch


def recovering(intent: Intent, facts: Facts) -> bool:
    """Passes once a restart has compared our books with the venues."""
    return not facts.recovering


def no_stop_was_requested(intent: Intent, facts: Facts) -> bool:
    return not facts.stopping


def instruments_are_known(intent: Intent, facts: Facts) -> bool:
    """What a venue calls closed is no place to begin; whether one may still leave, it must say
    to the order itself: the word may be old, and exits that come to nothing are few and told."""
    seen: dict[InstrumentId, None] = {}
    for leg in intent.legs:
        listed = facts.instrument(leg.instrument)
        if listed is None or leg.instrument in seen:
            return False
        if not listed.tradable and not intent.closes:
            return False
        seen[leg.instrument] = None
    return len(seen) >= (1 if intent.closes else 2)


def account_is_reconciled(intent: Intent, facts: Facts) -> bool:
    for leg in intent.legs:  # noqa: SIM110 -- half the time of all(...)
        if not facts.reconciled(leg.instrument):
            return False
    return True


def fills_are_heard(intent: Intent, facts: Facts) -> bool:
    """A leg whose fill we would only learn by asking is no leg to begin with."""
    for leg in intent.legs:  # noqa: SIM110
        if not facts.is_heard(leg.instrument):
            return False
    return True


def fees_are_known(intent: Intent, facts: Facts) -> bool:
    for leg in intent.legs:  # noqa: SIM110
        if facts.fees(leg.instrument) is None:
            return False
    return True


def card_adds_up(intent: Intent, facts: Facts) -> bool:
    return intent.card.adds_up and intent.card.notional > 0


def edge_is_enough(intent: Intent, facts: Facts) -> bool:
    rate = facts.rate(intent.card.asset)
    if rate is None:
        return False
    card, limits = intent.card, facts.limits
    enough = card.net >= limits.net_bps_min * BPS * card.notional
    return enough and card.net * rate >= limits.net_min


def edge_is_believable(intent: Intent, facts: Facts) -> bool:
    """So large an edge is a different coin of the same name, or a broken book."""
    card = intent.card
    return max(abs(card.gross), abs(card.net)) <= facts.limits.edge_bps_max * BPS * card.notional


def notional_is_small(intent: Intent, facts: Facts) -> bool:
    most = facts.limits.leg_notional_max
    for leg in intent.legs:
        notional = _notional(leg, facts)
        if notional is None or notional > most:
            return False
    return True


def exposure_is_small(intent: Intent, facts: Facts) -> bool:
    gross: dict[str, Money] = {}
    net: dict[Asset, Decimal] = {}
    for leg in intent.legs:
        listed, notional = facts.instrument(leg.instrument), _notional(leg, facts)
        if listed is None or notional is None:
            return False
        gross[listed.venue] = gross.get(listed.venue, ZERO) + notional
        if listed.payoff is Payoff.QUANTO:
            return False  # how many coins it is hangs on another asset's price: never ours
        coins = int(leg.side) * listed.base_size(leg.touch, leg.lots)
        net[listed.base] = net.get(listed.base, ZERO) + coins
    for venue, more in gross.items():
        if facts.venue_gross(venue) + more > facts.limits.venue_gross_max:
            return False
    for base, coins in net.items():
        rate = facts.rate(base)
        if rate is None or abs(facts.asset_net(base) + coins) * rate > facts.limits.asset_net_max:
            return False
    return True


def daily_loss_is_small(intent: Intent, facts: Facts) -> bool:
    return facts.lost_today() <= facts.limits.daily_loss_max


def books_are_fresh(intent: Intent, facts: Facts) -> bool:
    limit = facts.limits.book_age_ms_max * MILLI
    for leg in intent.legs:
        age = facts.age(leg.instrument)
        if age is None or age > limit:
            return False
    return True


def legs_are_in_step(intent: Intent, facts: Facts) -> bool:
    """An edge between a young book and an old one is mostly the age of the old one."""
    youngest = oldest = -1
    for leg in intent.legs:
        age = facts.age(leg.instrument)
        if age is None:
            return False
        youngest = age if youngest < 0 or age < youngest else youngest
        oldest = age if age > oldest else oldest
    return oldest - youngest <= facts.limits.leg_skew_ms_max * MILLI


def one_group_per_pair(intent: Intent, facts: Facts) -> bool:
    there = facts.in_pair(intent.strategy, [leg.instrument for leg in intent.legs])
    return there < facts.limits.groups_per_pair_max


def pair_has_rested(intent: Intent, facts: Facts) -> bool:
    """What just went wrong is not tried again at once."""
    return not facts.resting(intent.strategy, [leg.instrument for leg in intent.legs])


def venues_take_orders(intent: Intent, facts: Facts) -> bool:
    """A leg at a venue that has banned us would leave the other one alone."""
    for leg in intent.legs:  # noqa: SIM110
        if facts.is_barred(leg.instrument.partition(":")[0]):
            return False
    return True


def pace_is_calm(intent: Intent, facts: Facts) -> bool:
    """A venue that refuses one leg for rate leaves the other one alone: stay well inside."""
    return facts.begun_within(Nanos(SECOND)) < facts.limits.groups_per_second_max


def holdings_do_not_oppose(intent: Intent, facts: Facts) -> bool:
    """One net position per instrument: an opposite one would make exits not reduce-only."""
    holdings = facts.all_holdings()
    if not holdings:
        return True
    for leg in intent.legs:
        listed = facts.instrument(leg.instrument)
        if listed is None or not listed.is_derivative:
            continue
        for holding in holdings:
            for held in holding.legs:
                if held.instrument == leg.instrument and held.lots * int(leg.side) < 0:
                    return False
    return True


def price_is_sane(intent: Intent, facts: Facts) -> bool:
    """Limits near the mark, or the index, or else near the other legs of the same coin."""
    collar = facts.limits.collar_bps * BPS
    seen: dict[Asset, Decimal] = {}
    for leg in intent.legs:
        listed = facts.instrument(leg.instrument)
        if listed is None or leg.ticks <= 0 or leg.touch <= 0:
            return False
        price = listed.price(leg.ticks)
        anchor = facts.mark(leg.instrument) or facts.index(leg.instrument)
        if anchor and abs(price - anchor) > anchor * collar:
            return False
        touch = listed.price(leg.touch)
        if abs(price - touch) > touch * collar:
            return False
        coin = touch / listed.multiplier
        if listed.quote != intent.card.asset:
            continue
        other = seen.setdefault(listed.base, coin)
        if abs(coin - other) > other * collar:
            return False
    return True


def one_leg_rests_at_most(intent: Intent, facts: Facts) -> bool:
    """Two that rest would have to follow each other."""
    return sum(leg.rests for leg in intent.legs) <= 1


def instruments_stay_listed(intent: Intent, facts: Facts) -> bool:
    """What will soon cease to trade must be left in time: it is no place to begin."""
    soon = facts.now + facts.limits.delisting_ms * MILLI
    for leg in intent.legs:
        listed = facts.instrument(leg.instrument)
        if listed is None or 0 < listed.ends <= soon:
            return False
    return True


def legs_match(intent: Intent, facts: Facts) -> bool:
    """What the legs leave open if all of them fill is dust: no order could mend it.

    A fee may be taken from the coin that is bought, and leftovers of before may be used up: a
    plan for either is good.
    """
    found = _left_open(intent, facts)
    if found is None:
        return False
    for leg in intent.legs:
        listed = facts.instrument(leg.instrument)
        if listed is None or listed.payoff is Payoff.QUANTO:
            continue
        net, fee = found[listed.base]
        price, dust = listed.price(leg.touch), facts.dust(listed.base)
        plans = (net, net - fee, net + dust, net - fee + dust)
        if all(tradable(listed, abs(rest), price, reducing=False) for rest in plans):
            return False
    return True


def _left_open(intent: Intent, facts: Facts) -> dict[Asset, tuple[Decimal, Decimal]] | None:
    """By coin that is traded: what all legs together change of it, and the fees in it."""
    found: dict[Asset, tuple[Decimal, Decimal]] = {}
    flows: list[tuple[Asset, Decimal]] = []
    for leg in intent.legs:
        listed = facts.instrument(leg.instrument)
        if listed is None or leg.touch <= 0:
            return None
        if listed.payoff is Payoff.QUANTO:
            continue  # refused for what it is
        coins = listed.base_size(leg.touch, leg.lots)
        net, fee = found.get(listed.base, (ZERO, ZERO))
        tier = facts.fees(leg.instrument)
        if listed.payoff is Payoff.SPOT and leg.side is Side.BUY and tier is not None:
            fee += coins * max(tier.taker, ZERO)
        found[listed.base] = (net + int(leg.side) * coins, fee)
        if listed.payoff is Payoff.SPOT:
            flows.append((listed.quote, -int(leg.side) * listed.notional(leg.touch, leg.lots)))
    for asset, amount in flows:
        if asset in found:
            found[asset] = (found[asset][0] + amount, found[asset][1])
    return found


def exits_are_left(intent: Intent, facts: Facts) -> bool:
    return not intent.closes or facts.may_exit(intent.closes)


def exits_are_bounded(intent: Intent, facts: Facts) -> bool:
    """A close is reduce-only at the venue, or the venue's own position is what we reckon with."""
    return not intent.closes or all(facts.is_bounded(leg) for leg in intent.legs)


def instruments_are_free(intent: Intent, facts: Facts) -> bool:
    for leg in intent.legs:  # noqa: SIM110
        if not facts.is_free(leg.instrument):
            return False
    return True


def size_is_tradable(intent: Intent, facts: Facts) -> bool:
    for leg in intent.legs:
        listed = facts.instrument(leg.instrument)
        if listed is None or leg.lots < max(1, listed.lots_min):
            return False
        if listed.lots_max and leg.lots > listed.lots_max:
            return False
        exempt = leg.reduce_only and listed.is_derivative and facts.reduces(leg)
        lowest = min(leg.ticks, leg.touch)
        if not exempt and listed.notional(lowest, leg.lots) < listed.notional_min:
            return False
    return True


def funds_are_there(intent: Intent, facts: Facts) -> bool:
    """Where the venue said what is free: the coin to sell, the money to buy, margin to hold.

    Legs that draw on one wallet are judged each by itself: venues lock in their own order, and
    the margin fraction leaves room.
    """
    for leg in intent.legs:
        listed = facts.instrument(leg.instrument)
        if listed is None:
            return False
        asset, amount = _needed(leg, listed, facts.limits.margin_fraction)
        free = facts.available(leg.instrument, asset)
        if free is not None and amount > free:
            return False
    return True


def close_fits_the_holding(intent: Intent, facts: Facts) -> bool:
    """A close never turns a position round: against what is held, and not more than that."""
    if not intent.closes:
        return not any(leg.reduce_only for leg in intent.legs)
    holding = facts.holding(intent.closes)
    if holding is None:
        return False
    held = {leg.instrument: leg.lots for leg in holding.legs}
    for leg in intent.legs:
        listed, lots = facts.instrument(leg.instrument), held.get(leg.instrument, Lots(0))
        if listed is None or lots * int(leg.side) >= 0:
            return False
        # A spot buy is larger by the fee that will be taken from what arrives.
        slack = abs(lots) // 50 + 1 if leg.side is Side.BUY and not listed.is_derivative else 0
        if leg.lots > abs(lots) + slack:
            return False
    return True


def _notional(leg: IntentLeg, facts: Facts) -> Money | None:
    listed = facts.instrument(leg.instrument)
    if listed is None:
        return None
    rate = facts.rate(listed.notional_asset)
    highest = max(leg.ticks, leg.touch) if leg.side is Side.BUY else leg.touch
    return None if rate is None else listed.notional(highest, leg.lots) * rate


def _needed(leg: IntentLeg, listed: Instrument, margin: Decimal) -> tuple[Asset, Money]:
    match listed.payoff:
        case Payoff.SPOT if leg.side is Side.SELL:
            return listed.base, listed.lot * leg.lots * listed.contract_value
        case Payoff.SPOT:
            return listed.quote, listed.notional(leg.ticks, leg.lots)
        case Payoff.INVERSE:
            return listed.settle, listed.base_size(leg.touch, leg.lots) * margin
        case Payoff.LINEAR | Payoff.QUANTO:
            return listed.settle, listed.notional(leg.ticks, leg.lots) * margin


def _rules(new_risk: bool, *conditions: Callable[[Intent, Facts], bool]) -> tuple[Rule, ...]:
    return tuple(Rule(condition.__name__, condition, new_risk) for condition in conditions)


DEFAULT_RULES: tuple[Rule, ...] = (
    *_rules(False, trading_is_on),
    *_rules(True, no_stop_was_requested, recovering, clutch_is_closed),
    *_rules(False, instruments_are_known, account_is_reconciled, instruments_are_free),
    *_rules(True, one_group_per_pair, pair_has_rested, holdings_do_not_oppose, pace_is_calm),
    *_rules(True, fees_are_known, fills_are_heard, venues_take_orders),
    *_rules(False, card_adds_up, close_fits_the_holding, books_are_fresh),
    *_rules(False, exits_are_left, exits_are_bounded, one_leg_rests_at_most),
    *_rules(True, instruments_stay_listed),
    *_rules(True, legs_are_in_step, edge_is_believable, edge_is_enough),
    *_rules(False, size_is_tradable, price_is_sane),
    *_rules(True, notional_is_small, exposure_is_small, daily_loss_is_small, funds_are_there),
    *_rules(True, legs_match),
)
