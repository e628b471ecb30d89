"""What a customer chooses and what contracts pay: modes, leverage, brackets, quanto, funding."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twinbench import MS, START, Bench, seeded, still

from oneprice.model.units import Side
from oneprice.twin.contract import Kind, OrderRequest, PositionChanged, Refusal
from oneprice.twin.exposure import tiers_of
from oneprice.twin.stock import VENUES, default_listings

SWAP = "usdm:BTCUSDT"
LINEAR = "linear:BTCUSDT"
HOUR = 3_600_000 * MS


# Contracts --------------------------------------------------------------------------------------


def test_a_quanto_contract_pays_satoshi_per_dollar_whatever_the_coins_cost(bitmex: Bench) -> None:
    where = "derivatives:ETHUSD"
    bitmex.open(where, Side.BUY, "1000", "3000")
    bitmex.mark(where, "3100")
    held = bitmex.exchange.position(bitmex.key, bitmex.name(where))
    entry = held.entry
    assert held.unrealised == (3100 - entry) * 1000 * Decimal("0.000001")  # about 0.1 XBT
    assert held.value == Decimal("3.1")  # 1000 x 100 satoshi x 3100
    bitmex.deep(where, "3100")
    bitmex.order(where, Side.SELL, "", "1000", reduce_only=True)
    fill = bitmex.exchange.fills(bitmex.key)[-1]
    price = bitmex.exchange.floors[bitmex.name(where)].instrument.price(fill.ticks)
    assert fill.realised == (price - entry) * 1000 * Decimal("0.000001")
    assert fill.fee_asset == "XBT"


def test_an_inverse_contract_of_another_coin_name_pays_in_it(bitmex: Bench) -> None:
    bitmex.open("derivatives:XBTUSD", Side.BUY, "1000", "60000")
    bitmex.mark("derivatives:XBTUSD", "75000")
    held = bitmex.exchange.position(bitmex.key, bitmex.name("derivatives:XBTUSD"))
    assert held.unrealised == pytest.approx(Decimal("0.0033333"), abs=Decimal("0.000001"))
    assert bitmex.exchange.balance(bitmex.key, "margin", "XBT").unrealised == held.unrealised


def test_a_maker_with_a_negative_fee_is_paid(bitmex: Bench) -> None:
    where = "derivatives:ETHUSD"
    bitmex.deep(where, "3000")
    before = bitmex.total("XBT")
    bitmex.order(where, Side.BUY, "3000", "100")
    bitmex.book(where, {}, {"3000": "1000"})
    (fill,) = bitmex.exchange.fills(bitmex.key)
    assert fill.maker and fill.fee == Decimal("-0.000075")  # 0.3 XBT x -0.025 %
    assert bitmex.total("XBT") - before == Decimal("0.000075")
    assert all(total == 0 for total in bitmex.exchange.sums().values())


def test_money_is_kept_in_the_smallest_unit_of_its_coin(bitmex: Bench) -> None:
    bitmex.open("derivatives:XBTUSDT", Side.BUY, "12300", "60000.1")
    for row in bitmex.exchange.log(bitmex.key, "margin"):
        step = Decimal("1E-6") if row.asset == "USDT" else Decimal("1E-8")
        assert row.change % step == 0


@pytest.mark.parametrize("venue", VENUES)
def test_every_listed_instrument_has_brackets_without_gaps_or_jumps(venue: str) -> None:
    for listing in default_listings(venue):
        if not listing.instrument.is_derivative:
            continue
        tiers = listing.extras.tiers
        assert tiers[0].value_from == 0 and tiers[-1].value_to == 0
        for one, after in pairwise(tiers):
            assert one.value_to == after.value_from
            assert one.maintenance_rate < after.maintenance_rate
            assert one.leverage_max >= after.leverage_max
            at_edge = [t.maintenance_rate * one.value_to - t.deduction for t in (one, after)]
            assert at_edge[0] == at_edge[1]
        assert all(tier.initial_rate > tier.maintenance_rate for tier in tiers[:4])


# Choices ----------------------------------------------------------------------------------------


def test_a_position_grows_no_further_than_its_leverage_allows(binance: Bench) -> None:
    name = binance.name(SWAP)
    binance.exchange.set_leverage(binance.key, name, Decimal(125), binance.tick())
    binance.deep(SWAP, "60000")
    with pytest.raises(Refusal, match="risk_limit"):
        binance.order(SWAP, Side.BUY, "59000", "40")  # 2.4 million, the first bracket has two
    assert binance.order(SWAP, Side.BUY, "59000", "30").open


def test_leverage_above_the_bracket_of_the_position_is_refused(bybit: Bench) -> None:
    bybit.open(LINEAR, Side.BUY, "40", "60000")  # 2.4 million: the second bracket
    assert bybit.exchange.position(bybit.key, bybit.name(LINEAR)).tier == 2
    with pytest.raises(Refusal, match="leverage"):
        bybit.exchange.set_leverage(bybit.key, bybit.name(LINEAR), Decimal(51), bybit.tick())


def test_a_chosen_risk_limit_caps_the_position_and_cannot_be_below_it(okx: Bench) -> None:
    where = "swap:BTC-USDT-SWAP"
    name = okx.name(where)
    okx.exchange.set_leverage(okx.key, name, Decimal(25), okx.tick())
    okx.exchange.set_risk_limit(okx.key, name, 1, okx.tick())
    assert okx.exchange.risk_limit(okx.key, name) == 1
    okx.deep(where, "60000", "100000")
    with pytest.raises(Refusal, match="risk_limit"):
        okx.order(where, Side.BUY, "59000", "4000")  # 40 BTC
    okx.exchange.set_risk_limit(okx.key, name, 2, okx.tick())
    assert okx.order(where, Side.BUY, "59000", "4000").open
    for number, word in ((1, "risk_limit"), (9, "risk_limit"), (2, "nothing_changed")):
        with pytest.raises(Refusal) as refused:
            okx.exchange.set_risk_limit(okx.key, name, number, okx.tick())
        assert refused.value.word == word


def test_the_margin_mode_changes_only_while_nothing_is_open(binance: Bench) -> None:
    name = binance.name(SWAP)
    binance.deep(SWAP, "60000")
    order = binance.order(SWAP, Side.BUY, "59000", "1")
    with pytest.raises(Refusal, match="mode_blocked"):
        binance.exchange.set_margin_mode(binance.key, name, "isolated", binance.tick())
    binance.exchange.cancel(binance.key, order.id, binance.tick())
    binance.exchange.set_margin_mode(binance.key, name, "isolated", binance.tick())
    assert binance.exchange.margin_mode(binance.key, name) == "isolated"
    with pytest.raises(Refusal, match="mode_unchanged"):
        binance.exchange.set_margin_mode(binance.key, name, "isolated", binance.tick())
    with pytest.raises(Refusal, match="margin_mode"):
        binance.exchange.set_margin_mode(binance.key, name, "shared", binance.tick())


def test_where_a_venue_allows_it_an_open_position_is_isolated_and_given_back(
    bitmex: Bench,
) -> None:
    where = "derivatives:XBTUSD"
    name = bitmex.name(where)
    bitmex.deep(where, "60000", "100000")
    bitmex.mark(where, "60000")
    bitmex.order(where, Side.BUY, "", "60000")
    bitmex.order(where, Side.BUY, "59000", "100")

    def held() -> tuple[str, Decimal]:
        position = bitmex.exchange.position(bitmex.key, name)
        return position.margin_mode, position.margin

    cushion = bitmex.exchange.position(bitmex.key, name).liquidation
    bitmex.exchange.set_margin_mode(bitmex.key, name, "isolated", bitmex.tick())
    assert held() == ("isolated", pytest.approx(Decimal("0.01"), abs=Decimal("0.0001")))  # 100 x
    assert bitmex.exchange.position(bitmex.key, name).liquidation > cushion
    bitmex.exchange.set_leverage(bitmex.key, name, Decimal(2), bitmex.tick())
    assert held() == ("isolated", pytest.approx(Decimal("0.5"), abs=Decimal("0.001")))
    bitmex.exchange.set_margin_mode(bitmex.key, name, "cross", bitmex.tick())
    assert held() == ("cross", 0)


def test_a_position_is_not_isolated_with_margin_that_is_not_there(bitmex: Bench) -> None:
    where = "derivatives:XBTUSD"
    name = bitmex.name(where)
    bitmex.deep(where, "60000", "900000")
    bitmex.mark(where, "60000")
    bitmex.order(where, Side.SELL, "", "900000")  # 15 bitcoin
    bitmex.mark(where, "70000")  # 2.1 of 5 are lost, and it needs 2.6
    bitmex.exchange.set_leverage(bitmex.key, name, Decimal(5), bitmex.tick())
    with pytest.raises(Refusal, match="insufficient_margin"):
        bitmex.exchange.set_margin_mode(bitmex.key, name, "isolated", bitmex.tick())
    assert bitmex.exchange.margin_mode(bitmex.key, name) == "cross"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Side.BUY, Side.SELL]),
            st.integers(1, 9),
            st.integers(550_000, 650_000),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=25, deadline=None)
def test_costs_and_fees_of_inverse_fills_add_up_to_the_wallet_in_satoshi(
    trades: list[tuple[Side, int, int]],
) -> None:
    bench = still("bitmex")
    where, satoshi = "derivatives:XBTUSD", Decimal("1E-8")
    before, paid = bench.total("XBT"), Decimal(0)
    held = sum(side * count for side, count, _ in trades)
    back = (Side.SELL if held > 0 else Side.BUY, abs(held), 600_000)
    for side, count, ticks in [*trades, back] if held else trades:
        bench.deep(where, str(Decimal(ticks) / 10), "1000000")
        bench.order(where, side, "", str(count * 100))
        for fill in bench.exchange.fills(bench.key)[-1:]:  # deep: one fill each
            price = bench.exchange.floors[bench.name(where)].instrument.price(fill.ticks)
            worth = (100 / price).quantize(satoshi) * fill.lots
            assert fill.value == worth
            paid += worth * side - (worth * fill.fee_rate).quantize(satoshi)
    assert bench.total("XBT") - before == paid


def test_isolated_margin_grows_shrinks_and_can_be_added_and_taken_back(binance: Bench) -> None:
    name = binance.name(SWAP)
    binance.exchange.set_margin_mode(binance.key, name, "isolated", binance.tick())

    def margin() -> Decimal:
        return binance.exchange.position(binance.key, name).margin

    binance.open(SWAP, Side.BUY, "2", "60000")
    assert margin() == pytest.approx(Decimal(6000), abs=1)  # 20 x
    binance.order(SWAP, Side.SELL, "", "1", reduce_only=True)
    assert margin() == pytest.approx(Decimal(3000), abs=1)
    binance.exchange.add_margin(binance.key, name, 0, Decimal(500), binance.tick())
    assert margin() == pytest.approx(Decimal(3500), abs=1)
    with pytest.raises(Refusal, match="insufficient_margin"):
        binance.exchange.add_margin(binance.key, name, 0, Decimal(-600), binance.tick())
    with pytest.raises(Refusal, match="insufficient_margin"):
        binance.exchange.add_margin(binance.key, name, 0, Decimal(10**9), binance.tick())
    binance.exchange.set_leverage(binance.key, name, Decimal(10), binance.tick())
    assert margin() == pytest.approx(Decimal(6000), abs=1)
    binance.order(SWAP, Side.SELL, "", "1", reduce_only=True)
    assert margin() == 0


def test_an_isolated_position_pays_its_funding_from_its_own_margin(binance: Bench) -> None:
    name = binance.name(SWAP)
    binance.exchange.set_margin_mode(binance.key, name, "isolated", binance.tick())
    binance.open(SWAP, Side.BUY, "1", "60000")
    before = binance.exchange.position(binance.key, name)
    due = binance.at + 1_000 * MS
    binance.mark(SWAP, "60000", funding_rate=Decimal("0.0005"), funding_due=due)
    binance.exchange.drain()
    binance.exchange.advance(due)
    after = binance.exchange.position(binance.key, name)
    assert after.margin == before.margin - 30
    assert after.funding == -30 and after.fees == before.fees
    causes = [o.cause for o in binance.exchange.drain() if isinstance(o, PositionChanged)]
    assert causes == ["funding"]


def test_a_cross_position_has_no_margin_of_its_own(bybit: Bench) -> None:
    bybit.open(LINEAR, Side.BUY, "1", "60000")
    with pytest.raises(Refusal, match="margin_mode"):
        bybit.exchange.add_margin(bybit.key, bybit.name(LINEAR), 0, Decimal(5), bybit.tick())
    with pytest.raises(Refusal, match="no_position"):
        bybit.exchange.add_margin(
            bybit.key, bybit.name("linear:ETHUSDT"), 0, Decimal(5), bybit.tick()
        )


@pytest.mark.parametrize("venue", VENUES)
def test_hedge_mode_keeps_both_sides_apart_on_every_venue(venue: str) -> None:
    bench = still(venue)
    listing = next(
        one
        for one in bench.exchange.listings()
        if one.instrument.is_derivative and one.instrument.quote == "USDT"
    )
    one = listing.instrument
    where, price = f"{one.market}:{one.symbol}", "60000"
    size = str(one.lot * 10)
    bench.exchange.set_hedge_mode(bench.key, one.market, True, bench.tick())
    bench.deep(where, price, str(one.lot * 1000))
    bench.mark(where, price)
    with pytest.raises(Refusal, match="position_mode"):
        bench.order(where, Side.BUY, "", size)
    bench.order(where, Side.BUY, "", size, position_index=1)
    bench.order(where, Side.SELL, "", size, position_index=2)
    lots = [bench.exchange.position(bench.key, one.id, index).lots for index in (0, 1, 2)]
    assert lots == [0, 10, -10]
    bench.exchange.force_liquidation(bench.key, one.id, 1, bench.tick())
    lots = [bench.exchange.position(bench.key, one.id, index).lots for index in (0, 1, 2)]
    assert lots == [0, 0, -10]


# Funding ----------------------------------------------------------------------------------------


def test_every_venue_settles_funding_at_its_own_hours() -> None:
    def dues(venue: str) -> dict[str, int]:
        exchange = seeded(venue)
        found = {}
        for floor in exchange.floors.values():
            if floor.instrument.funding_interval_ms:
                due = exchange.ticker(floor.id).funding_due
                assert START < due <= START + floor.instrument.funding_interval_ms * MS
                assert floor.funding_rows[-1].at == due - floor.instrument.funding_interval_ms * MS
                found[floor.instrument.symbol] = due // HOUR % 24
        return found

    assert set(dues("bybit").values()) <= {0, 8, 16}
    assert set(dues("bitmex").values()) <= {4, 12, 20}
    assert dues("kucoin")["SOLUSDTM"] in (0, 4, 8, 12, 16, 20)


def test_one_hour_intervals_settle_every_hour() -> None:
    listings = default_listings("bybit", funding_interval_ms=3_600_000)
    assert {one.instrument.funding_interval_ms for one in listings} == {0, 3_600_000}


def test_a_rate_that_is_fixed_ahead_stands_still_until_it_is_paid() -> None:
    exchange = seeded("bitmex", 5, only=("derivatives:XBTUSD",))
    name = "bitmex:derivatives:XBTUSD"
    first = exchange.ticker(name)
    due = first.funding_due
    exchange.advance(due - 5_000 * MS)
    exchange.advance(due - 100 * MS)
    before = exchange.ticker(name)
    assert before.funding_rate == first.funding_rate
    assert before.mark == pytest.approx(before.index, rel=Decimal("0.000001"))  # no time left
    exchange.advance(due + 60 * MS)
    after = exchange.ticker(name)
    assert after.funding_rate == before.funding_next
    assert exchange.funding_rows(name)[-1].rate == first.funding_rate
    basis = after.mark / after.index - 1
    assert basis == pytest.approx(after.funding_rate, abs=Decimal("0.000002"))


def test_a_prediction_of_the_rate_after_next_is_told_and_within_the_cap() -> None:
    exchange = seeded("okx", 5)
    exchange.advance(START + 500 * MS)
    for floor in exchange.floors.values():
        ticker = exchange.ticker(floor.id)
        if floor.instrument.funding_interval_ms:
            assert abs(ticker.funding_next) <= floor.listing.extras.funding_cap
            assert ticker.funding_interval_ms == floor.instrument.funding_interval_ms


# Conservation -----------------------------------------------------------------------------------

STEP = st.tuples(
    st.sampled_from(("trade", "trade", "trade", "move", "liquidate", "adl", "lever", "mode")),
    st.integers(0, 7),  # which instrument
    st.integers(0, 1),  # which customer
    st.sampled_from(Side),
    st.integers(1, 60),  # size, in hundredths of the account
    st.integers(-400, 400),  # tenths of a percent that the price moves
)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(("binance", "bitmex", "okx")),
    st.lists(STEP, min_size=3, max_size=25),
    st.booleans(),
)
def test_every_coin_sums_to_zero_through_crashes_liquidations_and_deliveries(
    venue: str, steps: list[tuple[str, int, int, Side, int, int]], delisted: bool
) -> None:
    bench = still(venue)
    exchange = bench.exchange
    floors = [f for f in exchange.floors.values() if f.instrument.is_derivative]
    keys = [spec.key for spec in exchange.accounts()]
    prices: dict[str, Decimal] = {}
    for floor in floors:
        base = floor.instrument.base
        prices[floor.id] = Decimal({"ETH": 3000, "SOL": 150}.get(base, 60000))
    for kind, which, who, side, part, move in steps:
        floor = floors[which % len(floors)]
        key, name, where = keys[who], floor.id, floor.id.split(":", 1)[1]
        bench.deep(where, str(prices[name]), str(floor.instrument.lot * 10**7))
        bench.mark(where, str(prices[name]))
        try:
            if kind == "trade":
                worth = floor.value(prices[name], 1)
                settle = floor.instrument.settle
                money = exchange.balance(key, exchange.wallet_of(floor.instrument.market), settle)
                lots = max(1, int(money.available * part / 10 / worth))
                request = OrderRequest(
                    account=key, instrument=name, side=side, lots=lots, kind=Kind.MARKET
                )
                exchange.place(request, bench.tick())
            elif kind == "move":
                prices[name] *= 1 + Decimal(move) / 1000
                bench.mark(where, str(prices[name]))
            elif kind == "liquidate":
                exchange.force_liquidation(key, name, 0, bench.tick())
            elif kind == "adl":
                exchange.force_adl(key, name, part, bench.tick())
            elif kind == "lever":
                exchange.set_leverage(key, name, Decimal(part), bench.tick())
            else:
                exchange.set_margin_mode(key, name, "isolated", bench.tick())
        except Refusal:
            pass
        bench.at += 120 * MS
        exchange.advance(bench.at)
        assert all(total == 0 for total in exchange.sums().values())
    if delisted:
        for floor in floors:
            exchange.delist(floor.id, bench.tick(), prices[floor.id])
        assert not any(exchange.position(k, f.id).lots for k in keys for f in floors)
    assert all(total == 0 for total in exchange.sums().values())
    for key in keys:
        for place in exchange._holdings.places(key):
            held = exchange._holdings.get(place)
            assert held.lots or held.margin == 0
    assert all(tiers_of(floor) for floor in floors)
