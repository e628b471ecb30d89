"""Cards about the account: money, positions, fees, settlements, modes, keys, forced fills."""

from decimal import Decimal

from oneprice.app.cards.bench import Bench
from oneprice.app.cards.contract import Card, check, equal
from oneprice.app.cards.orders import AWAY_BPS, THROUGH_BPS
from oneprice.model.commands import (
    CancelAll,
    QueryAccount,
    QueryKey,
    SetLeverage,
    SetPositionMode,
    TimeInForce,
)
from oneprice.model.events import (
    AccountChecked,
    BalanceReported,
    FeesReported,
    FundingBooked,
    KeyReported,
    LeverageReported,
    OpenOrderReported,
    OrderFilled,
    PositionModeReported,
    PositionReported,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import Side

TINY = Decimal("0.0000001")


def perp_of(bench: Bench) -> Instrument:
    """CardFailed where the venue has none."""
    check(bench.perp is not None, "a perpetual", None)
    assert bench.perp is not None
    return bench.perp


async def deal(bench: Bench, instrument: Instrument, side: Side, lots: int = 0) -> None:
    """An order that takes what it needs; back when it is over."""
    order = bench.order(instrument, side, away_bps=THROUGH_BPS, lots=lots)
    bench.say(order)
    await bench.outcome(order.order_id)


async def flat(bench: Bench) -> None:
    """No position in any market: some venues hold modes for all of them together."""
    for instrument in bench.instruments:
        held = instrument.is_derivative and bench.exchange.position(bench.key, instrument.id).lots
        if held:
            side = Side.SELL if held > 0 else Side.BUY
            order = bench.order(
                instrument, side, away_bps=THROUGH_BPS, lots=abs(held), reduce_only=True
            )
            bench.say(order)
            await bench.outcome(order.order_id)


async def position_stream(bench: Bench) -> None:
    """A position that changes is told unasked, with its sign."""
    perp = perp_of(bench)
    mark = bench.mark()
    await deal(bench, perp, Side.SELL)
    true = bench.exchange.position(bench.key, perp.id).lots
    await bench.event(
        PositionReported, lambda e: e.instrument == perp.id and e.lots == true, since=mark
    )
    await flat(bench)


async def balance_stream(bench: Bench) -> None:
    """A balance that changes is told unasked, and is the venue's to the last unit."""
    instrument = bench.spot or perp_of(bench)
    mark = bench.mark()
    await deal(bench, instrument, Side.BUY)
    wallet = bench.exchange.wallet_of(instrument.market)

    def agrees() -> bool:
        told = {e.asset: e.total for e in bench.find(BalanceReported, since=mark)}
        return bool(told) and all(
            abs(total - _total(bench, wallet, asset)) <= TINY for asset, total in told.items()
        )

    await bench.until(agrees, "balances equal to the venue's")


def _total(bench: Bench, wallet: str, asset: str) -> Decimal:
    for balance in bench.exchange.balances(bench.key, wallet):
        if canonical(balance.asset) == asset:
            return balance.total
    return Decimal(0)


def canonical(asset: str) -> str:
    """Two venues write XBT for the coin that everybody else calls BTC."""
    return "BTC" if asset == "XBT" else asset


async def account_query(bench: Bench) -> None:
    """Asked about an account, a dialect tells balances, positions and open orders in full."""
    perp = bench.perp
    if perp is not None:
        await deal(bench, perp, Side.BUY)
    for market in dict.fromkeys(i.market for i in bench.instruments):
        mark = bench.mark()
        bench.say(QueryAccount(venue=bench.venue, market=market))
        await bench.event(AccountChecked, lambda e, m=market: e.market == m, since=mark)  # type: ignore[misc]
        wallet = bench.exchange.wallet_of(market)
        told = {e.asset: e.total for e in bench.find(BalanceReported, since=mark)}
        for balance in bench.exchange.balances(bench.key, wallet):
            asset = canonical(balance.asset)
            ours = told.get(asset, Decimal(0))
            check(abs(ours - balance.total) <= TINY, f"{asset} {balance.total}", ours)
        for held in bench.exchange.positions(bench.key, market):
            lots = {e.instrument: int(e.lots) for e in bench.find(PositionReported, since=mark)}
            equal(f"position {held.instrument}", lots.get(held.instrument, 0), held.lots)
    if perp is not None:
        await flat(bench)


async def open_orders(bench: Bench) -> None:
    """Orders that rest at the venue are told when the account is asked about."""
    instrument = bench.instruments[0]
    order = bench.order(instrument, Side.BUY, away_bps=AWAY_BPS, tif=TimeInForce.GTC)
    bench.say(order)
    await bench.until(
        lambda: bool(bench.exchange.orders(bench.key, instrument=instrument.id, only_open=True)),
        "a resting order",
    )
    mark = bench.mark()
    bench.say(QueryAccount(venue=bench.venue, market=instrument.market))
    told = await bench.event(
        OpenOrderReported, lambda e: e.order_id == order.order_id, since=mark
    )
    equal("open order", (told.ticks, told.lots, told.side), (order.ticks, order.lots, order.side))
    bench.say(CancelAll(instrument=instrument.id))
    await bench.outcome(order.order_id)


async def fee_query(bench: Bench) -> None:
    """The fee tier of the account is the venue's, for every market."""
    for instrument in bench.instruments:
        mark = bench.mark()
        bench.say(QueryAccount(venue=bench.venue, market=instrument.market))
        await bench.event(
            AccountChecked, lambda e, i=instrument: e.market == i.market, since=mark  # type: ignore[misc]
        )
        told = bench.find(
            FeesReported,
            lambda e, i=instrument: e.market == i.market and e.symbol in ("", i.symbol),  # type: ignore[misc]
        )
        check(bool(told), f"fees of {instrument.id}", told)
        own = [e for e in told if e.symbol] or told
        equal(
            f"fees of {instrument.id}",
            (own[-1].maker, own[-1].taker),
            bench.exchange.fees(bench.key, instrument.id),
        )


async def funding_booked(bench: Bench) -> None:
    """What was paid or received at a settlement is booked from the venue's own record, once."""
    perp = perp_of(bench)
    if not bench.exchange.position(bench.key, perp.id).lots:
        await deal(bench, perp, Side.BUY)
    await bench.until(
        lambda: any(
            r.instrument == perp.id for r in bench.exchange.fundings(bench.key, market=perp.market)
        ),
        "a settlement at the venue",
        40,
    )
    row = next(
        r
        for r in bench.exchange.fundings(bench.key, market=perp.market)
        if r.instrument == perp.id
    )
    for _ in range(8):
        if bench.find(FundingBooked, lambda e: e.instrument == perp.id):
            break
        bench.say(QueryAccount(venue=bench.venue, market=perp.market))
        await bench.rest(1.0)
    told = bench.find(FundingBooked, lambda e: e.instrument == perp.id)
    check(bool(told), "a record of the settlement", told)
    check(abs(told[0].amount - row.amount) <= TINY, f"amount {row.amount}", told[0].amount)
    equal("asset", told[0].asset, canonical(row.asset))
    check(len({e.record_id for e in told}) == 1, "one record id", {e.record_id for e in told})
    await flat(bench)


async def position_mode(bench: Bench) -> None:
    """One-way or hedge is read, and can be set while nothing is open."""
    perp = perp_of(bench)
    await flat(bench)
    mark = bench.mark()
    bench.say(QueryAccount(venue=bench.venue, market=perp.market))
    told = await bench.event(PositionModeReported, since=mark)
    equal("mode", told.mode, "one_way")
    bench.exchange.set_hedge_mode(bench.key, perp.market, True, bench.now())
    mark = bench.mark()
    bench.say(QueryAccount(venue=bench.venue, market=perp.market))
    await bench.event(PositionModeReported, lambda e: e.mode == "hedge", since=mark)
    bench.say(
        SetPositionMode(
            venue=bench.venue, market=perp.market, mode="one_way", symbol=told.symbol
        )
    )
    await bench.until(
        lambda: not bench.exchange.hedge_mode(bench.key, perp.market), "one-way mode at the venue"
    )


async def leverage(bench: Bench) -> None:
    """The leverage of an instrument is read, and can be set while nothing is open."""
    perp = perp_of(bench)
    await flat(bench)
    mark = bench.mark()
    bench.say(SetLeverage(instrument=perp.id, leverage=Decimal(3)))
    await bench.until(  # where each order brings its leverage along the dialect knows alone
        lambda: bench.exchange.leverage(bench.key, perp.id) == 3
        or any(e.leverage == 3 for e in bench.find(LeverageReported, since=mark)),
        "leverage 3",
    )
    mark = bench.mark()
    await deal(bench, perp, Side.BUY)  # some venues tell the leverage of positions only
    equal("leverage at the venue", bench.exchange.leverage(bench.key, perp.id), Decimal(3))
    bench.say(QueryAccount(venue=bench.venue, market=perp.market))
    told = await bench.event(
        LeverageReported, lambda e: e.instrument == perp.id, since=mark
    )
    equal("leverage", told.leverage, Decimal(3))
    await flat(bench)


async def key_query(bench: Bench) -> None:
    """What the API key may do is known: trade, and not withdraw."""
    bench.say(QueryKey(venue=bench.venue))
    told = await bench.event(KeyReported)
    check(told.may_trade and not told.may_withdraw, "a key to trade, not to withdraw", told)


async def liquidated(bench: Bench) -> None:
    """A forced fill is told as what it is, and as none of our orders."""
    await _forced(bench, "liquidation")


async def deleveraged(bench: Bench) -> None:
    """An automatic deleveraging is told as what it is, as far as the venue tells it apart."""
    await _forced(bench, "adl")


async def _forced(bench: Bench, cause: str) -> None:
    perp = perp_of(bench)
    await deal(bench, perp, Side.BUY)
    mark = bench.mark()
    if cause == "adl":
        held = bench.exchange.position(bench.key, perp.id).lots
        bench.exchange.force_adl(bench.key, perp.id, abs(held), bench.now())
    else:
        bench.exchange.force_liquidation(bench.key, perp.id, 0, bench.now())
    told = await bench.event(
        OrderFilled, lambda e: e.instrument == perp.id and e.cause != "trade", since=mark
    )
    known = cause if bench.feed.spec.tells_adl else "liquidation"
    equal("cause", told.cause, known)
    equal("order id", told.order_id, "")


CARDS = (
    Card(number=40, name="balances, positions asked for", play=account_query,
         feature="account_query"),
    Card(number=41, name="open orders asked for", play=open_orders, feature="account_query"),
    Card(number=42, name="positions as they change", play=position_stream,
         feature="position_stream"),
    Card(number=43, name="balances as they change", play=balance_stream, feature="balance_stream"),
    Card(number=44, name="fee tier", play=fee_query, feature="fee_query"),
    Card(number=45, name="position mode read and set", play=position_mode,
         feature="position_mode"),
    Card(number=46, name="leverage read and set", play=leverage, feature="leverage"),
    Card(number=47, name="permissions of the key", play=key_query, feature="key_query"),
    Card(number=48, name="funding from the venue's record", play=funding_booked,
         feature="funding_booked", bench="settling"),
    Card(number=49, name="a liquidation is no fill of ours", play=liquidated,
         feature="position_stream"),
    Card(number=50, name="a deleveraging is no fill of ours", play=deleveraged,
         feature="position_stream"),
)  # fmt: skip
