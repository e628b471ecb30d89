"""Money: whatever is traded, in whatever it is paid, every unit is explained, day by day."""

from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.core.ledger import (
    BORROW,
    CAUSES,
    CURRENCY,
    FUNDING,
    LOTS,
    QUANTUM,
    CannotBook,
    FillFacts,
    Ledger,
    Posting,
    check_bookable,
    kept,
    lots_value,
)
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import Side
from tests.build import a_perp, a_spot, an_inverse

D = Decimal
SPOT, PERP, COIN = a_spot(), a_perp(), an_inverse()
QUANTO = a_perp(
    "beta", "ETH", payoff=Payoff.QUANTO, settle="BTC", contract_value=D("0.000001"), lot=D(1)
)
ALL = (SPOT, PERP, COIN, QUANTO)
CASH = ("venue", "alpha", "unified")
WIDE = Context(prec=120)


def a_fill(it: Instrument, side: Side, price: int, lots: int, **more: object) -> FillFacts:
    ticks = int(D(price) / it.tick)
    facts: dict[str, object] = {
        "instrument": it,
        "wallet": "unified",
        "group": "g1",
        "side": side,
        "ticks": ticks,
        "lots": lots,
        "decided": ticks,
        "fee": D(0),
        "fee_asset": it.settle,
    }
    return FillFacts(**(facts | more))  # type: ignore[arg-type]


def rates_at(bitcoin: int) -> dict[str, Decimal]:
    mark, ether = D(bitcoin), D(bitcoin) / 20
    return {
        "USDT": D(1),
        "BTC": mark,
        "BNB": D(600) + mark / 100,
        LOTS + PERP.id: lots_value(PERP, mark),
        LOTS + COIN.id: lots_value(COIN, mark) * mark,
        LOTS + QUANTO.id: lots_value(QUANTO, ether) * mark,
    }


PRICES = st.integers(30_000, 90_000)
AMOUNTS = st.decimals("-5", "5", places=8)  # rebates and both signs of funding
FILL = st.builds(
    lambda it, side, price, slip, lots, fee, coin, repair, group: a_fill(
        it, side, price, lots, decided=int(D(price + slip) / it.tick), fee=fee,
        fee_asset=coin, repair=repair, group=group,
    ),
    st.sampled_from(ALL), st.sampled_from(list(Side)), PRICES, st.integers(-50, 50),
    st.integers(1, 5_000), AMOUNTS, st.sampled_from(["USDT", "BTC", "BNB"]), st.booleans(),
    st.sampled_from(["g1", "g2", "stray"]),
)  # fmt: skip
GAIN = st.tuples(st.sampled_from([FUNDING, BORROW]), st.sampled_from(["USDT", "BTC"]), AMOUNTS)
MOVE = st.tuples(st.just("transfer"), st.sampled_from(["USDT", "BTC"]), AMOUNTS)
DAY = st.tuples(st.lists(st.one_of(FILL, GAIN, MOVE), max_size=6), PRICES)


def live(ledger: Ledger, days: list[tuple[list[object], int]]) -> None:
    """Every day's postings, and its end at a price of its own."""
    ledger.open(CASH, "BTC", D("1.5"))
    for number, (events, price) in enumerate(days):
        rates = rates_at(price).get
        ledger.turn_day(100 + 2 * number, rates)  # every other day nobody looks
        ledger.value_openings(rates)
        for event in events:
            if isinstance(event, FillFacts):
                ledger.fill(event)
                continue
            assert isinstance(event, tuple)
            cause, asset, amount = event
            if cause == "transfer":
                ledger.transfer(CASH, asset, amount)
                ledger.value_openings(rates)
            else:
                ledger.gain(cause, CASH, asset, [("g1", amount)])


@given(st.lists(DAY, min_size=1, max_size=5), PRICES)
def test_every_asset_sums_to_zero_and_nothing_is_left_unexplained(
    days: list[tuple[list[object], int]], price: int
) -> None:
    ledger = Ledger()
    live(ledger, days)
    rates = rates_at(price).get
    assert all(ledger.total(asset) == 0 for asset in ledger.assets())
    assert ledger.residual(rates) == 0
    whole = ledger.profit(rates)
    assert WIDE.subtract(_sum(whole.values()), ledger.equity_change(rates)) == 0


