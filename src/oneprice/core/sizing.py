"""Rules of the gate about amounts: what a trade earns, its sizes, its prices and its margin."""

from decimal import Decimal

from oneprice.core.facts import Facts
from oneprice.core.repairs import tradable
from oneprice.core.strategy import Intent, IntentLeg
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import BPS, ZERO, Asset, Lots, Money, Side


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
