"""Performing: one drill on a stage of its own, and what came of it."""

import tempfile
import time
from pathlib import Path

import msgspec

from oneprice.app.drills.contract import Drill, NotHere, NotSeen, NotStaged, Result
from oneprice.app.drills.stage import Stage, pair_of

TRIES = 3  # at a situation that comes about by the side of a market that moves
AGAIN = "not staged"


async def perform(drill: Drill, venues: tuple[str, ...]) -> Result:
    """Play one drill at two venues. Whatever breaks in it makes it fail, and is told.

    Where its situation did not come about (a machine that stood still, a market that moved), it
    is played again on a stage of its own, and fails in the end if it never does.
    """
    missing: list[str] = []
    while True:
        result = await _play(drill, venues)
        if result.outcome != AGAIN:
            break
        missing.append(result.trouble)
        if len(missing) == TRIES:
            trouble = f"in {TRIES} tries {result.trouble}"
            return msgspec.structs.replace(result, outcome="fail", trouble=trouble)
    return msgspec.structs.replace(result, did=[*missing, *result.did])


async def _play(drill: Drill, venues: tuple[str, ...]) -> Result:
    began = time.monotonic()
    trouble, outcome, unhedged = "", "pass", 0.0
    with tempfile.TemporaryDirectory(prefix="oneprice-drill-") as directory:
        try:
            stage = Stage(Path(directory), pair_of(venues))
        except NotHere as error:
            return _skipped(drill, venues, f"not with these venues: {error}")
        stage.must = drill.must
        try:
            await stage.open(drill.funding_interval_ms)
            await drill.act(stage)
        except NotHere as error:
            outcome, trouble = "skipped", f"not with these venues: {error}"
        except NotStaged as error:
            broken = not all(check.held for check in stage.checks)
            outcome, trouble = "fail" if broken else AGAIN, f"{AGAIN}: {error}"
        except NotSeen as error:
            outcome, trouble = "fail", f"waited in vain for: {error}"
        except Exception as error:
            outcome, trouble = "fail", f"{type(error).__name__}: {error}"
        finally:
            if outcome == "pass":
                outcome, trouble = _verdict(drill, stage)
            unhedged = stage.unhedged_ms() if len(stage.twins) == len(venues) else 0.0
            await stage.close()
    return Result(
        name=drill.name,
        title=drill.title,
        venues=venues,
        outcome=outcome,
        did=stage.did,
        checks=stage.checks,
        trouble=trouble,
        unhedged_ms=round(unhedged, 1),
        recovery_ms=None if stage.recovery_ms is None else round(stage.recovery_ms, 1),
        seconds=round(time.monotonic() - began, 2),
    )


def _verdict(drill: Drill, stage: Stage) -> tuple[str, str]:
    """A sentence that nobody looked at has not held."""
    looked = {check.must for check in stage.checks}
    unseen = [sentence for sentence in drill.must.values() if sentence not in looked]
    if unseen:
        return "fail", f"nobody looked whether {unseen[0]}"
    return ("pass" if all(check.held for check in stage.checks) else "fail"), ""


def _skipped(drill: Drill, venues: tuple[str, ...], why: str) -> Result:
    return Result(
        name=drill.name,
        title=drill.title,
        venues=venues,
        outcome="skipped",
        did=[],
        checks=[],
        trouble=why,
        unhedged_ms=0.0,
        recovery_ms=None,
        seconds=0.0,
    )
