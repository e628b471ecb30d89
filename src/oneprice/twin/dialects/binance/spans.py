"""How far one question about the past may reach: windows, defaults and what is kept."""

from typing import Any

from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.dialects.binance.shapes import millis

HOUR_MS = 3_600_000
WEEK_MS = 7 * 24 * HOUR_MS
KEPT_MS = 90 * 24 * HOUR_MS  # of trades and income of futures: three months


def check_window(call: Call, longest_ms: int) -> None:
    """Refuses a stretch of time that is too long, turned round, or given beside an id."""
    start, end = call.integer("startTime", -1), call.integer("endTime", -1)
    if call.text("fromId") and (start >= 0 or end >= 0):
        raise Denied(-1128, "Combination of optional parameters invalid.")
    if start < 0 or end < 0:
        return
    if end < start:
        raise Denied(-1128, "Combination of optional parameters invalid.")
    if end - start > longest_ms:
        hours = longest_ms // HOUR_MS
        raise Denied(-1127, f"More than {hours} hours between startTime and endTime.")


def within(
    call: Call, rows: list[tuple[int, int, Any]], longest_ms: int, *, kept_ms: int = 0
) -> list[tuple[int, int, Any]]:
    """Rows (id, ns, row) of the window that the times of a call open, as far as they are kept.

    One bound opens a window of the longest length; where the venue forgets, none of them and
    no id open the latest one. How many are shown is not decided here.
    """
    check_window(call, longest_ms)
    now = millis(call.at)
    start, end = call.integer("startTime", -1), call.integer("endTime", -1)
    named = call.text("fromId") or call.text("orderId")
    if start >= 0 and end < 0:
        end = start + longest_ms
    elif end >= 0 and start < 0:
        start = end - longest_ms
    elif start < 0 and kept_ms and not named:
        start, end = now - longest_ms, now
    oldest = max(start, now - kept_ms if kept_ms else 0)
    return [
        row for row in rows if millis(row[1]) >= oldest and (end < 0 or millis(row[1]) <= end)
    ]
