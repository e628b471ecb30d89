"""Nothing is lost: conservation, the log, funding to the last digit."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twinbench import START, Bench, seeded, still

from oneprice.model.commands import TimeInForce
from oneprice.model.units import Side
from oneprice.twin.contract import (
    BalanceChanged,
    FundingFixed,
    FundingSettled,
    Kind,
    OrderRequest,
    Refusal,
    SelfTrade,
)
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.vault import OUTSIDE_KINDS

MS = 1_000_000
LINEAR = "linear:BTCUSDT"


def check(exchange: InnerExchange) -> None:
    """Conservation, log and fills agree with balances, books uncrossed, fills within orders."""
    assert all(total == 0 for total in exchange.sums().values())
    for spec in exchange.accounts():
        for wallet in exchange.setup.wallets:
            rows = exchange.log(spec.key, wallet.name)
            for balance in exchange.balances(spec.key, wallet.name):
                own = [row for row in rows if row.asset == balance.asset]
                assert sum(row.change for row in own) == balance.total
                assert all(row.change == row.cash_flow + row.funding - row.fee for row in own)
                assert balance.locked >= 0
        for order in exchange.orders(spec.key):
            fills = exchange.fills(spec.key, order_id=order.id)
            assert sum(fill.lots for fill in fills) == order.filled_lots <= order.lots
            assert sum(fill.fee for fill in fills) == order.fees
    for floor in exchange.floors.values():
        if floor.book.bids.keys and floor.book.asks.keys:
            assert floor.book.bids.best() < floor.book.asks.best()


ACTION = st.tuples(
    st.integers(0, 3),  # which instrument
    st.sampled_from(Side),
    st.integers(-60, 60),  # bps from the touch; 60: a market order
    st.integers(1, 400),  # dollars times 10
    st.sampled_from(TimeInForce),
    st.booleans(),  # reduce only
    st.sampled_from(SelfTrade),
    st.integers(0, 4),  # 0: cancel all, 1: amend the oldest instead
)


@settings(max_examples=25, deadline=None)
@given(st.lists(ACTION, min_size=5, max_size=40), st.integers(0, 5))
def test_every_asset_sums_to_zero_after_every_step_of_any_trading(
    actions: list[tuple[int, Side, int, int, TimeInForce, bool, SelfTrade, int]], seed: int
) -> None:
    exchange = seeded(
        "bybit", seed, only=("linear:BTCUSDT", "spot:ETHUSDT", "inverse:BTCUSD", "linear:SOLUSDT")
    )
    key, at = exchange.accounts()[0].key, START
    floors = list(exchange.floors.values())
    for which, side, bps, tens, tif, reduce_only, rule, kind in actions:
        at += 70 * MS
        exchange.advance(at)
        floor = floors[which]
        touch = floor.book.half(side.opposite).best() or floor.book.half(side).best()
        ticks = max(1, touch + touch * bps // 10_000)
        price = floor.instrument.price(ticks)
        lots = max(1, int(10 * tens / floor.instrument.notional(ticks, 1)))
        assert price > 0
        try:
            if kind == 0:
                exchange.cancel_all(key, at)
            elif kind == 1 and (orders := exchange.orders(key, only_open=True)):
                exchange.amend(key, orders[0].id, ticks=None, lots=lots, at=at)
            else:
                exchange.place(
                    OrderRequest(
                        account=key,
                        instrument=floor.id,
                        side=side,
                        lots=lots,
                        ticks=0 if bps == 60 else ticks,
                        kind=Kind.MARKET if bps == 60 else Kind.LIMIT,
                        time_in_force=tif,
                        reduce_only=reduce_only,
                        self_trade=rule,
                    ),
                    at,
                )
        except Refusal:
            pass
        check(exchange)
    exchange.advance(at + 3_000 * MS)
    check(exchange)
    exchange.cancel_all(key, at + 3_000 * MS)
    check(exchange)
    assert all(one.locked == 0 for one in exchange.balances(key, "unified"))


def funded(bench: Bench, where: str, side: Side, size: str, price: str, rate: str) -> list[object]:
    """A position held over one funding instant."""
    bench.book(where, {price: "100000"}, {})
    bench.book(where, {}, {str(Decimal(price) + 1): "100000"})
    limit = str(Decimal(price) + 1) if side is Side.BUY else price
    bench.ioc(where, side, limit, size)
    due = bench.at + 1_000 * MS
    bench.mark(where, "60002.5", funding_rate=Decimal(rate), funding_due=due)
    bench.exchange.drain()
    bench.exchange.advance(due - 1)
    assert not any(isinstance(one, FundingSettled) for one in bench.exchange.drain())
    bench.exchange.advance(due + 5 * MS)
    return bench.exchange.drain()


@pytest.mark.parametrize(
    ("where", "side", "size", "rate", "amount", "asset"),
    [
        # 0.004 x 60002.5 x 0.000087 = 0.02088087: a long pays a rate above zero
        (LINEAR, Side.BUY, "0.004", "0.000087", "-0.02088087", "USDT"),
        (LINEAR, Side.SELL, "0.004", "0.000087", "0.02088087", "USDT"),
        (LINEAR, Side.BUY, "2", "-0.0003", "36.0015", "USDT"),
        # 12000 / 60002.5 x 0.0001 = 0.0000199991667...
        ("inverse:BTCUSD", Side.BUY, "12000", "0.0001", "-0.000019999167", "BTC"),
        ("inverse:BTCUSD", Side.SELL, "12000", "0.0001", "0.000019999167", "BTC"),
    ],
)
def test_funding_is_what_one_computes_by_hand(
    bybit: Bench, where: str, side: Side, size: str, rate: str, amount: str, asset: str
) -> None:
    told = funded(bybit, where, side, size, "60000", rate)
    before = bybit.exchange.log(bybit.key, "unified")[-2].balance if asset == "USDT" else None
    settled = next(one for one in told if isinstance(one, FundingSettled))
    assert (settled.amount, settled.asset) == (Decimal(amount), asset)
    assert settled.rate == Decimal(rate)
    row = bybit.exchange.log(bybit.key, "unified")[-1]
    assert (row.kind, row.funding, row.change) == ("funding", Decimal(amount), Decimal(amount))
    assert row.at == settled.at
    if before is not None:
        assert row.balance == before + Decimal(amount)
    fixed = next(one for one in told if isinstance(one, FundingFixed))
    assert fixed.next_due == settled.at + 8 * 3_600_000 * MS
    assert bybit.exchange.funding_rows(bybit.name(where))[-1].rate == Decimal(rate)
    assert bybit.exchange.fundings(bybit.key) == [settled]
    check(bybit.exchange)


def test_a_flat_position_neither_pays_nor_receives(bybit: Bench) -> None:
    bybit.book(LINEAR, {"59999": "9"}, {"60000": "9"})
    bybit.ioc(LINEAR, Side.BUY, "60000", "1")
    bybit.ioc(LINEAR, Side.SELL, "59999", "1")
    due = bybit.at + 10 * MS
    bybit.mark(LINEAR, "60000", funding_rate=Decimal("0.001"), funding_due=due)
    bybit.exchange.advance(due)
    assert bybit.exchange.fundings(bybit.key) == []


def test_transfers_move_money_between_wallets_and_leave_two_rows(binance: Bench) -> None:
    exchange, key = binance.exchange, binance.key
    exchange.transfer(key, "USDT", Decimal(500), ("spot", "usdm"), binance.tick())
    assert exchange.balance(key, "spot", "USDT").total == 199_500
    assert exchange.balance(key, "usdm", "USDT").total == 200_500
    assert exchange.log(key, "spot")[-1].kind == "transfer_out"
    with pytest.raises(Refusal, match="insufficient_funds"):
        exchange.transfer(key, "USDT", Decimal(10**9), ("spot", "usdm"), binance.tick())
    check(exchange)


def test_a_pooled_wallet_lets_coins_back_margin_in_another(bybit: Bench) -> None:
    exchange, key = bybit.exchange, bybit.key
    exchange.transfer(key, "USDT", Decimal(199_000), ("unified", ""), bybit.tick())
    bybit.book(LINEAR, {"59999": "99"}, {"60000": "99"})
    order = bybit.ioc(LINEAR, Side.BUY, "60000", "2")  # margin 12,000 against 5 BTC
    assert order.filled_lots == 2000
    pool = exchange.pool(key, "unified")
    assert pool.initial_margin == 12_000
    assert pool.available < pool.equity


def test_a_venue_may_take_spot_fees_in_quote_and_holds_them_with_the_order() -> None:
    bench, where = still("kucoin"), "spot:BTC-USDT"
    name = bench.name(where)
    start = {asset: bench.exchange.balance(bench.key, "spot", asset) for asset in ("BTC", "USDT")}
    bench.deep(where, "60000")
    resting = bench.order(where, Side.BUY, "59000", "0.5")
    rate = bench.exchange.fees(bench.key, name)[1]
    held = bench.exchange.balance(bench.key, "spot", "USDT").locked
    assert held == Decimal(29_500) * (1 + rate)
    bench.exchange.cancel(bench.key, resting.id, bench.tick())
    taken = bench.ioc(where, Side.BUY, "60100", "0.1")
    fills = bench.exchange.fills(bench.key, order_id=taken.id)
    assert taken.state == "filled" and {fill.fee_asset for fill in fills} == {"USDT"}
    paid = start["USDT"].total - bench.exchange.balance(bench.key, "spot", "USDT").total
    assert paid == sum(fill.value + fill.fee for fill in fills)
    bought = bench.exchange.balance(bench.key, "spot", "BTC").total - start["BTC"].total
    assert bought == Decimal("0.1")
    assert bench.exchange.balance(bench.key, "spot", "USDT").locked == 0
    check(bench.exchange)


@pytest.mark.parametrize("kind", [one for one in OUTSIDE_KINDS if one != "withdrawal"])
def test_money_from_outside_moves_the_balance_and_is_a_row_of_the_log(
    bybit: Bench, kind: str
) -> None:
    exchange, key = bybit.exchange, bybit.key
    before = exchange.balance(key, "unified", "USDT").total
    exchange.drain()
    number = exchange.move_money(key, "USDT", Decimal("12.5"), kind, bybit.tick())
    change = Decimal("-12.5") if kind == "transfer_out" else Decimal("12.5")
    assert exchange.balance(key, "unified", "USDT").total == before + change
    row = exchange.log(key, "unified")[-1]
    assert (row.id, row.kind, row.change) == (number, kind, change)
    told = [one for one in exchange.drain() if isinstance(one, BalanceChanged)]
    assert [one.balance.total for one in told] == [before + change]
    check(exchange)


def test_interest_may_leave_a_debt_but_a_withdrawal_may_not(binance: Bench) -> None:
    exchange, key = binance.exchange, binance.key
    have = exchange.balance(key, "usdm", "USDT").available
    with pytest.raises(Refusal, match="insufficient_funds"):
        exchange.move_money(
            key, "USDT", have + 1, "withdrawal", binance.tick(), wallet="usdm"
        )
    exchange.move_money(key, "USDT", -have - 1, "interest", binance.tick(), wallet="usdm")
    assert exchange.balance(key, "usdm", "USDT").total == -1
    for amount, kind in ((Decimal(-1), "deposit"), (Decimal(0), "interest"), (have, "gift")):
        with pytest.raises(Refusal, match="bad_request"):
            exchange.move_money(key, "USDT", amount, kind, binance.tick())
    check(exchange)
