"""Spot legs that a session still owns, read from its journal; what was given back of them."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from oneprice.app.build import build_desk
from oneprice.app.config import ConfigError, RunConfig
from oneprice.app.heartbeat import write_whole
from oneprice.app.session import decode_entry, entries_before
from oneprice.core.legs import ENDS, State
from oneprice.core.recall import NotRecalled
from oneprice.core.strategy import GroupMoved, IntentJudged
from oneprice.model.commands import PlaceOrder
from oneprice.model.events import InstrumentListed, OrderFilled
from oneprice.model.units import InstrumentId, OrderId
from oneprice.store.journal import JournalDamaged

GIVEN_BACK = "given_back.json"
ALL_STARTS = 1 << 62

# A leg by its holding (or group in flight) and instrument: the same coins are given back once,
# whoever does it and however often he is started.
LegKey = tuple[str, InstrumentId]


class NotReadable(ValueError):
    """A journal that does not tell which coins are ours."""


class GivenBack(msgspec.Struct, frozen=True, kw_only=True):
    """One leg, and how many of its lots (signed, as they were held) were given back."""

    root: str
    instrument: InstrumentId
    lots: int


class _Flight(msgspec.Struct):
    """What groups that have not ended have filled so far."""

    roots: dict[str, str] = {}  # group -> the holding it closes, or itself
    stuck: dict[str, None] = {}
    orders: dict[OrderId, str] = {}
    seen: dict[tuple[str, str], None] = {}
    lots: dict[tuple[str, InstrumentId], int] = {}  # by group


def spot_legs(directory: Path, config: RunConfig) -> dict[LegKey, int]:
    """Signed lots of every spot leg of open holdings and of groups in flight.

    Raises NotReadable where there is no sound journal.
    """
    # Whoever chose these trades is not asked again; he may not even be installed here.
    reader = msgspec.structs.replace(config, strategies=(), strategy={})
    engine = build_desk(reader, "reader").engine
    flight, spot = _Flight(), dict[InstrumentId, None]()
    try:
        for payload in entries_before(directory, ALL_STARTS):
            entry = decode_entry(payload)
            engine.recall.entry(entry.at, entry.record, entry.commands)
            for item in entry.record:
                if isinstance(item, InstrumentListed) and not item.instrument.is_derivative:
                    spot[item.instrument.id] = None
                else:
                    _follow(flight, item)
            for command in entry.commands:
                if isinstance(command, PlaceOrder):
                    flight.orders[command.order_id] = command.group
    except (JournalDamaged, NotRecalled, ConfigError, msgspec.MsgspecError, OSError) as error:
        raise NotReadable(f"journal of {directory}: {error}") from None
    found: dict[LegKey, int] = {}
    holdings = {holding.id: holding for holding in engine.report.holdings()}
    for holding in holdings.values():
        for leg in holding.legs:
            found[holding.id, leg.instrument] = leg.lots
    for (group, instrument), lots in flight.lots.items():
        root = flight.roots.get(group, "")
        # What a stuck group left is in its holding, where it has one.
        if root and not (group in flight.stuck and (root in holdings or root != group)):
            found[root, instrument] = found.get((root, instrument), 0) + lots
    return {key: lots for key, lots in found.items() if lots and key[1] in spot}


def _follow(flight: _Flight, item: object) -> None:
    match item:
        case IntentJudged(group=group) if group:
            flight.roots[group] = item.intent.closes or group
        case GroupMoved(group=group, after=State.STUCK):
            flight.stuck[group] = None
        case GroupMoved(group=group) if item.after in ENDS:
            flight.roots.pop(group, None)
        case OrderFilled():
            venue = item.instrument.partition(":")[0]
            once = (venue, item.fill_id)
            group = flight.orders.get(item.order_id, "")
            if group and once not in flight.seen:
                flight.seen[once] = None
                key = (group, item.instrument)
                flight.lots[key] = flight.lots.get(key, 0) + int(item.side) * item.lots
        case _:
            pass


def given_back(directory: Path) -> dict[LegKey, int]:
    """What was given back already; NotReadable where the note of it is damaged."""
    path = directory / GIVEN_BACK
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=list[GivenBack])
    except FileNotFoundError:
        return {}
    except (msgspec.MsgspecError, OSError) as error:
        raise NotReadable(f"{path}: {error}") from None
    return {(row.root, row.instrument): row.lots for row in rows}


def check_given_back(directory: Path) -> None:
    """ConfigError where nobody knows which coins of a session are gone: it could sell others."""
    try:
        given_back(directory)
    except NotReadable as error:
        raise ConfigError(f"session {directory}: {error}") from None


class GivenBackNews:
    """The note of what was given back, for the process whose legs they were."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen = 0
        self._told: Mapping[LegKey, int] = {}

    def fresh(self) -> dict[LegKey, int]:
        """Legs of which other sums are noted than at the last call; NotReadable as above."""
        try:
            written = (self._directory / GIVEN_BACK).stat().st_mtime_ns
        except OSError:
            return {}
        if written == self._seen:
            return {}
        found = given_back(self._directory)
        news = {key: lots for key, lots in found.items() if self._told.get(key, 0) != lots}
        self._seen, self._told = written, found
        return news


def keep_given_back(directory: Path, given: Mapping[LegKey, int]) -> None:
    """OSError where the disk refuses: then nothing more may be given back."""
    rows = [
        GivenBack(root=root, instrument=instrument, lots=lots)
        for (root, instrument), lots in given.items()
    ]
    write_whole(directory / GIVEN_BACK, msgspec.json.encode(rows) + b"\n")


class SpotPurse:
    """Which coins of ours are still to be given back, at one session."""

    def __init__(self, directory: Path, config: RunConfig) -> None:
        self._directory = directory
        self._given = given_back(directory)
        self._legs = spot_legs(directory, config)

    def left(self, venue: str) -> dict[LegKey, int]:
        """Signed lots that are held still, by leg."""
        rest = {key: lots - self._given.get(key, 0) for key, lots in self._legs.items()}
        return {k: n for k, n in rest.items() if n and k[1].startswith(venue + ":")}

    def take(self, key: LegKey, lots: int) -> None:
        """Count signed lots as given back (or, below, as not after all), on disk first."""
        given = {**self._given, key: self._given.get(key, 0) + lots}
        keep_given_back(self._directory, given)
        self._given = given
