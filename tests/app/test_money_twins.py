"""Money on real sockets: our ledger is each twin's transaction log, to the last unit."""

import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from house import PATIENCE_S, House
from moneycheck import Swing, differences, held, positions_agree
from test_misfortune import RICH

from oneprice.model.instrument import Payoff, split_id
from oneprice.model.settings import EngineSettings, ReconcileSettings
from oneprice.model.units import MINUTE, SECOND
from oneprice.twin.build import World

RECONCILE = ReconcileSettings(grace_ms=150, audit_ms=1_500, statement_ms=700)
DOLLARS = Decimal(1_000)
OFTEN = msgspec.structs.replace(RICH, groups_per_pair_max=20)
MONEY = EngineSettings(reconcile=RECONCILE, gate=OFTEN)

Rooms = Callable[[str, str], House]


def venues_of(pair: tuple[str, str]) -> str:
    return "-".join(split_id(leg)[0] for leg in pair)


@pytest.fixture
async def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rooms]:
    made: list[House] = []

    def make(bought: str, sold: str) -> House:
        house = House(tmp_path / f"session{len(made)}", monkeypatch, (bought, sold))
        house.hedge = Swing((bought, sold))
        made.append(house)
        return house

    yield make
    for house in made:
        await house.close()


async def traded(house: House, share: str = "1", closes: str = "") -> None:
    """One hedge of a share of the usual size, or so much of a holding given back; to its end."""
    swing = house.hedge
    assert isinstance(swing, Swing)
    usual, pair = dict(swing.lots), (swing.buys, swing.sells)
    swing.lots = {leg: max(1, int(lots * Decimal(share))) for leg, lots in usual.items()}
    if closes:
        swing.closes, swing.buys, swing.sells = closes, *reversed(pair)
    ends = sum(house.engine.report.group_ends().values())
    try:
        await house.trade()
    except TimeoutError:
        pytest.fail(f"no trade: {house.engine.report.refusals()}, {house.engine.clutch}")
    await house.until(lambda: sum(house.engine.report.group_ends().values()) > ends)
    swing.lots, swing.closes, (swing.buys, swing.sells) = usual, "", pair


async def agreed(house: House, seconds: float = PATIENCE_S) -> None:
    """Statements come again and again: by then there is no difference left, anywhere."""
    try:
        await house.until(lambda: not differences(house), seconds)
    except TimeoutError:
        pytest.fail("; ".join(differences(house)))
    report = house.engine.report
    assert report.residual() == 0 and positions_agree(house)
    assert (report.clutch, report.discrepancies) == ("", [])


@pytest.mark.parametrize(
    "pair",
    [
        ("binance:usdm:BTCUSDT", "bybit:linear:BTCUSDT"),
        ("okx:swap:BTC-USDT-SWAP", "kucoin:futures:XBTUSDTM"),
        ("bitmex:derivatives:XBTUSDT", "okx:swap:BTC-USDT-SWAP"),
        ("bybit:inverse:BTCUSD", "bitmex:derivatives:XBTUSD"),
        ("binance:coinm:BTCUSD_PERP", "okx:swap:BTC-USD-SWAP"),
        ("kucoin:futures:XBTUSDM", "bybit:inverse:BTCUSD"),
    ],
    ids=venues_of,
)
async def test_averages_partial_closes_and_funding_agree_to_the_last_unit(
    rooms: Rooms, pair: tuple[str, str]
) -> None:
    house = rooms(*pair)
    ahead = MINUTE - time.time_ns() % MINUTE - 5 * SECOND  # to the minute of the settlement
    venues = [split_id(leg)[0] for leg in pair]
    world = World(seed=5, funding_interval_ms=60_000)
    await house.open(engine=MONEY, ahead_ns=dict.fromkeys(venues, ahead), world=world)
    for leg in pair:
        item = house.engine._market.known_instrument(leg)
        if item.payoff is Payoff.INVERSE:  # so many dollars, where the others are so many coins
            house.hedge.lots[leg] = int(DOLLARS / (item.lot * item.contract_value))
    await traded(house)
    await traded(house, "0.7")
    await traded(house, "0.6", closes=held(house)[0])
    await agreed(house)

    def settled() -> bool:
        return len(house.engine._books.settlements) >= len(pair)

    try:
        await house.until(settled, 150)  # of the next minute, where this one was missed
    except TimeoutError:
        exchanges = [house.twins[v].twin.exchange for v in venues]
        told = [e.fundings(e.accounts()[0].key) for e in exchanges]
        pytest.fail(f"{told} settled, {house.engine._books.settlements} booked")
    await agreed(house)
    days = house.engine.report.funding_by_day()
    assert {day.instrument for day in days} == set(pair)
    assert all(day.unexpected == 0 for day in days)
    await traded(house, "0.3", closes=held(house)[1])
    await traded(house, "1.3")
    await traded(house, "0.4", closes=held(house)[0])
    await agreed(house)
    summary = await house.finish()
    assert (summary.ledger_residual, summary.discrepancies, summary.left) == ("0", [], [])
    by_day = house.engine.report.profit_by_day()
    assert sum(sum(day.values()) for day in by_day.values()) == house.engine.report.equity_change()


