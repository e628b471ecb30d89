"""The doctor: is everything there that trading needs, venue by venue, before money is at stake?"""

import asyncio
import importlib.metadata
import platform
import shutil
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from oneprice import __version__, kernel
from oneprice.app.build import spec_of, wanted_of
from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.lab import Lab, start_lab
from oneprice.app.run import credentials_of, endpoints_of
from oneprice.app.station import NotHeard, Station
from oneprice.model.commands import QueryAccount, QueryKey
from oneprice.model.events import (
    AccountChecked,
    FeesReported,
    KeyReported,
    LeverageReported,
    PositionModeReported,
)
from oneprice.model.units import MILLI
from oneprice.shell.gateway import NoAnswer

CONNECT_S = 15.0
ANSWER_S = 10.0
OFFSET_MS_MAX = 1_000  # beyond it requests are refused wherever the venue's window is small
DISK_BYTES_MIN = 1_000_000_000
LIBRARIES = ("aiohttp", "msgspec", "picows", "stamina", "structlog", "uvloop")

Mark = Literal["ok", "note", "bad"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at. `venue` is "" for this machine; bad means: do not trade."""

    venue: str
    what: str
    mark: Mark
    found: str


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool
    findings: list[Finding]


async def examine(config: RunConfig) -> Diagnosis:
    """Look at this machine and at every venue of a configuration; twins are started for it."""
    findings = machine()
    names = [v.name for v in config.venues if v.needs_twin]
    lab = await start_lab(names, config.market) if names else None
    try:
        told = await asyncio.gather(*(_venue(v, config, lab) for v in config.venues))
    finally:
        if lab is not None:
            await lab.close()
    for one in told:
        findings += one
    return Diagnosis(ok=all(f.mark != "bad" for f in findings), findings=findings)


def machine(where: Path = Path()) -> list[Finding]:
    """Kernel, disk and versions of this machine."""
    free = shutil.disk_usage(where).free
    versions = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    native = kernel.NAME == "native"
    speed = kernel.NAME if native else f"{kernel.NAME}: several times slower than the native one"
    return [
        _machine("kernel", "ok" if native else "note", speed),
        _machine("disk", "ok" if free >= DISK_BYTES_MIN else "bad", f"{free / 1e9:.1f} GB free"),
        _machine("oneprice", "ok", __version__),
        _machine("python", "ok", platform.python_version()),
        _machine("libraries", "ok", versions),
    ]


def _machine(what: str, mark: Mark, found: str) -> Finding:
    return Finding(venue="", what=what, mark=mark, found=found)


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


class _Chart:
    """Collects the findings about one venue."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.findings: list[Finding] = []

    def note(self, what: str, mark: Mark, found: str) -> None:
        self.findings.append(Finding(venue=self.venue, what=what, mark=mark, found=found))


async def _venue(venue: VenueConfig, config: RunConfig, lab: Lab | None) -> list[Finding]:
    chart = _Chart(venue.name)
    spec = spec_of(venue.name)
    if spec.closed and venue.environment != "twin":
        chart.note("venue", "bad", spec.closed)
        return chart.findings
    keys = credentials_of(venue, lab, trading=False)
    station = Station(venue, keys, endpoints_of(spec, venue, lab), wanted_of(venue))
    try:
        if await _reach(station, chart):
            await _connect(station, chart)
            if keys is None:
                mark: Mark = "bad" if config.engine.trading else "note"
                chart.note("key", mark, "none; public data only")
            else:
                await _private(station, venue, config, chart)
    finally:
        await station.close()
    return chart.findings


async def _reach(station: Station, chart: _Chart) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            await station.gateway.prepare()
    except (NoAnswer, TimeoutError, ConnectionError) as error:
        chart.note("reachable", "bad", str(error) or f"no answer within {CONNECT_S:g} s")
        return False
    chart.note("reachable", "ok", "REST answers, instruments are listed")
    offset = station.clock.offset_ns(station.venue) / MILLI
    mark: Mark = "ok" if abs(offset) <= OFFSET_MS_MAX else "note"
    chart.note("clock", mark, f"the venue is {offset:+.1f} ms ahead of ours")
    return True


async def _connect(station: Station, chart: _Chart) -> None:
    try:
        await station.gateway.open()
        await station.until(lambda: station.gateway.settled, "every line and book", CONNECT_S)
    except ValueError as error:  # an instrument that the venue does not list
        chart.note("sockets", "bad", str(error))
    except NotHeard:
        chart.note("sockets", "bad", "missing: " + ", ".join(station.gateway.unsettled()))
    else:
        lines = len(station.gateway.lines)
        chart.note("sockets", "ok", f"{lines} connections up, every book proven")


async def _private(
    station: Station, venue: VenueConfig, config: RunConfig, chart: _Chart
) -> None:
    await _key(station, chart)
    for market in venue.in_markets:
        mark = station.mark()
        station.say(QueryAccount(venue=venue.name, market=market))
        try:
            await station.event(
                AccountChecked,
                lambda e, m=market: e.market == m,  # type: ignore[misc]
                since=mark,
                seconds=ANSWER_S,
            )
        except NotHeard as error:
            chart.note(f"{market} account", "bad", str(error))
            continue
        _terms(station, market, config.engine.account.leverage, chart)


async def _key(station: Station, chart: _Chart) -> None:
    station.say(QueryKey(venue=station.venue))
    try:
        told = await station.event(KeyReported, seconds=ANSWER_S)
    except NotHeard as error:
        chart.note("key", "bad", f"its permissions are not known: {error}")
        return
    if told.may_withdraw:
        chart.note("key", "bad", "it may withdraw: make one that cannot")
    elif not told.may_trade:
        chart.note("key", "bad", "it may not trade")
    else:
        bound = f"bound to {', '.join(told.addresses)}" if told.addresses else "from any address"
        chart.note("key", "ok", f"may trade, may not withdraw, {bound}")


def _terms(
    station: Station, market: str, leverages: Mapping[str, object], chart: _Chart
) -> None:
    """Position mode, leverage and fees of one market, as just told."""
    modes = station.find(PositionModeReported, lambda e: e.market == market)
    if modes:
        hedged = [m.symbol or market for m in modes if m.mode == "hedge"]
        found = f"hedge: {', '.join(dict.fromkeys(hedged))}" if hedged else "one way"
        chart.note(f"{market} position mode", "bad" if hedged else "ok", found)
    told = {
        e.instrument: e.leverage
        for e in station.find(LeverageReported)
        if e.instrument.split(":")[1] == market
    }
    for instrument, leverage in told.items():
        wanted = leverages.get(instrument, leverages.get(f"{station.venue}:{market}"))
        if wanted is not None and wanted != leverage:
            found = f"{instrument} {leverage}, configured {wanted}"
            chart.note(f"{market} leverage", "bad", found)
    if told:
        found = ", ".join(f"{i.rpartition(':')[2]} {lev}" for i, lev in sorted(told.items())[:8])
        chart.note(f"{market} leverage", "ok", found)
    fees = station.find(FeesReported, lambda e: e.market == market)
    if not fees:
        chart.note(f"{market} fees", "bad", "not told")
        return
    tiers = dict.fromkeys((f.maker, f.taker) for f in fees)
    found = ", ".join(f"maker {_percent(maker)} taker {_percent(taker)}" for maker, taker in tiers)
    chart.note(f"{market} fees", "ok", found)


def _percent(rate: Decimal) -> str:
    return f"{(rate * 100).normalize():f} %"
