"""Starting twins: which recordings are played together, and what a market text may say."""

import json
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oneprice.app.build import spec_of
from oneprice.app.checks import check_run
from oneprice.app.config import ConfigError, load_config
from oneprice.app.tapefeeds import Prepared, prepared, survey
from oneprice.app.tapeimport import import_all
from oneprice.app.tapeplayer import Line, Player
from oneprice.app.tapereport import FileReport, InstrumentReport
from oneprice.app.tapeworld import FINEST_LOT
from oneprice.app.twins import configuration_of, plan_of, start_twins, world_of
from oneprice.model.units import Lots
from oneprice.store.contract import Record
from oneprice.store.recordings import recognised, records
from oneprice.twin.build import DIALECTS, make_twin

START = 1_723_161_250_000_000_000
BOOK = "binance:spot:BTCUSDT"


def a_recording(path: Path, start: int = START, snapshot_after: int = 2) -> None:
    """Ten diffs, and a REST snapshot that arrives after some that it already holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(10):
        at = start + number * 100_000_000
        data = {
            "e": "depthUpdate", "E": at // 1_000_000, "s": "BTCUSDT",
            "U": 100 + number * 10, "u": 109 + number * 10,
            "b": [["60000.00", f"{number + 1}.00000000"]],
            "a": [["60000.01", f"{number + 1}.00000100"]],
        }  # fmt: skip
        lines.append(f"{at} " + json.dumps({"stream": "btcusdt@depth@100ms", "data": data}))
        if number == snapshot_after:
            held = {
                "lastUpdateId": 115,
                "bids": [["60000.00", "2.00000000"], ["59990.00", "25.42618900"]],
                "asks": [["60000.01", "2.00000000"]],
            }
            lines.append(f"{at + 1} " + json.dumps(held))
    path.write_text("\n".join(lines) + "\n")


def test_a_recording_is_played_from_its_late_snapshot_on(tmp_path: Path) -> None:
    a_recording(tmp_path / "binance_spot_raw" / "btcusdt_1.dat")
    now = START
    twin = make_twin("binance", lambda: now, world_of("binance", f"tape:{tmp_path}"))
    first = twin.exchange.book(BOOK)
    assert first.sequence == 129
    assert first.bids[0][1] == Decimal(3) / FINEST_LOT
    assert first.bids[1][1] == Decimal("25.42618900") / FINEST_LOT, "off today's grid, and there"
    now += 10_000_000_000
    twin.exchange.advance(now)
    assert twin.exchange.book(BOOK).sequence == 199


def test_only_recordings_of_the_same_time_are_played_together(tmp_path: Path) -> None:
    a_recording(tmp_path / "binance_spot_raw" / "btcusdt_1.dat")
    a_recording(tmp_path / "binance_spot_raw" / "btcusdt_0.dat", START - 3_600_000_000_000)
    world = world_of("binance", f"tape:{tmp_path}")
    assert world.tape is not None
    stamps = [at for at, _, _ in world.tape]
    assert len(stamps) == 11
    assert stamps == sorted(stamps)
    assert max(stamps) - min(stamps) < 2_000_000_000


@pytest.mark.parametrize("market", ["seed:", "seed:x", "tape:", "sunny", ""])
def test_a_market_text_that_means_nothing_is_refused(market: str) -> None:
    with pytest.raises(ConfigError, match="expected seed:N or tape:PATH"):
        world_of("bybit", market)


def test_a_tape_without_the_venue_is_named(tmp_path: Path) -> None:
    a_recording(tmp_path / "binance_spot_raw" / "btcusdt_1.dat")
    with pytest.raises(ConfigError, match="no recording of bybit that can be played"):
        world_of("bybit", f"tape:{tmp_path}")


async def test_the_configuration_of_twins_names_every_host_and_every_instrument(
    tmp_path: Path,
) -> None:
    running = await start_twins(list(DIALECTS), 0, "seed:7")
    try:
        path = tmp_path / "twins.toml"
        path.write_text(configuration_of(running.ready))
        config = load_config(path)
        check_run(config)
        assert [venue.name for venue in config.venues] == list(DIALECTS)
        for venue, ready in zip(config.venues, running.ready, strict=True):
            assert set(venue.endpoints) == set(spec_of(venue.name).hosts["live"])
            assert len(venue.instruments) == len(ready.instruments)
            assert ready.accounts[0].secret in path.read_text()
    finally:
        await running.close()


async def test_an_unknown_venue_is_answered_with_what_was_meant() -> None:
    with pytest.raises(ConfigError, match="no twin of 'binanse'; did you mean 'binance'"):
        await start_twins(["binanse"], 0, "seed:1")


# Other venues ----------------------------------------------------------------------------


def dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def session(path: Path, rows: list[tuple[str, str]]) -> None:
    """A session dump; a row is the address of an answer, or "" for a frame, and the text.

    An address without a text is a connection.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp = START // 1_000_000_000
    lines = []
    for number, (address, text) in enumerate(rows):
        at = f"{stamp}.{number:06d}"
        if not text:
            lines.append(f"{address} <-> {at}")
        else:
            lines.append(f"{address} -> {at}: {text}" if address else f"{at}: {text}")
    path.write_text("\n".join(lines) + "\n")


