"""Drills that kill a trader, or take its disk: the next start must know what was."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec

from oneprice.app.drills import doomed
from oneprice.app.drills.contract import Drill, NotHere, NotSeen, NotStaged
from oneprice.app.drills.judge import judge
from oneprice.app.drills.stage import Place, Stage
from oneprice.app.drills.standstill import Standstill
from oneprice.app.drills.trader import PATIENCE_S, Trader
from oneprice.twin.contract import Order, OrderRequest
from oneprice.twin.records import Refusal

SAFE_MS = 5_000  # from the first question of a new start to where it trades again
SENT = '"type":"PlaceOrder"'
UNWINDING = '"after":"UNWINDING"'
FULL = Path("/dev/full")


async def kill_before_send(stage: Stage) -> None:
    stage.tell("a hedge is written to the journal; kill -9 before any of its orders leaves")
    await _killed(stage, "after", SENT)
    sent = sum(len(stage.orders(venue)) for venue in stage.legs)
    stage.saw("killed", sent == 0, f"{sent} orders at the venues")
    trader = await _resumed(stage)
    asked = trader.engine.report.recovered
    stage.saw(
        "asked",
        asked is not None and asked.orders and stage.is_flat(),
        f"{asked.orders if asked else 0} orders asked for; {stage.lots_text()}",
    )
    await judge(stage)


async def kill_mid_unwind(stage: Stage) -> None:
    refusing = [True]

    def placed(request: OrderRequest, place: Place) -> Order:
        if refusing:
            raise Refusal("insufficient_margin", "drill")
        return place()

    stage.on_place(stage.struck, placed)
    stage.tell(f"{stage.struck} refuses its leg; kill -9 when the other leg is to be given back")
    await _killed(stage, "after", UNWINDING)
    alone = stage.lots(stage.calm)
    stage.staged("killed", alone, f"{stage.lots_text()}, and nobody there")
    refusing.clear()
    await _resumed(stage)
    stage.saw("back", stage.is_flat(), stage.lots_text())
    await judge(stage)


async def _killed(stage: Stage, place: str, pattern: str) -> None:
    """A trader of its own process lives until that write."""
    order = doomed.Order(
        config=stage.config(),
        lots=dict(stage.hedge.lots),
        session=str(stage.session),
        place=place,
        pattern=pattern,
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", doomed.__name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    work = process.communicate(msgspec.json.encode(order))
    try:
        _, complaint = await asyncio.wait_for(work, 2 * PATIENCE_S)
    except TimeoutError:
        raise NotSeen("the end of the doomed trader") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        raise NotStaged(f"a write that contains {pattern}")
    if process.returncode != -signal.SIGKILL:
        raise NotSeen(f"a trader that is killed: {complaint.decode(errors='replace')[-300:]}")


async def _resumed(stage: Stage) -> Trader:
    """The next start on the session, until it is sure of everything."""
    stage.tell("the session is resumed")
    still = Standstill()
    still.begin()
    try:
        trader = await stage.start()
    finally:
        await still.end()
    told = trader.engine.report.recovered
    if told is None:
        raise NotSeen("a session that is resumed")
    stage.recovery_ms = told.ms
    differs = "; ".join(told.differences) or "nothing differs"
    seen = f"{told.ms} ms; {differs}"
    if still.ms > told.ms / 10:  # no merit of ours, and no fault
        seen = f"{told.ms} ms, of which the machine stood still for {still.ms:.0f}; {differs}"
    stage.saw("safe", told.ms - still.ms < SAFE_MS and not told.differences, seen)
    return trader


async def disk_full(stage: Stage) -> None:
    trader = await stage.start()
    files = _open_in(stage.session / "journal")
    _fill_disk_of(files)
    stage.tell("the disk is full; a hedge is wanted")

    def sent() -> int:
        return sum(len(stage.orders(venue)) for venue in stage.legs)

    stage.hedge.wanted = True
    await trader.look(lambda: bool(trader.seen.runtime.failure or sent()), "the disk is missed")
    stage.hedge.wanted = False
    stage.saw("nothing", files and not sent(), f"{sent()} orders at the venues")
    summary = await trader.over()
    named = "No space left" in summary.failure and summary.clutch == summary.failure
    stage.saw("named", named, summary.failure)
    stage.tell("the disk has room again")
    again = await _resumed(stage)
    await again.trade()
    ends = await again.ended()
    stage.saw("again", stage.is_level(ends), stage.told(ends))
    await judge(stage)


def _fill_disk_of(files: list[int]) -> None:
    """No byte more goes into these open files: ENOSPC, as a real disk says it."""
    if not FULL.exists():
        raise NotHere("this system has no /dev/full")
    full = os.open(FULL, os.O_WRONLY)
    for number in files:
        os.dup2(full, number)
    os.close(full)


def _open_in(directory: Path) -> list[int]:
    """File descriptors of this process that are open for something in a directory."""
    there = Path("/proc/self/fd")
    if not there.is_dir():
        raise NotHere("this system does not list open files in /proc")
    inside = str(directory.resolve()) + os.sep
    found = []
    for entry in list(there.iterdir()):
        try:
            target = str(entry.readlink())
        except OSError:  # the listing's own
            continue
        if target.startswith(inside) and not target.endswith(".lock"):
            found.append(int(entry.name))
    return found


_SAFE = f"the next start is sure of everything within {SAFE_MS} ms, and nothing differs"

DRILLS = (
    Drill(
        name="kill-before-send",
        title="kill -9 between journal and send",
        must={
            "killed": "the trader dies with orders in its journal that no venue has",
            "safe": _SAFE,
            "asked": "they are asked for, found to be nowhere, and sent by nobody",
        },
        act=kill_before_send,
    ),
    Drill(
        name="kill-mid-unwind",
        title="kill -9 in the middle of an unwinding",
        must={
            "killed": "the trader dies with one leg alone",
            "safe": _SAFE,
            "back": "the leg that stood alone is given back by the next start",
        },
        act=kill_mid_unwind,
    ),
    Drill(
        name="disk-full",
        title="the disk is full",
        must={
            "nothing": "what cannot be written down is not sent",
            "named": "the run ends and names the disk; the clutch is open",
            "safe": _SAFE,
            "again": "with room on the disk the session goes on, and trades",
        },
        act=disk_full,
    ),
)
