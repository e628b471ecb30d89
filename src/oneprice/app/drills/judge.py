"""The judge: at the end of every drill the twins are asked, and our own books beside them."""

from decimal import Decimal

from oneprice.app.drills.contract import Check
from oneprice.app.drills.stage import Stage
from oneprice.app.summary import Summary

PENNY = Decimal("0.000001")
ONCE = "no order is sent twice: every order at the venues has a client id of its own"
FLAT = "after the stop both venues hold nothing of ours: no position, no open order"
EQUAL = "our positions, balances and fills are those of the venues"
EXACT = "profit by cause adds up to the change in equity, to the last unit"
SOUND = "nothing of ours breaks"
CLOSED = "the clutch stays closed"
OPENED = "the clutch opens and says why"
LEVEL = "the legs end equal: what was missing is completed or given back"


async def judge(stage: Stage, *, clutch: str = "", failure: str = "") -> Summary:
    """Stop the trader and look at everything that must hold after any misfortune.

    `clutch` and `failure` are words that must be in the reason; "": there is none.
    """
    stage.tell("the trader is stopped")
    summary = await stage.trader.finish()
    once(stage)
    flat(stage)
    equal(stage)
    residual = stage.trader.engine.report.residual()
    _note(stage, EXACT, residual == 0, f"{residual} unexplained")
    standing(stage, summary, clutch)
    broke = summary.failure or "nothing broke"
    sentence = SOUND if not failure else f"{failure!r} is named as what ended the run"
    _note(stage, sentence, failure in broke if failure else not summary.failure, broke)
    return summary


def once(stage: Stage) -> None:
    ids = [(v, o.client_id) for v in stage.legs for o in stage.orders(v)]
    doubled = sorted({one for one in ids if ids.count(one) > 1})
    named = all(client_id for _, client_id in ids)
    seen = f"{len(ids)} orders" + (f", doubled: {doubled}" if doubled else "")
    _note(stage, ONCE, not doubled and named, seen)


def flat(stage: Stage) -> None:
    living = [o for v in stage.legs for o in stage.orders(v) if o.open]
    seen = f"{stage.lots_text()}, {len(living)} open orders"
    _note(stage, FLAT, stage.is_flat() and not living, seen)


def equal(stage: Stage) -> None:
    differs = differences(stage)
    counted = traded(stage)
    _note(stage, EQUAL, not differs, "; ".join(differs) or f"equal after {counted} fills")


def differences(stage: Stage) -> list[str]:
    """Where our books and the venues' differ, in words."""
    report = stage.trader.engine.report
    found = []
    positions = report.positions()
    for venue, leg in stage.legs.items():
        ours, theirs = positions.get(leg, 0), stage.lots(venue)
        if ours != theirs:
            found.append(f"{leg}: we say {ours} lots, {theirs} there")
    for (venue, _, asset), amount in report.balances().items():
        held = stage.money(venue, asset)
        if abs(amount - held) >= PENNY:
            found.append(f"{venue} {asset}: we say {amount}, {held} there")
    counted = traded(stage)
    if report.counts()["fills"] != counted:
        found.append(f"we count {report.counts()['fills']} fills, {counted} there")
    return found


def traded(stage: Stage) -> int:
    """Fills of our own orders, as the venues count them."""
    return sum(not fill.reason for venue in stage.legs for fill in stage.fills(venue))


def standing(stage: Stage, summary: Summary, clutch: str) -> None:
    if clutch:
        sentence = f"{OPENED} ({clutch})"
        _note(stage, sentence, clutch in summary.clutch, summary.clutch)
    else:
        seen = "; ".join([summary.clutch, *summary.discrepancies])
        _note(stage, CLOSED, summary.clutch == "closed" and not summary.discrepancies, seen)


def _note(stage: Stage, must: str, held: bool, seen: str) -> None:
    stage.checks.append(Check(must=must, seen=seen, held=held))