def kucoin(path: Path) -> None:
    asked = "https://api.kucoin.com/api/v3/market/orderbook/level2?symbol=SNX-BTC"
    rows: list[tuple[str, str]] = [("wss://push-private.kucoin.com/endpoint", "")]
    for last in (101, 102):
        changes = {"bids": [["0.00028", f"{last}.5", str(last)]], "asks": []}
        data = {"sequenceStart": last, "symbol": "SNX-BTC", "changes": changes}
        data["sequenceEnd"] = last
        frame = {"data": data, "subject": "trade.l2update", "topic": "/market/level2:SNX-BTC"}
        rows.append(("", dumped({**frame, "type": "message"})))
    book = {"sequence": "100", "bids": [["0.00028", "1"]], "asks": [["0.000285", "2.25"]]}
    rows.insert(2, (asked, dumped({"code": "200000", "data": book})))
    session(path / "kucoin" / "KUCOIN.raw", rows)


def bitmex(path: Path) -> None:
    row = {
        "symbol": "XRPU21", "typ": "FFCCSX", "state": "Open", "underlying": "XRP",
        "quoteCurrency": "XBT", "lotSize": 5, "tickSize": 0.0001, "multiplier": 100000000,
        "isInverse": False, "isQuanto": False, "settlCurrency": "XBt", "maxOrderQty": 1000,
        "maxPrice": 1, "expiry": "2024-09-24T12:00:00.000Z",
    }  # fmt: skip
    levels = [
        {"symbol": "XRPU21", "id": 1, "side": "Sell", "size": 15, "price": 0.00018},
        {"symbol": "XRPU21", "id": 2, "side": "Buy", "size": 30, "price": 0.00015},
    ]
    frames = [
        {"table": "orderBookL2", "action": "partial", "data": levels},
        {"table": "orderBookL2", "action": "update",
         "data": [{"symbol": "XRPU21", "id": 2, "side": "Buy", "size": 35}]},
    ]  # fmt: skip
    listed = ("https://www.bitmex.com/api/v1/instrument/active", dumped([row]))
    session(path / "bitmex" / "B.raw", [listed, *(("", dumped(frame)) for frame in frames)])


def okx(path: Path) -> None:
    row = {
        "instType": "SWAP", "instId": "UNI-USD-SWAP", "uly": "UNI-USD", "baseCcy": "",
        "quoteCcy": "", "settleCcy": "UNI", "ctVal": "10", "ctMult": "1", "ctValCcy": "USD",
        "ctType": "inverse", "tickSz": "0.001", "lotSz": "1", "minSz": "1", "state": "live",
    }  # fmt: skip
    arg = {"channel": "books", "instId": "UNI-USD-SWAP"}
    sides = {"asks": [["5.01", "3", "0", "1"]], "bids": [["5", "2", "0", "1"]]}
    rows = [("https://www.okx.com/api/v5/public/instruments?instType=SWAP",
             dumped({"code": "0", "data": [row]}))]  # fmt: skip
    for action, before, after in (("snapshot", -1, 7), ("update", 7, 9)):
        data = {**sides, "ts": "1652459225000", "checksum": 0, "prevSeqId": before, "seqId": after}
        rows.append(("", dumped({"arg": arg, "action": action, "data": [data]})))
    session(path / "okx" / "OKX.raw", rows)


