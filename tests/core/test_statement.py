"""Statements: a venue's own lines explain what balances show, and only once."""

from decimal import Decimal

import pytest

from oneprice.app.reconcile_ours import ours
from oneprice.core.engine import Engine
from oneprice.core.strategy import Discrepancy, Holding, HoldingLeg
from oneprice.kernel import Tripwires
from oneprice.model import events as ev
from oneprice.model.commands import QueryStatement
from oneprice.model.settings import EngineSettings, ReconcileSettings
from oneprice.model.units import MILLI, SECOND, Lots, Nanos, Side, Ticks
from oneprice.strategies.cross_exchange import CrossExchange
from tests.build import D, World, a_card, a_perp, a_ready_world, a_spot

A, B = a_perp("alpha"), a_perp("beta")
WALLET = ("alpha", "unified", "USDT")


def found(world: World) -> list[tuple[str, str, str]]:
    return [
        (d.kind, d.expected, d.found) for d in world.decisions if isinstance(d, Discrepancy)
    ]


def asked(world: World) -> list[QueryStatement]:
    return [c for c in world.sent if isinstance(c, QueryStatement)]


def a_line(world: World, kind: str, amount: str, **more: object) -> ev.StatementLine:
    facts: dict[str, object] = {
        "at": Nanos(world.now),
        "venue": "alpha",
        "wallet": "unified",
        "asset": "USDT",
        "amount": D(amount),
        "kind": kind,
        "record_id": f"r{len(world.lines)}",
        "venue_ms": world.now // MILLI,
    }
    return ev.StatementLine(**(facts | more))  # type: ignore[arg-type]


def tell(world: World, *lines: ev.StatementLine) -> None:
    """Lines, and the word that the statement is complete."""
    for line in lines:
        world.tell(line)
    for venue in dict.fromkeys(line.venue for line in lines):
        world.tell(
            ev.StatementTold(
                at=Nanos(world.now),
                venue=venue,
                market="linear",
                since_ms=0,
                until_ms=world.now // MILLI,
            )
        )


def happened(world: World, line: ev.StatementLine) -> None:
    """The venue's money moves, and its statement says why."""
    world.lines.append(line)
    key = (line.venue, line.wallet, line.asset)
    world.money[key] = world.money.get(key, D(0)) + line.amount


def balance_told(world: World, key: tuple[str, str, str] = WALLET) -> None:
    venue, wallet, asset = key
    world.tell(
        ev.BalanceReported(
            at=Nanos(world.now), venue=venue, wallet=wallet, asset=asset, total=world.money[key]
        )
    )


def profit(world: World) -> dict[str, Decimal]:
    return {cause: amount for cause, amount in world.engine.report.profit().items() if amount}


def test_a_deposit_is_explained_by_the_statement_and_is_no_profit() -> None:
    world = a_ready_world([A, B], [])
    happened(world, a_line(world, "transfer", "500"))
    balance_told(world)
    world.run(20_000)
    assert found(world) == [] and world.engine.clutch == ""
    assert world.engine.report.equity() == 200_500 and profit(world) == {}
    assert world.engine.report.equity_change() == 0
    assert world.engine.report.transferred() == {WALLET: 500}


def test_a_deposit_of_a_coin_never_held_is_explained_as_well() -> None:
    world = a_ready_world([A, B], [])
    happened(world, a_line(world, "transfer", "2", asset="BTC"))
    balance_told(world, ("alpha", "unified", "BTC"))
    world.run(20_000)
    assert found(world) == [] and world.engine.clutch == ""
    assert world.engine.report.balances()["alpha", "unified", "BTC"] == 2
    assert world.engine.report.equity() == 320_000 and profit(world) == {}


