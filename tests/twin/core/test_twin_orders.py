"""Orders on the inner exchange: states, refusals, money, reduce-only, self-trades."""

from decimal import Decimal

import pytest
from twinbench import Bench

from oneprice.model.commands import TimeInForce
from oneprice.model.units import Side
from oneprice.twin.contract import (
    BookChanged,
    Filled,
    Kind,
    OrderChanged,
    OrderRequest,
    Refusal,
    SelfTrade,
    State,
    TakeUpdate,
    Traded,
    TradeUpdate,
)

LINEAR = "linear:BTCUSDT"
SPOT = "spot:BTCUSDT"


def refused(word: str) -> "pytest.RaisesExc[Refusal]":
    return pytest.raises(Refusal, match=f"^{word}")


def test_an_ioc_order_takes_what_is_there_and_its_rest_expires(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999.9": "1"}, {"60000.0": "0.3", "60000.1": "0.3", "60005": "5"})
    order = bybit.ioc(LINEAR, Side.BUY, "60000.1", "1")
    assert (order.state, order.reason, order.filled_lots) == (State.EXPIRED, "ioc", 600)
    assert order.average == Decimal("60000.05")
    assert bybit.exchange.book(bybit.name(LINEAR)).asks[0][0] == 600050


def test_outputs_tell_the_story_in_order_and_once(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999.9": "1"}, {"60000.0": "0.3"})
    bybit.exchange.drain()
    bybit.ioc(LINEAR, Side.BUY, "60000.0", "0.1", client_id="one")
    told = bybit.exchange.drain()
    assert [type(one).__name__ for one in told] == [
        "OrderChanged",
        "Traded",
        "Filled",
        "BookChanged",
        "PositionChanged",
        "BalanceChanged",
    ]
    filled = next(one for one in told if isinstance(one, Filled))
    assert filled.order.state is State.FILLED
    assert filled.fill.client_id == "one"
    changed = next(one for one in told if isinstance(one, BookChanged))
    assert changed.asks == ((600000, 200),)
    assert changed.sequence == changed.sequence_before + 1
    assert bybit.exchange.drain() == []


def test_a_resting_order_is_visible_and_filled_by_the_market_as_a_maker(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999.0": "1"}, {"60001.0": "1"})
    order = bybit.order(LINEAR, Side.BUY, "60000.0", "0.5")
    assert bybit.exchange.book(bybit.name(LINEAR)).bids[0] == (600000, 500)
    taker = TakeUpdate(instrument=bybit.name(LINEAR), lots=800, side=Side.SELL, limit_ticks=590000)
    bybit.exchange.apply(taker, bybit.tick())
    after = bybit.exchange.order(bybit.key, order.id)
    fills = bybit.exchange.fills(bybit.key)
    assert after.state is State.FILLED
    assert fills[0].maker
    assert fills[0].fee == Decimal("0.5") * 60000 * Decimal("0.0002")
    trades = bybit.exchange.trades(bybit.name(LINEAR))
    assert [(t.ticks, t.lots) for t in trades] == [(600000, 500), (599990, 300)]


def test_a_recorded_trade_through_our_price_fills_us_once(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999.0": "1"}, {"60001.0": "1"})
    bybit.order(LINEAR, Side.BUY, "60000.0", "0.5")
    trade = TradeUpdate(
        instrument=bybit.name(LINEAR), ticks=599990, lots=2000, side=Side.SELL, trade_id=77
    )
    bybit.exchange.apply(trade, bybit.tick())
    told = bybit.exchange.drain()
    fills = bybit.exchange.fills(bybit.key)
    assert [(f.ticks, f.lots, f.trade_id) for f in fills] == [(600000, 500, 77)]
    assert sum(isinstance(one, Traded) for one in told) == 1


@pytest.mark.parametrize("strict", [False, True])
def test_a_post_only_order_never_takes(bybit: Bench, strict: bool) -> None:
    bybit.book(LINEAR, {"59999": "1"}, {"60000": "1"})
    fields = {"time_in_force": TimeInForce.POST_ONLY, "refuse_would_take": strict}
    if strict:
        with refused("would_take"):
            bybit.order(LINEAR, Side.BUY, "60000", "0.1", **fields)
        assert bybit.exchange.orders(bybit.key) == []
    else:
        order = bybit.order(LINEAR, Side.BUY, "60000", "0.1", **fields)
        assert (order.state, order.reason) == (State.CANCELLED, "post_only")
    assert bybit.exchange.fills(bybit.key) == []


def test_fill_or_kill_fills_whole_or_not_at_all(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999": "1"}, {"60000": "1", "60001": "1"})
    fok = TimeInForce.FOK
    short = bybit.order(LINEAR, Side.BUY, "60000", "1.5", time_in_force=fok)
    whole = bybit.order(LINEAR, Side.BUY, "60001", "1.5", time_in_force=fok)
    assert (short.state, short.reason, short.filled_lots) == (State.EXPIRED, "fok", 0)
    assert (whole.state, whole.filled_lots) == (State.FILLED, 1500)


def test_spot_money_moves_both_ways_and_the_fee_is_taken_from_what_is_received(
    bybit: Bench,
) -> None:
    bybit.book(SPOT, {"59999": "1"}, {"60000": "1"})
    bybit.ioc(SPOT, Side.BUY, "60000", "0.1")
    assert bybit.total("BTC") == Decimal("5.0999")
    assert bybit.total("USDT") == 194_000
    bybit.ioc(SPOT, Side.SELL, "59999", "0.1")
    assert bybit.total("BTC") == Decimal("4.9999")
    assert bybit.total("USDT") == 194_000 + Decimal("5999.9") * Decimal("0.999")


def test_a_resting_spot_order_locks_its_money_until_it_ends(binance: Bench) -> None:
    binance.book(SPOT, {"59000": "1"}, {"61000": "1"})
    order = binance.order(SPOT, Side.BUY, "60000", "1")
    balance = binance.exchange.balance(binance.key, "spot", "USDT")
    assert (balance.locked, balance.available) == (60_000, 140_000)
    with refused("insufficient_funds"):
        binance.order(SPOT, Side.BUY, "60000", "2.5")
    taker = TakeUpdate(
        instrument=binance.name(SPOT), lots=40_000, side=Side.SELL, limit_ticks=6_000_000
    )
    binance.exchange.apply(taker, binance.tick())
    assert binance.exchange.balance(binance.key, "spot", "USDT").locked == 36_000
    binance.exchange.cancel(binance.key, order.id, binance.tick())
    balance = binance.exchange.balance(binance.key, "spot", "USDT")
    assert (balance.locked, balance.total) == (0, 176_000)


def test_a_spot_market_order_in_quote_spends_at_most_that_amount(bybit: Bench) -> None:
    bybit.book(SPOT, {"59999": "1"}, {"60000": "0.001", "60010": "1"})
    order = bybit.exchange.place(
        OrderRequest(
            account=bybit.key,
            instrument=bybit.name(SPOT),
            side=Side.BUY,
            lots=0,
            kind=Kind.MARKET,
            quote_amount=Decimal(200),
        ),
        bybit.tick(),
    )
    assert order.state is State.FILLED
    assert 0 <= Decimal(200) - order.filled_value < Decimal("0.07")


def test_a_position_averages_in_realises_when_closed_and_turns_around(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59990": "9"}, {"60000": "1", "60010": "1"})
    bybit.order(LINEAR, Side.BUY, "", "2")
    position = bybit.exchange.position(bybit.key, bybit.name(LINEAR))
    assert (position.lots, position.entry) == (2000, 60005)
    bybit.order(LINEAR, Side.SELL, "", "3")
    fill = bybit.exchange.fills(bybit.key)[-1]
    position = bybit.exchange.position(bybit.key, bybit.name(LINEAR))
    assert (fill.realised, fill.closed_lots) == (Decimal(-30), 2000)
    assert (position.lots, position.entry) == (-1000, 59990)
    fees = (2 * Decimal(60005) + 3 * Decimal(59990)) * Decimal("0.00055")
    assert bybit.total("USDT") == 200_000 - 30 - fees


def test_inverse_profit_is_counted_in_coins(bybit: Bench) -> None:
    where = "inverse:BTCUSD"
    bybit.book(where, {"49999": "100000"}, {"50000": "100000"})
    bybit.order(where, Side.BUY, "", "10000")
    bybit.book(where, {"49999": "0", "62500": "100000"}, {"50000": "0", "62501": "100000"})
    bybit.order(where, Side.SELL, "", "10000")
    realised = sum(fill.realised for fill in bybit.exchange.fills(bybit.key))
    assert realised == Decimal(10000) / 50000 - Decimal(10000) / 62500  # 0.04 BTC
    fee = (Decimal("0.2") + Decimal("0.16")) * Decimal("0.00055")
    assert bybit.total("BTC") == 5 + Decimal("0.04") - fee


def test_margin_is_what_leverage_says_and_stops_the_order_that_is_too_much(
    binance: Bench,
) -> None:
    where = "usdm:BTCUSDT"
    binance.book(where, {"59999": "900"}, {"60000": "900"})
    binance.exchange.set_leverage(binance.key, binance.name(where), Decimal(5), binance.tick())
    with refused("insufficient_margin"):
        binance.ioc(where, Side.BUY, "60000", "17")
    binance.ioc(where, Side.BUY, "60000", "10")
    balance = binance.exchange.balance(binance.key, "usdm", "USDT")
    assert balance.position_margin == 120_000
    binance.order(where, Side.SELL, "61000", "10")
    assert binance.exchange.balance(binance.key, "usdm", "USDT").order_margin == 0
    binance.order(where, Side.BUY, "59000", "1")
    assert binance.exchange.balance(binance.key, "usdm", "USDT").order_margin == 11_800


def test_reduce_only_is_refused_without_a_position_and_cut_to_the_position(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999": "9"}, {"60000": "9"})
    with refused("reduce_only"):
        bybit.ioc(LINEAR, Side.SELL, "59999", "1", reduce_only=True)
    bybit.ioc(LINEAR, Side.BUY, "60000", "1")
    with refused("reduce_only"):
        bybit.ioc(LINEAR, Side.BUY, "60000", "1", reduce_only=True)
    order = bybit.ioc(LINEAR, Side.SELL, "59999", "3", reduce_only=True)
    assert (order.lots, order.state) == (1000, State.FILLED)
    assert bybit.exchange.position(bybit.key, bybit.name(LINEAR)).lots == 0


def test_two_resting_reduce_only_orders_never_turn_a_position_around(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999": "9"}, {"60000": "1"})
    bybit.ioc(LINEAR, Side.BUY, "60000", "1")
    first = bybit.order(LINEAR, Side.SELL, "60001", "0.7", reduce_only=True)
    second = bybit.order(LINEAR, Side.SELL, "60001", "1", reduce_only=True)
    taker = TakeUpdate(instrument=bybit.name(LINEAR), lots=5000, side=Side.BUY, limit_ticks=650000)
    bybit.exchange.apply(taker, bybit.tick())
    orders = [bybit.exchange.order(bybit.key, one.id) for one in (first, second)]
    assert [(one.filled_lots, one.state) for one in orders] == [
        (700, State.FILLED),
        (300, State.FILLED),
    ]
    assert bybit.exchange.position(bybit.key, bybit.name(LINEAR)).lots == 0


def test_a_resting_reduce_only_order_ends_with_its_position(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999": "9"}, {"60000": "1"})
    bybit.ioc(LINEAR, Side.BUY, "60000", "1")
    resting = bybit.order(LINEAR, Side.SELL, "60001", "1", reduce_only=True)
    bybit.ioc(LINEAR, Side.SELL, "59999", "1")
    ended = bybit.exchange.order(bybit.key, resting.id)
    assert (ended.state, ended.reason) == (State.CANCELLED, "reduce_only")


def test_self_trade_rules_cancel_the_one_they_name(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59000": "9"}, {"61000": "9"})
    maker = bybit.order(LINEAR, Side.SELL, "60000", "1")
    rule = SelfTrade.CANCEL_TAKER
    taker = bybit.order(LINEAR, Side.BUY, "60000", "1", self_trade=rule)
    assert (taker.state, taker.reason, taker.filled_lots) == (State.CANCELLED, "self_trade", 0)
    assert bybit.exchange.order(bybit.key, maker.id).open
    rule = SelfTrade.CANCEL_MAKER
    taker = bybit.order(LINEAR, Side.BUY, "60000", "1", self_trade=rule)
    assert taker.open
    assert bybit.exchange.order(bybit.key, maker.id).reason == "self_trade"
    assert bybit.exchange.fills(bybit.key) == []


def test_two_customers_trade_with_each_other(bybit: Bench) -> None:
    other = bybit.exchange.accounts()[1].key
    bybit.book(LINEAR, {"59000": "9"}, {"61000": "9"})
    bybit.order(LINEAR, Side.SELL, "60000", "1")
    bybit.order(LINEAR, Side.BUY, "60000", "0.4", account=other)
    seller, buyer = bybit.exchange.fills(bybit.key), bybit.exchange.fills(other)
    assert (seller[0].maker, buyer[0].maker) == (True, False)
    assert seller[0].trade_id == buyer[0].trade_id
    assert bybit.exchange.position(other, bybit.name(LINEAR)).lots == 400


def test_client_ids_are_unique_by_the_rule_of_the_venue(bybit: Bench, binance: Bench) -> None:
    for bench, where, forever in ((bybit, LINEAR, True), (binance, "usdm:BTCUSDT", False)):
        bench.book(where, {"59999": "9"}, {"60000": "9"})
        bench.order(where, Side.BUY, "59000", "0.1", client_id="x")
        with refused("duplicate_id"):
            bench.order(where, Side.BUY, "59000", "0.1", client_id="x")
        bench.exchange.cancel_all(bench.key, bench.tick())
        if forever:
            with refused("duplicate_id"):
                bench.order(where, Side.BUY, "59000", "0.1", client_id="x")
        else:
            again = bench.order(where, Side.BUY, "59000", "0.1", client_id="x")
            assert bench.exchange.order_by_client_id(bench.key, "x") == again


def test_an_order_outside_limits_is_refused_with_the_word_for_it(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999": "9"}, {"60000": "9"})
    bybit.book(SPOT, {"59999": "9"}, {"60000": "9"})
    cases = {
        "no_such_instrument": lambda: bybit.exchange.place(
            OrderRequest(account=bybit.key, instrument="bybit:linear:XYZ", side=Side.BUY, lots=1),
            bybit.tick(),
        ),
        "no_such_account": lambda: bybit.ioc(LINEAR, Side.BUY, "60000", "1", account="nobody"),
        "bad_size": lambda: bybit.order(LINEAR, Side.BUY, "60000", "0"),
        "bad_price": lambda: bybit.order(LINEAR, Side.BUY, "0", "1", kind=Kind.LIMIT, ticks=0),
        "too_large": lambda: bybit.order(LINEAR, Side.BUY, "60000", "2000"),
        "min_notional": lambda: bybit.order(SPOT, Side.BUY, "60000", "0.000010"),
        "price_band": lambda: bybit.order(SPOT, Side.BUY, "70000", "0.1"),
        "position_mode": lambda: bybit.order(LINEAR, Side.BUY, "60000", "1", position_index=1),
        "no_such_order": lambda: bybit.exchange.cancel(bybit.key, 1, bybit.tick()),
    }
    for word, action in cases.items():
        with refused(word):
            action()
    assert bybit.exchange.orders(bybit.key) == []


def test_a_derivative_price_beyond_the_band_is_moved_to_it(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999": "9"}, {"60000": "0.001"})
    order = bybit.order(LINEAR, Side.BUY, "70000", "0.1")
    assert order.ticks == 612000
    assert bybit.exchange.price_band(bybit.name(LINEAR)) == (612000, 588000)


def test_amending_smaller_keeps_the_place_and_dearer_loses_it(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59000": "9"}, {"61000": "9"})
    first = bybit.order(LINEAR, Side.BUY, "60000", "1")
    second = bybit.order(LINEAR, Side.BUY, "60000", "1")
    change = bybit.exchange.amend
    change(bybit.key, first.id, ticks=None, lots=600, at=bybit.tick())
    take = TakeUpdate(instrument=bybit.name(LINEAR), lots=100, side=Side.SELL, limit_ticks=600000)
    bybit.exchange.apply(take, bybit.tick())
    assert bybit.exchange.order(bybit.key, first.id).filled_lots == 100
    change(bybit.key, first.id, ticks=None, lots=900, at=bybit.tick())
    bybit.exchange.apply(take, bybit.tick())
    assert bybit.exchange.order(bybit.key, second.id).filled_lots == 100
    with refused("below_filled"):
        change(bybit.key, first.id, ticks=None, lots=100, at=bybit.tick())
    with refused("nothing_changed"):
        change(bybit.key, first.id, ticks=600000, lots=900, at=bybit.tick())


def test_an_amended_order_that_reaches_the_other_side_trades(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59000": "9"}, {"60001": "0.4"})
    order = bybit.order(LINEAR, Side.BUY, "60000", "1")
    after = bybit.exchange.amend(bybit.key, order.id, ticks=600010, lots=None, at=bybit.tick())
    assert (after.state, after.filled_lots) == (State.PARTIAL, 400)
    told = [one.cause for one in bybit.exchange.drain() if isinstance(one, OrderChanged)]
    assert told == ["new", "amended"]


def test_a_closed_order_cannot_be_cancelled_again(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59000": "9"}, {"60001": "0.4"})
    order = bybit.order(LINEAR, Side.BUY, "60000", "1")
    bybit.exchange.cancel(bybit.key, order.id, bybit.tick())
    with refused("order_closed"):
        bybit.exchange.cancel(bybit.key, order.id, bybit.tick())


def test_hedge_mode_keeps_two_positions_and_is_blocked_by_open_ones(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999": "9"}, {"60000": "9"})
    bybit.exchange.set_hedge_mode(bybit.key, "linear", True, bybit.tick())
    bybit.ioc(LINEAR, Side.BUY, "60000", "1", position_index=1)
    bybit.ioc(LINEAR, Side.SELL, "59999", "2", position_index=2)
    lots = [one.lots for one in bybit.exchange.positions(bybit.key, "linear")]
    assert lots == [1000, -2000]
    with refused("mode_blocked"):
        bybit.exchange.set_hedge_mode(bybit.key, "linear", False, bybit.tick())


def test_secrets_of_an_account_never_show(bybit: Bench) -> None:
    shown = repr(bybit.exchange.accounts()) + repr(bybit.exchange.setup)
    assert "secret-0001" not in shown