@pytest.mark.parametrize(
    ("record", "name", "tick", "lot", "coins"),
    [
        (kucoin, "kucoin:spot:SNX-BTC", "0.000001", "0.01", ("SNX", "BTC", "BTC")),
        (bitmex, "bitmex:derivatives:XRPU21", "0.00001", "5", ("XRP", "XBT", "XBT")),
        (okx, "okx:swap:UNI-USD-SWAP", "0.001", "1", ("UNI", "USD", "UNI")),
    ],
)
def test_what_a_twin_does_not_list_is_listed_from_the_tape(
    tmp_path: Path, record: Callable[[Path], None], name: str, tick: str, lot: str,
    coins: tuple[str, str, str],
) -> None:  # fmt: skip
    record(tmp_path)
    now = START + 1
    venue = name.partition(":")[0]
    world = world_of(venue, f"tape:{tmp_path}", now)
    (one,) = world.taped
    assert (one.id, one.base, one.quote, one.settle) == (name, *coins)
    assert one.tick == Decimal(tick)
    assert one.lot == Decimal(lot)
    twin = make_twin(venue, lambda: now, world)
    now += 10_000_000_000
    twin.exchange.advance(now)
    book = twin.exchange.book(name)
    assert len(book.bids) == len(book.asks) == 1
    assert book.sequence in (2, 9, 102)


def test_a_grid_is_as_fine_as_the_tape_and_keeps_its_limits(tmp_path: Path) -> None:
    bitmex(tmp_path)
    path = tmp_path / "bitmex" / "B.raw"
    path.write_text(path.read_text().replace('"price":0.00015', '"price":0.000152'))
    (one,) = world_of("bitmex", f"tape:{tmp_path}", START).taped
    assert (one.tick, one.lot, one.lots_max) == (Decimal("0.000001"), Decimal(5), Lots(200))


def test_a_dated_contract_expires_as_far_from_now_as_it_did_then(tmp_path: Path) -> None:
    bitmex(tmp_path)
    (then,) = world_of("bitmex", f"tape:{tmp_path}", START).taped
    year = 365 * 86_400_000_000_000
    (now,) = world_of("bitmex", f"tape:{tmp_path}", START + year).taped
    assert now.expiry - then.expiry == year
    assert then.expiry > START


def test_a_tape_of_our_own_is_a_market_for_each_venue_on_it(tmp_path: Path) -> None:
    for record in (kucoin, okx):
        record(tmp_path / "there")
    made = import_all([tmp_path / "there"], tmp_path / "tapes")
    assert len([each for each in made if each.tape]) == 2
    for venue, name in (("kucoin", "kucoin:spot:SNX-BTC"), ("okx", "okx:swap:UNI-USD-SWAP")):
        world = world_of(venue, f"tape:{tmp_path / 'tapes'}")
        assert [one.id for one in world.taped] == [name]
        twin = make_twin(venue, lambda: START, world)
        assert twin.exchange.book(name).bids


