"""What the records of a twin say, asked by its venue's dialect, is all that happened there."""

from collections import defaultdict
from decimal import Decimal

import msgspec
import pytest
from recordbench import HOUR_MS, MS, Bench, bench_of

from oneprice.model.commands import QueryAccount, QueryFills, QueryStatement
from oneprice.model.events import (
    BalanceReported,
    FillsTold,
    FrameRejected,
    FundingBooked,
    OrderFilled,
    StatementLine,
    StatementTold,
)
from oneprice.venues.bitmex import records as bitmex_records
from oneprice.venues.kucoin import records as kucoin_records
from oneprice.venues.okx import records as okx_records

VENUES = ("okx", "kucoin", "bitmex")
# Where the stream tells no fee the two ways differ in it; elsewhere in the moment alone.
FEELESS = {"kucoin"}


async def fills_of(bench: Bench, since_ms: int) -> list[OrderFilled]:
    """Of every market, told to the end."""
    found: list[OrderFilled] = []
    for market in bench.trade.spec.markets:
        out = await bench.ask(
            QueryFills(venue=bench.stage.venue, market=market, since_ms=since_ms)
        )
        end = out.pop()
        assert isinstance(end, FillsTold), (market, out, end)
        assert (end.market, end.since_ms) == (market, since_ms)
        assert all(isinstance(one, OrderFilled) for one in out), out
        assert [one.venue_ms for one in out] == sorted(one.venue_ms for one in out)
        found += out
    return found


async def lines_of(
    bench: Bench, since_ms: int, until_ms: int = 0
) -> dict[tuple[str, str, str], StatementLine]:
    """Of every wallet, told to the end; by wallet, coin and record."""
    found: dict[tuple[str, str, str], StatementLine] = {}
    for market in bench.trade.spec.markets:
        command = QueryStatement(
            venue=bench.stage.venue, market=market, since_ms=since_ms, until_ms=until_ms
        )
        out = [e for e in await bench.ask(command) if not isinstance(e, FundingBooked)]
        end = out.pop()
        assert isinstance(end, StatementTold), (market, out, end)
        names = [(one.wallet, one.asset, one.record_id) for one in out]
        assert len(set(names)) == len(names)
        found |= dict(zip(names, out, strict=True))
    return found


async def balances_of(bench: Bench) -> dict[tuple[str, str], Decimal]:
    found: dict[tuple[str, str], Decimal] = {}
    for market in bench.trade.spec.markets:
        for event in await bench.ask(QueryAccount(venue=bench.stage.venue, market=market)):
            assert not isinstance(event, FrameRejected), event
            if isinstance(event, BalanceReported):
                found[event.wallet, event.asset] = event.total
    return found


def sums_of(lines: dict[tuple[str, str, str], StatementLine]) -> dict[tuple[str, str], Decimal]:
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in lines.values():
        sums[line.wallet, line.asset] += line.amount
    return sums


def bare(fill: OrderFilled, *, feeless: bool) -> OrderFilled:
    """A fill without what may differ between the stream and the record."""
    plain = msgspec.structs.replace(fill, at=0)
    return msgspec.structs.replace(plain, fee=Decimal(0), fee_known=True) if feeless else plain


def names_of(fills: list[OrderFilled]) -> list[tuple[str, str, int]]:
    return sorted((fill.instrument, fill.fill_id, int(fill.side)) for fill in fills)


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("seed", [4, 5])
async def test_the_record_tells_the_fills_that_the_stream_told(venue: str, seed: int) -> None:
    async with bench_of(venue) as bench:
        await bench.listen()
        since = bench.stage.now_ms
        bench.live(seed, 40)
        bench.delist()
        happened = bench.exchange.fills(bench.key)
        await bench.until(lambda: len(bench.filled) >= len(happened))
        told = await fills_of(bench, since)
        assert names_of(told) == names_of(bench.filled)
        assert len(told) == len(happened)
        feeless = venue in FEELESS
        assert all(fill.fee_known for fill in told)
        assert all(fill.fee_known is not feeless for fill in bench.filled)
        by_name = {names_of([fill])[0]: fill for fill in bench.filled}
        for fill in told:
            other = by_name[names_of([fill])[0]]
            assert bare(fill, feeless=feeless) == bare(other, feeless=feeless)
            assert abs(fill.fee - other.fee) < Decimal("1e-7")  # the estimate is a good one
        ours = {fill.order_id for fill in told if fill.order_id.startswith("arb")}
        assert ours == {fill.client_id for fill in happened if fill.client_id}
        assert {fill.cause for fill in told} > {"trade"}


