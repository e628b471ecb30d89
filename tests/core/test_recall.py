"""Recall: a fresh engine that is told a journal is the engine that wrote it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from oneprice.core.engine import Engine
from oneprice.core.record import AnyNote, DayBegan
from oneprice.core.strategy import Strategy
from oneprice.kernel import Tripwires
from oneprice.model import events as ev
from oneprice.model.commands import AnyCommand
from oneprice.model.units import Lots, Nanos, Side
from oneprice.strategies.cross_exchange import CrossExchange
from oneprice.strategies.spot_futures import SpotFutures
from tests.build import D, Entry, Faults, World
from tests.core.test_weather import INSTRUMENTS, STORM, THIN, a_day

RECORDS = msgspec.json.Decoder(list[AnyNote])
COMMANDS = msgspec.json.Decoder(list[AnyCommand])
OF_THE_MOMENT = ("asking", "asks")


def read_back(entry: Entry) -> Entry:
    """As a journal keeps it."""
    at, record, commands = entry
    kept: list[Any] = RECORDS.decode(msgspec.json.encode(record))
    return at, kept, COMMANDS.decode(msgspec.json.encode(commands))


def a_fresh(world: World) -> Engine:
    strategies: list[Strategy] = [CrossExchange(), SpotFutures()]
    return Engine(world.settings, strategies, {}, Tripwires(), "t2")


def state_of(engine: Engine, rates: Callable[[str], Any]) -> dict[str, Any]:
    """Everything that a restart must not lose, as plain data."""
    e, ledger, holdings = engine, engine._ledger, engine._holdings
    plain = msgspec.to_builtins
    return {
        "orders": [_order(o) for o in e._orders._orders.values()],
        "unsettled": [o.id for o in e._orders.unsettled()],
        "fills": {v: list(seen) for v, seen in e._orders._fills.items()},
        "groups": {g.id: _group(g) for g in e._groups.living.values()},
        "begun": list(e._groups.begun),
        "holdings": plain(holdings._open),
        "dust": {a: str(c) for a, c in holdings._dust.items()},
        "rests": {r: {a: str(c) for a, c in x.items()} for r, x in holdings._rests.items()},
        "broken": [root for root in holdings._broken if root in holdings._open],
        "ledger": {str(a): {x: str(n) for x, n in b.items()} for a, b in ledger._balances.items()},
        "profit": {cause: str(money) for cause, money in ledger.profit(rates).items()},
        "equity": str(ledger.equity_change(rates)),
        "today": str(ledger.today(e.now // (86_400 * 10**9), rates)),
        "positions": dict(ledger.positions()),
        "wallets": {str(key): str(n) for key, n in ledger.wallets().items()},
        "roots": dict(e._books._roots),
        "finished": list(e._books._finished),
        "checked": {str(key): at for key, at in e._accounts.checked_at.items()},
        "clutch": e.clutch,
        "rests_of_pairs": {str(key): at for key, at in e._sight._rests.items()},
        "counts": dict(e.report.counts()),
        "ends": dict(e.report.group_ends()),
        "refusals": dict(e.report.refusals()),
        "discrepancies": [plain(d) for d in e.report.discrepancies],
    }


def _order(order: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(order)
    return {name: value for name, value in found.items() if name not in OF_THE_MOMENT}


def _group(group: Any) -> dict[str, Any]:
    names = ("state", "began", "chases", "unwinds", "steps")
    found = {name: getattr(group, name) for name in names}
    carry = {asset: str(coins) for asset, coins in group.carry.items()}
    return {**found, "carry": carry, "orders": [o.id for o in group.orders]}


def recalled_at_every_entry(make: Callable[[Callable[[World], None]], World]) -> int:
    """Run a world; whatever entry the journal ends at, a recall of it knows the same."""
    fresh: list[Engine] = []
    told = compared = 0

    def compare(world: World) -> None:
        nonlocal told, compared
        if not fresh:
            fresh.append(a_fresh(world))
        for entry in world.journal[told:]:
            fresh[0].recall.entry(*read_back(entry))
        told = len(world.journal)
        ours, theirs = (state_of(e, world.engine._market.rate) for e in (fresh[0], world.engine))
        for part, value in theirs.items():
            assert ours[part] == value, (told, part, world.journal[-1])
        compared += 1

    make(compare)
    return compared


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("faults", [THIN, STORM], ids=["thin", "storm"])
def test_whatever_entry_a_journal_ends_at_its_recall_knows_what_the_engine_knew(
    seed: int, faults: Faults
) -> None:
    assert recalled_at_every_entry(lambda look: a_day(seed, faults, look)) > 200


DAY = 86_400_000


def an_eventful_time(look: Callable[[World], None]) -> World:
    """Settlements, a forced fill, a deposit, a withdrawal nobody explains, midnight, a kill."""
    world = a_day(5, THIN, look, evening=False)
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="a person"))
    perps = [it for it in INSTRUMENTS if it.is_derivative]
    for number, it in enumerate(perps):
        world.quote(it, *(("59999", "60001") if number else ("60499", "60501")))
    world.turn()
    world.run(1_000)
    at = Nanos(world.now)
    for number, it in enumerate(perps):
        world.tell(
            ev.FundingBooked(
                at=at, instrument=it.id, record_id=f"r{number}", amount=D("-1.5"), asset="USDT"
            )
        )
    held = next(instrument for instrument, lots in world.lots.items() if lots)
    lots = world.lots[held]
    if lots:
        world.tell(
            ev.OrderFilled(
                at=at,
                order_id="",
                instrument=held,
                fill_id="forced",
                side=Side.SELL if lots > 0 else Side.BUY,
                ticks=world.listed[held].ticks(D("60000")),
                lots=Lots(abs(lots)),
                fee=D("1"),
                fee_asset="USDT",
                cause="liquidation",
            )
        )
        world.lots[held] = 0
    line = ev.StatementLine(
        at=at,
        venue="alpha",
        wallet="unified",
        asset="BTC",
        amount=D("0.25"),
        kind="transfer",
        record_id="d1",
        venue_ms=at // 1_000_000,
    )
    world.tell(line)
    world.tell(line)
    world.money["alpha", "unified", "BTC"] += D("0.25")
    world.money["beta", "unified", "USDT"] -= 77
    world.live(90_000, 1_000)
    world.tell(ev.ClutchReleased(at=Nanos(world.now), by="a person"))
    world.now += DAY * 1_000_000
    world.live(3_000, 500)
    world.tell(ev.KillRequested(at=Nanos(world.now), reason="a person", flatten=True))
    world.live(5_000, 500)
    return world


def test_settlements_forced_fills_deposits_midnight_and_a_kill_are_recalled() -> None:
    worlds: list[World] = []

    def kept(look: Callable[[World], None]) -> World:
        worlds.append(an_eventful_time(look))
        return worlds[0]

    assert recalled_at_every_entry(kept) > 250
    items = [item for _, record, _ in worlds[0].journal for item in record]
    kinds = {type(item).__name__ for item in items}
    assert {"OpeningAccepted", "RatesRead", "FundingBooked", "KillRequested"} <= kinds
    assert sum(isinstance(item, DayBegan) for item in items) == 2
    assert any(isinstance(i, ev.OrderFilled) and i.cause == "liquidation" for i in items)