@pytest.mark.parametrize(
    ("venue", "name", "text", "told"),
    [
        (
            "okx", "okx.tsv",
            '398912235547636\t{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},'
            '"data":[{"instId":"BTC-USDT-SWAP","markPx":"83003.8","ts":"1790757203016"}]}\n',
            "okx.tsv: no order book with a beginning is on it",
        ),
        (
            "bybit", "bybit_spot.jsonl",
            '{"topic":"orderbook.50.XYZUSDT","ts":1787612486096,"type":"snapshot",'
            '"data":{"s":"XYZUSDT","b":[["10","1"]],"a":[["11","1"]],"u":50,"seq":900}}\n',
            "bybit:spot:XYZUSDT: nothing tells what it is made of",
        ),
        (
            "binance", "binance_spot.csv",
            "TimestampOfReceive,Stream,EventTime,Symbol,FirstUpdateId,FinalUpdateId,IsAsk,"
            "Price,Quantity\n",
            "levels tables: no frames of a stream",
        ),
        (
            "kucoin", "kucoin_funding.csv", "Symbol,Date,Funding Rate\nBTC-USDT,2020,-0.1\n",
            "it carries no book",
        ),
    ],
)  # fmt: skip
def test_a_recording_that_cannot_be_played_is_named_with_the_reason(
    tmp_path: Path, venue: str, name: str, text: str, told: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=f"no recording of {venue} that can be played") as info:
        world_of(venue, f"tape:{tmp_path}")
    assert told in str(info.value)


async def test_deltas_without_their_snapshot_are_a_clear_error(tmp_path: Path) -> None:
    okx(tmp_path)
    path = tmp_path / "okx" / "OKX.raw"
    path.write_text(path.read_text().replace('"action":"snapshot"', '"action":"update"'))
    with pytest.raises(ConfigError, match="okx: no book snapshot on the tape for okx:swap:UNI"):
        await start_twins(["okx"], 0, f"tape:{tmp_path}")


# Recordings ------------------------------------------------------------------------------

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[2] / ".." / "shared" / "data")
)


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the recorded data is not here; ONEPRICE_DATA can name its place"
)
@pytest.mark.parametrize(
    ("venue", "file", "count"),
    [
        ("okx", "okx_v5/OKX.ws.1.0.20220513.raw", 3),
        ("kucoin", "kucoin/KUCOIN.ws.1.0.20210425.dev5.raw", 5),
        ("bitmex", "bitmex/BITMEX.ws.1.0.20210722.raw", 10),
        ("bybit", "bybit_v5/bybit_v5_linear_spot_20260809_BTC_SOL.jsonl.zst", 3),
    ],
)
def test_a_twin_that_played_all_of_a_recording_has_the_books_that_the_dialect_has(
    venue: str, file: str, count: int
) -> None:
    now = START
    world = world_of(venue, f"tape:{DATA}", now)
    twin = make_twin(venue, lambda: now, world)
    now += 90_000_000_000
    twin.exchange.advance(now)
    assert len(world.taped) == count
    ready = replayed(DATA / file, venue)
    for one in world.taped:
        ours, read = ready.feed.books[one.id], ready.instruments[one.id]
        theirs = twin.exchange.book(one.id)
        for mine, played in ((ours.bids, theirs.bids), (ours.asks, theirs.asks)):
            levels = [(read.price(ticks), read.size(lots)) for ticks, lots in mine(len(played))]
            assert levels == [(one.price(ticks), one.size(lots)) for ticks, lots in played]


def replayed(path: Path, venue: str) -> Prepared:
    """The venue's own dialect after every frame of a recording."""
    kept = [item for item in records(recognised(path)) if isinstance(item, Record)]
    found = survey(kept)
    ready = prepared(found, venue)
    lines = {
        name: Line(
            InstrumentReport(file="", venue=venue, market=one.market, instrument=name),
            found.instruments[name],
            one,
        )
        for name, one in ready.instruments.items()
    }
    player = Player({venue: ready.feed}, lines, FileReport(path="", form=""))
    for record in kept:
        place = found.places[record.source]
        assert place is not None
        player.play(record, place)
    return ready


def test_faults_are_told_by_name_and_a_wrong_one_is_named() -> None:
    plan = plan_of(["frame_loss=0.25", "silence_ms=40"])
    assert (plan.frame_loss, plan.silence_ms, plan.answer_lost) == (0.25, 40, 0.0)
    with pytest.raises(ConfigError, match="did you mean 'frame_loss'"):
        plan_of(["frame_los=1"])
    with pytest.raises(ConfigError, match=r"fault silence_ms: found '0\.5', expected a number"):
        plan_of(["silence_ms=0.5"])
    with pytest.raises(ConfigError, match="found -1, expected 0 or more"):
        plan_of(["cut_mean_s=-1"])