@pytest.mark.parametrize("venue", VENUES)
async def test_whoever_was_not_there_is_told_every_fill_with_its_order(venue: str) -> None:
    async with bench_of(venue) as bench:
        since = bench.stage.now_ms
        bench.live(6, 40)
        happened = bench.exchange.fills(bench.key)
        told = await fills_of(bench, since)
        assert len(told) == len(happened)
        ours = {fill.order_id for fill in told if fill.order_id.startswith("arb")}
        assert ours == {fill.client_id for fill in happened if fill.client_id}
        asked = bench.asked
        assert names_of(await fills_of(bench, since)) == names_of(told)
        assert bench.asked <= asked  # an order that was asked for once is remembered


@pytest.mark.parametrize("venue", VENUES)
async def test_records_of_many_pages_are_told_whole(
    venue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(okx_records, "_PAGE_ROWS", 7)
    monkeypatch.setattr(bitmex_records, "_PAGE_ROWS", 7)
    monkeypatch.setattr(bitmex_records, "_WALLET_ROWS", 3)
    for name in ("_SPOT_ROWS", "_FUTURES_ROWS", "_LEDGER_ROWS", "_ENTRY_ROWS"):
        monkeypatch.setattr(kucoin_records, name, 7)
    monkeypatch.setattr(kucoin_records, "_RECENT_ROWS", 10)
    async with bench_of(venue) as bench:
        since = bench.stage.now_ms - 60_000
        bench.live(7, 90)
        happened = bench.exchange.fills(bench.key)
        told = await fills_of(bench, since)
        assert bench.asked > 3
        assert len(set(names_of(told))) == len(happened)
        sums, held = sums_of(await lines_of(bench, since)), await balances_of(bench)
        assert {purse: amount for purse, amount in sums.items() if amount} == {
            purse: amount for purse, amount in held.items() if amount
        }


@pytest.mark.parametrize("venue", VENUES)
async def test_a_stretch_of_a_statement_has_its_own_lines_alone(venue: str) -> None:
    async with bench_of(venue) as bench:
        since = bench.stage.now_ms - 60_000
        bench.live(8, 30, jump_ms=60_000)
        middle = bench.stage.now_ms
        bench.stage.clock.offset += 60_000 * MS
        bench.live(9, 30, jump_ms=60_000)
        whole = await lines_of(bench, since)
        first = await lines_of(bench, since, middle)
        second = await lines_of(bench, middle + 1)
        assert first and second and not first.keys() & second.keys()
        assert {name: line.amount for name, line in (first | second).items()} == {
            name: line.amount for name, line in whole.items()
        }


@pytest.mark.parametrize("venue", VENUES)
async def test_what_a_bankrupt_position_could_not_pay_is_a_line_of_its_own(venue: str) -> None:
    async with bench_of(venue) as bench:
        since = bench.stage.now_ms - 60_000
        perp = next(one for one in bench.instruments if one.funding_interval_ms)
        where, at = perp.id.partition(":")[2], bench.stage.now_ms * MS
        if bench.exchange.margin_mode(bench.key, perp.id) != "isolated":
            bench.exchange.set_margin_mode(bench.key, perp.id, "isolated", at)
        bench.exchange.set_leverage(bench.key, perp.id, Decimal(50), at)
        bench.stage.open(where, "BUY", perp.size_text(1000 * int(perp.lots_min)), "60000")
        bench.stage.book(where, "40000", "40001")
        bench.stage.mark(where, "40000")
        bench.stage.clock.offset += 1000 * MS
        bench.exchange.advance(bench.stage.clock())
        wallet = bench.exchange.setup.wallets[-1].name
        assert "insurance" in {row.kind for row in bench.exchange.log(bench.key, wallet)}
        lines = await lines_of(bench, since)
        sums, held = sums_of(lines), await balances_of(bench)
        assert all(amount == held.get(purse, Decimal(0)) for purse, amount in sums.items())
        if venue != "kucoin":  # its ledger has one word for all profit and loss
            assert "liquidation" in {line.kind for line in lines.values()}


@pytest.mark.parametrize("venue", VENUES)
async def test_an_announced_delisting_reaches_the_instrument(venue: str) -> None:
    async with bench_of(venue) as bench:
        perp = next(one for one in bench.instruments if one.funding_interval_ms)
        assert bench.feed.listed[perp.id].ends == 0
        due = (bench.stage.now_ms + HOUR_MS) * MS
        bench.exchange.delist(perp.id, bench.stage.now_ms * MS, due=due)
        await bench.list_all()
        listed = bench.feed.listed[perp.id]
        assert (listed.delisting, listed.expiry, listed.ends) == (due, 0, due)
        assert listed.tradable


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_statement_sums_to_the_wallet_to_the_last_unit(venue: str, seed: int) -> None:
    async with bench_of(venue) as bench:
        start = bench.stage.now_ms
        since = start - 60_000
        bench.live(seed, 60, jump_ms=HOUR_MS // 2)
        bench.delist()
        lines = await lines_of(bench, since)
        told = await balances_of(bench)
        for purse, amount in sums_of(lines).items():
            assert amount == told.get(purse, Decimal(0)), (purse, amount, told.get(purse))
        assert {purse for purse, total in told.items() if total} <= sums_of(lines).keys()
        kinds = {line.kind for line in lines.values()}
        assert {"trade", "transfer"} <= kinds


async def funding_of(
    bench: Bench, question: type[QueryStatement] | type[QueryAccount], **more: int
) -> dict[tuple[str, str], FundingBooked]:
    """As one kind of question brings it, by instrument and record."""
    found: dict[tuple[str, str], FundingBooked] = {}
    for market in bench.trade.spec.markets:
        for event in await bench.ask(question(venue=bench.stage.venue, market=market, **more)):
            if isinstance(event, FundingBooked):
                found[event.instrument, event.record_id] = msgspec.structs.replace(event, at=0)
    return found


@pytest.mark.parametrize("venue", VENUES)
async def test_funding_beyond_the_reach_of_the_account_question_is_told_all_the_same(
    venue: str,
) -> None:
    async with bench_of(venue) as bench:
        since = bench.stage.now_ms - 60_000
        bench.live(3, 90, jump_ms=16 * HOUR_MS)
        happened = bench.exchange.fundings(bench.key)
        assert (happened[-1].at - happened[0].at) // MS > 14 * 24 * HOUR_MS
        by_account = await funding_of(bench, QueryAccount)
        by_statement = await funding_of(bench, QueryStatement, since_ms=since)
        both = by_account.keys() & by_statement.keys()
        assert all(by_account[name] == by_statement[name] for name in both), "one name for one"
        told = by_account | by_statement
        assert sorted(abs(one.amount) for one in told.values() if one.amount) == sorted(
            abs(one.amount) for one in happened if one.amount
        )
        if venue == "okx":  # a week
            assert len(by_account) < len(happened)
        if venue != "kucoin":  # its ledger tells funding and profit in one word
            assert by_statement.keys() >= by_account.keys()


@pytest.mark.parametrize("venue", VENUES)
async def test_money_that_moves_without_a_trade_is_told_by_the_stream_too(venue: str) -> None:
    async with bench_of(venue) as bench:
        await bench.listen()
        kinds = ("deposit", "withdrawal", "interest", "rebate", "bonus", "correction")
        for wallet in bench.exchange.setup.wallets:
            coin = bench.exchange.balances(bench.key, wallet.name)[0].asset
            for kind in kinds:
                at = bench.stage.now_ms * MS
                before = len(bench.heard)
                bench.exchange.move_money(
                    bench.key, coin, Decimal("0.25"), kind, at, wallet=wallet.name
                )
                total = bench.exchange.balance(bench.key, wallet.name, coin).total
                await bench.until(
                    lambda total=total, before=before: any(
                        isinstance(event, BalanceReported) and event.total == total
                        for event in bench.heard[before:]
                    )
                )
