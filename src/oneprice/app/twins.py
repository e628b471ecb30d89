"""Starting twins: over a seeded world, or over recordings that they play."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from oneprice.app.build import spec_of
from oneprice.app.config import ConfigError, did_you_mean
from oneprice.app.lab import Ready, twin_endpoints
from oneprice.app.tapeworld import taped
from oneprice.twin.build import DIALECTS, World, make_twin
from oneprice.twin.faults import FaultPlan
from oneprice.twin.playback import TapeError
from oneprice.twin.server import RunningTwin, serve


class RunningTwins(msgspec.Struct):
    """Some twins that listen, in the order they were named."""

    twins: list[RunningTwin]
    ready: list[Ready]

    async def close(self) -> None:
        for twin in self.twins:
            await twin.close()


async def start_twins(
    venues: Sequence[str], port: int, market: str, plan: FaultPlan | None = None
) -> RunningTwins:
    """Serve twins of `venues`; `port` 0 picks free ones, otherwise they count up from it.

    `plan` says what goes wrong, and how often; nothing by default.

    Raises ConfigError for an unknown venue or market, OSError (PortTaken) for a busy port.
    """
    for venue in venues:
        if venue not in DIALECTS:
            raise ConfigError(f"no twin of {venue!r}{did_you_mean(venue, DIALECTS)}")
    running = RunningTwins([], [])
    try:
        for number, venue in enumerate(venues):
            try:
                twin = make_twin(venue, time.time_ns, world_of(venue, market), plan=plan)
            except TapeError as error:
                raise ConfigError(f"market {market}: {venue}: {error}") from None
            served = await serve(twin, port + number if port else 0)
            running.twins.append(served)
            running.ready.append(msgspec.convert(served.ready, Ready))
    except BaseException:
        await running.close()
        raise
    return running


def configuration_of(ready: Sequence[Ready]) -> str:
    """A configuration that trades on twins that listen; how to hand over the keys is a comment."""
    lines = ["# Twins as they listen now. A run reads their keys from its environment:"]
    for twin in ready:
        prefix, keys = f"#   ONEPRICE_{twin.venue.upper()}", twin.credentials()
        lines += [f"{prefix}_KEY={keys.key}", f"{prefix}_SECRET={keys.secret}"]
        lines += [f"{prefix}_PASSPHRASE={keys.passphrase}"] * bool(keys.passphrase)
    lines.append('strategies = ["cross_exchange", "spot_futures"]')
    for twin in ready:
        hosts = twin_endpoints(twin.venue, twin.rest, twin.ws, spec_of(twin.venue).hosts["live"])
        named = [f"{listed.market}:{listed.id}" for listed in twin.instruments]
        lines += ["", "[[venues]]", f'name = "{twin.venue}"']
        lines += [f"instruments = {msgspec.json.encode(named).decode()}", "[venues.endpoints]"]
        lines += [f'{host} = "{url}"' for host, url in hosts.items()]
    return "\n".join(lines) + "\n"


def plan_of(faults: Sequence[str]) -> FaultPlan:
    """From `name=number` each; ConfigError names what is unknown or no number."""
    fields = {field.name: field.type for field in msgspec.structs.fields(FaultPlan)}
    given: dict[str, float] = {}
    for fault in faults:
        name, _, number = fault.partition("=")
        if name not in fields:
            raise ConfigError(f"fault {name!r}{did_you_mean(name, fields)}")
        try:
            given[name] = msgspec.convert(number, fields[name], strict=False)
        except msgspec.ValidationError:
            raise ConfigError(f"fault {name}: found {number!r}, expected a number") from None
        if given[name] < 0:
            raise ConfigError(f"fault {name}: found {number}, expected 0 or more")
    return FaultPlan(**given)  # type: ignore[arg-type]


def world_of(venue: str, market: str, at: int | None = None) -> World:
    """`seed:N` or `tape:PATH`; ConfigError says what was found and what is expected.

    `at` is when the market begins (ns UTC), now where it is not given.
    """
    kind, _, rest = market.partition(":")
    if kind == "seed" and rest.isdigit():
        return World(seed=int(rest))
    if kind == "tape" and rest:
        return taped(venue, Path(rest), time.time_ns() if at is None else at)
    raise ConfigError(f"market {market!r}: expected seed:N or tape:PATH")
