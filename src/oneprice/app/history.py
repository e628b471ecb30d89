"""The past of one instrument, as its venue tells it: bars of trades, marks, indexes; funding."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, get_args

import msgspec

from oneprice.app.build import spec_of, wanted_of
from oneprice.app.checks import check_market, check_venue
from oneprice.app.config import ConfigError, Environment, VenueConfig, did_you_mean
from oneprice.app.lab import start_lab
from oneprice.app.run import endpoints_of
from oneprice.app.station import Station
from oneprice.model.events import CandleClosed, FrameRejected, FundingSettled, InstrumentListed
from oneprice.model.units import InstrumentId
from oneprice.venues.contract import HistoryWanted

Kind = Literal["trade", "mark", "index", "funding"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PREPARE_S = 40.0
# What a venue must have declared before it is asked.
_FEATURES = {
    "trade": "candle_history",
    "mark": "mark_history",
    "index": "index_history",
    "funding": "funding_history",
}


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One finished bar; `volume` in the venue's own count, 0 for marks and indexes."""

    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A settled funding rate as a fraction; `mark` None where the venue does not tell it."""

    settled_ms: int
    rate: Decimal
    mark: Decimal | None


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked and what came, oldest first; with `faults` it is not whole."""

    instrument: InstrumentId
    kind: Kind
    from_ms: int
    to_ms: int
    interval_ms: int  # of bars; 0: rates
    rows: Sequence[Bar | Rate]
    faults: Sequence[str]


def venue_of(instrument: InstrumentId, environment: Environment) -> VenueConfig:
    """The venue of `venue:market:symbol` there; ConfigError for one that cannot be asked."""
    parts = instrument.split(":")
    if len(parts) != 3 or not all(parts):
        raise ConfigError(
            f"instrument: found {instrument!r}, expected venue:market:symbol, "
            "e.g. bybit:linear:BTCUSDT"
        )
    name, market, symbol = parts
    markets = spec_of(name).markets
    if market not in markets:
        raise ConfigError(f"instrument: found market {market!r}{did_you_mean(market, markets)}")
    venue = VenueConfig(
        name=name, instruments=(f"{market}:{symbol}",), environment=environment
    )
    check_venue(venue, "--mode")
    return venue


def check_wanted(wanted: HistoryWanted) -> None:
    """ConfigError for a kind of past that the venue does not keep."""
    venue = wanted.instrument.partition(":")[0]
    features = spec_of(venue).features
    if _FEATURES[wanted.kind] not in features:
        kinds = [kind for kind in KINDS if _FEATURES[kind] in features]
        raise ConfigError(
            f"--kind: {venue} keeps no history of {wanted.kind!r}; expected one of: "
            f"{', '.join(kinds)}"
        )


async def fetch_past(venue: VenueConfig, wanted: HistoryWanted, market: str) -> Past:
    """Ask the venue, or a twin of it over `market` that is started for it.

    ConfigError for what cannot be asked; NoAnswer, TimeoutError or LabError where nobody is there.
    """
    check_wanted(wanted)
    if venue.needs_twin:
        check_market(market)
    lab = await start_lab([venue.name], market) if venue.needs_twin else None
    try:
        ends = endpoints_of(spec_of(venue.name), venue, lab)
        station = Station(venue, None, ends, wanted_of(venue))
        try:
            async with asyncio.timeout(PREPARE_S):
                await station.gateway.prepare()
            return await past_of(station, wanted)
        finally:
            await station.close()
    finally:
        if lab is not None:
            await lab.close()


async def past_of(station: Station, wanted: HistoryWanted) -> Past:
    """Every page of it from a prepared station; ConfigError for an instrument not listed there,
    ValueError for a length of bars or a past that the venue does not have."""
    listed = [e.instrument.id for e in station.find(InstrumentListed)]
    if wanted.instrument not in listed:
        raise ConfigError(
            f"instrument: {wanted.instrument!r} is not listed"
            f"{did_you_mean(wanted.instrument, listed)}"
        )
    mark = station.mark()
    for request in station.feed.history(wanted):
        await station.gateway.fetch("feed", request)
    funding = wanted.kind == "funding"
    rows = _rates(station, wanted, mark) if funding else _bars(station, wanted, mark)
    faults = [f"{e.socket}: {e.reason}" for e in station.find(FrameRejected, since=mark)]
    return Past(
        instrument=wanted.instrument,
        kind=wanted.kind,
        from_ms=wanted.start_ms,
        to_ms=wanted.end_ms,
        interval_ms=0 if funding else wanted.interval_ms,
        rows=rows,
        faults=list(dict.fromkeys(faults)),
    )


def _bars(station: Station, wanted: HistoryWanted, since: int) -> list[Bar | Rate]:
    """By start; pages come in the venue's order, and may overlap or reach beyond the range."""
    now_ms = station.clock.venue_ms(station.venue)
    found: dict[int, Bar | Rate] = {}
    for e in station.find(CandleClosed, lambda e: e.instrument == wanted.instrument, since):
        inside = wanted.start_ms <= e.start_ms <= wanted.end_ms
        # A bar that has not ended by the venue's clock is not the past.
        if inside and e.kind == wanted.kind and e.start_ms + e.interval_ms <= now_ms:
            found[e.start_ms] = Bar(
                start_ms=e.start_ms,
                open=e.open,
                high=e.high,
                low=e.low,
                close=e.close,
                volume=e.volume,
            )
    return [found[stamp] for stamp in sorted(found)]


def _rates(station: Station, wanted: HistoryWanted, since: int) -> list[Bar | Rate]:
    found: dict[int, Bar | Rate] = {}
    for e in station.find(FundingSettled, lambda e: e.instrument == wanted.instrument, since):
        if wanted.start_ms <= e.settled_ms <= wanted.end_ms:
            found[e.settled_ms] = Rate(settled_ms=e.settled_ms, rate=e.rate, mark=e.mark)
    return [found[stamp] for stamp in sorted(found)]


def kind_of(text: str) -> Kind:
    """ConfigError for a word that is none of KINDS."""
    if text not in KINDS:
        raise ConfigError(f"--kind: found {text!r}{did_you_mean(text, KINDS)}")
    return text
