"""`oneprice reconcile` on real sockets: a session's journal beside what the twins say of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import typer
from house import House
from moneycheck import Swing, held
from test_misfortune import RICH

from oneprice.app.config import ConfigError
from oneprice.app.reconcile import Result, journaled, reconcile, result
from oneprice.app.reconcile_ours import Ours
from oneprice.app.reconcile_theirs import Theirs, ask
from oneprice.app.session import load_manifest
from oneprice.cli import reconcile as cli
from oneprice.model.instrument import split_id
from oneprice.model.settings import EngineSettings, ReconcileSettings

QUICK = ReconcileSettings(grace_ms=150, audit_ms=1_500, statement_ms=700)
MONEY = EngineSettings(reconcile=QUICK, gate=msgspec.structs.replace(RICH, groups_per_pair_max=9))
PAIRS = [
    ("binance:spot:BTCUSDT", "bybit:linear:BTCUSDT"),
    ("bitmex:derivatives:XBTUSDT", "okx:swap:BTC-USDT-SWAP"),
    ("kucoin:futures:XBTUSDTM", "binance:usdm:BTCUSDT"),
]


@pytest.fixture(params=PAIRS, ids=lambda pair: "-".join(split_id(leg)[0] for leg in pair))
async def house(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A session on two twins: traded, funds deposited meanwhile, ended; the twins live on."""
    pair: tuple[str, str] = request.param
    house = House(tmp_path / "session", monkeypatch, pair)
    house.hedge = swing = Swing(pair)
    try:
        await house.open(engine=MONEY)
        await house.trade()
        await house.ended()
        deposit(house, Decimal("12.5"))
        await house.until(lambda: bool(house.engine.report.transferred()))
        swing.closes = held(house)[0]
        swing.lots = {leg: lots * 3 // 10 for leg, lots in swing.lots.items()}
        swing.buys, swing.sells = swing.sells, swing.buys
        await house.trade()
        await house.finish()
        yield house
    finally:
        await house.close()


def deposit(house: House, amount: Decimal) -> None:
    """At the venue that is sold on."""
    venue, leg = list(house.legs.items())[1]
    twin = house.twins[venue].twin
    exchange = twin.exchange
    wallet = exchange.wallet_of(split_id(leg)[1])
    key = exchange.accounts()[0].key
    exchange.move_money(key, "USDT", amount, "deposit", twin.clock(), wallet=wallet)


def wrong(found: Result) -> list[str]:
    return [
        f"{r.venue} {r.wallet} {r.asset}: {r.unexplained}, {r.out_of_nothing} out of nothing, "
        f"ours {[m.amount for m in r.left_ours]}, theirs {[m.amount for m in r.left_theirs]}"
        for r in found.rows
        if not (r.ok)
    ]


async def both_sides(house: House) -> tuple[Ours, dict[str, Theirs]]:
    config = load_manifest(house._directory).config
    mine = journaled(house._directory, config)
    told = {v.name: await ask(v, config.engine, mine) for v in config.venues}
    return mine, told


async def test_every_unit_is_explained_and_whatever_is_tampered_with_is_found(
    house: House,
) -> None:
    found = await reconcile(house._directory, None)
    assert found.ok, wrong(found)
    assert sum(row.matched for row in found.rows) >= 5
    mine, told = await both_sides(house)
    assert result(mine, told).ok
    for number, movement in enumerate(mine.movements):
        if movement.amount and movement.kind != "rounding":
            fewer = [*mine.movements[:number], *mine.movements[number + 1 :]]
            tampered = msgspec.structs.replace(mine, movements=fewer)
            assert not result(tampered, told).ok, movement
    for venue, theirs in told.items():
        for number, line in enumerate(theirs.movements):
            twice = [*theirs.movements, line]
            more = msgspec.structs.replace(line, amount=line.amount + Decimal("0.01"))
            changed = [*theirs.movements[:number], more, *theirs.movements[number + 1 :]]
            for lines in (twice, changed):
                other = msgspec.structs.replace(theirs, movements=lines)
                assert not line.amount or not result(mine, {**told, venue: other}).ok, line
        purse = next(iter(theirs.balances))
        richer = {**theirs.balances, purse: theirs.balances[purse] + Decimal("1E-8")}
        other = msgspec.structs.replace(theirs, balances=richer)
        assert not result(mine, {**told, venue: other}).ok


async def test_a_directory_without_a_session_is_no_session(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"session\.json"):
        await reconcile(tmp_path, None)


@pytest.mark.parametrize("house", PAIRS[:1], indirect=True)
async def test_the_command_says_so_and_fails_where_a_unit_is_not_explained(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*, as_json: bool) -> int:
        try:
            cli.reconcile(house._directory, None, None, as_json)
        except typer.Exit as end:
            return int(end.exit_code)
        return 0

    assert await asyncio.to_thread(command, as_json=False) == 0
    assert "every unit is explained" in capsys.readouterr().out
    deposit(house, Decimal("0.00000001"))  # within two seconds of the end: whose is it?
    assert await asyncio.to_thread(command, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    (row,) = [row for row in told["rows"] if row["unexplained"] != "0"]
    assert told["ok"] is False and row["unexplained"] == "1E-8"
