"""The exchange closes positions: liquidation, deleveraging, delisting, delivery, pauses."""

from decimal import Decimal

import pytest
from twinbench import MS, Bench, seeded

from oneprice.model.commands import TimeInForce
from oneprice.model.units import Side
from oneprice.twin.contract import (
    BalanceChanged,
    Filled,
    Liquidated,
    ListingChanged,
    OrderChanged,
    PositionChanged,
    Refusal,
    State,
)
from oneprice.twin.stock import default_listings

SWAP = "usdm:BTCUSDT"
LINEAR = "linear:BTCUSDT"


def balanced(bench: Bench) -> None:
    assert all(total == 0 for total in bench.exchange.sums().values())


def later(bench: Bench, ms: int = 150) -> None:
    bench.at += ms * MS
    bench.exchange.advance(bench.at)


def isolated(bench: Bench, where: str, leverage: str) -> None:
    name = bench.name(where)
    bench.exchange.set_margin_mode(bench.key, name, "isolated", bench.tick())
    if bench.exchange.leverage(bench.key, name) != Decimal(leverage):
        bench.exchange.set_leverage(bench.key, name, Decimal(leverage), bench.tick())


# Liquidation ------------------------------------------------------------------------------------


def test_an_isolated_position_below_maintenance_is_closed_by_the_exchange(binance: Bench) -> None:
    isolated(binance, SWAP, "20")
    binance.open(SWAP, Side.BUY, "1", "60000")
    held = binance.exchange.position(binance.key, binance.name(SWAP))
    assert held.margin_mode == "isolated"
    assert held.margin == pytest.approx(Decimal("3000"), abs=1)
    assert Decimal("57000") < held.bankruptcy < held.liquidation < Decimal("57400")
    binance.exchange.drain()
    binance.deep(SWAP, "57290")
    binance.mark(SWAP, "57280")
    later(binance)
    assert binance.exchange.position(binance.key, held.instrument).lots == 0
    outputs = binance.exchange.drain()
    (news,) = [one for one in outputs if isinstance(one, Liquidated)]
    assert (news.side, news.lots) == (Side.SELL, 1000)
    (fill,) = [one.fill for one in outputs if isinstance(one, Filled)]
    assert fill.reason == "liquidation" and fill.closed_lots == 1000
    order = binance.exchange.order(binance.key, fill.order_id)
    assert order.reason == "liquidation" and order.state is State.FILLED and not order.client_id
    kinds = [row.kind for row in binance.exchange.log(binance.key, "usdm")][-2:]
    assert kinds == ["liquidation", "insurance"]
    assert any(isinstance(o, PositionChanged) and o.cause == "liquidation" for o in outputs)
    assert any(isinstance(o, BalanceChanged) for o in outputs)
    assert binance.exchange.liquidations(held.instrument) == [news]
    balanced(binance)


def test_an_isolated_liquidation_costs_at_most_the_margin_and_the_fund_covers_the_rest(
    binance: Bench,
) -> None:
    isolated(binance, SWAP, "20")
    binance.open(SWAP, Side.BUY, "1", "60000")
    before = binance.total("USDT")
    wallet = binance.exchange.balance(binance.key, "usdm", "USDT").total
    margin = binance.exchange.position(binance.key, binance.name(SWAP)).margin
    fund = binance.exchange.insurance()["USDT"]
    binance.book(SWAP, {"59997": "0", "60003": "0"}, {})
    binance.deep(SWAP, "50000")  # far below the bankruptcy price: nobody buys there
    binance.mark(SWAP, "50000")
    later(binance)
    after = binance.exchange.balance(binance.key, "usdm", "USDT").total
    assert after == wallet - margin
    assert binance.exchange.insurance()["USDT"] < fund
    assert binance.total("USDT") == before  # the spot wallet was not touched
    balanced(binance)


def test_a_cross_account_loses_its_open_orders_before_its_positions(binance: Bench) -> None:
    binance.exchange.transfer(
        binance.key, "USDT", Decimal(190_000), ("usdm", "spot"), binance.tick()
    )
    binance.open(SWAP, Side.BUY, "2", "60000")
    resting = binance.order(SWAP, Side.BUY, "58000", "0.5")
    binance.exchange.drain()
    binance.deep(SWAP, "55350")
    binance.mark(SWAP, "55300")
    later(binance)
    outputs = binance.exchange.drain()
    ended = binance.exchange.order(binance.key, resting.id)
    # the market ran over it on its way down: either way it does not rest any more
    assert not ended.open
    assert any(isinstance(one, Liquidated) for one in outputs)
    assert binance.exchange.position(binance.key, binance.name(SWAP)).lots == 0
    assert binance.exchange.balance(binance.key, "usdm", "USDT").total >= 0
    balanced(binance)