@given(st.lists(DAY, min_size=1, max_size=5), PRICES)
def test_groups_and_strays_add_up_to_the_total_of_every_cause(
    days: list[tuple[list[object], int]], price: int
) -> None:
    ledger = Ledger()
    live(ledger, days)
    rates = rates_at(price).get
    groups = [ledger.profit(rates, group) for group in ("g1", "g2", "stray")]
    whole = ledger.profit(rates)
    for cause in CAUSES:
        assert _sum(group[cause] for group in groups) == whole[cause]


@given(st.lists(DAY, min_size=1, max_size=5), PRICES)
def test_days_add_up_to_the_total_of_every_cause_and_of_currency(
    days: list[tuple[list[object], int]], price: int
) -> None:
    ledger = Ledger()
    live(ledger, days)
    rates = rates_at(price).get
    by_day = ledger.profit_by_day(rates)
    assert list(by_day) == [100 + 2 * number for number in range(len(days))]
    whole = ledger.profit(rates)
    for cause in (*CAUSES, CURRENCY):
        assert _sum(profit[cause] for profit in by_day.values()) == whole[cause]
    for day, profit in by_day.items():
        assert ledger.profit_of_day(day, rates) == profit
    assert not any(ledger.profit_of_day(101, rates).values())


@given(st.lists(st.tuples(st.sampled_from(list(Side)), PRICES, st.integers(1, 999)), max_size=12))
def test_realised_profit_is_that_of_average_cost_reckoned_apart(
    trades: list[tuple[Side, int, int]],
) -> None:
    """Partial closes and flips; the model keeps an entry price where the ledger keeps cash."""
    for it in (PERP, QUANTO, COIN):
        ledger = Ledger()
        held, entry, realised = 0, D(0), D(0)
        size = it.lot * it.contract_value
        for side, price, lots in trades:
            ledger.fill(a_fill(it, side, price, lots))
            change = int(side) * lots
            if held * change < 0:
                closed = min(abs(held), lots) * (1 if held > 0 else -1)
                realised += _earned(it, size * closed, entry, D(price))
            now = held + change
            if held * change >= 0:
                entry = _average(it, (entry, held), (D(price), change))
            elif held * now < 0:
                entry = D(price)
            held = now
        slack = QUANTUM * (len(trades) + 1) * 1_000
        assert abs(ledger.wallet(it.venue, "unified", it.settle) - realised) <= slack
        assert ledger.lots(it.id) == held
        if held == 0:  # and no unit stays behind in a position that is closed
            assert ledger.balance(("position", it.id), it.settle) == 0


def _earned(it: Instrument, size: Decimal, entry: Decimal, leave: Decimal) -> Decimal:
    if it.payoff is Payoff.INVERSE:
        return WIDE.subtract(WIDE.divide(size, entry), WIDE.divide(size, leave))
    return size * (leave - entry)


def _average(
    it: Instrument, held: tuple[Decimal, int], more: tuple[Decimal, int]
) -> Decimal:
    (entry, lots), (price, change) = held, more
    if not lots:
        return price
    if it.payoff is Payoff.INVERSE:
        coins = WIDE.add(WIDE.divide(D(lots), entry), WIDE.divide(D(change), price))
        return WIDE.divide(D(lots + change), coins)
    return WIDE.divide(entry * lots + price * change, D(lots + change))


def _sum(amounts: object) -> Decimal:
    total = D(0)
    for amount in amounts:  # type: ignore[attr-defined]
        total = WIDE.add(total, amount)
    return total


# Days --------------------------------------------------------------------------------------


def test_a_holding_that_spans_midnight_earns_on_each_day_what_its_price_moved() -> None:
    ledger = Ledger()
    ledger.turn_day(1, rates_at(60_000).get)
    ledger.fill(a_fill(PERP, Side.BUY, 60_000, 100))
    ledger.turn_day(2, rates_at(60_500).get)
    ledger.fill(a_fill(PERP, Side.SELL, 60_200, 100))
    rates = rates_at(70_000).get
    assert ledger.profit_of_day(1, rates)["basis"] == 50
    assert ledger.profit_of_day(2, rates)["basis"] == -30
    assert ledger.today(2, rates) == -30


def test_a_fee_paid_in_a_coin_is_repriced_as_a_fee_on_the_day_it_moves() -> None:
    ledger = Ledger()
    ledger.turn_day(1, rates_at(60_000).get)
    ledger.fill(a_fill(SPOT, Side.BUY, 60_000, 1, fee=D("0.1"), fee_asset="BTC"))
    ledger.turn_day(2, rates_at(60_000).get)
    assert ledger.profit_of_day(1, rates_at(61_000).get)["fees"] == -6_000
    assert ledger.profit_of_day(2, rates_at(61_000).get)["fees"] == -100


