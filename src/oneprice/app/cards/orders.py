"""Cards about orders: placing in every way, changing, cancelling, refusals, unsure outcomes."""

from contextlib import suppress
from decimal import Decimal

import msgspec

from oneprice.app.cards.bench import Bench
from oneprice.app.cards.contract import Card, check, equal
from oneprice.app.station import NotHeard
from oneprice.model.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    PlaceOrder,
    QueryOrder,
    TimeInForce,
)
from oneprice.model.events import (
    CancelRefused,
    OrderAccepted,
    OrderAmended,
    OrderEnded,
    OrderFilled,
    OrderMissing,
    OrderRefused,
    OrderUncertain,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import ZERO, Lots, OrderId, Side, Ticks
from oneprice.twin.contract import Order, OrderRequest, SelfTrade

AWAY_BPS = 40  # rests, and lies within every venue's price band
THROUGH_BPS = -30  # fills


def _theirs(bench: Bench, order: PlaceOrder) -> Order:
    """The twin's own view of an order of ours, whatever id it went by on the wire."""
    found = [
        o
        for o in bench.exchange.orders(bench.key, instrument=order.instrument)
        if o.client_id and (order.order_id in o.client_id or _bare(order.order_id) in o.client_id)
    ]
    check(len(found) == 1, f"one order {order.order_id} at the venue", len(found))
    return found[0]


def _bare(order_id: str) -> str:
    # Venues that take letters and digits only.
    return "".join(c for c in order_id if c.isalnum())


async def _fill(bench: Bench, instrument: Instrument, side: Side) -> PlaceOrder:
    order = bench.order(instrument, side, away_bps=THROUGH_BPS)
    bench.say(order)
    ended = await bench.outcome(order.order_id)
    check(isinstance(ended, OrderEnded), "an order that filled", ended)
    return order


async def _rest(bench: Bench, instrument: Instrument, side: Side = Side.BUY) -> PlaceOrder:
    order = bench.order(instrument, side, away_bps=AWAY_BPS, tif=TimeInForce.GTC)
    bench.say(order)
    await bench.event(OrderAccepted, lambda e: e.order_id == order.order_id)
    await bench.until(lambda: _theirs(bench, order).open, "the order to rest at the venue")
    return order


async def fill(bench: Bench) -> None:
    """A marketable order fills: every fill once, with the venue's price, size and fee."""
    for instrument in bench.instruments:
        for side in (Side.BUY, Side.SELL):
            order = await _fill(bench, instrument, side)
            await _fills_equal(bench, order)


async def _fills_equal(bench: Bench, order: PlaceOrder) -> None:
    there = _theirs(bench, order)
    rows = bench.exchange.fills(bench.key, order_id=there.id)
    await bench.until(
        lambda: len(_fills(bench, order)) >= len(rows), f"{len(rows)} fills of {order.instrument}"
    )
    ours = _fills(bench, order)
    equal("fills", len(ours), len(rows))
    equal("filled lots", sum(int(f.lots) for f in ours), there.filled_lots)
    equal("value", sum(f.ticks * f.lots for f in ours), sum(r.ticks * r.lots for r in rows))
    paid, owed = sum((f.fee for f in ours), ZERO), sum((r.fee for r in rows), ZERO)
    check(abs(paid - owed) <= Decimal("0.00000001"), f"fees {owed}", paid)
    check({f.maker for f in ours} == {r.maker for r in rows}, "maker as the venue", ours)


def _fills(bench: Bench, order: PlaceOrder) -> list[OrderFilled]:
    """Each once, as the engine counts them: by instrument, fill id and side."""
    found = bench.find(OrderFilled, lambda e: e.order_id == order.order_id)
    return list({(f.instrument, f.fill_id, f.side): f for f in found}.values())


async def missed(bench: Bench) -> None:
    """An IOC that meets nobody ends with nothing filled."""
    order = bench.order(bench.instruments[0], Side.BUY, away_bps=AWAY_BPS)
    bench.say(order)
    ended = await bench.outcome(order.order_id)
    check(isinstance(ended, OrderEnded) and ended.filled_lots == 0, "an end without fills", ended)


async def cancel(bench: Bench) -> None:
    """A resting order is cancelled by our id; cancelling it again is refused, not believed."""
    for instrument in bench.instruments:
        order = await _rest(bench, instrument)
        wish = CancelOrder(order_id=order.order_id, instrument=order.instrument)
        bench.say(wish)
        ended = await bench.outcome(order.order_id)
        check(isinstance(ended, OrderEnded) and ended.filled_lots == 0, "cancelled", ended)
        check(not _theirs(bench, order).open, "no open order at the venue", "one")
        bench.say(wish)
        await bench.event(CancelRefused, lambda e, o=order: e.order_id == o.order_id)  # type: ignore[misc]


async def cancel_all(bench: Bench) -> None:
    """Everything that rests in an instrument is cancelled, and nothing else."""
    first, other = bench.instruments[0], bench.instruments[-1]
    mine = [await _rest(bench, first), await _rest(bench, first, Side.SELL)]
    kept = await _rest(bench, other) if other is not first else None
    bench.say(CancelAll(instrument=first.id))
    for order in mine:
        ended = await bench.outcome(order.order_id)
        check(isinstance(ended, OrderEnded), "cancelled", ended)
    if kept is not None:
        check(_theirs(bench, kept).open, "the order in the other instrument to rest still", "gone")
        bench.say(CancelOrder(order_id=kept.order_id, instrument=kept.instrument))
        await bench.outcome(kept.order_id)


async def amend(bench: Bench) -> None:
    """Price and size of a resting order change under the same id; of a gone one they do not."""
    order = await _rest(bench, bench.instruments[0])
    ticks, lots = order.ticks - 3, order.lots * 2
    wish = AmendOrder(
        order_id=order.order_id,
        instrument=order.instrument,
        side=order.side,
        ticks=Ticks(ticks),
        lots=Lots(lots),
    )
    bench.say(wish)
    told = await bench.event(OrderAmended, lambda e: e.order_id == order.order_id)
    equal("amended to", (told.ticks, told.lots), (ticks, lots))
    bench.say(CancelOrder(order_id=order.order_id, instrument=order.instrument))
    await bench.until(
        lambda: not _open(bench, order.instrument), "no open order at the venue"
    )


def _open(bench: Bench, instrument: str) -> list[Order]:
    return bench.exchange.orders(bench.key, instrument=instrument, only_open=True)


async def batch(bench: Bench) -> None:
    """Several orders leave together and are told apart; so are several cancels.

    Not every market of a venue has batches: where it has none the orders leave one by one.
    """
    fewer = [await _batch(bench, instrument) for instrument in bench.instruments]
    check(any(fewer), "a market where orders share requests", fewer)


async def _batch(bench: Bench, instrument: Instrument) -> bool:
    """Whether the orders shared requests."""
    wishes = [
        bench.order(instrument, Side.BUY, away_bps=AWAY_BPS + n, tif=TimeInForce.GTC)
        for n in range(3)
    ]
    requests = bench.trade.batch(wishes, bench.clock.now())
    bench.send(requests)
    for order in wishes:
        await bench.event(OrderAccepted, lambda e, o=order: e.order_id == o.order_id)  # type: ignore[misc]
    cancels = [CancelOrder(order_id=o.order_id, instrument=o.instrument) for o in wishes]
    bench.send(bench.trade.batch(cancels, bench.clock.now()))
    for order in wishes:
        ended = await bench.outcome(order.order_id)
        check(isinstance(ended, OrderEnded), "cancelled", ended)
    return len(requests) < len(wishes)


async def post_only(bench: Bench) -> None:
    """A post-only order that would take never fills."""
    order = bench.order(
        bench.instruments[0], Side.BUY, away_bps=THROUGH_BPS, tif=TimeInForce.POST_ONLY
    )
    bench.say(order)
    await bench.outcome(order.order_id)
    check(not _fills(bench, order), "no fills", _fills(bench, order))


async def fill_or_kill(bench: Bench) -> None:
    """A fill-or-kill order larger than the market within its limit does not fill at all."""
    covered = bench.feed.spec.fill_or_kill_markets or bench.feed.spec.markets
    mine = [i for i in bench.instruments if i.market in covered]
    check(bool(mine), f"an instrument of {covered}", mine)
    instrument = mine[-1]
    view = bench.exchange.book(instrument.id)
    limit = view.asks[0][0]
    there = sum(lots for ticks, lots in view.asks if ticks <= limit + limit // 2000)
    order = msgspec.structs.replace(
        bench.order(instrument, Side.BUY, tif=TimeInForce.FOK, lots=there * 3),
        ticks=Ticks(limit),
    )
    bench.say(order)
    ended = await bench.outcome(order.order_id)
    filled = ended.filled_lots if isinstance(ended, OrderEnded) else 0
    check(filled == 0 and not _fills(bench, order), "nothing filled", ended)


async def reduce_only(bench: Bench) -> None:
    """A reduce-only order never opens a position."""
    perp = bench.perp
    check(perp is not None, "a perpetual", None)
    assert perp is not None
    held = sum(p.lots for p in bench.exchange.positions(bench.key, perp.market)
               if p.instrument == perp.id)  # fmt: skip
    if held:  # flatten first
        side = Side.SELL if held > 0 else Side.BUY
        order = bench.order(perp, side, away_bps=THROUGH_BPS, lots=abs(held), reduce_only=True)
        bench.say(order)
        await bench.outcome(order.order_id)
        await bench.until(
            lambda: bench.exchange.position(bench.key, perp.id).lots == 0, "a flat position"
        )
    order = bench.order(perp, Side.BUY, away_bps=THROUGH_BPS, reduce_only=True)
    bench.say(order)
    await bench.outcome(order.order_id)
    check(not _fills(bench, order), "no fills", _fills(bench, order))
    equal("position", bench.exchange.position(bench.key, perp.id).lots, 0)


async def self_trade(bench: Bench) -> None:
    """Two orders of ours never trade with each other."""
    instrument = bench.instruments[0]
    view = bench.exchange.book(instrument.id, 1)
    gap = view.asks[0][0] - view.bids[0][0]
    resting = msgspec.structs.replace(
        bench.order(instrument, Side.BUY, tif=TimeInForce.GTC),
        ticks=Ticks(view.asks[0][0] - max(1, gap // 3)),
    )
    bench.say(resting)
    await bench.event(OrderAccepted, lambda e: e.order_id == resting.order_id)
    crossing = msgspec.structs.replace(
        bench.order(instrument, Side.SELL, lots=resting.lots), ticks=Ticks(resting.ticks - 1)
    )
    bench.say(crossing)
    await bench.outcome(crossing.order_id)
    bought = {f.fill_id for f in _fills(bench, resting)}
    sold = {f.fill_id for f in _fills(bench, crossing)}
    own = [
        o.self_trade
        for o in bench.exchange.orders(bench.key, instrument=instrument.id)[-2:]
    ]
    check(SelfTrade.NONE not in own, "self-trade prevention on every order", own)
    check(not bought & sold, "no trade with ourselves", bought & sold)
    bench.say(CancelAll(instrument=instrument.id))
    await bench.outcome(resting.order_id)


async def dead_man(bench: Bench) -> None:
    """When we fall silent the venue cancels what rests, by itself."""
    covered = bench.feed.spec.dead_man_markets or bench.feed.spec.markets
    mine = [i for i in bench.instruments if i.market in covered]
    check(bool(mine), f"an instrument of {covered}", mine)
    instrument = next((i for i in mine if i is bench.perp), mine[0])
    order = await _rest(bench, instrument)
    await bench.rest(1.5)
    check(_theirs(bench, order).open, "the order to rest while we are there", "gone")
    await bench.gateway.close()
    await bench.until(lambda: not _theirs(bench, order).open, "the venue to cancel it", 45)


async def order_query(bench: Bench) -> None:
    """A question by our id tells the fills and the end; of an unknown id that there is none."""
    for instrument in bench.instruments:
        order = await _fill(bench, instrument, Side.BUY)
        mark = bench.mark()
        bench.say(QueryOrder(order_id=order.order_id, instrument=order.instrument))
        ended = await bench.event(
            OrderEnded, lambda e, o=order: e.order_id == o.order_id, since=mark  # type: ignore[misc]
        )
        equal("filled lots", ended.filled_lots, _theirs(bench, order).filled_lots)
        await bench.event(
            OrderFilled, lambda e, o=order: e.order_id == o.order_id, since=mark,  # type: ignore[misc]
            what="the fills, asked for",
        )  # fmt: skip
    nobody = bench.order_id()
    bench.say(QueryOrder(order_id=nobody, instrument=bench.instruments[0].id))
    await bench.event(OrderMissing, lambda e: e.order_id == nobody)


async def answer_lost(bench: Bench) -> None:
    """An answer that never comes leaves the order unknown, and a question finds it."""
    order = bench.order(bench.instruments[0], Side.BUY, away_bps=THROUGH_BPS)
    bench.faults.arm("answer_lost")
    bench.say(order)
    await bench.until(
        lambda: bool(
            bench.find(OrderUncertain, lambda e: e.order_id == order.order_id)
            or bench.find(OrderEnded, lambda e: e.order_id == order.order_id)
        ),
        "doubt, or the stream's own word",
    )
    check(
        not bench.find(OrderRefused, lambda e: e.order_id == order.order_id),
        "no claim that it failed",
        "one",
    )
    bench.say(QueryOrder(order_id=order.order_id, instrument=order.instrument))
    ended = await bench.outcome(order.order_id)
    check(isinstance(ended, OrderEnded), "its end", ended)
    await _fills_equal(bench, order)


async def refusals(bench: Bench) -> None:
    """What a venue refuses is refused in our words, and certainly never lived."""
    for instrument in bench.instruments:
        worth = instrument.notional(bench.exchange.book(instrument.id, 1).asks[0][0], 1)
        poor = int(Decimal(30_000_000) / worth)  # more than any twin's customer has
        poor = min(poor, int(instrument.lots_max)) if instrument.lots_max else poor
        await _refused(bench, instrument, poor, ("insufficient_funds", "too_large"))
        if instrument.lots_max:
            beyond = int(instrument.lots_max) * 10
            # Some venues have one text for every wrong size.
            words = ("too_large", "insufficient_funds", "bad_parameter", "off_grid")
            await _refused(bench, instrument, beyond, words)


async def _refused(
    bench: Bench, instrument: Instrument, lots: int, words: tuple[str, ...]
) -> None:
    wish = bench.order(instrument, Side.BUY, away_bps=AWAY_BPS, lots=lots, tif=TimeInForce.GTC)
    bench.say(wish)
    ended = await bench.outcome(wish.order_id)
    check(isinstance(ended, OrderRefused), f"{instrument.id}: a refusal ({words[0]})", ended)
    assert isinstance(ended, OrderRefused)
    check(ended.reason in words, f"one of {words}", f"{ended.reason}: {ended.text}")
    check(not _fills(bench, wish), "no fills", _fills(bench, wish))


async def cancelled_by_the_venue(bench: Bench) -> None:
    """What the venue does with an order by itself is heard on the stream, unasked."""
    order = await _rest(bench, bench.instruments[0])
    bench.exchange.cancel(bench.key, _theirs(bench, order).id, bench.now())
    ended = await bench.outcome(order.order_id)
    check(isinstance(ended, OrderEnded), "its end", ended)


async def filled_while_resting(bench: Bench) -> None:
    """A resting order that somebody meets is heard as a maker's fill, unasked."""
    for _ in range(6):  # the market may walk away from it
        order = await _rest_in_front(bench, bench.instruments[0])
        fills = bench.find(OrderFilled, lambda e, o=order: e.order_id == o.order_id)  # type: ignore[misc]
        if fills:
            check(fills[0].lots <= order.lots, "no more than ordered", fills[0].lots)
            await _fills_equal(bench, order)
            return
    check(False, "somebody who meets it", "nobody did")


async def _rest_in_front(bench: Bench, instrument: Instrument) -> PlaceOrder:
    """An order before all others of its side, until it is over or a few seconds are."""
    touch = bench.exchange.book(instrument.id, 1).bids[0][0]
    order = msgspec.structs.replace(
        bench.order(instrument, Side.BUY, tif=TimeInForce.GTC), ticks=Ticks(touch + 1)
    )
    bench.say(order)
    with suppress(NotHeard):
        await bench.outcome(order.order_id)
        return order
    bench.say(CancelOrder(order_id=order.order_id, instrument=instrument.id))
    await bench.outcome(order.order_id)
    return order


async def stranger(bench: Bench) -> None:
    """An order that somebody placed by hand is told of, and never taken for ours."""
    instrument = bench.instruments[0]
    view = bench.exchange.book(instrument.id, 1)
    ticks = view.bids[0][0] * (10_000 - AWAY_BPS) // 10_000
    by_hand = OrderRequest(
        account=bench.key,
        instrument=instrument.id,
        side=Side.BUY,
        lots=bench.order(instrument, Side.BUY).lots,
        ticks=ticks,
        client_id="",
    )
    before, mark = _told(bench, 0), bench.mark()
    placed = bench.exchange.place(by_hand, bench.now())
    await bench.rest(0.3)
    # News of our own earlier orders may come late.
    known = [name for name in _told(bench, mark) if name not in before]
    check(not any(_is_ours(bench, name) for name in known), "no order of ours", known)
    bench.exchange.cancel(bench.key, placed.id, bench.now())


def _told(bench: Bench, mark: int) -> dict[OrderId, None]:
    """The orders that something was said of since a mark."""
    names = [event.order_id for event in bench.find(OrderAccepted, since=mark)]
    names += [event.order_id for event in bench.find(OrderEnded, since=mark)]
    return dict.fromkeys(name for name in names if name)


def _is_ours(bench: Bench, order_id: str) -> bool:
    return order_id.startswith(bench.order_prefix)


CARDS = (
    Card(number=20, name="orders by socket fill and are accounted", play=fill,
         feature="order_entry_socket"),
    Card(number=21, name="orders by REST fill and are accounted", play=fill,
         feature="order_entry_rest", bench="rest"),
    Card(number=22, name="an order that misses ends empty", play=missed),
    Card(number=23, name="cancel by our id", play=cancel, feature="cancel"),
    Card(number=24, name="cancel all of one instrument", play=cancel_all, feature="cancel_all"),
    Card(number=25, name="amend", play=amend, feature="amend"),
    Card(number=26, name="batches", play=batch, feature="batch"),
    Card(number=27, name="post-only never takes", play=post_only, feature="post_only"),
    Card(number=28, name="fill or kill", play=fill_or_kill, feature="fill_or_kill"),
    Card(number=29, name="reduce-only never opens", play=reduce_only, feature="reduce_only"),
    Card(number=30, name="no trade with ourselves", play=self_trade,
         feature="self_trade_prevention"),
    Card(number=31, name="dead man's switch", play=dead_man, feature="dead_man_switch",
         bench="dead_man"),
    Card(number=32, name="an order asked for by our id", play=order_query, feature="order_query"),
    Card(number=33, name="a lost answer is doubt, not failure", play=answer_lost),
    Card(number=34, name="refusals in our words", play=refusals),
    Card(number=35, name="the venue's own cancel is heard", play=cancelled_by_the_venue,
         feature="order_stream"),
    Card(number=36, name="a maker's fill is heard", play=filled_while_resting,
         feature="fill_stream"),
    Card(number=37, name="a stranger's order is not ours", play=stranger, feature="order_stream"),
)  # fmt: skip