PERPETUALS = [
    ("binance:usdm:BTCUSDT", "bybit:linear:BTCUSDT"),
    ("okx:swap:BTC-USDT-SWAP", "kucoin:futures:XBTUSDTM"),
    ("bybit:linear:BTCUSDT", "bitmex:derivatives:XBTUSDT"),
]
MOVES = {"deposit": "50", "withdrawal": "20", "interest": "-0.125"}
TELLS_INTEREST = ("binance", "bybit", "okx", "bitmex")  # KuCoin knows transfers only


@pytest.mark.parametrize("pair", PERPETUALS, ids=venues_of)
async def test_what_moves_without_a_trade_is_booked_from_the_statement_under_its_name(
    rooms: Rooms, pair: tuple[str, str]
) -> None:
    house = rooms(*pair)
    await house.open(engine=MONEY)
    await traded(house)
    for leg in pair:
        venue, market, _ = split_id(leg)
        twin = house.twins[venue].twin
        key, wallet = twin.exchange.accounts()[0].key, twin.exchange.wallet_of(market)
        for kind, amount in MOVES.items():
            money = Decimal(amount)
            twin.exchange.move_money(key, "USDT", money, kind, twin.clock(), wallet=wallet)
    await agreed(house)
    report = house.engine.report
    interest = sum(split_id(leg)[0] in TELLS_INTEREST for leg in pair) * Decimal("-0.125")
    assert report.profit()["borrow"] == interest
    assert sum(report.transferred().values()) + interest == Decimal("59.75")


async def test_a_correction_is_booked_where_the_venue_has_a_word_for_it_and_named_elsewhere(
    rooms: Rooms,
) -> None:
    house = rooms("okx:swap:BTC-USDT-SWAP", "bybit:linear:BTCUSDT")
    await house.open(engine=MONEY)
    for venue in ("okx", "bybit"):
        twin = house.twins[venue].twin
        key = twin.exchange.accounts()[0].key
        twin.exchange.move_money(key, "USDT", Decimal("-0.03"), "correction", twin.clock())
    report = house.engine.report
    await house.until(lambda: bool(report.discrepancies) and bool(report.profit()["correction"]))
    assert report.profit()["correction"] == Decimal("-0.03")
    assert report.discrepancies[0].kind == "statement"
    assert house.engine.clutch.startswith("statement okx/unified/USDT")
    assert any("okx" in there for there in differences(house)) and report.residual() == 0


@pytest.mark.parametrize("pair", PERPETUALS, ids=venues_of)
async def test_a_forced_closing_is_booked_to_the_last_unit_too(
    rooms: Rooms, pair: tuple[str, str]
) -> None:
    house = rooms(*pair)
    await house.open(engine=MONEY)
    await traded(house)
    for leg in pair:
        twin = house.twins[split_id(leg)[0]].twin
        key = twin.exchange.accounts()[0].key
        twin.exchange.force_liquidation(key, leg, 0, twin.clock())
    await house.until(house.is_flat)
    try:
        await house.until(lambda: not differences(house) and positions_agree(house))
    except TimeoutError:
        pytest.fail("; ".join(differences(house)))
    assert house.engine.clutch and house.engine.report.residual() == 0
