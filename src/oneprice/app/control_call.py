"""Telling a session to end from outside: its trader where one lives, else by our own hand."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from oneprice.app.config import ConfigError
from oneprice.app.control import (
    KILL_FILES,
    PORT,
    TOKEN,
    TOKEN_NAME,
    Address,
    ask_by_file,
    release_by_file,
)
from oneprice.app.control_everywhere import Everywhere, Outcome, keys_of
from oneprice.app.control_report import KillReport, keep_report, read_report
from oneprice.app.heartbeat import (
    ENDED,
    Heartbeat,
    HeartbeatDamaged,
    boot_id,
    process_lives,
    read_heartbeat,
)
from oneprice.app.session import MANIFEST, load_manifest

CALL_S = 3.0
LOOK_EVERY_S = 0.05
RELEASE_S = 5.0


class Unheard(Exception):
    """The endpoint of a trader did not take what it was told; says why."""


class KillOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants of a session."""

    flatten: bool = False
    reason: str = ""
    wait_s: float = 10.0
    stop: bool = False


def newest_session(root: Path) -> Path:
    """The session that was begun last below a directory; ConfigError where there is none."""
    found = [path.parent for path in root.glob(f"*/{MANIFEST}")]
    if not found:
        raise ConfigError(f"{root}: found no session; name one: --session DIR")
    return max(found, key=lambda path: ((path / MANIFEST).stat().st_mtime_ns, path.name))


async def kill(directory: Path, order: KillOrder) -> KillReport:
    """End what a session has at the venues, and say what is left.

    Raises ConfigError for what is no session or has no keys, OSError where the disk refuses.
    """
    load_manifest(directory)
    beat = _beat(directory)
    if beat is not None and beat.fresh and not beat.sealed:
        return await _by_trader(directory, order, beat)
    if beat is None or beat.phase != ENDED:
        # Whoever wakes up, or goes on where it broke off, must find that it was killed.
        ask_by_file(directory, "command", order.reason, flatten=order.flatten)
    report = await _by_hand(directory, order, _why(beat))
    if order.stop and beat is not None and beat.fresh:
        _stop(beat)
    return report


def _beat(directory: Path) -> Heartbeat | None:
    try:
        return read_heartbeat(directory)
    except HeartbeatDamaged:
        return None


def _why(beat: Heartbeat | None) -> str:
    """Why nobody was told."""
    if beat is None:
        return "no trader has left a sign of life"
    if beat.over:
        return f"the trader has {beat.phase}"
    if beat.sealed:
        return f"process {beat.pid} can send nothing any more: its journal refused a turn"
    lives = beat.boot == boot_id() and process_lives(beat.pid)
    there = "does not answer" if lives else "is gone"
    return f"process {beat.pid} {there}, last seen {beat.age_s():.1f} s ago"


# A trader that lives -----------------------------------------------------------------------


async def _by_trader(directory: Path, order: KillOrder, beat: Heartbeat) -> KillReport:
    asked, notes, stopped = time.time_ns(), list[str](), False
    body = {"flatten": order.flatten, "reason": order.reason, "stop": order.stop}
    try:
        await call(directory, "POST", "/kill", body)
    except Unheard as error:
        if (directory / PORT).exists():
            notes.append(f"told by file: {error}")
        ask_by_file(directory, "command", order.reason, flatten=order.flatten)
        stopped = not order.stop
    else:
        stopped = True
    report = await _told(directory, asked, order.wait_s)
    if report is None:
        if not beat.fresh:
            return await _by_hand(directory, order, _why(beat))
        notes.append(f"process {beat.pid} has not taken it up within {order.wait_s:g} s")
        report = KillReport(
            reason=order.reason, by="command", flatten=order.flatten, at=asked,
            ms=round(order.wait_s * 1000), finished=False, verified=False, venues=[],
        )  # fmt: skip
    elif not report.finished:
        notes.append(f"not verified within {order.wait_s:g} s; it goes on: kill.json")
    if not stopped and report.verified:
        _stop(beat)
    return msgspec.structs.replace(report, notes=[*report.notes, *notes])


