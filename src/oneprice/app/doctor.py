"""The doctor: is everything there that trading needs, venue by venue, before money is at stake?"""

import asyncio
import importlib.metadata
import platform
import shutil
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from oneprice import __version__, kernel
from oneprice.app.build import spec_of, wanted_of
from oneprice.app.config import RunConfig, VenueConfig, did_you_mean
from oneprice.app.lab import Lab, start_lab
from oneprice.app.run import credentials_of, endpoints_of
from oneprice.app.station import NotHeard, Station
from oneprice.model.commands import QueryAccount, QueryKey
from oneprice.model.events import (
    AccountChecked,
    FeesReported,
    FrameRejected,
    InstrumentListed,
    KeyReported,
    LeverageReported,
    PositionModeReported,
)
from oneprice.model.settings import AccountSettings
from oneprice.model.units import MILLI
from oneprice.shell.gateway import NoAnswer
from oneprice.venues.contract import Credentials

CONNECT_S = 15.0
ANSWER_S = 10.0
REFUSED_S = 1.0  # after a refusal: some questions are put in other words, and answered then
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
    keys = credentials_of(venue, lab, trading=False, file=config.secrets_file)
    station = _station(venue, keys, lab)
    try:
        if not await _reach(station, chart):
            return chart.findings
        listed = _listed(station, venue, chart)
        if keys is None:
            mark: Mark = "bad" if config.engine.trading else "note"
            chart.note("key", mark, "none; public data only")
        elif not await _key_is_good(station, config, chart):
            # Logins with it would be refused, again and again, until the venue bans us.
            await station.close()
            station, keys = _station(venue, None, lab), None
            listed = listed and not await _prepared(station)
        if listed:
            await _connect(station, chart)
            if keys is not None:
                await _private(station, venue, config, chart)
    finally:
        await station.close()
    return chart.findings


def _station(venue: VenueConfig, keys: Credentials | None, lab: Lab | None) -> Station:
    ends = endpoints_of(spec_of(venue.name), venue, lab)
    return Station(venue, keys, ends, wanted_of(venue))


async def _prepared(station: Station) -> str:
    """Clock and instruments; why not, or nothing."""
    try:
        async with asyncio.timeout(CONNECT_S):
            await station.gateway.prepare()
    except (NoAnswer, TimeoutError, ConnectionError) as error:
        return str(error) or f"no answer within {CONNECT_S:g} s"
    return ""


async def _reach(station: Station, chart: _Chart) -> bool:
    missing = await _prepared(station)
    if missing:
        chart.note("reachable", "bad", missing)
        return False
    chart.note("reachable", "ok", "REST answers, instruments are listed")
    offset = station.clock.offset_ns(station.venue) / MILLI
    mark: Mark = "ok" if abs(offset) <= OFFSET_MS_MAX else "note"
    way = "ahead of" if offset >= 0 else "behind"
    chart.note("clock", mark, f"the venue is {abs(offset):.1f} ms {way} ours")
    return True


def _listed(station: Station, venue: VenueConfig, chart: _Chart) -> bool:
    """Whether the venue has every instrument that is configured."""
    items = {e.instrument.id: e.instrument for e in station.find(InstrumentListed)}
    missing = [i for w in wanted_of(venue) if (i := w.instrument) not in items]
    for name in missing:
        near = did_you_mean(name, items) if items else "; expected one that is"
        chart.note("instruments", "bad", f"{name!r} is not listed{near[:200]}")
    still = [w.instrument for w in wanted_of(venue) if w.instrument in items]
    closed = [name for name in still if not items[name].tradable]
    if closed:
        chart.note("instruments", "bad", f"not tradable now: {', '.join(closed)}")
    elif not missing:
        chart.note("instruments", "ok", f"{len(still)} listed and tradable")
    return not missing


async def _connect(station: Station, chart: _Chart) -> None:
    try:
        await station.gateway.open()
        await station.until(lambda: station.gateway.settled, "every line and book", CONNECT_S)
    except ValueError as error:  # a depth or a channel that the venue does not have
        chart.note("sockets", "bad", str(error))
    except NotHeard:
        chart.note("sockets", "bad", "missing: " + ", ".join(station.gateway.unsettled()))
    else:
        lines = len(station.gateway.lines)
        up = "1 connection" if lines == 1 else f"{lines} connections"
        chart.note("sockets", "ok", f"{up} up, every book proven")