def test_the_same_rates_close_a_day_the_same_way_again() -> None:
    first, again = Ledger(), Ledger()
    for ledger in (first, again):
        ledger.turn_day(1, rates_at(60_000).get)
        ledger.fill(a_fill(COIN, Side.BUY, 60_000, 50))
    taken = first.turn_day(2, rates_at(61_000).get)
    again.turn_day(2, taken.get)
    rates = rates_at(65_000).get
    assert first.profit_by_day(rates) == again.profit_by_day(rates)


def test_days_never_run_backwards() -> None:
    ledger = Ledger()
    ledger.turn_day(7, rates_at(60_000).get)
    assert ledger.turn_day(6, rates_at(60_000).get) == {}
    assert list(ledger.profit_by_day(rates_at(60_000).get)) == [7]


# What moves without being profit -------------------------------------------------------------


def test_a_deposit_and_a_withdrawal_move_equity_and_are_no_profit() -> None:
    ledger = Ledger()
    rates = rates_at(60_000).get
    ledger.transfer(CASH, "USDT", D(500))
    ledger.transfer(CASH, "BTC", D(-1))
    ledger.value_openings(rates)
    assert ledger.equity(rates) == -59_500 and ledger.equity_change(rates) == 0
    assert not any(ledger.profit(rates).values())
    assert ledger.transferred() == {(CASH, "USDT"): 500, (CASH, "BTC"): -1}


def test_a_move_between_wallets_changes_no_equity() -> None:
    ledger = Ledger()
    rates = rates_at(60_000).get
    ledger.transfer(CASH, "USDT", D(-70))
    ledger.transfer(("venue", "alpha", "spot"), "USDT", D(70))
    ledger.value_openings(rates)
    assert ledger.equity(rates) == 0 and ledger.residual(rates) == 0


def test_a_rebate_is_a_gain_and_a_fee_is_a_loss() -> None:
    ledger = Ledger()
    ledger.fill(a_fill(PERP, Side.BUY, 60_000, 1, fee=D("-0.25")))
    assert ledger.profit(rates_at(60_000).get)["fees"] == D("0.25")
    assert ledger.wallet("alpha", "unified", "USDT") == D("0.25")
    ledger.fill(a_fill(PERP, Side.SELL, 60_000, 1, fee=D("0.75")))
    assert ledger.profit(rates_at(60_000).get)["fees"] == D("-0.5")


# What cannot be booked ----------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1E+15", "1E-19", "1E+999999", "sNaN"])
def test_what_is_no_amount_of_a_coin_is_refused(amount: str) -> None:
    with pytest.raises(CannotBook):
        check_bookable(D(amount), "amount")


@pytest.mark.parametrize("amount", ["0", "-0E-30", "999999999999999", "1E-18", "0.50" + "0" * 30])
def test_what_a_venue_may_say_is_accepted(amount: str) -> None:
    check_bookable(D(amount), "amount")


def test_a_set_that_would_lose_a_digit_is_refused_whole() -> None:
    ledger = Ledger()
    ledger.open(CASH, "USDT", D("9E+20"))
    with pytest.raises(CannotBook):
        ledger.post(
            [
                Posting(("cause", "fees", "g1"), "USDT", D("1E-18")),
                Posting(CASH, "USDT", D("-1E-18")),
            ]
        )
    assert ledger.balance(("cause", "fees", "g1"), "USDT") == 0
    assert ledger.wallet("alpha", "unified", "USDT") == D("9E+20")
    assert ledger.total("USDT") == 0


def test_a_fill_beyond_all_digits_is_refused_and_changes_nothing() -> None:
    ledger = Ledger()
    with pytest.raises(CannotBook):
        ledger.fill(a_fill(PERP, Side.BUY, 60_000, 10**40 + 1))
    assert ledger.lots(PERP.id) == 0 and not ledger.assets()


@given(st.decimals("-1e14", "1e14", allow_nan=False))
def test_the_nearest_amount_that_can_be_booked_can_be_booked(amount: Decimal) -> None:
    nearest = kept(amount)
    check_bookable(nearest, "amount")
    assert abs(WIDE.subtract(nearest, amount)) <= D("5E-19")
