"""BitMEX over HTTP: questions, and what an answer means before anybody looks at its rows.

Source: protocol document, sections 2, 4 and 14. There is no envelope: a success is bare JSON, a
failure is {"error":{"message","name"}} with a status. An answer that is neither says nothing.
"""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from oneprice.model.commands import Priority
from oneprice.model.events import FrameRejected
from oneprice.model.units import MILLI, Nanos
from oneprice.venues.bitmex import NAME, SPEC
from oneprice.venues.bitmex.codes import BY_STATUS, word
from oneprice.venues.bitmex.wire import ERROR, UNREADABLE, excerpt
from oneprice.venues.contract import Ack, Answer, Limit, Output, Request

_BAN_MS = 3_600_000  # "403 for about 1 h"
_OVERLOAD_MS = 500
_PAUSE_MS = 1000
# What the door says before BitMEX itself is asked: who may not come in, or not yet. It has no JSON
# (the ban is a page), and what was refused there never came near the orders.
_TURNED_AWAY: Mapping[int, str] = {403: "banned", 429: "rate_limited"}
_LIMITS: Mapping[str, Limit] = {limit.bucket: limit for limit in SPEC.limits}


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A no, or no answer. `unsure`: what was asked may have happened all the same."""

    reason: str
    text: str
    unsure: bool
    status: int


def get(path: str, params: Mapping[str, str], tag: str, bucket: str) -> Request:
    """One question; values are encoded once and signed as sent."""
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in params.items())
    signed = bucket != "public"
    return Request(
        tag=tag,
        host="rest",
        path=f"/api/v1{path}",
        query=query,
        signed=signed,
        cost=((bucket, 1),),
        priority=Priority.DATA,
    )


def send(method: str, path: str, body: bytes, tag: str, *, paced: bool = True) -> Request:
    """One signed order; `paced` ones also count against the ten a second."""
    return Request(
        tag=tag,
        host="rest",
        method=method,
        path=f"/api/v1{path}",
        body=body,
        headers=(("Content-Type", "application/json"),),
        signed=True,
        cost=(("rest", 1), ("orders", 1)) if paced else (("rest", 1),),
    )


def failure(answer: Answer) -> Failed | None:
    """Why an answer is none, None for a success. Never raises.

    Sure is what BitMEX says in its own words, and a status that says by itself that nothing was
    let through: 429, and the 403 of an address that is banned (section 4). Any other page or
    empty body may come from anything between us and it, and leaves the outcome open.
    """
    status = answer.status
    if status == 0:
        return Failed(reason="no_answer", text=answer.detail, unsure=True, status=0)
    if 200 <= status < 300:
        return None
    try:
        message = ERROR.decode(answer.body).error.message
    except UNREADABLE:
        text = f"{status} {excerpt(answer.body)}"
        turned_away = _TURNED_AWAY.get(status)
        reason, unsure = turned_away or "unreadable_answer", turned_away is None
        return Failed(reason=reason, text=text, unsure=unsure, status=status)
    reason = word(message) or BY_STATUS.get(status, "venue_busy")
    # Load shedding happens before the engine; every other 5xx leaves the outcome open. A taken
    # id can mean that an earlier copy of this very request got through.
    shed = status == 503 and word(message) == "venue_busy"
    unsure = (status not in BY_STATUS and not shed) or reason == "duplicate_id"
    return Failed(reason=reason, text=f"{status} {message}"[:200], unsure=unsure, status=status)


def pauses(failed: Failed, answer: Answer, bucket: str, at: Nanos) -> list[Output]:
    """What a no means for pacing: [] or one Ack of kind "rate"."""
    now_ms = at // MILLI
    match failed.status:
        case 403:
            until = now_ms + _BAN_MS if failed.reason == "banned" else 0
        case 429:
            until = now_ms + max(_PAUSE_MS, 1000 * _seconds(dict(answer.headers), "retry-after"))
        case 503:
            until = now_ms + _OVERLOAD_MS
        case _:
            until = 0
    if not until:
        return []
    return [Ack(socket="", kind="rate", ok=False, text=failed.text, until_ms=until, bucket=bucket)]


def _seconds(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


class Allowances:
    """What the venue says of the minute's allowance, told when it differs from before."""

    def __init__(self) -> None:
        self._told = {name: limit.count for name, limit in _LIMITS.items()}

    def learn(self, answer: Answer, bucket: str) -> list[Output]:
        """[] or one Ack of kind "limit"."""
        stated = _seconds(dict(answer.headers), "x-ratelimit-limit")
        if not stated or self._told[bucket] == stated:
            return []
        self._told[bucket] = stated
        limit = msgspec.structs.replace(_LIMITS[bucket], count=stated)
        return [Ack(socket="", kind="limit", bucket=bucket, limit=limit)]


def unread(socket: str, reason: str, shown: str, at: Nanos) -> FrameRejected:
    """The counted event for anything that could not be understood.

    Rejections are counted by socket and reason, so both are one of few; the rest is shown.
    """
    return FrameRejected(at=at, venue=NAME, socket=socket, reason=reason, excerpt=shown[:320])


def told(answer: Answer, failed: Failed, at: Nanos) -> FrameRejected:
    """The counted event for a no, or for no answer, to a question over HTTP."""
    asked = answer.tag.partition(":")[0]
    return unread(asked, failed.reason, f"{answer.tag}: {failed.text}", at)