def test_a_balance_out_of_nothing_is_named_and_counted_in_no_equity() -> None:
    world = a_ready_world([A, B], [])
    world.money["alpha", "unified", "BTC"] = D(3)
    balance_told(world, ("alpha", "unified", "BTC"))
    world.run(30_000)
    assert found(world) == [("balance", "0", "3")]
    assert world.engine.clutch.startswith("balance alpha/unified/BTC")
    assert world.engine.report.equity() == 200_000


def test_a_difference_is_asked_about_in_the_statement_before_it_is_believed() -> None:
    world = a_ready_world([A, B], [])
    world.money[WALLET] -= 50
    balance_told(world)
    world.run(3_500)
    assert [q.venue for q in asked(world)] == ["alpha"] and world.engine.clutch == ""
    world.run(20_000)
    assert found(world) == [("balance", "100000", "99950")] and world.engine.clutch


def test_a_venue_without_statements_is_believed_by_its_balance_as_ever() -> None:
    world = a_ready_world([A, B], [])
    world.keeps_statements = False
    world.money[WALLET] -= 50
    balance_told(world)
    world.run(20_000)
    assert found(world) == [("balance", "100000", "99950")]


def test_statements_are_asked_for_regularly_from_where_the_last_one_ended() -> None:
    settings = EngineSettings(reconcile=ReconcileSettings(statement_ms=10_000))
    world = a_ready_world([A, B], [], settings=settings)
    began_ms = world.now // MILLI
    world.run(25_000)
    first, second = [q for q in asked(world) if q.venue == "alpha"]
    assert first.since_ms <= began_ms - 50_000  # with an overlap
    assert second.since_ms - first.since_ms >= 9_000
    happened(world, a_line(world, "interest", "-3"))
    world.run(10_000)
    assert world.engine.report.profit()["borrow"] == -3


def test_statements_are_not_asked_for_where_the_setting_says_never() -> None:
    settings = EngineSettings(reconcile=ReconcileSettings(statement_ms=0))
    world = a_ready_world([A, B], [], settings=settings)
    world.run(3_600_000)
    assert asked(world) == []


def test_a_line_told_twice_counts_once() -> None:
    world = a_ready_world([A, B], [])
    line = a_line(world, "interest", "-3")
    tell(world, line)
    tell(world, line, line)
    assert profit(world) == {"borrow": -3}


def test_a_statement_counts_when_it_is_complete() -> None:
    world = a_ready_world([A, B], [])
    line = a_line(world, "interest", "-3")
    world.tell(line)
    assert profit(world) == {}
    tell(world, line)
    assert profit(world) == {"borrow": -3}


def test_a_line_told_live_counts_at_once() -> None:
    world = a_ready_world([A, B], [])
    world.tell(a_line(world, "transfer", "5", live=True))
    assert world.engine.report.equity() == 200_005


def test_a_line_told_live_before_the_opening_is_in_it() -> None:
    world = World([A, B], [])
    line = a_line(world, "transfer", "5", live=True)
    world.tell(line)
    world.quote(A, "59999", "60001")
    world.turn()
    world.run(500)
    world.tell(a_line(world, "transfer", "5", live=True))
    assert world.engine.report.balances()[WALLET] == 100_000


