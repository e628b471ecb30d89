"""Questions over HTTP and how to read what comes back.

Source: Bybit v5 docs, "Integration Guidance" and "Rate Limit Rules": branch on the HTTP status
first, on the content second, on retCode third; success texts mean nothing.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from oneprice.model.commands import Priority
from oneprice.model.events import FrameRejected
from oneprice.model.units import MILLI, Nanos
from oneprice.venues.bybit import NAME
from oneprice.venues.bybit.codes import HTTP_REFUSALS, UNSURE, word
from oneprice.venues.bybit.wire import REPLY, UNREADABLE, Reply, excerpt
from oneprice.venues.contract import Ack, Answer, Limit, Output, Request

_COUNT = "x-bapi-limit"
_RESET = "x-bapi-limit-reset-timestamp"
_IP_BAN_MS = 600_000  # "wait at least ten minutes"; no header says when
_PAUSE_MS = 1000  # the window of every allowance per user


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A no, or no answer. `unsure`: what was asked may have happened all the same."""

    reason: str
    text: str
    unsure: bool
    status: int = 200
    code: int = 0


def get(
    path: str, params: Mapping[str, str], tag: str, bucket: str, priority: Priority
) -> Request:
    """One public question; values are encoded once and signed as sent."""
    query = "&".join(f"{key}={_encoded(value)}" for key, value in params.items() if value)
    cost = (("ip", 1), (bucket, 1)) if bucket else (("ip", 1),)
    return Request(tag=tag, host="rest", path=path, query=query, cost=cost, priority=priority)


def page_after(request: Request, cursor: str) -> Request:
    """The same question for the page behind `cursor`."""
    query = request.query.partition("&cursor=")[0]
    return msgspec.structs.replace(request, query=f"{query}&cursor={_encoded(cursor)}")


def _encoded(value: str) -> str:
    return value if "%" in value else quote(value, safe="")  # cursors come encoded already


def read(answer: Answer) -> Reply | Failed:
    """The envelope of an answer, or why there is none. Never raises."""
    status = answer.status
    if status == 0:
        return Failed(reason="no_answer", text=answer.detail, unsure=True, status=0)
    if status in HTTP_REFUSALS:
        text = excerpt(answer.body)
        return Failed(reason=HTTP_REFUSALS[status], text=text, unsure=False, status=status)
    if status != 200:
        text = excerpt(answer.body)
        return Failed(reason="venue_busy", text=text, unsure=True, status=status)
    try:
        reply = REPLY.decode(answer.body)
    except UNREADABLE:
        return Failed(reason="unreadable_answer", text=excerpt(answer.body), unsure=True)
    return refusal(reply.ret_code, reply.ret_msg) or reply


def refusal(code: int, text: str) -> Failed | None:
    """The no in a code, None for 0. A code without a word in our table leaves us unsure."""
    if code == 0:
        return None
    reason = word(code, text)
    unsure = code in UNSURE or reason == "unknown_code"
    return Failed(reason=reason, text=f"{code} {text}"[:200], unsure=unsure, code=code)


class Allowances:
    """What the venue itself says of our allowances, told when it differs from what we took."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        # The header speaks of allowances per user, never of the one per address.
        self._known = {limit.bucket: limit for limit in limits if limit.left_header}

    def stated(self, bucket: str, count: str) -> list[Ack]:
        """`count` is the X-Bapi-Limit of an answer: so many in each window of this bucket."""
        known = self._known.get(bucket)
        if known is None or not (count.isascii() and count.isdigit() and len(count) < 8):
            return []
        if not int(count) or known.count == int(count):
            return []
        limit = self._known[bucket] = msgspec.structs.replace(known, count=int(count))
        return [Ack(socket="", kind="limit", bucket=bucket, limit=limit)]

    def stated_by(self, bucket: str, answer: Answer) -> list[Ack]:
        """As `stated`, for an HTTP answer, whose headers can be absent."""
        return self.stated(bucket, dict(answer.headers).get(_COUNT, ""))


def paused(failed: Failed, socket: str, bucket: str, reset_ms: str, at: Nanos) -> list[Output]:
    """What a no means for pacing: [] or one Ack of kind "rate"."""
    now_ms = at // MILLI
    if failed.status == 403:
        until, bucket = now_ms + _IP_BAN_MS, "ip"
    elif failed.status == 429 or failed.reason == "rate_limited":
        stated = int(reset_ms) if reset_ms.isascii() and reset_ms.isdigit() else 0
        until = max(stated, now_ms + _PAUSE_MS)
    else:
        return []
    text = failed.text
    return [Ack(socket=socket, kind="rate", ok=False, text=text, until_ms=until, bucket=bucket)]


def paused_by(failed: Failed, answer: Answer, bucket: str, at: Nanos) -> list[Output]:
    """As `paused`, for an HTTP answer, whose headers can be absent."""
    return paused(failed, "", bucket, dict(answer.headers).get(_RESET, ""), at)


def unread(socket: str, reason: str, shown: str, at: Nanos) -> FrameRejected:
    """The counted event for anything that could not be understood.

    Rejections are counted by socket and reason, so both are one of few; the rest is shown.
    """
    return FrameRejected(at=at, venue=NAME, socket=socket, reason=reason, excerpt=shown[:320])


def told(answer: Answer, failed: Failed, at: Nanos) -> FrameRejected:
    """The counted event for a no, or for no answer, to a question over HTTP."""
    asked = answer.tag.partition(":")[0]
    return unread(asked, failed.reason, f"{answer.tag}: {failed.text}", at)
