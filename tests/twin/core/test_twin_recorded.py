"""Playing real recordings: books agree with the venue's own best prices and are never crossed."""

import gzip
import heapq
import json
import os
from bisect import bisect_right
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from twinbench import START

from oneprice.twin.build import World, make_twin
from oneprice.twin.contract import BookChanged, TickerChanged
from oneprice.twin.playback import Frame
from oneprice.twin.stock import default_listings

DATA = Path(
    os.environ.get("ONEPRICE_DATA", str(Path(__file__).resolve().parents[3] / "../shared/data"))
)
FILES = (
    ("usdm", "BTCUSDT", "binance_usdm_raw/btcusdt_20240808.gz"),
    ("spot", "BTCUSDT", "binance_spot_raw/btcusdt_20240808.gz"),
    ("coinm", "ETHUSD_PERP", "binance_cm_raw/ethusd_perp_20240808.gz"),
)
STEP = 10_000_000


def frames(market: str, file: Path) -> Iterator[Frame]:
    with gzip.open(file, "rt") as lines:
        for line in lines:
            at, _, text = line.partition(" ")
            yield int(at), market, text.strip().encode()


@pytest.mark.skipif(not (DATA / FILES[0][2]).exists(), reason="recorded data is not here")
def test_a_played_book_equals_the_recorded_best_prices_and_sizes() -> None:
    names = [f"binance:{market}:{symbol}" for market, symbol, _ in FILES]
    listed = {one.instrument.id: one.instrument for one in default_listings("binance")}
    tape = heapq.merge(*(frames(market, DATA / file) for market, _, file in FILES))
    now = START
    twin = make_twin(
        "binance", lambda: now, World(tape=tape, taped=tuple(listed[one] for one in names))
    )
    best: dict[str, list[tuple[int, tuple[Decimal, ...]]]] = {name: [] for name in names}
    seen: list[tuple[str, int, tuple[Decimal, ...]]] = []
    for _ in range(1_500):
        now += STEP
        twin.exchange.advance(now)
        changed: dict[str, int] = {}
        for output in twin.exchange.drain():
            if isinstance(output, TickerChanged) and b"bookTicker" in output.raw:
                data = json.loads(output.raw)["data"]
                values = tuple(Decimal(data[field]) for field in ("b", "B", "a", "A"))
                best[output.ticker.instrument].append((data["u"], values))
            elif isinstance(output, BookChanged):
                changed[output.instrument] = output.sequence
        for name, sequence in changed.items():
            book = twin.exchange.book(name, 1)
            assert book.bids[0][0] < book.asks[0][0]
            grid = listed[name]
            (bid, bid_lots), (ask, ask_lots) = book.bids[0], book.asks[0]
            mine = (grid.price(bid), grid.size(bid_lots), grid.price(ask), grid.size(ask_lots))
            seen.append((name, sequence, mine))
    # a ticker may come after the book it belongs to, so they are compared at the end
    compared = 0
    for name, sequence, mine in seen:
        place = bisect_right(best[name], sequence, key=lambda row: row[0])
        if 0 < place < len(best[name]):
            compared += 1
            assert mine == best[name][place - 1][1]
    assert compared > 1_000
