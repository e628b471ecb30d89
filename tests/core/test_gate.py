"""The gate: each rule bites, the first refusal wins, and no rule ever permits more."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Any

import msgspec
import pytest

from oneprice.core.facts import PositionRisk
from oneprice.core.gate import DEFAULT_RULES, Approved, Gate, Refused
from oneprice.core.strategy import Fees, Holding, HoldingLeg, Intent
from oneprice.model.commands import TimeInForce
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.settings import GateSettings, MarginSettings
from oneprice.model.units import MILLI, SECOND, Lots, Money, Nanos, Side
from tests.build import D, a_card, a_leg, a_perp, a_spot, an_intent

A, B = a_perp("alpha"), a_perp("beta")
SPOT = a_spot("alpha")


class Calm(msgspec.Struct, kw_only=True):
    """Facts under which a small good intent passes; a test changes one of them."""

    now: Nanos = Nanos(0)
    limits: GateSettings = GateSettings()
    clutch: str = ""
    recovering: bool = False
    stopping: bool = False
    trading: bool = True
    listed: tuple[Instrument, ...] = (A, B, SPOT)
    ages: dict[str, int | None] = {}
    known_fees: Fees | None = Fees(D(0), D("0.0005"))
    marks: dict[str, Decimal] = {}
    rates: dict[str, Decimal] = {}
    free_money: Money | None = None
    checked: bool = True
    heard: bool = True
    free: bool = True
    groups: int = 0
    rests: bool = False
    begun: int = 0
    held: tuple[Holding, ...] = ()
    gross: Money = D(0)
    net: Decimal = D(0)
    lost: Money = D(0)
    exits: bool = True
    bounded: bool = True
    reducing: bool = True
    left_over: Decimal = D(0)
    barred: tuple[str, ...] = ()
    margins: MarginSettings = MarginSettings()
    risks: dict[str, PositionRisk] = {}

    def instrument(self, instrument: str) -> Instrument | None:
        return next((i for i in self.listed if i.id == instrument), None)

    def age(self, instrument: str) -> Nanos | None:
        age = self.ages.get(instrument, 10)
        return None if age is None else Nanos(age * MILLI)

    def fees(self, instrument: str) -> Fees | None:
        return self.known_fees

    def mark(self, instrument: str) -> Decimal | None:
        return self.marks.get(instrument)

    def index(self, instrument: str) -> Decimal | None:
        return None

    def rate(self, asset: str) -> Decimal | None:
        return {"USDT": D(1), "BTC": D(60_000), **self.rates}.get(asset)

    def available(self, instrument: str, asset: str) -> Money | None:
        return self.free_money

    def is_barred(self, venue: str) -> bool:
        return venue in self.barred

    def risk(self, instrument: str) -> PositionRisk | None:
        return self.risks.get(instrument)

    def is_heard(self, instrument: str) -> bool:
        return self.heard

    def reconciled(self, instrument: str) -> bool:
        return self.checked

    def is_free(self, instrument: str) -> bool:
        return self.free

    def in_pair(self, strategy: str, instruments: Iterable[str]) -> int:
        return self.groups

    def resting(self, strategy: str, instruments: Iterable[str]) -> bool:
        return self.rests

    def begun_within(self, span: int) -> int:
        return self.begun

    def holding(self, holding: str) -> Holding | None:
        return next((h for h in self.held if h.id == holding), None)

    def all_holdings(self) -> Sequence[Holding]:
        return self.held

    def venue_gross(self, venue: str) -> Money:
        return self.gross

    def asset_net(self, base: str) -> Decimal:
        return self.net

    def lost_today(self) -> Money:
        return self.lost

    def dust(self, base: str) -> Decimal:
        return self.left_over

    def may_exit(self, holding: str) -> bool:
        return self.exits

    def reduces(self, leg: Any) -> bool:
        return self.reducing

    def is_bounded(self, leg: Any) -> bool:
        return self.bounded


def legs(buy: Any = None, sell: Any = None) -> tuple[Any, Any]:
    return (
        a_leg(A, Side.BUY, 600_000, 10, **(buy or {})),
        a_leg(B, Side.SELL, 600_600, 10, **(sell or {})),
    )


GOOD = an_intent(*legs(), card=a_card(net="0.5", notional="600"))


def a_holding(buy_lots: int = 10, sell_lots: int = -10) -> Holding:
    return Holding(
        id="h1",
        strategy="script",
        pair="pair",
        legs=(
            HoldingLeg(instrument=A.id, lots=Lots(buy_lots), entry=D(60_000)),
            HoldingLeg(instrument=B.id, lots=Lots(sell_lots), entry=D(60_060)),
        ),
        opened=Nanos(0),
        card=a_card(),
    )


CLOSE = an_intent(
    a_leg(A, Side.SELL, 600_000, 10, reduce_only=True),
    a_leg(B, Side.BUY, 600_600, 10, reduce_only=True),
    card=a_card(net="-3", notional="600"),
    closes="h1",
)


def a_risk(
    lots: int = 5, distance: str | None = None, adl_rank: int | None = None
) -> PositionRisk:
    far = None if distance is None else D(distance)
    return PositionRisk(lots=Lots(lots), distance_bps=far, adl_rank=adl_rank)


BITES: dict[str, tuple[Calm, Intent]] = {
    "trading_is_on": (Calm(trading=False), GOOD),
    "no_stop_was_requested": (Calm(stopping=True), GOOD),
    "recovering": (Calm(recovering=True), GOOD),
    "clutch_is_closed": (Calm(clutch="a reason"), GOOD),
    "instruments_are_known": (
        Calm(listed=(A, msgspec.structs.replace(B, tradable=False))), GOOD),
    "account_is_reconciled": (Calm(checked=False), GOOD),
    "fills_are_heard": (Calm(heard=False), GOOD),
    "instruments_are_free": (Calm(free=False), GOOD),
    "one_group_per_pair": (Calm(groups=1), GOOD),
    "pair_has_rested": (Calm(rests=True), GOOD),
    "pace_is_calm": (Calm(begun=4), GOOD),
    "venues_take_orders": (Calm(barred=("beta",)), GOOD),
    "holdings_do_not_oppose": (Calm(held=(a_holding(-10, 10),)), GOOD),
    "fees_are_known": (Calm(known_fees=None), GOOD),
    "card_adds_up": (Calm(), msgspec.structs.replace(
        GOOD, card=msgspec.structs.replace(GOOD.card, net=D(9)))),
    "close_fits_the_holding": (Calm(held=(a_holding(9, -10),)), CLOSE),
    "books_are_fresh": (Calm(ages={A.id: 2_001, B.id: 2_001}), GOOD),
    "legs_are_in_step": (
        Calm(ages={A.id: 1_900}, limits=GateSettings(leg_skew_ms_max=500)), GOOD),
    "edge_is_believable": (Calm(), an_intent(*legs(), card=a_card(net="60", notional="600"))),
    "edge_is_enough": (Calm(), an_intent(*legs(), card=a_card(net="0.05", notional="600"))),
    "size_is_tradable": (Calm(listed=(msgspec.structs.replace(A, lots_min=11), B)), GOOD),
    "price_is_sane": (Calm(marks={A.id: D(50_000)}), GOOD),
    "notional_is_small": (Calm(limits=GateSettings(leg_notional_max=D(600))), GOOD),
    "exposure_is_small": (Calm(gross=D(49_500)), GOOD),
    "exits_are_left": (Calm(held=(a_holding(),), exits=False), CLOSE),
    "exits_are_bounded": (Calm(held=(a_holding(),), bounded=False), CLOSE),
    "one_leg_rests_at_most": (Calm(), msgspec.structs.replace(GOOD, legs=legs(
        {"time_in_force": TimeInForce.GTC}, {"time_in_force": TimeInForce.POST_ONLY}))),
    "instruments_stay_listed": (Calm(now=Nanos(1), listed=(
        A, msgspec.structs.replace(B, delisting=Nanos(86_400 * SECOND)))), GOOD),
    "liquidation_is_far": (Calm(risks={B.id: a_risk(lots=-5, distance="499.9")}), GOOD),
    "adl_rank_is_low": (
        Calm(margins=MarginSettings(adl_rank_max=2), risks={A.id: a_risk(adl_rank=3)}), GOOD),
    "legs_match": (Calm(), an_intent(
        a_leg(A, Side.BUY, 600_000, 11), a_leg(B, Side.SELL, 600_600, 10),
        card=a_card(net="0.5", notional="600"))),
    "daily_loss_is_small": (Calm(lost=D(501)), GOOD),
    "funds_are_there": (Calm(free_money=D(100)), GOOD),
}  # fmt: skip


def test_a_small_good_intent_passes() -> None:
    assert isinstance(Gate(DEFAULT_RULES).check(GOOD, Calm()), Approved)


@pytest.mark.parametrize("name", [rule.name for rule in DEFAULT_RULES])
def test_every_rule_bites_and_is_counted_by_its_name(name: str) -> None:
    facts, intent = BITES[name]
    gate = Gate(DEFAULT_RULES)
    verdict = gate.check(intent, facts)
    assert isinstance(verdict, Refused) and verdict.rule == name
    assert gate.refusals == {name: 1}


@pytest.mark.parametrize("name", [rule.name for rule in DEFAULT_RULES])
def test_without_the_rule_that_bites_the_same_intent_passes(name: str) -> None:
    facts, intent = BITES[name]
    others = [rule for rule in DEFAULT_RULES if rule.name != name]
    assert isinstance(Gate(others).check(intent, facts), Approved)


def test_adding_a_rule_never_permits_more() -> None:
    cases = [*BITES.values(), (Calm(), GOOD), (Calm(held=(a_holding(),)), CLOSE)]
    rules = list(DEFAULT_RULES)
    for few in [*combinations(rules, 1), *combinations(rules, 2)]:
        for facts, intent in cases:
            refused_by_few = isinstance(Gate(few).check(intent, facts), Refused)
            refused_by_all = isinstance(Gate(rules).check(intent, facts), Refused)
            assert refused_by_all or not refused_by_few


def test_a_close_passes_an_open_clutch_a_stop_and_a_loss() -> None:
    facts = Calm(held=(a_holding(),), clutch="x", stopping=True, lost=D(9_999), groups=1)
    assert isinstance(Gate(DEFAULT_RULES).check(CLOSE, facts), Approved)


@pytest.mark.parametrize(
    "name",
    ["account_is_reconciled", "instruments_are_free", "books_are_fresh", "price_is_sane",
     "size_is_tradable", "card_adds_up", "trading_is_on"],
)  # fmt: skip
def test_sanity_is_asked_of_a_close_too(name: str) -> None:
    facts = msgspec.structs.replace(BITES[name][0], held=(a_holding(),))
    close = CLOSE
    if name == "card_adds_up":
        close = msgspec.structs.replace(CLOSE, card=BITES[name][1].card)
    if name == "size_is_tradable":
        spot = a_leg(SPOT, Side.SELL, 6_000_000, 1)
        holding = msgspec.structs.replace(
            a_holding(), legs=(HoldingLeg(instrument=SPOT.id, lots=Lots(1), entry=D(60_000)),)
        )
        facts = Calm(held=(holding,))
        close = msgspec.structs.replace(CLOSE, legs=(spot,))
    verdict = Gate(DEFAULT_RULES).check(close, facts)
    assert isinstance(verdict, Refused) and verdict.rule == name


@pytest.mark.parametrize("held", [(5, -10), (-10, 10), (0, -10)])
def test_a_close_never_turns_a_position_round(held: tuple[int, int]) -> None:
    verdict = Gate(DEFAULT_RULES).check(CLOSE, Calm(held=(a_holding(*held),)))
    assert isinstance(verdict, Refused) and verdict.rule == "close_fits_the_holding"


def test_an_entry_cannot_pretend_to_be_reduce_only() -> None:
    intent = an_intent(*legs(buy={"reduce_only": True}), card=a_card(net="0.5", notional="600"))
    verdict = Gate(DEFAULT_RULES).check(intent, Calm())
    assert isinstance(verdict, Refused) and verdict.rule == "close_fits_the_holding"


def test_unhedged_exposure_counts_what_is_there_already() -> None:
    lopsided = an_intent(
        a_leg(A, Side.BUY, 600_000, 20),
        a_leg(B, Side.SELL, 600_600, 10),
        card=a_card(net="0.5", notional="600"),
    )
    gate = Gate([rule for rule in DEFAULT_RULES if rule.name != "legs_match"])
    assert isinstance(gate.check(lopsided, Calm(net=D("0.05"))), Approved)
    verdict = gate.check(lopsided, Calm(net=D("0.1")))
    assert isinstance(verdict, Refused) and verdict.rule == "exposure_is_small"


def test_a_quanto_leg_is_never_ours_as_its_coins_hang_on_another_price() -> None:
    quanto = a_perp("beta", payoff=Payoff.QUANTO, settle="BTC", notional_min=D(0))
    limits = GateSettings(leg_notional_max=D(10**9), venue_gross_max=D(10**9))
    verdict = Gate(DEFAULT_RULES).check(GOOD, Calm(listed=(A, quanto), limits=limits))
    assert isinstance(verdict, Refused) and verdict.rule == "exposure_is_small"


def test_selling_spot_needs_the_coin_itself() -> None:
    intent = an_intent(
        a_leg(A, Side.BUY, 600_000, 10),
        a_leg(SPOT, Side.SELL, 6_006_000, 10_000),
        card=a_card(net="0.5", notional="600"),
    )
    gate = Gate(DEFAULT_RULES)
    roomy = Calm(free_money=D(200))
    assert isinstance(gate.check(intent, roomy), Approved)

    class Coinless(Calm):
        def available(self, instrument: str, asset: str) -> Money | None:
            return D("0.0099") if asset == "BTC" else D(200)

    verdict = gate.check(intent, Coinless())
    assert isinstance(verdict, Refused) and verdict.rule == "funds_are_there"


def test_what_a_venue_calls_closed_may_be_left_but_not_entered() -> None:
    shut = Calm(listed=(A, msgspec.structs.replace(B, tradable=False)), held=(a_holding(),))
    verdict = Gate(DEFAULT_RULES).check(GOOD, shut)
    assert isinstance(verdict, Refused) and verdict.rule == "instruments_are_known"
    assert isinstance(Gate(DEFAULT_RULES).check(CLOSE, shut), Approved)


@pytest.mark.parametrize(
    "risk",
    [a_risk(distance="500"), a_risk(lots=-5, distance="10"), a_risk(adl_rank=4), a_risk()],
    ids=["far", "reduced", "any rank by default", "not told"],
)
def test_a_position_that_is_safe_reduced_or_not_told_of_refuses_nothing(
    risk: PositionRisk,
) -> None:
    assert isinstance(Gate(DEFAULT_RULES).check(GOOD, Calm(risks={A.id: risk})), Approved)


def test_what_is_near_its_liquidation_may_always_be_closed() -> None:
    risks = {A.id: a_risk(distance="-3", adl_rank=4), B.id: a_risk(-5, "1", 4)}
    facts = Calm(held=(a_holding(),), risks=risks, margins=MarginSettings(adl_rank_max=0))
    assert isinstance(Gate(DEFAULT_RULES).check(CLOSE, facts), Approved)
