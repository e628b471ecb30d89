"""What a kill has left behind, venue by venue, as the venues themselves say."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from oneprice.app.heartbeat import write_whole

KILL_REPORT = "kill.json"


class VenueLeft(msgspec.Struct, frozen=True, kw_only=True):
    """What one venue holds for us. `answered`: it was asked in full and said all of this."""

    venue: str
    answered: bool
    orders: list[str] = []  # still open there
    positions: list[str] = []  # "instrument size", derivatives
    coins: list[str] = []  # spot legs of ours that are still to be given back
    trouble: str = ""  # why it did not answer, or what it refused


class KillReport(msgspec.Struct, frozen=True, kw_only=True):
    """One kill: what was asked for, what became of it, what is left."""

    reason: str
    by: str  # file, command or watchdog (by file), signal, endpoint, or the command's own hand
    flatten: bool
    at: int  # nanoseconds UTC, when it was heard
    ms: int  # since then
    finished: bool  # verified, or given up
    verified: bool  # every venue has said that nothing is left of what was to end
    venues: list[VenueLeft]
    cancelled: list[str] = []  # our ids of orders that ended
    closed: list[str] = []  # holdings and positions that ended
    holdings: list[str] = []  # hedged positions that go on
    notes: list[str] = []


def is_clean(left: Sequence[VenueLeft], *, flatten: bool) -> bool:
    """Whether the venues say that no order is open, and with `flatten` that nothing is held."""
    return all(
        v.answered and not v.orders and not (flatten and (v.positions or v.coins)) for v in left
    )


def remains(report: KillReport) -> list[str]:
    """A line for everything that is left, for people."""
    lines: list[str] = []
    for told in report.venues:
        lines += [f"{told.venue}: open order {order}" for order in told.orders]
        lines += [f"{told.venue}: position {position}" for position in told.positions]
        lines += [f"{told.venue}: coins {coins}" for coins in told.coins]
        if not told.answered:
            why = told.trouble or "it has not said so in full"
            lines.append(f"{told.venue}: what is left there is not known: {why}")
        elif told.trouble:
            lines.append(f"{told.venue}: {told.trouble}")
    return lines + [f"holding {holding}" for holding in report.holdings] + report.notes


def keep_report(directory: Path, report: KillReport) -> None:
    """OSError where the disk refuses."""
    text = msgspec.json.format(msgspec.json.encode(report), indent=2)
    write_whole(directory / KILL_REPORT, text + b"\n")


def read_report(directory: Path) -> KillReport | None:
    """The last kill of a session; None where there was none or it cannot be read."""
    try:
        return msgspec.json.decode((directory / KILL_REPORT).read_bytes(), type=KillReport)
    except (OSError, msgspec.MsgspecError):
        return None
