"""Cards about the venue's own records: fills asked for by time, and the statement of a wallet."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from oneprice.app.cards.account import canonical, deal, flat, perp_of
from oneprice.app.cards.bench import Bench
from oneprice.app.cards.contract import Card, check, equal
from oneprice.model.commands import QueryFills, QueryStatement
from oneprice.model.events import (
    BalanceReported,
    FillsTold,
    OrderFilled,
    StatementLine,
    StatementTold,
)
from oneprice.model.units import MILLI, ZERO, Asset, Money, Side

LEAD_S = 0.02  # so that nothing of before is within the stretch asked about
QUIET_S = 0.3  # what a trade changes is told by then

Purse = tuple[str, Asset]  # wallet, coin


async def _from_now(bench: Bench) -> int:
    """A moment of the venue's clock, epoch ms, before everything that happens next."""
    await bench.rest(LEAD_S)
    since_ms = bench.now() // MILLI
    await bench.rest(LEAD_S)
    return since_ms


def _markets(bench: Bench) -> list[str]:
    return list(dict.fromkeys(instrument.market for instrument in bench.instruments))


async def fills_by_cursor(bench: Bench) -> None:
    """Fills asked for since a moment are those that the stream told, forced ones included."""
    since_ms = await _from_now(bench)
    mark = bench.mark()
    before = len(bench.exchange.fills(bench.key))
    for instrument in bench.instruments:
        await deal(bench, instrument, Side.BUY)
    await flat(bench)
    perp = perp_of(bench)
    await deal(bench, perp, Side.BUY)
    bench.exchange.force_liquidation(bench.key, perp.id, 0, bench.now())
    await bench.event(OrderFilled, lambda e: e.cause != "trade", since=mark)
    await bench.rest(QUIET_S)
    count = len(bench.exchange.fills(bench.key)) - before
    await bench.until(
        lambda: len(_told(bench, mark, since_ms)) >= count, f"{count} fills in the stream"
    )
    streamed = _told(bench, mark, since_ms)
    for market in _markets(bench):
        mark = bench.mark()
        bench.say(QueryFills(venue=bench.venue, market=market, since_ms=since_ms))
        told = await bench.event(FillsTold, lambda e, m=market: e.market == m, since=mark)  # type: ignore[misc]
        check(told.since_ms <= since_ms < told.until_ms, f"told since {since_ms}", told)
        asked = _of(market, _told(bench, mark, since_ms))
        ours = _of(market, streamed)
        equal(f"fills of {market}", sorted(asked), sorted(ours))
        for key, event in asked.items():
            _same(event, ours[key])


def _told(bench: Bench, mark: int, since_ms: int) -> dict[tuple[str, str], OrderFilled]:
    """Told since a mark, and done since a moment: a fee may be told of an older one."""
    told = bench.find(OrderFilled, since=mark)
    return {_key(event): event for event in told if event.venue_ms >= since_ms}


def _of(
    market: str, fills: Mapping[tuple[str, str], OrderFilled]
) -> dict[tuple[str, str], OrderFilled]:
    return {key: fill for key, fill in fills.items() if key[0].split(":")[1] == market}


def _key(event: OrderFilled) -> tuple[str, str]:
    return event.instrument, event.fill_id


def _same(asked: OrderFilled, streamed: OrderFilled) -> None:
    """Equal in all but the moment we learned it; a fee only where the stream told one."""
    told = msgspec.structs.replace(asked, at=streamed.at)
    if not streamed.fee_known:
        told = msgspec.structs.replace(
            told, fee=streamed.fee, fee_asset=streamed.fee_asset, fee_known=False
        )
    equal(f"fill {asked.fill_id}", told, streamed)


async def statement_sums(bench: Bench) -> None:
    """What the statement tells of a stretch sums to what the balances changed, to the unit."""
    await flat(bench)
    await bench.rest(QUIET_S)
    since_ms = await _from_now(bench)
    before = _balances(bench)
    for instrument in bench.instruments:
        await deal(bench, instrument, Side.BUY)
    await flat(bench)
    perp = perp_of(bench)
    wallet = bench.exchange.wallet_of(perp.market)
    coin = next(b.asset for b in bench.exchange.balances(bench.key, wallet) if b.available > 1)
    for kind, amount in (("deposit", "0.5"), ("withdrawal", "0.25"), ("rebate", "0.125")):
        money = Decimal(amount)
        bench.exchange.move_money(bench.key, coin, money, kind, bench.now(), wallet=wallet)
    await deal(bench, perp, Side.SELL)
    bench.exchange.force_liquidation(bench.key, perp.id, 0, bench.now())
    await bench.rest(QUIET_S)
    lines: dict[tuple[str, Asset, str], StatementLine] = {}
    wallets: dict[str, None] = {}
    for market in _markets(bench):
        command = QueryStatement(venue=bench.venue, market=market, since_ms=since_ms)
        requests = bench.trade.encode(command, bench.clock.now())
        if not requests:
            continue  # the venue keeps no statement of that wallet
        wallets[bench.exchange.wallet_of(market)] = None
        mark = bench.mark()
        bench.send(requests)
        told = await bench.event(StatementTold, lambda e, m=market: e.market == m, since=mark)  # type: ignore[misc]
        check(told.since_ms <= since_ms < told.until_ms, f"told since {since_ms}", told)
        for line in bench.find(StatementLine, since=mark):
            lines[line.wallet, line.asset, line.record_id] = line
    check(bool(lines) or not wallets, "a statement", list(wallets))
    names = {event.wallet for event in bench.find(BalanceReported)}
    for line in lines.values():
        check(line.wallet in names, f"a wallet of {sorted(names)}", line.wallet)
    _compare(bench, wallets, before, list(lines.values()))


def _balances(bench: Bench) -> dict[Purse, Money]:
    return {
        (wallet.name, canonical(balance.asset)): balance.total
        for wallet in bench.exchange.setup.wallets
        for balance in bench.exchange.balances(bench.key, wallet.name)
    }


def _compare(
    bench: Bench,
    wallets: Mapping[str, None],
    before: Mapping[Purse, Money],
    lines: list[StatementLine],
) -> None:
    """Coin by coin: a twin's wallet of one name is the dialect's wallet of whatever name."""
    changed: dict[Asset, Money] = {}
    for (wallet, asset), total in _balances(bench).items():
        if wallet in wallets:
            change = total - before.get((wallet, asset), ZERO)
            changed[asset] = changed.get(asset, ZERO) + change
    told = dict.fromkeys(changed, ZERO)
    for line in lines:
        told[line.asset] = told.get(line.asset, ZERO) + line.amount
    equal("sums of the statement", told, changed)


CARDS = (
    Card(number=51, name="fills by cursor are the stream's", play=fills_by_cursor,
         feature="fill_query"),
    Card(number=52, name="the statement sums to the balance", play=statement_sums,
         feature="statement"),
)  # fmt: skip
