"""Both strategies on books: cards computed by hand, entries, exits, and honest refusals."""

import pytest

from oneprice.core.strategy import Opportunity
from oneprice.model import events as ev
from oneprice.model.instrument import Instrument
from oneprice.model.settings import EngineSettings, GateSettings
from oneprice.model.units import HOUR, Nanos, Side
from oneprice.strategies.cross_exchange import CrossExchange, CrossExchangeSettings
from oneprice.strategies.spot_futures import SpotFutures, SpotFuturesSettings
from tests.build import D, World, a_perp, a_ready_world, a_spot, an_inverse

A, B = a_perp("alpha"), a_perp("beta")
SPOT_A, SPOT_B = a_spot("alpha"), a_spot("beta")
COINS = {("alpha", "unified", "BTC"): "1", ("beta", "unified", "BTC"): "1"}


def the_look(world: World, buy: Instrument, sell: Instrument) -> Opportunity:
    name = f"BTC buy {buy.id} sell {sell.id}"
    return next(o for o in world.engine.report.opportunities() if o.pair == name)


def set_books(world: World, *quotes: tuple[Instrument, str, str], size: str = "10") -> None:
    for instrument, bid, ask in quotes:
        world.quote(instrument, bid, ask, size)


# Cards ----------------------------------------------------------------------------------


def test_the_card_of_two_perpetuals_by_hand() -> None:
    settings = CrossExchangeSettings(notional_max=D(601))
    world = a_ready_world([A, B], [CrossExchange(settings)])
    set_books(world, (A, "59998", "60000"), (B, "60299", "60301"))
    card = the_look(world, A, B).card
    assert card is not None
    # 0.010 coins: bought for 600.00, sold for 602.99; 5 bps four times; half spreads 1 + 1.
    assert card.notional == 600
    assert card.gross == D("2.99")
    assert card.fees == D("-1.20299")  # (600.00 + 602.99) * 0.0005 * 2
    assert card.slippage == 0
    assert card.closing == D("-0.01995075")  # 600 * (2/2/59998 + 2/2/60299)
    assert card.haircut == D("-0.03")
    assert card.funding == 0
    assert card.net == D("1.73705925")
    assert card.adds_up
    assert set(card.estimates) >= {"closing", "funding", "haircut"}


def test_the_card_counts_depth_beyond_the_touch_as_slippage() -> None:
    settings = CrossExchangeSettings(notional_max=D(1201))
    world = a_ready_world([A, B], [CrossExchange(settings)])
    set_books(world, (A, "59998", "60000"), (B, "60299", "60301"), size="0.012")
    card = the_look(world, A, B).card
    assert card is not None
    # 0.020 coins: 0.008 of them one level (1 USDT) further, on both sides.
    assert card.slippage == D("-0.016")
    assert card.closing == D("-0.016") + D("-0.03990149")


