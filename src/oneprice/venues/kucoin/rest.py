"""Questions over HTTP and how to read what comes back.

Source: KuCoin API docs, "Envelope", "Rate Limit": the code decides, "200000" is done; business
errors come with HTTP 200; 429000 is a quota or an overload, told apart by what is left.
"""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from oneprice.model.commands import Priority
from oneprice.model.events import FrameRejected
from oneprice.model.units import MILLI, Nanos
from oneprice.venues.contract import Ack, Answer, Output, Request
from oneprice.venues.kucoin import HOSTS, NAME
from oneprice.venues.kucoin.codes import DONE, unsure, word
from oneprice.venues.kucoin.wire import DOOR, REPLY, UNREADABLE, Reply, excerpt

_LIMIT = "gw-ratelimit-limit"
_LEFT = "gw-ratelimit-remaining"
_RESET = "gw-ratelimit-reset"  # milliseconds until then
_BUSY_PAUSE_MS = 1_000  # an overload of the platform, or a quota whose end is not told
_LEGACY_PAUSE_MS = 10_000  # 200002: one endpoint is blocked for about so long
_EDGE_PAUSE_MS = 30_000  # the edge in front of the venue blocks an address for so long

_TURNED_AWAY: Mapping[int, str] = {403: "banned", 429: "rate_limited"}  # by that edge


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A no, or no answer. `unsure`: what was asked may have happened all the same."""

    reason: str
    text: str
    unsure: bool
    status: int = 200
    code: str = ""


def get(
    market: str, path: str, params: Mapping[str, str], tag: str, cost: tuple[str, int]
) -> Request:
    """One question; it is not signed yet. `cost` is (pool, weight)."""
    return Request(
        tag=tag, host=HOSTS[market], path=path, query=query_of(params), cost=(cost,),
        priority=Priority.DATA,
    )  # fmt: skip


def query_of(params: Mapping[str, str]) -> str:
    """Parameters as they will be sent and signed; empty ones are left out."""
    return "&".join(f"{key}={quote(value, safe=',')}" for key, value in params.items() if value)


def read(answer: Answer) -> Reply | Failed:
    """The envelope of an answer, or why there is none. Never raises."""
    status = answer.status
    if status == 0:
        return Failed(reason="no_answer", text=answer.detail, unsure=True, status=0)
    try:
        reply = REPLY.decode(answer.body)
    except UNREADABLE:
        return _unreadable(status, excerpt(answer.body))
    text = f"{reply.code} {reply.msg or ''}"[:200]
    if status >= 500:
        return Failed(reason="venue_busy", text=text, unsure=True, status=status)
    code = str(reply.code)
    if code == DONE:
        if status == 200:
            return reply
        return Failed(reason="unreadable_answer", text=text, unsure=True, status=status)
    reason = "rate_limited" if status == 429 else word(code, reply.msg or "")
    return Failed(reason=reason, text=text, unsure=unsure(code, reason), status=status, code=code)


def _unreadable(status: int, text: str) -> Failed:
    """No envelope: something in front of the venue spoke. Its 429 and its 403 (the pages of
    Cloudflare 1015 and of a banned address, section 4) say that it let nothing through; after
    anything else the order may live."""
    if status in _TURNED_AWAY:
        return Failed(reason=_TURNED_AWAY[status], text=text, unsure=False, status=status)
    reason = "venue_busy" if status >= 500 else "unreadable_answer"
    return Failed(reason=reason, text=text, unsure=True, status=status)


def paused(failed: Failed, answer: Answer, bucket: str, at: Nanos) -> list[Output]:
    """What a no means for pacing: [] or one Ack of kind "rate"."""
    now_ms = at // MILLI
    headers = dict(answer.headers)
    left, reset = _count(headers.get(_LEFT, "")), _count(headers.get(_RESET, ""))
    if not failed.code and failed.status in (403, 429):
        until, bucket = now_ms + _EDGE_PAUSE_MS, ""
    elif failed.reason != "rate_limited":
        return []
    elif failed.code == "200002":
        until = now_ms + _LEGACY_PAUSE_MS
    elif left > 0 or reset <= 0:
        until = now_ms + _BUSY_PAUSE_MS
    else:
        until = now_ms + reset
    text = failed.text
    return [Ack(socket="", kind="rate", ok=False, text=text, until_ms=until, bucket=bucket)]



def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else -1


class Doors:
    """Sockets' addresses: a token lets one connection in, and each is named after its socket."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}

    def opened(self, socket: str, reply: Reply) -> Ack:
        """The whole url; ValueError where the venue named no server we could use."""
        door = DOOR.decode(reply.data)
        for server in door.instance_servers:
            if server.protocol == "websocket" and server.endpoint.startswith(("ws://", "wss://")):
                count = self._count[socket] = self._count.get(socket, 0) + 1
                joint = "&" if "?" in server.endpoint else "?"
                token = quote(door.token, safe="=-_.~")
                name = f"oneprice-{socket}-{count}"
                url = f"{server.endpoint}{joint}token={token}&connectId={name}"
                return Ack(socket=socket, kind="key", text=url)
        raise ValueError("instanceServers: expected one with a websocket endpoint, found none")


def door_request(socket: str, market: str, *, private: bool) -> Request:
    """The question for a token; tokens of spot and futures are not interchangeable."""
    # The documents name several pools for private ones: what an answer says of a pool's quota must
    # not be taken for that of another, so they have an allowance of their own, without headers.
    bucket = "doors" if private else "public"
    path = "/api/v1/bullet-private" if private else "/api/v1/bullet-public"
    return Request(
        tag=f"door:{socket}", host=HOSTS[market], method="POST", path=path, signed=private,
        cost=((bucket, 10),), priority=Priority.UNWIND,
    )  # fmt: skip


def unread(socket: str, reason: str, shown: str, at: Nanos) -> FrameRejected:
    """The counted event for anything that could not be understood.

    Rejections are counted by socket and reason, so both are one of few; the rest is shown.
    """
    return FrameRejected(at=at, venue=NAME, socket=socket, reason=reason, excerpt=shown[:320])


def told(answer: Answer, failed: Failed, at: Nanos) -> FrameRejected:
    """The counted event for a no, or for no answer, to a question over HTTP."""
    asked = answer.tag.partition(":")[0]
    return unread(asked, failed.reason, f"{answer.tag}: {failed.text}", at)