def test_withdrawn_orders_say_that_a_liquidation_took_them(bybit: Bench) -> None:
    bybit.open(LINEAR, Side.BUY, "1", "60000")
    resting = bybit.order(LINEAR, Side.SELL, "61000", "0.5")
    order = bybit.exchange.force_liquidation(bybit.key, bybit.name(LINEAR), 0, bybit.tick())
    ended = bybit.exchange.order(bybit.key, resting.id)
    assert (ended.state, ended.reason) == (State.CANCELLED, "liquidated")
    assert order.state is State.FILLED and order.reason == "liquidation"
    changes = [one for one in bybit.exchange.drain() if isinstance(one, OrderChanged)]
    assert [one.order.id for one in changes if one.order.reason == "liquidated"] == [resting.id]
    balanced(bybit)


def test_a_pooled_wallet_liquidates_only_when_all_of_its_coins_together_do_not_suffice(
    bybit: Bench,
) -> None:
    name = bybit.name(LINEAR)
    bybit.exchange.set_leverage(bybit.key, name, Decimal(50), bybit.tick())
    bybit.open(LINEAR, Side.BUY, "20", "60000")
    bybit.deep(LINEAR, "45000")
    bybit.mark(LINEAR, "45000")  # -300,000 USDT: more than the USDT there are
    later(bybit)
    assert bybit.exchange.position(bybit.key, name).lots == 20_000
    bybit.deep(LINEAR, "32000")
    bybit.mark(LINEAR, "32000")
    later(bybit)
    assert bybit.exchange.position(bybit.key, name).lots == 0
    balanced(bybit)


def test_the_liquidation_price_is_where_the_liquidation_happens(binance: Bench) -> None:
    isolated(binance, SWAP, "10")
    binance.open(SWAP, Side.SELL, "1", "60000")
    price = binance.exchange.position(binance.key, binance.name(SWAP)).liquidation
    for mark, lots in ((price - 1, -1000), (price + 1, 0)):
        binance.deep(SWAP, str(mark))
        binance.mark(SWAP, str(mark))
        later(binance)
        assert binance.exchange.position(binance.key, binance.name(SWAP)).lots == lots


def test_nobody_is_liquidated_without_a_position(bybit: Bench) -> None:
    with pytest.raises(Refusal, match="no_position"):
        bybit.exchange.force_liquidation(bybit.key, bybit.name(LINEAR), 0, bybit.tick())
    with pytest.raises(Refusal, match="no_position"):
        bybit.exchange.force_adl(bybit.key, bybit.name(LINEAR), 5, bybit.tick())


# Deleveraging -----------------------------------------------------------------------------------


def test_deleveraging_takes_part_of_a_position_at_mark_price_without_a_fee(bybit: Bench) -> None:
    name = bybit.name(LINEAR)
    bybit.open(LINEAR, Side.SELL, "1", "60000")
    bybit.mark(LINEAR, "58000.5")
    bybit.exchange.drain()
    trades = len(bybit.exchange.trades(name))
    order = bybit.exchange.force_adl(bybit.key, name, 400, bybit.tick())
    assert (order.reason, order.state, order.side) == ("adl", State.FILLED, Side.BUY)
    (fill,) = bybit.exchange.fills(bybit.key, order_id=order.id)
    assert (fill.reason, fill.price, fill.fee, fill.lots) == ("adl", Decimal("58000.5"), 0, 400)
    assert fill.realised == pytest.approx(Decimal("799"), abs=2)
    assert bybit.exchange.position(bybit.key, name).lots == -600
    assert len(bybit.exchange.trades(name)) == trades  # not a public trade
    assert bybit.exchange.log(bybit.key, "unified")[-1].kind == "adl"
    balanced(bybit)