def test_what_happened_before_the_opening_by_a_clock_that_is_ahead_is_in_it() -> None:
    world = a_ready_world([A, B], [])
    ahead = 3_600_000
    told = ev.StatementTold(
        at=Nanos(world.now), venue="alpha", market="linear", since_ms=0,
        until_ms=world.now // MILLI + ahead,
    )  # fmt: skip
    world.tell(a_line(world, "transfer", "7", venue_ms=world.now // MILLI + ahead - 5_000))
    world.tell(a_line(world, "interest", "-1", venue_ms=world.now // MILLI + ahead - 100,
                      record_id="late"))  # fmt: skip
    world.tell(told)
    assert profit(world) == {"borrow": -1} and world.engine.report.transferred() == {}


def test_lines_of_two_wallets_may_have_the_same_id() -> None:
    world = a_ready_world([A, B], [])
    tell(world, a_line(world, "interest", "-3"))
    tell(world, a_line(world, "interest", "-4", venue="beta"))
    assert profit(world) == {"borrow": -7}


def test_lines_from_before_the_opening_balance_are_in_it_already() -> None:
    world = a_ready_world([A, B], [])
    tell(world, a_line(world, "transfer", "70", venue_ms=world.now // MILLI - 60_000))
    assert world.engine.report.equity() == 200_000


# Near the opening ---------------------------------------------------------------------------


def near_world(statement_ms: int = 5_000) -> World:
    told = ReconcileSettings(statement_ms=statement_ms, audit_ms=2_000)
    return a_ready_world([A, B], [], settings=EngineSettings(reconcile=told))


def opens_with(world: World, amount: str, **more: object) -> None:
    """A line of what the opening balance has."""
    world.lines.append(a_line(world, "transfer", amount, **more))


@pytest.mark.parametrize("after_ms", [-50_000, -100, 700, 2_500])
def test_the_deposit_that_is_the_opening_is_not_booked_again_whatever_its_time(
    after_ms: int,
) -> None:
    world = near_world()
    opens_with(world, "100000", venue_ms=world.now // MILLI + after_ms)
    world.run(20_000)
    assert world.engine.report.balances()[WALLET] == 100_000
    assert world.engine.report.transferred() == {} and found(world) == []


@pytest.mark.parametrize("after_ms", [-50_000, -100, 700, 2_500])
def test_a_deposit_near_the_opening_that_a_balance_shows_is_booked_whatever_its_time(
    after_ms: int,
) -> None:
    world = near_world()
    opens_with(world, "100000", venue_ms=world.now // MILLI - 1_000)
    happened(world, a_line(world, "transfer", "500", venue_ms=world.now // MILLI + after_ms))
    world.run(20_000)
    assert world.engine.report.transferred() == {WALLET: 500} and found(world) == []
    assert world.engine.report.balances()[WALLET] == world.money[WALLET] == 100_500


def test_several_deposits_near_the_opening_are_booked_where_their_sum_is_what_differs() -> None:
    world = near_world()
    opens_with(world, "100000", venue_ms=world.now // MILLI + 900)
    for number, amount in enumerate(("500", "-20")):
        at_ms = world.now // MILLI + 1_000 + number
        happened(world, a_line(world, "transfer", amount, venue_ms=at_ms))
    happened(world, a_line(world, "interest", "-3"))
    world.run(20_000)
    assert world.engine.report.transferred() == {WALLET: 480} and found(world) == []
    assert profit(world) == {"borrow": -3}
    assert world.engine.report.balances()[WALLET] == world.money[WALLET]


def test_a_deposit_told_before_its_balance_waits_for_it_and_so_does_the_statement() -> None:
    world = a_ready_world([A, B], [])
    happened(world, a_line(world, "transfer", "500"))
    tell(world, *world.lines)
    assert world.engine.report.equity() == 200_000
    balance_told(world)
    world.run(20_000)
    assert world.engine.report.transferred() == {WALLET: 500} and found(world) == []


def test_a_deposit_in_the_opening_does_not_hold_up_interest_that_a_balance_shows() -> None:
    world = a_ready_world([A, B], [])
    opens_with(world, "100000", venue_ms=world.now // MILLI + 900)
    happened(world, a_line(world, "interest", "-3"))
    balance_told(world)
    world.run(20_000)
    assert profit(world) == {"borrow": -3} and found(world) == []
    assert world.engine.report.transferred() == {}


def test_what_was_decided_of_the_lines_near_the_opening_is_recalled() -> None:
    world = near_world()
    opens_with(world, "100000", venue_ms=world.now // MILLI + 900)
    happened(world, a_line(world, "transfer", "500", venue_ms=world.now // MILLI + 800))
    world.run(20_000)
    fresh = Engine(world.settings, [], {}, Tripwires(), "t2")
    for entry in world.journal:
        fresh.recall.entry(*entry)
    assert fresh.report.balances() == world.engine.report.balances()
    assert fresh.report.transferred() == {WALLET: 500}
    mine = ours(world.settings, [record for _, record, _ in world.journal])
    assert mine.closings == world.engine.report.balances()


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("interest", "borrow"), ("liquidation", "legging"), ("correction", "correction"),
     ("delivery", "basis")],
)  # fmt: skip
def test_what_only_a_statement_tells_has_a_named_cause(kind: str, cause: str) -> None:
    world = a_ready_world([A, B], [])
    tell(world, a_line(world, kind, "-1.5"))
    assert profit(world) == {cause: D("-1.5")}
    assert world.engine.report.profit("stray")[cause] == D("-1.5")
    assert world.engine.report.residual() == 0


@pytest.mark.parametrize("kind", ["trade", "fee", "funding"])
def test_lines_that_repeat_what_was_told_are_never_booked(kind: str) -> None:
    world = a_ready_world([A, B], [])
    tell(world, a_line(world, kind, "-1.5"))
    assert profit(world) == {} and world.engine.report.balances()[WALLET] == 100_000


def test_a_word_of_the_venue_that_we_do_not_know_is_booked_nowhere_and_named() -> None:
    world = a_ready_world([A, B], [])
    tell(world, a_line(world, "other", "12", text="AIRDROP_42"))
    assert [(kind, what) for kind, _, what in found(world)] == [
        ("statement", "other AIRDROP_42: 12")
    ]
    assert world.engine.clutch and profit(world) == {}


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1E+30", "1E-40"])
@pytest.mark.parametrize("kind", ["transfer", "interest", "trade", "correction"])
def test_an_amount_that_is_none_breaks_nothing_and_is_named(kind: str, amount: str) -> None:
    world = a_ready_world([A, B], [])
    tell(world, a_line(world, kind, amount))
    assert len(found(world)) == 1 and world.engine.clutch
    assert world.engine.report.equity() == 200_000 and world.engine.report.residual() == 0


@pytest.mark.parametrize("total", ["NaN", "-Infinity", "1E+99"])
def test_a_balance_that_is_no_number_is_named_and_not_believed(total: str) -> None:
    world = a_ready_world([A, B], [])
    world.tell(
        ev.BalanceReported(
            at=Nanos(world.now), venue="alpha", wallet="unified", asset="USDT", total=D(total)
        )
    )
    assert [kind for kind, *_ in found(world)] == ["balance"] and world.engine.clutch
    assert world.engine.report.equity() == 200_000


# Trades -------------------------------------------------------------------------------------


def a_fill(world: World, number: int, side: Side, price: str, **more: object) -> ev.OrderFilled:
    facts: dict[str, object] = {
        "at": Nanos(world.now),
        "order_id": "",
        "instrument": A.id,
        "fill_id": f"f{number}",
        "side": side,
        "ticks": Ticks(A.ticks(price)),
        "lots": Lots(3),
        "fee": D("0.01"),
        "fee_asset": "USDT",
        "venue_ms": world.now // MILLI,
    }
    return ev.OrderFilled(**(facts | more))  # type: ignore[arg-type]


def a_round_trip(world: World, rounding: str) -> None:
    """Average cost with sevenths in it, told by the venue in steps of its own."""
    prices = [(Side.BUY, "60000.1", 3), (Side.BUY, "60000.2", 4), (Side.SELL, "60010", 5)]
    for number, (side, price, lots) in enumerate(prices):
        world.tell(a_fill(world, number, side, price, lots=Lots(lots)))
    ours = world.engine.report.balances()[WALLET] - 100_000
    theirs = ours.quantize(D(rounding))
    world.lots[A.id], world.cost[A.id] = 2, D("60000.15")
    happened(world, a_line(world, "trade", str(theirs), instrument=A.id))
    world.run(1_000)


def test_the_ledger_follows_what_the_venue_rounded_to_the_last_unit() -> None:
    settings = EngineSettings(reconcile=ReconcileSettings(statement_ms=5_000))
    world = a_ready_world([A, B], [], settings=settings)
    a_round_trip(world, "1E-8")
    world.engine._sight.clutch = ""
    before = world.engine.report.balances()[WALLET]
    assert before != world.money[WALLET]
    world.run(6_000)
    assert world.engine.report.balances()[WALLET] == world.money[WALLET]
    booked = world.engine.report.profit()["correction"]
    assert booked == world.money[WALLET] - before and abs(booked) <= D("3E-8")
    assert world.engine.report.residual() == 0
    world.run(20_000)  # told again and again, it is followed once
    assert world.engine.report.balances()[WALLET] == world.money[WALLET]


@pytest.mark.parametrize(("cause", "followed"), [("adl", True), ("trade", False)])
def test_a_forced_fill_off_the_grid_is_followed_and_no_other(cause: str, followed: bool) -> None:
    settings = EngineSettings(reconcile=ReconcileSettings(statement_ms=5_000))
    world = a_ready_world([A, B], [], settings=settings)
    world.tell(a_fill(world, 1, Side.BUY, "60000", lots=Lots(4)))
    forced = a_fill(world, 2, Side.SELL, "60010", lots=Lots(4), cause=cause)
    world.tell(forced)  # done at 60010.04, told at the tick below
    ours = world.engine.report.balances()[WALLET] - 100_000
    beyond = D("0.04") * 4 * A.lot
    world.lots[A.id], world.cost[A.id] = 0, D(0)
    happened(world, a_line(world, "trade", str(ours + beyond), instrument=A.id))
    world.run(12_000)
    assert world.engine.report.profit()["correction"] == (beyond if followed else 0)


def test_more_than_roundings_can_explain_is_not_followed() -> None:
    settings = EngineSettings(reconcile=ReconcileSettings(statement_ms=5_000))
    world = a_ready_world([A, B], [], settings=settings)
    a_round_trip(world, "1E-3")
    world.lines.append(a_line(world, "trade", "0.001"))
    world.run(20_000)
    assert world.engine.report.profit()["correction"] == 0
    assert world.engine._reconcile.statements.unexplained()


def test_calm_trading_agrees_with_the_statement_to_the_last_unit() -> None:
    settings = EngineSettings(reconcile=ReconcileSettings(statement_ms=2_000))
    world = a_ready_world([A, B], [CrossExchange()], settings=settings)
    world.quote(A, "59999", "60001")
    world.quote(B, "60299", "60301")
    world.turn()
    world.live(3_000)
    assert world.engine.report.counts()["fills"] >= 2
    assert found(world) == [] and world.engine.clutch == ""


# Fees, funding --------------------------------------------------------------------------------


def test_a_fee_that_the_venue_tells_later_corrects_the_estimate_once() -> None:
    world = a_ready_world([A, B], [])
    books = world.engine._books
    guess = a_fill(world, 1, Side.BUY, "60000", fee=D("0.09"), fee_known=False)
    books.fill(None, guess)
    told = a_fill(world, 1, Side.BUY, "60000", fee=D("0.0001"), fee_asset="BTC")
    assert books.correct_fee(told) == (D("0.09"), "USDT")
    assert books.correct_fee(told) is None
    balances = world.engine.report.balances()
    assert balances[WALLET] == 100_000 and balances["alpha", "unified", "BTC"] == D("-0.0001")
    assert world.engine.report.profit()["fees"] == -6
    assert world.engine.report.residual() == 0


def test_a_fee_that_was_told_at_once_is_never_corrected() -> None:
    world = a_ready_world([A, B], [])
    world.engine._books.fill(None, a_fill(world, 1, Side.BUY, "60000"))
    assert world.engine._books.correct_fee(a_fill(world, 1, Side.BUY, "60000", fee=D(9))) is None


def test_a_fee_that_is_no_number_leaves_the_trade_booked_and_is_named() -> None:
    world = a_ready_world([A, B], [])
    world.engine._books.fill(None, a_fill(world, 1, Side.BUY, "60000", fee=D("NaN")))
    tell(world, a_line(world, "interest", "-1"))
    assert world.engine.report.positions() == {A.id: 3}
    assert [kind for kind, *_ in found(world)] == ["booking"]


def funding(world: World, record: str, amount: str, **more: object) -> ev.FundingBooked:
    facts: dict[str, object] = {
        "at": Nanos(world.now),
        "instrument": A.id,
        "record_id": record,
        "amount": D(amount),
        "asset": "USDT",
        "venue_ms": world.now // MILLI,
    }
    return ev.FundingBooked(**(facts | more))  # type: ignore[arg-type]


def forecast(world: World, rate: str, due_ms: int) -> ev.FundingForecast:
    return ev.FundingForecast(
        at=Nanos(world.now), instrument=A.id, rate=D(rate), due=Nanos(due_ms * MILLI)
    )


def test_longs_pay_a_positive_rate_and_the_daily_check_has_both_with_one_sign() -> None:
    world = a_ready_world([A, B], [])
    world.engine._books.fill(None, a_fill(world, 1, Side.BUY, "60000", fee=D(0)))
    world.tell(forecast(world, "0.0001", world.now // MILLI))
    world.run(1_000)
    world.tell(funding(world, "r1", "-0.018"))  # 0.003 x 60000 x 0.0001
    world.tell(forecast(world, "-0.5", world.now // MILLI + 28_800_000))
    world.tell(funding(world, "r2", "-0.019", rate=D("0.0001")))
    (day,) = world.engine.report.funding_by_day()
    assert (day.settlements, day.booked, day.expected) == (2, D("-0.037"), D("-0.036"))
    assert day.surprise == D("-0.001") and day.unexpected == 0
    assert day.day == world.now // (86_400 * SECOND)
    assert world.engine.report.profit()["funding"] == D("-0.037")


def test_the_estimate_is_never_booked() -> None:
    world = a_ready_world([A, B], [])
    world.engine._books.fill(None, a_fill(world, 1, Side.BUY, "60000", fee=D(0)))
    world.tell(forecast(world, "0.01", world.now // MILLI + 1_000))
    world.run(600_000)
    assert world.engine.report.profit()["funding"] == 0


@pytest.mark.parametrize("garbage", ["NaN", "Infinity", "-1E+40"])
def test_garbage_for_funding_is_named_and_booked_nowhere(garbage: str) -> None:
    world = a_ready_world([A, B], [])
    world.tell(funding(world, "r1", garbage))
    world.tell(funding(world, "r2", "0.5"))
    assert [kind for kind, *_ in found(world)] == ["booking"] and world.engine.clutch
    assert profit(world) == {"funding": D("0.5")}
    assert world.engine.report.residual() == 0


# Shares ---------------------------------------------------------------------------------------


def test_interest_on_a_coin_that_a_holding_owes_is_that_holdings_cost() -> None:
    spot = a_spot("alpha")
    world = a_ready_world([spot, A, B], [])
    for name, lots in (("h1", -1_000), ("h2", -3_000)):
        leg = HoldingLeg(instrument=spot.id, lots=Lots(lots), entry=D(60_000))
        world.engine._holdings._open[name] = Holding(
            id=name, strategy="s", pair="p", legs=(leg,), opened=Nanos(0), card=a_card()
        )
    tell(world, a_line(world, "interest", "-0.00000010", asset="BTC"))
    one, two = (world.engine.report.profit(h)["borrow"] for h in ("h1", "h2"))
    assert (one, two) == (D("-0.0015"), D("-0.0045"))
    assert world.engine.report.profit()["borrow"] == D("-0.006")