async def _told(directory: Path, asked: int, seconds: float) -> KillReport | None:
    """The trader's report on a kill since then: the finished one, or the last before the end."""
    deadline = time.monotonic() + seconds
    while True:
        report = read_report(directory)
        mine = report if report is not None and report.at >= asked else None
        if (mine is not None and mine.finished) or time.monotonic() > deadline:
            return mine
        await asyncio.sleep(LOOK_EVERY_S)


def _stop(beat: Heartbeat) -> None:
    """Politely: legs in flight are finished first."""
    if beat.fresh:
        os.kill(beat.pid, signal.SIGTERM)


async def call(
    directory: Path, method: str, path: str, body: Mapping[str, object] | None = None
) -> Any:
    """Ask a trader's endpoint; Unheard where it has none, is not there, or refuses."""
    try:
        address = msgspec.json.decode((directory / PORT).read_bytes(), type=Address)
        token = os.environ.get(TOKEN_NAME, "") or (directory / TOKEN).read_text().strip()
    except OSError as error:
        raise Unheard(f"{error.filename}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unheard(f"{directory / PORT}: {error}") from None
    url = f"http://{address.host}:{address.port}{path}"
    data = msgspec.json.encode(body) if body is not None else None
    headers = {"Authorization": f"Bearer {token}"}
    limit = aiohttp.ClientTimeout(total=CALL_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as client,
            client.request(method, url, data=data, headers=headers) as answer,
        ):
            text = await answer.read()
            if answer.status >= 400:
                raise Unheard(f"{path}: {answer.status} {text.decode(errors='replace')[:200]}")
            return msgspec.json.decode(text)
    except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError, OSError) as error:
        raise Unheard(f"{url}: {error or type(error).__name__}") from None


# Nobody is there ---------------------------------------------------------------------------


async def _by_hand(directory: Path, order: KillOrder, why: str) -> KillReport:
    config = load_manifest(directory).config
    if not config.engine.trading:
        raise ConfigError(f"session {directory}: it only looked; it has nothing to end")
    began, at = time.monotonic(), time.time_ns()

    def made(outcome: Outcome) -> KillReport:
        return KillReport(
            reason=order.reason,
            by="own hand",
            flatten=order.flatten,
            at=at,
            ms=round((time.monotonic() - began) * 1000),
            finished=True,
            verified=outcome.clean,
            venues=outcome.venues,
            cancelled=outcome.cancelled,
            closed=outcome.closed,
            notes=[f"{why}: done from here", *outcome.notes],
        )

    everywhere = Everywhere(directory, config, keys_of(config, "trader"))
    outcome = await everywhere.end(flatten=order.flatten, seconds=order.wait_s)
    report = made(outcome)
    keep_report(directory, report)
    return report


# Signing for it ----------------------------------------------------------------------------


async def release(directory: Path, by: str, *, keep: bool = False) -> str:
    """Sign for what differs: the clutch is closed again. What came of it, for people.

    Raises ConfigError where nobody is there who could take it, or where it stays open: a flatten
    is under way, and what is left of it is not to be kept.
    """
    load_manifest(directory)
    asked, beat = time.time_ns(), _beat(directory)
    for name in KILL_FILES:
        (directory / name).unlink(missing_ok=True)  # not heard yet: taken back
    if beat is None or not beat.fresh:
        raise ConfigError(
            f"session {directory}: {_why(beat)}; to go on with it: "
            f"oneprice run --session {directory} --accept {by}"
        )
    try:
        await call(directory, "POST", "/release", {"by": by, "keep": keep})
    except Unheard:
        release_by_file(directory, by, keep=keep)
    deadline = time.monotonic() + RELEASE_S
    while time.monotonic() < deadline:
        now = _beat(directory)
        if now is not None and now.wall_ns > asked and not now.clutch:
            return "the clutch is closed"
        await asyncio.sleep(LOOK_EVERY_S)
    now = _beat(directory)
    why = now.clutch if now is not None else "no sign of life"
    raise ConfigError(f"session {directory}: the clutch is open still: {why}")