def test_the_card_of_a_basis_has_funding_over_the_hold_marked_as_an_estimate() -> None:
    settings = SpotFuturesSettings(notional_max=D(601), hold_ms=9 * 3_600_000)
    world = a_ready_world([SPOT_A, A], [SpotFutures(settings)])
    due = Nanos(world.now + HOUR // 2)
    world.tell(ev.FundingForecast(at=Nanos(world.now), instrument=A.id, rate=D("0.0001"), due=due))
    set_books(world, (SPOT_A, "59999.99", "60000"), (A, "60239", "60240"))
    card = the_look(world, SPOT_A, A).card
    assert card is not None
    assert card.gross == D("2.39")
    assert card.funding == D("0.12")  # two settlements of 1 bp on 600
    assert "funding" in card.estimates
    # Spot: 0.010005 coins are bought so that 0.010 arrive; both fees twice.
    assert card.fees == -(D("600.3") + D("602.39")) * D("0.0005") * 2


def test_spot_against_spot_is_complete_at_once_and_pays_its_fees_once() -> None:
    world = a_ready_world([SPOT_A, SPOT_B], [CrossExchange()], funds=COINS)
    set_books(world, (SPOT_A, "59999", "60000"), (SPOT_B, "60150", "60151"))
    card = the_look(world, SPOT_A, SPOT_B).card
    assert card is not None
    assert card.closing == 0 and card.funding == 0
    assert abs(card.fees + card.notional * D("0.001")) < card.notional * D("0.00001")


# Honest refusals ------------------------------------------------------------------------


@pytest.mark.parametrize("edge_bps", [2, 5, 10, 20])
def test_real_edges_of_a_few_basis_points_are_not_traded(edge_bps: int) -> None:
    """Recorded spot-perpetual edges are mostly 2 to 5 bps; a round trip of takers costs more."""
    world = a_ready_world([SPOT_A, A, B], [CrossExchange(), SpotFutures()], funds=COINS)
    high = str(60_000 + 6 * edge_bps)
    set_books(world, (SPOT_A, "59999.99", "60000"), (A, high, str(D(high) + 1)))
    set_books(world, (B, "59999", "60000"))
    world.live(2_000)
    assert world.orders() == []
    assert world.engine.report.counts()["intents"] == 0
    assert the_look(world, SPOT_A, A).verdict == "edge_is_too_small"


def test_without_a_fee_tier_nothing_is_tradable() -> None:
    world = World([A, B], [CrossExchange()])
    set_books(world, (A, "59999", "60000"), (B, "60299", "60301"))
    assert the_look(world, A, B).verdict == "fees_are_unknown"
    world.turn()
    assert world.orders() == []


def test_prices_that_are_far_apart_are_not_the_same_thing() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    set_books(world, (A, "59999", "60000"), (B, "69999", "70001"))
    world.live(500)
    assert the_look(world, A, B).verdict == "prices_are_too_far_apart"
    assert world.orders() == []


def test_a_book_that_is_lost_or_old_cannot_be_read() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    set_books(world, (A, "59999", "60000"), (B, "60299", "60301"))
    world.now += 6_000_000_000
    world.quote(A, "59999", "60000")
    world.tell(ev.TurnEnded(at=Nanos(world.now)))
    assert the_look(world, A, B).verdict == "book_is_unknown"


def test_selling_spot_that_we_do_not_have_is_no_reverse_basis() -> None:
    world = a_ready_world([SPOT_A, A], [SpotFutures()])
    set_books(world, (SPOT_A, "60299", "60300"), (A, "59999", "60000"))
    world.live(500)
    assert world.orders() == []
    assert the_look(world, A, SPOT_A).verdict == "balance_or_limit_is_too_small"


def test_depth_below_the_least_size_is_not_traded() -> None:
    small = a_perp("beta", notional_min=D(200))
    world = a_ready_world([A, small], [CrossExchange()])
    set_books(world, (A, "59999", "60000"), (small, "60299", "60301"))
    world.quote(A, "59999", "60000", "0.001")
    world.live(500)
    assert world.orders() == []


def test_inverse_contracts_are_left_alone() -> None:
    world = a_ready_world([A, an_inverse("beta")], [CrossExchange(), SpotFutures()])
    assert world.engine.report.opportunities() == []


# Trades ---------------------------------------------------------------------------------


def test_a_basis_is_bought_with_the_fee_planned_in_and_closed_on_convergence() -> None:
    world = a_ready_world([SPOT_A, A], [SpotFutures()])
    set_books(world, (SPOT_A, "59999", "60000"), (A, "60299", "60301"))
    world.turn()
    world.live(500)
    spot, future = world.orders()
    assert (spot.side, spot.lots, future.side, future.lots) == (Side.BUY, 33_017, Side.SELL, 33)
    assert abs(world.engine._sight.asset_net("BTC")) < D("0.000001")
    set_books(world, (SPOT_A, "60100", "60101"), (A, "60100", "60101"))
    world.turn()
    world.live(500)
    last = [d for d in world.decisions if getattr(d, "intent", None)][-1]
    assert last.intent.reason == "converged"  # type: ignore[attr-defined]
    assert world.engine.report.positions() == {}
    assert world.engine.report.equity_change() > 4
    assert world.engine.report.residual() == 0


def test_a_reverse_basis_sells_inventory_and_buys_it_back() -> None:
    world = a_ready_world([SPOT_A, A], [SpotFutures()], funds=COINS)
    before = world.money["alpha", "unified", "BTC"]
    set_books(world, (SPOT_A, "60299", "60300"), (A, "59999", "60000"))
    world.turn()
    world.live(500)
    assert world.money["alpha", "unified", "BTC"] < before
    set_books(world, (SPOT_A, "60100", "60101"), (A, "60100", "60101"))
    world.turn()
    world.live(500)
    assert abs(world.money["alpha", "unified", "BTC"] - before) <= SPOT_A.lot
    assert world.engine.report.positions() == {} and world.engine.clutch == ""


def test_spot_against_spot_leaves_no_holding() -> None:
    world = a_ready_world([SPOT_A, SPOT_B], [CrossExchange()], funds=COINS)
    set_books(world, (SPOT_A, "59999", "60000"), (SPOT_B, "60150", "60151"))
    world.turn()
    world.run(100)
    assert world.ends() == {"HEDGED": 1}
    assert world.engine.report.holdings() == []
    assert world.engine.report.profit()["basis"] > 0


def reasons(world: World) -> list[str]:
    return [
        d.intent.reason  # type: ignore[attr-defined]
        for d in world.decisions
        if getattr(d, "group", "") and getattr(d, "intent", None)
    ]


def test_an_adverse_move_ends_a_holding() -> None:
    world = a_ready_world([A, B], [CrossExchange(CrossExchangeSettings(stop_bps=D(30)))])
    set_books(world, (A, "59999", "60001"), (B, "60299", "60301"))
    world.turn()
    world.live(600)
    set_books(world, (B, "60399", "60401"))
    world.live(1_000)
    assert reasons(world) == ["entry"]  # 17 bps against us: not yet
    set_books(world, (B, "60499", "60501"))
    world.live(1_000)
    assert reasons(world) == ["entry", "adverse"]
    assert world.engine.report.positions() == {}
    assert the_look(world, A, B).verdict == "pair_is_resting"
    world.live(10_000)
    set_books(world, (B, "60500", "60502"))
    world.live(500)
    assert reasons(world) == ["entry", "adverse", "entry"]


def test_a_holding_ends_when_its_time_is_up() -> None:
    settings = CrossExchangeSettings(hold_ms_max=5_000)
    world = a_ready_world([A, B], [CrossExchange(settings)])
    set_books(world, (A, "59999", "60001"), (B, "60299", "60301"))
    world.turn()
    world.live(600)
    world.live(4_000)
    assert reasons(world) == ["entry"]
    world.live(1_500)
    assert reasons(world)[:2] == ["entry", "time"]


def test_one_pair_holds_one_position_at_a_time() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    set_books(world, (A, "59999", "60001"), (B, "60299", "60301"))
    world.turn()
    for _ in range(20):
        set_books(world, (A, "59999", "60001"), (B, "60299", "60301"))
        world.live(200)
    assert reasons(world) == ["entry"]


def test_limits_spend_at_most_half_of_the_net() -> None:
    world = a_ready_world([A, B], [CrossExchange(CrossExchangeSettings(slack_bps=D(500)))])
    set_books(world, (A, "59999", "60001"), (B, "60299", "60301"))
    world.turn()
    buy, sell = world.orders()
    card = next(d.intent.card for d in world.decisions if getattr(d, "intent", None))  # type: ignore[attr-defined]
    given_up = A.notional(buy.ticks - 600_010, buy.lots)
    given_up += B.notional(602_990 - sell.ticks, sell.lots)
    assert 0 < given_up <= card.net / 2 + D("0.01")


def test_a_thousandfold_contract_trades_against_the_single_coin() -> None:
    thousand = a_perp("alpha", "PEPE", tick=D("0.000001"), lot=D(1), multiplier=D(1000))
    single = a_perp("beta", "PEPE", tick=D("0.000000001"), lot=D(100))
    world = World([thousand, single], [CrossExchange()])
    world.quote(thousand, "0.010000", "0.010001", "1000000")
    world.quote(single, "0.000010100", "0.000010101", "1000000000")
    world.turn()
    world.live(500)
    world.quote(single, "0.000010101", "0.000010102", "1000000000")
    world.live(500)
    bought, sold = world.orders()[:2]
    assert bought.instrument == thousand.id
    assert thousand.base_size(1, bought.lots) == single.base_size(1, sold.lots)
    assert world.ends() == {"HEDGED": 1}


def test_an_edge_below_zero_where_it_is_asked_for_is_still_taken_at_the_touch() -> None:
    loose = EngineSettings(gate=GateSettings(net_bps_min=D(-60), net_min=D(-50)))
    strategy = CrossExchange(CrossExchangeSettings(net_bps_min=D(-60)))
    world = a_ready_world([A, B], [strategy], settings=loose)
    set_books(world, (A, "59998", "60000"), (B, "60001", "60003"))
    world.live(500)
    first = world.orders()[0]
    assert first.ticks >= 600_000  # a limit inside the spread could never fill
    assert world.engine.report.group_ends().get("HEDGED")
