"""Recorded Binance frames and the instruments that they are about."""

import gzip
import os
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from oneprice.kernel import Tripwires
from oneprice.model.instrument import Instrument, Payoff
from oneprice.venues.binance import BinanceFeed
from oneprice.venues.contract import Wanted

TOP = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("ONEPRICE_DATA", TOP / "../shared/data")).resolve()

_PAYOFFS = {"spot": Payoff.SPOT, "usdm": Payoff.LINEAR, "coinm": Payoff.INVERSE}
PUBLIC = {"spot": "spot_public", "usdm": "usdm_public", "coinm": "coinm_public"}

needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"recorded data not found at {DATA} (set ONEPRICE_DATA)"
)


def instrument(market: str, symbol: str, tick: str, lot: str, base: str = "BTC") -> Instrument:
    quote = {"spot": "USDT", "usdm": "USDT", "coinm": "USD"}[market]
    return Instrument(
        id=f"binance:{market}:{symbol}",
        venue="binance",
        market=market,
        symbol=symbol,
        payoff=_PAYOFFS[market],
        base=base,
        quote=quote,
        settle=base if market == "coinm" else quote,
        tick=Decimal(tick),
        lot=Decimal(lot),
        contract_value=Decimal(100) if market == "coinm" else Decimal(1),
        funding_interval_ms=0 if market == "spot" else 28_800_000,
    )


SPOT = instrument("spot", "BTCUSDT", "0.01", "0.00001")
USDM = instrument("usdm", "BTCUSDT", "0.1", "0.001")


def feed_of(*items: Instrument) -> BinanceFeed:
    """A feed that knows these instruments and wants their books."""
    feed = BinanceFeed(Tripwires())
    for item in items:
        feed.listed[item.id] = item
    feed.topics([Wanted(instrument=item.id, trades=True) for item in items])
    return feed


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(receive time, frame) of a raw recording."""
    data = path.read_bytes()
    for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines():
        at, _, frame = line.partition(b" ")
        yield int(at), frame


def stamped(path: Path) -> Iterator[tuple[int, bytes]]:
    """(receive time in ns, frame) of the received lines of a WebSocket capture."""
    for line in path.read_bytes().splitlines():
        if found := re.match(rb"(\d+\.?\d*): ", line):
            yield int(Decimal(found[1].decode()) * 10**9), line[found.end() :]


def calls(path: Path) -> Iterator[tuple[int, str, bytes]]:
    """(time in ns, url, body) of an HTTP capture."""
    for line in path.read_bytes().splitlines():
        if found := re.match(rb"(https://\S+) -> (\d+\.?\d*): ", line):
            yield int(Decimal(found[2].decode()) * 10**9), found[1].decode(), line[found.end() :]
