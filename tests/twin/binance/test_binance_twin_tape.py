"""Recorded Binance frames become updates whose book agrees with the recorded best prices."""

import gzip
import os
from bisect import bisect_right
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import SECOND
from oneprice.twin.build import World as TwinWorld
from oneprice.twin.build import make_exchange
from oneprice.twin.contract import BookUpdate, PriceUpdate, RawUpdate, TradeUpdate
from oneprice.twin.dialects.binance.tape import TapeReader, levels, stream_of

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
FILES = {
    "spot": ("binance_spot_raw/btcusdt_20240808.gz", "BTCUSDT", "0.01", "0.00001"),
    "usdm": ("binance_usdm_raw/btcusdt_20240808.gz", "BTCUSDT", "0.10", "0.001"),
    "coinm": ("binance_cm_raw/btcusd_perp_20240808.gz", "BTCUSD_PERP", "0.1", "1"),
}
LINES = 20_000


def instrument(market: str) -> Instrument:
    _, symbol, tick, lot = FILES[market]
    payoff = {"spot": Payoff.SPOT, "usdm": Payoff.LINEAR, "coinm": Payoff.INVERSE}[market]
    return Instrument(
        id=f"binance:{market}:{symbol}",
        venue="binance",
        market=market,
        symbol=symbol,
        payoff=payoff,
        base="BTC",
        quote="USD" if market == "coinm" else "USDT",
        settle="BTC" if market == "coinm" else "USDT",
        tick=Decimal(tick),
        lot=Decimal(lot),
        contract_value=Decimal(100 if market == "coinm" else 1),
    )


def reader(market: str) -> TapeReader:
    world = TwinWorld(tape=iter(()), taped=(instrument(market),))
    exchange, _ = make_exchange("binance", world, SECOND)
    return TapeReader(exchange)


def recorded(market: str) -> Iterator[bytes]:
    path = DATA / FILES[market][0]
    if not path.exists():
        pytest.skip(f"no recorded data at {DATA}")
    with gzip.open(path, "rb") as lines:
        for count, line in enumerate(lines):
            if count >= LINES:
                return
            yield line.split(b" ", 1)[1].strip()


@pytest.mark.parametrize("market", list(FILES))
def test_book_of_decoded_frames_equals_every_recorded_best_price(market: str) -> None:
    tape, grid = reader(market), instrument(market)
    updates = [update for frame in recorded(market) for update in tape.decode(market, frame)]
    shown: dict[int, tuple[int, ...]] = {}
    for update in updates:
        if isinstance(update, RawUpdate) and b"bookTicker" in update.raw:
            row = msgspec.json.decode(stream_of(update.raw)[1])
            bid, ask = levels(grid, [[row["b"], row["B"]], [row["a"], row["A"]]])
            shown[row["u"]] = (*bid, *ask)
    marks = sorted(shown)
    snapshot = next(u for u in updates if isinstance(u, BookUpdate) and u.full)
    bids, asks, last, compared = dict(snapshot.bids), dict(snapshot.asks), snapshot.sequence, 0
    for update in updates:
        if not isinstance(update, BookUpdate) or update.sequence <= last:
            continue
        assert update.sequence_before <= last
        for side, changed in ((bids, update.bids), (asks, update.asks)):
            side.update(changed)
            for ticks, lots in changed:
                if not lots:
                    del side[ticks]
        last = update.sequence
        place = bisect_right(marks, last) - 1
        if place < 0 or place == len(marks) - 1:  # what was best may stand beyond the tape
            continue
        best = (max(bids), bids[max(bids)], min(asks), asks[min(asks)])
        assert best == shown[marks[place]]
        compared += 1
    assert compared > 50


def test_mark_price_frames_carry_mark_index_and_funding() -> None:
    frame = (
        b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1680652701000,'
        b'"s":"BTCUSDT","p":"28147.27373413","P":"28142.15563565","i":"28159.75642857",'
        b'"r":"0.00002754","T":1680652800000}}'
    )
    (update,) = reader("usdm").decode("usdm", frame)
    assert isinstance(update, PriceUpdate)
    assert update.mark == Decimal("28147.27373413")
    assert update.funding_rate == Decimal("0.00002754")
    assert update.funding_due == 1680652800 * SECOND
    assert update.raw == frame


def test_trades_keep_the_taker_side_and_the_venue_id() -> None:
    frame = (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":77,'
        b'"p":"61800.30","q":"0.006","X":"MARKET","m":true}}'
    )
    (update,) = reader("usdm").decode("usdm", frame)
    assert isinstance(update, TradeUpdate)
    assert (update.trade_id, update.lots, int(update.side)) == (77, 6, -1)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"not json",
        b"[1]",
        b'{"stream":"nosuch@depth","data":{"e":"depthUpdate","s":"NOSUCH","U":1,"u":2}}',
        b'{"stream":"btcusdt@depth","data":{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,'
        b'"b":[["1.003","x"]],"a":[]}}',
    ],
)
def test_frames_that_make_no_sense_give_nothing(frame: bytes) -> None:
    assert reader("spot").decode("spot", frame) == []


def test_a_size_that_is_no_whole_number_of_lots_is_rounded_down() -> None:
    assert levels(instrument("spot"), [["61829.04", "25.42618900"]]) == ((6182904, 2542618),)


def test_a_request_line_names_the_symbol_of_its_snapshot() -> None:
    line = (
        b"https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000 -> 1633998512.3: "
        b'{"lastUpdateId":9,"bids":[["1.00","0.5"]],"asks":[["1.01","0.1"]]}'
    )
    (update,) = reader("spot").decode("spot", line)
    assert isinstance(update, BookUpdate)
    assert (update.full, update.sequence, update.bids) == (True, 9, ((100, 50_000),))