def test_an_overdrawn_fund_deleverages_the_most_profitable_on_the_other_side(
    binance: Bench,
) -> None:
    name = binance.name(SWAP)
    other = binance.exchange.accounts()[1].key
    for key, coin in ((binance.key, "180000"), (other, "100000")):
        binance.exchange.transfer(key, "USDT", Decimal(coin), ("usdm", "spot"), binance.tick())
    binance.exchange.set_leverage(binance.key, name, Decimal(100), binance.tick())
    binance.open(SWAP, Side.BUY, "20", "60000")
    binance.open(SWAP, Side.SELL, "1", "60000", account=other)
    binance.exchange.drain()
    binance.deep(SWAP, "100")
    binance.mark(SWAP, "100")  # 1.18 million under water, the fund has one
    later(binance)
    assert binance.exchange.position(binance.key, name).lots == 0
    assert binance.exchange.position(other, name).lots == 0
    fill = binance.exchange.fills(other)[-1]
    assert fill.reason == "adl" and fill.price > 58_000  # not at 100: the profit is lost
    assert binance.exchange.insurance()["USDT"] < 0
    balanced(binance)


def test_a_fund_that_holds_out_leaves_the_other_side_alone(binance: Bench) -> None:
    name = binance.name(SWAP)
    other = binance.exchange.accounts()[1].key
    isolated(binance, SWAP, "100")
    binance.open(SWAP, Side.BUY, "1", "60000")
    binance.open(SWAP, Side.SELL, "1", "60000", account=other)
    binance.deep(SWAP, "50000")
    binance.mark(SWAP, "50000")
    later(binance)
    assert binance.exchange.position(other, name).lots == -1000
    lost = 1_000_000 - binance.exchange.insurance()["USDT"]
    assert Decimal(9_000) < lost < Decimal(10_000)  # from the bankruptcy price to the mark
    balanced(binance)


# Delisting and delivery -------------------------------------------------------------------------


def test_delisting_cancels_orders_settles_positions_and_refuses_from_then_on(
    bybit: Bench,
) -> None:
    name = bybit.name(LINEAR)
    bybit.open(LINEAR, Side.BUY, "1", "60000")
    resting = bybit.order(LINEAR, Side.BUY, "59000", "0.5")
    bybit.exchange.drain()
    bybit.exchange.delist(name, bybit.tick(), Decimal("61234.56"))
    ended = bybit.exchange.order(bybit.key, resting.id)
    assert (ended.state, ended.reason) == (State.CANCELLED, "delisted")
    outputs = bybit.exchange.drain()
    states = [one.listing.status for one in outputs if isinstance(one, ListingChanged)]
    assert states == ["settling", "delisted"]
    (fill,) = [one.fill for one in outputs if isinstance(one, Filled)]
    assert (fill.reason, fill.price, fill.fee) == ("delivery", Decimal("61234.56"), 0)
    assert bybit.exchange.position(bybit.key, name).lots == 0
    assert bybit.exchange.log(bybit.key, "unified")[-1].kind == "delivery"
    listing = bybit.exchange.listing("linear", "BTCUSDT")
    assert (listing.status, listing.settle_price) == ("delisted", Decimal("61234.56"))
    with pytest.raises(Refusal, match="not_tradable"):
        bybit.order(LINEAR, Side.BUY, "59000", "0.5")
    with pytest.raises(Refusal, match="not_tradable"):
        bybit.exchange.delist(name, bybit.tick())
    assert bybit.exchange.book(name).bids == ()
    balanced(bybit)


def test_an_announced_delisting_is_told_at_once_and_carried_out_when_due(bybit: Bench) -> None:
    name = bybit.name(LINEAR)
    bybit.open(LINEAR, Side.BUY, "1", "60000")
    bybit.exchange.drain()
    due = bybit.at + 2_000 * MS
    bybit.exchange.delist(name, bybit.tick(), Decimal("60500"), due=due)
    (told,) = [one.listing for one in bybit.exchange.drain() if isinstance(one, ListingChanged)]
    assert (told.status, told.delisting_at) == ("trading", due)
    assert bybit.order(LINEAR, Side.BUY, "59000", "0.5").open
    bybit.exchange.advance(due - 1)
    assert bybit.exchange.position(bybit.key, name).lots == 1000
    bybit.exchange.advance(due)
    assert bybit.exchange.position(bybit.key, name).lots == 0
    assert bybit.exchange.fills(bybit.key)[-1].price == Decimal("60500")
    balanced(bybit)


def test_a_spot_pair_is_delisted_with_locked_money_given_back(bybit: Bench) -> None:
    bybit.deep("spot:BTCUSDT", "60000")
    bybit.order("spot:BTCUSDT", Side.BUY, "59000", "0.5")
    assert bybit.exchange.balance(bybit.key, "unified", "USDT").locked == 29_500
    bybit.exchange.delist(bybit.name("spot:BTCUSDT"), bybit.tick())
    assert bybit.exchange.balance(bybit.key, "unified", "USDT").locked == 0
    balanced(bybit)


