"""One shape for what came back, over HTTP or over a WebSocket API, and what it says of limits."""

import re
from contextlib import suppress

import msgspec
from msgspec import Raw

from oneprice.model.events import FrameRejected
from oneprice.model.units import MILLI, Nanos
from oneprice.venues.binance.facts import VENUE
from oneprice.venues.binance.frames import ErrorBody
from oneprice.venues.binance.refusals import TURNED_AWAY, Verdict, verdict, word
from oneprice.venues.contract import Ack, Answer

BUCKETS = {
    ("spot", -1003): "spot_weight",
    ("spot", -1015): "spot_orders_10s",
    ("futures", -1003): "futures_weight",
    ("futures", -1015): "futures_orders_10s",
}
_BANNED = re.compile(r"banned until (\d{13})")
_error = msgspec.json.Decoder(ErrorBody)
EXCERPT = 200


class RateData(msgspec.Struct):
    retryAfter: int = 0  # epoch ms, unlike the header


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to one question. `code` 0: no code could be read from a refusal."""

    tag: str
    market: str
    status: int
    body: bytes | Raw
    code: int = 0
    text: str = ""
    data: Raw = Raw()
    retry_after: str = ""  # seconds
    asked_ms: int = 0  # the venue's time when it was asked; 0: not told

    @property
    def verdict(self) -> Verdict:
        return verdict(self.market, self.status, self.code, self.text)

    @property
    def word(self) -> str:
        if self.status == 418 or (self.code == 0 and self.status in TURNED_AWAY):
            return TURNED_AWAY[self.status]
        return word(self.market, self.code, self.text)


def over_http(answer: Answer, market: str) -> Reply:
    """A reply from an HTTP answer; a refusal without our kind of body keeps code 0."""
    error = ErrorBody(msg=answer.detail)
    if answer.status and not 200 <= answer.status < 300:
        error = read_error(answer.body)
    return Reply(
        tag=answer.tag,
        market=market,
        status=answer.status,
        body=answer.body,
        code=error.code,
        text=error.msg,
        data=error.data,
        retry_after=dict(answer.headers).get("retry-after", ""),
        asked_ms=answer.asked_ms,
    )


def read_error(body: bytes | Raw) -> ErrorBody:
    """The refusal in a body; code 0 and an excerpt where it is none (an HTML page, nothing)."""
    try:
        return _error.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ErrorBody(msg=bytes(body)[:EXCERPT].decode("utf-8", "replace"))


def rate_ack(reply: Reply, at: Nanos) -> list[Ack]:
    """What a 429, a 418 or the firewall's 403 tells the pacing; nothing for any other answer."""
    shut = reply.code == 0 and reply.status in TURNED_AWAY
    if not shut and reply.status not in (418, 429) and reply.code not in (-1003, -1015):
        return []
    product = "spot" if reply.market == "spot" else "futures"
    buckets = [BUCKETS.get((product, reply.code), f"{product}_weight")]
    if buckets[0] == "futures_weight":
        # Orders weigh nothing there, and are refused for it all the same.
        buckets.append("futures_orders_10s")
    until = _until_ms(reply, at)
    return [
        Ack(socket="", kind="rate", ok=False, text=reply.text, until_ms=until, bucket=bucket)
        for bucket in buckets
    ]


def _until_ms(reply: Reply, at: Nanos) -> int:
    """The latest of what the answer names: a refusal too long is safer than one too short."""
    named = [0]
    if banned := _BANNED.search(reply.text):
        named.append(int(banned[1]))
    if reply.retry_after.isdecimal() and len(reply.retry_after) < 9:
        named.append(at // MILLI + 1000 * int(reply.retry_after))
    with suppress(msgspec.DecodeError):  # no data, or of another shape
        named.append(msgspec.json.decode(reply.data, type=RateData).retryAfter)
    return max(named)


def rejected(socket: str, reason: str, frame: bytes | Raw, at: Nanos) -> FrameRejected:
    excerpt = bytes(frame)[:EXCERPT].decode("utf-8", "replace")
    return FrameRejected(at=at, venue=VENUE, socket=socket, reason=reason, excerpt=excerpt)
