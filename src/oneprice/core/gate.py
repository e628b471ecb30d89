"""The gate: small named rules; the first refusal wins and is counted by its name.

Approved is made here and nowhere else, and only an Approved intent can become orders: permission
is a type, not a habit. A rule can only refuse, so adding one never permits more. Intents that
close a holding reduce risk: they pass by the rules that limit new risk, and by no other.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from oneprice.core.facts import Facts
from oneprice.core.margin import adl_rank_is_low, liquidation_is_far
from oneprice.core.sizing import (
    card_adds_up,
    close_fits_the_holding,
    daily_loss_is_small,
    edge_is_believable,
    edge_is_enough,
    exposure_is_small,
    funds_are_there,
    legs_match,
    notional_is_small,
    price_is_sane,
    size_is_tradable,
)
from oneprice.core.strategy import Intent
from oneprice.model.units import MILLI, SECOND, InstrumentId, Nanos


class Approved(msgspec.Struct, frozen=True):
    """An intent that may become orders."""

    intent: Intent


class Refused(msgspec.Struct, frozen=True):
    """An intent that may not, and the rule that said so."""

    intent: Intent
    rule: str


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


# Rules of standing ----------------------------------------------------------------------


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
    *_rules(True, instruments_stay_listed, liquidation_is_far, adl_rank_is_low),
    *_rules(True, legs_are_in_step, edge_is_believable, edge_is_enough),
    *_rules(False, size_is_tradable, price_is_sane),
    *_rules(True, notional_is_small, exposure_is_small, daily_loss_is_small, funds_are_there),
    *_rules(True, legs_match),
)