def test_a_dated_future_is_delivered_at_its_expiry_at_the_index(okx: Bench) -> None:
    where = "futures:BTC-USDT-261225"
    name = okx.name(where)
    okx.open(where, Side.BUY, "10", "60000")  # 0.1 BTC
    expiry = okx.exchange.floors[name].instrument.expiry
    okx.mark(where, "60500")
    okx.exchange.advance(expiry - 1)
    assert okx.exchange.position(okx.key, name).lots == 1000
    okx.exchange.advance(expiry)
    assert okx.exchange.position(okx.key, name).lots == 0
    fill = okx.exchange.fills(okx.key)[-1]
    assert (fill.reason, fill.price) == ("delivery", Decimal(60500))
    assert okx.exchange.listing("futures", "BTC-USDT-261225").status == "delisted"
    balanced(okx)


def test_the_listed_future_is_always_one_that_does_not_end_soon() -> None:
    day = 86_400 * 1_000_000_000
    seen = set()
    for number in range(0, 900, 10):
        at = 1_795_000_000_000_000_000 + number * day
        dated = [o.instrument for o in default_listings("bitmex", at=at) if o.instrument.expiry]
        (one,) = dated
        assert 13 * day <= one.expiry - at <= 110 * day
        seen.add(one.symbol)
    assert {"XBTZ26", "XBTH27", "XBTM27", "XBTU27", "XBTZ27"} <= seen


# Pauses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["not_tradable", "venue_busy"])
def test_a_pause_refuses_orders_with_its_word_and_lets_cancel_until_it_ends(
    bybit: Bench, word: str
) -> None:
    bybit.deep(LINEAR, "60000")
    resting = bybit.order(LINEAR, Side.BUY, "59000", "0.5")
    bybit.exchange.pause(bybit.tick(), word=word)
    with pytest.raises(Refusal) as refused:
        bybit.order(LINEAR, Side.BUY, "59000", "0.5")
    assert refused.value.word == word
    with pytest.raises(Refusal, match=word):
        bybit.exchange.amend(bybit.key, resting.id, ticks=None, lots=400, at=bybit.tick())
    assert bybit.exchange.listing("linear", "BTCUSDT").status == "paused"
    assert bybit.exchange.cancel(bybit.key, resting.id, bybit.tick()).reason == "user"
    bybit.exchange.pause(bybit.tick(), word="")
    assert bybit.order(LINEAR, Side.BUY, "59000", "0.5").open


def test_one_instrument_can_be_paused_alone(bybit: Bench) -> None:
    bybit.deep(LINEAR, "60000")
    bybit.exchange.pause(bybit.tick(), instrument=bybit.name("inverse:BTCUSD"))
    assert bybit.order(LINEAR, Side.BUY, "59000", "0.5").open


# The seeded world -------------------------------------------------------------------------------


def test_taking_against_a_dislocation_works_it_off() -> None:
    exchange = seeded("bybit", 7, only=("linear:BTCUSDT",))
    stall = exchange._source.stalls["bybit:linear:BTCUSDT"]
    at = exchange.now
    while not (shocks := stall._latent.shocks("BTC", "bybit:linear", at)):
        at += 100 * MS
    size = shocks[-1][1]
    before = stall._gap_left(at)
    stall.press(-stall._lots(90_000.0) if size > 0 else stall._lots(90_000.0), at)
    assert abs(stall._gap_left(at)) < 0.25 * abs(before)
    untouched = seeded("bybit", 7, only=("linear:BTCUSDT",))
    other = untouched._source.stalls["bybit:linear:BTCUSDT"]
    assert other._gap_left(at) == before


def test_an_own_taker_moves_the_market_against_itself_for_a_while() -> None:
    moved, still_one = (seeded("bybit", 9, only=("linear:BTCUSDT",)) for _ in range(2))
    name, at = "bybit:linear:BTCUSDT", moved.now
    key = moved.accounts()[0].key
    bench = Bench(moved)
    bench.at = at + 200 * MS
    for exchange in (moved, still_one):
        exchange.advance(bench.at)
    order = bench.order(LINEAR, Side.BUY, "", "2", time_in_force=TimeInForce.IOC)
    assert order.filled_lots and key
    fair = [e._source.stalls[name].fair(bench.at) for e in (moved, still_one)]
    assert fair[0] > fair[1]
    much_later = bench.at + 120_000 * MS
    fair = [e._source.stalls[name].fair(much_later) for e in (moved, still_one)]
    assert fair[0] == pytest.approx(fair[1], rel=1e-6)
