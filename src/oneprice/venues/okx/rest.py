"""Questions to OKX over HTTP, how they are signed, and how to read what comes back.

Source: API v5, "REST Authentication" and "Error Code": the body decides wherever it can be read,
whatever the HTTP status; a 5xx and a body that is no JSON leave writes unknown.
"""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from oneprice.model.commands import Priority
from oneprice.model.events import FrameRejected
from oneprice.model.units import MILLI, Nanos
from oneprice.venues.contract import Ack, Answer, Output, Request
from oneprice.venues.okx.codes import unsure, word
from oneprice.venues.okx.frames import REST, UNREADABLE, RestAnswer, excerpt, rejected

_WINDOW_MS = 2_000  # of nearly every allowance: a refused request may be repeated after it
# How long the network in front of the venue keeps an address out is not documented.
_SHUT_OUT_MS = 60_000
_SIMULATED = (("x-simulated-trading", "1"),)
_DAY_MS = 86_400_000


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A no, or no answer. `unsure`: what was asked may have happened all the same."""

    reason: str
    text: str
    unsure: bool
    status: int = 200
    code: str = ""


def get(
    path: str,
    params: Mapping[str, str],
    tag: str,
    bucket: str,
    priority: Priority = Priority.DATA,
) -> Request:
    """One question; parameters without a value are left out."""
    pairs = [f"{key}={quote(value, safe='')}" for key, value in params.items() if value]
    return Request(
        tag=tag,
        host="rest",
        path=path,
        query="&".join(pairs),
        cost=((bucket, 1),),
        priority=priority,
    )


def asked(request: Request, **changes: object) -> Request:
    """The same question to the private side."""
    return msgspec.structs.replace(request, signed=True, **changes)


def simulated(request: Request) -> Request:
    """The same for the venue's demo, which shares its host with the real one."""
    return msgspec.structs.replace(request, headers=(*request.headers, *_SIMULATED))


def read(answer: Answer) -> RestAnswer | Failed:
    """The envelope of an answer, or why there is none. An envelope may still say no."""
    status = answer.status
    if status == 0:
        return Failed(reason="no_answer", text=answer.detail, unsure=True, status=0)
    try:
        reply = REST.decode(answer.body)
    except UNREADABLE:
        reply = None
    if reply is None or not reply.code:
        reason = {403: "banned", 429: "rate_limited"}.get(status, "unreadable_answer")
        if status >= 500:
            reason = "venue_busy"
        # A 403 without an envelope is the network in front of the venue that keeps an address
        # out (section 14): what it keeps out was never asked, and asking is not possible either.
        # Its 429 is doubtful there, and 50013 with 429 may leave an order alive: it is asked for.
        shut_out = status == 403
        text = excerpt(answer.body)
        return Failed(reason=reason, text=text, unsure=not shut_out, status=status)
    if status >= 500:
        text = f"{reply.code} {reply.msg}"[:200]
        return Failed(reason=word(reply.code), text=text, unsure=True, status=status)
    return reply


def refusal(code: str, text: str) -> Failed | None:
    """The no in a code, None for "0"."""
    if code == "0":
        return None
    shown = f"{code} {text}".strip()[:200]
    return Failed(reason=word(code), text=shown, unsure=unsure(code), code=code)


def settled(answer: Answer) -> RestAnswer | Failed:
    """As `read`, with a no of the envelope as Failed: for questions with one verdict."""
    reply = read(answer)
    if isinstance(reply, Failed):
        return reply
    return refusal(reply.code, reply.msg) or reply


def paused(failed: Failed, socket: str, bucket: str, at: Nanos) -> list[Output]:
    """What a no means for pacing: [] or one Ack of kind "rate"."""
    now_ms = at // MILLI
    if failed.status == 403 and not failed.code:
        until, bucket = now_ms + _SHUT_OUT_MS, ""
    elif failed.code == "50061":
        until, bucket = now_ms + _WINDOW_MS, "account_orders"
    elif failed.status == 429 or failed.code in ("50011", "60014"):
        until = now_ms + _WINDOW_MS
    else:
        return []
    text = failed.text
    return [Ack(socket=socket, kind="rate", ok=False, text=text, until_ms=until, bucket=bucket)]


def told(answer: Answer, failed: Failed, at: Nanos) -> FrameRejected:
    """The counted event for a no, or for no answer, to a question over HTTP."""
    reason = f"{answer.tag}: {failed.reason}: {failed.text}"
    return rejected("rest", reason, answer.body, at)


def iso(epoch_ms: int) -> str:
    """UTC as OKX wants it in headers, e.g. 2026-01-02T03:04:05.678Z (ISO 8601).

    The date is counted in years that begin in March, so that a leap day comes last
    (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    """
    days, rest = divmod(epoch_ms, _DAY_MS)
    era, day = divmod(days + 719_468, 146_097)  # from 0000-03-01, in spans of 400 years
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month += 3 if month < 10 else -9
    year += 400 * era + (month <= 2)
    seconds, ms = divmod(rest, 1_000)
    clock = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{year:04}-{month:02}-{day + 1:02}T{clock}.{ms:03}Z"
