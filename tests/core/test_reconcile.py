"""Reconcile: what venues say opens the ledger, and later has to agree with it."""

from oneprice.core.strategy import Discrepancy
from oneprice.model import events as ev
from oneprice.model.commands import QueryAccount
from oneprice.model.instrument import Payoff
from oneprice.model.settings import EngineSettings, ReconcileSettings
from oneprice.model.units import MILLI, SECOND, Lots, Nanos, Side, Ticks
from oneprice.strategies.cross_exchange import CrossExchange
from tests.build import D, World, a_perp, a_ready_world

A, B = a_perp("alpha"), a_perp("beta")


def found(world: World) -> list[tuple[str, str, str]]:
    return [
        (d.kind, d.expected, d.found) for d in world.decisions if isinstance(d, Discrepancy)
    ]


def a_world_with_a_position(*, adopt: bool) -> World:
    world = World(
        [A, B], [], settings=EngineSettings(reconcile=ReconcileSettings(adopt_positions=adopt))
    )
    world.lots[A.id], world.cost[A.id] = 7, D(59_000)
    for it in (A, B):
        world.quote(it, "59999", "60001")
    world.turn()
    world.run(300)
    return world


def questions(world: World) -> int:
    return sum(isinstance(c, QueryAccount) for c in world.sent)


def test_opening_balances_come_from_the_venue_and_are_no_profit() -> None:
    world = a_ready_world([A, B], [])
    assert world.engine.report.equity() == 200_000
    assert world.engine.report.equity_change() == 0


def test_a_position_found_at_start_opens_the_clutch() -> None:
    world = a_world_with_a_position(adopt=False)
    assert found(world) == [("position", "0", "7")]
    assert world.engine.clutch
    assert world.engine.report.positions() == {A.id: 7}


def test_an_adopted_position_is_known_and_its_past_is_no_profit() -> None:
    world = a_world_with_a_position(adopt=True)
    assert world.engine.clutch == "" and world.engine.report.positions() == {A.id: 7}
    assert world.engine.report.equity_change() == 0
    world.quote(A, "60999", "61001")
    assert world.engine.report.profit()["currency"] == 7  # 0.007 coins, 1000 higher
    assert world.engine.report.residual() == 0


def test_a_stranger_order_at_start_opens_the_clutch() -> None:
    world = a_ready_world([A, B], [])
    world.tell(
        ev.OpenOrderReported(
            at=Nanos(world.now),
            order_id="",
            venue_order_id="v7",
            instrument=A.id,
            side=Side.BUY,
            ticks=Ticks(1),
            lots=Lots(5),
            filled_lots=Lots(0),
        )
    )
    assert [kind for kind, *_ in found(world)] == ["open_order"]
    assert world.engine.clutch


def test_a_balance_that_differs_is_asked_about_before_it_is_believed() -> None:
    world = a_ready_world([A, B], [])
    world.money["alpha", "unified", "USDT"] -= 50
    before = questions(world)
    world.tell(
        ev.BalanceReported(
            at=Nanos(world.now), venue="alpha", wallet="unified", asset="USDT", total=D(99_950)
        )
    )
    world.run(2_900)
    assert questions(world) == before and world.engine.clutch == ""
    world.run(3_000)
    assert questions(world) > before and world.engine.clutch == ""
    world.run(10_000)
    assert found(world) == [("balance", "100000", "99950")]
    assert world.engine.clutch


def test_a_difference_that_goes_away_is_forgotten() -> None:
    world = a_ready_world([A, B], [])
    world.tell(
        ev.BalanceReported(
            at=Nanos(world.now), venue="alpha", wallet="unified", asset="USDT", total=D(99_950)
        )
    )
    world.run(20_000)  # the venue's own answer says 100000 again
    assert world.engine.clutch == "" and found(world) == []


def test_a_person_accepts_what_the_venue_says() -> None:
    world = a_ready_world([A, B], [])
    world.money["alpha", "unified", "USDT"] -= 50
    world.run(80_000)  # the audit finds it
    assert world.engine.clutch
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="a person"))
    assert world.engine.report.balances()["alpha", "unified", "USDT"] == 99_950
    assert world.engine.report.equity_change() == 0  # a withdrawal is no loss
    world.run(80_000)
    assert world.engine.clutch == ""


def test_a_difference_that_was_told_to_nobody_yet_is_accepted_by_nobody() -> None:
    world = a_ready_world([A, B], [])
    late = ev.BalanceReported(
        at=Nanos(world.now), venue="alpha", wallet="unified", asset="USDT", total=D(99_950)
    )
    world.tell(late)  # from before something that we know
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="a person"))
    assert world.engine.report.balances()["alpha", "unified", "USDT"] == 100_000
    world.run(80_000)
    assert found(world) == [] and world.engine.clutch == ""