async def _private(
    station: Station, venue: VenueConfig, config: RunConfig, chart: _Chart
) -> None:
    for market in venue.in_markets:
        mark = station.mark()
        station.say(QueryAccount(venue=venue.name, market=market))
        try:
            await _answered(
                station, lambda m=market, s=mark: _checked(station, m, s), mark  # type: ignore[misc]
            )
        except NotHeard as error:
            chart.note(f"{market} account", "bad", str(error))
            continue
        _mode(station, market, config.engine.account, chart)
        _leverage(station, market, config.engine.account, chart)
        _fees(station, market, chart)


def _checked(station: Station, market: str, since: int) -> bool:
    return bool(station.find(AccountChecked, lambda e: e.market == market, since))


async def _answered(station: Station, answered: Callable[[], bool], since: int) -> None:
    """Wait for an answer; NotHeard has the venue's own words where it refused."""
    refused_at = 0.0

    def over() -> bool:
        nonlocal refused_at
        now = time.monotonic()
        if not refused_at and station.find(FrameRejected, since=since):
            refused_at = now
        return answered() or bool(refused_at and now > refused_at + REFUSED_S)

    await station.until(over, "an answer", ANSWER_S)
    if not answered():
        told = [f"{e.socket}: {e.reason}" for e in station.find(FrameRejected, since=since)]
        raise NotHeard("refused: " + "; ".join(list(dict.fromkeys(told))[:3]))


async def _key_is_good(station: Station, config: RunConfig, chart: _Chart) -> bool:
    """Ask what a key may do before anything logs in with it; whether the venue knows it."""
    mark = station.mark()
    station.say(QueryKey(venue=station.venue))
    try:
        await _answered(station, lambda: bool(station.find(KeyReported)), mark)
    except NotHeard as error:
        chart.note("key", "bad", f"its permissions are not known: {error}")
        return False
    told = station.find(KeyReported)[0]
    if told.may_withdraw:
        allowed = config.engine.account.withdrawal_keys
        found = "it may withdraw" + ("; withdrawal_keys allows it" if allowed else "")
        chart.note("key", "note" if allowed else "bad", f"{found}: make one that cannot")
    if not told.may_trade:
        chart.note("key", "bad" if config.engine.trading else "note", "it may not trade")
    elif not told.may_withdraw:
        bound = f"bound to {', '.join(told.addresses)}" if told.addresses else "from any address"
        chart.note("key", "ok", f"may trade, may not withdraw, {bound}")
    return True


def _mode(station: Station, market: str, account: AccountSettings, chart: _Chart) -> None:
    told = station.find(PositionModeReported, lambda e: e.market == market)
    if not told:
        return
    hedged = dict.fromkeys(m.symbol or market for m in told if m.mode == "hedge")
    found = f"hedge: {', '.join(hedged)}; expected one way" if hedged else "one way"
    chart.note(f"{market} position mode", _mark(bool(hedged), account), found)


def _leverage(station: Station, market: str, account: AccountSettings, chart: _Chart) -> None:
    told = {
        e.instrument: e.leverage
        for e in station.find(LeverageReported)
        if e.instrument.split(":")[1] == market
    }
    wrong = 0
    for instrument, leverage in told.items():
        general = account.leverage.get(f"{station.venue}:{market}")
        wanted = account.leverage.get(instrument, general)
        if wanted is not None and wanted != leverage:
            wrong += 1
            found = f"{instrument}: found {leverage}, expected {wanted}"
            chart.note(f"{market} leverage", _mark(True, account), found)
    if told and not wrong:
        found = ", ".join(f"{i.rpartition(':')[2]} {lev}" for i, lev in sorted(told.items())[:8])
        chart.note(f"{market} leverage", "ok", found)


def _mark(differs: bool, account: AccountSettings) -> Mark:
    """What differs opens the clutch; with `adjust` it is changed where nothing is open."""
    if not differs:
        return "ok"
    return "note" if account.adjust else "bad"


def _fees(station: Station, market: str, chart: _Chart) -> None:
    fees = station.find(FeesReported, lambda e: e.market == market)
    if not fees:
        chart.note(f"{market} fees", "bad", "not told")
        return
    tiers = dict.fromkeys((f.maker, f.taker) for f in fees)
    found = ", ".join(f"maker {_percent(maker)} taker {_percent(taker)}" for maker, taker in tiers)
    chart.note(f"{market} fees", "ok", found)


def _percent(rate: Decimal) -> str:
    return f"{(rate * 100).normalize():f} %"
