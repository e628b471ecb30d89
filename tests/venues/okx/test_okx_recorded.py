"""Recorded frames of the venue, public and private, decoded as they came."""

import ast
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from oneprice.kernel import Tripwires
from oneprice.model.events import (
    BalanceReported,
    FrameRejected,
    FundingForecast,
    InstrumentListed,
    OrderEnded,
    OrderFilled,
    PositionReported,
)
from oneprice.model.instrument import Payoff
from oneprice.model.units import Nanos
from oneprice.venues.contract import Answer, Credentials, Output, Wanted
from oneprice.venues.okx.feed import OkxFeed
from oneprice.venues.okx.trade import OkxTrade

DATA = Path(
    os.environ.get("ONEPRICE_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
LISTS = DATA / "okx_v5" / "OKX.0.20220513.instruments.raw"
BOOKS = DATA / "okx_v5" / "OKX.ws.1.0.20220513.raw"
PERP = DATA / "okx_v5" / "raw_perp_stream_20260930.tsv"
PRIVATE = DATA / "private_streams"
pytestmark = pytest.mark.skipif(not LISTS.exists(), reason="recorded data is not here")
AT = Nanos(1_652_459_225_000_000_000)


@pytest.fixture(scope="module")
def lists() -> dict[str, bytes]:
    """The recorded answer for each market; the kinds we do not take are left out."""
    found: dict[str, bytes] = {}
    for line in LISTS.read_text().splitlines():
        match = re.match(r"https://\S+instType=(\w+)\S* -> [\d.]+: (.*)", line)
        market = {"SPOT": "spot", "SWAP": "swap", "FUTURES": "futures"}.get(
            match[1] if match else ""
        )
        if match and market:
            found[market] = match[2].encode()
    return found


def listed_feed(lists: dict[str, bytes]) -> tuple[OkxFeed, list[Output]]:
    feed = OkxFeed(Tripwires())
    out: list[Output] = []
    for market, body in lists.items():
        out += feed.answered(Answer(tag=f"instruments:{market}", status=200, body=body), AT)
    return feed, out


def test_every_recorded_instrument_is_listed_on_its_grid(lists: dict[str, bytes]) -> None:
    feed, out = listed_feed(lists)
    rows = sum(len(json.loads(body)["data"]) for body in lists.values())
    assert Counter(type(event).__name__ for event in out) == {"InstrumentListed": rows}
    assert rows > 500
    items = {e.instrument.id: e.instrument for e in out if isinstance(e, InstrumentListed)}
    inverse = items["okx:futures:BTC-USD-220527"]
    assert (inverse.payoff, inverse.contract_value) == (Payoff.INVERSE, Decimal(100))
    assert (inverse.settle, inverse.expiry) == ("BTC", 1_653_638_400_000_000_000)
    assert items["okx:spot:BTC-USDT"].tick == Decimal("0.1")
    assert feed.details[inverse.id].index == "BTC-USD"


def received(path: Path) -> Iterator[bytes]:
    for line in path.read_text().splitlines():
        match = re.match(r"[\d.]+: (.*)", line)
        if match:
            yield match[1].encode()


def test_the_books_of_2022_agree_with_every_checksum(lists: dict[str, bytes]) -> None:
    feed, _ = listed_feed(lists)
    names = ["okx:spot:BTC-USDT", "okx:swap:UNI-USD-SWAP", "okx:futures:BTC-USD-220527"]
    feed.topics([Wanted(instrument=name) for name in names])
    counts: Counter[str] = Counter()
    for frame in received(BOOKS):
        counts.update(type(event).__name__ for event in feed.decode("public", frame, AT))
    tallies = [feed.checksums[name] for name in names]
    assert sum(tally.compared for tally in tallies) == 290
    assert sum(tally.equal for tally in tallies) == 290
    assert counts["BookReady"] == 3
    assert "FeedLost" not in counts
    assert "FrameRejected" not in counts


def test_the_perpetual_stream_of_2026_is_understood_line_by_line() -> None:
    feed = OkxFeed(Tripwires())
    frames = [line.partition("\t")[2].encode() for line in PERP.read_text().splitlines() if line]
    out = [event for frame in frames for event in feed.decode("public", frame, AT)]
    counts = Counter(type(event).__name__ for event in out)
    assert "FrameRejected" not in counts
    assert counts["Marked"] > 5
    funded = [event for event in out if isinstance(event, FundingForecast)]
    assert {event.interval_ms for event in funded} == {28_800_000}
    assert {event.next_rate for event in funded} == {None}


# Private -------------------------------------------------------------------------------


def told(lists: dict[str, bytes], name: str) -> list[Output]:
    """Everything that a recorded private stream says, of today's lots and of those of 2024."""
    # In 2022 a contract could not be cut; since then it can, in hundredths.
    whole = rb'("instId":"BTC-USDT-SWAP".*?"lotSz":)"1"'
    cut = {market: re.sub(whole, rb'\1"0.01"', body) for market, body in lists.items()}
    feed, _ = listed_feed(cut)
    trade = OkxTrade(Credentials("k", "s", "p"), feed.listed, feed.details)
    out: list[Output] = []
    for line in (PRIVATE / f"okx_{name}.log").read_text().splitlines():
        if line.strip():
            frame = json.dumps(ast.literal_eval(line)).encode()
            out += trade.decode("private", frame, AT)
    assert not [event for event in out if isinstance(event, FrameRejected)]
    return out


def test_recorded_orders_and_their_fills_add_up(lists: dict[str, bytes]) -> None:
    out = told(lists, "orders")
    fills = [event for event in out if isinstance(event, OrderFilled)]
    assert len({fill.fill_id for fill in fills}) == len(fills) == 20
    spot = [fill for fill in fills if fill.instrument == "okx:spot:BTC-USDT"]
    assert sum(fill.lots for fill in spot) == 300_708_129
    assert all(fill.fee > 0 and fill.fee_asset == "USDT" for fill in fills)
    assert {fill.maker for fill in spot} == {True}
    ends = [event for event in out if isinstance(event, OrderEnded)]
    assert [end.filled_lots for end in ends] == [300_708_129, 200_000, 2_000, 10]
    assert {end.reason for end in ends} == {"filled"}


def test_recorded_positions_and_balances_are_told(lists: dict[str, bytes]) -> None:
    positions = [e for e in told(lists, "positions") if isinstance(e, PositionReported)]
    assert len(positions) == 13
    assert {(event.lots, event.entry) for event in positions} == {(200_000, Decimal("65459.3"))}
    balances = [e for e in told(lists, "account") if isinstance(e, BalanceReported)]
    assert len(balances) == 12
    (first, *_) = balances
    assert (first.asset, first.total) == ("USDT", Decimal("281977.59356437845"))