def test_a_position_that_differs_opens_the_clutch() -> None:
    world = a_ready_world([A, B], [])
    world.lots[A.id], world.cost[A.id] = 4, D(60_000)
    world.run(80_000)
    assert found(world) == [("position", "0", "4")]


def test_rounding_of_the_venue_is_no_difference() -> None:
    world = a_ready_world([A, B], [])
    world.money["alpha", "unified", "USDT"] -= D("0.009")
    world.run(80_000)
    assert world.engine.clutch == ""


def test_statements_under_way_during_a_trade_are_not_held_against_anybody() -> None:
    world = a_ready_world([A, B], [CrossExchange()])
    world.faults.late_ms_max = 200
    for number in range(30):
        world.quote(A, "59999", "60001")
        high = "60299" if number % 2 else "59799"
        world.quote(B, high, str(D(high) + 2))
        world.turn()
        world.live(900)
    world.live(20_000, 500)
    assert world.engine.report.counts()["fills"] > 20
    assert found(world) == [] and world.engine.clutch == ""


def test_no_market_is_traded_before_its_account_is_checked() -> None:
    world = World([A, B], [CrossExchange()])
    world.hooks.append(lambda c: isinstance(c, QueryAccount) and c.venue == "beta")
    for it, bid in ((A, "59999"), (B, "60299")):
        world.quote(it, bid, str(D(bid) + 2))
    fees = ev.FeesReported(
        at=Nanos(world.now), venue="beta", market="linear", symbol="", maker=D(0), taker=D(0)
    )
    world.tell(fees)
    world.live(1_000)
    assert world.orders() == []
    assert world.engine.report.refusals() == {
        "account_is_reconciled": world.engine.report.counts()["intents"]
    }


def test_a_socket_that_comes_back_makes_us_ask_what_was_missed() -> None:
    world = a_ready_world([A, B], [])
    before = questions(world)
    link = ev.LinkChanged(at=Nanos(world.now), venue="alpha", socket="private", up=True)
    world.tell(link)
    assert questions(world) == before
    world.tell(ev.LinkChanged(at=Nanos(world.now), venue="alpha", socket="private", up=False))
    world.tell(link)
    assert questions(world) == before + 1


def test_settlements_from_before_the_opening_balance_are_in_it_already() -> None:
    world = a_ready_world([A, B], [])
    old = ev.FundingBooked(
        at=Nanos(world.now),
        instrument=A.id,
        record_id="old",
        amount=D(3),
        asset="USDT",
        venue_ms=(world.now - 3_600 * SECOND) // MILLI,
    )
    world.tell(old)
    assert world.engine.report.equity_change() == 0


def test_a_position_first_told_by_an_audit_is_ours_and_not_an_opening() -> None:
    world = a_ready_world([A, B], [])
    world.tell(
        ev.OrderFilled(
            at=Nanos(world.now), order_id="gone", instrument=A.id, fill_id="f", side=Side.BUY,
            ticks=Ticks(600_000), lots=Lots(3), fee=D(0), fee_asset="USDT",
        )
    )  # fmt: skip
    before, held = len(found(world)), world.engine.report.positions()
    world.tell(ev.PositionReported(at=Nanos(world.now), instrument=A.id, lots=Lots(3)))
    world.tell(ev.AccountChecked(at=Nanos(world.now), venue="alpha", market="linear"))
    assert world.engine.report.positions() == held == {A.id: 3}
    assert len(found(world)) == before


def test_a_strange_quanto_position_counts_as_the_coins_that_would_pay_the_same() -> None:
    quanto = a_perp(
        "beta", "ETH", payoff=Payoff.QUANTO, settle="BTC", contract_value=D("0.000001"), lot=D(1)
    )
    world = a_ready_world([A, quanto], [])
    world.quote(quanto, "2999", "3001")
    world.turn()
    world.tell(
        ev.OrderFilled(
            at=Nanos(world.now), order_id="gone", instrument=quanto.id, fill_id="f",
            side=Side.SELL, ticks=Ticks(30_000), lots=Lots(50), fee=D(0), fee_asset="BTC",
        )
    )  # fmt: skip
    # 50 x 0.000001 bitcoin of 60,000 for each dollar of ether: as 3 ether would.
    assert world.engine._sight.asset_net("ETH") == -3
    # 50 x 0.000001 x 3,000 = 0.15 bitcoin
    assert world.engine._sight.venue_gross("beta") == 9_000
